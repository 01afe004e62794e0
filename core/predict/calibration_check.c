/* calibration_check.c - whether a calibration holds for this run, and how old it is. */
#include "predict/calibration.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/plural.h"
#include "base/status.h"
#include "base/tensor.h"

/* Other programs had the cores for so much of the time that medians and bests may be of them. */
enum { BUSY_PERCENT = 5 };

static enum tfr_status refuse(const char *path, const char *field, const char *was, const char *is) {
    return tfr_raise(TFR_MODEL, "%s: %s of the calibration is %s, here it is %s; run `tfrun calibrate` here", path, field, was, is);
}

static enum tfr_status check_threads(const struct tfr_conditions *was, const struct tfr_conditions *now, const char *path) {
    if (was->threads == now->threads) {
        return TFR_OK;
    }
    return tfr_raise(TFR_MODEL,
                     "%s: calibrated with %" PRId64 " thread%s, this run has %" PRId64 "; run `tfrun calibrate --threads %" PRId64
                     "`, or give --threads %" PRId64,
                     path, was->threads, tfr_plural(was->threads), now->threads, now->threads, was->threads);
}

static void add_doubt(char *doubts, size_t size, const char *field, const char *was, const char *is) {
    const size_t used = strlen(doubts);
    snprintf(doubts + used, size - used, "%s%s was %s, is %s", used > 0 ? "; " : "", field, was, is);
}

static void add_text(char *doubts, size_t size, const char *text) {
    const size_t used = strlen(doubts);
    snprintf(doubts + used, size - used, "%s%s", used > 0 ? "; " : "", text);
}

/* Whether a list "a; b; c" has the item. */
static bool has_item(const char *list, const char *item, size_t length) {
    for (const char *at = list; *at != '\0'; at += strcspn(at, ";"), at += strspn(at, "; ")) {
        if (strcspn(at, ";") == length && strncmp(at, item, length) == 0) {
            return true;
        }
    }
    return false;
}

/* Plugins of one list that the other has not: "made without gemv 0.1.0 (compiler 12.2.0)". */
static void doubt_plugins(const char *list, const char *other, const char *word, char *doubts, size_t size) {
    for (const char *at = list; *at != '\0'; at += strcspn(at, ";"), at += strspn(at, "; ")) {
        const size_t length = strcspn(at, ";");
        if (!has_item(other, at, length)) {
            char text[160];
            snprintf(text, sizeof text, "made %s %.*s", word, (int)length, at);
            add_text(doubts, size, text);
        }
    }
}

/* A few per cent are noise; of more than one roof the worst is named. */
static void doubt_roofs(const struct tfr_roofs *roofs, char *doubts, size_t size) {
    char text[160] = "";
    double least = 0.9;
    for (int i = 0; i < roofs->n_flops; i++) {
        const struct tfr_flop_roof *roof = &roofs->flops[i];
        if (roof->all_cores < least * roof->one_core) {
            least = roof->all_cores / roof->one_core;
            snprintf(text, sizeof text, "all threads reach %.1f GFLOP/s of %s %s, one core %.1f", roof->all_cores / 1e9,
                     tfr_dtype_name((enum tfr_dtype)roof->dtype), roof->isa != 0 ? tfr_isa_name(roof->isa) : "plain",
                     roof->one_core / 1e9);
        }
    }
    for (int i = 0; i < roofs->n_bandwidths; i++) {
        const struct tfr_bandwidth *at = &roofs->bandwidth[i];
        if (at->all_cores < least * at->one_core) {
            least = at->all_cores / at->one_core;
            snprintf(text, sizeof text, "all threads read %.1f GB/s from %" PRId64 " KiB, one core %.1f", at->all_cores / 1e9,
                     at->bytes >> 10, at->one_core / 1e9);
        }
    }
    if (text[0] != '\0') {
        add_text(doubts, size, text);
    }
}

static bool is_rate(double rate) {
    return isfinite(rate) && rate > 0;
}

static enum tfr_status refuse_rate(const char *path, const char *what) {
    return tfr_raise(TFR_RUNTIME,
                     "%s is not written: this calibration would be of no use: %s; the threads got no time, or the clock stood: run "
                     "`tfrun calibrate` again where the machine is quiet, without --quick",
                     path, what);
}

enum tfr_status tfr_calibration_check_rates(const struct tfr_calibration *calibration, const char *path) {
    const struct tfr_roofs *roofs = &calibration->roofs;
    char what[200];
    if (roofs->n_flops < 1 || roofs->n_bandwidths < 1) {
        return refuse_rate(path, roofs->n_flops < 1 ? "no FLOP/s were measured (roofs.flops is empty)"
                                                    : "no GB/s were measured (roofs.bandwidth is empty)");
    }
    for (int i = 0; i < roofs->n_flops; i++) {
        const struct tfr_flop_roof *roof = &roofs->flops[i];
        const bool is_of_all = is_rate(roof->one_core);
        if (!is_of_all || !is_rate(roof->all_cores)) {
            snprintf(what, sizeof what, "%s %.4g GFLOP/s of %s %s (roofs.flops[%d].%s)",
                     is_of_all ? "all threads reach" : "one core reaches", (is_of_all ? roof->all_cores : roof->one_core) / 1e9,
                     tfr_dtype_name((enum tfr_dtype)roof->dtype), roof->isa != 0 ? tfr_isa_name(roof->isa) : "plain", i,
                     is_of_all ? "all_cores" : "one_core");
            return refuse_rate(path, what);
        }
    }
    for (int i = 0; i < roofs->n_bandwidths; i++) {
        const struct tfr_bandwidth *at = &roofs->bandwidth[i];
        const bool is_of_all = is_rate(at->one_core);
        if (!is_of_all || !is_rate(at->all_cores)) {
            snprintf(what, sizeof what, "%s %.4g GB/s from %" PRId64 " KiB (roofs.bandwidth[%d].%s)",
                     is_of_all ? "all threads read" : "one core reads", (is_of_all ? at->all_cores : at->one_core) / 1e9,
                     at->bytes >> 10, i, is_of_all ? "all_cores" : "one_core");
            return refuse_rate(path, what);
        }
    }
    return TFR_OK;
}

void tfr_calibration_doubts(const struct tfr_calibration *calibration, char *doubts, size_t size) {
    const double percent = calibration->conditions.waited_percent;
    if (percent >= BUSY_PERCENT) {
        char text[96];
        snprintf(text, sizeof text, "its threads waited for a core for %.0f %% of the time", percent);
        add_text(doubts, size, text);
    }
    doubt_roofs(&calibration->roofs, doubts, size);
}

enum tfr_status tfr_calibration_check(const struct tfr_calibration *calibration, const struct tfr_conditions *now, const char *path,
                                      char *doubts, size_t size) {
    const struct tfr_conditions *was = &calibration->conditions;
    const struct {
        const char *field, *was, *is;
    } fixed[] = {{"host", was->host, now->host},
                 {"cpu", was->cpu, now->cpu},
                 {"tfrun", was->version, now->version},
                 {"abi", was->abi, now->abi}},
      loose[] = {{"bind", was->bind, now->bind},
                 {"governor", was->governor, now->governor},
                 {"hugepages", was->hugepages, now->hugepages}};
    doubts[0] = '\0';
    for (size_t i = 0; i < TFR_COUNT_OF(fixed); i++) {
        if (strcmp(fixed[i].was, fixed[i].is) != 0) {
            return refuse(path, fixed[i].field, fixed[i].was, fixed[i].is);
        }
    }
    char sets[2][16];
    snprintf(sets[0], sizeof sets[0], "0x%x", was->isa);
    snprintf(sets[1], sizeof sets[1], "0x%x", now->isa);
    if (was->isa != now->isa) {
        return refuse(path, "isa", sets[0], sets[1]);
    }
    TFR_TRY(check_threads(was, now, path));
    for (size_t i = 0; i < TFR_COUNT_OF(loose); i++) {
        if (strcmp(loose[i].was, loose[i].is) != 0) {
            add_doubt(doubts, size, loose[i].field, loose[i].was, loose[i].is);
        }
    }
    if (fabs(was->quota_cores - now->quota_cores) > 0.01) {
        char quota[2][24];
        snprintf(quota[0], sizeof quota[0], "%.2f cores", was->quota_cores);
        snprintf(quota[1], sizeof quota[1], "%.2f cores", now->quota_cores);
        add_doubt(doubts, size, "the CPU quota", quota[0], quota[1]);
    }
    doubt_plugins(was->plugins, now->plugins, "with", doubts, size);
    doubt_plugins(now->plugins, was->plugins, "without", doubts, size);
    tfr_calibration_doubts(calibration, doubts, size);
    return TFR_OK;
}

void tfr_calibration_age(const struct tfr_conditions *conditions, int64_t now_unix, char *text, size_t size) {
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    const int64_t age = now_unix - conditions->measured_unix;
    if (age < 1) {
        snprintf(text, size, "%s", age < 0 ? "of the future" : "just now");
        return;
    }
    size_t unit = 0;
    while (age < units[unit].seconds) {
        unit++;
    }
    const int64_t n = age / units[unit].seconds;
    snprintf(text, size, "%lld %s%s old", (long long)n, units[unit].name, tfr_plural(n));
}

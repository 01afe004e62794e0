/* calibration_check.c - whether a calibration holds for this run, and how old it is. */
#include "predict/calibration.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/plural.h"
#include "base/status.h"

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

enum tfr_status tfr_calibration_check(const struct tfr_calibration *calibration, const struct tfr_conditions *now, const char *path,
                                      char *doubts, size_t size) {
    const struct tfr_conditions *was = &calibration->conditions;
    const struct {
        const char *field, *was, *is;
    } fixed[] = {{"host", was->host, now->host},
                 {"cpu", was->cpu, now->cpu},
                 {"tfrun", was->version, now->version},
                 {"abi", was->abi, now->abi}},
      loose[] = {{"bind", was->bind, now->bind}, {"governor", was->governor, now->governor}};
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

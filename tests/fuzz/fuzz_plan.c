/* fuzz_plan.c - files that plans, predictions and studies read: clusters, calibrations, benches, cases of kernels, traces, costs of
 * steps, packed weights. What was read and is written again reads as the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "harness.h"
#include "plan/pack_file.h"
#include "predict/calibration.h"
#include "predict/cluster_file.h"
#include "serve/step_cost_file.h"
#include "study/kernel_data.h"
#include "team/team.h"

static const struct tfr_override model_overrides[] = {{"trust", TFR_SOURCE_DIR, "fuzz"}, {"runtime.threads", "1", "fuzz"}};

static void check_json(const char *text) {
    tfr_fuzz_require(tfr_json_scan("report", text, strlen(text), TFR_RUNTIME) == TFR_OK, "a report in JSON is JSON");
}

/* "ALPHA_US,GBIT_S" where the input does not begin as JSON; otherwise a file, and what its layouts take. */
int tfr_fuzz_cluster(const uint8_t *data, size_t size) {
    struct tfr_cluster_facts facts;
    char *text;
    if (size == 0 || (data[0] != '{' && data[0] > ' ')) {
        char *net = tfr_fuzz_text(data, size);
        tfr_fuzz_accepted(tfr_cluster_net(&facts, net));
        free(net);
        return 0;
    }
    char path[1024];
    snprintf(path, sizeof path, "%s", tfr_fuzz_write("cluster.json", data, size));
    tfr_fuzz_accepted(tfr_cluster_read(&facts, path, true));
    const struct tfr_layouts_question question = {
        .first_ranks = 1, .last_ranks = 2, .cluster = path, .sequences = 1, .context = -1, .format = TFR_COST_JSON};
    if (tfr_fuzz_accepted(tfr_cluster_read(&facts, path, false)) &&
        tfr_fuzz_accepted(
            tfr_report_layouts(tfr_fuzz_model("lm"), model_overrides, TFR_COUNT_OF(model_overrides), &question, &text))) {
        check_json(text);
        tfr_string_free(text);
    }
    return 0;
}

/* Conditions of another run: each alone is a refusal or a doubt. */
static void check_conditions(const struct tfr_calibration *calibration, const char *path) {
    static const int64_t later[] = {INT64_C(1800000000), 0, 5000, 100000, 70};
    char doubts[TFR_DOUBTS_SIZE] = "", age[64];
    for (int i = 0; i < 9; i++) {
        struct tfr_conditions now = calibration->conditions;
        char *const texts[] = {now.host, now.cpu, now.version, now.abi, now.bind, now.governor, now.plugins};
        if (i < (int)TFR_COUNT_OF(texts)) {
            snprintf(texts[i], 8, "a 1; x");
        }
        now.threads += i == 7;
        now.isa ^= i == 8;
        now.quota_cores += i % 2;
        tfr_fuzz_accepted(tfr_calibration_check(calibration, &now, path, doubts, sizeof doubts));
        now.measured_unix = 5000;
        tfr_calibration_age(&now, later[i % (int)TFR_COUNT_OF(later)], age, sizeof age);
    }
    tfr_calibration_doubts(calibration, doubts, sizeof doubts);
    char *own = tfr_calibration_path(calibration->conditions.host, calibration->conditions.threads);
    tfr_fuzz_require(own != NULL && strstr(own, "/tfrun/calibration-") != NULL, "a cache has a name");
    tfr_free(own);
}

int tfr_fuzz_calibration(const uint8_t *data, size_t size) {
    struct tfr_calibration calibration, again;
    char path[1024];
    snprintf(path, sizeof path, "%s", tfr_fuzz_write("calibration.json", data, size));
    if (!tfr_fuzz_accepted(tfr_calibration_read(&calibration, path))) {
        return 0;
    }
    check_conditions(&calibration, path);
    char *text = tfr_calibration_text(&calibration);
    tfr_fuzz_require(text != NULL, "a calibration can be written");
    tfr_fuzz_require(tfr_calibration_write(&calibration, path) == TFR_OK, "a calibration finds its file");
    tfr_fuzz_require(tfr_calibration_read(&again, path) == TFR_OK, "what was written is read");
    char *second = tfr_calibration_text(&again);
    tfr_fuzz_require(second != NULL && strcmp(text, second) == 0, "what was read twice is the same");
    tfr_free(text);
    tfr_free(second);
    tfr_calibration_free(&calibration);
    tfr_calibration_free(&again);
    return 0;
}

static void report_bench(const struct tfr_bench *bench, const struct tfr_bench *before) {
    char *text;
    for (int form = TFR_TABLE_TEXT; form <= TFR_TABLE_CSV; form++) {
        if (tfr_fuzz_accepted(tfr_report_bench(bench, before, (enum tfr_table_form)form, &text))) {
            if (form == TFR_TABLE_JSON) {
                check_json(text);
            }
            tfr_string_free(text);
        }
    }
}

static void join(const struct tfr_bench *bench, const struct tfr_bench *other) {
    const struct tfr_bench *both[] = {bench, other};
    struct tfr_scaling *scaling;
    struct tfr_scaling_picture *pictures;
    size_t n;
    char *text;
    if (!tfr_fuzz_accepted(tfr_scaling_join(&scaling, both, 2))) {
        return;
    }
    for (int form = TFR_TABLE_TEXT; form <= TFR_TABLE_CSV; form++) {
        if (tfr_fuzz_accepted(tfr_report_scaling(scaling, (enum tfr_table_form)form, &text))) {
            tfr_string_free(text);
        }
    }
    if (tfr_fuzz_accepted(tfr_scaling_pictures(scaling, &pictures, &n))) {
        tfr_scaling_pictures_free(pictures, n);
    }
    tfr_scaling_free(scaling);
}

/* Cases that were read hold their limits, and those that are small are built. */
int tfr_fuzz_cases(const uint8_t *data, size_t size) {
    enum { SMALL = 1 << 18, MOST_BUILT = 16 };
    struct tfr_kernel_cases cases;
    int n_built = 0;
    if (!tfr_fuzz_accepted(tfr_kernel_cases_read(&cases, tfr_fuzz_write("cases.txt", data, size)))) {
        return 0;
    }
    for (size_t i = 0; i < cases.n; i++) {
        const struct tfr_kernel_case *one = &cases.items[i];
        struct tfr_kernel_data made;
        const struct tfr_op_facts facts = tfr_kernel_case_facts(one);
        tfr_fuzz_require(one->rows >= 1 && one->max >= one->rows && one->n >= 1 && one->n_seqs <= TFR_CASE_SEQS,
                         "a case has a shape");
        tfr_fuzz_require(facts.rows >= 1 && facts.pairs >= 0 && facts.keys >= 0, "a case has a cost");
        if (tfr_kernel_case_bytes(one) < SMALL && n_built++ < MOST_BUILT) {
            tfr_fuzz_require(tfr_kernel_data_open(&made, one) == TFR_OK, "a small case is built");
            tfr_kernel_data_close(&made);
        }
    }
    tfr_kernel_cases_free(&cases);
    return 0;
}

/* A document, alone, and beside a second one: compared, joined, folded. */
int tfr_fuzz_bench(const uint8_t *data, size_t size) {
    size_t first_size = 0, second_size = 0;
    const uint8_t *first = tfr_fuzz_part("bench", data, size, &first_size),
                  *second = tfr_fuzz_part("before", data, size, &second_size);
    struct tfr_bench *benches[2];
    bool is_one;
    size_t n = 0;
    tfr_fuzz_accepted(tfr_bench_is_document(
        tfr_fuzz_write("bench.json", first != NULL ? first : data, first != NULL ? first_size : size), &is_one));
    n += tfr_fuzz_accepted(tfr_bench_read(&benches[0], tfr_fuzz_path("bench.json")));
    if (n == 0) {
        return 0;
    }
    report_bench(benches[0], NULL);
    const struct tfr_bench_recorded recorded = tfr_bench_recorded(benches[0]);
    if (recorded.cases != NULL) {
        tfr_fuzz_accepted(tfr_bench_check(recorded.cases));
    }
    for (size_t i = 0; i < recorded.n_overrides; i++) {
        const char *key, *value;
        tfr_bench_override(benches[0], i, &key, &value);
    }
    if (second != NULL && tfr_fuzz_accepted(tfr_bench_read(&benches[1], tfr_fuzz_write("before.json", second, second_size)))) {
        n++;
        report_bench(benches[0], benches[1]);
        join(benches[0], benches[1]);
        if (tfr_fuzz_accepted(tfr_bench_fold(benches, &n))) {
            report_bench(benches[0], NULL);
        }
    }
    for (size_t i = 0; i < n; i++) {
        tfr_bench_free(benches[i]);
    }
    return 0;
}

int tfr_fuzz_trace(const uint8_t *data, size_t size) {
    char path[1024], *text;
    snprintf(path, sizeof path, "%s", tfr_fuzz_write("trace.json", data, size));
    const struct tfr_graph_question question = {.seq = 1, .batch = 1, .context = -1, .n_ranks = 1, .measured = path};
    if (tfr_fuzz_accepted(tfr_report_graph(tfr_fuzz_model("lm"), model_overrides, TFR_COUNT_OF(model_overrides), &question,
                                           TFR_REPORT_JSON, &text))) {
        check_json(text);
        tfr_string_free(text);
    }
    return 0;
}

int tfr_fuzz_steps(const uint8_t *data, size_t size) {
    struct tfr_step_cost cost, again;
    char path[1024], *own = tfr_step_cost_path(tfr_fuzz_engine("lm"));
    tfr_fuzz_require(own != NULL && strstr(own, "/tfrun/steps-") != NULL, "costs of steps have a file");
    tfr_free(own);
    snprintf(path, sizeof path, "%s", tfr_fuzz_write("steps.json", data, size));
    if (tfr_step_cost_read(&cost, path)) {
        const double rows[] = {1, 2, 3.5, 1000, 1e6};
        for (size_t i = 0; i < TFR_COUNT_OF(rows); i++) {
            tfr_fuzz_require(tfr_curve_s(&cost.decode, rows[i]) >= 0 && tfr_curve_s(&cost.prefill, rows[i]) >= 0,
                             "no step takes less than no time");
        }
        tfr_fuzz_require(tfr_step_cost_write(&cost, path) == TFR_OK && tfr_step_cost_read(&again, path),
                         "costs are written and read");
    }
    return 0;
}

/* ---- packed weights -------------------------------------------------------------------------------------------- */

static const char pack_key[] = "fuzz";
enum { HEAD_BYTES = 40, ENTRIES_AT = 48 }; /* five numbers, the key, and up to a multiple of 8 */

static struct tfr_team *team(void) {
    static struct tfr_team *one;
    if (one == NULL) {
        tfr_fuzz_require(tfr_team_open(&one, 1, NULL, false) == TFR_OK, "a team of one opens");
    }
    return one;
}

/* Two weights and a word about a third, as they are written. */
static void write_pack(const char *path) {
    static const uint8_t bytes[5000] = {1, 2, 3};
    struct tfr_pack_entry entries[3] = {{.name = "a", .format = "f", .n = 4, .bytes = 100},
                                        {.name = "b", .format = "g", .first = 1, .n = 2, .bytes = sizeof bytes},
                                        {.name = "c", .format = "", .n = 1, .exact = 1}};
    const void *const parts[] = {bytes, bytes, NULL};
    tfr_fuzz_require(tfr_pack_file_write(path, pack_key, 0600, entries, parts, 3, team()) == TFR_OK, "packs are written");
}

/* The sum of the table, so that the reader looks behind it; where it lies in the bytes at all. */
static void mend_sum(uint8_t *bytes, size_t size) {
    uint64_t numbers[HEAD_BYTES / 8];
    memcpy(numbers, bytes, HEAD_BYTES);
    if (numbers[3] <= (size - ENTRIES_AT) / sizeof(struct tfr_pack_entry)) {
        const uint64_t key_sum = tfr_hash(TFR_HASH_START, pack_key, sizeof pack_key);
        numbers[4] = tfr_hash(key_sum, bytes + ENTRIES_AT, (size_t)numbers[3] * sizeof(struct tfr_pack_entry));
        memcpy(bytes, numbers, HEAD_BYTES);
    }
}

/* The first byte: 0 takes the rest as a file; 1 and 2 change a file that was written, from a place on; 2 mends its sum. */
int tfr_fuzz_packs(const uint8_t *data, size_t size) {
    char path[1024], *saved;
    size_t saved_size, n;
    struct tfr_pack_file *file;
    if (size < 3) {
        return 0;
    }
    snprintf(path, sizeof path, "%s", tfr_fuzz_write("packs", data + 1, size - 1));
    if (data[0] % 3 != 0) {
        write_pack(path);
        tfr_fuzz_require(tfr_file_read(path, 1 << 20, &saved, &saved_size) == TFR_OK, "packs can be read");
        const size_t at = (size_t)(data[1] | data[2] << 8) % saved_size;
        memcpy(saved + at, data + 3, size - 3 < saved_size - at ? size - 3 : saved_size - at);
        if (data[0] % 3 == 2) {
            mend_sum((uint8_t *)saved, saved_size);
        }
        tfr_fuzz_write("packs", saved, saved_size);
        tfr_free(saved);
        snprintf(path, sizeof path, "%s", tfr_fuzz_path("packs"));
    }
    if (tfr_fuzz_accepted(tfr_pack_file_open(&file, path, pack_key, team()))) {
        const struct tfr_pack_entry *entries = tfr_pack_file_entries(file, &n);
        for (size_t i = 0; i < n; i++) {
            const uint8_t *bytes = tfr_pack_file_data(file, &entries[i]);
            (void)tfr_hash(TFR_HASH_START, bytes, (size_t)entries[i].bytes); /* reads every byte */
            tfr_fuzz_require(tfr_pack_file_find(file, &entries[i]) != NULL, "a weight is found by its own entry");
        }
        tfr_pack_file_close(file);
    }
    return 0;
}

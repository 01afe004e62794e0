/* bench_compare.c - a bench beside an earlier one: what was recorded of it, the same case, the verdict. */
#include "study/bench_document.h"

struct tfr_bench_recorded tfr_bench_recorded(const struct tfr_bench *bench) {
    char *const *facts = bench->manifest.facts;
    return (struct tfr_bench_recorded){
        .config = facts[TFR_FACT_CONFIG],
        .cases = facts[TFR_FACT_CASES][0] != '\0' ? facts[TFR_FACT_CASES] : NULL,
        .n_overrides = bench->manifest.overrides.n,
        .repetitions = bench->repetitions,
        .n_ranks = bench->n_ranks,
    };
}

void tfr_bench_override(const struct tfr_bench *bench, size_t i, const char **key, const char **value) {
    *key = bench->manifest.overrides.items[i].name;
    *value = bench->manifest.overrides.items[i].value;
}

bool tfr_bench_same_bits(const struct tfr_bench *bench, const struct tfr_bench *before) {
    return bench->logits_digest == before->logits_digest;
}

const struct tfr_bench_figure *tfr_bench_find(const struct tfr_bench *bench, const struct tfr_bench_case *what) {
    for (size_t i = 0; i < bench->n_figures; i++) {
        if (bench->figures[i].what.kind == what->kind && bench->figures[i].what.n == what->n) {
            return &bench->figures[i];
        }
    }
    return NULL;
}

const char *tfr_bench_verdict(const struct tfr_bench_figure *now, const struct tfr_bench_figure *before) {
    return now->spread.median < before->spread.low ? "faster" : now->spread.median > before->spread.high ? "slower" : "inside";
}

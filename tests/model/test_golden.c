/* test_golden.c - `test_golden FOLDER golden|LAW`: logits of one golden case, and the laws that need no
 * reference.
 *
 * Golden: every logit is within GOLDEN_TOLERANCE of float64. Laws: what must not change the result (how a
 * sequence is cut, its company, threads, sizes of steps) changes no bit; what may change rounding (type,
 * instruction set, kernel) stays within its tolerance.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden_case.h"

/* float32 against float64. Half a unit in the last place of the largest logits, about 10, is 5e-7; some
 * hundred roundings of that size in sums of at most 144 terms and chains of at most 5 blocks, as random as
 * they are, come to about ten times that. Seen: up to 6e-6 over all instruction sets and kernels. */
static const double GOLDEN_TOLERANCE = 3e-5;
/* Weights and inputs of each product rounded to 8 bits, relative 2^-9 each: some tenths of a percent of the
 * largest logit, about 10, and a few times that after five blocks. Seen: up to 0.065. */
static const double BF16_TOLERANCE = 0.2;

/* ids fed in pieces of the given sizes (0 ends the list; what is left comes in one piece). */
static void expect_cut(struct tfr_engine *engine, const struct golden_case *golden, const int64_t *sizes, const float *whole) {
    float *logits = golden_room(golden->n * golden->vocab_size);
    struct tfr_session *session = golden_session(engine, golden->n);
    for (int64_t done = 0, piece = 0; done < golden->n; done += piece) {
        piece = *sizes > 0 ? *sizes++ : golden->n - done;
        golden_feed(engine, session, golden->ids + done, piece, piece, logits + done * golden->vocab_size);
    }
    if (tfr_session_length(session) != golden->n) {
        golden_fail("a session of %lld tokens says %lld", (long long)golden->n, (long long)tfr_session_length(session));
    }
    char what[64];
    snprintf(what, sizeof what, "cut after %lld", (long long)sizes[-1]);
    golden_same_bits(logits, whole, golden->n * golden->vocab_size, what);
    tfr_session_close(session);
    free(logits);
}

/* At every position of a short sequence, at every seventh of a long one. */
static void check_splits(const struct golden_case *golden, const struct golden_settings *settings) {
    struct tfr_engine *engine = golden_engine(golden, settings);
    float *whole = golden_run_ids(engine, golden->ids, golden->n);
    for (int64_t at = 1; at<golden->n; at += golden->n> 40 ? 7 : 1) {
        const int64_t two[] = {at, 0};
        expect_cut(engine, golden, two, whole);
    }
    int64_t ones[MAX_GOLDEN_TOKENS + 1] = {0};
    for (int64_t i = 0; i < golden->n; i++) {
        ones[i] = 1;
    }
    expect_cut(engine, golden, ones, whole);
    if (golden->n > 8) {
        const int64_t uneven[] = {1, 5, 2, 0};
        expect_cut(engine, golden, uneven, whole);
    }
    free(whole);
    tfr_engine_close(engine);
}

static void law_split(const struct golden_case *golden) {
    static const struct golden_settings settings[] = {{{NULL}},
                                                      {{"runtime.dtype=bf16"}},
                                                      {{"runtime.kernels=onednn"}},
                                                      {{"runtime.kernels=-onednn"}},
                                                      {{"runtime.isa=avx2"}},
                                                      {{"runtime.isa=plain", "runtime.dtype=bf16"}}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (golden_can_run(settings[i].text[0])) {
            check_splits(golden, &settings[i]);
        }
    }
}

/* Three sequences of different length out of one. */
enum { N_COMPANY = 3 };
struct company {
    int32_t ids[N_COMPANY][MAX_GOLDEN_TOKENS];
    int64_t n[N_COMPANY];
    float *alone[N_COMPANY];
};

static void open_company(struct company *company, struct tfr_engine *engine, const struct golden_case *golden) {
    company->n[0] = golden->n;
    company->n[1] = golden->n / 2 + 1;
    company->n[2] = golden->n > 1 ? 2 : 1;
    for (int s = 0; s < N_COMPANY; s++) {
        for (int64_t i = 0; i < company->n[s]; i++) {
            company->ids[s][i] = golden->ids[s == 1 ? golden->n - 1 - i : (i + 3 * s) % golden->n];
        }
        company->alone[s] = golden_run_ids(engine, company->ids[s], company->n[s]);
    }
}

static void close_company(struct company *company) {
    for (int s = 0; s < N_COMPANY; s++) {
        free(company->alone[s]);
    }
}

/* Sequences in this order in one call: each gets what it got alone. The first token of each is fed before, so
 * that pasts differ too. */
static void expect_company(struct tfr_engine *engine, const struct company *company, const int *order, int n) {
    const int64_t vocab_size = tfr_engine_vocab_size(engine);
    struct tfr_feed feeds[N_COMPANY];
    for (int i = 0; i < n; i++) {
        const int s = order[i];
        const int64_t first = company->n[s] > 4 ? 3 : 0;
        struct tfr_session *session = golden_session(engine, company->n[s]);
        if (first > 0) {
            golden_feed(engine, session, company->ids[s], first, 0, NULL);
        }
        const int64_t left = company->n[s] - first;
        feeds[i] = (struct tfr_feed){.session = session, .ids = company->ids[s] + first, .n = left, .keep = left};
    }
    const float *logits;
    golden_check(tfr_engine_feed(engine, feeds, (size_t)n, &logits), "ragged feed");
    for (int i = 0; i < n; i++) {
        const int s = order[i];
        char what[64];
        snprintf(what, sizeof what, "sequence %d at place %d of %d", s, i, n);
        golden_same_bits(logits, company->alone[s] + (company->n[s] - feeds[i].n) * vocab_size, feeds[i].n * vocab_size, what);
        logits += feeds[i].n * vocab_size;
        tfr_session_close(feeds[i].session);
    }
}

static void check_company(const struct golden_case *golden, const struct golden_settings *settings) {
    static const int orders[][N_COMPANY] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}};
    struct tfr_engine *engine = golden_engine(golden, settings);
    struct company company;
    open_company(&company, engine, golden);
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        expect_company(engine, &company, orders[i], N_COMPANY);
        expect_company(engine, &company, orders[i], 2);
    }
    close_company(&company);
    tfr_engine_close(engine);
}

static void law_company(const struct golden_case *golden) {
    check_company(golden, NULL);
    const struct golden_settings bf16 = {{"runtime.dtype=bf16"}};
    check_company(golden, &bf16);
    const struct golden_settings cut = {{"runtime.max_rows=5"}}; /* steps end inside sequences */
    check_company(golden, &cut);
}

/* The same bits with each of the settings. */
static void expect_same(const struct golden_case *golden, const char *const *settings, const char *with) {
    const struct golden_settings plain = {{with}};
    float *first = golden_run(golden, &plain);
    for (; *settings != NULL; settings++) {
        if (!golden_can_run(*settings)) {
            continue;
        }
        const struct golden_settings changed = {{*settings, with}};
        float *other = golden_run(golden, &changed);
        golden_same_bits(first, other, golden->n * golden->vocab_size, *settings);
        free(other);
    }
    free(first);
}

static void law_threads(const struct golden_case *golden) {
    static const char *const counts[] = {"runtime.threads=1", "runtime.threads=2", "runtime.threads=3", NULL};
    expect_same(golden, counts, NULL);
    expect_same(golden, counts, "runtime.dtype=bf16");
}

static void law_rows(const struct golden_case *golden) {
    static const char *const sizes[] = {"runtime.max_rows=3", "runtime.max_rows=1", "runtime.max_rows=7", NULL};
    expect_same(golden, sizes, NULL);
    expect_same(golden, sizes, "runtime.dtype=bf16");
}

static void law_memory(const struct golden_case *golden) {
    static const char *const ways[] = {"runtime.hugepages=off", "runtime.bind=none", "runtime.bind=scatter",
                                       "runtime.max_batch=1",   "runtime.threads=1", "model.check_weights=true",
                                       "runtime.bind=compact",  "observe.log=error", NULL};
    expect_same(golden, ways, NULL);
    expect_same(golden, ways, "runtime.dtype=bf16");
}

/* The last k logits alone are the last k rows of all. */
static void law_keep(const struct golden_case *golden) {
    struct tfr_engine *engine = golden_engine(golden, NULL);
    float *whole = golden_run_ids(engine, golden->ids, golden->n);
    float *kept = golden_room(golden->n * golden->vocab_size);
    for (int64_t keep = 0; keep <= golden->n; keep++) {
        struct tfr_session *session = golden_session(engine, golden->n);
        golden_feed(engine, session, golden->ids, golden->n, keep, kept);
        char what[64];
        snprintf(what, sizeof what, "last %lld", (long long)keep);
        golden_same_bits(kept, whole + (golden->n - keep) * golden->vocab_size, keep * golden->vocab_size, what);
        tfr_session_close(session);
    }
    free(kept);
    free(whole);
    tfr_engine_close(engine);
}

static void expect_within(const struct golden_case *golden, const char *const *settings, double tolerance) {
    if (golden->logits == NULL) {
        golden_fail("%s has no golden.safetensors", golden->folder);
    }
    for (; *settings != NULL; settings++) {
        const struct golden_settings changed = {{*settings}};
        float *logits = golden_run(golden, &changed);
        golden_within(logits, golden->logits, golden->n * golden->vocab_size, tolerance, *settings);
        free(logits);
    }
}

static void law_bf16(const struct golden_case *golden) {
    static const char *const types[] = {"runtime.dtype=bf16", NULL};
    expect_within(golden, types, BF16_TOLERANCE);
}

/* A cached number is off by at most 1/254 of the largest of its vector (kv.h), so by 0.0023 of it as a root mean square and
 * about 0.006 of the vector's own: what 2 L sublayers add grows like a root of their number, to 2 % of the part of the
 * residual that came through attention, at most about half of it. Logits have deviations of about 2.5, so theirs is 0.025;
 * the largest of some thousands lies at four times that. Twice more for luck. Seen: up to 0.055. */
static const double INT8_TOLERANCE = 0.2;

static void law_int8(const struct golden_case *golden) {
    static const char *const types[] = {"runtime.kv_dtype=int8", NULL};
    expect_within(golden, types, INT8_TOLERANCE);
}

/* As INT8_TOLERANCE, of a number that is off by at most 2^-9 of itself, 2^-9 / sqrt(3) as a root mean square: 0.0011, half as much.
 */
static const double HALF_TOLERANCE = 0.1;

static void law_half(const struct golden_case *golden) {
    static const char *const types[] = {"runtime.kv_dtype=bf16", "runtime.kv_dtype=f16", NULL};
    expect_within(golden, types, HALF_TOLERANCE);
}

static void law_isa(const struct golden_case *golden) {
    static const char *const sets[] = {"runtime.isa=plain", "runtime.isa=avx2", "runtime.isa=avx512", "runtime.isa=auto", NULL};
    expect_within(golden, sets, GOLDEN_TOLERANCE);
}

static void law_kernels(const struct golden_case *golden) {
    static const char *const lists[] = {"runtime.kernels=ref",           "runtime.kernels=-onednn",
                                        "runtime.kernels=-gemv",         "runtime.kernels=-attention",
                                        "runtime.kernels=-layernorm",    "runtime.kernels=-pointwise",
                                        "runtime.kernels=-onednn,-gemv", "runtime.kernels=gemv",
                                        "runtime.kernels=onednn",        NULL};
    expect_within(golden, lists, GOLDEN_TOLERANCE);
}

/* A slot that held another sequence gives nothing of it away, and a second engine beside the first changes
 * nothing. */
static void law_reuse(const struct golden_case *golden) {
    struct tfr_engine *engine = golden_engine(golden, NULL), *beside = golden_engine(golden, NULL);
    float *first = golden_run_ids(engine, golden->ids, golden->n);
    int32_t backwards[MAX_GOLDEN_TOKENS];
    for (int64_t i = 0; i < golden->n; i++) {
        backwards[i] = golden->ids[golden->n - 1 - i];
    }
    free(golden_run_ids(engine, backwards, golden->n));
    float *again = golden_run_ids(engine, golden->ids, golden->n), *other = golden_run_ids(beside, golden->ids, golden->n);
    golden_same_bits(first, again, golden->n * golden->vocab_size, "after another sequence");
    golden_same_bits(first, other, golden->n * golden->vocab_size, "in a second engine");
    free(first);
    free(again);
    free(other);
    tfr_engine_close(engine);
    tfr_engine_close(beside);
}

static void expect_refused(struct tfr_engine *engine, struct tfr_feed feed, const char *words) {
    const float *logits;
    const int64_t length = tfr_session_length(feed.session);
    const enum tfr_status status = tfr_engine_feed(engine, &feed, 1, &logits);
    if (status != TFR_USAGE || strstr(tfr_last_error(), words) == NULL) {
        golden_fail("status %d and \"%s\" where \"%s\" was expected", (int)status, tfr_last_error(), words);
    }
    if (tfr_session_length(feed.session) != length) {
        golden_fail("a refused feed moved the session");
    }
}

/* What a caller can ask wrongly is refused with a sentence, and leaves the session as it was. */
static void law_refusal(const struct golden_case *golden) {
    struct tfr_engine *engine = golden_engine(golden, NULL);
    float *whole = golden_run_ids(engine, golden->ids, golden->n);
    float *logits = golden_room(golden->n * golden->vocab_size);
    struct tfr_session *session = golden_session(engine, golden->n);
    const int64_t half = golden->n / 2 + 1;
    int32_t ids[MAX_GOLDEN_TOKENS + 1];
    memcpy(ids, golden->ids, sizeof golden->ids);
    golden_feed(engine, session, golden->ids, half, half, logits);
    ids[0] = (int32_t)golden->vocab_size;
    expect_refused(engine, (struct tfr_feed){.session = session, .ids = ids, .n = 1, .keep = 1}, "is outside 0..");
    ids[0] = -1;
    expect_refused(engine, (struct tfr_feed){.session = session, .ids = ids, .n = 1, .keep = 1}, "is outside 0..");
    ids[0] = 0;
    expect_refused(engine, (struct tfr_feed){.session = session, .ids = ids, .n = 0, .keep = 0}, "at least one token");
    expect_refused(engine, (struct tfr_feed){.session = session, .ids = ids, .n = 1, .keep = 2}, "at most as many logits");
    expect_refused(engine, (struct tfr_feed){.session = session, .ids = ids, .n = golden->n, .keep = 1}, "exceed its");
    golden_feed(engine, session, golden->ids + half, golden->n - half, golden->n - half, logits + half * golden->vocab_size);
    golden_same_bits(logits, whole, golden->n * golden->vocab_size, "after refusals");
    struct tfr_session *none;
    if (tfr_session_open(&none, engine, tfr_engine_n_positions(engine) + 1) != TFR_USAGE || none != NULL) {
        golden_fail("a session longer than n_positions was opened");
    }
    tfr_session_close(session);
    free(logits);
    free(whole);
    tfr_engine_close(engine);
}

static void check_golden(const struct golden_case *golden) {
    static const char *const defaults[] = {"runtime.dtype=f32", NULL};
    expect_within(golden, defaults, GOLDEN_TOLERANCE);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*check)(const struct golden_case *golden);
    } checks[] = {
        {"golden", check_golden}, {"split", law_split},     {"company", law_company}, {"threads", law_threads}, {"rows", law_rows},
        {"memory", law_memory},   {"keep", law_keep},       {"bf16", law_bf16},       {"int8", law_int8},       {"half", law_half},
        {"isa", law_isa},         {"kernels", law_kernels}, {"reuse", law_reuse},     {"refusal", law_refusal},
    };
    if (argc != 3) {
        golden_fail("usage: test_golden FOLDER golden|LAW");
    }
    struct golden_case golden;
    golden_read(&golden, argv[1]);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (strcmp(checks[i].name, argv[2]) == 0) {
            checks[i].check(&golden);
            golden_free(&golden);
            return 0;
        }
    }
    golden_fail("%s is no law", argv[2]);
}

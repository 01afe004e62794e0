/* test_determinism.c - `test_determinism FOLDER DTYPE LAW [SETTING]`: one line of docs/determinism.md, with
 * `runtime.kernels=...` or the like if a SETTING is given.
 *
 * Every law compares bits of whole rows of logits over the public interface. What needs a launcher (ranks) is
 * in tests/app/check_ranks.py; tolerances against Hugging Face are in test_golden.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden_case.h"

enum { STEPS_OF_A_LONG_ONE = 3 };

/* What one test works with. */
struct law {
    const struct golden_case *golden;
    const char *dtype;   /* "runtime.dtype=..." */
    const char *setting; /* NULL: none */
};

static struct tfr_engine *open_engine(const struct law *law, const char *setting) {
    struct golden_settings settings = {{law->dtype}};
    int n = 1;
    if (law->setting != NULL) {
        settings.text[n++] = law->setting;
    }
    settings.text[n] = setting;
    return golden_engine(law->golden, &settings);
}

static void expect_rows(const struct law *law, const float *have, const float *want, int64_t n, const char *what) {
    golden_same_bits(have, want, n * law->golden->vocab_size, what);
}

/* `prefill` tokens at once, `steps` one by one, what is left at once: all logits; free() them. */
static float *run_cut(const struct law *law, struct tfr_engine *engine, int64_t prefill, int64_t steps) {
    const struct golden_case *golden = law->golden;
    float *logits = golden_room(golden->n * golden->vocab_size);
    struct tfr_session *session = golden_session(engine, golden->n);
    int64_t done = 0;
    while (done < golden->n) {
        const int64_t left = golden->n - done, piece = done == 0 ? prefill : done < prefill + steps ? 1 : left;
        golden_feed(engine, session, golden->ids + done, piece, piece, logits + done * golden->vocab_size);
        done += piece;
    }
    tfr_session_close(session);
    return logits;
}

static void expect_cut(const struct law *law, struct tfr_engine *engine, int64_t prefill, int64_t steps, const float *whole) {
    char what[96];
    snprintf(what, sizeof what, "%lld tokens, %lld steps, the rest", (long long)prefill, (long long)steps);
    float *cut = run_cut(law, engine, prefill, steps);
    expect_rows(law, cut, whole, law->golden->n, what);
    free(cut);
}

/* Every position between prefill and what follows from the cache, in one piece and in steps. */
static void law_split(const struct law *law) {
    const int64_t n = law->golden->n;
    struct tfr_engine *engine = open_engine(law, NULL);
    float *whole = golden_run_ids(engine, law->golden->ids, n);
    for (int64_t at = 1; at < n; at++) {
        expect_cut(law, engine, at, 0, whole);
        expect_cut(law, engine, at, n > 40 ? STEPS_OF_A_LONG_ONE : n - at, whole);
    }
    expect_cut(law, engine, 1, n - 1, whole);
    free(whole);
    tfr_engine_close(engine);
}

/* The last k logits alone are the last k rows of all, for every k. */
static void law_keep(const struct law *law) {
    const struct golden_case *golden = law->golden;
    struct tfr_engine *engine = open_engine(law, NULL);
    float *whole = golden_run_ids(engine, golden->ids, golden->n);
    float *kept = golden_room(golden->n * golden->vocab_size);
    for (int64_t keep = 0; keep <= golden->n; keep++) {
        struct tfr_session *session = golden_session(engine, golden->n);
        golden_feed(engine, session, golden->ids, golden->n, keep, kept);
        char what[64];
        snprintf(what, sizeof what, "last %lld", (long long)keep);
        expect_rows(law, kept, whole + (golden->n - keep) * golden->vocab_size, keep, what);
        tfr_session_close(session);
    }
    free(kept);
    free(whole);
    tfr_engine_close(engine);
}

/* 1, 2 and 4 threads, for many rows and for single ones. */
static void law_threads(const struct law *law) {
    static const char *const counts[] = {"runtime.threads=1", "runtime.threads=2", "runtime.threads=4"};
    float *first = NULL;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct tfr_engine *engine = open_engine(law, counts[i]);
        float *whole = golden_run_ids(engine, law->golden->ids, law->golden->n);
        expect_rows(law, whole, first != NULL ? first : whole, law->golden->n, counts[i]);
        expect_cut(law, engine, law->golden->n / 2 + 1, law->golden->n, whole);
        tfr_engine_close(engine);
        free(first != NULL ? whole : NULL);
        first = first != NULL ? first : whole;
    }
    free(first);
}

/* Pieces of a long feed: the largest step changes nothing. */
static void law_rows(const struct law *law) {
    static const char *const sizes[] = {"runtime.max_rows=1", "runtime.max_rows=3", "runtime.max_rows=16", "runtime.max_rows=40",
                                        "runtime.max_rows=512"};
    float *first = NULL;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct tfr_engine *engine = open_engine(law, sizes[i]);
        float *whole = golden_run_ids(engine, law->golden->ids, law->golden->n);
        expect_rows(law, whole, first != NULL ? first : whole, law->golden->n, sizes[i]);
        tfr_engine_close(engine);
        free(first != NULL ? whole : NULL);
        first = first != NULL ? first : whole;
    }
    free(first);
}

/* Hundreds of rows at once, where kernels for many rows work, in pieces of other sizes, and single steps. */
static void law_long(const struct law *law) {
    enum { MAX_LONG = 400, TAIL = 6 };
    static const int64_t pieces[] = {13, 150, 257, MAX_LONG - TAIL};
    struct tfr_engine *engine = open_engine(law, NULL);
    const int64_t vocab_size = tfr_engine_vocab_size(engine), most = tfr_engine_n_positions(engine);
    const int64_t n = most < MAX_LONG ? most : MAX_LONG;
    int32_t ids[MAX_LONG];
    for (int64_t i = 0; i < n; i++) {
        ids[i] = (int32_t)((i * i * 31 + i * 17 + law->golden->ids[i % law->golden->n]) % vocab_size);
    }
    float *whole = golden_run_ids(engine, ids, n), *cut = golden_room(n * vocab_size);
    for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
        struct tfr_session *session = golden_session(engine, n);
        for (int64_t done = 0, piece; done < n; done += piece) {
            const int64_t left = n - done;
            piece = left <= TAIL ? 1 : left - TAIL < pieces[p] ? left - TAIL : pieces[p];
            golden_feed(engine, session, ids + done, piece, piece, cut + done * vocab_size);
        }
        char what[64];
        snprintf(what, sizeof what, "pieces of %lld", (long long)pieces[p]);
        golden_same_bits(cut, whole, n * vocab_size, what);
        tfr_session_close(session);
    }
    free(cut);
    free(whole);
    tfr_engine_close(engine);
}

/* Sequence s of a batch: the case's ids turned by s places, shorter with s, with `past` tokens fed before. */
enum { MAX_COMPANY = 5 };
struct member {
    int32_t ids[MAX_GOLDEN_TOKENS];
    int64_t n, past;
    float *alone;
};

static void make_member(const struct law *law, struct tfr_engine *engine, struct member *member, int s) {
    const struct golden_case *golden = law->golden;
    member->n = golden->n / (s + 1) > 1 ? golden->n / (s + 1) : 1;
    member->past = s == 1 ? member->n - 1 : s * 2 < member->n ? s * 2 : 0;
    for (int64_t i = 0; i < member->n; i++) {
        member->ids[i] = golden->ids[(i + 7 * s) % golden->n];
    }
    member->alone = golden_run_ids(engine, member->ids, member->n);
}

/* Members in this order in one call; each row has the bits that it has alone. */
static void expect_together(const struct law *law, struct tfr_engine *engine, const struct member *members, const int *order,
                            int n) {
    struct tfr_feed feeds[MAX_COMPANY];
    for (int i = 0; i < n; i++) {
        const struct member *member = &members[order[i]];
        struct tfr_session *session = golden_session(engine, member->n);
        if (member->past > 0) {
            golden_feed(engine, session, member->ids, member->past, 0, NULL);
        }
        const int64_t left = member->n - member->past;
        feeds[i] = (struct tfr_feed){session, member->ids + member->past, left, left};
    }
    const float *logits;
    golden_check(tfr_engine_feed(engine, feeds, (size_t)n, &logits), "feed");
    for (int i = 0; i < n; i++) {
        const struct member *member = &members[order[i]];
        char what[64];
        snprintf(what, sizeof what, "sequence %d at place %d of %d", order[i], i, n);
        expect_rows(law, logits, member->alone + member->past * law->golden->vocab_size, feeds[i].n, what);
        logits += feeds[i].n * law->golden->vocab_size;
        tfr_session_close(feeds[i].session);
    }
}

static void check_company(const struct law *law, const char *setting, int smallest) {
    static const int orders[][MAX_COMPANY] = {{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 0, 4, 1, 3}, {1, 4, 0, 3, 2}, {3, 2, 1, 0, 4}};
    struct member members[MAX_COMPANY];
    struct tfr_engine *engine = open_engine(law, setting);
    for (int s = 0; s < MAX_COMPANY; s++) {
        make_member(law, engine, &members[s], s);
    }
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        for (int n = smallest; n <= MAX_COMPANY; n++) {
            expect_together(law, engine, members, orders[i], n);
        }
    }
    for (int s = 0; s < MAX_COMPANY; s++) {
        free(members[s].alone);
    }
    tfr_engine_close(engine);
}

static void law_company(const struct law *law) {
    check_company(law, NULL, 2);
    check_company(law, "runtime.max_rows=5", MAX_COMPANY); /* steps end inside sequences */
}

/* The same calls again, in slots that held another sequence, and in a second engine. */
static void check_again(const struct law *law, const char *setting) {
    struct tfr_engine *engine = open_engine(law, setting), *beside = open_engine(law, setting);
    for (int64_t prefill = 1; prefill <= law->golden->n; prefill += law->golden->n / 3 + 1) {
        float *first = run_cut(law, engine, prefill, 3);
        int32_t backwards[MAX_GOLDEN_TOKENS];
        for (int64_t i = 0; i < law->golden->n; i++) {
            backwards[i] = law->golden->ids[law->golden->n - 1 - i];
        }
        free(golden_run_ids(engine, backwards, law->golden->n));
        float *again = run_cut(law, engine, prefill, 3), *other = run_cut(law, beside, prefill, 3);
        expect_rows(law, again, first, law->golden->n, "again");
        expect_rows(law, other, first, law->golden->n, "in a second engine");
        free(first);
        free(again);
        free(other);
    }
    tfr_engine_close(engine);
    tfr_engine_close(beside);
}

/* A cache whose memory is there from the start, and one that ends where the sequence does, give what a growing one gives. */
static void law_static(const struct law *law) {
    char capacity[64];
    snprintf(capacity, sizeof capacity, "runtime.kv_capacity=%lld", (long long)law->golden->n);
    struct tfr_engine *growing = open_engine(law, "runtime.kv_cache=growing");
    float *whole = golden_run_ids(growing, law->golden->ids, law->golden->n);
    tfr_engine_close(growing);
    const char *const others[] = {"runtime.kv_cache=static", capacity};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct tfr_engine *engine = open_engine(law, others[i]);
        for (int64_t at = 1; at < law->golden->n; at += law->golden->n / 3 + 1) {
            expect_cut(law, engine, at, 3, whole);
        }
        struct tfr_session *longer;
        if (i == 1 && tfr_session_open(&longer, engine, law->golden->n + 1) != TFR_USAGE) {
            golden_fail("a session beyond runtime.kv_capacity was opened");
        }
        tfr_engine_close(engine);
    }
    free(whole);
}

static void law_reuse(const struct law *law) {
    check_again(law, NULL);
}

/* Without deterministic mode this is what is left, for engines that see the same cores: one that is opened while another
 * has pinned the calling thread sees a single one, and may plan otherwise. */
static void law_repeat(const struct law *law) {
    const struct law unbound = {law->golden, law->dtype, "runtime.bind=none"};
    check_again(&unbound, "runtime.deterministic=false");
}

/* bf16: 8 bits are left of each factor. Where rows of x are rounded to whole numbers, a last bit that differs before the rounding
 * may take one of them to its neighbour: a step is 1/254 of the row's range, about what bf16 leaves. */
static double free_bound(const char *dtype) {
    return strstr(dtype, "=f32") != NULL ? 6e-5 : 0.2;
}

/* ... and the numbers stay those of the deterministic mode but for rounding. */
static void law_free(const struct law *law) {
    const int64_t count = law->golden->n * law->golden->vocab_size;
    struct tfr_engine *kept = open_engine(law, NULL);
    struct tfr_engine *free_one = open_engine(law, "runtime.deterministic=false");
    float *want = golden_run_ids(kept, law->golden->ids, law->golden->n);
    float *have = golden_run_ids(free_one, law->golden->ids, law->golden->n);
    golden_within(have, want, count, free_bound(law->dtype), "deterministic=false");
    free(want);
    free(have);
    tfr_engine_close(kept);
    tfr_engine_close(free_one);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*check)(const struct law *law);
    } laws[] = {{"split", law_split}, {"company", law_company}, {"keep", law_keep},     {"threads", law_threads},
                {"rows", law_rows},   {"reuse", law_reuse},     {"repeat", law_repeat}, {"free", law_free},
                {"long", law_long},   {"static", law_static}};
    if (argc != 4 && argc != 5) {
        golden_fail("usage: test_determinism FOLDER DTYPE LAW [SETTING]");
    }
    struct golden_case golden;
    char dtype[64];
    if (!golden_can_run(argv[4])) { /* NULL where there is none */
        printf("this CPU cannot run %s: nothing to test\n", argv[4]);
        return 0;
    }
    golden_read(&golden, argv[1]);
    snprintf(dtype, sizeof dtype, "runtime.dtype=%s", argv[2]);
    const struct law law = {&golden, dtype, argv[4]};
    for (size_t i = 0; i < sizeof laws / sizeof laws[0]; i++) {
        if (strcmp(laws[i].name, argv[3]) == 0) {
            laws[i].check(&law);
            golden_free(&golden);
            return 0;
        }
    }
    golden_fail("no law is called %s", argv[3]);
    return 1;
}

/* test_score.c - `test_score FOLDER CASE`: tfr_score against log-softmax of the float64 logits of a golden
 * case, and what must not change a bit of it: how many tokens count, the company, the sizes of steps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden_case.h"

enum { MAX_ITEMS = MAX_GOLDEN_TOKENS * 3 };
/* Twice what a logit may be off (test_golden.c). */
static const double TOLERANCE = 6e-5;

static void expect(bool truth, const char *what) {
    if (!truth) {
        golden_fail("%s", what);
    }
}

static double reference_logprob(const float *logits, int64_t n, int32_t id) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += exp((double)logits[i]);
    }
    return (double)logits[id] - log(sum);
}

static void score_is_log_softmax_of_the_reference(const struct golden_case *golden) {
    struct tfr_engine *engine = golden_engine(golden, &(struct golden_settings){{NULL}});
    const struct tfr_score_item item = {.ids = golden->ids, .n = (size_t)golden->n, .n_context = 1};
    struct tfr_score score;
    double sum = 0;
    golden_check(tfr_score(engine, &item, 1, &score), "score");
    expect((int64_t)score.n_tokens == golden->n - 1, "all tokens but the first have a score");
    for (size_t i = 0; i < score.n_tokens; i++) {
        const float *row = golden->logits + (int64_t)i * golden->vocab_size;
        const struct tfr_token_score *token = &score.tokens[i];
        sum += token->logprob;
        expect(token->id == golden->ids[i + 1], "scores stand in the order of the tokens");
        expect(fabs(token->logprob - reference_logprob(row, golden->vocab_size, token->id)) < TOLERANCE, "logprob");
        expect(fabs(token->best_logprob - reference_logprob(row, golden->vocab_size, token->best_id)) < TOLERANCE, "best_logprob");
        for (int64_t id = 0; id < golden->vocab_size; id++) {
            expect(row[id] < row[token->best_id] + TOLERANCE, "best_id is the first choice");
        }
    }
    expect(sum == score.logprob, "logprob is the sum in order");
    tfr_score_free(&score);
    tfr_engine_close(engine);
}

/* Every third start, several lengths, several contexts; some count nothing. */
static size_t make_items(const struct golden_case *golden, struct tfr_score_item *items) {
    size_t n = 0;
    for (int64_t start = 0; start < golden->n; start += 3) {
        const size_t length = (size_t)(golden->n - start);
        items[n++] = (struct tfr_score_item){.ids = golden->ids + start, .n = length, .n_context = 1 + length / 2};
        items[n++] = (struct tfr_score_item){.ids = golden->ids + start, .n = length, .n_context = length};
        items[n++] = (struct tfr_score_item){.ids = golden->ids + start, .n = 1 + length / 3, .n_context = 1};
    }
    return n;
}

static void expect_same_score(const struct tfr_score *have, const struct tfr_score *want) {
    expect(have->n_tokens == want->n_tokens && have->logprob == want->logprob && have->is_greedy == want->is_greedy, "score");
    for (size_t i = 0; i < have->n_tokens; i++) {
        const struct tfr_token_score *a = &have->tokens[i], *b = &want->tokens[i];
        expect(a->logprob == b->logprob && a->best_logprob == b->best_logprob && a->id == b->id && a->best_id == b->best_id,
               "token");
    }
}

static void company_and_steps_do_not_change_a_bit(const struct golden_case *golden) {
    static const struct golden_settings settings[] = {{{NULL}},
                                                      {{"runtime.max_rows=1"}},
                                                      {{"runtime.max_rows=5", "runtime.max_batch=2"}},
                                                      {{"runtime.max_batch=1"}},
                                                      {{"runtime.threads=3", "runtime.max_rows=13"}}};
    static struct tfr_score_item items[MAX_ITEMS];
    static struct tfr_score alone[MAX_ITEMS], together[MAX_ITEMS];
    const size_t n = make_items(golden, items);
    struct tfr_engine *engine = golden_engine(golden, &settings[0]);
    for (size_t i = 0; i < n; i++) {
        golden_check(tfr_score(engine, &items[i], 1, &alone[i]), "score alone");
        expect(alone[i].n_tokens == items[i].n - items[i].n_context, "the tokens after the context count");
    }
    tfr_engine_close(engine);
    for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
        engine = golden_engine(golden, &settings[s]);
        golden_check(tfr_score(engine, items, n, together), "score together");
        for (size_t i = 0; i < n; i++) {
            expect_same_score(&together[i], &alone[i]);
            tfr_score_free(&together[i]);
        }
        tfr_engine_close(engine);
    }
    for (size_t i = 0; i < n; i++) {
        tfr_score_free(&alone[i]);
    }
}

static void context_only_hides_scores(const struct golden_case *golden) {
    struct tfr_engine *engine = golden_engine(golden, &(struct golden_settings){{"runtime.max_rows=4"}});
    struct tfr_score whole, part;
    const struct tfr_score_item all = {.ids = golden->ids, .n = (size_t)golden->n, .n_context = 1};
    golden_check(tfr_score(engine, &all, 1, &whole), "score");
    for (size_t n_context = 1; n_context <= all.n; n_context++) {
        const struct tfr_score_item item = {.ids = all.ids, .n = all.n, .n_context = n_context};
        golden_check(tfr_score(engine, &item, 1, &part), "score with context");
        expect(part.n_tokens == all.n - n_context, "number of scores");
        for (size_t i = 0; i < part.n_tokens; i++) {
            expect(part.tokens[i].logprob == whole.tokens[n_context - 1 + i].logprob, "a token's score");
        }
        tfr_score_free(&part);
    }
    tfr_score_free(&whole);
    tfr_engine_close(engine);
}

static void expect_refused(struct tfr_engine *engine, struct tfr_score_item item, const char *words) {
    struct tfr_score score;
    expect(tfr_score(engine, &item, 1, &score) == TFR_USAGE, "exit code of a bad item");
    expect(score.tokens == NULL, "a failure gives nothing away");
    if (strstr(tfr_last_error(), words) == NULL) {
        golden_fail("\"%s\" lacks \"%s\"", tfr_last_error(), words);
    }
}

static void bad_items_are_named(const struct golden_case *golden) {
    struct tfr_engine *engine = golden_engine(golden, &(struct golden_settings){{NULL}});
    const size_t limit = (size_t)tfr_engine_n_positions(engine) + 1;
    int32_t *ids = calloc(limit + 1, sizeof *ids);
    struct tfr_score score;
    expect(ids != NULL, "memory");
    expect_refused(engine, (struct tfr_score_item){.ids = ids, .n = 3, .n_context = 0}, "context");
    expect_refused(engine, (struct tfr_score_item){.ids = ids, .n = 3, .n_context = 4}, "context");
    expect_refused(engine, (struct tfr_score_item){.ids = ids, .n = 0, .n_context = 0}, "at least one token");
    expect_refused(engine, (struct tfr_score_item){.ids = ids, .n = limit + 1, .n_context = 1}, "n_positions + 1");
    const struct tfr_score_item longest = {.ids = ids, .n = limit, .n_context = 1};
    golden_check(tfr_score(engine, &longest, 1, &score), "n_positions + 1 tokens");
    expect(score.n_tokens == limit - 1, "the last of n_positions + 1 tokens has a score");
    tfr_score_free(&score);
    ids[2] = (int32_t)golden->vocab_size;
    expect_refused(engine, (struct tfr_score_item){.ids = ids, .n = 3, .n_context = 1}, "at position 2");
    free(ids);
    tfr_engine_close(engine);
}

static void a_request_to_stop_is_served_once(const struct golden_case *golden) {
    struct tfr_engine *engine = golden_engine(golden, &(struct golden_settings){{NULL}});
    const struct tfr_score_item item = {.ids = golden->ids, .n = (size_t)golden->n, .n_context = 1};
    struct tfr_score score;
    tfr_engine_cancel();
    expect(tfr_score(engine, &item, 1, &score) == TFR_CANCELLED, "cancelled");
    golden_check(tfr_score(engine, &item, 1, &score), "after a request that was served");
    tfr_score_free(&score);
    tfr_engine_close(engine);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(const struct golden_case *golden);
    } cases[] = {{"reference", score_is_log_softmax_of_the_reference},
                 {"company", company_and_steps_do_not_change_a_bit},
                 {"context", context_only_hides_scores},
                 {"refusal", bad_items_are_named},
                 {"cancel", a_request_to_stop_is_served_once}};
    struct golden_case golden;
    if (argc != 3) {
        golden_fail("usage: test_score FOLDER CASE");
    }
    golden_read(&golden, argv[1]);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (strcmp(argv[2], cases[i].name) == 0) {
            cases[i].run(&golden);
            golden_free(&golden);
            return 0;
        }
    }
    golden_fail("no case %s", argv[2]);
    return 1;
}

/* test_assist.c - assisted sampling has the model's own distribution: the one decision by itself, then whole generations of a tiny
 * model whose drafts come from another one or from the prompt. */
#include "tfr_test.h"

#include <math.h>

#include "base/rng.h"
#include "base/status.h"
#include "generation/assist.h"
#include "generation/params.h"
#include "generation/sampler.h"
#include "rank/rank.h"

#define GOLDEN TFR_SOURCE_DIR "/tests/model/golden/"

enum { N = 6, V = 61 };

static double chi_square(const int64_t *count, const float *p, int n, double total) {
    double chi2 = 0;
    for (int i = 0; i < n; i++) {
        const double expected = (double)p[i] * total;
        chi2 += expected > 0 ? ((double)count[i] - expected) * ((double)count[i] - expected) / expected : (double)count[i] * 1e9;
    }
    return chi2;
}

static void check_decision(const float *p, const float *q) {
    enum { DRAWS = 100000 };
    int64_t count[N] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) {
        float left[N];
        memcpy(left, p, sizeof left);
        const int32_t draft = q != NULL ? tfr_draw(q, N, tfr_philox_uniform(1, 0, i)) : 2;
        count[tfr_assist_choose(left, q, N, draft, tfr_philox_uniform(1, 1, i), tfr_philox_uniform(1, 2, i))]++;
    }
    assert_true(chi_square(count, p, N, DRAWS) < 20.5); /* 5 degrees of freedom: one in a thousand */
}

TFR_TEST(the_decision_gives_p_whatever_q_drafted) {
    TFR_UNUSED_STATE;
    const float p[N] = {0.4f, 0.3f, 0.1f, 0.1f, 0.05f, 0.05f}, q[N] = {0.05f, 0.05f, 0.6f, 0.1f, 0.1f, 0.1f};
    check_decision(p, q);
    check_decision(q, p);
    check_decision(p, p);
    check_decision(p, NULL);
}

static struct tfr_engine *open_engine(const struct tfr_override *extra) {
    const struct tfr_override overrides[] = {{"sampling.max_tokens", "3", "the test"},  {"sampling.ignore_eos", "true", "the test"},
                                             {"sampling.temperature", "3", "the test"}, {"sampling.top_k", "12", "the test"},
                                             {"runtime.threads", "1", "the test"},      *extra};
    struct tfr_engine *engine;
    assert_ok(tfr_engine_open(&engine, GOLDEN "base", overrides, sizeof overrides / sizeof overrides[0]));
    return engine;
}

/* How often each token comes at each of the three places, over many seeds. */
static void count_tokens(struct tfr_engine *engine, int n_seeds, int64_t count[3][V]) {
    static const int32_t ids[] = {5, 9, 5, 9, 5};
    const struct tfr_prompt prompt = {.ids = ids, .n_ids = sizeof ids / sizeof ids[0]};
    memset(count, 0, 3 * sizeof *count);
    for (int seed = 0; seed < n_seeds; seed++) {
        struct tfr_generation result;
        struct tfr_generation_stats stats;
        engine->params->seed = seed;
        assert_ok(tfr_generate(engine, &prompt, 1, NULL, NULL, &result, &stats));
        for (size_t i = 0; i < 3; i++) {
            count[i][result.ids[i]]++;
        }
        tfr_generation_free(&result);
    }
}

/* Two samples of one distribution: sum of (a - b)^2 / (a + b) over at most V tokens. 100 is passed by chance less than once in a
 * thousand; seeds are fixed, so this cannot flicker. */
static void expect_same_distribution(const struct tfr_override *extra) {
    enum { SEEDS = 1500 };
    static const struct tfr_override none = {"runtime.max_batch", "16", "the test"};
    int64_t plain[3][V], assisted[3][V];
    struct tfr_engine *engine = open_engine(&none);
    count_tokens(engine, SEEDS, plain);
    tfr_engine_close(engine);
    engine = open_engine(extra);
    count_tokens(engine, SEEDS, assisted);
    tfr_engine_close(engine);
    for (int place = 0; place < 3; place++) {
        double chi2 = 0;
        for (int i = 0; i < V; i++) {
            const double a = (double)plain[place][i], b = (double)assisted[place][i];
            chi2 += a + b > 0 ? (a - b) * (a - b) / (a + b) : 0;
        }
        if (chi2 > 100) {
            fail_msg("place %d: chi-square %.1f", place, chi2);
        }
    }
}

TFR_TEST(a_draft_model_leaves_the_distribution_as_it_is) {
    TFR_UNUSED_STATE;
    const struct tfr_override assistant = {"sampling.assistant", GOLDEN "one_head", "the test"};
    expect_same_distribution(&assistant);
}

TFR_TEST(prompt_lookup_leaves_the_distribution_as_it_is) {
    TFR_UNUSED_STATE;
    const struct tfr_override lookup = {"sampling.prompt_lookup", "3", "the test"};
    expect_same_distribution(&lookup);
}

TFR_TEST(an_assistant_of_another_vocabulary_is_refused) {
    TFR_UNUSED_STATE;
    const struct tfr_override overrides[] = {{"sampling.assistant", GOLDEN "vocab_65", "the test"}};
    struct tfr_engine *engine;
    assert_refused(tfr_engine_open(&engine, GOLDEN "base", overrides, 1), TFR_MODEL, "drafts need one vocabulary");
}

TFR_TEST_MAIN(TFR_CASE(the_decision_gives_p_whatever_q_drafted), TFR_CASE(a_draft_model_leaves_the_distribution_as_it_is),
              TFR_CASE(prompt_lookup_leaves_the_distribution_as_it_is), TFR_CASE(an_assistant_of_another_vocabulary_is_refused))

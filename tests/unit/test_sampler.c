/* test_sampler.c - greedy ties, the filters' sets by hand-computed cases, and the draw against its distribution. */
#include "tfr_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/status.h"
#include "generation/sampler.h"

enum { N = 6 };

static const struct tfr_score_row no_row = {.n = 0};

/* How many tokens the pipeline leaves. */
static int64_t filter(double temperature, int64_t top_k, double top_p, const float *logits, struct tfr_sampler *sampler) {
    static struct tfr_pipeline pipeline;
    pipeline = tfr_pipeline_neutral();
    pipeline.do_sample = true;
    pipeline.temperature = temperature;
    pipeline.top_k = top_k;
    pipeline.top_p = top_p;
    assert_ok(tfr_sampler_open(sampler, &pipeline, 1, N));
    assert_ok(tfr_sampler_score(sampler, &no_row, logits));
    int64_t left = 0;
    for (int i = 0; i < N; i++) {
        left += sampler->scores[i] != -INFINITY;
    }
    return left;
}

TFR_TEST(greedy_takes_the_lowest_id_among_ties) {
    TFR_UNUSED_STATE;
    const float logits[N] = {1, 3, 2, 3, 3, 0};
    const struct tfr_pipeline pipeline = tfr_pipeline_neutral();
    struct tfr_sampler sampler;
    int32_t id;
    assert_ok(tfr_sampler_open(&sampler, &pipeline, 0, N));
    assert_ok(tfr_sampler_next(&sampler, &no_row, logits, 0, &id));
    assert_int_equal(id, 1);
    tfr_sampler_close(&sampler);
}

TFR_TEST(nan_is_refused_by_position) {
    TFR_UNUSED_STATE;
    const float logits[N] = {1, 3, NAN, 3, 3, 0};
    const struct tfr_pipeline pipeline = tfr_pipeline_neutral();
    const struct tfr_score_row row = {.n = 17};
    struct tfr_sampler sampler;
    int32_t id;
    assert_ok(tfr_sampler_open(&sampler, &pipeline, 0, N));
    assert_refused(tfr_sampler_next(&sampler, &row, logits, 0, &id), TFR_CHECK, "position 17");
    tfr_sampler_close(&sampler);
}

TFR_TEST(infinity_is_refused_where_it_would_be_drawn_from) {
    TFR_UNUSED_STATE;
    const float logits[N] = {1, 3, INFINITY, 3, 3, 0};
    struct tfr_pipeline pipeline = tfr_pipeline_neutral();
    struct tfr_sampler sampler;
    int32_t id;
    pipeline.do_sample = true;
    pipeline.temperature = 1;
    assert_ok(tfr_sampler_open(&sampler, &pipeline, 0, N));
    assert_refused(tfr_sampler_next(&sampler, &no_row, logits, 0, &id), TFR_CHECK, "infinity");
    tfr_sampler_close(&sampler);
}

TFR_TEST(bans_of_every_token_are_refused) {
    TFR_UNUSED_STATE;
    const float logits[N] = {1, 3, 2, 3, 3, 0};
    int32_t all[N] = {0, 1, 2, 3, 4, 5}, id;
    struct tfr_pipeline pipeline = tfr_pipeline_neutral();
    struct tfr_sampler sampler;
    pipeline.suppress = (struct tfr_id_list){.ids = all, .n = N};
    assert_ok(tfr_sampler_open(&sampler, &pipeline, 0, N));
    assert_refused(tfr_sampler_next(&sampler, &no_row, logits, 0, &id), TFR_CONFIG, "no token is left");
    tfr_sampler_close(&sampler);
}

/* Each that takes part is named, in the order of the pipeline; those that only change scores, or could not take effect, are not. */
TFR_TEST(bans_of_every_token_name_their_settings) {
    TFR_UNUSED_STATE;
    const float logits[N] = {1, 3, 2, 3, 3, 0};
    int32_t low[] = {0, 1, 2}, stop[] = {5}, said[] = {3, 4}, id;
    struct tfr_pipeline pipeline = tfr_pipeline_neutral();
    const struct tfr_score_row row = {.ids = said, .n = 2, .n_prompt = 2, .max_length = 9};
    struct tfr_sampler sampler;
    pipeline.suppress = (struct tfr_id_list){.ids = low, .n = 3};
    pipeline.stop_ids = (struct tfr_id_list){.ids = stop, .n = 1};
    pipeline.min_tokens = 1;
    pipeline.no_repeat_ngram_size = 1;
    pipeline.repetition_penalty = 2;
    pipeline.renormalize = true;
    assert_ok(tfr_sampler_open(&sampler, &pipeline, 0, N));
    assert_refused(tfr_sampler_next(&sampler, &row, logits, 0, &id), TFR_CONFIG,
                   "position 2: none gets past sampling.no_repeat_ngram_size, sampling.min_tokens, sampling.suppress_tokens");
    assert_string_equal(strrchr(tfr_failure_text(), ' '), " sampling.suppress_tokens");
    pipeline.remove_invalid_values = true; /* what was banned before it may come again */
    tfr_sampler_use(&sampler, &pipeline, 0);
    assert_ok(tfr_sampler_next(&sampler, &row, logits, 0, &id));
    assert_int_equal(id, 3);
    tfr_sampler_close(&sampler);
}

TFR_TEST(scores_that_are_no_numbers_are_no_bans) {
    TFR_UNUSED_STATE;
    const float logits[N] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    const struct tfr_pipeline pipeline = {.forced_bos = -1,
                                          .repetition_penalty = 1,
                                          .decay_factor = 1,
                                          .do_sample = true,
                                          .temperature = 1,
                                          .top_p = 1,
                                          .typical_p = 1,
                                          .min_keep = 1};
    struct tfr_sampler sampler;
    int32_t id;
    assert_ok(tfr_sampler_open(&sampler, &pipeline, 0, N));
    assert_refused(tfr_sampler_next(&sampler, &no_row, logits, 0, &id), TFR_CHECK, "the scores for position 0 are no numbers");
    tfr_sampler_close(&sampler);
}

TFR_TEST(top_k_keeps_all_ties_of_the_last) {
    TFR_UNUSED_STATE;
    const float logits[N] = {5, 1, 4, 4, 4, 0};
    struct tfr_sampler sampler;
    assert_int_equal(filter(1, 2, 1, logits, &sampler), 4);
    assert_true(sampler.scores[0] == 5 && sampler.scores[1] == -INFINITY);
    tfr_sampler_close(&sampler);
}

/* Probabilities 0.5, 0.25, 0.15, 0.07, 0.02, 0.01: Hugging Face drops the low tail whose sum is at most 1 - top_p. */
static void probabilities(float *logits) {
    const double p[N] = {0.5, 0.25, 0.15, 0.07, 0.02, 0.01};
    for (int i = 0; i < N; i++) {
        logits[i] = (float)log(p[i]);
    }
}

TFR_TEST(top_p_keeps_the_smallest_set_that_reaches_the_mass) {
    TFR_UNUSED_STATE;
    float logits[N];
    struct tfr_sampler sampler;
    probabilities(logits);
    assert_int_equal(filter(1, 0, 0.7, logits, &sampler), 2);
    tfr_sampler_close(&sampler);
    assert_int_equal(filter(1, 0, 0.8, logits, &sampler), 3);
    tfr_sampler_close(&sampler);
    assert_int_equal(filter(1, 0, 0.0, logits, &sampler), 1);
    tfr_sampler_close(&sampler);
}

TFR_TEST(top_p_works_on_what_top_k_left) {
    TFR_UNUSED_STATE;
    float logits[N];
    struct tfr_sampler sampler;
    probabilities(logits);
    /* of 0.5 and 0.25 the first holds two thirds */
    assert_int_equal(filter(1, 2, 0.6, logits, &sampler), 1);
    tfr_sampler_close(&sampler);
    assert_int_equal(filter(1, 2, 0.7, logits, &sampler), 2);
    tfr_sampler_close(&sampler);
}

TFR_TEST(temperature_sharpens_before_top_p) {
    TFR_UNUSED_STATE;
    float logits[N];
    struct tfr_sampler sampler;
    probabilities(logits);
    /* squared: 0.25, 0.0625, 0.0225, ...: the first holds 0.738 */
    assert_int_equal(filter(0.5, 0, 0.73, logits, &sampler), 1);
    tfr_sampler_close(&sampler);
    assert_int_equal(filter(0.5, 0, 0.75, logits, &sampler), 2);
    tfr_sampler_close(&sampler);
}

static struct tfr_pipeline plain_sampling(void) {
    struct tfr_pipeline pipeline = tfr_pipeline_neutral();
    pipeline.do_sample = true;
    return pipeline;
}

static int32_t draw_at(struct tfr_sampler *sampler, const float *logits, int64_t position, uint64_t choice) {
    const struct tfr_score_row row = {.n = position};
    int32_t id;
    assert_ok(tfr_sampler_next(sampler, &row, logits, choice, &id));
    return id;
}

TFR_TEST(a_draw_depends_on_seed_choice_and_position_alone) {
    TFR_UNUSED_STATE;
    float logits[N];
    struct tfr_sampler a, b;
    const struct tfr_pipeline pipeline = plain_sampling();
    probabilities(logits);
    assert_ok(tfr_sampler_open(&a, &pipeline, 42, N));
    assert_ok(tfr_sampler_open(&b, &pipeline, 42, N));
    int other = 0;
    for (int64_t position = 0; position < 50; position++) {
        const int32_t x = draw_at(&a, logits, position, 0);
        draw_at(&b, logits, 49 - position, 0);
        other += draw_at(&b, logits, position, 1) != x;
        assert_int_equal(draw_at(&b, logits, position, 0), x);
    }
    assert_true(other > 10);
    tfr_sampler_close(&a);
    tfr_sampler_close(&b);
}

/* Chi-square with 5 degrees of freedom: 20.5 is passed by chance once in a thousand; the draws are fixed, so this cannot
 * flicker. */
TFR_TEST(draws_follow_the_distribution) {
    TFR_UNUSED_STATE;
    enum { DRAWS = 100000 };
    const double p[N] = {0.5, 0.25, 0.15, 0.07, 0.02, 0.01};
    const struct tfr_pipeline pipeline = plain_sampling();
    float logits[N];
    struct tfr_sampler sampler;
    int64_t count[N] = {0};
    probabilities(logits);
    assert_ok(tfr_sampler_open(&sampler, &pipeline, 7, N));
    for (int64_t i = 0; i < DRAWS; i++) {
        count[draw_at(&sampler, logits, i, 0)]++;
    }
    double chi2 = 0;
    for (int i = 0; i < N; i++) {
        double expected = p[i] * DRAWS;
        chi2 += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
    }
    assert_true(chi2 < 20.5);
    tfr_sampler_close(&sampler);
}

/* A vocabulary of many blocks of columns, where filters and draws take shortcuts, against their definitions. */
enum { MANY = 5003 };

static float many[MANY], kept[MANY];

static int downwards(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Normal numbers on a grid, so that some tie; a few are banned. */
static void fill_many(double deviation, double grid, uint64_t key) {
    for (int i = 0; i < MANY; i++) {
        many[i] = (float)(round(deviation * tfr_philox_normal(key, 0, (uint64_t)i) / grid) * grid);
        many[i] = i % 97 == 0 ? -INFINITY : many[i];
    }
}

static void apply_to_many(int64_t top_k, double top_p, int64_t min_keep) {
    struct tfr_pipeline pipeline = plain_sampling();
    struct tfr_sampler sampler;
    pipeline.top_k = top_k;
    pipeline.top_p = top_p;
    pipeline.min_keep = min_keep;
    assert_ok(tfr_sampler_open(&sampler, &pipeline, 1, MANY));
    assert_ok(tfr_sampler_score(&sampler, &no_row, many));
    memcpy(kept, sampler.scores, sizeof kept);
    tfr_sampler_close(&sampler);
}

TFR_TEST(top_k_of_many_keeps_those_that_reach_the_kth_of_a_sorted_list) {
    TFR_UNUSED_STATE;
    static const int64_t ks[] = {1, 2, 40, 512, 513, MANY - 60, MANY, 2 * MANY};
    static float sorted[MANY];
    for (int kind = 0; kind < 3; kind++) {
        fill_many(3, kind == 0 ? 1e-6 : kind == 1 ? 0.05 : 2, 11);
        memcpy(sorted, many, sizeof sorted);
        qsort(sorted, MANY, sizeof *sorted, downwards);
        for (size_t k = 0; k < sizeof ks / sizeof ks[0]; k++) {
            const float last = sorted[ks[k] < MANY ? ks[k] - 1 : MANY - 1];
            apply_to_many(ks[k], 1, 1);
            for (int i = 0; i < MANY; i++) {
                assert_true(kept[i] == (many[i] < last ? -INFINITY : many[i]));
            }
        }
    }
}

/* Of a sorted list the worst are dropped while they hold at most 1 - top_p: in long double, so a token whose sum is within rounding
 * of that may go either way. */
static void check_top_p(double top_p, int64_t min_keep) {
    static struct tfr_choice sorted[MANY], spare[MANY];
    long double total = 0, dropped = 0;
    float best = -INFINITY;
    for (int i = 0; i < MANY; i++) {
        sorted[i] = (struct tfr_choice){.score = many[i], .id = i};
        best = many[i] > best ? many[i] : best;
    }
    for (int i = 0; i < MANY; i++) {
        total += expl((long double)(many[i] - best));
    }
    tfr_choices_sort(sorted, spare, MANY);
    for (int i = MANY - 1; i >= 0; i--) {
        dropped += expl((long double)(sorted[i].score - best)) / total;
        const long double over = dropped - (1 - (long double)top_p);
        const float have = kept[sorted[i].id];
        if (i < min_keep || over > 1e-6L) {
            assert_true(have == many[sorted[i].id]);
        } else if (over < -1e-6L) {
            assert_true(have == -INFINITY);
        }
    }
}

TFR_TEST(top_p_of_many_keeps_what_a_sorted_list_keeps) {
    TFR_UNUSED_STATE;
    static const double ps[] = {0.999, 0.9, 0.5, 0.01};
    for (int kind = 0; kind < 4; kind++) {
        fill_many(kind == 3 ? 0.001 : 3, kind == 0 || kind == 3 ? 1e-6 : kind == 1 ? 0.05 : 2, 12);
        for (size_t i = 0; i < sizeof ps / sizeof ps[0]; i++) {
            for (int64_t keep = 1; keep <= 3; keep++) {
                apply_to_many(0, ps[i], keep);
                check_top_p(ps[i], keep);
            }
        }
    }
}

/* The first id whose sum from the left, in long double, passes uniform times the whole; within rounding either of two. */
TFR_TEST(draws_of_many_are_those_of_sums_from_the_left) {
    TFR_UNUSED_STATE;
    long double total = 0;
    fill_many(3, 1e-6, 13);
    for (int i = 0; i < MANY; i++) {
        many[i] = expf(many[i]);
        total += (long double)many[i];
    }
    for (int draw = 0; draw < 3000; draw++) {
        const double uniform = tfr_philox_uniform(5, 0, (uint64_t)draw);
        const int32_t id = tfr_draw(many, MANY, uniform);
        long double before = 0;
        for (int i = 0; i < id; i++) {
            before += (long double)many[i];
        }
        const long double goal = (long double)uniform * total, rounding = total * 1e-13L;
        assert_true(many[id] > 0 && before <= goal + rounding && goal <= before + (long double)many[id] + rounding);
    }
    assert_int_equal(tfr_draw(many, MANY, 1), MANY - 1);
    for (int i = MANY - 500; i < MANY; i++) {
        many[i] = 0;
    }
    assert_true(many[tfr_draw(many, MANY, 1)] > 0 && many[tfr_draw(many, MANY, 0)] > 0);
}

TFR_TEST_MAIN(TFR_CASE(greedy_takes_the_lowest_id_among_ties), TFR_CASE(nan_is_refused_by_position),
              TFR_CASE(infinity_is_refused_where_it_would_be_drawn_from), TFR_CASE(bans_of_every_token_are_refused),
              TFR_CASE(bans_of_every_token_name_their_settings), TFR_CASE(scores_that_are_no_numbers_are_no_bans),
              TFR_CASE(top_k_keeps_all_ties_of_the_last), TFR_CASE(top_p_keeps_the_smallest_set_that_reaches_the_mass),
              TFR_CASE(top_p_works_on_what_top_k_left), TFR_CASE(temperature_sharpens_before_top_p),
              TFR_CASE(a_draw_depends_on_seed_choice_and_position_alone), TFR_CASE(draws_follow_the_distribution),
              TFR_CASE(top_k_of_many_keeps_those_that_reach_the_kth_of_a_sorted_list),
              TFR_CASE(top_p_of_many_keeps_what_a_sorted_list_keeps), TFR_CASE(draws_of_many_are_those_of_sums_from_the_left))

/* test_ranking.c - the order of scores, against a comparison sort. */
#include "tfr_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/logits.h"
#include "generation/ranking.h"

enum { MOST = 60000 };

static struct tfr_choice have[MOST], want[MOST], spare[MOST];

static int best_first(const void *a, const void *b) {
    const struct tfr_choice *x = a, *y = b;
    if (x->score != y->score) {
        return x->score < y->score ? 1 : -1;
    }
    return (x->id > y->id) - (x->id < y->id);
}

static void check(size_t n) {
    memcpy(want, have, n * sizeof *have);
    qsort(want, n, sizeof *want, best_first);
    tfr_choices_sort(have, spare, n);
    for (size_t i = 0; i < n; i++) {
        if (have[i].id != want[i].id) {
            fail_msg("%zu of %zu is %d, not %d", i, n, have[i].id, want[i].id);
        }
    }
}

/* Scores of all sizes, many of them equal. */
static float score_of(uint32_t *state, int kind) {
    static const float odd[] = {0, -0.0f, INFINITY, -INFINITY, 1e-45f, -1e-45f, 3.4e38f, -3.4e38f, 1, -1};
    *state = *state * 1664525u + 1013904223u;
    const uint32_t bits = *state >> 8;
    switch (kind) {
    case 0:
        return odd[bits % 10];
    case 1:
        return (float)(bits % 17) - 8;
    case 2:
        return ((float)bits / (1 << 24) - 0.5f) * 40;
    default:
        return ldexpf((float)bits, (int)(bits % 200) - 120) * (bits % 2 == 0 ? 1 : -1);
    }
}

TFR_TEST(any_scores_come_in_the_order_of_a_comparison_sort) {
    TFR_UNUSED_STATE;
    static const size_t sizes[] = {0, 1, 2, 63, 64, 65, 1000, 50257};
    uint32_t state = 1;
    for (int kind = 0; kind < 4; kind++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            for (size_t i = 0; i < sizes[s]; i++) {
                have[i] = (struct tfr_choice){.score = score_of(&state, kind), .id = (int32_t)i};
            }
            check(sizes[s]);
        }
    }
}

TFR_TEST(what_is_in_order_or_all_equal_stays) {
    TFR_UNUSED_STATE;
    for (int slope = -1; slope <= 1; slope++) {
        for (size_t i = 0; i < 5000; i++) {
            have[i] = (struct tfr_choice){.score = (float)slope * (float)i, .id = (int32_t)i};
        }
        check(5000);
    }
}

static int32_t first_of_the_largest(const float *scores, int64_t n) {
    int32_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        if (scores[i] > scores[best]) {
            best = (int32_t)i;
        }
    }
    return best;
}

TFR_TEST(the_best_is_the_first_of_the_largest) {
    TFR_UNUSED_STATE;
    static float scores[3000];
    uint32_t state = 3;
    for (int times = 0; times < 4000; times++) {
        const int64_t n = 1 + times % 70 + (times % 17 == 0 ? 2900 : 0);
        bool nan = false;
        for (int64_t i = 0; i < n; i++) {
            const float score = score_of(&state, times % 4);
            const bool is_nan = times % 3 == 0 && state % 97 == 0;
            scores[i] = is_nan ? NAN : score;
            nan |= is_nan;
        }
        assert_int_equal(tfr_best_id(scores, n), first_of_the_largest(scores, n));
        assert_int_equal(tfr_has_nan(scores, n), nan);
        bool has_nan = !nan;
        assert_int_equal(tfr_best_number(scores, n, &has_nan), first_of_the_largest(scores, n));
        assert_int_equal(has_nan, nan);
    }
}

TFR_TEST_MAIN(TFR_CASE(the_best_is_the_first_of_the_largest), TFR_CASE(any_scores_come_in_the_order_of_a_comparison_sort),
              TFR_CASE(what_is_in_order_or_all_equal_stays))

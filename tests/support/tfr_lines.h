/* tfr_lines.h - GPT-2's shape as costs see it, and sums of lines, for the tests of core/cost. */
#ifndef TFR_TEST_LINES_H
#define TFR_TEST_LINES_H

#include "base/status.h"
#include "cost/line_sum.h"
#include "tfr_test.h"

enum { ALL_LEVELS = 99 };

static const struct tfr_hparams gpt2 = {.vocab_size = 50257,
                                        .n_positions = 1024,
                                        .n_embd = 768,
                                        .n_layer = 12,
                                        .n_head = 12,
                                        .n_inner = 3072,
                                        .activation = TFR_ACT_GELU_TANH,
                                        .activation_name = "gelu_new",
                                        .scale_attn_weights = true,
                                        .is_causal = true,
                                        .pad_token_id = -1,
                                        .num_labels = 2,
                                        .summary_use_proj = true,
                                        .summary_proj_to_labels = true,
                                        .use_cache = true};

static inline struct tfr_line_path path_of(const struct tfr_hparams *hparams, const char *release,
                                           struct tfr_line_question question) {
    struct tfr_line_path path;
    question.release = release;
    assert_ok(tfr_line_path_set(&path, hparams, &question));
    return path;
}

static inline struct tfr_line_sum sum_of(const struct tfr_line_path *path, enum tfr_line_class cls, int levels) {
    struct tfr_line_sum sum;
    assert_ok(tfr_line_class_sum(&sum, path, cls));
    assert_ok(tfr_line_expand(&sum, path, levels));
    return sum;
}

static inline void assert_same(const struct tfr_poly *a, const struct tfr_poly *b) {
    char a_text[4096], b_text[4096];
    if (!tfr_poly_equal(a, b)) {
        assert_string_equal(tfr_poly_text(a, a_text, sizeof(a_text)), tfr_poly_text(b, b_text, sizeof(b_text)));
        fail();
    }
}

#endif

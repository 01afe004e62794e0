/* test_line_levels.c - lines of Hugging Face's code, modules of the model, kernels of the graph: one sum, as polynomials and at
 * random dimensions. */
#include "tfr_lines.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "cost/account.h"

static struct tfr_account_question question_of(const struct tfr_hparams *hparams, const struct tfr_sequences *sequences,
                                               int64_t encoder_len, bool runs_encoder, enum tfr_logits_kept logits) {
    return (struct tfr_account_question){.hparams = hparams,
                                         .sequences = sequences,
                                         .n_sequences = 1,
                                         .encoder_len = encoder_len,
                                         .runs_encoder = runs_encoder,
                                         .logits = {logits, logits},
                                         .dtype = TFR_DTYPE_F32,
                                         .kv_dtype = TFR_DTYPE_F32,
                                         .tables = {.wte = TFR_DTYPE_F32, .wpe = TFR_DTYPE_F32},
                                         .max_rows = 1 << 30};
}

static struct tfr_account *account_of(const struct tfr_hparams *hparams, const struct tfr_sequences *sequences, int64_t encoder_len,
                                      bool runs_encoder, enum tfr_logits_kept logits) {
    const struct tfr_account_question question = question_of(hparams, sequences, encoder_len, runs_encoder, logits);
    struct tfr_account *account;
    assert_ok(tfr_account_open(&account, &question));
    return account;
}

static void count_lines(struct tfr_line_counts *counts, const struct tfr_line_path *path, const struct tfr_hparams *hparams,
                        const struct tfr_sequences *of) {
    const tfr_int128 value[TFR_DIM_COUNT] = {
        [TFR_DIM_BATCH] = of->count,
        [TFR_DIM_SEQ] = of->rows,
        [TFR_DIM_CACHE] = of->past,
        [TFR_DIM_HIDDEN] = hparams->n_embd,
        [TFR_DIM_LAYERS] = hparams->n_layer,
        [TFR_DIM_HEADS] = hparams->n_head,
        [TFR_DIM_HEAD_DIM] = hparams->n_embd / hparams->n_head,
        [TFR_DIM_INTERMEDIATE] = hparams->n_inner,
        [TFR_DIM_VOCAB] = hparams->vocab_size,
        [TFR_DIM_LABELS] = hparams->num_labels,
    };
    assert_ok(tfr_line_count_class(counts, path, tfr_line_class_of((enum tfr_head)hparams->head), value));
}

static void check_kernels(const struct tfr_hparams *hparams, const char *release, const struct tfr_sequences *sequences,
                          int64_t encoder_len, bool fused, bool only_last) {
    const bool past = sequences->past > 0;
    struct tfr_line_path path = path_of(hparams, release,
                                        (struct tfr_line_question){.past = past,
                                                                   .fused = fused,
                                                                   .encoder = encoder_len > 0,
                                                                   .encoder_cached = encoder_len > 0 && past,
                                                                   .only_last = only_last});
    struct tfr_account *account = account_of(hparams, sequences, encoder_len, !past, only_last ? TFR_LOGITS_LAST : TFR_LOGITS_ALL);
    const struct tfr_account_filter all = {.side = TFR_REFERENCE};
    for (int causal = 0; causal < 2; causal++) {
        struct tfr_formula kernels;
        path.causal = causal;
        struct tfr_line_sum lines = sum_of(&path, tfr_line_class_of((enum tfr_head)hparams->head), ALL_LEVELS);
        assert_ok(tfr_account_sum_poly(account, &all, causal, &kernels));
        assert_same(&lines.flops, &kernels.flops);
        tfr_line_sum_free(&lines);
    }
    tfr_account_close(account);
}

TFR_TEST(lines_and_kernels_are_the_same_polynomial) {
    TFR_UNUSED_STATE;
    static const enum tfr_head heads[] = {TFR_HEAD_LM,       TFR_HEAD_NONE,  TFR_HEAD_DOUBLE,
                                          TFR_HEAD_SEQUENCE, TFR_HEAD_TOKEN, TFR_HEAD_QA};
    static const struct tfr_sequences sequences[] = {{1, 1024, 0}, {3, 7, 0}, {2, 5, 9}};
    for (int r = 0; r < tfr_line_n_releases(); r++) {
        const char *release = tfr_line_release_name(tfr_line_release(r));
        for (size_t i = 0; i < TFR_COUNT_OF(heads) * TFR_COUNT_OF(sequences); i++) {
            struct tfr_hparams hparams = gpt2;
            hparams.head = heads[i / TFR_COUNT_OF(sequences)];
            check_kernels(&hparams, release, &sequences[i % TFR_COUNT_OF(sequences)], 0, false, false);
            if (r > 0) {
                check_kernels(&hparams, release, &sequences[i % TFR_COUNT_OF(sequences)], 0, true, false);
            }
        }
    }
}

/* The summary of GPT2DoubleHeadsModel: which row, or the mean of all; projected or not; with an activation or without. */
static struct tfr_hparams summary_model(uint64_t number) {
    struct tfr_hparams hparams = gpt2;
    hparams.head = TFR_HEAD_DOUBLE;
    hparams.summary_type = (int)(number % 4);
    hparams.summary_use_proj = (number & 4) == 0;
    hparams.summary_proj_to_labels = (number & 8) == 0;
    hparams.summary_activation = (number & 16) == 0 ? TFR_ACT_NONE : TFR_ACT_TANH;
    return hparams;
}

TFR_TEST(lines_and_kernels_of_every_summary) {
    TFR_UNUSED_STATE;
    for (int r = 0; r < tfr_line_n_releases(); r++) {
        for (uint64_t number = 0; number < 32; number++) {
            const struct tfr_hparams hparams = summary_model(number);
            check_kernels(&hparams, tfr_line_release_name(tfr_line_release(r)), &(struct tfr_sequences){2, 5, 3}, 0, false, false);
        }
    }
}

/* Parts of the model: what the lines of a class come to is what the kernels below its module do, in all blocks together. */
TFR_TEST(classes_are_their_modules) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *module;
        enum tfr_line_class cls;
        const char *times;
    } parts[] = {
        {"transformer", TFR_LINE_MODEL, "1"},
        {"transformer.h.N", TFR_LINE_BLOCK, "num_layers"},
        {"transformer.h.N.attn", TFR_LINE_ATTENTION, "num_layers"},
        {"transformer.h.N.crossattention", TFR_LINE_CROSS_ATTENTION, "num_layers"},
        {"transformer.h.N.mlp", TFR_LINE_MLP, "num_layers"},
        {"transformer.h.N.mlp.act", TFR_LINE_ACTIVATION, "num_layers"},
        {"transformer.h.N.ln_1", TFR_LINE_LAYER_NORM, "num_layers"},
        {"transformer.ln_f", TFR_LINE_LAYER_NORM, "1"},
        {"", TFR_LINE_LM_HEAD, "1"},
    };
    struct tfr_hparams hparams = gpt2;
    hparams.add_cross_attention = true;
    const struct tfr_sequences sequences = {3, 7, 0};
    const struct tfr_line_path path = path_of(&hparams, NULL, (struct tfr_line_question){.encoder = true});
    struct tfr_account *account = account_of(&hparams, &sequences, 11, true, TFR_LOGITS_ALL);
    for (size_t i = 0; i < TFR_COUNT_OF(parts); i++) {
        const struct tfr_account_filter filter = {
            .side = TFR_REFERENCE, .by_module = parts[i].module[0] != '\0', .module = parts[i].module};
        struct tfr_line_sum sum = sum_of(&path, parts[i].cls, ALL_LEVELS);
        struct tfr_formula module;
        struct tfr_poly times;
        assert_ok(tfr_poly_parse(&times, parts[i].times));
        assert_ok(tfr_poly_mul(&sum.flops, &sum.flops, &times));
        assert_ok(tfr_account_sum_poly(account, &filter, false, &module));
        assert_same(&sum.flops, &module.flops);
        tfr_line_sum_free(&sum);
    }
    tfr_account_close(account);
}

TFR_TEST(lines_and_kernels_with_an_encoder) {
    TFR_UNUSED_STATE;
    struct tfr_hparams hparams = gpt2;
    hparams.add_cross_attention = true;
    for (int r = 0; r < tfr_line_n_releases(); r++) {
        check_kernels(&hparams, tfr_line_release_name(tfr_line_release(r)), &(struct tfr_sequences){2, 5, 0}, 11, false, false);
    }
}

TFR_TEST(lines_and_kernels_of_the_last_logits) {
    TFR_UNUSED_STATE;
    for (int r = 1; r < tfr_line_n_releases(); r++) {
        check_kernels(&gpt2, tfr_line_release_name(tfr_line_release(r)), &(struct tfr_sequences){2, 5, 3}, 0, false, true);
    }
}

/* The oldest release makes no mask of its own: its bytes are those of the kernels, and its positions. */
TFR_TEST(bytes_are_those_of_the_kernels) {
    TFR_UNUSED_STATE;
    const struct tfr_line_path path = path_of(&gpt2, "4.40.2", (struct tfr_line_question){.past = true});
    struct tfr_account *account = account_of(&gpt2, &(struct tfr_sequences){2, 5, 3}, 0, false, TFR_LOGITS_ALL);
    struct tfr_line_sum lines = sum_of(&path, TFR_LINE_LM_HEAD, ALL_LEVELS);
    struct tfr_formula kernels;
    struct tfr_poly positions;
    assert_ok(tfr_account_sum_poly(account, &(struct tfr_account_filter){.side = TFR_REFERENCE}, false, &kernels));
    assert_same(&lines.read, &kernels.read);
    assert_ok(tfr_poly_parse(&positions, "8 seq_len"));
    assert_ok(tfr_poly_add(&kernels.written, &kernels.written, &positions));
    assert_same(&lines.written, &kernels.written);
    tfr_line_sum_free(&lines);
    tfr_account_close(account);
}

/* Of a model in bf16 the scores are f32, as long as they are scores: both levels, by hand. */
TFR_TEST(upcast_scores_have_four_bytes) {
    TFR_UNUSED_STATE;
    struct tfr_hparams hparams = gpt2;
    hparams.reorder_and_upcast_attn = true;
    struct tfr_line_path path = path_of(&hparams, "4.40.2", (struct tfr_line_question){.past = true});
    path.element = 2;
    const struct tfr_sequences of = {2, 5, 3};
    struct tfr_account_question question = question_of(&hparams, &of, 0, false, TFR_LOGITS_ALL);
    question.dtype = TFR_DTYPE_BF16;
    struct tfr_account *account;
    assert_ok(tfr_account_open(&account, &question));
    static const struct {
        enum tfr_reference_op op;
        int64_t read, written; /* of 12 blocks; 12 heads x 2 x 5 x 8 scores */
    } parts[] = {
        {TFR_REFERENCE_MATMUL_QK, 12 * 4 * 768 * (10 + 16), 12 * 4 * 960},
        {TFR_REFERENCE_SOFTMAX, 12 * 4 * 960, 12 * 4 * 960},
        {TFR_REFERENCE_MATMUL_PV, 12 * (2 * 960 + 2 * 768 * 16), 12 * 2 * 768 * 10},
    };
    struct tfr_line_counts counts = {0};
    count_lines(&counts, &path, &hparams, &of);
    for (size_t i = 0; i < TFR_COUNT_OF(parts); i++) {
        const struct tfr_account_filter filter = {.side = TFR_REFERENCE, .by_reference = true, .reference = (int)parts[i].op};
        struct tfr_amount kernels;
        int64_t n;
        assert_ok(tfr_account_sum(account, &filter, &kernels, &n));
        assert_true(kernels.read == parts[i].read && kernels.written == parts[i].written);
        assert_true(counts.op[parts[i].op].read == parts[i].read && counts.op[parts[i].op].written == parts[i].written);
    }
    tfr_account_close(account);
}

/* ---- numbers -------------------------------------------------------------------------------------------- */

static int64_t draw(uint64_t vector, uint64_t which, int64_t most) {
    return 1 + (int64_t)(tfr_philox(11, vector, which).word[0] % (uint64_t)most);
}

static struct tfr_hparams random_model(uint64_t vector) {
    const bool is_double = vector % 6 == TFR_HEAD_DOUBLE;
    struct tfr_hparams hparams = is_double ? summary_model(vector / 6) : gpt2;
    hparams.n_layer = draw(vector, 0, 5);
    hparams.n_head = draw(vector, 1, 30);
    hparams.n_embd = hparams.n_head * draw(vector, 2, 130);
    hparams.n_inner = draw(vector, 3, 9000);
    hparams.vocab_size = draw(vector, 4, 99999);
    hparams.num_labels = draw(vector, 5, 50);
    hparams.head = (int)(vector % 6);
    return hparams;
}

static tfr_int128 flops_of_lines(const struct tfr_hparams *hparams, const struct tfr_sequences *of, const char *release) {
    const struct tfr_line_path path = path_of(hparams, release, (struct tfr_line_question){.past = of->past > 0});
    struct tfr_line_counts counts = {0};
    count_lines(&counts, &path, hparams, of);
    return counts.flops;
}

static tfr_int128 flops_of_module(const struct tfr_account *account, const char *module) {
    const struct tfr_account_filter filter = {.side = TFR_REFERENCE, .by_module = true, .module = module};
    struct tfr_amount sum;
    int64_t n;
    assert_ok(tfr_account_sum(account, &filter, &sum, &n));
    return sum.flops;
}

/* The modules of the model, each block by itself, and the head. */
static tfr_int128 flops_of_modules(const struct tfr_account *account, const struct tfr_hparams *hparams) {
    static const char *const outside[] = {"transformer.ln_f", "lm_head",    "score",
                                          "classifier",       "qa_outputs", "multiple_choice_head"};
    tfr_int128 sum = flops_of_module(account, "transformer") - flops_of_module(account, "transformer.h.N") -
                     flops_of_module(account, "transformer.ln_f"); /* the sum of the embeddings belongs to no child */
    for (size_t i = 0; i < TFR_COUNT_OF(outside); i++) {
        sum += flops_of_module(account, outside[i]);
    }
    for (int64_t layer = 0; layer < hparams->n_layer; layer++) {
        char module[64];
        snprintf(module, sizeof(module), "transformer.h.%lld", (long long)layer);
        sum += flops_of_module(account, module);
    }
    return sum;
}

TFR_TEST(three_levels_at_200_random_vectors) {
    TFR_UNUSED_STATE;
    for (uint64_t vector = 0; vector < 200; vector++) {
        const struct tfr_hparams hparams = random_model(vector);
        const struct tfr_sequences of = {draw(vector, 6, 40), draw(vector, 7, 700), draw(vector, 8, 600) - 1};
        struct tfr_account *account = account_of(&hparams, &of, 0, false, TFR_LOGITS_ALL);
        const struct tfr_account_filter all = {.side = TFR_REFERENCE};
        struct tfr_amount kernels;
        int64_t n;
        assert_ok(tfr_account_sum(account, &all, &kernels, &n));
        for (int r = 0; r < tfr_line_n_releases(); r++) {
            assert_true(flops_of_lines(&hparams, &of, tfr_line_release_name(tfr_line_release(r))) == kernels.flops);
        }
        assert_true(flops_of_modules(account, &hparams) == kernels.flops);
        tfr_account_close(account);
    }
}

TFR_TEST_MAIN(TFR_CASE(lines_and_kernels_are_the_same_polynomial), TFR_CASE(classes_are_their_modules),
              TFR_CASE(lines_and_kernels_of_every_summary), TFR_CASE(lines_and_kernels_with_an_encoder),
              TFR_CASE(lines_and_kernels_of_the_last_logits), TFR_CASE(bytes_are_those_of_the_kernels),
              TFR_CASE(upcast_scores_have_four_bytes), TFR_CASE(three_levels_at_200_random_vectors))

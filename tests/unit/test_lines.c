/* test_lines.c - the line by line analysis: every cost text reads, what the first document says stands in the tables, and
 * every depth adds up to the same, as polynomials and with numbers. */
#include "tfr_lines.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/rng.h"

/* ---- paths: all questions that a release takes ---------------------------------------------------------- */

enum { N_QUESTIONS = 32 };

static struct tfr_line_question question_number(int number) {
    return (struct tfr_line_question){.fused = (number & 1) != 0,
                                      .no_cache = (number & 2) != 0,
                                      .past = (number & 4) != 0,
                                      .encoder = (number & 8) != 0,
                                      .encoder_cached = (number & 8) != 0 && (number & 4) != 0,
                                      .only_last = (number & 16) != 0};
}

typedef void (*check_fn)(const struct tfr_line_path *path, enum tfr_line_class cls);

static void for_all_paths(check_fn check) {
    struct tfr_hparams hparams = gpt2;
    for (int i = 0; i < tfr_line_n_releases() * N_QUESTIONS * 2; i++) {
        const struct tfr_line_question question = question_number(i / 2 % N_QUESTIONS);
        struct tfr_line_path path;
        hparams.reorder_and_upcast_attn = (i & 1) != 0;
        hparams.summary_type = i / 2 % 4;
        struct tfr_line_question asked = question;
        asked.release = tfr_line_release_name(tfr_line_release(i / 2 / N_QUESTIONS));
        if (tfr_line_path_set(&path, &hparams, &asked) != TFR_OK) {
            continue; /* the release has no such path */
        }
        for (int cls = 0; cls < TFR_LINE_CLASS_COUNT; cls++) {
            struct tfr_line_source source;
            if (tfr_line_source(path.release, (enum tfr_line_class)cls, path.activation_function, &source)) {
                check(&path, (enum tfr_line_class)cls);
            }
        }
    }
}

static void assert_only_args(const struct tfr_poly *poly, enum tfr_line_class cls) {
    const struct tfr_line_class_info info = tfr_line_class_info(cls);
    for (int dim = 0; dim < TFR_DIM_COUNT; dim++) {
        if (tfr_poly_has(poly, (enum tfr_dim)dim) && !tfr_line_is_arg(&info, (enum tfr_dim)dim)) {
            fail_msg("the cost of %s has %s, which is no argument of it", info.page, tfr_dim_name((enum tfr_dim)dim));
        }
    }
}

static void check_reads(const struct tfr_line_path *path, enum tfr_line_class cls) {
    struct tfr_line_sum sum = sum_of(path, cls, 0);
    assert_only_args(&sum.flops, cls);
    assert_only_args(&sum.read, cls);
    assert_only_args(&sum.written, cls);
    tfr_line_sum_free(&sum);
}

TFR_TEST(every_cost_reads_and_uses_the_arguments_of_its_class_alone) {
    TFR_UNUSED_STATE;
    for_all_paths(check_reads);
}

/* ---- the first document --------------------------------------------------------------------------------- */

#define MODEL_ARGS "(batch_size, seq_len, hidden_size, num_layers, num_heads, head_dim, intermediate_size, cache_len)"

TFR_TEST(rows_of_the_first_document) {
    TFR_UNUSED_STATE;
    static const struct {
        int first, last;
        bool composite, skipped;
        const char *reference;
    } rows[] = {
        {1303, 1303, false, false, NULL},
        {1305, 1319, true, false, "${transformers.models.gpt2.modeling_gpt2.GPT2Model}" MODEL_ARGS},
        {1320, 1320, false, false, NULL},
        {1323, 1325, false, true, NULL},
        {1327, 1327, true, false, "${torch.nn.modules.linear.Linear}(batch_size, seq_len, hidden_size, vocab_size)"},
        {1329, 1338, false, true, NULL},
        {1340, 1342, false, true, NULL},
        {1344, 1351, false, false, NULL},
    };
    const struct tfr_line_path path = path_of(&gpt2, "4.40.2", (struct tfr_line_question){0});
    struct tfr_line_source source;
    assert_ok(tfr_line_need_source(&path, TFR_LINE_LM_HEAD, &source));
    assert_string_equal(source.qualified, "transformers.models.gpt2.modeling_gpt2.GPT2LMHeadModel");
    assert_int_equal(source.class_line, 1175);
    assert_int_equal(source.first, 1280);
    assert_int_equal(source.last, 1351);
    assert_int_equal(source.n_rows, TFR_COUNT_OF(rows));
    for (int i = 0; i < source.n_rows; i++) {
        const struct tfr_line_row *row = &source.row[i];
        struct tfr_line_sum sum;
        assert_int_equal(row->first, rows[i].first);
        assert_int_equal(row->last, rows[i].last);
        assert_int_equal(row->step->composite, rows[i].composite);
        assert_int_equal(tfr_line_skip_reason(row->step->when, path.bits) != NULL, rows[i].skipped);
        assert_ok(tfr_line_step_sum(&sum, &path, TFR_LINE_LM_HEAD, row->step));
        assert_int_equal(sum.flops.n_terms + sum.read.n_terms + sum.written.n_terms, 0);
        assert_int_equal(sum.n_refs, rows[i].reference != NULL);
        if (rows[i].reference != NULL) {
            char *text = tfr_line_ref_text(&sum.ref[0], &path);
            assert_string_equal(text, rows[i].reference);
            tfr_free(text);
        }
        tfr_line_sum_free(&sum);
    }
}

/* ---- depths --------------------------------------------------------------------------------------------- */

static void random_values(uint64_t vector, tfr_int128 value[TFR_DIM_COUNT]) {
    for (int dim = 0; dim < TFR_DIM_COUNT; dim++) {
        value[dim] = 1 + tfr_philox(7, vector, (uint64_t)dim).word[0] % 999;
    }
    value[TFR_DIM_HIDDEN] = value[TFR_DIM_HEADS] * value[TFR_DIM_HEAD_DIM];
}

/* What a sum of some depth comes to: its polynomials, and each reference counted by its own class. */
static struct tfr_line_counts value_of(const struct tfr_line_sum *sum, const struct tfr_line_path *path,
                                       const tfr_int128 value[TFR_DIM_COUNT]) {
    struct tfr_line_counts counts = {0};
    assert_ok(tfr_poly_count(&sum->flops, value, "FLOPs", &counts.flops));
    assert_ok(tfr_poly_count(&sum->read, value, "bytes", &counts.read));
    assert_ok(tfr_poly_count(&sum->written, value, "bytes", &counts.written));
    for (int i = 0; i < sum->n_refs; i++) {
        const struct tfr_line_class_info info = tfr_line_class_info(sum->ref[i].cls);
        tfr_int128 inner[TFR_DIM_COUNT] = {0}, times;
        struct tfr_line_counts callee = {0};
        struct tfr_poly poly;
        for (int k = 0; k < info.n_args && sum->ref[i].arg[k][0] != '\0'; k++) {
            assert_ok(tfr_poly_parse(&poly, sum->ref[i].arg[k]));
            assert_ok(tfr_poly_count(&poly, value, "argument", &inner[info.arg[k]]));
        }
        assert_ok(tfr_poly_parse(&poly, sum->ref[i].count));
        assert_ok(tfr_poly_count(&poly, value, "count", &times));
        assert_ok(tfr_line_count_class(&callee, path, sum->ref[i].cls, inner));
        counts.flops += times * callee.flops;
        counts.read += times * callee.read;
        counts.written += times * callee.written;
    }
    return counts;
}

static void check_depths(const struct tfr_line_path *path, enum tfr_line_class cls, int vectors) {
    struct tfr_line_sum whole = sum_of(path, cls, ALL_LEVELS);
    assert_int_equal(whole.n_refs, 0);
    bool more = true;
    for (int depth = 0; more; depth++) {
        struct tfr_line_sum sum = sum_of(path, cls, depth), rest = sum_of(path, cls, depth);
        more = sum.n_refs > 0;
        assert_ok(tfr_line_expand(&rest, path, ALL_LEVELS));
        assert_same(&rest.flops, &whole.flops);
        assert_same(&rest.read, &whole.read);
        assert_same(&rest.written, &whole.written);
        for (int i = 0; i < vectors; i++) {
            tfr_int128 value[TFR_DIM_COUNT];
            struct tfr_line_counts direct = {0};
            random_values((uint64_t)i, value);
            const struct tfr_line_counts counts = value_of(&sum, path, value);
            assert_ok(tfr_line_count_class(&direct, path, cls, value));
            assert_true(counts.flops == direct.flops && counts.read == direct.read && counts.written == direct.written);
        }
        tfr_line_sum_free(&rest);
        tfr_line_sum_free(&sum);
    }
    tfr_line_sum_free(&whole);
}

static void check_depths_once(const struct tfr_line_path *path, enum tfr_line_class cls) {
    if (cls == TFR_LINE_LM_HEAD || cls == TFR_LINE_DOUBLE) {
        check_depths(path, cls, 1);
    }
}

TFR_TEST(every_depth_is_the_same_sum) {
    TFR_UNUSED_STATE;
    for_all_paths(check_depths_once);
}

TFR_TEST(every_depth_at_200_random_vectors) {
    TFR_UNUSED_STATE;
    for (int i = 0; i < tfr_line_n_releases(); i++) {
        const struct tfr_line_question question = {.past = true, .encoder = i % 2 == 0};
        const struct tfr_line_path path = path_of(&gpt2, tfr_line_release_name(tfr_line_release(i)), question);
        check_depths(&path, TFR_LINE_LM_HEAD, i + 1 < tfr_line_n_releases() ? 20 : 200);
    }
}

static void check_summary(int summary_type, const char *by_hand) {
    struct tfr_hparams hparams = gpt2;
    hparams.summary_type = summary_type;
    const struct tfr_line_path path = path_of(&hparams, NULL, (struct tfr_line_question){0});
    struct tfr_line_sum sum = sum_of(&path, TFR_LINE_SUMMARY, ALL_LEVELS);
    struct tfr_poly expected;
    assert_ok(tfr_poly_parse(&expected, by_hand));
    assert_same(&sum.flops, &expected);
    tfr_line_sum_free(&sum);
}

/* By hand: one row of each sequence through a Linear with bias; its index and its copy are no FLOPs. A mean of all rows is, in each
 * column, a sum as LayerNorm counts it (as many as there are rows) and a division. */
TFR_TEST(the_summary_by_hand) {
    TFR_UNUSED_STATE;
    check_summary(TFR_SUMMARY_CLS_INDEX, "2 batch_size hidden_size num_labels + batch_size num_labels");
    check_summary(TFR_SUMMARY_LAST, "2 batch_size hidden_size num_labels + batch_size num_labels");
    check_summary(TFR_SUMMARY_MEAN, "2 batch_size hidden_size num_labels + batch_size num_labels + batch_size seq_len hidden_size "
                                    "+ batch_size hidden_size");
}

TFR_TEST_MAIN(TFR_CASE(every_cost_reads_and_uses_the_arguments_of_its_class_alone), TFR_CASE(rows_of_the_first_document),
              TFR_CASE(every_depth_is_the_same_sum), TFR_CASE(every_depth_at_200_random_vectors), TFR_CASE(the_summary_by_hand))

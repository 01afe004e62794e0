/* test_account.c - the cost of a config: against sums by hand, known figures of GPT-2, and cuts that are counted one by one. */
#include "cost/account.h"

#include "tfr_gpt2.h"
#include "tfr_lines.h"

static struct tfr_account_question ask(const struct tfr_hparams *hparams, const struct tfr_sequences *sequences) {
    return (struct tfr_account_question){.hparams = hparams,
                                         .sequences = sequences,
                                         .n_sequences = 1,
                                         .logits = {TFR_LOGITS_ALL, TFR_LOGITS_LAST},
                                         .dtype = TFR_DTYPE_F32,
                                         .kv_dtype = TFR_DTYPE_F32,
                                         .tables = {.wte = TFR_DTYPE_F32, .wpe = TFR_DTYPE_F32},
                                         .max_rows = 65536};
}

static struct tfr_account *opened(const struct tfr_account_question *question) {
    struct tfr_account *account;
    assert_ok(tfr_account_open(&account, question));
    return account;
}

static struct tfr_amount total(const struct tfr_account *account, enum tfr_account_side side) {
    const struct tfr_account_filter filter = {.side = side};
    struct tfr_amount sum;
    int64_t n;
    assert_ok(tfr_account_sum(account, &filter, &sum, &n));
    return sum;
}

static struct tfr_amount of_op(const struct tfr_account *account, enum tfr_account_side side, enum tfr_op op, int64_t *n) {
    const struct tfr_account_filter filter = {.side = side, .by_op = true, .op = (int)op};
    struct tfr_amount sum;
    assert_ok(tfr_account_sum(account, &filter, &sum, n));
    return sum;
}

#define assert_count(value, expected) assert_true((value) == (tfr_int128)(expected))

/* Written out from the model's equations, without the table. */
static int64_t flops_by_hand(int64_t S, int64_t pairs, int64_t logits) {
    const int64_t C = 768, F = 3072, L = 12, H = 12, V = 50257;
    const int64_t linears = 2 * S * (C * 3 * C + C * C + 2 * C * F) + S * (3 * C + C + F + C);
    const int64_t block = linears + 9 * S * F + 2 * S * C + 2 * (7 * S * C + 5 * S) + 4 * pairs * C + 6 * pairs * H;
    return L * block + S * C + 2 * logits * C * V;
}

TFR_TEST(prefill_of_gpt2_is_the_sum_by_hand) {
    TFR_UNUSED_STATE;
    const struct tfr_sequences one = {.count = 1, .rows = 1024};
    const struct tfr_account_question question = ask(&gpt2, &one);
    struct tfr_account *account = opened(&question);
    const int64_t full = 1024 * 1024, causal = 1024 * 1025 / 2, norm = 7 * 768 + 5;
    const struct tfr_amount reference = total(account, TFR_REFERENCE), executed = total(account, TFR_EXECUTED);
    assert_count(reference.flops, flops_by_hand(1024, full, 1024) + 1024 * norm);
    assert_count(reference.visible_flops, flops_by_hand(1024, causal, 1024) + 1024 * norm);
    assert_count(executed.flops, flops_by_hand(1024, causal, 1) + norm);
    tfr_account_close(account);
}

TFR_TEST(figures_of_the_design) {
    TFR_UNUSED_STATE;
    const struct tfr_sequences one = {.count = 1, .rows = 1024};
    const struct tfr_account_question question = ask(&gpt2, &one);
    struct tfr_account *account = opened(&question);
    struct tfr_account_filter filter = {.side = TFR_REFERENCE, .by_module = true, .module = "lm_head"};
    struct tfr_amount sum;
    int64_t n;
    assert_ok(tfr_account_sum(account, &filter, &sum, &n));
    assert_count(sum.flops, 79047426048); /* 79.0 GF for all positions, */
    filter.side = TFR_EXECUTED;
    assert_ok(tfr_account_sum(account, &filter, &sum, &n));
    assert_count(sum.flops, 77194752);                   /* 0.077 GF for the last; */
    assert_count(sum.read, 4LL * 768 * 50257 + 4 * 768); /* 154 MB */
    filter = (struct tfr_account_filter){.side = TFR_REFERENCE, .by_reference = true, .reference = TFR_REFERENCE_MATMUL_QK};
    assert_ok(tfr_account_sum(account, &filter, &sum, &n));
    assert_int_equal(n, 12);
    assert_count(2 * sum.flops, 38654705664);         /* 38.7 GF of both products, */
    assert_count(2 * sum.visible_flops, 19346227200); /* 19.3 GF of the visible half */
    tfr_account_close(account);
}

TFR_TEST(decode_reads_weights_and_cache) {
    TFR_UNUSED_STATE;
    const struct tfr_sequences one = {.count = 1, .rows = 1, .past = 1023};
    const struct tfr_account_question question = ask(&gpt2, &one);
    struct tfr_account *account = opened(&question);
    int64_t n;
    const struct tfr_amount attention = of_op(account, TFR_EXECUTED, TFR_OP_ATTENTION, &n);
    assert_int_equal(n, 12);
    assert_count(attention.read, 73728LL * 1024 + 12 * 4 * 768); /* 75.5 MB of cache */
    const struct tfr_amount append = of_op(account, TFR_EXECUTED, TFR_OP_KV_APPEND, &n);
    assert_count(append.written, 73728);
    const struct tfr_amount linear = of_op(account, TFR_EXECUTED, TFR_OP_LINEAR, &n);
    assert_int_equal(n, 12 * 4 + 1);
    const int64_t weights = 4LL * 12 * 12 * 768 * 768, head = 4LL * 768 * 50257, biases = 4LL * 12 * (3 + 1 + 4 + 1) * 768;
    const int64_t rows = 4LL * 12 * (1 + 1 + 1 + 4 + 2) * 768 + 4 * 768; /* inputs of the linears, residuals, input of lm_head */
    assert_count(linear.read, weights + head + biases + rows);
    tfr_account_close(account);
}

TFR_TEST(symbolic_sums_are_the_numeric_ones) {
    TFR_UNUSED_STATE;
    static const struct tfr_sequences shapes[] = {{1, 1024, 0}, {3, 7, 0}, {2, 5, 11}, {4, 1, 100}};
    for (size_t s = 0; s < TFR_COUNT_OF(shapes); s++) {
        struct tfr_hparams cross = gpt2;
        cross.add_cross_attention = s % 2;
        struct tfr_account_question question = ask(&cross, &shapes[s]);
        question.encoder_len = s % 2 ? 9 : 0;
        question.runs_encoder = true;
        struct tfr_account *account = opened(&question);
        for (int side = 0; side < TFR_ACCOUNT_SIDES; side++) {
            const struct tfr_account_filter filter = {.side = (enum tfr_account_side)side};
            struct tfr_formula all, visible;
            tfr_int128 value[TFR_DIM_COUNT], sum;
            memcpy(value, account->step, sizeof value);
            value[TFR_DIM_BATCH] = shapes[s].count;
            value[TFR_DIM_SEQ] = shapes[s].rows;
            value[TFR_DIM_CACHE] = shapes[s].past;
            assert_ok(tfr_account_sum_poly(account, &filter, side == TFR_EXECUTED, &all));
            assert_ok(tfr_account_sum_poly(account, &filter, true, &visible));
            const struct tfr_amount amount = total(account, filter.side);
            assert_ok(tfr_poly_count(&all.flops, value, "FLOPs", &sum));
            assert_true(sum == amount.flops);
            assert_ok(tfr_poly_count(&visible.flops, value, "FLOPs", &sum));
            assert_true(sum == amount.visible_flops);
            assert_ok(tfr_poly_count(&all.read, value, "bytes", &sum));
            assert_true(sum == amount.read);
            assert_ok(tfr_poly_count(&all.written, value, "bytes", &sum));
            assert_true(sum == amount.written);
        }
        tfr_account_close(account);
    }
}

/* Of one module of the parts that are steps of their own. */
static void check_part(const struct tfr_account *account, const char *module) {
    tfr_int128 value[TFR_DIM_COUNT], sum;
    memcpy(value, account->step, sizeof value);
    value[TFR_DIM_BATCH] = tfr_account_n_sequences(account);
    for (int side = 0; side < TFR_ACCOUNT_SIDES; side++) {
        const struct tfr_account_filter filter = {.side = (enum tfr_account_side)side, .by_module = true, .module = module};
        struct tfr_formula formula;
        struct tfr_amount amount;
        int64_t n;
        assert_ok(tfr_account_sum(account, &filter, &amount, &n));
        assert_true(n > 0);
        assert_ok(tfr_account_sum_poly(account, &filter, false, &formula));
        assert_ok(tfr_poly_count(&formula.flops, value, "FLOPs", &sum));
        assert_true(sum == amount.flops);
        assert_ok(tfr_poly_count(&formula.read, value, "bytes", &sum));
        assert_true(sum == amount.read);
        assert_ok(tfr_poly_count(&formula.written, value, "bytes", &sum));
        assert_true(sum == amount.written);
    }
}

TFR_TEST(parts_of_their_own_run_as_often_as_their_formulas_say) {
    TFR_UNUSED_STATE;
    static const struct tfr_sequences alike[] = {{7, 5, 11}}, unequal[] = {{1, 5, 0}, {1, 7, 0}, {1, 2, 3}};
    struct tfr_hparams model = gpt2;
    model.add_cross_attention = true;
    model.head = TFR_HEAD_DOUBLE;
    model.num_labels = 1;
    model.summary_use_proj = true;
    for (int i = 0; i < 6; i++) {
        struct tfr_account_question question = ask(&model, i % 2 ? unequal : alike);
        question.n_sequences = i % 2 ? TFR_COUNT_OF(unequal) : 1;
        question.encoder_len = 29;
        question.runs_encoder = true;
        question.max_rows = i < 2 ? 64 : i < 4 ? 10 : 2;
        struct tfr_account *account = opened(&question);
        check_part(account, "multiple_choice_head");
        check_part(account, "transformer.h.N.crossattention.c_attn");
        tfr_account_close(account);
    }
}

TFR_TEST(unequal_sequences_are_pooled_together) {
    TFR_UNUSED_STATE;
    static const struct tfr_sequences alike[] = {{3, 5, 0}}, listed[] = {{1, 5, 0}, {1, 5, 0}, {1, 5, 0}};
    const struct tfr_account_filter filter = {.side = TFR_EXECUTED};
    struct tfr_hparams model = gpt2;
    struct tfr_amount sum[2];
    int64_t n;
    model.head = TFR_HEAD_DOUBLE;
    model.num_labels = 1;
    model.summary_use_proj = true;
    for (int i = 0; i < 2; i++) {
        struct tfr_account_question question = ask(&model, i == 0 ? alike : listed);
        question.n_sequences = i == 0 ? 1 : TFR_COUNT_OF(listed);
        struct tfr_account *account = opened(&question);
        assert_ok(tfr_account_sum(account, &filter, &sum[i], &n));
        tfr_account_close(account);
    }
    assert_true(sum[0].read == sum[1].read && sum[0].flops == sum[1].flops && sum[0].written == sum[1].written);
}

TFR_TEST(each_table_counts_in_its_own_type) {
    TFR_UNUSED_STATE;
    const struct tfr_sequences one = {.count = 1, .rows = 5};
    struct tfr_account_question question = ask(&gpt2, &one);
    question.tables.wte = TFR_DTYPE_BF16;
    struct tfr_account *account = opened(&question);
    int64_t n;
    assert_count(of_op(account, TFR_EXECUTED, TFR_OP_EMBED, &n).read, 5 * 8 + 5 * (2 + 4) * 768);
    tfr_account_close(account);
}

/* Cuts row after row, without a rule and without jumps. */
static void cut_by_hand(const struct tfr_sequences *of, int64_t most, enum tfr_logits_kept logits,
                        tfr_int128 value[TFR_DIM_COUNT]) {
    int64_t rows = 0, kept = 0;
    value[TFR_DIM_X] = value[TFR_DIM_B] = value[TFR_DIM_U] = value[TFR_DIM_W] = 0;
    for (int64_t i = 0; i < of->count; i++) {
        for (int64_t r = 0; r < of->rows; r++) {
            const bool is_last = r == of->rows - 1, is_all = i == of->count - 1 && is_last;
            kept += logits == TFR_LOGITS_ALL || (logits == TFR_LOGITS_LAST && is_last);
            rows++;
            if (is_last || rows == most) { /* a piece ends here */
                value[TFR_DIM_X] += of->past + r + 1;
                value[TFR_DIM_B]++;
            }
            if (is_all || rows == most) {
                value[TFR_DIM_U]++;
                value[TFR_DIM_W] += kept > 0;
                rows = kept = 0;
            }
        }
    }
}

TFR_TEST(cuts_of_many_sequences_are_those_of_one_after_the_other) {
    TFR_UNUSED_STATE;
    static const enum tfr_dim letters[] = {TFR_DIM_X, TFR_DIM_B, TFR_DIM_U, TFR_DIM_W};
    for (int64_t rows = 1; rows < 40; rows += 3) {
        for (int64_t most = 1; most < 50; most += 7) {
            for (int64_t count = 1; count < 90; count += 11) {
                const struct tfr_sequences of = {.count = count, .rows = rows, .past = 5};
                const enum tfr_logits_kept logits = (enum tfr_logits_kept)(count % 3);
                const struct tfr_batch_question question = {
                    .sequences = &of, .n = 1, .logits = logits, .is_causal = true, .max_rows = most};
                tfr_int128 fast[TFR_DIM_COUNT], slow[TFR_DIM_COUNT];
                assert_ok(tfr_batch_in_steps(&question, fast));
                cut_by_hand(&of, most, logits, slow);
                for (size_t i = 0; i < TFR_COUNT_OF(letters); i++) {
                    assert_true(fast[letters[i]] == slow[letters[i]]);
                }
            }
        }
    }
}

TFR_TEST(sequences_whose_rows_see_later_ones_stay_whole) {
    TFR_UNUSED_STATE;
    const struct tfr_sequences of = {.count = 5, .rows = 30};
    struct tfr_batch_question question = {.sequences = &of, .n = 1, .logits = TFR_LOGITS_LAST, .max_rows = 64};
    tfr_int128 value[TFR_DIM_COUNT] = {0};
    assert_ok(tfr_batch_in_steps(&question, value)); /* 60 rows, 60, 30 */
    assert_true(value[TFR_DIM_U] == 3 && value[TFR_DIM_B] == 5 && value[TFR_DIM_X] == 150 && value[TFR_DIM_A] == 5 * 30 * 30);
    question.is_causal = true;
    assert_ok(tfr_batch_in_steps(&question, value)); /* 64, 64, 22 */
    assert_true(value[TFR_DIM_U] == 3 && value[TFR_DIM_B] == 7);
    question.is_causal = false;
    question.max_rows = 29;
    assert_refused(tfr_batch_in_steps(&question, value), TFR_USAGE, "one step");
}

TFR_TEST(ranks_share_the_work_and_add_messages) {
    TFR_UNUSED_STATE;
    const struct tfr_sequences one = {.count = 2, .rows = 10};
    struct tfr_account_question question = ask(&gpt2, &one);
    struct tfr_account *alone = opened(&question);
    const struct tfr_placement placement = gpt2_chain((int[]){0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}, 12, 3, 2);
    question.placement = &placement;
    struct tfr_account *shared = opened(&question);
    const struct tfr_amount a = total(alone, TFR_EXECUTED), b = total(shared, TFR_EXECUTED);
    int64_t n;
    const struct tfr_amount sent = of_op(shared, TFR_EXECUTED, TFR_OP_SEND_HIDDEN, &n);
    assert_int_equal(n, 3); /* 0 to 1, 1 to 2, the logit rows back to 0 */
    assert_count(sent.read, 4 * 768 * (20 + 20 + 2));
    assert_true(a.flops == b.flops && b.read == a.read + sent.read && b.written == a.written + sent.read);
    tfr_account_close(alone);
    tfr_account_close(shared);
}

TFR_TEST(a_thousand_million_sequences_are_exact_or_refused) {
    TFR_UNUSED_STATE;
    struct tfr_hparams wide = gpt2;
    const struct tfr_sequences many = {.count = 1000000000, .rows = 1024};
    struct tfr_account_question question = ask(&wide, &many);
    struct tfr_account *account = opened(&question);
    assert_true(total(account, TFR_REFERENCE).flops ==
                (tfr_int128)1000000000 * (flops_by_hand(1024, 1024 * 1024, 1024) + 1024 * (7 * 768 + 5)));
    tfr_account_close(account);
    const struct tfr_sequences long_ones = {.count = 1000000000, .rows = 1000000000000000};
    question.sequences = &long_ones;
    assert_refused(tfr_account_open(&account, &question), TFR_USAGE, "2^127");
}

TFR_TEST_MAIN(TFR_CASE(prefill_of_gpt2_is_the_sum_by_hand), TFR_CASE(figures_of_the_design),
              TFR_CASE(decode_reads_weights_and_cache), TFR_CASE(symbolic_sums_are_the_numeric_ones),
              TFR_CASE(parts_of_their_own_run_as_often_as_their_formulas_say), TFR_CASE(unequal_sequences_are_pooled_together),
              TFR_CASE(each_table_counts_in_its_own_type), TFR_CASE(cuts_of_many_sequences_are_those_of_one_after_the_other),
              TFR_CASE(sequences_whose_rows_see_later_ones_stay_whole), TFR_CASE(ranks_share_the_work_and_add_messages),
              TFR_CASE(a_thousand_million_sequences_are_exact_or_refused))

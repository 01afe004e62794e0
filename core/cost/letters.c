/* letters.c - polynomials of a whole model: the letters of a step become batch_size, seq_len and cache_len.
 */
#include "base/arena.h"
#include "base/status.h"
#include "cost/account.h"

static enum tfr_status substitute(struct tfr_poly *poly, enum tfr_dim letter, const char *text) {
    struct tfr_poly by;
    if (!tfr_poly_has(poly, letter)) {
        return TFR_OK;
    }
    TFR_TRY(tfr_poly_parse(&by, text));
    return tfr_poly_substitute(poly, letter, &by);
}

/* Several kinds of sequences, or more than one step: then the sums of the step have no names but their letters. */
static bool keeps_letters(const struct tfr_account *account, enum tfr_account_side side) {
    return account->question.n_sequences != 1 || (side == TFR_EXECUTED && account->step[TFR_DIM_U] > 1);
}

/* How often a part is run, each time with its weights. */
static enum tfr_status name_runs(const struct tfr_account *account, const struct tfr_account_kind *kind, struct tfr_poly *poly) {
    const struct tfr_account_question *question = &account->question;
    struct tfr_poly runs = tfr_poly_number((tfr_int128)question->n_sequences); /* unequal sequences are calls of the reference */
    if (kind->side == TFR_EXECUTED && kind->part == TFR_PART_ENCODER) {
        runs = tfr_poly_dim(TFR_DIM_BATCH);
        TFR_TRY(tfr_poly_scale(&runs, tfr_account_steps_of(account, question->encoder_len), 1));
    } else if (kind->side == TFR_EXECUTED) {
        runs = tfr_poly_number(kind->part == TFR_PART_SUMMARY ? tfr_account_steps_of(account, tfr_account_n_sequences(account))
                                                              : 1); /* of the model more than one keeps its letter */
    }
    return tfr_poly_has(poly, TFR_DIM_U) ? tfr_poly_substitute(poly, TFR_DIM_U, &runs) : TFR_OK;
}

enum tfr_status tfr_account_name_letters(const struct tfr_account *account, const struct tfr_account_kind *kind, bool is_visible,
                                         struct tfr_poly *poly) {
    if (keeps_letters(account, kind->side) && kind->part == TFR_PART_MODEL) {
        return TFR_OK;
    }
    static const char *const kept[] = {
        [TFR_LOGITS_ALL] = "batch_size seq_len", [TFR_LOGITS_LAST] = "batch_size", [TFR_LOGITS_NONE] = "0"};
    const bool is_causal = is_visible && account->question.hparams->is_causal;
    const enum tfr_logits_kept logits = account->question.logits[kind->side];
    const enum tfr_gpt2_part part = kind->part;
    const bool is_mean = kind->op == TFR_OP_COUNT;
    if (!is_mean || account->question.n_sequences == 1) { /* rows of all sequences keep their letter where those differ */
        TFR_TRY(substitute(poly, TFR_DIM_T,
                           part == TFR_PART_ENCODER               ? "batch_size encoder_len"
                           : part == TFR_PART_SUMMARY && !is_mean ? "batch_size"
                                                                  : "batch_size seq_len"));
    }
    TFR_TRY(substitute(poly, TFR_DIM_R, kept[logits]));
    TFR_TRY(substitute(poly, TFR_DIM_A,
                       is_causal ? "batch_size seq_len cache_len + 0.5 batch_size seq_len^2 + 0.5 batch_size seq_len"
                                 : "batch_size seq_len cache_len + batch_size seq_len^2"));
    TFR_TRY(substitute(poly, TFR_DIM_X, "batch_size cache_len + batch_size seq_len"));
    TFR_TRY(substitute(poly, TFR_DIM_B, "batch_size"));
    TFR_TRY(substitute(poly, TFR_DIM_Q, "seq_len"));
    TFR_TRY(substitute(poly, TFR_DIM_S, "cache_len + seq_len"));
    TFR_TRY(name_runs(account, kind, poly));
    return substitute(poly, TFR_DIM_W, logits == TFR_LOGITS_NONE ? "0" : "1");
}

static enum tfr_status add_times(struct tfr_poly *sum, const struct tfr_poly *formula, const struct tfr_poly *times,
                                 const struct tfr_account *account, const struct tfr_account_kind *kind, bool is_visible) {
    struct tfr_poly poly = *formula;
    TFR_TRY(tfr_account_name_letters(account, kind, is_visible, &poly));
    TFR_TRY(tfr_poly_mul(&poly, &poly, times));
    return tfr_poly_add(sum, sum, &poly);
}

/* How often a kind is among the items: num_layers where it is in all blocks. */
static enum tfr_status count_kinds(const struct tfr_account *account, const struct tfr_account_filter *filter, int64_t *times) {
    for (int i = 0; i < account->n_items; i++) {
        times[account->items[i].kind] += tfr_account_matches(account, &account->items[i], filter);
    }
    return TFR_OK;
}

enum tfr_status tfr_account_sum_poly(const struct tfr_account *account, const struct tfr_account_filter *filter, bool is_visible,
                                     struct tfr_formula *sum) {
    int64_t *times = tfr_alloc((size_t)account->n_kinds, sizeof *times);
    if (times == NULL) {
        return TFR_RESOURCE;
    }
    *sum = (struct tfr_formula){0};
    enum tfr_status status = count_kinds(account, filter, times);
    for (int i = 0; status == TFR_OK && i < account->n_kinds; i++) {
        const struct tfr_account_kind *kind = &account->kinds[i];
        if (times[i] == 0) {
            continue;
        }
        const bool is_every_block = kind->in_block && times[i] == account->question.hparams->n_layer;
        const struct tfr_poly factor = is_every_block ? tfr_poly_dim(TFR_DIM_LAYERS) : tfr_poly_number(times[i]);
        status = add_times(&sum->flops, &kind->formula.flops, &factor, account, kind, is_visible);
        if (status == TFR_OK) {
            status = add_times(&sum->read, &kind->formula.read, &factor, account, kind, is_visible);
        }
        if (status == TFR_OK) {
            status = add_times(&sum->written, &kind->formula.written, &factor, account, kind, is_visible);
        }
    }
    tfr_free(times);
    return status;
}

/* numbers.c - formulas with the numbers of a question, and their sums.
 */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "cost/account.h"

enum tfr_status tfr_amount_add(struct tfr_amount *sum, const struct tfr_amount *more) {
    const bool fits = tfr_int128_add(sum->flops, more->flops, &sum->flops) &&
                      tfr_int128_add(sum->visible_flops, more->visible_flops, &sum->visible_flops) &&
                      tfr_int128_add(sum->read, more->read, &sum->read) &&
                      tfr_int128_add(sum->written, more->written, &sum->written);
    return fits ? TFR_OK : tfr_raise(TFR_USAGE, "the sum over all nodes is beyond 2^127, the limit of exact sums; ask for less");
}

static enum tfr_status evaluate(const struct tfr_account_kind *kind, const tfr_int128 value[TFR_DIM_COUNT],
                                struct tfr_amount *amount) {
    char what[96];
    snprintf(what, sizeof what, "FLOPs of %s", kind->name);
    TFR_TRY(tfr_poly_count(&kind->formula.flops, value, what, &amount->flops));
    snprintf(what, sizeof what, "bytes that %s reads", kind->name);
    TFR_TRY(tfr_poly_count(&kind->formula.read, value, what, &amount->read));
    snprintf(what, sizeof what, "bytes that %s writes", kind->name);
    return tfr_poly_count(&kind->formula.written, value, what, &amount->written);
}

tfr_int128 tfr_account_n_sequences(const struct tfr_account *account) {
    tfr_int128 n = 0;
    for (size_t i = 0; i < account->question.n_sequences; i++) {
        n += account->question.sequences[i].count;
    }
    return n;
}

tfr_int128 tfr_account_steps_of(const struct tfr_account *account, tfr_int128 rows) {
    const tfr_int128 most = account->question.max_rows;
    return (rows + most - 1) / most;
}

/* Letters of the part that is not the model itself: rows of the encoder, one run for each sequence; rows of pooled tokens. */
static enum tfr_status bind_part(const struct tfr_account *account, const struct tfr_account_kind *kind,
                                 const struct tfr_sequences *of, tfr_int128 value[TFR_DIM_COUNT]) {
    const struct tfr_account_question *question = &account->question;
    const tfr_int128 count = of->count;
    const bool is_executed = kind->side == TFR_EXECUTED;
    if (kind->part == TFR_PART_ENCODER) {
        value[TFR_DIM_T] = count * question->encoder_len; /* both below 2^63 */
        value[TFR_DIM_U] = is_executed ? count * tfr_account_steps_of(account, question->encoder_len) : 1;
    } else if (kind->op == TFR_OP_COUNT) { /* a mean of all rows, behind the steps they were cut into */
        value[TFR_DIM_T] = count * of->rows;
        value[TFR_DIM_B] = count;
    } else if (kind->part == TFR_PART_SUMMARY) {
        value[TFR_DIM_T] = count;
        value[TFR_DIM_U] = 1;
    }
    return TFR_OK;
}

/* Of unequal sequences some copy and some don't: each is a call of its own. */
static bool copies_nothing(const struct tfr_account_kind *kind, const struct tfr_sequences *of) {
    return (kind->reference == TFR_REFERENCE_CAT_CACHE && of->past == 0) ||
           (kind->reference == TFR_REFERENCE_MERGE_HEADS && of->rows == 1);
}

/* One group of sequences, as one call of the reference. */
static enum tfr_status count_group(const struct tfr_account *account, const struct tfr_account_kind *kind,
                                   const struct tfr_sequences *of, bool is_causal, struct tfr_amount *amount) {
    tfr_int128 value[TFR_DIM_COUNT];
    const struct tfr_batch_question batch = {
        .sequences = of, .n = 1, .logits = account->question.logits[kind->side], .is_causal = is_causal, .max_rows = INT64_MAX};
    memcpy(value, account->step, sizeof value);
    TFR_TRY(tfr_batch_at_once(&batch, value));
    value[TFR_DIM_Q] = of->rows;
    value[TFR_DIM_S] = (tfr_int128)of->past + of->rows;
    TFR_TRY(bind_part(account, kind, of, value));
    return evaluate(kind, value, amount);
}

static enum tfr_status count_reference(const struct tfr_account *account, struct tfr_account_kind *kind) {
    for (size_t i = 0; i < account->question.n_sequences; i++) {
        const struct tfr_sequences *of = &account->question.sequences[i];
        struct tfr_amount all = {0}, visible = {0};
        if (copies_nothing(kind, of)) {
            continue;
        }
        TFR_TRY(count_group(account, kind, of, false, &all));
        TFR_TRY(count_group(account, kind, of, account->question.hparams->is_causal, &visible));
        all.visible_flops = visible.flops;
        TFR_TRY(tfr_amount_add(&kind->amount, &all));
    }
    return TFR_OK;
}

/* Pooled rows of all sequences are in steps together. */
static enum tfr_status count_pooled(const struct tfr_account *account, struct tfr_account_kind *kind) {
    const tfr_int128 n = tfr_account_n_sequences(account);
    tfr_int128 value[TFR_DIM_COUNT];
    memcpy(value, account->step, sizeof value);
    value[TFR_DIM_T] = n;
    value[TFR_DIM_U] = tfr_account_steps_of(account, n);
    return evaluate(kind, value, &kind->amount);
}

static enum tfr_status count_executed_part(const struct tfr_account *account, struct tfr_account_kind *kind) {
    if (kind->part == TFR_PART_SUMMARY && kind->op != TFR_OP_COUNT) {
        return count_pooled(account, kind);
    }
    for (size_t i = 0; i < account->question.n_sequences; i++) {
        struct tfr_amount one = {0};
        tfr_int128 value[TFR_DIM_COUNT];
        memcpy(value, account->step, sizeof value);
        TFR_TRY(bind_part(account, kind, &account->question.sequences[i], value));
        TFR_TRY(evaluate(kind, value, &one));
        TFR_TRY(tfr_amount_add(&kind->amount, &one));
    }
    return TFR_OK;
}

enum tfr_status tfr_account_count(const struct tfr_account *account, struct tfr_account_kind *kind) {
    kind->amount = (struct tfr_amount){0};
    if (kind->side == TFR_REFERENCE) {
        return count_reference(account, kind);
    }
    TFR_TRY(kind->part == TFR_PART_MODEL ? evaluate(kind, account->step, &kind->amount) : count_executed_part(account, kind));
    kind->amount.visible_flops = kind->amount.flops;
    return TFR_OK;
}

const char *tfr_account_module(const struct tfr_account_kind *kind, int64_t layer, char *text, size_t size) {
    char block[48] = "";
    if (kind->in_block && layer >= 0) {
        snprintf(block, sizeof block, ".h.%lld", (long long)layer);
    } else if (kind->in_block) {
        snprintf(block, sizeof block, ".h.N");
    }
    const char *dot = kind->module[0] != '\0' && kind->in_transformer ? "." : "";
    snprintf(text, size, "%s%s%s%s", kind->in_transformer ? "transformer" : "", block, dot, kind->module);
    return text;
}

/* "transformer.h.3" holds "transformer.h.3.attn", and "" everything. */
static bool is_in_module(const struct tfr_account_kind *kind, int64_t layer, const struct tfr_account_filter *filter) {
    const char *module = filter->module;
    char path[160];
    const size_t length = strlen(module);
    tfr_account_module(kind, layer, path, sizeof path);
    if (filter->is_exact) {
        return strcmp(path, module) == 0;
    }
    return length == 0 || (strncmp(path, module, length) == 0 && (path[length] == '\0' || path[length] == '.'));
}

bool tfr_account_matches(const struct tfr_account *account, const struct tfr_account_item *item,
                         const struct tfr_account_filter *filter) {
    const struct tfr_account_kind *kind = &account->kinds[item->kind];
    return kind->side == filter->side && (!filter->by_rank || item->rank == filter->rank) &&
           (!filter->by_op || (int)kind->op == filter->op) && (!filter->by_reference || kind->reference == filter->reference) &&
           (!filter->by_module || is_in_module(kind, item->layer, filter) || is_in_module(kind, -1, filter));
}

enum tfr_status tfr_account_sum(const struct tfr_account *account, const struct tfr_account_filter *filter, struct tfr_amount *sum,
                                int64_t *n) {
    *sum = (struct tfr_amount){0};
    *n = 0;
    for (int i = 0; i < account->n_items; i++) {
        if (tfr_account_matches(account, &account->items[i], filter)) {
            TFR_TRY(tfr_amount_add(sum, &account->kinds[account->items[i].kind].amount));
            ++*n;
        }
    }
    return TFR_OK;
}

/* batch.c - rows, logit rows, pairs and keys of a batch, at once or cut into steps.
 *
 * Sequences that are alike are cut in a pattern that repeats as soon as a step begins with one of them, and the steps inside one
 * long sequence are alike too: so a thousand million of them are counted as quickly as a few.
 */
#include "cost/batch.h"

#include "base/cut.h"
#include "base/status.h"
#include "graph/graph.h"

/* One thing that is summed up, for the sentence of its failure. */
static enum tfr_status beyond(const char *what, const struct tfr_sequences *of) {
    char count[TFR_INT128_TEXT], rows[TFR_INT128_TEXT], past[TFR_INT128_TEXT];
    return tfr_raise(TFR_USAGE,
                     "the sum of %s over %s sequences of %s positions behind %s cached ones is beyond 2^127, the limit of exact "
                     "sums; ask for less",
                     what, tfr_int128_text(of->count, ',', count), tfr_int128_text(of->rows, ',', rows),
                     tfr_int128_text(of->past, ',', past));
}

/* *sum += factor a b */
static bool add_product(tfr_int128 *sum, tfr_int128 factor, tfr_int128 a, tfr_int128 b) {
    tfr_int128 product;
    return tfr_int128_mul(factor, a, &product) && tfr_int128_mul(product, b, &product) && tfr_int128_add(*sum, product, sum);
}

static int64_t kept_rows(enum tfr_logits_kept logits, int64_t rows) {
    return logits == TFR_LOGITS_ALL ? rows : logits == TFR_LOGITS_LAST && rows > 0 ? 1 : 0;
}

/* Pairs of one sequence: n past + n (n + 1) / 2, or n (past + n). Fits: both are below 2^63. */
static tfr_int128 pairs_of(const struct tfr_sequences *of, bool is_causal) {
    const tfr_int128 n = of->rows, past = of->past;
    return is_causal ? n * past + n * (n + 1) / 2 : n * (past + n);
}

void tfr_bind_model(const struct tfr_hparams *hparams, int64_t encoder_len, tfr_int128 value[TFR_DIM_COUNT]) {
    value[TFR_DIM_HIDDEN] = hparams->n_embd;
    value[TFR_DIM_LAYERS] = hparams->n_layer;
    value[TFR_DIM_HEADS] = hparams->n_head;
    value[TFR_DIM_HEAD_DIM] = hparams->n_embd / hparams->n_head;
    value[TFR_DIM_INTERMEDIATE] = hparams->n_inner;
    value[TFR_DIM_VOCAB] = hparams->vocab_size;
    value[TFR_DIM_ENCODER] = encoder_len;
    value[TFR_DIM_LABELS] = hparams->num_labels;
}

enum tfr_status tfr_batch_at_once(const struct tfr_batch_question *question, tfr_int128 value[TFR_DIM_COUNT]) {
    static const enum tfr_dim sums[] = {TFR_DIM_T, TFR_DIM_R, TFR_DIM_A, TFR_DIM_X, TFR_DIM_B, TFR_DIM_U, TFR_DIM_W};
    for (size_t i = 0; i < TFR_COUNT_OF(sums); i++) {
        value[sums[i]] = 0;
    }
    for (size_t i = 0; i < question->n; i++) {
        const struct tfr_sequences *of = &question->sequences[i];
        if (!add_product(&value[TFR_DIM_T], of->count, of->rows, 1) ||
            !add_product(&value[TFR_DIM_R], of->count, kept_rows(question->logits, of->rows), 1) ||
            !add_product(&value[TFR_DIM_A], of->count, pairs_of(of, question->is_causal), 1) ||
            !add_product(&value[TFR_DIM_X], of->count, (tfr_int128)of->rows + of->past, 1)) {
            return beyond("pairs", of);
        }
        value[TFR_DIM_B] += of->rows > 0 ? of->count : 0;
    }
    value[TFR_DIM_U] = value[TFR_DIM_T] > 0;
    value[TFR_DIM_W] = value[TFR_DIM_R] > 0;
    return TFR_OK;
}

/* What cutting adds to the sums. */
struct tally {
    tfr_int128 keys, pieces, steps, logit_steps;
};

struct cutter {
    const struct tfr_batch_question *question;
    size_t group;
    int64_t at, done; /* sequence in the group, and its rows that are in steps */
    struct tally tally;
};

static void skip_finished(struct cutter *cutter) {
    const struct tfr_batch_question *question = cutter->question;
    while (cutter->group < question->n) {
        const struct tfr_sequences *of = &question->sequences[cutter->group];
        if (of->rows > 0 && cutter->at < of->count) {
            return;
        }
        cutter->group++;
        cutter->at = 0;
    }
}

/* One step, cut as step/cut.c does. */
static void cut_step(struct cutter *cutter) {
    int64_t rows = 0, logits = 0;
    for (skip_finished(cutter); cutter->group < cutter->question->n; skip_finished(cutter)) {
        const struct tfr_sequences *of = &cutter->question->sequences[cutter->group];
        const struct tfr_offer offer = {.left = of->rows - cutter->done, .may_share = true, .whole = !cutter->question->is_causal};
        const int64_t n = tfr_cut_take(&offer, rows, cutter->question->max_rows);
        if (n < 0) {
            break;
        }
        rows += n;
        cutter->done += n;
        const bool is_last = cutter->done == of->rows;
        logits += cutter->question->logits == TFR_LOGITS_ALL ? n : kept_rows(cutter->question->logits, is_last);
        cutter->tally.pieces++;
        cutter->tally.keys += (tfr_int128)of->past + cutter->done;
        if (is_last) {
            cutter->at++;
            cutter->done = 0;
        }
    }
    cutter->tally.steps++;
    cutter->tally.logit_steps += logits > 0;
}

/* The steps from `from` to here began where those that follow will begin: jumps over as many of their repetitions as there are. */
static bool jump(struct cutter *cutter, const struct cutter *from) {
    const int64_t advance = cutter->at - from->at;
    const int64_t left = cutter->question->sequences[cutter->group].count - cutter->at;
    if (advance <= 0 || left / advance == 0) {
        return true;
    }
    const tfr_int128 times = left / advance;
    cutter->at += (int64_t)times * advance;
    struct tally *tally = &cutter->tally;
    const struct tally *before = &from->tally;
    return add_product(&tally->keys, times, tally->keys - before->keys, 1) &&
           add_product(&tally->pieces, times, tally->pieces - before->pieces, 1) &&
           add_product(&tally->steps, times, tally->steps - before->steps, 1) &&
           add_product(&tally->logit_steps, times, tally->logit_steps - before->logit_steps, 1);
}

/* Whole steps inside one long sequence, but for the last ones: their keys are an arithmetic series. */
static bool stride(struct cutter *cutter) {
    const struct tfr_sequences *of = &cutter->question->sequences[cutter->group];
    const int64_t most = cutter->question->max_rows;
    const tfr_int128 steps = (of->rows - cutter->done) / most - 1;
    if (steps <= 0) {
        return true;
    }
    const tfr_int128 first = (tfr_int128)of->past + cutter->done + most, last = first + (steps - 1) * most;
    const bool is_even = steps % 2 == 0;
    cutter->done += (int64_t)(steps * most);
    cutter->tally.steps += steps;
    cutter->tally.pieces += steps;
    cutter->tally.logit_steps += cutter->question->logits == TFR_LOGITS_ALL ? steps : 0;
    return add_product(&cutter->tally.keys, is_even ? steps / 2 : steps, is_even ? first + last : (first + last) / 2, 1);
}

static enum tfr_status cut_all(struct cutter *cutter) {
    struct cutter mark = {.question = NULL};
    for (skip_finished(cutter); cutter->group < cutter->question->n; skip_finished(cutter)) {
        bool fits = true;
        if (cutter->done > 0) {
            fits = stride(cutter);
        } else if (mark.question != NULL && mark.group == cutter->group) {
            fits = jump(cutter, &mark);
            mark.question = NULL;
            if (fits) {
                continue;
            }
        } else {
            mark = *cutter;
        }
        if (!fits) {
            return beyond("keys", &cutter->question->sequences[cutter->group]);
        }
        cut_step(cutter);
    }
    return TFR_OK;
}

/* A row that sees later ones needs their keys in its step. */
static enum tfr_status check_whole(const struct tfr_batch_question *question) {
    char rows[TFR_INT128_TEXT];
    for (size_t i = 0; i < question->n && !question->is_causal; i++) {
        if (question->sequences[i].rows > question->max_rows) {
            return tfr_raise(TFR_USAGE,
                             "is_causal = false needs all %s new positions of a sequence in one step, which takes %lld; raise "
                             "--max-rows",
                             tfr_int128_text(question->sequences[i].rows, ',', rows), (long long)question->max_rows);
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_batch_in_steps(const struct tfr_batch_question *question, tfr_int128 value[TFR_DIM_COUNT]) {
    TFR_TRY(tfr_batch_at_once(question, value));
    if (value[TFR_DIM_T] <= question->max_rows) {
        return TFR_OK;
    }
    TFR_TRY(check_whole(question));
    struct cutter cutter = {.question = question};
    TFR_TRY(cut_all(&cutter));
    value[TFR_DIM_X] = cutter.tally.keys;
    value[TFR_DIM_B] = cutter.tally.pieces;
    value[TFR_DIM_U] = cutter.tally.steps;
    value[TFR_DIM_W] = cutter.tally.logit_steps;
    return TFR_OK;
}

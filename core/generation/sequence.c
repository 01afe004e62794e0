/* sequence.c - appending to a sequence: the token, its text, the end. */
#include "generation/sequence.h"

#include <string.h>

#include "base/arena.h"
#include "base/logits.h"
#include "base/row_loops.h"
#include "base/status.h"
#include "generation/pipeline.h"

enum tfr_status tfr_sequence_open(struct tfr_sequence *sequence, const struct tfr_params *params, const struct tfr_ids *prompt,
                                  int64_t max_tokens, const struct tfr_tokenizer *tokenizer) {
    *sequence =
        (struct tfr_sequence){.params = params, .n_prompt = prompt->n, .max_tokens = max_tokens, .has_text = tokenizer != NULL};
    tfr_stream_init(&sequence->stream, tokenizer, &params->stop);
    sequence->finish = max_tokens == 0 ? TFR_FINISH_LENGTH : TFR_FINISH_NONE;
    TFR_TRY(tfr_ids_reserve(&sequence->ids, prompt->n));
    memcpy(sequence->ids.data, prompt->data, prompt->n * sizeof *prompt->data);
    sequence->ids.n = sequence->ids_told = prompt->n;
    return TFR_OK;
}

void tfr_sequence_close(struct tfr_sequence *sequence) {
    tfr_ids_free(&sequence->ids);
    tfr_stream_free(&sequence->stream);
    tfr_logprobs_free(&sequence->logprobs);
}

static enum tfr_finish finish_of(const struct tfr_sequence *sequence, int32_t id) {
    if (tfr_pipeline_ends(&sequence->params->pipeline, id)) {
        return TFR_FINISH_EOS;
    }
    if (sequence->stream.stopped || tfr_pipeline_stops(&sequence->params->pipeline, id)) {
        return TFR_FINISH_STOP;
    }
    return (int64_t)(sequence->ids.n - sequence->n_prompt) >= sequence->max_tokens ? TFR_FINISH_LENGTH : TFR_FINISH_NONE;
}

enum tfr_status tfr_sequence_append(struct tfr_sequence *sequence, int32_t id, const float *logits, int64_t vocab_size) {
    TFR_TRY(tfr_ids_append(&sequence->ids, id));
    if (sequence->has_text && !tfr_pipeline_stops(&sequence->params->pipeline, id)) {
        TFR_TRY(tfr_stream_push(&sequence->stream, id));
    }
    if (sequence->params->logprobs >= 0 && logits != NULL) {
        TFR_TRY(tfr_logprobs_add(&sequence->logprobs, id, sequence->params->logprobs, logits, vocab_size));
    }
    const enum tfr_finish finish = finish_of(sequence, id);
    if (finish != TFR_FINISH_NONE && sequence->has_text) {
        TFR_TRY(tfr_stream_finish(&sequence->stream));
    }
    sequence->finish = finish;
    return TFR_OK;
}

struct tfr_score_row tfr_sequence_row(const struct tfr_sequence *sequence) {
    return (struct tfr_score_row){.ids = sequence->ids.data,
                                  .n = (int64_t)sequence->ids.n,
                                  .n_prompt = (int64_t)sequence->n_prompt,
                                  .max_length = (int64_t)sequence->n_prompt + sequence->max_tokens};
}

void tfr_sequence_stop(struct tfr_sequence *sequence) {
    sequence->stream.released = sequence->stream.text.size;
}

enum tfr_status tfr_logprobs_reserve(struct tfr_logprob_list *list, size_t more) {
    if (list->n + more <= list->capacity) {
        return TFR_OK;
    }
    const size_t capacity = 2 * list->capacity + more;
    struct tfr_logprob *items = tfr_realloc(list->items, capacity, sizeof *items);
    if (items == NULL) {
        return TFR_RESOURCE;
    }
    list->items = items;
    list->capacity = capacity;
    return TFR_OK;
}

/* Takes columns [first, end) into the best of those before. */
static size_t take_best(struct tfr_logprob *best, size_t n, size_t have, const float *logits, int64_t first, int64_t end) {
    for (int64_t id = first; id < end; id++) {
        if (have == n && !((double)logits[id] > best[n - 1].logprob)) {
            continue; /* nearly all of them */
        }
        size_t at = have < n ? have++ : n - 1;
        for (; at > 0 && (double)logits[id] > best[at - 1].logprob; at--) {
            best[at] = best[at - 1];
        }
        best[at] = (struct tfr_logprob){.id = (int32_t)id, .logprob = (double)logits[id]};
    }
    return have;
}

/* The n best of a row, in logits. Most blocks have none of them. */
static void find_best(struct tfr_logprob *best, size_t n, const float *logits, int64_t vocab_size) {
    const struct tfr_row_loops *loops = tfr_row_loops();
    size_t have = 0;
    for (int64_t first = 0; first < vocab_size && n > 0; first += TFR_ROW_BLOCK) {
        const int64_t end = vocab_size - first < TFR_ROW_BLOCK ? vocab_size : first + TFR_ROW_BLOCK;
        if (have < n || !loops->is_below(logits + first, end - first, (float)best[n - 1].logprob)) {
            have = take_best(best, n, have, logits, first, end);
        }
    }
}

/* Of equal ones the lower id is before, as in find_best. */
static int32_t rank_of(int32_t id, const float *logits, int64_t vocab_size) {
    const float own = logits[id];
    int32_t rank = 1;
    for (int32_t i = 0; i < id; i++) {
        rank += logits[i] >= own;
    }
    for (int32_t i = id + 1; i < (int32_t)vocab_size; i++) {
        rank += logits[i] > own;
    }
    return rank;
}

void tfr_logprobs_of(const float *logits, int64_t vocab_size, int32_t id, size_t n_top, struct tfr_logprob *items) {
    struct tfr_row_score row;
    tfr_score_row(logits, vocab_size, id, &row); /* what `tfrun score` says of the row, to the bit */
    items[0] = (struct tfr_logprob){.id = id, .logprob = row.logprob, .rank = rank_of(id, logits, vocab_size)};
    find_best(items + 1, n_top, logits, vocab_size);
    for (size_t i = 1; i <= n_top; i++) {
        items[i].logprob = items[i].logprob - (double)logits[row.best_id] + row.best_logprob;
        items[i].rank = (int32_t)i;
    }
}

enum tfr_status tfr_logprobs_add(struct tfr_logprob_list *list, int32_t id, int64_t n_top, const float *logits,
                                 int64_t vocab_size) {
    const size_t n = (size_t)(n_top < vocab_size ? n_top : vocab_size);
    TFR_TRY(tfr_logprobs_reserve(list, n + 1));
    tfr_logprobs_of(logits, vocab_size, id, n, list->items + list->n);
    list->n += n + 1;
    return TFR_OK;
}

void tfr_logprobs_free(struct tfr_logprob_list *list) {
    tfr_free(list->items);
    *list = (struct tfr_logprob_list){0};
}

/* processors.c - the table, and the processors that greedy generation has too. */
#include "generation/processors.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

static const struct {
    const char *name, *option;
    bool (*wants)(const struct tfr_pipeline *pipeline);
    void (*apply)(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores);
} table[] = {
#define TFR_PROCESSOR(name_, option_) {#name_, option_, tfr_wants_##name_, tfr_apply_##name_},
#include "generation/processors.def"
#undef TFR_PROCESSOR
};

enum { N_PROCESSORS = sizeof table / sizeof table[0] };
_Static_assert(N_PROCESSORS <= 64, "one bit each");

struct tfr_pipeline tfr_pipeline_neutral(void) {
    return (struct tfr_pipeline){
        .forced_bos = -1, .repetition_penalty = 1, .decay_factor = 1, .temperature = 1, .top_p = 1, .typical_p = 1, .min_keep = 1};
}

const char *tfr_processor_name(size_t index, const char **option) {
    if (index >= N_PROCESSORS) {
        return NULL;
    }
    *option = table[index].option;
    return table[index].name;
}

static uint64_t active_of(const struct tfr_pipeline *pipeline) {
    uint64_t active = 0;
    for (size_t i = 0; i < N_PROCESSORS; i++) {
        active |= table[i].wants(pipeline) ? UINT64_C(1) << i : 0;
    }
    return active;
}

bool tfr_pipeline_is_greedy(const struct tfr_pipeline *pipeline) {
    return !pipeline->do_sample && active_of(pipeline) == 0;
}

void tfr_processors_use(struct tfr_processors *processors, const struct tfr_pipeline *pipeline) {
    processors->pipeline = pipeline;
    processors->active = active_of(pipeline);
}

enum tfr_status tfr_processors_open(struct tfr_processors *processors, const struct tfr_pipeline *pipeline, int64_t vocab_size) {
    *processors = (struct tfr_processors){.vocab_size = vocab_size};
    tfr_processors_use(processors, pipeline);
    processors->p = tfr_alloc((size_t)vocab_size, sizeof *processors->p);
    processors->work = tfr_alloc((size_t)vocab_size, sizeof *processors->work);
    processors->sorted = tfr_alloc((size_t)vocab_size, sizeof *processors->sorted);
    processors->spare = tfr_alloc((size_t)vocab_size, sizeof *processors->spare);
    if (processors->p == NULL || processors->work == NULL || processors->sorted == NULL || processors->spare == NULL) {
        tfr_processors_close(processors);
        return TFR_RESOURCE;
    }
    return TFR_OK;
}

void tfr_processors_close(struct tfr_processors *processors) {
    tfr_free(processors->p);
    tfr_free(processors->work);
    tfr_free(processors->sorted);
    tfr_free(processors->spare);
    *processors = (struct tfr_processors){0};
}

bool tfr_processors_idle(const struct tfr_processors *processors) {
    return processors->active == 0;
}

void tfr_processors_apply(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    for (size_t i = 0; i < N_PROCESSORS; i++) {
        if ((processors->active >> i & 1) != 0) {
            table[i].apply(processors, row, scores);
        }
    }
}

static int64_t count_left(const float *scores, int64_t n) {
    int64_t left = 0;
    for (int64_t i = 0; i < n; i++) {
        left += scores[i] != -INFINITY;
    }
    return left;
}

int64_t tfr_processors_blame(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores, char *options,
                             size_t size) {
    int64_t left = count_left(scores, processors->vocab_size);
    size_t used = 0;
    options[0] = '\0';
    for (size_t i = 0; i < N_PROCESSORS && left > 0; i++) {
        const int64_t before = left;
        if ((processors->active >> i & 1) == 0) {
            continue;
        }
        table[i].apply(processors, row, scores);
        left = count_left(scores, processors->vocab_size);
        used = left > before ? 0 : used; /* remove_invalid_values takes back what was banned */
        if (left < before && used < size) {
            used += (size_t)snprintf(options + used, size - used, "%s%s", used > 0 ? ", " : "", table[i].option);
        }
    }
    return left;
}

static void ban(const struct tfr_id_list *list, float *scores) {
    for (size_t i = 0; i < list->n; i++) {
        scores[list->ids[i]] = -INFINITY;
    }
}

/* All but these are banned, these have 0. */
static void force(const int32_t *ids, size_t n, float *scores, int64_t vocab_size) {
    for (int64_t i = 0; i < vocab_size; i++) {
        scores[i] = -INFINITY;
    }
    for (size_t i = 0; i < n; i++) {
        scores[ids[i]] = 0;
    }
}

/* The tokens before the last are the end of the row. A phrase longer than the row never counts. */
static bool is_due(const struct tfr_id_list *tokens, const struct tfr_score_row *row) {
    if (tokens->n == 1) {
        return true;
    }
    const size_t prefix = tokens->n - 1;
    return (int64_t)tokens->n <= row->n &&
           memcmp(row->ids + row->n - (int64_t)prefix, tokens->ids, prefix * sizeof *tokens->ids) == 0;
}

/* Biases of phrases with one last token are summed first, as transformers does it: rounding and infinities come out the same. */
static void add_phrases(struct tfr_processors *processors, const struct tfr_phrase_list *list, const struct tfr_score_row *row,
                        float *scores) {
    float *bias = processors->work;
    for (size_t i = 0; i < list->n; i++) {
        const struct tfr_id_list *tokens = &list->items[i].tokens;
        bias[tokens->ids[tokens->n - 1]] = 0;
    }
    for (size_t i = 0; i < list->n; i++) {
        const struct tfr_id_list *tokens = &list->items[i].tokens;
        bias[tokens->ids[tokens->n - 1]] += is_due(tokens, row) ? list->items[i].bias : 0;
    }
    for (size_t i = 0; i < list->n; i++) {
        const struct tfr_id_list *tokens = &list->items[i].tokens;
        const int32_t last = tokens->ids[tokens->n - 1];
        scores[last] += bias[last];
        bias[last] = 0;
    }
}

bool tfr_wants_sequence_bias(const struct tfr_pipeline *pipeline) {
    return pipeline->sequence_bias.n > 0;
}

void tfr_apply_sequence_bias(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    add_phrases(processors, &processors->pipeline->sequence_bias, row, scores);
}

bool tfr_wants_repetition_penalty(const struct tfr_pipeline *pipeline) {
    return pipeline->repetition_penalty != 1;
}

/* Once per id, however often it stands in the row: the old score is kept aside. */
void tfr_apply_repetition_penalty(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    const float penalty = (float)processors->pipeline->repetition_penalty;
    for (int64_t i = 0; i < row->n; i++) {
        processors->work[row->ids[i]] = scores[row->ids[i]];
    }
    for (int64_t i = 0; i < row->n; i++) {
        const float score = processors->work[row->ids[i]];
        scores[row->ids[i]] = score < 0 ? score * penalty : score / penalty;
    }
}

bool tfr_wants_no_repeat_ngram(const struct tfr_pipeline *pipeline) {
    return pipeline->no_repeat_ngram_size > 0;
}

void tfr_apply_no_repeat_ngram(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    const int64_t size = processors->pipeline->no_repeat_ngram_size, prefix = size - 1;
    if (row->n < size) {
        return;
    }
    const int32_t *tail = row->ids + row->n - prefix;
    for (int64_t i = 0; i + size <= row->n; i++) {
        if (memcmp(row->ids + i, tail, (size_t)prefix * sizeof *tail) == 0) {
            scores[row->ids[i + prefix]] = -INFINITY;
        }
    }
}

bool tfr_wants_bad_words(const struct tfr_pipeline *pipeline) {
    return pipeline->bad_words.n > 0;
}

void tfr_apply_bad_words(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    add_phrases(processors, &processors->pipeline->bad_words, row, scores);
}

bool tfr_wants_min_length(const struct tfr_pipeline *pipeline) {
    return pipeline->min_length > 0 && pipeline->eos.n > 0;
}

void tfr_apply_min_length(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    if (row->n < processors->pipeline->min_length) {
        ban(&processors->pipeline->eos, scores);
    }
}

bool tfr_wants_min_tokens(const struct tfr_pipeline *pipeline) {
    return pipeline->min_tokens > 0 && pipeline->eos.n + pipeline->stop_ids.n > 0;
}

void tfr_apply_min_tokens(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    if (row->n - row->n_prompt < processors->pipeline->min_tokens) {
        ban(&processors->pipeline->eos, scores);
        ban(&processors->pipeline->stop_ids, scores);
    }
}

bool tfr_wants_forced_bos(const struct tfr_pipeline *pipeline) {
    return pipeline->forced_bos >= 0;
}

void tfr_apply_forced_bos(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    if (row->n == 1) {
        force(&processors->pipeline->forced_bos, 1, scores, processors->vocab_size);
    }
}

bool tfr_wants_forced_eos(const struct tfr_pipeline *pipeline) {
    return pipeline->forced_eos.n > 0;
}

void tfr_apply_forced_eos(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    if (row->n == row->max_length - 1) {
        force(processors->pipeline->forced_eos.ids, processors->pipeline->forced_eos.n, scores, processors->vocab_size);
    }
}

bool tfr_wants_remove_invalid(const struct tfr_pipeline *pipeline) {
    return pipeline->remove_invalid_values;
}

void tfr_apply_remove_invalid(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    (void)row;
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        if (isnan(scores[i])) {
            scores[i] = 0;
        } else if (isinf(scores[i])) {
            scores[i] = scores[i] > 0 ? FLT_MAX : -FLT_MAX;
        }
    }
}

bool tfr_wants_exponential_decay(const struct tfr_pipeline *pipeline) {
    return pipeline->has_decay && pipeline->eos.n > 0;
}

/* An end token that is banned stays so: minus infinity and a growing bonus would give NaN. */
void tfr_apply_exponential_decay(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    const struct tfr_pipeline *pipeline = processors->pipeline;
    const int64_t over = row->n - row->n_prompt - pipeline->decay_start;
    if (over <= 0) {
        return;
    }
    const float gain = (float)(pow(pipeline->decay_factor, (double)over) - 1);
    for (size_t i = 0; i < pipeline->eos.n; i++) {
        float *score = &scores[pipeline->eos.ids[i]];
        *score = isinf(*score) ? *score : *score + fabsf(*score) * gain;
    }
}

bool tfr_wants_suppress(const struct tfr_pipeline *pipeline) {
    return pipeline->suppress.n > 0;
}

void tfr_apply_suppress(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    (void)row;
    ban(&processors->pipeline->suppress, scores);
}

bool tfr_wants_begin_suppress(const struct tfr_pipeline *pipeline) {
    return pipeline->begin_suppress.n > 0;
}

/* Of a prompt of one token with a forced first one, the output begins after that. */
void tfr_apply_begin_suppress(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    const struct tfr_pipeline *pipeline = processors->pipeline;
    const int64_t begin = row->n_prompt > 1 || pipeline->forced_bos < 0 ? row->n_prompt : row->n_prompt + 1;
    if (row->n == begin) {
        ban(&pipeline->begin_suppress, scores);
    }
}

bool tfr_wants_logit_bias(const struct tfr_pipeline *pipeline) {
    return pipeline->logit_bias.n > 0;
}

void tfr_apply_logit_bias(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    add_phrases(processors, &processors->pipeline->logit_bias, row, scores);
}

bool tfr_wants_frequency_penalty(const struct tfr_pipeline *pipeline) {
    return pipeline->frequency_penalty != 0;
}

/* penalty * count, counts being small whole numbers that float32 holds exactly. */
void tfr_apply_frequency_penalty(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    float *count = processors->work;
    for (int64_t i = row->n_prompt; i < row->n; i++) {
        count[row->ids[i]] = 0;
    }
    for (int64_t i = row->n_prompt; i < row->n; i++) {
        count[row->ids[i]]++;
    }
    for (int64_t i = row->n_prompt; i < row->n; i++) {
        scores[row->ids[i]] -= (float)processors->pipeline->frequency_penalty * count[row->ids[i]];
        count[row->ids[i]] = 0;
    }
}

bool tfr_wants_presence_penalty(const struct tfr_pipeline *pipeline) {
    return pipeline->presence_penalty != 0;
}

void tfr_apply_presence_penalty(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    for (int64_t i = row->n_prompt; i < row->n; i++) {
        processors->work[row->ids[i]] = scores[row->ids[i]];
    }
    for (int64_t i = row->n_prompt; i < row->n; i++) {
        scores[row->ids[i]] = processors->work[row->ids[i]] - (float)processors->pipeline->presence_penalty;
    }
}

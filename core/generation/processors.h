/* processors.h - the score pipeline between logits and the choice of a token, in Hugging Face's order
 * (processors.def).
 *
 * A processor reads the tokens so far and changes one row of scores in place, in float32 as transformers
 * does; a banned token has minus infinity. Settings are plain values: pipeline.c makes them from the options
 * of a config, tests make them by hand. Thread rule: settings are read-only; one thread per struct
 * tfr_processors (it owns working memory).
 */
#ifndef TFR_GENERATION_PROCESSORS_H
#define TFR_GENERATION_PROCESSORS_H

#include <tfrun/types.h>

#include "base/logits.h"
#include "generation/ranking.h"

struct tfr_id_list {
    int32_t *ids;
    size_t n;
};

/* A run of tokens; `bias` is added to the last one's score where the others have just been said. */
struct tfr_phrase {
    struct tfr_id_list tokens;
    float bias;
};
struct tfr_phrase_list {
    struct tfr_phrase *items;
    size_t n;
};

struct tfr_pipeline {
    bool do_sample; /* false: greedy, or plain beam search */
    struct tfr_id_list eos, stop_ids;
    struct tfr_phrase_list sequence_bias, bad_words, logit_bias;
    struct tfr_id_list suppress, begin_suppress, forced_eos;
    int32_t forced_bos;        /* -1: none */
    double repetition_penalty; /* 1: none */
    double presence_penalty, frequency_penalty;
    int64_t no_repeat_ngram_size;
    int64_t min_length, min_tokens; /* with the prompt; without it */
    bool remove_invalid_values, has_decay, renormalize;
    int64_t decay_start; /* generated tokens */
    double decay_factor;
    double temperature, top_p, min_p, typical_p, epsilon_cutoff, eta_cutoff;
    int64_t top_k;
    int64_t min_keep; /* what filters leave at least: 1, with beams the number of end tokens + 1 */
};

/* Settings that change nothing: greedy, no end token. */
struct tfr_pipeline tfr_pipeline_neutral(void);

/* The token is that of the largest logit, whatever came before. */
bool tfr_pipeline_is_greedy(const struct tfr_pipeline *pipeline);

/* One sequence at one step: n tokens, of which the first n_prompt are the prompt; it ends at max_length at the latest. */
struct tfr_score_row {
    const int32_t *ids;
    int64_t n, n_prompt, max_length;
};

struct tfr_processors {
    const struct tfr_pipeline *pipeline;
    int64_t vocab_size;
    float *p, *work;                   /* [vocab_size] */
    struct tfr_choice *sorted, *spare; /* [vocab_size] */
    uint64_t active;                   /* bit i: line i of processors.def has something to do */
};

enum tfr_status tfr_processors_open(struct tfr_processors *processors, const struct tfr_pipeline *pipeline, int64_t vocab_size);
/* Working memory serves any number of settings, one after the other. */
void tfr_processors_use(struct tfr_processors *processors, const struct tfr_pipeline *pipeline);
void tfr_processors_close(struct tfr_processors *processors);
bool tfr_processors_idle(const struct tfr_processors *processors);
void tfr_processors_apply(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores);
/* Applies them like that to a row that they leave no token of, and says how many are left nevertheless: 0, and the options of the
 * table that ban some, ", " between them. */
int64_t tfr_processors_blame(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores, char *options,
                             size_t size);
/* Name and option of each line of the table, in order; NULL past its end. */
const char *tfr_processor_name(size_t index, const char **option);

/* Of every line of the table: whether the settings ask for it, and what it does to one row. processors.c, filters.c. */
#define TFR_PROCESSOR(name, option)                                                                                                \
    bool tfr_wants_##name(const struct tfr_pipeline *pipeline);                                                                    \
    void tfr_apply_##name(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores);
#include "generation/processors.def"
#undef TFR_PROCESSOR

/* log_softmax in place; what beam search adds up. */
void tfr_scores_normalise(float *scores, int64_t n);

#endif

/* sequence.h - one sequence as it grows: its tokens, their text and log-probabilities, why it ended, and how much of it has been
 * told. Thread rule: the engine's thread. */
#ifndef TFR_GENERATION_SEQUENCE_H
#define TFR_GENERATION_SEQUENCE_H

#include "generation/params.h"
#include "generation/sampler.h"
#include "generation/stream.h"
#include "model/token_buffer.h"

/* For every token 1 + n_top: itself, then the best at its place. */
struct tfr_logprob_list {
    struct tfr_logprob *items;
    size_t n, capacity;
};

struct tfr_sequence {
    const struct tfr_params *params;
    struct tfr_ids ids; /* prompt, then what is new */
    size_t n_prompt;
    int64_t max_tokens;
    struct tfr_stream stream;
    bool has_text;
    struct tfr_logprob_list logprobs; /* of the new tokens */
    enum tfr_finish finish;
    size_t ids_told, text_told; /* what events have said */
    bool end_told;
};

/* `tokenizer` NULL: ids alone. */
enum tfr_status tfr_sequence_open(struct tfr_sequence *sequence, const struct tfr_params *params, const struct tfr_ids *prompt,
                                  int64_t max_tokens, const struct tfr_tokenizer *tokenizer);
void tfr_sequence_close(struct tfr_sequence *sequence);
/* A token was chosen: text, end, and what may be shown. `logits` [vocab_size] is where it was chosen, NULL: no
 * log-probabilities. */
enum tfr_status tfr_sequence_append(struct tfr_sequence *sequence, int32_t id, const float *logits, int64_t vocab_size);
struct tfr_score_row tfr_sequence_row(const struct tfr_sequence *sequence);
/* Ends what is under way: all text there is may be told. */
void tfr_sequence_stop(struct tfr_sequence *sequence);

/* Room for so many more; the items [1 + n_top] of one row, which take no part in the list; both at once. By one row of logits: of
 * `id`, then of the n_top best, best first, lower ids first among equals. */
enum tfr_status tfr_logprobs_reserve(struct tfr_logprob_list *list, size_t more);
void tfr_logprobs_of(const float *logits, int64_t vocab_size, int32_t id, size_t n_top, struct tfr_logprob *items);
enum tfr_status tfr_logprobs_add(struct tfr_logprob_list *list, int32_t id, int64_t n_top, const float *logits, int64_t vocab_size);
void tfr_logprobs_free(struct tfr_logprob_list *list);

#endif

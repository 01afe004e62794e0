/* generation.h - what generate.c, beam.c and assist.c share: one run of tfr_generate, and one sequence of it as it grows.
 * Private to core. Thread rule: the engine's thread. */
#ifndef TFR_GENERATION_GENERATION_H
#define TFR_GENERATION_GENERATION_H

#include "session/encoder.h"
#include "generation/sampler.h"
#include "generation/stream.h"

/* One sequence under way. */
struct tfr_live {
    struct tfr_session *session; /* NULL before and after its steps */
    struct tfr_ids ids;          /* prompt, then output */
    struct tfr_stream stream;
    size_t index, n_prompt, shown; /* index: of its result */
    uint64_t choice;               /* which sample of its prompt */
    struct tfr_encoder_states encoder; /* states NULL: none */
    int64_t max_tokens;
    enum tfr_finish finish;
};

struct tfr_generation_run {
    struct tfr_engine *engine;
    const struct tfr_tokenizer *tokenizer; /* NULL when all prompts are ids and there is none */
    struct tfr_sampler sampler;
    struct tfr_encoder_file encoder;
    tfr_text_fn on_text;
    void *user;
    struct tfr_generation_stats *stats;
    uint64_t start_ns;
    bool refused; /* the caller's on_text said stop */
};

/* prompt.c. A prompt's ids, by its text or as they are; cut to `room` of them on one side (input.truncate). */
enum tfr_status tfr_prompt_ids(const struct tfr_tokenizer *tokenizer, const struct tfr_prompt *prompt, struct tfr_ids *ids);
void tfr_ids_cut(struct tfr_ids *ids, size_t room, int where);
/* Opening encodes the prompt and settles how long the sequence may become; finish is LENGTH at once where that is
 * nothing. */
enum tfr_status tfr_live_open(struct tfr_generation_run *run, const struct tfr_prompt *prompt, size_t index, struct tfr_live *live);
enum tfr_status tfr_live_open_session(struct tfr_generation_run *run, struct tfr_live *live);
/* Into a session that has no tokens yet: its encoder states, or what a saved cache has of its prompt. */
enum tfr_status tfr_live_prepare(struct tfr_generation_run *run, const struct tfr_live *live, struct tfr_session *session);

/* generate.c */
void tfr_live_free(struct tfr_live *live);
/* A token was chosen: text, end, and what may be shown. */
enum tfr_status tfr_live_append(struct tfr_generation_run *run, struct tfr_live *live, int32_t id);
struct tfr_score_row tfr_live_row(const struct tfr_live *live);
void tfr_run_digest(struct tfr_generation_run *run, const float *logits, int64_t n);
/* Adds the time since `start_ns` to the prompt's or the other steps', and marks the first token. */
void tfr_run_count_step(struct tfr_generation_run *run, uint64_t start_ns, bool prompt);
/* TFR_CANCELLED once somebody asked to stop. */
enum tfr_status tfr_run_check_stop(const struct tfr_generation_run *run);

/* beam.c: the best n_lives sequences of num_beams beams. All lives are opened on the same prompt. */
enum tfr_status tfr_beam_generate(struct tfr_generation_run *run, struct tfr_live *lives, size_t n_lives);

/* assist.c: one sequence whose tokens are drafted cheaply and checked several at a time. */
enum tfr_status tfr_assist_generate(struct tfr_generation_run *run, struct tfr_live *live);

#endif

/* completion.h - the work of one POST /v1/completions: its requests to the engine, its texts, and the answer, whole or as events.
 * Thread rule: network thread. */
#ifndef TFR_APP_HTTP_COMPLETION_H
#define TFR_APP_HTTP_COMPLETION_H

#include "app/http/told_choice.h"

struct tfr_completion {
    struct tfr_call *call;
    struct tfr_ask ask;
    char id[48];
    int64_t created;
    struct tfr_request **requests; /* [prompts.n] of each prompt; NULL once it has ended */
    size_t *told;                  /* [prompts.n] output tokens counted so far */
    uint64_t *token_ns;            /* [prompts.n * width] when the last token came; 0: none did */
    struct tfr_choice *choices;    /* [prompts.n * width] */
    size_t n_running;
    struct tfr_json_out line; /* an event, or the whole answer */
    uint64_t written_ns;      /* of a stream: its last write */
    /* sums over the prompts, and the longest of them */
    size_t prompt_tokens, cached_tokens, output_tokens;
    uint64_t waited_ns, prefill_ns, decode_ns, first_token_ns;
};

/* Serves the body of a request; a chat's answer has other names for the same. */
void tfr_completion_serve(struct tfr_call *call, const void *body, size_t size, bool chat);

/* completion_text.c: the answer as JSON. */
void tfr_completion_name(struct tfr_completion *completion); /* its id and time */
void tfr_completion_write_whole(struct tfr_completion *completion, struct tfr_json_out *out);
/* An event of one choice, told as often as the same text is asked for. */
void tfr_completion_tell(struct tfr_completion *completion, size_t prompt, size_t choice);
/* An event of a token whose text is held back: it comes with a later one. */
void tfr_completion_tell_held(struct tfr_completion *completion, size_t prompt, size_t choice);
/* Usage if it is asked for, then the end. */
void tfr_completion_tell_end(struct tfr_completion *completion);
void tfr_completion_tell_error(struct tfr_completion *completion, const struct tfr_refusal *refusal);

#endif

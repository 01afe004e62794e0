/* ask.h - a request for completions as plain, checked values: fields, prompts, and the settings of the engine that they come to.
 * Thread rule: network thread. */
#ifndef TFR_APP_HTTP_ASK_H
#define TFR_APP_HTTP_ASK_H

#include "app/http/ask_prompts.h"

enum tfr_completion_field {
#define TFR_FIELD(name, type, def, min, max, setting, help) TFR_COMPLETION_##name,
#include "app/http/completion_fields.def"
#undef TFR_FIELD
    TFR_N_COMPLETION_FIELDS
};
const struct tfr_field *tfr_completion_fields(size_t *n);

struct tfr_ask {
    struct tfr_ask_prompts prompts;
    size_t n;     /* texts told of each prompt */
    size_t width; /* texts that the engine makes of each: n, best_of, or 1 where all would be the same */
    bool ranked;  /* of width texts the n best are told */
    bool beams;
    bool chat; /* told as the answer of a chat */
    bool stream, include_usage, echo, return_ids, ids_as_tokens;
    int64_t max_tokens;
    int64_t n_top; /* of logprobs; -1: none are told */
    bool no_prefix, batch;
    char salt[128]; /* "": none */
    struct tfr_params *params;
};

/* From the body of a request. False after a refusal; what was read is freed then. Names the call by request_id. */
bool tfr_ask_read(struct tfr_ask *ask, struct tfr_call *call, const void *body, size_t size, struct tfr_refusal *refusal);
/* Of a prompt that ended in a fault of the request: a setting that is named is the param. */
void tfr_ask_refuse_end(struct tfr_refusal *refusal, const char *text);
void tfr_ask_free(struct tfr_ask *ask);

#endif

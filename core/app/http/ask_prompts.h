/* ask_prompts.h - the prompts of a request: texts or token ids, one or a list. Thread rule: network thread. */
#ifndef TFR_APP_HTTP_ASK_PROMPTS_H
#define TFR_APP_HTTP_ASK_PROMPTS_H

#include "app/http/fields.h"
#include "app/http/server.h"

struct tfr_ask_prompt {
    int32_t *ids; /* malloc */
    size_t n;
    char *text; /* what an echo shows, NULL: the ids' own text; malloc */
    size_t text_size;
};
struct tfr_ask_prompts {
    struct tfr_ask_prompt *list;
    size_t n;
};

/* `field` is the name for messages ("prompt", "input"). NULL for absent: one prompt, the end-of-text token. At most `most` prompts.
 * A text that can't fit the context is refused before it is split, unless the caller `cuts` prompts from the left: then its end is
 * read.
 */
bool tfr_ask_prompts_read(struct tfr_ask_prompts *prompts, const struct tfr_server *server, const struct tfr_json_doc *doc,
                          const tfr_json *node, const char *field, size_t most, bool cuts, struct tfr_refusal *refusal);
/* The field "input" of a request that computes no new token: it must be there, and each of them must fit the context. Counts the
 * tokens for the log. */
bool tfr_ask_prompts_read_input(struct tfr_ask_prompts *prompts, struct tfr_call *call, const struct tfr_json_doc *doc,
                                const tfr_json *node, struct tfr_refusal *refusal);
void tfr_ask_prompts_free(struct tfr_ask_prompts *prompts);

#endif

/* ask_prompts.h - the prompts of a request: texts or token ids, one or a list. Thread rule: network thread. */
#ifndef TFR_APP_HTTP_ASK_PROMPTS_H
#define TFR_APP_HTTP_ASK_PROMPTS_H

#include "app/http/fields.h"
#include "app/http/server.h"

struct tfr_ask_prompt {
    int32_t *ids; /* malloc */
    size_t n;
    char *text; /* for an echo to show, NULL: the ids' own text; malloc */
    size_t text_size;
};
struct tfr_ask_prompts {
    struct tfr_ask_prompt *list;
    size_t n;
};

/* How many prompts a field has; NULL for absent: one. Whether they are right is looked at when they are read. */
size_t tfr_ask_prompts_count(const tfr_json *node);
/* `field` is the name for messages ("prompt", "input"). NULL for absent: one prompt, the end-of-text token. At most `most` prompts.
 * `keeps` is how many tokens of a prompt's end the caller will keep, -1: all. Of a text it is enough of the end that is read then;
 * else one that can't fit the context is refused. What texts are more than one request may have is refused before any is split.
 */
bool tfr_ask_prompts_read(struct tfr_ask_prompts *prompts, struct tfr_server *server, const struct tfr_json_doc *doc,
                          const tfr_json *node, const char *field, size_t most, int64_t keeps, struct tfr_refusal *refusal);
/* The field "input" of a request that computes no new token: it must be there, and each of them must fit the context. Counts the
 * tokens for the log. The texts are gone: nobody reads them again, and such a request may wait long. */
bool tfr_ask_prompts_read_input(struct tfr_ask_prompts *prompts, struct tfr_call *call, const struct tfr_json_doc *doc,
                                const tfr_json *node, struct tfr_refusal *refusal);
/* All texts; the ids stay. */
void tfr_ask_prompts_drop_texts(struct tfr_ask_prompts *prompts);
/* Its last `most` ids, of more than that; 1 at least. The text is gone. */
void tfr_ask_prompt_cut(struct tfr_ask_prompt *prompt, size_t most);
void tfr_ask_prompts_free(struct tfr_ask_prompts *prompts);

#endif

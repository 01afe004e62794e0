/* prefixes.h - beginnings of prompts that the engine has already read: from requests that ended, whose sessions are kept while
 * there is room, and from those that run.
 *
 * A session that ends with a request goes idle here. One that comes with the same tokens takes it over where nothing else would be
 * lost, else it copies the beginning. A request whose prompt another one is reading right now waits for that and copies. What
 * is taken is whole blocks, never the last token of a prompt, so that there are logits. A prompt that is scored takes from those
 * that were scored too, with their log-probabilities. What a replica has read serves requests of that one
 * alone. No bit depends on any of it. Thread rule: the engine's thread. */
#ifndef TFR_SERVE_PREFIXES_H
#define TFR_SERVE_PREFIXES_H

#include "serve/batcher.h"

struct tfr_prefixes;

enum tfr_status tfr_prefixes_open(struct tfr_prefixes **prefixes, struct tfr_engine *engine);
void tfr_prefixes_close(struct tfr_prefixes *prefixes); /* once no request runs; before the engine's slots go */

/* Before its continuation opens: what there is of its prompt, or c->held until another request has read it. A failure is the
 * request's. */
enum tfr_status tfr_prefixes_give(struct tfr_prefixes *prefixes, struct tfr_request *request);
/* Tokens of its prompt that a replica has already; where it is admitted is for the caller to say (c->replica). */
int64_t tfr_prefixes_known(struct tfr_prefixes *prefixes, const struct tfr_continuation *c, int32_t replica);
/* Before each step, and before others are admitted: those that wait for others to read their beginning copy it once it is there. */
void tfr_prefixes_share(struct tfr_prefixes *prefixes, const struct tfr_request_list *running);
/* After its continuation has ended: keeps the session that is left, or closes it. */
void tfr_prefixes_keep(struct tfr_prefixes *prefixes, struct tfr_request *request);

struct tfr_prefixes_counts {
    size_t entries;                          /* idle sessions */
    uint64_t queried_tokens, hit_tokens;     /* of prompts that might have had a beginning here; what they had */
    uint64_t moved, copied, waited, evicted; /* hits by kind, those that waited for another request, entries given up */
};
struct tfr_prefixes_counts tfr_prefixes_counts(const struct tfr_prefixes *prefixes);

#endif

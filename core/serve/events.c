/* events.c - the prompt once it is read, then what is new of every sequence, then the end. */
#include "serve/events.h"

#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"

/* What an event carries, as it is borrowed. */
struct carried {
    const char *text;
    size_t text_size;
    const int32_t *ids;
    size_t n_ids;
    const struct tfr_logprob *logprobs;
    size_t n_logprobs;
};

/* One piece of memory: the node, log-probabilities, ids, text and its end. */
static struct tfr_event_node *make_node(const struct carried *carried) {
    const size_t logprob_bytes = carried->n_logprobs * sizeof(struct tfr_logprob), id_bytes = carried->n_ids * sizeof(int32_t);
    struct tfr_event_node *node = tfr_alloc(1, sizeof *node + logprob_bytes + id_bytes + carried->text_size + 1);
    if (node == NULL) {
        return NULL;
    }
    char *at = (char *)(node + 1);
    struct tfr_event *event = &node->event;
    if (logprob_bytes > 0) {
        event->logprobs = memcpy(at, carried->logprobs, logprob_bytes);
    }
    at += logprob_bytes;
    event->ids = (int32_t *)(void *)at;
    if (id_bytes > 0) {
        memcpy(at, carried->ids, id_bytes);
    }
    event->n_ids = carried->n_ids;
    event->text = at + id_bytes;
    event->text_size = carried->text_size;
    if (carried->text_size > 0) {
        memcpy(at + id_bytes, carried->text, carried->text_size);
    }
    return node;
}

static uint64_t since(const struct tfr_request *request, uint64_t ns) {
    return ns > 0 ? ns - request->submitted_ns : 0;
}

static uint64_t between(uint64_t first_ns, uint64_t last_ns) {
    return first_ns > 0 && last_ns > first_ns ? last_ns - first_ns : 0;
}

/* What is known by now; decoding and the whole last until the end. */
static struct tfr_request_stats stats_so_far(const struct tfr_request *request) {
    const struct tfr_continuation *c = &request->continuation;
    return (struct tfr_request_stats){.prompt_tokens = c->prompt.n,
                                      .cached_tokens = c->cached_tokens,
                                      .output_tokens = c->output_tokens,
                                      .seed = (int64_t)c->seed,
                                      .logits_digest = c->logits_digest,
                                      .waited_ns = since(request, request->admitted_ns),
                                      .first_token_ns = since(request, request->first_token_ns),
                                      .prefill_ns = between(request->admitted_ns, request->first_token_ns)};
}

static size_t n_top(const struct tfr_continuation *c) {
    const int64_t asked = c->params->logprobs, vocab_size = c->engine->config->model.vocab_size;
    return (size_t)(asked < vocab_size ? asked : vocab_size);
}

static bool has_all_scores(const struct tfr_continuation *c) {
    return c->prompt_logprobs.n == (c->prompt.n - 1) * (n_top(c) + 1);
}

/* Whoever takes the event reads log-probabilities of all tokens: a request that ended before has none. */
static enum tfr_status tell_prompt(struct tfr_request *request) {
    const struct tfr_continuation *c = &request->continuation;
    const struct carried carried = {.ids = c->prompt.data,
                                    .n_ids = c->prompt.n,
                                    .logprobs = c->prompt_logprobs.items,
                                    .n_logprobs = has_all_scores(c) ? c->prompt_logprobs.n : 0};
    struct tfr_event_node *node = make_node(&carried);
    if (node == NULL) {
        return TFR_RESOURCE;
    }
    node->event.kind = TFR_EVENT_PROMPT;
    node->event.n_top = carried.n_logprobs > 0 ? n_top(c) : 0;
    node->event.stats = stats_so_far(request);
    tfr_queue_tell(request, node);
    request->prompt_told = true;
    return TFR_OK;
}

/* Log-probabilities of its tokens from the first that has not been told on. */
static void carry_logprobs(const struct tfr_continuation *c, const struct tfr_sequence *sequence, struct carried *carried) {
    if (c->params->logprobs >= 0 && carried->n_ids > 0) {
        const size_t each = n_top(c) + 1, first = (sequence->ids_told - sequence->n_prompt) * each;
        carried->logprobs = sequence->logprobs.items + first;
        carried->n_logprobs = sequence->logprobs.n - first;
    }
}

static enum tfr_status tell_sequence(struct tfr_request *request, size_t index) {
    struct tfr_sequence *sequence = &request->continuation.sequences[index];
    const char *text = sequence->stream.text.data;
    struct carried carried = {.text = text != NULL ? text + sequence->text_told : "",
                              .text_size = sequence->stream.released - sequence->text_told,
                              .ids = sequence->ids.data + sequence->ids_told,
                              .n_ids = sequence->ids.n - sequence->ids_told};
    carry_logprobs(&request->continuation, sequence, &carried);
    struct tfr_event_node *node = make_node(&carried);
    if (node == NULL) {
        return TFR_RESOURCE;
    }
    node->event.kind = TFR_EVENT_TOKENS;
    node->event.index = index;
    node->event.finish = sequence->finish;
    node->event.n_top = carried.n_logprobs > 0 ? n_top(&request->continuation) : 0;
    if (request->first_token_ns == 0 && carried.n_ids > 0) {
        request->first_token_ns = tfr_clock_ns();
    }
    node->event.stats = stats_so_far(request);
    tfr_queue_tell(request, node);
    sequence->ids_told = sequence->ids.n;
    sequence->text_told = sequence->stream.released;
    sequence->end_told = sequence->finish != TFR_FINISH_NONE;
    return TFR_OK;
}

static bool has_news(const struct tfr_sequence *sequence) {
    return sequence->ids.n > sequence->ids_told || sequence->stream.released > sequence->text_told ||
           (sequence->finish != TFR_FINISH_NONE && !sequence->end_told);
}

/* With log-probabilities of the prompt, it is told once they are all there. */
static bool prompt_is_due(const struct tfr_request *request) {
    const struct tfr_continuation *c = &request->continuation;
    return !request->prompt_told && (!c->params->prompt_logprobs || has_all_scores(c) || c->status != TFR_OK);
}

enum tfr_status tfr_events_tell(struct tfr_request *request, bool *told) {
    if (prompt_is_due(request)) {
        TFR_TRY(tell_prompt(request));
        *told = true;
    }
    for (int64_t i = 0; request->continuation.sequences != NULL && i < request->continuation.params->n; i++) {
        if (request->prompt_told && has_news(&request->continuation.sequences[i])) {
            TFR_TRY(tell_sequence(request, (size_t)i));
            *told = true;
        }
    }
    return TFR_OK;
}

void tfr_events_end(struct tfr_request *request) {
    const struct tfr_continuation *c = &request->continuation;
    const uint64_t now_ns = tfr_clock_ns();
    struct tfr_request_stats stats = stats_so_far(request);
    stats.total_ns = since(request, now_ns);
    stats.decode_ns = between(request->first_token_ns, now_ns);
    request->end.event = (struct tfr_event){
        .kind = TFR_EVENT_END, .text = "", .status = c->status, .error = c->status != TFR_OK ? c->error : "", .stats = stats};
    tfr_queue_tell(request, &request->end);
}

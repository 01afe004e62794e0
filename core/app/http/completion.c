/* completion.c - POST /v1/completions: asks the engine, takes its events after every step, and ends in an answer, an error, or with
 * nobody to tell. */
#include "app/http/completion.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/http/reply.h"
#include "app/http/route.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

static void free_completion(struct tfr_completion *completion) {
    for (size_t i = 0; completion->requests != NULL && i < completion->ask.prompts.n; i++) {
        tfr_request_close(completion->requests[i]); /* cancels what has not ended */
    }
    for (size_t i = 0; completion->choices != NULL && i < completion->ask.prompts.n * completion->ask.width; i++) {
        tfr_choice_free(&completion->choices[i]);
    }
    free(completion->requests);
    free(completion->told);
    free(completion->token_ns);
    free(completion->choices);
    tfr_free(completion->line.text);
    tfr_ask_free(&completion->ask);
    free(completion);
}

/* Negative: there was none, since the request left before it came to that. */
static double seconds_of(uint64_t ns) {
    return ns > 0 ? (double)ns / 1e9 : -1;
}

/* What the access log and the metrics tell: of prompts that have not ended, what was asked. */
static void fill_call(struct tfr_completion *completion) {
    struct tfr_call *call = completion->call;
    for (size_t p = 0; p < completion->ask.prompts.n; p++) {
        completion->prompt_tokens += completion->requests[p] != NULL ? completion->ask.prompts.list[p].n : 0;
    }
    const struct tfr_choice *choices = completion->choices;
    call->prompt_tokens = completion->prompt_tokens;
    call->cached_tokens = completion->cached_tokens;
    call->output_tokens = completion->output_tokens;
    call->n_choices = completion->ask.prompts.n * completion->ask.n;
    call->queue_s = seconds_of(completion->waited_ns);
    call->prefill_s = seconds_of(completion->prefill_ns);
    call->decode_s = seconds_of(completion->decode_ns);
    call->ttft_s = seconds_of(completion->first_token_ns);
    call->finish = choices != NULL && choices[0].finish != TFR_FINISH_NONE ? tfr_finish_word(choices[0].finish) : NULL;
}

/* The call does not wait any more; its completion is the caller's. */
static struct tfr_completion *take_work(struct tfr_call *call) {
    struct tfr_completion *completion = tfr_call_stop_waiting(call);
    fill_call(completion);
    return completion;
}

static void fail(struct tfr_call *call, const struct tfr_refusal *refusal, bool retries) {
    static const struct tfr_http_header never = {"x-should-retry", "false"};
    struct tfr_exchange *x = call->exchange;
    struct tfr_completion *completion = take_work(call);
    call->finish = "error";
    if (completion->ask.stream) {
        call->status = tfr_error_info(refusal->error)->status; /* what it would have been */
        tfr_call_settle(call);
        tfr_completion_tell_error(completion, refusal);
        tfr_call_free(call);
    } else {
        tfr_reply_refusal(x, refusal, &never, retries ? 0 : 1);
    }
    free_completion(completion);
}

/* The last prompt has ended. */
static void succeed(struct tfr_call *call) {
    struct tfr_completion *completion = take_work(call);
    if (completion->ask.stream) {
        tfr_call_settle(call);
        tfr_completion_tell_end(completion);
        tfr_call_free(call);
    } else {
        struct tfr_json_out out = completion->line;
        completion->line = (struct tfr_json_out){0};
        tfr_completion_write_whole(completion, &out);
        tfr_reply_json(call->exchange, 200, &out);
    }
    free_completion(completion);
}

/* It had all the time that a request may take. */
static bool is_late(const struct tfr_call *call) {
    const double most_s = tfr_settings_real(call->server->settings, "serve.request_s");
    return most_s > 0 && (double)(tfr_clock_ns() - call->begun_ns) / 1e9 >= most_s;
}

/* Why a prompt ended without an answer. What the server did wrong is logged in full and told in general. */
static void refuse_end(const struct tfr_call *call, const struct tfr_event *event, struct tfr_refusal *refusal) {
    switch (event->status) {
    case TFR_USAGE:
    case TFR_CONFIG:
    case TFR_UNSUPPORTED:
        tfr_ask_refuse_end(refusal, event->error);
        break;
    case TFR_CANCELLED: /* in time: a server that has lost a rank ends */
        tfr_refuse(refusal, is_late(call) ? TFR_ERROR_DEADLINE : TFR_ERROR_DRAINING, NULL, "request %s: %s", call->id,
                   event->error);
        break;
    case TFR_RESOURCE:
        tfr_log(TFR_LOG_ERROR, "serve", "%s: %s", call->id, event->error);
        tfr_refuse(refusal, TFR_ERROR_NO_MEMORY, NULL, "request %s: there is no memory for it now", call->id);
        break;
    case TFR_CHECK:
        tfr_log(TFR_LOG_ERROR, "serve", "%s: %s", call->id, event->error);
        tfr_refuse(refusal, TFR_ERROR_SERVER, NULL, "request %s: %s", call->id, event->error);
        break;
    default:
        tfr_log(TFR_LOG_ERROR, "serve", "%s: %s", call->id, event->error);
        tfr_refuse(refusal, TFR_ERROR_SERVER, NULL, "request %s: the server failed; its log says why", call->id);
        break;
    }
}

static uint64_t most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* Output tokens of a prompt so far: also those of what never ends are counted. */
static void count_tokens(struct tfr_completion *completion, size_t p, size_t n) {
    const size_t copies = completion->ask.width == 1 ? completion->ask.n : 1;
    completion->output_tokens += (n - completion->told[p]) * copies;
    completion->told[p] = n;
}

/* Of every event: what a request came to counts also where its client leaves before the end. */
static void take_times(struct tfr_completion *completion, const struct tfr_request_stats *stats) {
    completion->waited_ns = most(completion->waited_ns, stats->waited_ns);
    completion->prefill_ns = most(completion->prefill_ns, stats->prefill_ns);
    completion->decode_ns = most(completion->decode_ns, stats->decode_ns);
    completion->first_token_ns = most(completion->first_token_ns, stats->first_token_ns);
}

static void take_prompt(struct tfr_completion *completion, size_t p, const struct tfr_event *event) {
    const struct tfr_ask *ask = &completion->ask;
    for (size_t i = 0; i < ask->width && ask->echo; i++) {
        tfr_choice_put_prompt(&completion->choices[p * ask->width + i], ask, completion->call->server, &ask->prompts.list[p],
                              event);
        if (ask->stream) {
            tfr_completion_tell(completion, p, i);
        }
    }
}

/* The time since the last token of a text; of several that come together it is the first one's. */
static void count_gap(struct tfr_completion *completion, size_t choice, size_t n_ids) {
    const uint64_t now = tfr_clock_ns(), last = completion->token_ns[choice];
    if (n_ids > 0) {
        if (last > 0) {
            tfr_metrics_gap(&completion->call->server->metrics, (double)(now - last) / 1e9);
        }
        completion->token_ns[choice] = now;
    }
}

static void take_tokens(struct tfr_completion *completion, size_t p, const struct tfr_event *event) {
    const struct tfr_ask *ask = &completion->ask;
    count_gap(completion, p * ask->width + event->index, event->n_ids);
    count_tokens(completion, p, completion->told[p] + event->n_ids);
    tfr_choice_put_tokens(&completion->choices[p * ask->width + event->index], ask, completion->call->server, event);
    const bool has_text = event->text_size > 0 || completion->call->server->vocabulary == NULL; /* nothing is held back there */
    if (ask->stream && (has_text || event->finish != TFR_FINISH_NONE)) {
        tfr_completion_tell(completion, p, event->index);
    } else if (ask->stream) {
        tfr_completion_tell_held(completion, p, event->index);
    }
}

/* False where the call has ended with it. */
static bool take_end(struct tfr_completion *completion, size_t p, const struct tfr_event *event) {
    struct tfr_call *call = completion->call;
    struct tfr_refusal refusal;
    const enum tfr_status status = event->status;
    completion->prompt_tokens += event->stats.prompt_tokens;
    completion->cached_tokens += event->stats.cached_tokens;
    count_tokens(completion, p, event->stats.output_tokens);
    if (status != TFR_OK) {
        refuse_end(call, event, &refusal);
    }
    tfr_request_close(completion->requests[p]); /* whose the event was */
    completion->requests[p] = NULL;
    completion->n_running--;
    if (status != TFR_OK) {
        fail(call, &refusal, status != TFR_CHECK);
    }
    return status == TFR_OK;
}

/* All that has come of one prompt. False where the call has ended with it. */
static bool poll_prompt(struct tfr_completion *completion, size_t p) {
    struct tfr_event event;
    while (completion->requests[p] != NULL && tfr_request_poll(completion->requests[p], &event)) {
        take_times(completion, &event.stats);
        switch (event.kind) {
        case TFR_EVENT_PROMPT:
            take_prompt(completion, p, &event);
            break;
        case TFR_EVENT_TOKENS:
            take_tokens(completion, p, &event);
            break;
        case TFR_EVENT_END:
            if (!take_end(completion, p, &event)) {
                return false;
            }
            break;
        }
    }
    return true;
}

static bool has_failed(const struct tfr_completion *completion) {
    bool failed = completion->line.failed;
    for (size_t i = 0; i < completion->ask.prompts.n * completion->ask.width; i++) {
        failed |= tfr_choice_failed(&completion->choices[i]);
    }
    return failed;
}

static void poll_completion(struct tfr_call *call) {
    struct tfr_completion *completion = call->work;
    for (size_t p = 0; p < completion->ask.prompts.n; p++) {
        if (!poll_prompt(completion, p)) {
            return;
        }
    }
    if (has_failed(completion)) {
        struct tfr_refusal refusal;
        tfr_refuse(&refusal, TFR_ERROR_NO_MEMORY, NULL, "request %s: there is no memory for its answer now", call->id);
        fail(call, &refusal, true);
    } else if (completion->n_running == 0) {
        succeed(call);
    }
}

static void tick_completion(struct tfr_call *call, uint64_t now_ns) {
    static const char ping[] = ": ping\n\n";
    struct tfr_completion *completion = call->work;
    const uint64_t period_ns = (uint64_t)tfr_settings_int(call->server->settings, "serve.ping_s") * 1000000000u;
    if (completion->ask.stream && period_ns > 0 && now_ns > completion->written_ns + period_ns) {
        tfr_http_stream_write(call->exchange, ping, sizeof ping - 1);
        completion->written_ns = now_ns;
    }
}

static void drain_completion(struct tfr_call *call, bool at_once) {
    const struct tfr_completion *completion = call->work;
    bool begun = false;
    for (size_t p = 0; p < completion->ask.prompts.n; p++) {
        begun |= completion->requests[p] == NULL || tfr_request_admitted(completion->requests[p]);
    }
    if (!begun || at_once) {
        struct tfr_refusal refusal;
        tfr_refuse(&refusal, TFR_ERROR_DRAINING, NULL, "request %s: the server is shutting down", call->id);
        fail(call, &refusal, true);
    }
}

static void abandon_completion(struct tfr_call *call) {
    struct tfr_completion *completion = call->work;
    fill_call(completion);
    call->finish = "cancelled";
    free_completion(completion);
}

static bool make_room(struct tfr_completion *completion) {
    const size_t n = completion->ask.prompts.n;
    completion->requests = calloc(n, sizeof *completion->requests);
    completion->told = calloc(n, sizeof *completion->told);
    completion->token_ns = calloc(n * completion->ask.width, sizeof *completion->token_ns);
    completion->choices = calloc(n * completion->ask.width, sizeof *completion->choices);
    return completion->told != NULL && completion->token_ns != NULL && completion->requests != NULL && completion->choices != NULL;
}

/* All prompts or none; on TFR_BUSY nothing is queued. */
static enum tfr_status submit(struct tfr_completion *completion) {
    const struct tfr_call *call = completion->call;
    const struct tfr_ask *ask = &completion->ask;
    struct tfr_prompt *prompts = calloc(ask->prompts.n, sizeof *prompts);
    char key[TFR_CALL_ASKER];
    if (prompts == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < ask->prompts.n; i++) {
        prompts[i] = (struct tfr_prompt){.ids = ask->prompts.list[i].ids, .n_ids = ask->prompts.list[i].n};
    }
    tfr_call_asker(call, key);
    const struct tfr_request_terms terms = {.key = key,
                                            .salt = ask->salt[0] != '\0' ? ask->salt : NULL,
                                            .batch = ask->batch,
                                            .no_prefix = ask->no_prefix,
                                            .deadline_s = tfr_settings_real(call->server->settings, "serve.request_s")};
    const enum tfr_status status =
        tfr_request_submit_all(call->server->engine, prompts, ask->prompts.n, ask->params, &terms, completion->requests);
    free(prompts);
    return status;
}

/* How long to wait before asking again. Clients don't come back at all above two minutes. */
static void reply_busy(struct tfr_call *call) {
    struct tfr_serving serving;
    struct tfr_refusal refusal;
    char seconds[16], ms[24];
    tfr_refuse_failed(&refusal, TFR_ERROR_QUEUE_FULL, NULL, tfr_last_error());
    tfr_engine_serving(call->server->engine, &serving);
    const double wait = fmin(fmax(serving.estimated_wait_s, 0.1), 120);
    snprintf(seconds, sizeof seconds, "%.0f", ceil(wait));
    snprintf(ms, sizeof ms, "%.0f", ceil(wait * 1e3));
    const struct tfr_http_header headers[] = {{"Retry-After", seconds}, {"retry-after-ms", ms}};
    tfr_reply_refusal(call->exchange, &refusal, headers, 2);
}

static void reply_failed(struct tfr_call *call, enum tfr_status status) {
    struct tfr_refusal refusal;
    const struct tfr_event event = {.status = status, .error = tfr_last_error()};
    if (status == TFR_BUSY) {
        reply_busy(call);
        return;
    }
    refuse_end(call, &event, &refusal);
    tfr_reply_refusal(call->exchange, &refusal, NULL, 0);
}

static void log_prompt(struct tfr_completion *completion) {
    struct tfr_call *call = completion->call;
    const struct tfr_ask_prompt *prompt = &completion->ask.prompts.list[0];
    char *text;
    size_t size;
    if (!tfr_settings_bool(call->server->settings, "serve.log_prompts") || call->server->vocabulary == NULL) {
        return;
    }
    if (tfr_vocabulary_decode(call->server->vocabulary, prompt->ids, prompt->n, &text, &size) == TFR_OK) {
        call->logged_prompt = strndup(text, size);
        tfr_string_free(text);
    }
}

static void start(struct tfr_completion *completion) {
    struct tfr_call *call = completion->call;
    const enum tfr_status status = make_room(completion) ? submit(completion) : TFR_RESOURCE;
    if (status != TFR_OK) {
        reply_failed(call, status);
        free_completion(completion);
        return;
    }
    completion->n_running = completion->ask.prompts.n;
    completion->written_ns = tfr_clock_ns();
    call->work = completion;
    call->poll = poll_completion;
    call->tick = tick_completion;
    call->drain = drain_completion;
    call->abandon = abandon_completion;
    log_prompt(completion);
    tfr_call_wait(call);
    if (completion->ask.stream) {
        tfr_reply_events(call->exchange);
    }
}

void tfr_completion_serve(struct tfr_call *call, const void *body, size_t size, bool chat) {
    struct tfr_refusal refusal;
    struct tfr_completion *completion = calloc(1, sizeof *completion);
    if (completion == NULL) {
        tfr_reply_error(call->exchange, TFR_ERROR_NO_MEMORY, NULL, NULL);
        return;
    }
    completion->call = call;
    if (!tfr_ask_read(&completion->ask, call, body, size, &refusal)) {
        free(completion);
        if (refusal.error == TFR_ERROR_QUEUE_FULL) {
            reply_busy(call);
        } else {
            tfr_reply_refusal(call->exchange, &refusal, NULL, 0);
        }
        return;
    }
    completion->ask.chat = chat;
    tfr_completion_name(completion);
    start(completion);
}

void tfr_route_completions(struct tfr_server *server, struct tfr_exchange *x) {
    size_t size;
    const char *body = tfr_http_body(x, &size);
    (void)server;
    tfr_completion_serve(tfr_call_of(x), body, size, false);
}

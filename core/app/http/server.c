/* server.c - the life of a call, and what the transport calls. */
#include "app/http/server.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "app/help/tell.h"
#include "app/http/route.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"

void tfr_server_set_log(const struct tfr_server *server) {
    static const char *const words[] = {"error", "warn", "info", "debug", "trace"};
    const char *wanted = tfr_settings_text(server->settings, "observe.log");
    for (size_t i = 0; i < TFR_COUNT_OF(words); i++) {
        if (strcmp(words[i], wanted) == 0) {
            tfr_log_set_level((enum tfr_log_level)(TFR_LOG_ERROR + (int)i));
        }
    }
}

void tfr_server_say(void *user, const char *what) {
    (void)user;
    tfr_log(TFR_LOG_INFO, "serve", "%s", what);
}

void tfr_server_tell(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tfr_tell(format, arguments);
    va_end(arguments);
}

void tfr_server_measure_texts(struct tfr_server *server) {
    size_t longest = 1;
    for (int64_t id = 0; id < server->vocab_size && server->vocabulary != NULL; id++) {
        size_t size = 0;
        if (tfr_vocabulary_bytes(server->vocabulary, (int32_t)id, &size) != NULL && size > longest) {
            longest = size;
        }
    }
    server->longest_token = longest;
    server->most_text = (size_t)server->n_positions * longest;
}

enum tfr_status tfr_server_split(struct tfr_server *server, const char *text, size_t size, bool plain, int32_t **ids, size_t *n) {
    server->metrics.split_bytes += size;
    return tfr_vocabulary_encode(server->vocabulary, text, size, plain, ids, n);
}

/* An id of the client's is taken where it is short and plain, so that it can stand in headers and logs as it is. */
static bool is_plain_id(const char *text) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    const size_t n = strlen(text);
    return n > 0 && n <= 64 && strspn(text, plain) == n;
}

static void make_id(char *text, size_t size) {
    uint64_t random = tfr_clock_ns();
    (void)!getrandom(&random, sizeof random, GRND_NONBLOCK);
    snprintf(text, size, "req-%016llx", (unsigned long long)random);
}

void tfr_call_name(struct tfr_call *call, const char *id) {
    if (id != NULL && is_plain_id(id)) {
        snprintf(call->id, sizeof call->id, "%s", id);
    }
}

void tfr_call_asker(const struct tfr_call *call, char asker[TFR_CALL_ASKER]) {
    if (call->key >= 0) {
        snprintf(asker, TFR_CALL_ASKER, "key %d", call->key);
    } else {
        snprintf(asker, TFR_CALL_ASKER, "%s", tfr_http_host(call->exchange));
    }
}

static struct tfr_call *begin_call(struct tfr_server *server, struct tfr_exchange *x) {
    struct tfr_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        static const struct tfr_http_header soon = {"Retry-After", "2"};
        tfr_http_reply(x, 503, &soon, 1, NULL, 0);
        return NULL;
    }
    *call = (struct tfr_call){.server = server,
                              .exchange = x,
                              .key = -1,
                              .begun_ns = tfr_clock_ns(),
                              .queue_s = -1,
                              .prefill_s = -1,
                              .decode_s = -1,
                              .ttft_s = -1};
    make_id(call->id, sizeof call->id);
    tfr_call_name(call, tfr_http_header(x, "x-request-id"));
    tfr_http_set_user(x, call);
    return call;
}

void tfr_call_wait(struct tfr_call *call) {
    struct tfr_server *server = call->server;
    call->previous = NULL;
    call->next = server->pending;
    if (call->next != NULL) {
        call->next->previous = call;
    }
    server->pending = call;
    server->n_pending++;
}

void *tfr_call_stop_waiting(struct tfr_call *call) {
    struct tfr_server *server = call->server;
    void *work = call->work;
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        server->pending = call->next;
    }
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
    server->n_pending--;
    call->work = NULL;
    call->abandon = NULL;
    return work;
}

void tfr_call_settle(struct tfr_call *call) {
    tfr_metrics_call(&call->server->metrics, call);
    tfr_access_log_put(&call->server->log, call);
    tfr_http_set_user(call->exchange, NULL);
}

void tfr_call_free(struct tfr_call *call) {
    free(call->logged_prompt);
    free(call);
}

static void on_head(void *user, struct tfr_exchange *x) {
    struct tfr_call *call = begin_call(user, x);
    if (call != NULL) {
        tfr_route_head(call);
    }
}

static void on_request(void *user, struct tfr_exchange *x) {
    struct tfr_call *call = tfr_call_of(x);
    if (tfr_route_is_ready(call)) { /* the body may have come after a signal */
        call->route->handler(user, x);
    }
}

/* What has been replied has no call any more. What the transport answered is told as that, not as a client that left. */
static void on_gone(void *user, struct tfr_exchange *x, enum tfr_http_fault fault) {
    struct tfr_call *call = tfr_call_of(x);
    (void)user;
    if (call == NULL) {
        return;
    }
    if (call->abandon != NULL) {
        call->abandon(call);
        tfr_call_stop_waiting(call);
    }
    call->status = fault == TFR_HTTP_FINE ? 499 : tfr_http_fault_status(fault);
    tfr_call_settle(call);
    tfr_call_free(call);
}

/* All calls that wait, of which each may end under way. */
static void for_each(struct tfr_server *server, void (*act)(struct tfr_call *call, uint64_t now_ns)) {
    const uint64_t now_ns = tfr_clock_ns();
    for (struct tfr_call *call = server->pending, *next; call != NULL; call = next) {
        next = call->next;
        act(call, now_ns);
    }
}

static void poll_call(struct tfr_call *call, uint64_t now_ns) {
    (void)now_ns;
    call->poll(call);
}

static void tick_call(struct tfr_call *call, uint64_t now_ns) {
    if (call->tick != NULL) {
        call->tick(call, now_ns);
    }
}

static void drain_waiting(struct tfr_call *call, uint64_t now_ns) {
    (void)now_ns;
    if (call->drain != NULL) {
        call->drain(call, false);
    }
}

static void drain_all(struct tfr_call *call, uint64_t now_ns) {
    (void)now_ns;
    if (call->drain != NULL) {
        call->drain(call, true);
    }
}

/* After a drain that was cut: for the readers to take what they were told last. */
static const uint64_t last_words_ns = UINT64_C(2000000000);

/* The last reply is sent, or the time for it is over. */
static void stop_when_drained(struct tfr_server *server) {
    if (atomic_load(&server->state) != TFR_SERVER_DRAINING) {
        return;
    }
    if (!server->closing && tfr_clock_ns() >= server->drain_until_ns) {
        server->closing = true;
        for_each(server, drain_all);
        tfr_http_drain_bodies(server->http);
    }
    struct tfr_http_counts counts;
    tfr_http_counts(server->http, &counts);
    const bool is_late = server->closing && tfr_clock_ns() >= server->drain_until_ns + last_words_ns;
    if ((server->n_pending == 0 && counts.unsent == 0) || is_late) {
        tfr_http_stop(server->http);
    }
}

static void on_tick(void *user) {
    struct tfr_server *server = user;
    for_each(server, tick_call);
    stop_when_drained(server);
}

static void begin_drain(struct tfr_server *server, int64_t seconds) {
    server->drain_until_ns = tfr_clock_ns() + (uint64_t)seconds * 1000000000u;
    atomic_store(&server->state, TFR_SERVER_DRAINING);
    tfr_http_drain(server->http);
    for_each(server, drain_waiting);
    stop_when_drained(server);
}

/* The process ends now, as the signal would have ended it. */
static void end_at_once(int number) {
    tfr_abandon_files();
    _exit(128 + number);
}

/* The first one: nothing new, what runs may end, and whoever asks is told. A second one, or one while the model is being loaded:
 * the end. */
static void on_signal(void *user, int number) {
    struct tfr_server *server = user;
    int state = TFR_SERVER_LOADING;
    const bool is_loading = atomic_compare_exchange_strong(&server->state, &state, TFR_SERVER_ENDED);
    if (server->signal != 0 || is_loading) {
        fprintf(stderr, "tfrun: ended by signal %d, %s\n", number,
                is_loading ? "before the model was loaded" : "the second one, with requests under way");
        end_at_once(number);
    }
    server->signal = number;
    if (server->is_rank_gone != NULL && server->is_rank_gone()) { /* no step ends any more, and the launcher kills in a second */
        fprintf(stderr, "tfrun: another rank is gone, which the launcher tells of; %zu requests under way end now\n",
                server->n_pending);
        begin_drain(server, 0);
        tfr_engine_leave();
        return;
    }
    const int64_t seconds = tfr_settings_int(server->settings, "serve.drain_s");
    fprintf(stderr, "tfrun: no more requests are taken; %zu under way have %lld s to end\n", server->n_pending, (long long)seconds);
    begin_drain(server, seconds);
}

/* After a step, or because the engine's thread has no more of them. */
static void on_wake(void *user) {
    struct tfr_server *server = user;
    if (atomic_load(&server->is_lost) && !server->closing) {
        begin_drain(server, 0);
    }
    for_each(server, poll_call);
    stop_when_drained(server);
}

struct tfr_http_app tfr_server_app(struct tfr_server *server) {
    static const int signals[] = {SIGTERM, SIGINT};
    return (struct tfr_http_app){.user = server,
                                 .on_head = on_head,
                                 .on_request = on_request,
                                 .on_gone = on_gone,
                                 .on_wake = on_wake,
                                 .on_tick = on_tick,
                                 .on_signal = on_signal,
                                 .signals = signals,
                                 .n_signals = TFR_COUNT_OF(signals)};
}

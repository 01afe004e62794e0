/* http_probe.c - a server for the tests of the transport: http_probe [--fds N] [--host NAME] [--LIMIT=VALUE]... ADDRESS
 *
 * Prints "listening ADDRESS", and "gone PATH" for each exchange that ended before its reply, with the name of the fault where the
 * transport ended it. "X-Client: N" is told to the transport. SIGTERM drains it, the second stops
 * it. Routes: /health; /echo (the body back); /auth (401 on the head without "Bearer ok"); /never; /late?ms=; /stream?n=&size=&ms=
 * (n events of size bytes, one each ms, then [DONE]); /big?size=; /counts (the transport's counts as JSON); /fail?n= (of the
 * transport's allocations from here on the n-th finds no memory, none with 0; tells how many did not find any).
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "app/http/transport.h"

static atomic_long until_failure, n_failures;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool fails_now(void) {
    const bool fails = atomic_load(&until_failure) > 0 && atomic_fetch_sub(&until_failure, 1) == 1;
    atomic_fetch_add(&n_failures, fails);
    return fails;
}

void *__wrap_malloc(size_t size) {
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return fails_now() ? NULL : __real_realloc(memory, size);
}

/* The probe's own. */
static void *need(size_t size) {
    void *const memory = __real_calloc(1, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* A reply under way; user of its exchange. */
struct job {
    struct job *next;
    struct tfr_exchange *x;
    bool stream;
    long left, size;
    uint64_t due_ns, period_ns;
};

struct probe {
    struct tfr_http *http;
    struct job *jobs; /* the network thread's */
    atomic_int n_jobs;
    atomic_bool over;
    int signals_seen;
};

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static long number_of(const struct tfr_exchange *x, const char *name, long otherwise) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%s=", name);
    const char *const found = strstr(tfr_http_query(x), wanted);
    return found != NULL ? strtol(found + strlen(wanted), NULL, 10) : otherwise;
}

static const struct tfr_http_header json[] = {{"Content-Type", "application/json"}};

static void reply_text(struct tfr_exchange *x, int status, const char *text) {
    tfr_http_reply(x, status, json, 1, text, strlen(text));
}

static void add_job(struct probe *probe, struct tfr_exchange *x, bool stream) {
    struct job *const job = need(sizeof *job);
    *job = (struct job){probe->jobs, x, stream, number_of(x, "n", 3), number_of(x, "size", 20), 0, 0};
    job->period_ns = (uint64_t)number_of(x, "ms", 5) * 1000000u;
    job->due_ns = now_ns() + job->period_ns;
    probe->jobs = job;
    atomic_fetch_add(&probe->n_jobs, 1);
    tfr_http_set_user(x, job);
    if (stream) {
        static const struct tfr_http_header headers[] = {{"Content-Type", "text/event-stream"}, {"X-Bad", "a\r\nb"}};
        tfr_http_stream_begin(x, 200, headers, 2);
    }
}

static void drop_job(struct probe *probe, struct job *job) {
    struct job **link = &probe->jobs;
    while (*link != job) {
        link = &(*link)->next;
    }
    *link = job->next;
    free(job);
    atomic_fetch_sub(&probe->n_jobs, 1);
}

static void write_event(const struct job *job) {
    char *const text = need((size_t)job->size + 16);
    memcpy(text, "data: ", 6);
    memset(text + 6, 'x', (size_t)job->size);
    memcpy(text + 6 + job->size, "\n\n", 2);
    tfr_http_stream_write(job->x, text, (size_t)job->size + 8);
    free(text);
}

static void do_job(struct probe *probe, struct job *job) {
    static const char done[] = "data: [DONE]\n\n";
    if (job->stream && job->left-- > 0) {
        job->due_ns += job->period_ns;
        write_event(job);
        return;
    }
    if (job->stream) {
        tfr_http_stream_end(job->x, done, sizeof done - 1);
    } else {
        reply_text(job->x, 200, "{\"late\":true}");
    }
    drop_job(probe, job);
}

static void on_wake(void *user) {
    struct probe *const probe = user;
    const uint64_t now = now_ns();
    for (struct job *job = probe->jobs, *next; job != NULL; job = next) {
        next = job->next;
        if (job->due_ns <= now) {
            do_job(probe, job);
        }
    }
}

static void reply_counts(struct probe *probe, struct tfr_exchange *x) {
    struct tfr_http_counts counts;
    tfr_http_counts(probe->http, &counts);
    char text[4096];
    int n = snprintf(text, sizeof text,
                     "{\"open\":%zu,\"busy\":%zu,\"held\":%zu,\"accepted\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"gone\":%" PRIu64
                     ",\"closed_for_room\":%" PRIu64 ",\"no_descriptor\":%" PRIu64 ",\"turns\":%" PRIu64 ",\"wakes\":%" PRIu64,
                     counts.open, counts.busy, counts.held_bytes, counts.accepted, counts.requests, counts.gone,
                     counts.closed_for_room, counts.no_descriptor, counts.turns, counts.wakes);
    for (int i = 1; i < TFR_HTTP_N_FAULTS; i++) {
        n += snprintf(text + n, sizeof text - (size_t)n, ",\"%s\":%" PRIu64, tfr_http_fault_name(i), counts.refused[i]);
    }
    snprintf(text + n, sizeof text - (size_t)n, "}");
    reply_text(x, 200, text);
}

static void reply_failures(struct tfr_exchange *x) {
    char text[64];
    atomic_store(&until_failure, 0);
    snprintf(text, sizeof text, "{\"failures\":%ld}", atomic_load(&n_failures));
    const long n = number_of(x, "n", 0);
    reply_text(x, 200, text);
    atomic_store(&until_failure, n);
}

static void on_head(void *user, struct tfr_exchange *x) {
    const char *const key = tfr_http_header(x, "authorization"), *const client = tfr_http_header(x, "x-client");
    tfr_http_set_client(x, client != NULL ? strtoul(client, NULL, 10) : 0);
    if (strcmp(tfr_http_path(x), "/auth") == 0 && (key == NULL || strcmp(key, "Bearer ok") != 0)) {
        reply_text(x, 401, "{\"error\":\"no key\"}");
    }
}

static void reply_big(struct tfr_exchange *x) {
    const size_t size = (size_t)number_of(x, "size", 1000000);
    char *const text = need(size + 1);
    memset(text, 'b', size);
    tfr_http_reply(x, 200, NULL, 0, text, size);
    free(text);
}

static void on_request(void *user, struct tfr_exchange *x) {
    const char *const path = tfr_http_path(x);
    size_t size;
    const char *const body = tfr_http_body(x, &size);
    if (strcmp(path, "/health") == 0) {
        reply_text(x, 200, "{\"status\":\"ok\"}");
    } else if (strcmp(path, "/counts") == 0) {
        reply_counts(user, x);
    } else if (strcmp(path, "/fail") == 0) {
        reply_failures(x);
    } else if (strcmp(path, "/echo") == 0 || strcmp(path, "/auth") == 0) {
        const struct tfr_http_header headers[] = {{"X-Peer", tfr_http_peer(x)}};
        tfr_http_reply(x, 200, headers, 1, body, size);
    } else if (strcmp(path, "/big") == 0) {
        reply_big(x);
    } else if (strcmp(path, "/stream") == 0 || strcmp(path, "/late") == 0) {
        add_job(user, x, path[1] == 's');
    } else if (strcmp(path, "/none") == 0) {
        tfr_http_reply(x, 204, NULL, 0, "", 0);
    } else if (strcmp(path, "/never") != 0) {
        reply_text(x, 404, "{\"error\":\"no route\"}");
    }
}

static void on_gone(void *user, struct tfr_exchange *x, enum tfr_http_fault fault) {
    const bool left = fault == TFR_HTTP_FINE;
    printf("gone %s%s%s\n", tfr_http_path(x), left ? "" : " ", left ? "" : tfr_http_fault_name(fault));
    fflush(stdout);
    if (tfr_http_user(x) != NULL) {
        drop_job(user, tfr_http_user(x));
    }
}

static void on_signal(void *user, int number) {
    struct probe *const probe = user;
    printf("signal %d\n", number);
    fflush(stdout);
    if (probe->signals_seen++ == 0) {
        tfr_http_drain(probe->http);
    } else {
        tfr_http_stop(probe->http);
    }
}

static void on_tick(void *user) {
    struct probe *const probe = user;
    struct tfr_http_counts counts;
    tfr_http_counts(probe->http, &counts);
    if (probe->signals_seen > 0 && counts.unsent == 0) {
        tfr_http_stop(probe->http);
    }
}

/* What the engine's thread is in a real server: it has something to tell every now and then. */
static void *produce(void *user) {
    struct probe *const probe = user;
    while (!atomic_load(&probe->over)) {
        const struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        if (atomic_load(&probe->n_jobs) > 0) {
            tfr_http_wake(probe->http);
        }
    }
    return NULL;
}

/* "--head_s=0.3". */
static bool set_limit(struct tfr_http_limits *limits, const char *flag) {
#define TFR_HTTP_LIMIT(type, name, value, what)                                                                                    \
    if (strncmp(flag, "--" #name "=", sizeof #name + 2) == 0) {                                                                    \
        limits->name = (type)strtod(flag + sizeof #name + 2, NULL);                                                                \
        return true;                                                                                                               \
    }
#include "app/http/http_limits.def"
#undef TFR_HTTP_LIMIT
    return false;
}

static const char *parse(int argc, char **argv, struct tfr_http_limits *limits) {
    static const char *hosts[1];
    const char *address = "127.0.0.1:0";
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--fds=", 6) == 0) {
            const rlim_t n = strtoul(argv[i] + 6, NULL, 10);
            setrlimit(RLIMIT_NOFILE, &(struct rlimit){n, n});
        } else if (strncmp(argv[i], "--host=", 7) == 0) {
            hosts[0] = argv[i] + 7;
            limits->hosts = hosts;
            limits->n_hosts = 1;
        } else if (!set_limit(limits, argv[i])) {
            address = argv[i];
        }
    }
    return address;
}

int main(int argc, char **argv) {
    static const int signals[] = {SIGTERM, SIGINT};
    struct probe probe = {.signals_seen = 0};
    struct tfr_http_limits limits;
    const struct tfr_http_app app = {&probe, on_head, on_request, on_gone, NULL, on_wake, on_tick, on_signal, signals, 2};
    char error[512] = "";
    tfr_http_block_signals(signals, 2);
    tfr_http_limits_default(&limits);
    const char *const address = parse(argc, argv, &limits);
    if (tfr_http_open(&probe.http, address, &limits, &app, error, sizeof error) != 0) {
        fprintf(stderr, "http_probe: %s\n", error);
        return 5;
    }
    printf("listening %s\n", tfr_http_address(probe.http));
    fflush(stdout);
    pthread_t producer;
    if (pthread_create(&producer, NULL, produce, &probe) != 0) {
        return 5;
    }
    const int failed = tfr_http_run(probe.http, error, sizeof error);
    atomic_store(&probe.over, true);
    pthread_join(producer, NULL);
    tfr_http_close(probe.http);
    if (failed != 0) {
        fprintf(stderr, "http_probe: %s\n", error);
    }
    return failed != 0;
}

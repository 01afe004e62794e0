/* access_log.c - see access_log.h. */
#include "app/http/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "app/http/route.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"

bool tfr_access_log_open(struct tfr_access_log *log, const char *path, const char *format, char *error, size_t size) {
    *log = (struct tfr_access_log){.file = STDERR_FILENO, .json = strcmp(format, "json") == 0, .off = strcmp(format, "off") == 0};
    if (path == NULL || log->off) {
        return true;
    }
    log->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0640);
    if (log->file < 0) {
        snprintf(error, size, "serve.access_log = %s: %s", path, strerror(errno));
    }
    return log->file >= 0;
}

void tfr_access_log_close(struct tfr_access_log *log) {
    if (log->file > STDERR_FILENO) {
        close(log->file);
    }
    log->file = STDERR_FILENO;
}

/* "2026-11-28T21:24:14.123Z" */
static void put_time(char *text, size_t size) {
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    const size_t n = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + n, size - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

static double total_ms(const struct tfr_call *call) {
    return tfr_rounded_ms((double)(tfr_clock_ns() - call->begun_ns) / 1e9);
}

/* Nothing where there was none. */
static void put_ms(struct tfr_json_out *out, const char *key, double seconds) {
    if (seconds >= 0) {
        tfr_json_put_number(out, key, tfr_rounded_ms(seconds));
    }
}

static void put_json(struct tfr_json_out *out, const struct tfr_call *call, const char *time) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "time", time);
    tfr_json_put_text(out, "peer", tfr_http_peer(call->exchange));
    tfr_json_put_text(out, "method", tfr_http_method(call->exchange));
    tfr_json_put_text(out, "path", tfr_http_path(call->exchange));
    tfr_json_put_int(out, "status", call->status);
    tfr_json_put_number(out, "ms", total_ms(call));
    tfr_json_put_text(out, "id", call->id);
    if (call->key >= 0) {
        tfr_json_put_int(out, "key", call->key + 1);
    }
    if (call->prompt_tokens > 0) {
        tfr_json_put_int(out, "prompt_tokens", (int64_t)call->prompt_tokens);
    }
    if (call->n_choices > 0) {
        tfr_json_put_int(out, "cached_tokens", (int64_t)call->cached_tokens);
        tfr_json_put_int(out, "output_tokens", (int64_t)call->output_tokens);
        tfr_json_put_int(out, "choices", (int64_t)call->n_choices);
        put_ms(out, "queue_ms", call->queue_s);
        put_ms(out, "ttft_ms", call->ttft_s);
    }
    if (call->finish != NULL) {
        tfr_json_put_text(out, "finish", call->finish);
    }
    if (call->logged_prompt != NULL) {
        tfr_json_put_text(out, "prompt", call->logged_prompt);
    }
    tfr_json_end(out, '}');
}

static void put_text_ms(struct tfr_json_out *out, const char *key, double seconds) {
    char text[64];
    if (seconds >= 0) {
        snprintf(text, sizeof text, " %s=%.3f ms", key, seconds * 1e3);
        tfr_json_put_raw(out, text);
    }
}

/* Method and path are visible ASCII characters, the id letters and digits: the transport and server.c saw to it. */
static void put_text(struct tfr_json_out *out, const struct tfr_call *call, const char *time) {
    char line[512];
    snprintf(line, sizeof line, "%s %s %.20s %.200s %d %.3f ms id=%s", time, tfr_http_peer(call->exchange),
             tfr_http_method(call->exchange), tfr_http_path(call->exchange), call->status, total_ms(call), call->id);
    tfr_json_put_raw(out, line);
    if (call->key >= 0) {
        snprintf(line, sizeof line, " key=%d", call->key + 1);
        tfr_json_put_raw(out, line);
    }
    if (call->prompt_tokens > 0) {
        snprintf(line, sizeof line, " prompt=%zu", call->prompt_tokens);
        tfr_json_put_raw(out, line);
    }
    if (call->n_choices > 0) {
        snprintf(line, sizeof line, " cached=%zu output=%zu choices=%zu", call->cached_tokens, call->output_tokens,
                 call->n_choices);
        tfr_json_put_raw(out, line);
        put_text_ms(out, "queue", call->queue_s);
        put_text_ms(out, "ttft", call->ttft_s);
    }
    if (call->finish != NULL) {
        tfr_json_put_raw(out, " finish=");
        tfr_json_put_raw(out, call->finish);
    }
    if (call->logged_prompt != NULL) {
        tfr_json_put_raw(out, " text=");
        tfr_json_put_text(out, NULL, call->logged_prompt);
    }
}

/* Told at the first line that is lost, and at the first one that is not. */
static void deliver(struct tfr_access_log *log, char *text, size_t size) {
    static char newline[] = "\n";
    struct iovec parts[] = {{newline, log->cut ? 1 : 0}, {text, size}};
    const ssize_t n = writev(log->file, parts, 2);
    if (n == (ssize_t)(parts[0].iov_len + size)) {
        if (log->lost > 0) {
            fprintf(stderr, "tfrun: %zu lines of the access log are lost; it can be written again\n", log->lost);
        }
        log->lost = 0;
        log->cut = false;
        return;
    }
    const char *why = n < 0 ? strerror(errno) : "no room is left";
    log->cut = n > 0 || log->cut;
    if (log->lost++ == 0) {
        fprintf(stderr, "tfrun: the access log can't be written: %s; requests go on without it\n", why);
    }
}

void tfr_access_log_put(struct tfr_access_log *log, const struct tfr_call *call) {
    struct tfr_json_out out = {0};
    char time[40];
    if (log->off || (call->route != NULL && call->route->log == TFR_ROUTE_QUIET)) {
        return;
    }
    put_time(time, sizeof time);
    if (log->json) {
        put_json(&out, call, time);
    } else {
        put_text(&out, call, time);
    }
    tfr_json_put_raw(&out, "\n");
    if (!out.failed) {
        deliver(log, out.text, out.size);
    }
    tfr_free(out.text);
}

/* log.c - formats a diagnostic once and hands it to the callback or to stderr.
 *
 * A text of several lines becomes several lines with the same head, each in one write(2), so that lines of
 * different threads and ranks do not mix.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"

enum { TEXT_BYTES = 8192, HEAD_BYTES = 64 };

static atomic_int level_now = TFR_LOG_INFO;
static tfr_log_fn callback;
static void *callback_user;

static void write_all(const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t n = write(STDERR_FILENO, bytes, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; /* nobody listens: a diagnostic about diagnostics has nowhere to go */
        }
        bytes += n;
        size -= (size_t)n;
    }
}

static int put_head(char *to, size_t size, enum tfr_log_level level, const char *area) {
    if (level == TFR_LOG_ERROR) {
        return snprintf(to, size, "tfrun: ");
    }
    if (level == TFR_LOG_WARN) {
        return snprintf(to, size, "tfrun: warning: ");
    }
    return snprintf(to, size, "tfrun [%.32s]: ", area);
}

static void write_lines(enum tfr_log_level level, const char *area, char *text) {
    char line[TEXT_BYTES + HEAD_BYTES];
    int head = put_head(line, HEAD_BYTES, level, area);
    char *rest = text;
    do {
        char *part = strsep(&rest, "\n");
        if (part[0] == '\0' && part != text) {
            continue;
        }
        tfr_defuse(part);
        int size = snprintf(line + head, sizeof(line) - (size_t)head, "%s\n", part);
        write_all(line, (size_t)head + (size_t)size);
    } while (rest != NULL);
}

void tfr_log_set_level(enum tfr_log_level level) {
    atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

enum tfr_log_level tfr_log_level(void) {
    return (enum tfr_log_level)atomic_load_explicit(&level_now, memory_order_relaxed);
}

void tfr_log_set_callback(tfr_log_fn fn, void *user) {
    callback = fn;
    callback_user = user;
}

void tfr_log(enum tfr_log_level level, const char *area, const char *format, ...) {
    if (level == TFR_LOG_NONE || level > tfr_log_level()) {
        return;
    }
    char text[TEXT_BYTES - 1]; /* leaves room for the line end that write_lines adds */
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size < 0) {
        return;
    }
    if (callback != NULL) {
        callback(callback_user, level, area, text);
        return;
    }
    write_lines(level, area, text);
}

/* access_log.h - one line a request, as text or JSON, to stderr or a file. Never a prompt unless it is asked for; whatever a client
 * said is escaped. A file that can't be written, or
 * not now, is told once, and requests go on: nothing here waits. Thread rule: network thread. */
#ifndef TFR_APP_HTTP_ACCESS_LOG_H
#define TFR_APP_HTTP_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>

struct tfr_call;

struct tfr_access_log {
    int file; /* descriptor */
    bool json, off;
    size_t lost; /* lines since the last one that was written */
    bool cut;    /* the last line lacks its end */
};

/* False with a sentence in `error` where the file can't be opened. `path` NULL: stderr. `format`: text, json or off. */
bool tfr_access_log_open(struct tfr_access_log *log, const char *path, const char *format, char *error, size_t size);
void tfr_access_log_close(struct tfr_access_log *log);
void tfr_access_log_put(struct tfr_access_log *log, const struct tfr_call *call);

#endif

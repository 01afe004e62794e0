/* results.h - the one way to stdout: what a command is asked for, and nothing else.
 *
 * What libraries print on stdout (oneDNN's verbose lines, a plugin's printf) goes to stderr. On a terminal control characters
 * but tab and line end are replaced, as text of a model or a file must not steer it; a pipe and a file get every byte. The first
 * failure is kept and whatever comes after it is dropped. Thread rule: main thread. */
#ifndef TFR_APP_RESULTS_H
#define TFR_APP_RESULTS_H

#include <tfrun/types.h>

/* First of all, before any library is at work. */
void tfr_results_open(void);
void tfr_results_put(const char *bytes, size_t size);
/* A short formatted text, at most 4 KiB. */
void tfr_results_print(const char *format, ...) TFR_PRINTF(1, 2);
/* Bytes of a token between quotes, what is not plain ASCII as \xHH. */
void tfr_results_put_piece(const char *bytes, size_t size);
/* Stdout as it was before open, for a program that takes this one's place. */
void tfr_results_give_back(void);
/* Of what was sent, the pipe still holds some that nobody has read. */
bool tfr_results_are_unread(void);
/* Sends what is waiting. 0, or the errno of the first failure of all. */
int tfr_results_flush(void);

/* Text that is kept until the end, for a file: grown as needed. Without memory `failed` is set, to be looked at once. */
struct tfr_kept {
    char *text; /* free() it; NULL while nothing is kept */
    size_t size, capacity;
    bool failed;
};
void tfr_kept_put(struct tfr_kept *kept, const char *bytes, size_t size);

#endif

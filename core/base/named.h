/* named.h - the signal that tells a rank that another one has spoken: it has named this one as the one that does not answer, or
 * told of a message that failed.
 *
 * Ranks of the command line block it from the start (tfr_launched_hear) and never take it: whether it waits is all that is
 * looked at. By default it does nothing, so any process may be sent it, and a stopped one has it when it goes on. */
#ifndef TFR_BASE_NAMED_H
#define TFR_BASE_NAMED_H

#include <signal.h>
#include <stdbool.h>

enum { TFR_SIGNAL_NAMED = SIGURG };

static inline bool tfr_is_named(void) {
    sigset_t waiting;
    return sigpending(&waiting) == 0 && sigismember(&waiting, TFR_SIGNAL_NAMED) == 1;
}

#endif

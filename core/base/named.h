/* named.h - the signal that tells a process that another rank has named it as the one that does not answer.
 *
 * It is blocked from the start and never taken: whether it waits is all that is looked at. By default it does nothing, so any
 * process may be sent it, and a stopped one has it when it goes on. */
#ifndef TFR_BASE_NAMED_H
#define TFR_BASE_NAMED_H

#include <signal.h>

enum { TFR_SIGNAL_NAMED = SIGURG };

#endif

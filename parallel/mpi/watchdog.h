/* watchdog.h - a limit on calls that wait inside a library: the start of MPI, which waits for ranks that may
 * never come.
 *
 * A thread of its own watches; when the time is over it says why and ends the process, upon which the
 * launcher ends the job. Thread rule: started and stopped by one thread.
 */
#ifndef TFR_MPI_WATCHDOG_H
#define TFR_MPI_WATCHDOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct tfr_watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool is_running, is_stopped;
    int64_t limit_ms;
    char sentence[256];
};

/* limit_ms 0: no limit. Where no thread can be had the call goes unwatched. */
void tfr_watchdog_start(struct tfr_watchdog *dog, int64_t limit_ms, const char *sentence);
void tfr_watchdog_stop(struct tfr_watchdog *dog);

#endif

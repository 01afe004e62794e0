/* watchdog.c - waits on a condition with a deadline; nobody can be asked to clean up where the main thread
 * hangs. */
#include "mpi/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/status.h"

static struct timespec deadline_in(int64_t ms) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

/* False when it was stopped before. */
static bool sleep_through(struct tfr_watchdog *dog, int64_t ms) {
    const struct timespec deadline = deadline_in(ms);
    int error = 0;
    while (!dog->is_stopped && error != ETIMEDOUT) {
        error = pthread_cond_timedwait(&dog->stop, &dog->lock, &deadline);
    }
    return !dog->is_stopped;
}

/* In short sleeps, so that time in which this process itself was stopped counts as one of them at most. */
static void *watch(void *arg) {
    enum { SLEEP_MS = 250 };
    struct tfr_watchdog *dog = arg;
    int64_t left_ms = dog->limit_ms;
    pthread_mutex_lock(&dog->lock);
    while (left_ms > 0 && sleep_through(dog, left_ms < SLEEP_MS ? left_ms : SLEEP_MS)) {
        left_ms -= SLEEP_MS;
    }
    if (!dog->is_stopped) {
        tfr_log(TFR_LOG_ERROR, "mpi", "%s", dog->sentence);
        _exit(tfr_status_exit_code(TFR_RUNTIME));
    }
    pthread_mutex_unlock(&dog->lock);
    return NULL;
}

void tfr_watchdog_start(struct tfr_watchdog *dog, int64_t limit_ms, const char *sentence) {
    pthread_condattr_t monotonic;
    sigset_t all, before;
    *dog = (struct tfr_watchdog){.limit_ms = limit_ms};
    snprintf(dog->sentence, sizeof dog->sentence, "%s", sentence);
    if (limit_ms <= 0) {
        return;
    }
    pthread_mutex_init(&dog->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&dog->stop, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    dog->is_running = pthread_create(&dog->thread, NULL, watch, dog) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void tfr_watchdog_stop(struct tfr_watchdog *dog) {
    if (!dog->is_running) {
        return;
    }
    pthread_mutex_lock(&dog->lock);
    dog->is_stopped = true;
    pthread_cond_signal(&dog->stop);
    pthread_mutex_unlock(&dog->lock);
    pthread_join(dog->thread, NULL);
    dog->is_running = false;
}

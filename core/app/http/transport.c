/* transport.c - the server: opening, the loop of the network thread, its timer, closing. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "app/http/transport_inner.h"

enum { EVENTS_A_TURN = 128, NICE = -10 };

void tfr_http_limits_default(struct tfr_http_limits *limits) {
    *limits = (struct tfr_http_limits){
#define TFR_HTTP_LIMIT(type, name, value, what) .name = value,
#include "app/http/http_limits.def"
#undef TFR_HTTP_LIMIT
    };
}

uint64_t tfr_http_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static sigset_t set_of(const int *signals, size_t n) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < n; i++) {
        sigaddset(&set, signals[i]);
    }
    return set;
}

void tfr_http_block_signals(const int *signals, size_t n) {
    const sigset_t set = set_of(signals, n);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static bool watch(struct tfr_http *http, int *fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};
    return *fd >= 0 && epoll_ctl(http->epoll, EPOLL_CTL_ADD, *fd, &event) == 0;
}

static bool open_descriptors(struct tfr_http *http) {
    http->epoll = epoll_create1(EPOLL_CLOEXEC);
    http->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    http->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    http->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const sigset_t set = set_of(http->app.signals, http->app.n_signals);
    http->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return http->epoll >= 0 && http->spare >= 0 && watch(http, &http->wake) && watch(http, &http->timer) &&
           watch(http, &http->signals) && watch(http, &http->listener);
}

static bool limits_fit(struct tfr_http_limits *limits, char *error, size_t size) {
    if (limits->max_lines > TFR_HEAD_LINES || limits->min_rate <= 0 || limits->tick_s <= 0) {
        snprintf(error, size, "the limits of the server: at most %d header lines, a rate and a tick above 0", TFR_HEAD_LINES);
        return false;
    }
    return true;
}

int tfr_http_open(struct tfr_http **http, const char *address, const struct tfr_http_limits *limits, const struct tfr_http_app *app,
                  char *error, size_t size) {
    struct tfr_http *const made = calloc(1, sizeof *made);
    *http = NULL;
    if (made == NULL) {
        snprintf(error, size, "no memory for the server at %s", address);
        return -1;
    }
    made->limits = *limits;
    made->app = *app;
    made->epoll = made->listener = made->wake = made->timer = made->signals = made->spare = -1;
    made->timer_ns = made->tick_ns = UINT64_MAX;
    made->listening = true;
    if (!limits_fit(&made->limits, error, size) || tfr_http_listen(made, address, error, size) != 0) {
        tfr_http_close(made);
        return -1;
    }
    if (!open_descriptors(made)) {
        snprintf(error, size, "cannot watch %s: %s; raise the limit of open files (ulimit -n)", address, strerror(errno));
        tfr_http_close(made);
        return -1;
    }
    *http = made;
    return 0;
}

/* Those of this turn, but not what is still asked to be looked at. */
static void free_dead(struct tfr_http *http) {
    struct tfr_conn **link = &http->dead;
    while (*link != NULL) {
        struct tfr_conn *const conn = *link;
        if (conn->queued) {
            link = &conn->next;
        } else {
            *link = conn->next;
            free(conn);
        }
    }
}

static void look_again(struct tfr_http *http) {
    struct tfr_conn *conn = http->again;
    http->again = NULL;
    while (conn != NULL) {
        struct tfr_conn *const next = conn->again;
        conn->queued = false;
        tfr_conn_advance(conn);
        conn = next;
    }
    free_dead(http);
}

static void close_descriptor(int fd) {
    if (fd >= 0) {
        close(fd);
    }
}

void tfr_http_close(struct tfr_http *http) {
    if (http == NULL) {
        return;
    }
    tfr_http_unlisten(http);
    while (http->first != NULL) {
        tfr_conn_lose(http->first);
    }
    look_again(http);
    tfr_bytes_free(http, &http->head);
    close_descriptor(http->epoll);
    close_descriptor(http->wake);
    close_descriptor(http->timer);
    close_descriptor(http->signals);
    close_descriptor(http->spare);
    free(http->unix_path);
    free(http);
}

const char *tfr_http_address(const struct tfr_http *http) {
    return http->address;
}

bool tfr_http_is_local(const struct tfr_http *http) {
    return http->local;
}

void tfr_http_counts(const struct tfr_http *http, struct tfr_http_counts *counts) {
    *counts = http->counts;
    for (const struct tfr_conn *conn = http->first; conn != NULL; conn = conn->next) {
        const bool waits = conn->turned_away || conn->state == CONN_IDLE || conn->state == CONN_HEAD ||
                           (conn->state == CONN_LINGER && !conn->interrupts);
        counts->unsent += !waits;
    }
}

void tfr_http_wake(struct tfr_http *http) {
    const uint64_t one = 1;
    if (!atomic_exchange(&http->woken, true)) {
        const ssize_t written = write(http->wake, &one, sizeof one);
        (void)written; /* fails only when the counter is full, and then the thread wakes anyway */
    }
}

void tfr_http_stop(struct tfr_http *http) {
    atomic_store(&http->stopped, true);
    tfr_http_wake(http);
}

void tfr_http_drain(struct tfr_http *http) {
    http->draining = true;
}

void tfr_http_drain_bodies(struct tfr_http *http) {
    for (struct tfr_conn *conn = http->first; conn != NULL; conn = conn->next) {
        if (conn->state == CONN_BODY) {
            tfr_conn_refuse(conn, TFR_HTTP_DRAINING);
        }
    }
}

void tfr_http_due(struct tfr_http *http, uint64_t ns) {
    if (ns < http->timer_ns) {
        const struct itimerspec at = {.it_value = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)}};
        timerfd_settime(http->timer, TFD_TIMER_ABSTIME, &at, NULL);
        http->timer_ns = ns;
    }
}

static void tick(struct tfr_http *http, uint64_t now) {
    const uint64_t period = (uint64_t)(http->limits.tick_s * 1e9);
    if (now < http->tick_ns) {
        return;
    }
    http->tick_ns = now - http->tick_ns < period ? http->tick_ns + period : now + period;
    if (!http->listening && http->listener >= 0) {
        http->listening = watch(http, &http->listener);
    }
    if (http->app.on_tick != NULL) {
        http->app.on_tick(http->app.user);
    }
}

/* One timer for all deadlines: it is set to the earliest one, and what is over by then is found by looking at all. */
static void on_timer(struct tfr_http *http) {
    uint64_t fired, next = UINT64_MAX;
    const ssize_t got = read(http->timer, &fired, sizeof fired);
    (void)got;
    const uint64_t now = tfr_http_now();
    for (struct tfr_conn *conn = http->first, *following; conn != NULL; conn = following) {
        following = conn->next;
        tfr_conn_expire(conn, now);
    }
    tick(http, now);
    for (const struct tfr_conn *conn = http->first; conn != NULL; conn = conn->next) {
        const uint64_t due = tfr_conn_next_ns(conn);
        next = due < next ? due : next;
    }
    http->timer_ns = UINT64_MAX;
    tfr_http_due(http, next < http->tick_ns ? next : http->tick_ns);
}

static void on_wake(struct tfr_http *http) {
    uint64_t count;
    const ssize_t got = read(http->wake, &count, sizeof count);
    (void)got;
    atomic_store(&http->woken, false); /* before the call: a wake during it is another one */
    http->counts.wakes++;
    if (http->app.on_wake != NULL) {
        http->app.on_wake(http->app.user);
    }
}

static void on_signals(struct tfr_http *http) {
    struct signalfd_siginfo info;
    while (read(http->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (http->app.on_signal != NULL) {
            http->app.on_signal(http->app.user, (int)info.ssi_signo);
        }
    }
}

static void dispatch(struct tfr_http *http, const struct epoll_event *event) {
    void *const source = event->data.ptr;
    if (source == &http->wake) {
        on_wake(http);
    } else if (source == &http->timer) {
        on_timer(http);
    } else if (source == &http->signals) {
        on_signals(http);
    } else if (source != &http->listener) {
        tfr_conn_event(source, event->events);
    } else if (http->listener >= 0) {
        tfr_http_accept(http);
    }
}

int tfr_http_run(struct tfr_http *http, char *error, size_t size) {
    struct epoll_event events[EVENTS_A_TURN];
    /* Above the threads that compute: else a token waits for the end of their time slice. */
    http->counts.raised = setpriority(PRIO_PROCESS, 0, NICE) == 0;
    http->tick_ns = tfr_http_now() + (uint64_t)(http->limits.tick_s * 1e9);
    tfr_http_due(http, http->tick_ns);
    while (!atomic_load(&http->stopped)) {
        const int n = epoll_wait(http->epoll, events, EVENTS_A_TURN, http->again != NULL ? 0 : -1);
        if (n < 0 && errno != EINTR) {
            snprintf(error, size, "cannot wait for connections at %s: %s", http->address, strerror(errno));
            return -1;
        }
        http->counts.turns++;
        for (int i = 0; i < n; i++) {
            dispatch(http, &events[i]);
        }
        look_again(http);
    }
    return 0;
}

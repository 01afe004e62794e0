/* probe_http.c - what the HTTP transport costs: an idle connection, an event of a stream, the way from the post of an event to its
 * client.
 *
 *     probe_http [streams] [steps] [step_us] [burners]
 *
 * One process: the network thread; this one, which posts an event to every stream each step_us, as an engine does; a client that
 * reads them all; and burners, threads that only compute. Prints one line for each measure.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "app/http/transport.h"
#include "usage.h"

enum { MOST_STREAMS = 250, IDLE = 250, EVENT = 230, HEAD_OF_EVENT = 26 };

static struct tfr_http *http;
static struct tfr_exchange *streams[MOST_STREAMS];
static atomic_int n_open;
static _Atomic uint64_t posted_ns; /* of the newest step */
static atomic_bool over, ending;
static int n_streams = 64, n_steps = 500, step_us = 10000, n_burners = 2;
static uint64_t *waits; /* of all events, in nanoseconds */
static size_t n_waits;

static void die(const char *what) {
    fprintf(stderr, "probe_http: %s\n", what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void on_request(void *user, struct tfr_exchange *x) {
    if (strcmp(tfr_http_path(x), "/stream") == 0) {
        tfr_http_stream_begin(x, 200, NULL, 0);
        streams[atomic_load(&n_open)] = x;
        atomic_fetch_add(&n_open, 1);
    } else {
        tfr_http_reply(x, 200, NULL, 0, "ok", 2);
    }
}

/* One event a stream, with the time of its post in front. */
static void on_wake(void *user) {
    char event[EVENT];
    memset(event, 'x', sizeof event);
    char stamp[HEAD_OF_EVENT + 1];
    snprintf(stamp, sizeof stamp, "data: %020" PRIu64, atomic_load(&posted_ns));
    memcpy(event, stamp, HEAD_OF_EVENT);
    memcpy(event + EVENT - 2, "\n\n", 2);
    for (int i = 0; i < atomic_load(&n_open); i++) {
        if (atomic_load(&ending)) {
            tfr_http_stream_end(streams[i], NULL, 0);
        } else {
            tfr_http_stream_write(streams[i], event, sizeof event);
        }
    }
    if (atomic_load(&ending)) {
        atomic_store(&n_open, 0);
    }
}

static void *serve(void *user) {
    char error[256];
    if (tfr_http_run(http, error, sizeof error) != 0) {
        die(error);
    }
    return NULL;
}

static volatile double burned;

static void *burn(void *user) {
    double x = 1;
    while (!atomic_load(&over)) {
        for (int i = 0; i < 100000; i++) {
            x = x * 1.0000001 + 1e-9;
        }
    }
    burned = x;
    return NULL;
}

static int connect_to(void) {
    const char *const address = tfr_http_address(http);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1))};
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        die("cannot connect");
    }
    return fd;
}

static void ask(int fd, const char *path) {
    char text[128];
    const int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    if (write(fd, text, (size_t)n) != n) {
        die("cannot ask");
    }
}

/* Reads every stream as it comes. An event is one send, so it is one read, unless the client is late: then the first counts. */
static void *read_streams(void *user) {
    const int *const fds = user;
    const int epoll = epoll_create1(0);
    setpriority(PRIO_PROCESS, 0, -15); /* a client has a machine of its own */
    for (int i = 0; i < n_streams; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
    }
    while (!atomic_load(&over)) {
        struct epoll_event events[MOST_STREAMS];
        const int n = epoll_wait(epoll, events, MOST_STREAMS, 100);
        for (int i = 0; i < n; i++) {
            char text[8192];
            const ssize_t got = read(events[i].data.fd, text, sizeof text - 1);
            const uint64_t now = now_ns();
            text[got > 0 ? got : 0] = '\0';
            const char *const stamp = strstr(text, "data: ");
            if (stamp != NULL && n_waits < (size_t)n_streams * (size_t)n_steps) {
                waits[n_waits++] = now - strtoull(stamp + 6, NULL, 10);
            }
        }
    }
    close(epoll);
    return NULL;
}

static void measure_idle(void) {
    int fds[IDLE];
    char text[512];
    const size_t before = mallinfo2().uordblks;
    for (int i = 0; i < IDLE; i++) {
        fds[i] = connect_to();
        ask(fds[i], "/");
        if (read(fds[i], text, sizeof text) <= 0) {
            die("no reply");
        }
    }
    usleep(100000);
    printf("an idle connection: %zu bytes\n", (mallinfo2().uordblks - before) / IDLE);
    for (int i = 0; i < IDLE; i++) {
        close(fds[i]);
    }
    usleep(100000);
}

static double cpu_seconds(pthread_t thread) {
    clockid_t clock;
    struct timespec spent;
    if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &spent) != 0) {
        die("no clock of a thread");
    }
    return (double)spent.tv_sec + (double)spent.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double wait_us(double part) {
    return (double)waits[(size_t)(part * (double)(n_waits - 1))] * 1e-3;
}

static void measure_streams(pthread_t network) {
    int fds[MOST_STREAMS];
    pthread_t client, burners[64];
    for (int i = 0; i < n_streams; i++) {
        fds[i] = connect_to();
        ask(fds[i], "/stream");
    }
    while (atomic_load(&n_open) < n_streams) {
        usleep(1000);
    }
    pthread_create(&client, NULL, read_streams, fds);
    for (int i = 0; i < n_burners; i++) {
        pthread_create(&burners[i], NULL, burn, NULL);
    }
    usleep(200000);
    const double before = cpu_seconds(network);
    for (int i = 0; i < n_steps; i++) {
        usleep((useconds_t)step_us);
        atomic_store(&posted_ns, now_ns());
        tfr_http_wake(http);
    }
    usleep(100000);
    const double spent = cpu_seconds(network) - before;
    atomic_store(&over, true);
    pthread_join(client, NULL);
    for (int i = 0; i < n_burners; i++) {
        pthread_join(burners[i], NULL);
    }
    atomic_store(&ending, true);
    tfr_http_wake(http);
    qsort(waits, n_waits, sizeof *waits, by_value);
    printf("%d streams, %d threads computing: the network thread %.2f us an event\n", n_streams, n_burners,
           spent * 1e6 / ((double)n_streams * n_steps));
    printf("from post to client (%zu events): p50 %.0f us, p95 %.0f us, p99 %.0f us, longest %.0f us\n", n_waits, wait_us(0.5),
           wait_us(0.95), wait_us(0.99), wait_us(1));
    for (int i = 0; i < n_streams; i++) {
        close(fds[i]);
    }
}

static const char usage[] = "usage: probe_http [streams] [steps] [step_us] [burners]\n"
                            "the HTTP transport: an idle connection, an event of a stream, the way to its client\n";

int main(int argc, char **argv) {
    bench_help(argc, argv, usage);
    struct tfr_http_limits limits;
    struct tfr_http_counts counts;
    const struct tfr_http_app app = {.on_request = on_request, .on_wake = on_wake};
    char error[256];
    pthread_t network;
    bench_words(argc, 0, 4, usage);
    n_streams = (int)bench_number(argc, argv, 1, n_streams, 1, MOST_STREAMS, usage);
    n_steps = (int)bench_number(argc, argv, 2, n_steps, 1, INT32_MAX, usage);
    step_us = (int)bench_number(argc, argv, 3, step_us, 0, INT32_MAX, usage);
    n_burners = (int)bench_number(argc, argv, 4, n_burners, 0, 64, usage);
    tfr_http_limits_default(&limits);
    waits = calloc((size_t)n_streams * (size_t)n_steps, sizeof *waits);
    if (waits == NULL) {
        die("no memory");
    }
    if (tfr_http_open(&http, "127.0.0.1:0", &limits, &app, error, sizeof error) != 0) {
        die(error);
    }
    pthread_create(&network, NULL, serve, NULL);
    measure_idle();
    measure_streams(network);
    tfr_http_stop(http);
    pthread_join(network, NULL);
    tfr_http_counts(http, &counts);
    printf("priority above the computing threads: %s\n", counts.raised ? "yes" : "not permitted");
    tfr_http_close(http);
    free(waits);
    return 0;
}

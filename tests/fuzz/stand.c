/* stand.c - see stand.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "stand.h"

enum { MOST_TURNS = 4096, MOST_BYTES = 1 << 20 };

static void on_wake(void *user) {
    struct tfr_stand *stand = user;
    if (stand->app.on_wake != NULL) {
        stand->app.on_wake(stand->app.user);
    }
    tfr_http_stop(stand->http);
}

static void on_head(void *user, struct tfr_exchange *x) {
    const struct tfr_stand *stand = user;
    if (stand->app.on_head != NULL) {
        stand->app.on_head(stand->app.user, x);
    }
}

static void on_request(void *user, struct tfr_exchange *x) {
    const struct tfr_stand *stand = user;
    stand->app.on_request(stand->app.user, x);
}

static void on_gone(void *user, struct tfr_exchange *x, enum tfr_http_fault fault) {
    const struct tfr_stand *stand = user;
    if (stand->app.on_gone != NULL) {
        stand->app.on_gone(stand->app.user, x, fault);
    }
}

static void on_refused(void *user, const char *peer, enum tfr_http_fault fault) {
    const struct tfr_stand *stand = user;
    if (stand->app.on_refused != NULL) {
        stand->app.on_refused(stand->app.user, peer, fault);
    }
}

void tfr_stand_open(struct tfr_stand *stand, const char *name, const struct tfr_http_app *app) {
    struct tfr_http_limits limits;
    char address[300], error[512] = "";
    const struct tfr_http_app own = {.user = stand,
                                     .on_head = on_head,
                                     .on_request = on_request,
                                     .on_gone = on_gone,
                                     .on_refused = on_refused,
                                     .on_wake = on_wake};
    tfr_http_limits_default(&limits);
    limits.max_head = 2048;
    limits.max_uri = 256;
    limits.max_lines = 16;
    limits.max_body = 1 << 16;
    stand->app = *app;
    snprintf(stand->path, sizeof stand->path, "%s", tfr_fuzz_path(name));
    snprintf(address, sizeof address, "unix:%s", stand->path);
    tfr_fuzz_require(tfr_http_open(&stand->http, address, &limits, &own, error, sizeof error) == 0, "a server opens");
}

void tfr_stand_turn(struct tfr_stand *stand) {
    char error[512];
    struct tfr_step_info info;
    atomic_store(&stand->http->stopped, false);
    tfr_http_wake(stand->http);
    tfr_fuzz_require(tfr_http_run(stand->http, error, sizeof error) == 0, "a server makes a turn");
    if (stand->engine != NULL) {
        tfr_fuzz_require(tfr_engine_step(stand->engine, &info) == TFR_OK, "an engine makes a step");
    }
}

int tfr_stand_connect(const struct tfr_stand *stand) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    memcpy(at.sun_path, stand->path, strlen(stand->path) + 1);
    tfr_fuzz_require(fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0, "a client connects");
    return fd;
}

static void take(int fd, struct tfr_stand_reply *reply) {
    char bytes[16384];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        reply->bytes = realloc(reply->bytes, reply->size + (size_t)n);
        tfr_fuzz_require(reply->bytes != NULL && reply->size + (size_t)n <= MOST_BYTES, "a reply has an end");
        memcpy(reply->bytes + reply->size, bytes, (size_t)n);
        reply->size += (size_t)n;
    }
    reply->has_ended |= n == 0 || (n < 0 && errno != EAGAIN);
}

/* All that the server does with what it has got. */
void tfr_stand_settle(struct tfr_stand *stand, int fd, struct tfr_stand_reply *reply) {
    struct tfr_http_counts before = {0}, now;
    for (int quiet = 0, turns = 0; quiet < 2 && !reply->has_ended; turns++) {
        tfr_fuzz_require(turns < MOST_TURNS, "a server has done in the end");
        tfr_stand_turn(stand);
        take(fd, reply);
        tfr_http_counts(stand->http, &now);
        const struct tfr_conn *conn = stand->http->first;
        const bool waits = conn == NULL || ((conn->state != CONN_BUSY || stand->holds) && conn->state != CONN_FLUSH);
        const bool same = now.bytes_in == before.bytes_in && now.bytes_out == before.bytes_out && now.accepted == before.accepted;
        quiet = waits && same ? quiet + 1 : 0;
        before = now;
    }
}

void tfr_stand_finish(struct tfr_stand *stand, int fd, struct tfr_stand_reply *reply) {
    close(fd);
    for (int turns = 0; stand->http->first != NULL; turns++) {
        tfr_fuzz_require(turns < MOST_TURNS, "a connection is let go once its client has left");
        tfr_stand_turn(stand);
    }
    struct tfr_http_counts counts;
    tfr_http_counts(stand->http, &counts);
    tfr_fuzz_require(counts.open == 0 && counts.busy == 0, "nothing is left of a client that is gone");
    free(reply->bytes);
}

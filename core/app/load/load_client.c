/* load_client.c - the target that is a server: a connection for each request under way, kept for the next one, all in one epoll. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "app/load/load_reply.h"
#include "app/load/load_server.h"
#include "base/clock.h"

struct client;

struct connection {
    struct client *client;
    struct tfr_load_request *request; /* NULL: idle */
    int fd;
    bool reused;  /* it has answered before: the server may close it at any time, and the request is sent again */
    bool is_dead; /* to be let go once its turn is over */
    bool leaves;  /* the server has closed its side: what is left to read is the last */
    struct tfr_load_buffer out;
    size_t sent;
    struct tfr_load_wire wire;
    struct tfr_load_reply reply;
    uint64_t read_ns;
    struct connection *next, *previous; /* of all */
};

struct client {
    struct tfr_load_target target; /* first */
    const struct tfr_load_server *server;
    const struct tfr_load_workload *workload;
    struct connection *connections;
    int epoll;
};

static void drop(struct connection *connection) {
    struct client *client = connection->client;
    *(connection->previous != NULL ? &connection->previous->next : &client->connections) = connection->next;
    if (connection->next != NULL) {
        connection->next->previous = connection->previous;
    }
    if (connection->fd >= 0) {
        close(connection->fd);
    }
    tfr_load_wire_free(&connection->wire);
    free(connection->out.bytes);
    free(connection);
}

/* Edge-triggered: every event reads and writes as much as goes. */
static bool dial(struct connection *connection) {
    const struct client *client = connection->client;
    const struct sockaddr *address = (const struct sockaddr *)&client->server->address;
    const int on = 1;
    connection->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        return false;
    }
    if (address->sa_family != AF_UNIX) {
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = connection};
    if (connect(connection->fd, address, client->server->address_size) != 0 && errno != EINPROGRESS) {
        return false;
    }
    return epoll_ctl(client->epoll, EPOLL_CTL_ADD, connection->fd, &event) == 0;
}

static struct connection *idle_connection(struct client *client) {
    for (struct connection *at = client->connections; at != NULL; at = at->next) {
        if (at->request == NULL && !at->is_dead) {
            return at;
        }
    }
    return NULL;
}

static struct connection *new_connection(struct client *client) {
    struct connection *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    *made = (struct connection){.client = client, .fd = -1, .next = client->connections};
    if (made->next != NULL) {
        made->next->previous = made;
    }
    client->connections = made;
    return made;
}

/* The request, taken from its connection, has ended. */
static void end(struct connection *connection, enum tfr_load_outcome outcome, const char *words) {
    struct tfr_load_request *request = connection->request;
    struct client *client = connection->client;
    request->status = connection->wire.status;
    request->retry_s = connection->wire.retry_s;
    connection->request = NULL;
    connection->reused = true;
    connection->is_dead |= outcome != TFR_LOAD_DONE && !connection->wire.keeps_alive;
    request->of_target = NULL;
    const uint64_t now_ns = tfr_clock_ns();
    if (outcome == TFR_LOAD_FAILED) {
        tfr_load_run_fail(client->target.run, request, now_ns, "%s", words);
    } else {
        tfr_load_run_end(client->target.run, request, outcome, connection->read_ns > 0 ? connection->read_ns : now_ns);
    }
}

static void fail(struct connection *connection, const char *words) {
    connection->is_dead = true;
    end(connection, TFR_LOAD_FAILED, words);
}

static void on_event(void *user, const char *data, size_t size) {
    struct connection *connection = user;
    if (connection->reply.error[0] != '\0') {
        return; /* the first word counts */
    }
    const int64_t n = tfr_load_reply_event(&connection->reply, data, size);
    if (n > 0) {
        tfr_load_run_tokens(connection->client->target.run, connection->request, connection->read_ns, n);
    }
}

/* A whole reply of status 200. */
static void judge(struct connection *connection) {
    struct tfr_load_reply *reply = &connection->reply;
    struct tfr_load_request *request = connection->request;
    const struct tfr_load_workload *workload = connection->client->workload;
    const bool whole = workload->whole || workload->scoring;
    if (connection->wire.is_stream == whole) {
        fail(connection, whole ? "an event stream that was not asked for" : "no event stream, which was asked for");
        return;
    }
    const struct tfr_load_buffer *body = &connection->wire.body;
    if (whole && tfr_load_reply_whole(reply, body->size > 0 ? body->bytes : "", body->size, workload->scoring)) {
        tfr_load_run_tokens(connection->client->target.run, request, connection->read_ns, reply->n_tokens);
    }
    if (reply->error[0] == '\0' && !(reply->has_ended && reply->finished)) {
        snprintf(reply->error, sizeof reply->error, "the stream ended without %s", reply->finished ? "[DONE]" : "a finish_reason");
    }
    request->n_tokens = reply->n_tokens;
    request->is_short = !workload->scoring && !reply->by_length;
    const int64_t wanted = workload->scoring ? 1 : request->n_output;
    if (reply->error[0] == '\0' && reply->by_length && reply->n_tokens != wanted) {
        snprintf(reply->error, sizeof reply->error, "%lld tokens in place of %lld", (long long)reply->n_tokens, (long long)wanted);
    }
    if (reply->error[0] != '\0') {
        end(connection, TFR_LOAD_FAILED, reply->error);
    } else {
        end(connection, TFR_LOAD_DONE, NULL);
    }
}

static void finish(struct connection *connection) {
    const int status = connection->wire.status;
    connection->is_dead |= connection->leaves || !connection->wire.keeps_alive;
    if (status == 200) {
        judge(connection);
    } else if (status == 429 || status == 503) {
        end(connection, TFR_LOAD_REFUSED, NULL);
    } else {
        const struct tfr_load_workload *workload = connection->client->workload;
        char words[160], told[256]; /* the hint is told in any case */
        tfr_load_reply_refusal(connection->wire.body.bytes, connection->wire.body.size, words, sizeof words);
        snprintf(told, sizeof told, "status %d%s%s%s", status, words[0] != '\0' ? ": " : "", words,
                 status == 400 && workload->vocab_guessed && !workload->as_text
                     ? " (ids up to 50256 were sent: --vocab-size N says how many there are)"
                     : "");
        end(connection, TFR_LOAD_FAILED, told);
    }
}

static void flush(struct connection *connection) {
    while (connection->sent < connection->out.size) {
        const ssize_t n =
            send(connection->fd, connection->out.bytes + connection->sent, connection->out.size - connection->sent, MSG_NOSIGNAL);
        if (n < 0) {
            return; /* not now, or never: then reading says why */
        }
        connection->sent += (size_t)n;
    }
}

/* On a new connection. */
static void send_again(struct connection *connection) {
    close(connection->fd);
    connection->fd = -1;
    connection->sent = 0;
    connection->reused = connection->leaves = false;
    tfr_load_wire_start(&connection->wire, on_event, connection);
    if (!dial(connection)) {
        char words[200];
        snprintf(words, sizeof words, "cannot connect: %s", strerror(errno));
        fail(connection, words);
    }
}

/* The server closed it, or the network did. */
static void lose(struct connection *connection, int error) {
    if (connection->request == NULL) {
        connection->is_dead = true;
    } else if (connection->reused && connection->wire.n_read == 0) {
        send_again(connection);
    } else if (error != 0) {
        char words[200];
        snprintf(words, sizeof words, "the connection: %s", strerror(error));
        fail(connection, words);
    } else if (tfr_load_wire_close(&connection->wire)) {
        connection->is_dead = true;
        finish(connection);
    } else {
        fail(connection, connection->wire.error);
    }
}

/* All there is. */
static void read_on(struct connection *connection) {
    static char bytes[1 << 16];
    for (;;) {
        const ssize_t n = recv(connection->fd, bytes, sizeof bytes, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOTCONN)) {
            return;
        }
        if (n <= 0) {
            lose(connection, n < 0 ? errno : 0);
            return;
        }
        if (connection->request == NULL) { /* words that nobody asked for */
            connection->is_dead = true;
            return;
        }
        connection->read_ns = tfr_clock_ns();
        if (!tfr_load_wire_feed(&connection->wire, bytes, (size_t)n)) {
            fail(connection, connection->wire.error);
            return;
        }
        if (connection->wire.state == TFR_WIRE_DONE) {
            finish(connection);
            return;
        }
    }
}

static void serve(struct connection *connection, uint32_t events) {
    if (connection->request != NULL && (events & EPOLLOUT) != 0) {
        flush(connection);
    }
    int error = 0;
    socklen_t size = sizeof error;
    connection->leaves |= (events & EPOLLRDHUP) != 0; /* may come with the end of the reply, in one edge */
    if ((events & EPOLLERR) != 0 && getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0) {
        lose(connection, error);
    } else {
        read_on(connection);
    }
    if (connection->is_dead && connection->request == NULL) {
        drop(connection);
    }
}

static void client_start(struct tfr_load_target *target, struct tfr_load_request *request) {
    struct client *client = (struct client *)target;
    struct connection *connection = idle_connection(client);
    const bool is_new = connection == NULL;
    connection = is_new ? new_connection(client) : connection;
    if (connection == NULL || !tfr_load_server_request(client->server, client->workload, request, &connection->out)) {
        if (connection != NULL && is_new) { /* it is not connected, and must not be taken for idle */
            drop(connection);
        }
        tfr_load_run_fail(target->run, request, tfr_clock_ns(), "no memory for the request");
        return;
    }
    connection->request = request;
    connection->reply = (struct tfr_load_reply){0};
    connection->sent = 0;
    connection->read_ns = 0;
    request->of_target = connection;
    tfr_load_wire_start(&connection->wire, on_event, connection);
    if (is_new && !dial(connection)) {
        char words[200];
        snprintf(words, sizeof words, "cannot connect: %s", strerror(errno));
        fail(connection, words);
        drop(connection);
        return;
    }
    request->sent_ns = tfr_clock_ns();
    flush(connection);
}

static void client_wait(struct tfr_load_target *target, uint64_t until_ns) {
    enum { MOST_EVENTS = 64 };
    struct client *client = (struct client *)target;
    struct epoll_event events[MOST_EVENTS];
    const uint64_t now_ns = tfr_clock_ns(), left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    const struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000), .tv_nsec = (long)(left_ns % 1000000000)};
    int n = epoll_pwait2(client->epoll, events, MOST_EVENTS, &left, NULL);
    if (n < 0 && errno == ENOSYS) { /* an older kernel: to the next millisecond */
        n = epoll_wait(client->epoll, events, MOST_EVENTS, (int)((left_ns + 999999) / 1000000));
    }
    for (int i = 0; i < n; i++) {
        serve(events[i].data.ptr, events[i].events);
    }
}

static void client_leave(struct tfr_load_target *target, struct tfr_load_request *request) {
    struct connection *connection = request->of_target;
    (void)target;
    connection->request = NULL;
    request->of_target = NULL;
    drop(connection);
}

struct tfr_load_target *tfr_load_client_open(const struct tfr_load_server *server, const struct tfr_load_workload *workload) {
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return NULL;
    }
    *client = (struct client){.target = {.start = client_start, .wait = client_wait, .leave = client_leave},
                              .server = server,
                              .workload = workload,
                              .epoll = epoll_create1(EPOLL_CLOEXEC)};
    if (client->epoll < 0) {
        free(client);
        return NULL;
    }
    return &client->target;
}

void tfr_load_client_close(struct tfr_load_target *target) {
    struct client *client = (struct client *)target;
    if (client == NULL) {
        return;
    }
    while (client->connections != NULL) {
        drop(client->connections);
    }
    close(client->epoll);
    free(client);
}

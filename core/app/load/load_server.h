/* load_server.h - a server: where it is, and what it is asked. */
#ifndef TFR_APP_LOAD_SERVER_H
#define TFR_APP_LOAD_SERVER_H

#include <sys/socket.h>

#include "app/load/load.h"
#include "app/load/load_wire.h"

struct tfr_load_server {
    struct sockaddr_storage address;
    socklen_t address_size;
    char host[300], base[300]; /* of the Host line; what stands before "/v1" */
    char model[1024];
    const char *key;     /* NULL: none */
    bool is_tfrun;       /* has the routes of tfrun: tells ids, so that tokens are counted and not events */
    int64_t n_positions; /* 0: not known */
    int64_t vocab_size;  /* 0: not known */
    char what[300];      /* "tfrun 0.1.0, gpt2 bf16, 2 threads", as far as it says */
};

/* "http://host:port", with a path perhaps, "host:port" or "unix:PATH". TFR_USAGE with a sentence. */
enum tfr_status tfr_load_server_find(struct tfr_load_server *server, const char *url, char *error, size_t size);
/* Asks it for its model and limits. TFR_RESOURCE where nobody answers, TFR_RUNTIME for what is no such server. */
enum tfr_status tfr_load_server_ask(struct tfr_load_server *server, char *error, size_t size);
/* Head and body of a completion. */
bool tfr_load_server_request(const struct tfr_load_server *server, const struct tfr_load_workload *workload,
                             const struct tfr_load_request *request, struct tfr_load_buffer *out);

/* load_client.c: many connections, one epoll. NULL without memory or descriptors. */
struct tfr_load_target *tfr_load_client_open(const struct tfr_load_server *server, const struct tfr_load_workload *workload);
void tfr_load_client_close(struct tfr_load_target *target);

#endif

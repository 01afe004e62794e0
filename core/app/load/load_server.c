/* load_server.c - see load_server.h. What is asked before the first run is asked on connections of its own, and waited for. */
#include "app/load/load_server.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/load/arrivals.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"

static enum tfr_status find_unix(struct tfr_load_server *server, const char *path, char *error, size_t size) {
    struct sockaddr_un *address = (struct sockaddr_un *)&server->address;
    if (*path == '\0' || strlen(path) >= sizeof address->sun_path) {
        snprintf(error, size, "\"unix:%s\": give a path of 1 to %zu bytes behind unix:", path, sizeof address->sun_path - 1);
        return TFR_USAGE;
    }
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, strlen(path) + 1);
    server->address_size = sizeof *address;
    snprintf(server->host, sizeof server->host, "localhost");
    return TFR_OK;
}

/* "host:port" or "[v6]:port" into its parts. */
static bool split(const char *authority, char *host, size_t size, char *port, size_t port_size) {
    const char *end = *authority == '[' ? strchr(authority, ']') : strrchr(authority, ':');
    const char *colon = end != NULL && *end == ']' ? end + 1 : end;
    const char *first = *authority == '[' ? authority + 1 : authority;
    if (colon == NULL || *colon != ':' || end == first || (size_t)(end - first) >= size) {
        return false;
    }
    snprintf(host, size, "%.*s", (int)(end - first), first);
    snprintf(port, port_size, "%s", colon + 1);
    return colon[1] != '\0' && strspn(colon + 1, "0123456789") == strlen(colon + 1) && strlen(colon + 1) <= 5;
}

static int dial(const struct tfr_load_server *server) {
    const struct timeval limit = {.tv_sec = 10};
    const int fd = socket(server->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)&server->address, server->address_size) != 0) {
        const int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Of several addresses of a name ("localhost" has one of each version) the first where somebody listens, else the first one. */
static void choose_address(struct tfr_load_server *server, const struct addrinfo *found) {
    int fd = -1;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next) {
        memcpy(&server->address, at->ai_addr, at->ai_addrlen);
        server->address_size = at->ai_addrlen;
        fd = found->ai_next != NULL ? dial(server) : 0;
    }
    if (fd < 0) {
        memcpy(&server->address, found->ai_addr, found->ai_addrlen);
        server->address_size = found->ai_addrlen;
    } else if (found->ai_next != NULL) {
        close(fd);
    }
}

enum tfr_status tfr_load_server_find(struct tfr_load_server *server, const char *url, char *error, size_t size) {
    char host[256], port[8];
    if (strncmp(url, "unix:", 5) == 0) {
        return find_unix(server, url + 5, error, size);
    }
    if (strncmp(url, "https://", 8) == 0) {
        snprintf(error, size, "%s: there is no TLS here; point it at the server behind the proxy, http://HOST:PORT", url);
        return TFR_USAGE;
    }
    const char *authority = strncmp(url, "http://", 7) == 0 ? url + 7 : url;
    const size_t length = strcspn(authority, "/");
    const char *path = authority + length;
    snprintf(server->host, sizeof server->host, "%.*s", (int)length, authority);
    if (length >= sizeof server->host || strlen(path) >= sizeof server->base ||
        !split(server->host, host, sizeof host, port, sizeof port)) {
        snprintf(error, size, "%s: is no server's address; give http://HOST:PORT or unix:PATH, or --in-process CONFIG", url);
        return TFR_USAGE;
    }
    snprintf(server->base, sizeof server->base, "%s", path);
    for (size_t n = strlen(server->base); n > 0 && server->base[n - 1] == '/'; n--) {
        server->base[n - 1] = '\0';
    }
    const size_t n = strlen(server->base);
    if (n >= 3 && strcmp(server->base + n - 3, "/v1") == 0) { /* as clients of others write it */
        server->base[n - 3] = '\0';
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    const int failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0) {
        snprintf(error, size, "%s: %s", url, gai_strerror(failed));
        return TFR_RESOURCE;
    }
    choose_address(server, found);
    freeaddrinfo(found);
    return TFR_OK;
}

/* ---- before the first run ------------------------------------------------------------------------------------ */

static void put_key(const struct tfr_load_server *server, char *line, size_t size) {
    snprintf(line, size, server->key != NULL ? "Authorization: Bearer %s\r\n" : "%s", server->key != NULL ? server->key : "");
}

static bool converse(int fd, const char *request, struct tfr_load_wire *wire, char *error, size_t size) {
    char bytes[4096];
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) {
        snprintf(error, size, "cannot send to the server: %s", strerror(errno));
        return false;
    }
    while (wire->state != TFR_WIRE_DONE) {
        const ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        const bool good = n > 0 ? tfr_load_wire_feed(wire, bytes, (size_t)n) : n == 0 && tfr_load_wire_close(wire);
        if (!good) {
            snprintf(error, size, "%s", n < 0 ? strerror(errno) : wire->error);
            return false;
        }
    }
    return true;
}

/* GET; the status, the body in the wire. 0 with a sentence where there is no reply, and *there says whether somebody was. */
static int get(const struct tfr_load_server *server, const char *path, struct tfr_load_wire *wire, bool *there, char *error,
               size_t size) {
    char request[2048], key[1024];
    put_key(server, key, sizeof key);
    snprintf(request, sizeof request, "GET %s%s HTTP/1.1\r\nHost: %s\r\n%sAccept: application/json\r\nConnection: close\r\n\r\n",
             server->base, path, server->host, key);
    const int fd = dial(server);
    *there = fd >= 0;
    if (fd < 0) {
        snprintf(error, size, "%s", strerror(errno));
        return 0;
    }
    tfr_load_wire_start(wire, NULL, NULL);
    const bool good = converse(fd, request, wire, error, size);
    close(fd);
    return good ? wire->status : 0;
}

static int64_t int_member(const struct tfr_json_doc *doc, const tfr_json *object, const char *key) {
    int64_t value = 0;
    const tfr_json *node = tfr_json_member(object, key);
    return node != NULL && tfr_json_int64(doc, node, &value) && value > 0 ? value : 0;
}

/* TFR_RUNTIME where none is listed; no memory must not look like that. */
static enum tfr_status take_models(struct tfr_load_server *server, const struct tfr_load_wire *wire) {
    struct tfr_json_doc *doc;
    if (wire->body.size == 0) {
        return TFR_RUNTIME;
    }
    TFR_TRY(tfr_json_open(&doc, "/v1/models", wire->body.bytes, wire->body.size, TFR_RUNTIME));
    const tfr_json *model = tfr_json_first(tfr_json_member(tfr_json_root(doc), "data"));
    const char *id = tfr_json_string(tfr_json_member(model, "id"));
    id = id != NULL && strlen(id) < sizeof server->model ? id : NULL; /* a part of it would be another one */
    if (id != NULL && server->model[0] == '\0') {
        snprintf(server->model, sizeof server->model, "%s", id);
    }
    server->n_positions = int_member(doc, model, "max_model_len");
    tfr_json_close(doc);
    return id != NULL ? TFR_OK : TFR_RUNTIME;
}

/* Of a server that is not tfrun there is none; but no memory must not look like that. */
static enum tfr_status take_info(struct tfr_load_server *server, const struct tfr_load_wire *wire) {
    struct tfr_json_doc *doc;
    const enum tfr_status status =
        wire->body.size > 0 ? tfr_json_open(&doc, "info", wire->body.bytes, wire->body.size, TFR_RUNTIME) : TFR_RUNTIME;
    if (status != TFR_OK) {
        return status == TFR_RESOURCE ? status : TFR_OK;
    }
    const tfr_json *root = tfr_json_root(doc);
    const char *version = tfr_json_string(tfr_json_member(root, "version")),
               *dtype = tfr_json_string(tfr_json_member(root, "dtype"));
    server->is_tfrun = version != NULL;
    server->vocab_size = int_member(doc, root, "vocab_size");
    server->n_positions = int_member(doc, root, "n_positions");
    snprintf(server->what, sizeof server->what, "tfrun %.40s, %.20s, %" PRId64 " threads", version != NULL ? version : "?",
             dtype != NULL ? dtype : "?", int_member(doc, root, "threads"));
    tfr_json_close(doc);
    return TFR_OK;
}

enum tfr_status tfr_load_server_ask(struct tfr_load_server *server, char *error, size_t size) {
    struct tfr_load_wire wire = {0};
    char words[256] = "";
    bool there;
    enum tfr_status verdict = TFR_OK;
    const int status = get(server, "/v1/models", &wire, &there, words, sizeof words);
    const enum tfr_status models = status == 200 ? take_models(server, &wire) : TFR_RUNTIME;
    if (!there) {
        snprintf(error, size, "no server at %s: %s; start one with `tfrun serve CONFIG`", server->host, words);
        verdict = TFR_RESOURCE;
    } else if (status == 401) {
        snprintf(error, size, "the server at %s wants a key: name the variable that holds it with --api-key-env", server->host);
        verdict = TFR_RUNTIME;
    } else if (status == 0) {
        snprintf(error, size, "the server at %s does not speak as it should: %s", server->host, words);
        verdict = TFR_RUNTIME;
    } else if (models == TFR_RESOURCE) {
        snprintf(error, size, "%s", tfr_failure_text());
        verdict = models;
    } else if (models != TFR_OK && server->model[0] == '\0') {
        snprintf(error, size, "the server at %s lists no model at /v1/models (status %d): name it with --model", server->host,
                 status);
        verdict = TFR_RUNTIME;
    }
    if (verdict == TFR_OK && get(server, "/tfrun/v1/info", &wire, &there, words, sizeof words) == 200) {
        verdict = take_info(server, &wire);
        snprintf(error, size, "%s", verdict != TFR_OK ? tfr_failure_text() : "");
    }
    tfr_load_wire_free(&wire);
    return verdict;
}

/* ---- a completion ------------------------------------------------------------------------------------------- */

static bool put(struct tfr_load_buffer *out, const char *text) {
    return tfr_load_buffer_put(out, text, strlen(text));
}

static bool put_prompt(const struct tfr_load_workload *workload, const struct tfr_load_request *request,
                       struct tfr_load_buffer *out) {
    char id[16];
    bool good = put(out, workload->as_text ? "\"" : "[");
    for (int64_t i = 0; i < request->n_prompt && good; i++) {
        if (workload->as_text) {
            good = put(out, tfr_load_word(workload, request, i));
        } else {
            snprintf(id, sizeof id, i > 0 ? ",%d" : "%d", (int)tfr_load_id(workload, request, i));
            good = put(out, id);
        }
    }
    return good && put(out, workload->as_text ? "\"" : "]");
}

static bool put_body(const struct tfr_load_server *server, const struct tfr_load_workload *workload,
                     const struct tfr_load_request *request, struct tfr_load_buffer *out) {
    char words[256];
    struct tfr_json_out model = {0};
    tfr_json_put_text(&model, NULL, server->model);
    bool good = !model.failed && put(out, "{\"model\":") && put(out, model.text) && put(out, ",\"prompt\":") &&
                put_prompt(workload, request, out);
    tfr_free(model.text);
    if (workload->scoring) {
        return good && put(out, ",\"max_tokens\":1,\"temperature\":0,\"echo\":true,\"logprobs\":1,\"seed\":1234}");
    }
    snprintf(words, sizeof words, ",\"max_tokens\":%" PRId64 ",\"temperature\":0,\"ignore_eos\":true%s}", request->n_output,
             workload->whole    ? ""
             : server->is_tfrun ? ",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"return_token_ids\":true"
                                : ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    return good && put(out, words);
}

bool tfr_load_server_request(const struct tfr_load_server *server, const struct tfr_load_workload *workload,
                             const struct tfr_load_request *request, struct tfr_load_buffer *out) {
    struct tfr_load_buffer body = {0};
    char head[2048], key[1024];
    put_key(server, key, sizeof key);
    bool good = put_body(server, workload, request, &body);
    snprintf(head, sizeof head,
             "POST %s/v1/completions HTTP/1.1\r\nHost: %s\r\n%sContent-Type: application/json\r\nAccept: %s\r\n"
             "Content-Length: %zu\r\n\r\n",
             server->base, server->host, key, workload->whole || workload->scoring ? "application/json" : "text/event-stream",
             body.size);
    out->size = 0;
    good = good && put(out, head) && tfr_load_buffer_put(out, body.bytes, body.size);
    free(body.bytes);
    return good;
}

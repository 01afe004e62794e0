/* fuzz_door.c - the JSON door of the server, with a model behind it. The first byte picks the model and the route, the rest is the
 * body of a POST, or what follows the path of a GET. A reply comes, it is no failure of the server's own, and what says that it is
 * JSON is JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "app/http/gallery.h"
#include "app/http/route.h"
#include "app/load/load_wire.h"
#include "base/json.h"
#include "base/status.h"
#include "stand.h"

/* Pictures are drawn by other programs, and the page is a file. */
static const char *const paths[] = {"/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/classify",
                                    "/tokenize",       "/detokenize",          "/v1/models/",    "/tokenizer_info",
                                    "/tfrun/v1/info",  "/openapi.json",        "/metrics",       "/tfrun/v1/profile"};
enum { N_POSTS = 6 };

struct door {
    struct tfr_stand stand;
    struct tfr_server server;
};

static void open_door(struct door *door, const char *kind) {
    static const struct tfr_override overrides[] = {
        {"trust", TFR_SOURCE_DIR, "fuzz"},     {"serve.chat", "plain", "fuzz"},           {"serve.access_format", "json", "fuzz"},
        {"serve.log_prompts", "true", "fuzz"}, {"serve.access_log", "/dev/null", "fuzz"}, {"model.name", "fuzz", "fuzz"}};
    struct tfr_server *server = &door->server;
    struct tfr_settings *settings;
    char error[512];
    tfr_fuzz_require(tfr_settings_open(&settings, tfr_fuzz_model(kind), overrides, TFR_COUNT_OF(overrides)) == TFR_OK,
                     "the settings of a server are read");
    *server = (struct tfr_server){.settings = settings, .model = "fuzz", .created = 1, .n_positions = 32, .vocab_size = 261};
    server->keys = tfr_keys_open(NULL, error, sizeof error);
    server->engine = tfr_fuzz_engine(kind);
    snprintf(server->fingerprint, sizeof server->fingerprint, "fuzz");
    tfr_fuzz_require(server->keys != NULL && tfr_vocabulary_of(&server->vocabulary, server->engine) == TFR_OK &&
                         tfr_access_log_open(&server->log, "/dev/null", "json", error, sizeof error),
                     "the parts of a server open");
    const struct tfr_http_app app = tfr_server_app(server);
    tfr_stand_open(&door->stand, kind[0] == 'l' ? "door-lm" : "door-seq", &app);
    door->stand.engine = server->engine;
    server->http = door->stand.http;
    server->gallery = tfr_gallery_open(server->http);
    tfr_server_measure_texts(server);
    atomic_store(&server->state, TFR_SERVER_READY);
    tfr_fuzz_require(server->gallery != NULL, "the gallery of a server opens");
}

static struct door *door_of(const char *kind, size_t i) {
    static struct door *doors[2];
    if (doors[i] == NULL) {
        doors[i] = calloc(1, sizeof *doors[i]);
        tfr_fuzz_require(doors[i] != NULL, "there is memory for a server");
        open_door(doors[i], kind);
    }
    return doors[i];
}

/* The whole request; free() it. */
static char *write_request(const char *path, bool posts, const uint8_t *body, size_t size, size_t *request_size) {
    const size_t suffix = posts ? 0 : size < 128 ? size : 128;
    char *request = malloc(512 + size);
    size_t n = 0;
    if (request == NULL) {
        exit(EXIT_FAILURE);
    }
    n += (size_t)sprintf(request, "%s %s", posts ? "POST" : "GET", path);
    for (size_t i = 0; i < suffix; i++) {
        request[n++] = body[i] > ' ' && body[i] < 0x7f ? (char)body[i] : '.';
    }
    n += (size_t)sprintf(request + n, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if (posts) {
        n += (size_t)sprintf(request + n, "Content-Type: application/json\r\nContent-Length: %zu\r\n", size);
    }
    n += (size_t)sprintf(request + n, "\r\n");
    if (posts && size > 0) {
        memcpy(request + n, body, size);
        n += size;
    }
    *request_size = n;
    return request;
}

/* A model may say a NUL, which our own documents never hold. */
static void check_json(const char *text, size_t size) {
    static const struct tfr_json_limits limits = {.depth = 64, .values = 1 << 20, .n_digits = 63, .takes_nul = true};
    struct tfr_json_doc *doc;
    tfr_fuzz_require(tfr_json_open_limited(&doc, "reply", text, size, TFR_RUNTIME, &limits) == TFR_OK,
                     "what says that it is JSON is");
    tfr_json_close(doc);
}

static void check_event(void *user, const char *data, size_t size) {
    (void)user;
    if (size != 6 || memcmp(data, "[DONE]", 6) != 0) {
        check_json(data, size);
    }
}

static void check_reply(const struct tfr_stand_reply *reply) {
    struct tfr_load_wire wire = {0};
    tfr_load_wire_start(&wire, check_event, NULL);
    tfr_fuzz_require(tfr_load_wire_feed(&wire, reply->bytes, reply->size) && tfr_load_wire_close(&wire), wire.error);
    tfr_fuzz_require(wire.status != 500, "a request is no failure of the server's own");
    if (!wire.is_stream && wire.body.size > 0 && wire.body.bytes[0] == '{') {
        check_json(wire.body.bytes, wire.body.size);
    }
    tfr_load_wire_free(&wire);
}

int tfr_fuzz_door(const uint8_t *data, size_t size) {
    struct tfr_stand_reply reply = {0};
    size_t n;
    if (size == 0 || size > 16384) {
        return 0;
    }
    const size_t route = data[0] % TFR_COUNT_OF(paths), which = data[0] / 128;
    struct door *door = door_of(which == 0 ? "lm" : "seq", which);
    char *request = write_request(paths[route], route < N_POSTS, data + 1, size - 1, &n);
    const int fd = tfr_stand_connect(&door->stand);
    for (size_t at = 0; at < n && !reply.has_ended;) {
        const ssize_t sent = send(fd, request + at, n - at, MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        tfr_stand_turn(&door->stand);
    }
    tfr_stand_settle(&door->stand, fd, &reply);
    tfr_fuzz_require(reply.has_ended && reply.size > 0, "a request has a reply, and a connection its end");
    check_reply(&reply);
    tfr_stand_finish(&door->stand, fd, &reply);
    free(request);
    return 0;
}

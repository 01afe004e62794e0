/* machine_routes.c - pictures of the step and where its time goes: the graph; with serve.profile also a profile of an idle engine,
 * as numbers, as colours of the graph and as a roofline. All on the engine's thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/profile.h>

#include "app/http/engine_task.h"
#include "app/http/reply.h"
#include "app/http/route.h"
#include "base/arena.h"

enum phase { DECODE, PREFILL };
enum kind { GRAPH, PROFILE, ROOFLINE };
enum { ROWS = 128, CONTEXT = 128, REPETITIONS = 3 };

struct picture {
    struct tfr_engine_task task; /* first */
    struct tfr_server *server;
    enum phase phase;
    enum kind kind;
    char *text;       /* what is replied: of the library */
    const char *gone; /* why there is none; NULL */
    bool is_plain;    /* a graph without colours that it should have: not kept */
};

static void free_picture(struct tfr_engine_task *task) {
    struct picture *picture = (struct picture *)task;
    tfr_string_free(picture->text);
    free(picture);
}

static int64_t at_most(int64_t value, int64_t most) {
    return value < most ? value : most;
}

/* Steps of its own, which others would wait for and be measured with: of an idle engine alone. `anew`: not those of the last time.
 */
static enum tfr_status measure(struct tfr_engine *engine, struct tfr_server *server, bool anew) {
    struct tfr_profile *profile;
    struct tfr_serving serving;
    if (server->profile != NULL && !anew) {
        return TFR_OK;
    }
    tfr_engine_serving(engine, &serving);
    if (serving.running + serving.waiting > 0) {
        return TFR_BUSY;
    }
    const int64_t room = tfr_engine_n_positions(engine);
    const struct tfr_profile_question question = {
        .prompt_tokens = at_most(ROWS, room),
        .context = at_most(CONTEXT, room - 1),
        .batch = 1,
        .reps = REPETITIONS,
    };
    const enum tfr_status status = tfr_profile_run(&profile, engine, &question);
    if (status == TFR_OK) {
        tfr_profile_free(server->profile);
        server->profile = profile;
    }
    return status;
}

static void run_graph(struct tfr_engine *engine, struct tfr_engine_task *task) {
    struct picture *picture = (struct picture *)task;
    const struct tfr_server *server = picture->server;
    const bool reads = picture->phase == PREFILL;
    const bool has_colors = tfr_settings_bool(server->settings, "serve.profile");
    const enum tfr_status status = has_colors ? measure(engine, picture->server, false) : TFR_OK;
    if (status != TFR_OK && status != TFR_BUSY) {
        tfr_engine_task_end(task, status);
        return;
    }
    picture->is_plain = status == TFR_BUSY;
    const struct tfr_graph_question question = {.profile = server->profile,
                                                .seq = reads ? at_most(ROWS, server->n_positions) : 1,
                                                .batch = 1,
                                                .context = reads ? 0 : -1,
                                                .n_ranks = tfr_engine_size(engine)};
    tfr_engine_task_end(
        task, tfr_report_graph(server->config, server->overrides, server->n_overrides, &question, TFR_REPORT_SVG, &picture->text));
}

static void run_profile(struct tfr_engine *engine, struct tfr_engine_task *task) {
    struct picture *picture = (struct picture *)task;
    enum tfr_status status = measure(engine, picture->server, true);
    if (status == TFR_OK) {
        status = tfr_report_profile(picture->server->profile, TFR_TABLE_JSON, &picture->text);
    }
    tfr_engine_task_end(task, status);
}

/* Roofs that nobody measured are no picture. */
static void run_roofline(struct tfr_engine *engine, struct tfr_engine_task *task) {
    struct picture *picture = (struct picture *)task;
    struct tfr_server *server = picture->server;
    char *facts = NULL;
    enum tfr_status status = measure(engine, server, false);
    if (status == TFR_OK) {
        status = tfr_report_profile(server->profile, TFR_TABLE_JSON, &facts);
    }
    if (status == TFR_OK && strstr(facts, "\"is_calibrated\":true") == NULL) {
        picture->gone = "there is no calibration of this host that fits; `tfrun calibrate` makes one, while the server runs or not";
    } else if (status == TFR_OK) {
        status = tfr_report_roofline(server->profile, &picture->text);
    }
    tfr_engine_task_end(task, status);
    tfr_string_free(facts);
}

static void put_node(struct tfr_json_out *out, const tfr_json *node, double total_ns) {
    const double ns = tfr_json_number(tfr_json_member(node, "measured_ns"));
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "name", tfr_json_string(tfr_json_member(node, "name")));
    tfr_json_put_text(out, "kernel", tfr_json_string(tfr_json_member(node, "kernel")));
    tfr_json_put_number(out, "ms", ns / 1e6);
    tfr_json_put_number(out, "share", total_ns > 0 ? ns / total_ns : 0);
    tfr_json_put_number(out, "flops", tfr_json_number(tfr_json_member(node, "flops")));
    tfr_json_put_number(out, "bytes", tfr_json_number(tfr_json_member(node, "bytes")));
    tfr_json_end(out, '}');
}

/* Of rank 0: its step, and the nodes that it ran. */
static void put_phase(struct tfr_json_out *out, const char *name, const struct tfr_json_doc *doc) {
    const tfr_json *phase = tfr_json_member(tfr_json_root(doc), name);
    if (phase == NULL || tfr_json_kind(phase) != TFR_JSON_OBJECT) {
        return;
    }
    const double total_ns = tfr_json_number(tfr_json_member(tfr_json_first(tfr_json_member(phase, "ranks")), "step_ns"));
    tfr_json_begin(out, name, '{');
    tfr_json_put_number(out, "rows", tfr_json_number(tfr_json_member(phase, "rows")));
    tfr_json_put_number(out, "total_ms", total_ns / 1e6);
    tfr_json_begin(out, "nodes", '[');
    for (const tfr_json *node = tfr_json_first(tfr_json_member(phase, "nodes")); node != NULL; node = tfr_json_next(node)) {
        if (tfr_json_number(tfr_json_member(node, "rank")) == 0) {
            put_node(out, node, total_ns);
        }
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

static void reply_profile(struct tfr_call *call, const char *text) {
    struct tfr_json_out out = {0};
    struct tfr_json_doc *doc;
    if (tfr_json_open(&doc, "profile", text, strlen(text), TFR_RUNTIME) != TFR_OK) {
        tfr_reply_error(call->exchange, TFR_ERROR_NO_MEMORY, NULL, NULL);
        return;
    }
    tfr_json_begin(&out, NULL, '{');
    tfr_json_begin(&out, "phases", '{');
    put_phase(&out, "decode", doc);
    put_phase(&out, "prefill", doc);
    tfr_json_end(&out, '}');
    tfr_json_put_text(&out, "doubts", tfr_json_string(tfr_json_member(tfr_json_root(doc), "doubts"))); /* of the calibration */
    tfr_json_end(&out, '}');
    tfr_json_close(doc);
    tfr_reply_json(call->exchange, 200, &out);
}

/* A picture runs no script and loads nothing, wherever it is shown. */
static void reply_svg(struct tfr_call *call, const char *svg) {
    static const struct tfr_http_header headers[] = {{"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"},
                                                     {"Cache-Control", "no-store"}};
    tfr_reply(call->exchange, 200, "image/svg+xml", svg, strlen(svg), headers, 2);
}

static void reply_picture(struct picture *picture, struct tfr_call *call) {
    struct tfr_server *server = picture->server;
    if (picture->gone != NULL) {
        tfr_reply_error(call->exchange, TFR_ERROR_NOT_FOUND, NULL, "%s", picture->gone);
    } else if (picture->kind == PROFILE) {
        reply_profile(call, picture->text);
    } else {
        reply_svg(call, picture->text);
    }
    if (picture->kind == PROFILE) { /* graphs have other colours now */
        for (size_t i = 0; i < sizeof server->graph / sizeof server->graph[0]; i++) {
            tfr_string_free(server->graph[i]);
            server->graph[i] = NULL;
        }
    }
    if (picture->kind == GRAPH && picture->text != NULL && !picture->is_plain && server->graph[picture->phase] == NULL) {
        server->graph[picture->phase] = picture->text;
        picture->text = NULL;
    }
}

static void picture_done(struct tfr_engine_task *task) {
    struct picture *picture = (struct picture *)task;
    if (task->status == TFR_RESOURCE && picture->kind != PROFILE) { /* the program that draws is not there: the text names it */
        picture->gone = task->error;
    } else if (task->status != TFR_OK) {
        tfr_engine_task_fail(task);
        return;
    }
    struct tfr_call *call = tfr_engine_task_take(task);
    reply_picture(picture, call);
    free_picture(task);
}

/* ?phase=decode or prefill; false after a reply. */
static bool read_phase(struct tfr_exchange *x, enum phase *phase) {
    const char *query = tfr_http_query(x);
    *phase = strcmp(query, "phase=prefill") == 0 ? PREFILL : DECODE;
    const bool good = query[0] == '\0' || *phase == PREFILL || strcmp(query, "phase=decode") == 0;
    if (!good) {
        tfr_reply_error(x, TFR_ERROR_INVALID, "phase", "the query must be phase=decode or phase=prefill");
    }
    return good;
}

static void start(struct tfr_exchange *x, enum kind kind, void (*run)(struct tfr_engine *engine, struct tfr_engine_task *task)) {
    struct tfr_call *call = tfr_call_of(x);
    enum phase phase;
    if (kind != GRAPH && !tfr_settings_bool(call->server->settings, "serve.profile")) {
        tfr_reply_error(x, TFR_ERROR_NOT_FOUND, NULL, "profiles take time of the engine: start the server with --profile");
        return;
    }
    if (!read_phase(x, &phase)) {
        return;
    }
    if (kind == GRAPH && call->server->graph[phase] != NULL) {
        reply_svg(call, call->server->graph[phase]);
        return;
    }
    struct picture *picture = calloc(1, sizeof *picture);
    if (picture == NULL) {
        tfr_reply_error(x, TFR_ERROR_NO_MEMORY, NULL, NULL);
        return;
    }
    *picture = (struct picture){.task = {.call = call, .run = run, .done = picture_done, .free = free_picture},
                                .server = call->server,
                                .kind = kind,
                                .phase = phase};
    tfr_engine_task_start(&picture->task);
}

void tfr_route_graph(struct tfr_server *server, struct tfr_exchange *x) {
    (void)server;
    start(x, GRAPH, run_graph);
}

void tfr_route_profile(struct tfr_server *server, struct tfr_exchange *x) {
    (void)server;
    start(x, PROFILE, run_profile);
}

void tfr_route_roofline(struct tfr_server *server, struct tfr_exchange *x) {
    (void)server;
    start(x, ROOFLINE, run_roofline);
}

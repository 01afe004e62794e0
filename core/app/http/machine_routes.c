/* machine_routes.c - pictures of the step and where its time goes: the graph; with serve.profile also a profile of an idle engine,
 * as numbers, as colours of the graph and as a roofline. The engine's thread measures, and does nothing else of it. */
#include <stdlib.h>
#include <string.h>

#include <tfrun/profile.h>

#include "app/http/engine_task.h"
#include "app/http/gallery.h"
#include "app/http/reply.h"
#include "app/http/route.h"
#include "base/arena.h"
#include "base/clock.h"

enum { REPETITIONS = 3 };

/* A profile is not measured anew before so many times have passed as it took: others may want the engine. */
enum { REST = 10 };

/* Somebody who waits for a picture, or for a profile. */
struct visit {
    struct tfr_engine_task task; /* first */
    struct tfr_gallery *gallery;
    bool wants_profile; /* itself; else a picture: */
    enum tfr_gallery_picture which;
    uint64_t serial;             /* number of the last profile when it began, or of its own */
    struct tfr_profile *profile; /* that it measured, until the gallery has it */
    uint64_t began_ns, ended_ns;
};

static void free_visit(struct tfr_engine_task *task) {
    struct visit *visit = (struct visit *)task;
    tfr_profile_free(visit->profile);
    free(visit);
}

static bool is_busy(const struct tfr_engine *engine) {
    struct tfr_serving serving;
    tfr_engine_serving(engine, &serving);
    return serving.running + serving.waiting > 0;
}

/* Steps of its own, which others would wait for and be measured with: of an idle engine alone, and once for all who asked. */
static void run_measure(struct tfr_engine *engine, struct tfr_engine_task *task) {
    struct visit *visit = (struct visit *)task;
    if (tfr_gallery_serial(visit->gallery) != visit->serial) {
        tfr_engine_task_end(task, TFR_OK);
        return;
    }
    if (is_busy(engine)) {
        tfr_engine_task_end(task, TFR_BUSY);
        return;
    }
    const int64_t room = tfr_engine_n_positions(engine);
    const struct tfr_profile_question question = {
        .prompt_tokens = tfr_gallery_rows(engine),
        .context = room > TFR_GALLERY_CONTEXT ? TFR_GALLERY_CONTEXT : room - 1,
        .batch = 1,
        .reps = REPETITIONS,
    };
    visit->began_ns = tfr_clock_ns();
    tfr_engine_task_end(task, tfr_profile_run(&visit->profile, engine, &question));
    visit->ended_ns = tfr_clock_ns();
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

static void reply_profile(struct tfr_call *call) {
    struct tfr_json_out out = {0};
    struct tfr_json_doc *doc;
    char *text;
    if (tfr_report_profile(tfr_gallery_profile(call->server->gallery), TFR_TABLE_JSON, &text) != TFR_OK) {
        tfr_reply_error(call->exchange, TFR_ERROR_NO_MEMORY, NULL, NULL);
        return;
    }
    const enum tfr_status status = tfr_json_open(&doc, "profile", text, strlen(text), TFR_RUNTIME);
    tfr_string_free(text);
    if (status != TFR_OK) {
        tfr_reply_error(call->exchange, TFR_ERROR_NO_MEMORY, NULL, NULL);
        return;
    }
    tfr_json_begin(&out, NULL, '{');
    tfr_json_begin(&out, "phases", '{');
    put_phase(&out, "decode", doc);
    put_phase(&out, "prefill", doc);
    tfr_json_end(&out, '}');
    tfr_json_put_node(&out, "doubts", doc, tfr_json_member(tfr_json_root(doc), "doubts")); /* of the calibration */
    tfr_json_end(&out, '}');
    tfr_json_close(doc);
    tfr_reply_json(call->exchange, 200, &out);
}

/* A picture runs no script and loads nothing, wherever it is shown. */
static void reply_picture(struct tfr_call *call, const struct tfr_kept_picture *picture) {
    static const struct tfr_http_header headers[] = {{"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"},
                                                     {"Cache-Control", "no-store"}};
    if (picture->svg != NULL) {
        tfr_reply(call->exchange, 200, "image/svg+xml", picture->svg, strlen(picture->svg), headers, 2);
    } else {
        tfr_reply_error(call->exchange, TFR_ERROR_NOT_FOUND, NULL, "%s", picture->why);
    }
}

/* ---- a picture that is being drawn ------------------------------------------------------------------------ */

static void poll_picture(struct tfr_call *call) {
    const struct visit *visit = call->work;
    struct tfr_kept_picture picture;
    if (tfr_gallery_look(visit->gallery, visit->which, visit->serial, &picture)) {
        free(tfr_call_stop_waiting(call));
        reply_picture(call, &picture);
    }
}

static void tick_picture(struct tfr_call *call, uint64_t now_ns) {
    (void)now_ns;
    poll_picture(call);
}

/* No end of the server waits for a picture. */
static void drain_picture(struct tfr_call *call, bool at_once) {
    (void)at_once;
    free(tfr_call_stop_waiting(call));
    tfr_reply_error(call->exchange, TFR_ERROR_DRAINING, NULL, NULL);
}

static void abandon_picture(struct tfr_call *call) {
    free(call->work);
}

static void await_picture(struct visit *visit, struct tfr_call *call) {
    call->work = visit;
    call->poll = poll_picture;
    call->tick = tick_picture;
    call->drain = drain_picture;
    call->abandon = abandon_picture;
    tfr_call_wait(call);
    poll_picture(call);
}

/* Roofs that nobody measured are no picture. */
static void show_picture(struct visit *visit, struct tfr_call *call) {
    if (visit->which == TFR_GALLERY_ROOFLINE && !tfr_profile_is_calibrated(tfr_gallery_profile(visit->gallery))) {
        free(visit);
        tfr_reply_error(
            call->exchange, TFR_ERROR_NOT_FOUND, NULL,
            "there is no calibration of this host that fits; `tfrun calibrate` makes one, while the server runs or not");
    } else {
        await_picture(visit, call);
    }
}

/* ---- a profile that is being measured --------------------------------------------------------------------- */

static void take_profile(struct visit *visit, struct tfr_server *server) {
    if (visit->profile != NULL) {
        tfr_gallery_take(visit->gallery, visit->profile);
        visit->profile = NULL;
        server->profile_until_ns = visit->ended_ns + REST * (visit->ended_ns - visit->began_ns);
    }
    visit->serial = tfr_gallery_serial(visit->gallery);
}

/* An engine that is at work still has its graph, without colours. */
static void measured(struct tfr_engine_task *task) {
    struct visit *visit = (struct visit *)task;
    const bool is_graph = !visit->wants_profile && visit->which != TFR_GALLERY_ROOFLINE;
    take_profile(visit, task->server);
    if (task->status != TFR_OK && !(is_graph && task->status == TFR_BUSY)) {
        tfr_engine_task_fail(task);
        return;
    }
    struct tfr_call *call = tfr_engine_task_take(task);
    if (visit->wants_profile) {
        free_visit(task);
        reply_profile(call);
    } else {
        show_picture(visit, call);
    }
}

/* ---- the routes ------------------------------------------------------------------------------------------- */

/* NULL after a reply. */
static struct visit *open_visit(struct tfr_server *server, struct tfr_exchange *x) {
    struct visit *visit = calloc(1, sizeof *visit);
    if (visit == NULL) {
        tfr_reply_error(x, TFR_ERROR_NO_MEMORY, NULL, NULL);
        return NULL;
    }
    visit->task = (struct tfr_engine_task){.call = tfr_call_of(x), .run = run_measure, .done = measured, .free = free_visit};
    visit->gallery = server->gallery;
    visit->serial = tfr_gallery_serial(server->gallery);
    return visit;
}

/* False after a reply. */
static bool has_profiles(struct tfr_server *server, struct tfr_exchange *x) {
    const bool has = tfr_settings_bool(server->settings, "serve.profile");
    if (!has) {
        tfr_reply_error(x, TFR_ERROR_NOT_FOUND, NULL, "profiles take time of the engine: start the server with --profile");
    }
    return has;
}

/* ?phase=decode or prefill; false after a reply. */
static bool read_phase(struct tfr_exchange *x, enum tfr_gallery_picture *which) {
    const char *query = tfr_http_query(x);
    *which = strcmp(query, "phase=prefill") == 0 ? TFR_GALLERY_PREFILL : TFR_GALLERY_DECODE;
    const bool good = query[0] == '\0' || *which == TFR_GALLERY_PREFILL || strcmp(query, "phase=decode") == 0;
    if (!good) {
        tfr_reply_error(x, TFR_ERROR_INVALID, "phase", "the query must be phase=decode or phase=prefill");
    }
    return good;
}

static void refuse_busy(struct visit *visit) {
    struct tfr_engine_task *task = &visit->task;
    struct tfr_call *call = task->call;
    static const struct tfr_http_header soon[] = {{"Retry-After", "1"}, {"retry-after-ms", "1000"}};
    struct tfr_refusal refusal;
    tfr_refuse(&refusal, TFR_ERROR_QUEUE_FULL, NULL, "a step is measured while nothing else runs; come again later");
    free_visit(task);
    tfr_reply_refusal(call->exchange, &refusal, soon, 2);
}

void tfr_route_graph(struct tfr_server *server, struct tfr_exchange *x) {
    enum tfr_gallery_picture which;
    struct visit *visit = NULL;
    if (!tfr_route_refuse_cross_site(x) && read_phase(x, &which)) {
        visit = open_visit(server, x);
    }
    if (visit == NULL) {
        return;
    }
    const bool has_colors = tfr_settings_bool(server->settings, "serve.profile");
    visit->which = which;
    if (has_colors && tfr_gallery_profile(server->gallery) == NULL && !is_busy(server->engine)) {
        tfr_engine_task_start(&visit->task);
    } else {
        show_picture(visit, visit->task.call);
    }
}

void tfr_route_profile(struct tfr_server *server, struct tfr_exchange *x) {
    struct visit *visit = !tfr_route_refuse_cross_site(x) && has_profiles(server, x) ? open_visit(server, x) : NULL;
    if (visit == NULL) {
        return;
    }
    visit->wants_profile = true;
    if (is_busy(server->engine)) {
        refuse_busy(visit);
    } else if (tfr_clock_ns() < server->profile_until_ns) {
        free_visit(&visit->task);
        reply_profile(tfr_call_of(x));
    } else {
        tfr_engine_task_start(&visit->task);
    }
}

void tfr_route_roofline(struct tfr_server *server, struct tfr_exchange *x) {
    struct visit *visit = !tfr_route_refuse_cross_site(x) && has_profiles(server, x) ? open_visit(server, x) : NULL;
    if (visit == NULL) {
        return;
    }
    visit->which = TFR_GALLERY_ROOFLINE;
    if (tfr_gallery_profile(server->gallery) != NULL) {
        show_picture(visit, visit->task.call);
    } else if (is_busy(server->engine)) {
        refuse_busy(visit);
    } else {
        tfr_engine_task_start(&visit->task);
    }
}

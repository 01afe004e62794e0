/* gallery.c - see gallery.h. A drawing has its thread, which takes what it needs from here and touches nothing else; it is looked
 * after whenever somebody looks for a picture. */
#include "app/http/gallery.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

static const uint64_t failure_ns = UINT64_C(10000000000); /* so long it stays */

struct picture {
    char *svg; /* tfr_string_free */
    char why[512];
    bool is_there; /* one of the two */
    uint64_t serial, until_ns;
};

struct drawing {
    enum tfr_gallery_picture which;
    const struct tfr_step_picture *graph; /* of a graph */
    const struct tfr_profile *profile;    /* NULL: without times */
    uint64_t serial;
    bool keeps_profile; /* the gallery has another one meanwhile */
    struct tfr_http *http;
    pthread_t thread;
    bool runs;
    /* of the thread, until it has ended */
    char *svg;
    char why[512];
    enum tfr_status status;
    atomic_bool ended;
};

struct tfr_gallery {
    struct tfr_step_picture *graphs[TFR_GALLERY_ROOFLINE]; /* NULL: could not be planned */
    struct tfr_profile *profile;
    atomic_uint_fast64_t serial;
    struct picture pictures[TFR_GALLERY_COUNT];
    struct drawing drawing;
};

struct tfr_gallery *tfr_gallery_open(struct tfr_http *http) {
    struct tfr_gallery *gallery = calloc(1, sizeof *gallery);
    if (gallery != NULL) {
        gallery->drawing.http = http;
    }
    return gallery;
}

int64_t tfr_gallery_rows(const struct tfr_engine *engine) {
    const int64_t most = tfr_engine_n_positions(engine);
    return most < TFR_GALLERY_ROWS ? most : TFR_GALLERY_ROWS;
}

void tfr_gallery_plan(struct tfr_gallery *gallery, const char *config, const struct tfr_override *overrides, size_t n_overrides,
                      const struct tfr_engine *engine) {
    for (int i = 0; i < TFR_GALLERY_ROOFLINE; i++) {
        const bool reads = i == TFR_GALLERY_PREFILL;
        const struct tfr_graph_question question = {
            .seq = reads ? tfr_gallery_rows(engine) : 1, .batch = 1, .context = reads ? 0 : -1, .n_ranks = tfr_engine_size(engine)};
        if (tfr_step_picture_open(&gallery->graphs[i], config, overrides, n_overrides, &question) != TFR_OK) {
            tfr_log(TFR_LOG_WARN, "serve", "there is no picture of the step: %s", tfr_last_error());
        }
    }
}

const struct tfr_profile *tfr_gallery_profile(const struct tfr_gallery *gallery) {
    return gallery->profile;
}

uint64_t tfr_gallery_serial(const struct tfr_gallery *gallery) {
    return atomic_load(&gallery->serial);
}

void tfr_gallery_take(struct tfr_gallery *gallery, struct tfr_profile *profile) {
    struct drawing *drawing = &gallery->drawing;
    if (drawing->runs && drawing->profile != NULL && drawing->profile == gallery->profile) {
        drawing->keeps_profile = true;
    } else {
        tfr_profile_free(gallery->profile);
    }
    gallery->profile = profile;
    atomic_fetch_add(&gallery->serial, 1);
}

/* A profile whose nodes are not those of the plan colours nothing. */
static enum tfr_status draw_graph(struct drawing *drawing) {
    enum tfr_status status = tfr_step_picture_draw(drawing->graph, drawing->profile, TFR_REPORT_SVG, &drawing->svg);
    if (status == TFR_USAGE && drawing->profile != NULL) {
        status = tfr_step_picture_draw(drawing->graph, NULL, TFR_REPORT_SVG, &drawing->svg);
    }
    return status;
}

static void *draw(void *user) {
    struct drawing *drawing = user;
    drawing->status =
        drawing->which == TFR_GALLERY_ROOFLINE ? tfr_report_roofline(drawing->profile, &drawing->svg) : draw_graph(drawing);
    snprintf(drawing->why, sizeof drawing->why, "%s", drawing->status != TFR_OK ? tfr_last_error() : "");
    atomic_store(&drawing->ended, true);
    tfr_http_wake(drawing->http);
    return NULL;
}

static void keep(struct tfr_gallery *gallery, enum tfr_gallery_picture which, uint64_t serial, char *svg, const char *why) {
    struct picture *picture = &gallery->pictures[which];
    tfr_string_free(picture->svg);
    *picture = (struct picture){.svg = svg, .is_there = true, .serial = serial, .until_ns = UINT64_MAX};
    if (svg == NULL) {
        snprintf(picture->why, sizeof picture->why, "%s", why);
        picture->until_ns = tfr_clock_ns() + failure_ns;
    }
}

static void begin(struct tfr_gallery *gallery, enum tfr_gallery_picture which) {
    struct drawing *drawing = &gallery->drawing;
    const bool is_graph = which != TFR_GALLERY_ROOFLINE;
    *drawing = (struct drawing){.which = which,
                                .graph = is_graph ? gallery->graphs[which] : NULL,
                                .profile = gallery->profile,
                                .serial = tfr_gallery_serial(gallery),
                                .http = drawing->http};
    if (is_graph && drawing->graph == NULL) {
        keep(gallery, which, drawing->serial, NULL, "the step can't be planned for a picture; the server's log says why");
    } else if (pthread_create(&drawing->thread, NULL, draw, drawing) != 0) {
        keep(gallery, which, drawing->serial, NULL, "there is no memory for a thread that draws");
    } else {
        drawing->runs = true;
    }
}

static void finish(struct tfr_gallery *gallery) {
    struct drawing *drawing = &gallery->drawing;
    pthread_join(drawing->thread, NULL);
    drawing->runs = false;
    if (drawing->status != TFR_OK && drawing->status != TFR_RESOURCE) {
        tfr_log(TFR_LOG_WARN, "serve", "a picture was not drawn: %s", drawing->why);
    }
    keep(gallery, drawing->which, drawing->serial, drawing->status == TFR_OK ? drawing->svg : NULL, drawing->why);
    if (drawing->keeps_profile) {
        tfr_profile_free((struct tfr_profile *)(uintptr_t)drawing->profile);
    }
}

static bool is_fresh(const struct picture *picture, uint64_t serial) {
    return picture->is_there && picture->serial >= serial && tfr_clock_ns() < picture->until_ns;
}

bool tfr_gallery_look(struct tfr_gallery *gallery, enum tfr_gallery_picture which, uint64_t serial,
                      struct tfr_kept_picture *picture) {
    const struct picture *kept = &gallery->pictures[which];
    if (gallery->drawing.runs && atomic_load(&gallery->drawing.ended)) {
        finish(gallery);
    }
    if (!is_fresh(kept, serial) && !gallery->drawing.runs) {
        begin(gallery, which);
    }
    if (!is_fresh(kept, serial)) {
        return false;
    }
    *picture = (struct tfr_kept_picture){kept->svg, kept->why};
    return true;
}

void tfr_gallery_close(struct tfr_gallery *gallery) {
    if (gallery == NULL) {
        return;
    }
    if (gallery->drawing.runs) {
        tfr_drawing_end();
        finish(gallery);
    }
    for (int i = 0; i < TFR_GALLERY_COUNT; i++) {
        tfr_string_free(gallery->pictures[i].svg);
    }
    for (int i = 0; i < TFR_GALLERY_ROOFLINE; i++) {
        tfr_step_picture_close(gallery->graphs[i]);
    }
    tfr_profile_free(gallery->profile);
    free(gallery);
}

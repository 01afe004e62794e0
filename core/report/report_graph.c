/* report_graph.c - the question of `tfrun graph`: which graphs of which ranks are drawn, and what is marked in them. The plan is
 * made at opening; drawing works on a copy of its boxes, so that it can be done again, with other times. */
#include <tfrun/tfrun.h>

#include <string.h>

#include "base/arena.h"
#include "base/plural.h"
#include "base/program.h"
#include "base/status.h"
#include "picture/picture.h"
#include "profile/profile_run.h"
#include "report/dry.h"

struct tfr_step_picture {
    struct tfr_dry dry;
    struct tfr_picture picture; /* borrows of `dry` and `name` */
    char name[256];
    enum tfr_phase phase; /* of a profile, that has the same step */
    enum tfr_graph_stage stage;
    bool unfolds;
};

static enum tfr_status check_question(const struct tfr_graph_question *question) {
    enum { MOST = 1 << 20 };
    if (question->seq < 1 || question->batch < 1 || question->n_ranks < 1 || question->encoder < 0 || question->batch > MOST ||
        question->encoder > MOST) {
        return tfr_raise(TFR_USAGE, "a graph has 1 to %d sequences and encoder rows, and at least one row and rank", MOST);
    }
    if (question->stage == TFR_GRAPH_BUILT && (question->critical_path || question->measured != NULL)) {
        return tfr_raise(TFR_USAGE, "%s the graph as it is built; ask for the fused one",
                         question->critical_path ? "--critical-path needs predicted times, and nothing is planned of"
                                                 : "--measured shows what ran, which is not");
    }
    return TFR_OK;
}

/* Against the model: only what could run is drawn. */
static enum tfr_status check_model(const struct tfr_graph_question *question, const struct tfr_dry *dry, int64_t context) {
    const struct tfr_config *config = dry->config;
    const struct tfr_hparams *model = &config->model;
    const int64_t most = (model->n_layer + 1) * dry->placement.tensor; /* a stage for each block, and one for embeddings and head */
    if (question->encoder > 0 && !model->add_cross_attention) {
        return tfr_raise(
            TFR_USAGE,
            "%s: the model has no cross-attention, so there are no encoder rows; set add_cross_attention there (--cross-attention "
            "is a question to `tfrun summary` alone), or leave out --encoder-len",
            config->path);
    }
    if (question->seq > model->n_positions - context) {
        return tfr_raise(TFR_USAGE,
                         "%s: %lld cached and %lld new positions are more than the model's %lld; lower --context or --seq",
                         config->path, (long long)context, (long long)question->seq, (long long)model->n_positions);
    }
    TFR_TRY(tfr_dry_check_one_replica(config, question->n_ranks, "graph"));
    if (question->n_ranks > most && dry->placement.head != TFR_PLACE_SPLIT) {
        return tfr_raise(TFR_USAGE, "%s: %lld block%s on %d ranks: at least %lld would have nothing to do; ask for at most %lld",
                         config->path, (long long)model->n_layer, tfr_plural(model->n_layer), question->n_ranks,
                         (long long)(question->n_ranks - most), (long long)most);
    }
    return TFR_OK;
}

static int64_t context_of(const struct tfr_graph_question *question, const struct tfr_hparams *model) {
    enum { USUAL = 128 };
    const int64_t room = model->n_positions - question->seq;
    return question->context >= 0 ? question->context : room < 0 ? 0 : room < USUAL ? room : USUAL;
}

/* "gpt2.json", or the folder of a "config.json". */
static const char *name_of(const char *path, char *text, size_t size) {
    static const char usual[] = "/config.json";
    const size_t length = strlen(path), tail = sizeof usual - 1;
    const bool is_usual = length > tail && strcmp(path + length - tail, usual) == 0;
    snprintf(text, size, "%.*s", (int)(is_usual ? length - tail : length), path);
    const char *slash = strrchr(text, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : text;
}

static enum tfr_status add_built(struct tfr_picture *picture, struct tfr_dry *dry, const struct tfr_dry_step *step) {
    struct tfr_graph *graph;
    TFR_TRY(tfr_dry_graph(dry, step, &graph));
    const enum tfr_status status = tfr_picture_add(picture, graph, NULL, step->rank);
    tfr_graph_free(graph);
    return status;
}

static enum tfr_status add_fused(struct tfr_picture *picture, struct tfr_dry *dry, const struct tfr_dry_step *step) {
    struct tfr_plan *plan;
    TFR_TRY(tfr_dry_plan(dry, step, &plan));
    const enum tfr_status status = tfr_picture_add(picture, plan->graph, plan, step->rank);
    tfr_plan_free(plan);
    return status;
}

static enum tfr_status add_panels(struct tfr_picture *picture, struct tfr_dry *dry, const struct tfr_graph_question *question) {
    const struct tfr_hparams *model = &dry->config->model;
    struct tfr_dry_step step = {
        .rows = picture->step.rows,
        .logits = picture->step.logits,
        .context = picture->step.context,
        .sequences = question->batch,
        .encoder = question->encoder,
        .features = {.attention = dry->config->options.runtime_attn, .head = model->head, .cross = question->encoder > 0},
    };
    for (step.rank = 0; step.rank < question->n_ranks && question->stage != TFR_GRAPH_FUSED; step.rank++) {
        TFR_TRY(add_built(picture, dry, &step));
    }
    for (step.rank = 0; step.rank < question->n_ranks && question->stage != TFR_GRAPH_BUILT; step.rank++) {
        TFR_TRY(add_fused(picture, dry, &step));
    }
    return tfr_picture_join(picture);
}

/* Of one new row that of decoding, of more that of a prompt. */
static enum tfr_status take_profile(const struct tfr_step_picture *from, struct tfr_picture *picture,
                                    const struct tfr_profile *profile) {
    const struct tfr_profile_phase *phase = &profile->phase[from->phase];
    if (!phase->is_there) {
        return tfr_raise(TFR_USAGE, "the profile has no %s", tfr_phase_name(from->phase));
    }
    if (from->stage == TFR_GRAPH_BUILT || picture->has_measured) {
        return tfr_raise(TFR_USAGE, "a profile shows what ran, in a fused graph without other times");
    }
    struct tfr_picture_time *times = tfr_alloc(profile->n_nodes + 1, sizeof *times);
    if (times == NULL) {
        return TFR_RESOURCE;
    }
    size_t n = 0;
    for (size_t i = 0; i < profile->n_nodes; i++) {
        const struct tfr_profile_node *node = &profile->nodes[i];
        if (node->phase == (int32_t)from->phase) {
            times[n++] = (struct tfr_picture_time){node->facts.name, node->rank, node->ns};
        }
    }
    const enum tfr_status status = tfr_picture_take_times(picture, times, n, (int)phase->n_reps, "the profile");
    tfr_free(times);
    return status;
}

static enum tfr_status plan(struct tfr_picture *picture, struct tfr_dry *dry, const struct tfr_graph_question *question) {
    const struct tfr_hparams *model = &dry->config->model;
    const int64_t context = context_of(question, model);
    TFR_TRY(tfr_dry_choose_head(dry, question->head));
    TFR_TRY(check_model(question, dry, context));
    const int64_t rows = question->seq * question->batch;
    picture->step.rows = rows;
    picture->step.logits = question->all_logits ? rows : question->batch;
    picture->step.sequences = question->batch;
    picture->step.context = context;
    picture->step.encoder = question->encoder;
    picture->step.n_ranks = question->n_ranks;
    picture->step.n_threads = dry->threads.n_threads;
    TFR_TRY(tfr_picture_open(picture, model));
    TFR_TRY(add_panels(picture, dry, question));
    TFR_TRY(question->critical_path ? tfr_picture_mark_path(picture) : TFR_OK);
    return question->measured != NULL ? tfr_picture_measure(picture, question->measured) : TFR_OK;
}

static enum tfr_status write_picture(const struct tfr_picture *picture, enum tfr_report_form form, char **text) {
    switch (form) {
    case TFR_REPORT_TEXT:
        return tfr_picture_text(picture, text);
    case TFR_REPORT_JSON:
        return tfr_picture_json(picture, text);
    case TFR_REPORT_DOT:
        return tfr_picture_dot(picture, true, text);
    case TFR_REPORT_SVG:
        return tfr_picture_svg(picture, text);
    }
    return tfr_raise(TFR_USAGE, "a graph has no form %d", (int)form);
}

enum tfr_status tfr_step_picture_open(struct tfr_step_picture **result, const char *path, const struct tfr_override *overrides,
                                      size_t n_overrides, const struct tfr_graph_question *question) {
    *result = NULL;
    TFR_TRY(check_question(question));
    struct tfr_step_picture *made = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    *made = (struct tfr_step_picture){
        .phase = question->seq == 1 ? TFR_PHASE_DECODE : TFR_PHASE_PREFILL, .stage = question->stage, .unfolds = question->unfold};
    enum tfr_status status = tfr_dry_check_said(overrides, n_overrides, question->n_ranks);
    status = status == TFR_OK ? tfr_dry_open(&made->dry, path, overrides, n_overrides, question->n_ranks) : status;
    if (status == TFR_OK) {
        made->picture.step.path = made->dry.config->path;
        made->picture.step.config = name_of(made->dry.config->path, made->name, sizeof made->name);
        status = plan(&made->picture, &made->dry, question);
    }
    if (status == TFR_OK) {
        *result = made;
    } else {
        tfr_step_picture_close(made);
    }
    return status;
}

void tfr_step_picture_close(struct tfr_step_picture *made) {
    if (made != NULL) {
        tfr_picture_free(&made->picture);
        tfr_dry_close(&made->dry);
        tfr_free(made);
    }
}

enum tfr_status tfr_step_picture_draw(const struct tfr_step_picture *made, const struct tfr_profile *profile,
                                      enum tfr_report_form form, char **text) {
    struct tfr_picture picture;
    enum tfr_status status = tfr_picture_copy(&made->picture, &picture);
    if (status == TFR_OK && profile != NULL) {
        status = take_profile(made, &picture, profile);
    }
    if (status == TFR_OK && !made->unfolds) {
        status = tfr_picture_fold(&picture);
    }
    if (status == TFR_OK) {
        status = write_picture(&picture, form, text);
    }
    tfr_picture_free(&picture);
    return status;
}

void tfr_drawing_end(void) {
    tfr_programs_end();
}

enum tfr_status tfr_report_graph(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                 const struct tfr_graph_question *question, enum tfr_report_form form, char **text) {
    struct tfr_step_picture *made;
    TFR_TRY(tfr_step_picture_open(&made, path, overrides, n_overrides, question));
    const enum tfr_status status = tfr_step_picture_draw(made, NULL, form, text);
    tfr_step_picture_close(made);
    return status;
}

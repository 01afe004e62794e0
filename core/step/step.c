/* step.c - a step that was cut becomes a message, and its inputs find their places: see step.h. */
#include "step/step.h"

#include <string.h>

#include "base/status.h"
#include "job/command.h"

static bool all_ranks_read_embeds(const struct tfr_step *step) {
    return step->cuts[0].piece->features->part == TFR_PART_ENCODER;
}

static int64_t head_mask_floats(const struct tfr_step *step) {
    const struct tfr_hparams *model = &step->engine->config->model;
    return step->cuts[0].piece->head_mask != NULL ? model->n_layer * model->n_head : 0;
}

static int64_t mask_floats(const struct tfr_cut *cut) {
    return cut->piece->mask.values != NULL ? cut->piece->mask.heads * cut->n * tfr_cut_keys(cut) : 0;
}

static int64_t cross_mask_floats(const struct tfr_step *step, const struct tfr_cut *cut) {
    return cut->piece->cross_mask.values != NULL ? cut->n * tfr_cut_cross_keys(step->engine, cut) : 0;
}

static struct tfr_step_body describe(const struct tfr_step *step) {
    struct tfr_step_body body = {.features = *step->cuts[0].piece->features,
                                 .n_pieces = step->n_cuts,
                                 .n_rows = step->n_rows,
                                 .n_logits = step->n_logits,
                                 .n_floats = head_mask_floats(step)};
    if (all_ranks_read_embeds(step)) {
        body.n_floats = step->n_rows * step->engine->config->model.n_embd;
    }
    for (int64_t i = 0; i < step->n_cuts; i++) {
        body.n_floats += mask_floats(&step->cuts[i]) + cross_mask_floats(step, &step->cuts[i]);
    }
    return body;
}

static void copy_mask(const struct tfr_piece_mask *mask, const struct tfr_cut *cut, int64_t n_keys, float *to) {
    for (int64_t h = 0; h < mask->heads; h++) {
        for (int64_t r = 0; r < cut->n; r++, to += n_keys) {
            const float *row = mask->values + h * mask->head_stride + mask->row_at[cut->first + r] * mask->row_stride;
            if (mask->column_of == NULL) {
                memcpy(to, row, (size_t)n_keys * sizeof *to);
                continue;
            }
            for (int64_t s = 0; s < n_keys; s++) {
                to[s] = row[mask->column_of[s]];
            }
        }
    }
}

static void fill_pieces(const struct tfr_step *step, const struct tfr_step_parts *parts) {
    int64_t at = head_mask_floats(step);
    if (at > 0) {
        memcpy(parts->floats, step->cuts[0].piece->head_mask, (size_t)at * sizeof(float));
    }
    for (int64_t i = 0; i < step->n_cuts; i++) {
        const struct tfr_cut *cut = &step->cuts[i];
        const struct tfr_piece *piece = cut->piece;
        const int64_t n_self = mask_floats(cut), n_cross = cross_mask_floats(step, cut);
        parts->pieces[i] = (struct tfr_step_piece){.slot = piece->slot,
                                                   .query_only = piece->query_only,
                                                   .rows = cut->n,
                                                   .past = tfr_cut_past(cut),
                                                   .mask_at = at,
                                                   .mask_heads = piece->mask.heads,
                                                   .cross_mask_at = at + n_self};
        if (n_self > 0) {
            copy_mask(&piece->mask, cut, tfr_cut_keys(cut), parts->floats + at);
        }
        if (n_cross > 0) {
            copy_mask(&piece->cross_mask, cut, tfr_cut_cross_keys(step->engine, cut), parts->floats + at + n_self);
        }
        at += n_self + n_cross;
    }
}

static void fill_logit_rows(const struct tfr_step *step, const struct tfr_step_parts *parts) {
    int64_t n = 0;
    for (int64_t i = 0; i < step->n_cuts; i++) {
        const struct tfr_cut *cut = &step->cuts[i];
        for (int64_t r = 0; r < cut->n; r++) {
            if (tfr_piece_keeps(cut->piece, cut->first + r)) {
                parts->logit_rows[n++] = (int32_t)(cut->row + r);
            }
        }
    }
}

static void copy_embeds(const struct tfr_step *step, const struct tfr_cut *cut, float *to) {
    const struct tfr_piece *piece = cut->piece;
    const int64_t C = step->engine->config->model.n_embd;
    for (int64_t r = 0; r < cut->n; r++) {
        const int64_t at = piece->embed_at != NULL ? piece->embed_at[cut->first + r] : cut->first + r;
        memcpy(to + (cut->row + r) * C, piece->embeds + at * C, (size_t)C * sizeof *to);
    }
}

/* Ids and the like go no further than this rank's memory; embeddings of the encoder's part stand in the message. */
static void fill_inputs(const struct tfr_step *step, const struct tfr_step_parts *parts) {
    struct tfr_step_memory *memory = &step->engine->step;
    float *embeds = all_ranks_read_embeds(step) ? parts->floats : memory->embeds.data;
    for (int64_t i = 0; i < step->n_cuts; i++) {
        const struct tfr_cut *cut = &step->cuts[i];
        const struct tfr_piece *piece = cut->piece;
        for (int64_t r = 0; r < cut->n; r++) {
            const int64_t from = cut->first + r, to = cut->row + r;
            memory->ids[to] = piece->ids != NULL ? piece->ids[from] : 0;
            memory->positions[to] = piece->positions != NULL ? piece->positions[from] : (int32_t)(piece->past + from);
            memory->token_types[to] = piece->token_types != NULL ? piece->token_types[from] : 0;
        }
        if (piece->embeds != NULL) {
            copy_embeds(step, cut, embeds);
        }
    }
}

enum tfr_status tfr_step_run(struct tfr_step *step) {
    const struct tfr_step_body body = describe(step);
    struct tfr_message *message = tfr_message_new(step->engine, TFR_MESSAGE_STEP, tfr_step_body_bytes(&body));
    if (message == NULL) {
        return TFR_RESOURCE;
    }
    struct tfr_step_body *sent = tfr_message_body(message);
    *sent = body;
    const struct tfr_step_parts parts = tfr_step_body_parts(sent);
    fill_pieces(step, &parts);
    fill_logit_rows(step, &parts);
    fill_inputs(step, &parts);
    TFR_TRY(tfr_command(step->engine, message));
    const struct tfr_step_memory *memory = &step->engine->step;
    step->logits = memory->logits.data;
    step->hidden = memory->hidden;
    step->weights = memory->weights;
    step->cross_weights = memory->cross_weights;
    return TFR_OK;
}

enum tfr_status tfr_step_run_all(struct tfr_engine *engine, const struct tfr_piece *pieces, int64_t n) {
    struct tfr_step step;
    enum tfr_status status = tfr_step_open(&step, engine, pieces, n);
    while (status == TFR_OK && tfr_step_cut(&step)) {
        status = tfr_step_run(&step);
    }
    tfr_step_close(&step);
    return status;
}

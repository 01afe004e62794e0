/* step.c - a step that was cut becomes a message, and its inputs find their places: see step.h. */
#include "step/step.h"

#include <string.h>

#include "base/status.h"
#include "job/command.h"

/* Pooled rows are rank 0's and of no sequence. */
static int32_t replica_of(const struct tfr_piece *piece, const struct tfr_engine *engine) {
    return piece->features->part == TFR_PART_SUMMARY ? 0 : engine->slots[piece->slot].replica;
}

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

/* Rows that see the keys before their piece, not before themselves, have positions that nobody can tell from the keys. */
static bool has_positions(const struct tfr_piece *piece) {
    return piece->positions != NULL || piece->query_only;
}

static struct tfr_step_body describe(const struct tfr_step *step) {
    struct tfr_step_body body = {.features = *step->cuts[0].piece->features,
                                 .n_pieces = step->n_cuts,
                                 .n_rows = step->n_rows,
                                 .n_logits = step->n_logits,
                                 .n_floats = head_mask_floats(step)};
    body.traced = step->engine->trace != NULL ? tfr_trace_last_run(step->engine->trace) + 1 : 0;
    body.features.replica = replica_of(step->cuts[0].piece, step->engine);
    if (all_ranks_read_embeds(step)) {
        body.n_floats = step->n_rows * step->engine->config->model.n_embd;
    }
    for (int64_t i = 0; i < step->n_cuts; i++) {
        const struct tfr_piece *piece = step->cuts[i].piece;
        body.n_floats += mask_floats(&step->cuts[i]) + cross_mask_floats(step, &step->cuts[i]);
        body.n_ids = piece->ids != NULL ? step->n_rows : body.n_ids;
        body.n_positions = has_positions(piece) ? step->n_rows : body.n_positions;
        body.n_token_types = piece->token_types != NULL ? step->n_rows : body.n_token_types;
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

static void fill_numbers(const struct tfr_step_body *body, const struct tfr_cut *cut, const struct tfr_step_parts *parts) {
    const struct tfr_piece *piece = cut->piece;
    for (int64_t r = 0; r < cut->n; r++) {
        const int64_t from = cut->first + r, to = cut->row + r;
        if (body->n_ids > 0) {
            parts->ids[to] = piece->ids != NULL ? piece->ids[from] : 0;
        }
        if (body->n_positions > 0) {
            parts->positions[to] = piece->positions != NULL ? piece->positions[from] : (int32_t)(piece->past + from);
        }
        if (body->n_token_types > 0) {
            parts->token_types[to] = piece->token_types != NULL ? piece->token_types[from] : 0;
        }
    }
}

/* Embeddings go no further than this rank's memory; those of the encoder's part stand in the message. */
static void fill_inputs(const struct tfr_step *step, const struct tfr_step_body *body, const struct tfr_step_parts *parts) {
    float *embeds = all_ranks_read_embeds(step) ? parts->floats : step->engine->steps.memory[body->memory].embeds.data;
    for (int64_t i = 0; i < step->n_cuts; i++) {
        fill_numbers(body, &step->cuts[i], parts);
        if (step->cuts[i].piece->embeds != NULL) {
            copy_embeds(step, &step->cuts[i], embeds);
        }
    }
}

enum tfr_status tfr_step_begin(struct tfr_step *step) {
    struct tfr_engine *engine = step->engine;
    struct tfr_step_body body = describe(step);
    if (engine->placement.replicas > 1) { /* who does not hear of the step has no part in finding a plan */
        TFR_TRY(tfr_engine_ask_plan(engine, body.n_rows, body.n_logits, &body.features));
    }
    TFR_TRY(tfr_steps_choose(engine, &body, &body.memory));
    step->memory = &engine->steps.memory[body.memory];
    struct tfr_message *message = tfr_message_new(engine, TFR_MESSAGE_STEP, tfr_step_body_bytes(&body));
    enum tfr_status status = TFR_RESOURCE;
    if (message != NULL) {
        struct tfr_step_body *sent = tfr_message_body(message);
        *sent = body;
        const struct tfr_step_parts parts = tfr_step_body_parts(sent);
        fill_pieces(step, &parts);
        fill_logit_rows(step, &parts);
        fill_inputs(step, &body, &parts);
        message->to = body.memory > 0 ? body.features.replica : TFR_ALL_REPLICAS;
        status = tfr_command(engine, message);
    }
    if (status == TFR_OK && body.n_logits == 0 && tfr_engine_size(engine) == 1) {
        status = tfr_step_wait(engine, step->memory);
    }
    step->memory->taken = step->memory->taken && status == TFR_OK;
    return status;
}

enum tfr_status tfr_step_take(struct tfr_engine *engine, struct tfr_step_memory *memory) {
    struct tfr_run *failed = memory->failed;
    memory->taken = false;
    if (failed == NULL) {
        return tfr_step_wait(engine, memory);
    }
    memory->failed = NULL;
    const enum tfr_status status = tfr_exec_wait(engine->exec, failed); /* once more, with its sentence */
    tfr_exec_close_run(engine->exec, failed);
    return status;
}

enum tfr_status tfr_step_end(struct tfr_step *step) {
    TFR_TRY(tfr_step_take(step->engine, step->memory));
    const struct tfr_step_memory *memory = step->memory;
    step->logits = memory->logits.data;
    step->hidden = memory->hidden;
    step->weights = memory->weights;
    step->cross_weights = memory->cross_weights;
    return TFR_OK;
}

enum tfr_status tfr_step_run(struct tfr_step *step) {
    TFR_TRY(tfr_step_begin(step));
    return tfr_step_end(step);
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

/* step_run.c - one step on this rank, in order: plan, memory, sequences, exec, results to rank 0. See step_run.h. */
#include "rank/step_run.h"

#include <string.h>

#include "base/status.h"
#include "rank/rank.h"
#include "rank/slots.h"

enum { LINE_FLOATS = 16 };

int64_t tfr_step_piece_keys(const struct tfr_step_piece *piece) {
    return piece->past + (piece->query_only ? 0 : piece->rows);
}

static size_t numbers_bytes(const struct tfr_step_body *body) {
    const int64_t n = body->n_logits + body->n_ids + body->n_positions + body->n_token_types;
    return tfr_align_up((size_t)n * sizeof(int32_t), sizeof(int64_t));
}

size_t tfr_step_body_bytes(const struct tfr_step_body *body) {
    return sizeof *body + (size_t)body->n_pieces * sizeof(struct tfr_step_piece) + numbers_bytes(body) +
           (size_t)body->n_floats * sizeof(float);
}

struct tfr_step_parts tfr_step_body_parts(struct tfr_step_body *body) {
    uint8_t *at = (uint8_t *)(body + 1);
    struct tfr_step_parts parts = {.pieces = (void *)at};
    at += (size_t)body->n_pieces * sizeof *parts.pieces;
    parts.logit_rows = (void *)at;
    parts.ids = parts.logit_rows + body->n_logits;
    parts.positions = parts.ids + body->n_ids;
    parts.token_types = parts.positions + body->n_positions;
    parts.floats = (void *)(at + numbers_bytes(body));
    return parts;
}

/* The step under way. */
struct step {
    struct tfr_engine *engine;
    struct tfr_step_memory *memory;
    const struct tfr_step_body *body;
    struct tfr_step_parts parts;
    const struct tfr_plan *plan;
    int64_t n_weights, n_cross_weights; /* floats of one block's weights */
    float *next;                        /* free memory of the results */
};

static bool takes_part(const struct step *step) {
    return tfr_engine_is_of(step->engine, step->body->features.replica);
}

static bool is_hidden_asked(const struct step *step, int64_t item) {
    const struct tfr_gpt2_features *features = &step->body->features;
    const bool is_last = item == step->engine->config->model.n_layer;
    return features->part == TFR_PART_MODEL &&
           (features->hidden_states || (is_last && (features->last_hidden || features->head == TFR_HEAD_NONE)));
}

/* Rank that makes item i of hidden_states. */
static int hidden_owner(const struct step *step, int64_t item) {
    const struct tfr_placement *placement = &step->engine->placement;
    const int first = tfr_placement_rank(placement, step->body->features.replica, 0, 0);
    return first + (item == 0                                     ? 0
                    : item == step->engine->config->model.n_layer ? tfr_placement_last_rank(placement)
                                                                  : tfr_placement_owner(placement, item - 1));
}

/* Rank that makes the weights of a block. */
static int weights_owner(const struct step *step, int64_t block) {
    const struct tfr_placement *placement = &step->engine->placement;
    return tfr_placement_rank(placement, step->body->features.replica, tfr_placement_stage_of_block(placement, block), 0);
}

/* Rank 0 has room for everything, the others for what they make. */
static bool has_room(const struct tfr_engine *engine, int owner) {
    return tfr_engine_rank(engine) == 0 || tfr_engine_rank(engine) == owner;
}

static int64_t padded(int64_t n_floats) {
    return (n_floats + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

/* A kernel may write as many rows as its plan serves. */
static int64_t hidden_floats(const struct step *step) {
    return padded(step->plan->rows_max * step->engine->config->model.n_embd);
}

static float *take(struct step *step, int64_t n_floats) {
    if (n_floats == 0) {
        return NULL;
    }
    float *taken = step->next;
    step->next += n_floats;
    return taken;
}

/* Heads of this rank: how many, and from which on. */
static int64_t local_heads(const struct tfr_engine *engine) {
    return engine->config->model.n_head / engine->placement.tensor;
}

static int64_t first_head(const struct tfr_engine *engine) {
    return local_heads(engine) * tfr_placement_shard_of(&engine->placement, tfr_engine_rank(engine));
}

static void count_weights(struct step *step) {
    const int64_t n_heads = step->engine->config->model.n_head;
    for (int64_t i = 0; i < step->body->n_pieces && step->body->features.weights; i++) {
        const struct tfr_step_piece *piece = &step->parts.pieces[i];
        step->n_weights += n_heads * piece->rows * tfr_step_piece_keys(piece);
        if (step->body->features.cross) {
            step->n_cross_weights += n_heads * piece->rows * step->engine->slots[piece->slot].cross->n;
        }
    }
}

static int64_t count_results(const struct step *step) {
    const int64_t n_layer = step->engine->config->model.n_layer;
    int64_t total = 0;
    for (int64_t i = 0; i <= n_layer; i++) {
        if (is_hidden_asked(step, i) && has_room(step->engine, hidden_owner(step, i))) {
            total += hidden_floats(step);
        }
        if (i < n_layer && has_room(step->engine, weights_owner(step, i))) {
            total += padded(step->n_weights) + padded(step->n_cross_weights);
        }
    }
    return total;
}

/* Where each result of block or item i goes. */
static void hand_out(struct step *step) {
    const struct tfr_engine *engine = step->engine;
    const struct tfr_hparams *model = &engine->config->model;
    struct tfr_step_memory *memory = step->memory;
    int64_t local = 0;
    step->next = memory->made.data;
    for (int64_t i = 0; i <= model->n_layer; i++) {
        const bool is_here = is_hidden_asked(step, i) && has_room(engine, hidden_owner(step, i));
        memory->hidden[i] = take(step, is_here ? hidden_floats(step) : 0);
        if (i == model->n_layer) {
            break;
        }
        const bool has_weights = has_room(engine, weights_owner(step, i));
        memory->weights[i] = take(step, has_weights ? padded(step->n_weights) : 0);
        memory->cross_weights[i] = take(step, has_weights ? padded(step->n_cross_weights) : 0);
        if (takes_part(step) && tfr_placement_has_block(&engine->placement, tfr_engine_rank(engine), i)) {
            memory->local_weights[local] = memory->weights[i];
            memory->local_cross[local] = memory->cross_weights[i];
            if (step->body->features.head_mask) {
                const int64_t heads = local_heads(engine);
                memcpy(memory->head_mask + local * heads, step->parts.floats + i * model->n_head + first_head(engine),
                       (size_t)heads * sizeof(float));
            }
            local++;
        }
    }
}

static bool has_results(const struct tfr_step_body *body) {
    const struct tfr_gpt2_features *features = &body->features;
    return features->weights || features->hidden_states || features->last_hidden || features->head == TFR_HEAD_NONE;
}

/* Room for hidden states and weights. Steps that want none, such as those of generation, pass without a word to other ranks. */
static enum tfr_status make_room(struct step *step) {
    count_weights(step);
    if (has_results(step->body)) {
        const size_t bytes = (size_t)count_results(step) * sizeof(float);
        TFR_TRY(tfr_comm_agree(step->engine->comm, tfr_block_reserve(&step->memory->made, bytes, TFR_HUGEPAGES_OFF)));
    }
    if (step->body->memory == 0) {
        hand_out(step);
    }
    return TFR_OK;
}

static struct tfr_batch_seq sequence_of(const struct step *step, const struct tfr_step_piece *piece) {
    const struct tfr_slot *slot = &step->engine->slots[piece->slot];
    const struct tfr_step_memory *memory = step->memory;
    struct tfr_batch_seq seq = {
        .n_rows = piece->rows,
        .past = piece->past,
        .kv = slot->kv.layer,
        .query_only = piece->query_only,
        .self = {.mask = step->body->memory == 0 ? step->parts.floats + piece->mask_at : NULL,
                 .mask_heads = piece->mask_heads,
                 .head_mask = memory->head_mask,
                 .weights = memory->local_weights},
        .cross = {.mask = step->body->memory == 0 ? step->parts.floats + piece->cross_mask_at : NULL,
                  .mask_heads = 1,
                  .head_mask = memory->head_mask,
                  .weights = memory->local_cross},
    };
    if (piece->mask_heads > 1) { /* one for each head: those of this rank */
        seq.self.mask += first_head(step->engine) * piece->rows * tfr_step_piece_keys(piece);
        seq.self.mask_heads = local_heads(step->engine);
    }
    if (slot->cross != NULL) {
        seq.n_cross = slot->cross->n;
        seq.cross_kv = slot->cross->kv.layer;
    }
    if (step->body->features.part == TFR_PART_ENCODER) { /* it fills the caches that others read */
        seq.kv = seq.cross_kv;
        slot->cross->n = piece->past + piece->rows;
    }
    return seq;
}

/* Pieces as the kernels see them. */
static void lay_out_sequences(const struct step *step) {
    const int64_t n_heads = step->engine->config->model.n_head;
    struct tfr_step_memory *memory = step->memory;
    int64_t row = 0, weights_at = 0, cross_at = 0;
    for (int64_t i = 0; i < step->body->n_pieces; i++) {
        const struct tfr_step_piece *piece = &step->parts.pieces[i];
        struct tfr_batch_seq *seq = &memory->seqs[i];
        *seq = sequence_of(step, piece);
        seq->row0 = row;
        seq->self.weights_offset = weights_at;
        seq->cross.weights_offset = cross_at;
        row += piece->rows;
        weights_at += n_heads * piece->rows * tfr_step_piece_keys(piece);
        cross_at += n_heads * piece->rows * seq->n_cross;
        memory->slots[i] = piece->slot;
    }
    memory->n_pieces = step->body->n_pieces;
    memory->batch = tfr_batch_of(memory->seqs, memory->n_pieces);
}

static void copy_numbers(int32_t *to, const int32_t *from, int64_t n, int64_t n_rows) {
    memcpy(to, from, (size_t)n * sizeof *to);
    memset(to + n, 0, (size_t)(n_rows - n) * sizeof *to);
}

/* What the message says moves into the memory of the step, which outlives it; masks of steps that are waited for stay there. */
static void lay_out_inputs(const struct step *step) {
    const struct tfr_step_body *body = step->body;
    struct tfr_step_memory *memory = step->memory;
    copy_numbers(memory->logit_rows, step->parts.logit_rows, body->n_logits, body->n_logits);
    copy_numbers(memory->ids, step->parts.ids, body->n_ids, body->n_rows);
    copy_numbers(memory->positions, step->parts.positions, body->n_positions, body->n_rows);
    copy_numbers(memory->token_types, step->parts.token_types, body->n_token_types, body->n_rows);
    int32_t *position = memory->positions;
    for (int64_t i = 0; i < body->n_pieces && body->n_positions == 0; i++) {
        for (int64_t r = 0; r < step->parts.pieces[i].rows; r++) {
            *position++ = (int32_t)(step->parts.pieces[i].past + r);
        }
    }
    if (body->features.part == TFR_PART_ENCODER) {
        memcpy(memory->embeds.data, step->parts.floats, (size_t)body->n_floats * sizeof(float));
    }
}

/* Floats of one item from the rank that made it to rank 0. */
static enum tfr_status collect(const struct step *step, float *data, int64_t n_floats, int owner, int64_t index) {
    struct tfr_engine *engine = step->engine;
    const size_t bytes = (size_t)n_floats * sizeof(float);
    const int tag = TFR_TAG_COLLECT + (int)(index % TFR_N_COLLECT_TAGS);
    if (owner == 0 || n_floats == 0) {
        return TFR_OK;
    }
    if (tfr_engine_rank(engine) == 0) {
        return tfr_comm_recv(engine->comm, data, bytes, owner, tag);
    }
    return tfr_engine_rank(engine) == owner ? tfr_comm_send(engine->comm, data, bytes, 0, tag) : TFR_OK;
}

static enum tfr_status collect_all(const struct step *step) {
    const struct tfr_engine *engine = step->engine;
    const struct tfr_step_memory *memory = step->memory;
    const struct tfr_hparams *model = &engine->config->model;
    for (int64_t i = 0; i <= model->n_layer; i++) {
        const int owner = i < model->n_layer ? weights_owner(step, i) : 0;
        if (is_hidden_asked(step, i)) {
            TFR_TRY(collect(step, memory->hidden[i], step->body->n_rows * model->n_embd, hidden_owner(step, i), 3 * i));
        }
        if (i < model->n_layer) {
            TFR_TRY(collect(step, memory->weights[i], step->n_weights, owner, 3 * i + 1));
            TFR_TRY(collect(step, memory->cross_weights[i], step->n_cross_weights, owner, 3 * i + 2));
        }
    }
    return TFR_OK;
}

static enum tfr_status submit(const struct step *step) {
    struct tfr_step_memory *memory = step->memory;
    const struct tfr_exec_input input = {
        .ids = memory->ids,
        .positions = memory->positions,
        .token_types = memory->token_types,
        .embeds = memory->embeds.data,
        .logit_rows = memory->logit_rows,
        .logits = tfr_step_logits(step->engine, memory, step->plan, &step->body->features),
        .rows = step->body->n_rows,
        .n_logits = step->body->n_logits,
        .batch = &memory->batch,
        .hidden = memory->hidden,
    };
    struct tfr_exec *exec = step->engine->exec;
    if (step->engine->trace != NULL) {
        tfr_trace_name_next(step->engine->trace, step->body->traced);
    }
    TFR_TRY(tfr_exec_open_run(exec, &memory->run, step->plan, &input));
    const enum tfr_status status = step->body->memory > 0 ? tfr_exec_start(exec, memory->run) : tfr_exec_submit(exec, memory->run);
    if (status != TFR_OK) {
        tfr_exec_close_run(exec, memory->run);
        memory->run = NULL;
    }
    step->engine->steps.n_runs += memory->run != NULL;
    return status;
}

static enum tfr_status execute(const struct step *step) {
    TFR_TRY(submit(step));
    if (step->body->memory > 0) {
        return TFR_OK;
    }
    TFR_TRY(tfr_step_wait(step->engine, step->memory));
    return collect_all(step);
}

/* A memory that steps in flight use is theirs until the run in it is done; a step that everybody waits for begins when nothing else
 * is under way. */
static enum tfr_status make_way(struct tfr_engine *engine, int32_t index) {
    struct tfr_step_memory *memory = &engine->steps.memory[index];
    if (index == 0) {
        return tfr_steps_settle(engine, -1);
    }
    TFR_TRY(tfr_step_wait(engine, memory));
    return memory->ids != NULL ? TFR_OK : tfr_step_memory_open(engine, memory);
}

enum tfr_status tfr_rank_step(struct tfr_engine *engine, struct tfr_step_body *body) {
    struct step step = {
        .engine = engine, .memory = &engine->steps.memory[body->memory], .body = body, .parts = tfr_step_body_parts(body)};
    TFR_TRY(make_way(engine, body->memory));
    if (!takes_part(&step) && tfr_engine_rank(engine) != 0) {
        return has_results(body) ? tfr_comm_agree(engine->comm, TFR_OK) : TFR_OK;
    }
    TFR_TRY(tfr_engine_plan(engine, body->n_rows, body->n_logits, &body->features, &step.plan));
    TFR_TRY(make_room(&step));
    lay_out_sequences(&step);
    lay_out_inputs(&step);
    return execute(&step);
}

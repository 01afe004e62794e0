/* payload.c - what every rank does for a command with a body: see payload.h. */
#include "step/payload.h"

#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "session/encoder.h"

enum { FIRST_TAG = 20000, N_TAGS = 10000, LINE_FLOATS = 16 };

/* Rank 0's side of the command under way, at engine->payload_side; other ranks have none. */
struct tfr_payload_side {
    const struct tfr_step_inputs *inputs;
    struct tfr_step_outputs *outputs;
};

/* Gives what was made to the caller, where there is one. */
static void deliver(const struct tfr_engine *engine, struct tfr_step_outputs *made) {
    if (engine->payload_side != NULL && engine->payload_side->outputs != NULL) {
        *engine->payload_side->outputs = *made;
        *made = (struct tfr_step_outputs){0};
    }
}

int64_t tfr_entry_keys(const struct tfr_payload_entry *entry) {
    return entry->past + (entry->query_only ? 0 : entry->rows);
}

static size_t logit_rows_bytes(const struct tfr_payload *payload) {
    return tfr_align_up((size_t)payload->n_logits * sizeof(int32_t), sizeof(int64_t));
}

size_t tfr_payload_bytes(const struct tfr_payload *payload) {
    return sizeof *payload + (size_t)payload->n_entries * sizeof(struct tfr_payload_entry) +
           logit_rows_bytes(payload) + (size_t)payload->n_floats * sizeof(float);
}

struct tfr_payload *tfr_payload_make(const struct tfr_payload *shape) {
    struct tfr_payload *payload = tfr_alloc(1, tfr_payload_bytes(shape));
    if (payload != NULL) {
        *payload = *shape;
    }
    return payload;
}

struct tfr_payload_parts tfr_payload_parts(struct tfr_payload *payload) {
    uint8_t *at = (uint8_t *)(payload + 1);
    struct tfr_payload_parts parts = {.entries = (void *)at};
    at += (size_t)payload->n_entries * sizeof *parts.entries;
    parts.logit_rows = (void *)at;
    parts.floats = (void *)(at + logit_rows_bytes(payload));
    return parts;
}

void tfr_step_outputs_close(struct tfr_step_outputs *outputs) {
    if (outputs->block.data != NULL) {
        tfr_block_close(&outputs->block);
    }
    tfr_free(outputs->hidden);
    tfr_free(outputs->weights);
    tfr_free(outputs->cross_weights);
    *outputs = (struct tfr_step_outputs){0};
}

/* One step on one rank. */
struct step_run {
    struct tfr_engine *engine;
    struct tfr_payload *payload;
    struct tfr_payload_parts parts;
    struct tfr_step_outputs outputs;
    struct tfr_batch_seq *seqs;
    float **local_weights, **local_cross; /* [local layers] into outputs */
    float *head_mask;                     /* [local layers][H] */
    int64_t n_weights, n_cross_weights;   /* floats of one block's weights */
    int64_t rows_floats; /* of a buffer [n_rows, C], with the room that kernels count on: rows_max of the plan */
    float *embeds;                        /* of the body, on a 64-byte line as kernels want them */
    float *next;
};

static bool is_hidden_asked(const struct step_run *run, int64_t item) {
    const struct tfr_gpt2_features *features = &run->payload->features;
    const bool is_last = item == run->engine->config->model.n_layer;
    return features->part == TFR_PART_MODEL &&
           (features->hidden_states ||
            (is_last && (features->last_hidden || features->head == TFR_HEAD_NONE)));
}

/* Rank that makes item i of hidden_states. */
static int hidden_owner(const struct tfr_engine *engine, int64_t item) {
    return item == 0                               ? 0
           : item == engine->config->model.n_layer ? engine->ln_f_rank
                                                   : engine->owner[item - 1];
}

/* Rank 0 has room for everything, the others for what they make. */
static bool has_room(const struct tfr_engine *engine, int owner) {
    return tfr_engine_rank(engine) == 0 || tfr_engine_rank(engine) == owner;
}

static int64_t padded(int64_t n_floats) {
    return (n_floats + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

static float *take(struct step_run *run, int64_t n_floats) {
    float *taken = run->next;
    run->next += padded(n_floats);
    return taken;
}

static void count_weights(struct step_run *run) {
    const int64_t n_heads = run->engine->config->model.n_head;
    for (int64_t e = 0; e < run->payload->n_entries && run->payload->features.weights; e++) {
        const struct tfr_payload_entry *entry = &run->parts.entries[e];
        run->n_weights += n_heads * entry->rows * tfr_entry_keys(entry);
        if (run->payload->features.cross) {
            run->n_cross_weights += n_heads * entry->rows * run->engine->slots[entry->slot].cross->n;
        }
    }
}

static int64_t count_floats(const struct step_run *run) {
    const struct tfr_hparams *model = &run->engine->config->model;
    int64_t total = LINE_FLOATS + (run->payload->has_embeds ? padded(run->rows_floats) : 0);
    for (int64_t i = 0; i <= model->n_layer; i++) {
        if (is_hidden_asked(run, i) && has_room(run->engine, hidden_owner(run->engine, i))) {
            total += padded(run->rows_floats);
        }
        if (i < model->n_layer && has_room(run->engine, run->engine->owner[i])) {
            total += padded(run->n_weights) + padded(run->n_cross_weights);
        }
    }
    return total;
}

static void hand_out(struct step_run *run) {
    const struct tfr_engine *engine = run->engine;
    const struct tfr_hparams *model = &engine->config->model;
    int64_t local = 0;
    run->next = run->outputs.block.data;
    if (run->payload->has_embeds) {
        run->embeds = take(run, run->rows_floats); /* zeros, as the block is new */
        memcpy(run->embeds, run->parts.floats, (size_t)(run->payload->n_rows * model->n_embd) * sizeof(float));
    }
    for (int64_t i = 0; i <= model->n_layer; i++) {
        if (is_hidden_asked(run, i) && has_room(engine, hidden_owner(engine, i))) {
            run->outputs.hidden[i] = take(run, run->rows_floats);
        }
        if (i == model->n_layer || !has_room(engine, engine->owner[i])) {
            continue;
        }
        run->outputs.weights[i] = take(run, run->n_weights);
        run->outputs.cross_weights[i] = take(run, run->n_cross_weights);
        if (engine->owner[i] == tfr_engine_rank(engine)) {
            run->local_weights[local] = run->outputs.weights[i];
            run->local_cross[local] = run->outputs.cross_weights[i];
            if (run->payload->features.head_mask) {
                memcpy(run->head_mask + local * model->n_head, run->parts.floats + i * model->n_head,
                       (size_t)model->n_head * sizeof(float));
            }
            local++;
        }
    }
}

static enum tfr_status open_run(struct step_run *run) {
    const struct tfr_hparams *model = &run->engine->config->model;
    const size_t n = (size_t)model->n_layer + 1;
    count_weights(run);
    run->rows_floats = tfr_bucket(run->payload->n_rows, run->engine->max_rows) * model->n_embd;
    run->outputs.hidden = tfr_alloc(n, sizeof(float *));
    run->outputs.weights = tfr_alloc(n, sizeof(float *));
    run->outputs.cross_weights = tfr_alloc(n, sizeof(float *));
    run->local_weights = tfr_alloc(n, sizeof(float *));
    run->local_cross = tfr_alloc(n, sizeof(float *));
    run->head_mask = tfr_alloc(n * (size_t)model->n_head, sizeof(float));
    run->seqs = tfr_alloc((size_t)run->payload->n_entries, sizeof *run->seqs);
    if (run->outputs.hidden == NULL || run->outputs.weights == NULL || run->outputs.cross_weights == NULL ||
        run->local_weights == NULL || run->local_cross == NULL || run->head_mask == NULL ||
        run->seqs == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(
        tfr_block_open(&run->outputs.block, (size_t)count_floats(run) * sizeof(float), TFR_HUGEPAGES_OFF));
    hand_out(run);
    return TFR_OK;
}

static void close_run(struct step_run *run) {
    tfr_step_outputs_close(&run->outputs);
    tfr_free(run->local_weights);
    tfr_free(run->local_cross);
    tfr_free(run->head_mask);
    tfr_free(run->seqs);
}

/* Entries as the kernels see them. */
static void lay_out_seqs(struct step_run *run) {
    const bool is_encoder = run->payload->features.part == TFR_PART_ENCODER;
    const int64_t n_heads = run->engine->config->model.n_head;
    int64_t row = 0, weights_at = 0, cross_at = 0;
    for (int64_t e = 0; e < run->payload->n_entries; e++) {
        const struct tfr_payload_entry *entry = &run->parts.entries[e];
        const struct tfr_slot *slot = &run->engine->slots[entry->slot];
        const int64_t n_cross = slot->cross != NULL ? slot->cross->n : 0;
        const struct tfr_kv *cross_kv = slot->cross != NULL ? slot->cross->kv.layer : NULL;
        run->seqs[e] = (struct tfr_batch_seq){
            .row0 = row,
            .n_rows = entry->rows,
            .past = entry->past,
            .kv = is_encoder ? cross_kv : slot->kv.layer,
            .query_only = entry->query_only,
            .n_cross = n_cross,
            .cross_kv = cross_kv,
            .self = {.mask = run->parts.floats + entry->mask_at,
                     .mask_heads = entry->mask_heads,
                     .head_mask = run->head_mask,
                     .weights = run->local_weights,
                     .weights_offset = weights_at},
            .cross = {.mask = run->parts.floats + entry->cross_mask_at,
                      .mask_heads = 1,
                      .head_mask = run->head_mask,
                      .weights = run->local_cross,
                      .weights_offset = cross_at},
        };
        row += entry->rows;
        weights_at += n_heads * entry->rows * tfr_entry_keys(entry);
        cross_at += n_heads * entry->rows * n_cross;
        if (is_encoder) {
            slot->cross->n = entry->past + entry->rows;
        }
    }
}

/* Rows of one item from the rank that made it to rank 0. */
static enum tfr_status collect(const struct step_run *run, float *data, int64_t n_floats, int owner,
                               int64_t index) {
    const size_t bytes = (size_t)n_floats * sizeof(float);
    const int tag = FIRST_TAG + (int)(index % N_TAGS);
    if (owner == 0 || n_floats == 0) {
        return TFR_OK;
    }
    if (tfr_engine_rank(run->engine) == 0) {
        return tfr_comm_recv(run->engine->comm, data, bytes, owner, tag);
    }
    return tfr_engine_rank(run->engine) == owner ? tfr_comm_send(run->engine->comm, data, bytes, 0, tag)
                                                 : TFR_OK;
}

static enum tfr_status collect_all(const struct step_run *run) {
    const struct tfr_engine *engine = run->engine;
    const struct tfr_hparams *model = &engine->config->model;
    for (int64_t i = 0; i <= model->n_layer; i++) {
        if (is_hidden_asked(run, i)) {
            TFR_TRY(collect(run, run->outputs.hidden[i], run->payload->n_rows * model->n_embd,
                            hidden_owner(engine, i), 3 * i));
        }
        if (i < model->n_layer) {
            TFR_TRY(collect(run, run->outputs.weights[i], run->n_weights, engine->owner[i], 3 * i + 1));
            TFR_TRY(collect(run, run->outputs.cross_weights[i], run->n_cross_weights, engine->owner[i],
                            3 * i + 2));
        }
    }
    return TFR_OK;
}

/* Once the plan is there a failure of one rank alone (a broken message, no memory) cannot be mended: it ends the job. */
static enum tfr_status execute(struct step_run *run) {
    const struct tfr_payload *payload = run->payload;
    const struct tfr_payload_side *side = run->engine->payload_side;
    const struct tfr_plan *plan;
    TFR_TRY(tfr_engine_plan(run->engine, payload->n_rows, payload->n_logits, &payload->features, &plan));
    const struct tfr_batch batch = {.n_seqs = payload->n_entries, .seq = run->seqs};
    memset(run->engine->logit_rows, 0, (size_t)run->engine->max_rows * sizeof *run->engine->logit_rows);
    memcpy(run->engine->logit_rows, run->parts.logit_rows, (size_t)payload->n_logits * sizeof *run->parts.logit_rows);
    struct tfr_exec_input input = {
        .logit_rows = run->engine->logit_rows, /* the body's has no room behind its last */
        .logits = run->engine->logits.data,
        .rows = payload->n_rows,
        .n_logits = payload->n_logits,
        .batch = &batch,
        .hidden = run->outputs.hidden,
    };
    if (side != NULL && side->inputs != NULL) {
        input.ids = side->inputs->ids;
        input.positions = side->inputs->positions;
        input.token_types = side->inputs->token_types;
        input.embeds = side->inputs->embeds;
    }
    if (payload->has_embeds) {
        input.embeds = run->embeds;
    }
    enum tfr_status status = tfr_exec_run(run->engine->exec, plan, &input);
    if (status == TFR_OK) {
        status = collect_all(run);
    }
    if (status != TFR_OK && tfr_engine_size(run->engine) > 1) {
        tfr_log_set_level(TFR_LOG_ERROR);
        tfr_log(TFR_LOG_ERROR, "exec", "rank %d: %s", tfr_engine_rank(run->engine), tfr_failure_text());
        tfr_comm_abort(run->engine->comm, tfr_status_exit_code(status));
    }
    return status;
}

static enum tfr_status run_step(struct tfr_engine *engine, struct tfr_payload *payload) {
    struct step_run run = {.engine = engine, .payload = payload, .parts = tfr_payload_parts(payload)};
    enum tfr_status status = tfr_comm_agree(engine->comm, open_run(&run));
    if (status != TFR_OK) {
        close_run(&run);
        return status;
    }
    lay_out_seqs(&run);
    status = execute(&run);
    if (status == TFR_OK) {
        deliver(engine, &run.outputs);
    }
    close_run(&run);
    return status;
}

/* The cache that a body is about, and which of its layers. */
static struct tfr_kvcache *local_cache(const struct tfr_engine *engine, const struct tfr_payload *payload, int64_t *layer) {
    struct tfr_slot *slot = &engine->slots[payload->slot];
    *layer = 0;
    for (int64_t i = 0; i < payload->layer; i++) {
        *layer += engine->owner[i] == tfr_engine_rank(engine);
    }
    return payload->is_cross ? &slot->cross->kv : &slot->kv;
}

static enum tfr_status load(struct tfr_engine *engine, struct tfr_payload *payload) {
    if (payload->is_cross) {
        engine->slots[payload->slot].cross->n = payload->n;
    }
    if (engine->owner[payload->layer] == tfr_engine_rank(engine)) {
        int64_t layer;
        struct tfr_kvcache *cache = local_cache(engine, payload, &layer);
        const float *keys = tfr_payload_parts(payload).floats;
        tfr_kvcache_load(cache, layer, payload->first, payload->n, keys, keys + payload->n * engine->config->model.n_embd);
    }
    return TFR_OK;
}

static enum tfr_status store(struct tfr_engine *engine, struct tfr_payload *payload) {
    const struct tfr_hparams *model = &engine->config->model;
    const int owner = engine->owner[payload->layer], rank = tfr_engine_rank(engine);
    const int64_t n_floats = 2 * model->n_embd * payload->n;
    struct step_run run = {.engine = engine, .payload = payload};
    run.outputs.hidden = tfr_alloc(1, sizeof(float *));
    enum tfr_status status = run.outputs.hidden == NULL ? TFR_RESOURCE : TFR_OK;
    if (status == TFR_OK && has_room(engine, owner)) {
        status = tfr_block_open(&run.outputs.block, (size_t)(n_floats + LINE_FLOATS) * sizeof(float),
                                TFR_HUGEPAGES_OFF);
    }
    status = tfr_comm_agree(engine->comm, status);
    if (status == TFR_OK) {
        run.outputs.hidden[0] = run.outputs.block.data;
        if (owner == rank) {
            int64_t layer;
            const struct tfr_kvcache *cache = local_cache(engine, payload, &layer);
            float *keys = run.outputs.hidden[0];
            tfr_kvcache_store(cache, layer, payload->first, payload->n, keys, keys + payload->n * model->n_embd);
        }
        status = collect(&run, run.outputs.hidden[0], n_floats, owner, 0);
    }
    if (status == TFR_OK) {
        deliver(engine, &run.outputs);
    }
    tfr_step_outputs_close(&run.outputs);
    return status;
}

enum tfr_status tfr_payload_obey(struct tfr_engine *engine, void *body) {
    struct tfr_payload *payload = body;
    switch ((enum tfr_payload_kind)payload->kind) {
    case TFR_PAYLOAD_STEP:
        return run_step(engine, payload);
    case TFR_PAYLOAD_OPEN_CROSS:
        if (payload->n > 0) {
            return tfr_cross_open(engine, &engine->slots[payload->slot], payload->n);
        }
        tfr_cross_release(&engine->slots[payload->slot]);
        return TFR_OK;
    case TFR_PAYLOAD_LOAD:
        return load(engine, payload);
    case TFR_PAYLOAD_STORE:
        return store(engine, payload);
    }
    return TFR_OK;
}

enum tfr_status tfr_payload_run(struct tfr_engine *engine, struct tfr_payload *payload,
                                const struct tfr_step_inputs *inputs, struct tfr_step_outputs *outputs) {
    struct tfr_payload_side side = {.inputs = inputs, .outputs = outputs};
    engine->payload_side = &side;
    enum tfr_status status = tfr_engine_command_payload(engine, payload, tfr_payload_bytes(payload));
    engine->payload_side = NULL;
    return status;
}

/* message_check.c - see message_check.h. Each check gives NULL, or the name of what does not fit. */
#include "job/message_check.h"

#include "base/status.h"
#include "job/samples.h"
#include "rank/step_run.h"

static bool is_within(int64_t value, int64_t least, int64_t most) {
    return value >= least && value <= most;
}

static const struct tfr_slot *find_slot(const struct tfr_engine *engine, int32_t slot) {
    return is_within(slot, 0, engine->n_slots) ? &engine->slots[slot] : NULL;
}

/* Positions that a sequence may have. A growing cache without a capacity has no bound: rank 0 has looked at the positions that were
 * given, which may begin again within a row, and more tokens than positions are no mistake then. */
static int64_t most_positions(const struct tfr_engine *engine) {
    if (tfr_engine_is_unbounded(engine)) {
        return INT32_MAX;
    }
    const int64_t capacity = tfr_kv_capacity(engine->config), model = engine->config->model.n_positions;
    return engine->n_prefix + (capacity > model ? capacity : model);
}

static const char *check_open(const struct tfr_engine *engine, const struct tfr_message *message) {
    const int64_t most = most_positions(engine);
    return find_slot(engine, message->part.slot) == NULL                                 ? "slot"
           : !is_within(message->from, TFR_ALL_REPLICAS, engine->placement.replicas - 1) ? "replica"
           : !is_within(message->part.n, 1, most)                                        ? "number of positions"
           : !is_within(message->part.first, message->part.n, most)                      ? "room"
                                                                                         : NULL;
}

static const char *check_copy(const struct tfr_engine *engine, const struct tfr_message *message) {
    const struct tfr_slot *to = find_slot(engine, message->part.slot), *from = find_slot(engine, message->from);
    if (to == NULL || from == NULL || !to->open || !from->open) {
        return "slot";
    }
    const int64_t most = to->kv.capacity < from->kv.capacity ? to->kv.capacity : from->kv.capacity;
    return to->replica != from->replica && from->replica != TFR_ALL_REPLICAS ? "replica"
           : !is_within(message->part.n, 0, most)                            ? "number of positions"
                                                                             : NULL;
}

static const char *check_open_cross(const struct tfr_engine *engine, const struct tfr_message *message) {
    const struct tfr_slot *slot = find_slot(engine, message->part.slot);
    return slot == NULL || !slot->open || !engine->config->model.add_cross_attention ? "slot"
           : !is_within(message->part.n, 0, INT32_MAX)                               ? "number of encoder positions"
                                                                                     : NULL;
}

static const char *check_part(const struct tfr_engine *engine, const struct tfr_kv_part *part) {
    const struct tfr_slot *slot = find_slot(engine, part->slot);
    if (slot == NULL || !slot->open || (part->is_cross != 0 && slot->cross == NULL)) {
        return "slot";
    }
    const int64_t room = part->is_cross != 0 ? slot->cross->kv.capacity : slot->kv.capacity;
    return !is_within(part->layer, 0, engine->config->model.n_layer - 1) ? "block"
           : !is_within(part->first, 0, room)                            ? "first position"
           : !is_within(part->n, 0, room - part->first)                  ? "number of positions"
                                                                         : NULL;
}

static const char *check_load(const struct tfr_engine *engine, const struct tfr_message *message) {
    const char *fault = check_part(engine, &message->part);
    const int64_t bytes = fault == NULL ? tfr_kv_part_floats(engine, &message->part) * (int64_t)sizeof(float) : 0;
    return fault == NULL && message->body_bytes != bytes ? "length" : fault;
}

static bool is_flag(int32_t value) {
    return value == 0 || value == 1;
}

/* What a step asks for is something that this model has. */
static bool fit_features(const struct tfr_engine *engine, const struct tfr_gpt2_features *features) {
    const struct tfr_hparams *model = &engine->config->model;
    const bool is_double = model->head == TFR_HEAD_DOUBLE, has_cross = model->add_cross_attention;
    const bool has_head = features->part != TFR_PART_MODEL || features->head == TFR_HEAD_NONE || features->head == model->head ||
                          (is_double && features->head == TFR_HEAD_LM);
    const bool has_part = features->part == TFR_PART_MODEL || (features->part == TFR_PART_ENCODER && has_cross) ||
                          (features->part == TFR_PART_SUMMARY && is_double);
    const int32_t flags[] = {features->embeds,    features->token_types, features->hidden_states, features->last_hidden,
                             features->cross,     features->weights,     features->mask,          features->cross_mask,
                             features->head_mask, features->best};
    for (size_t i = 0; i < TFR_COUNT_OF(flags); i++) {
        if (!is_flag(flags[i])) {
            return false;
        }
    }
    return has_head && has_part && (has_cross || (!features->cross && !features->cross_mask)) &&
           (features->best == 0 || tfr_step_may_ask_best(engine)) &&
           is_within(features->attention, TFR_ATTENTION_ANY, TFR_ATTENTION_FUSED) &&
           is_within(features->replica, 0, engine->placement.replicas - 1);
}

static const char *check_plan(const struct tfr_engine *engine, struct tfr_message *message) {
    return message->body_bytes != sizeof(struct tfr_gpt2_features) ? "length"
           : !fit_features(engine, tfr_message_body(message))      ? "kind of step"
           : !is_within(message->part.n, 1, engine->max_rows)      ? "number of rows"
           : !is_within(message->part.first, 0, engine->max_rows)  ? "number of logits"
                                                                   : NULL;
}

static bool are_within(const int32_t *values, int64_t n, int64_t most) {
    bool are = true;
    for (int64_t i = 0; i < n; i++) {
        are = are && is_within(values[i], 0, most);
    }
    return are;
}

/* Floats of masks that begin at `at`. */
static bool has_floats(const struct tfr_step_body *body, int64_t at, int64_t heads, int64_t rows, int64_t keys) {
    const int64_t wanted = heads * rows * keys; /* each is small: heads of the model, rows of a step, positions of a cache */
    return is_within(at, 0, body->n_floats) && wanted <= body->n_floats - at;
}

/* One for all heads, or one for each; without the feature nothing that a sequence could be given as one. */
static bool has_masks(const struct tfr_engine *engine, const struct tfr_step_body *body, const struct tfr_step_piece *piece,
                      const struct tfr_slot *slot) {
    const struct tfr_gpt2_features *features = &body->features;
    const int64_t heads = piece->mask_heads, n_cross = features->cross_mask && slot->cross != NULL ? slot->cross->n : 0;
    const bool fits = features->mask ? heads == 1 || heads == engine->config->model.n_head : is_within(heads, 0, 1);
    return fits && has_floats(body, piece->mask_at, features->mask ? heads : 0, piece->rows, tfr_step_piece_keys(piece)) &&
           (!features->cross_mask || slot->cross != NULL) &&
           has_floats(body, piece->cross_mask_at, features->cross_mask, piece->rows, n_cross);
}

static const char *check_piece(const struct tfr_engine *engine, const struct tfr_step_body *body,
                               const struct tfr_step_piece *piece) {
    const struct tfr_gpt2_features *features = &body->features;
    const struct tfr_slot *slot = find_slot(engine, piece->slot);
    if (features->part == TFR_PART_SUMMARY) {
        return slot != NULL ? NULL : "slot";
    }
    const bool is_encoder = features->part == TFR_PART_ENCODER;
    if (slot == NULL || !slot->open || ((features->cross || is_encoder) && slot->cross == NULL) ||
        (slot->replica != features->replica && slot->replica != TFR_ALL_REPLICAS)) {
        return "slot";
    }
    const int64_t capacity = is_encoder ? slot->cross->kv.capacity : slot->kv.capacity;
    const int64_t most = is_encoder || capacity < most_positions(engine) ? capacity : most_positions(engine);
    if (!is_within(piece->past, 0, most) || tfr_step_piece_keys(piece) > most || tfr_step_piece_keys(piece) < 1) {
        return "number of positions";
    }
    return has_masks(engine, body, piece, slot) ? NULL : "mask";
}

static const char *check_pieces(const struct tfr_engine *engine, const struct tfr_step_body *body,
                                const struct tfr_step_parts *parts) {
    int64_t rows = 0;
    for (int64_t i = 0; i < body->n_pieces; i++) {
        const struct tfr_step_piece *piece = &parts->pieces[i];
        if (!is_within(piece->rows, 1, body->n_rows - rows)) {
            return "number of rows";
        }
        const char *fault = check_piece(engine, body, piece);
        if (fault != NULL) {
            return fault;
        }
        rows += piece->rows;
        if (body->n_positions == 0 && body->features.part == TFR_PART_MODEL &&
            piece->past + piece->rows > engine->config->model.n_positions) {
            return "position";
        }
    }
    return rows == body->n_rows ? NULL : "number of rows";
}

/* Rows, or none at all. */
static bool are_rows(const struct tfr_step_body *body, int64_t n) {
    return n == 0 || n == body->n_rows;
}

/* A step in flight gives logits and nothing else. */
static bool may_be_in(const struct tfr_step_body *body, int32_t memory) {
    const struct tfr_gpt2_features *features = &body->features;
    const bool may_fly = features->part == TFR_PART_MODEL && features->head != TFR_HEAD_NONE && !features->hidden_states &&
                         !features->last_hidden && !features->weights && !features->embeds && body->n_floats == 0;
    return memory == 0 || (may_fly && is_within(memory, 1, TFR_STEP_MEMORIES - 1));
}

static int64_t least_floats(const struct tfr_engine *engine, const struct tfr_step_body *body) {
    const struct tfr_hparams *model = &engine->config->model;
    return body->features.part == TFR_PART_ENCODER ? body->n_rows * model->n_embd
           : body->features.head_mask              ? model->n_layer * model->n_head
                                                   : 0;
}

static const char *check_step(const struct tfr_engine *engine, struct tfr_message *message) {
    struct tfr_step_body *body = tfr_message_body(message);
    const int64_t most = engine->max_rows;
    if (message->body_bytes < (int64_t)sizeof *body || !is_within(body->n_pieces, 1, most) || !is_within(body->n_rows, 1, most) ||
        !is_within(body->n_logits, 0, body->n_rows) || !are_rows(body, body->n_ids) || !are_rows(body, body->n_positions) ||
        !are_rows(body, body->n_token_types) || !is_within(body->n_floats, 0, message->body_bytes) ||
        (int64_t)tfr_step_body_bytes(body) != message->body_bytes) {
        return "length";
    }
    const struct tfr_hparams *model = &engine->config->model;
    const struct tfr_step_parts parts = tfr_step_body_parts(body);
    if (!fit_features(engine, &body->features) || !may_be_in(body, body->memory) ||
        (body->features.part == TFR_PART_ENCODER && body->n_floats != least_floats(engine, body))) {
        return "kind of step";
    }
    if (body->n_floats < least_floats(engine, body)) {
        return "mask";
    }
    return !are_within(parts.logit_rows, body->n_logits, body->n_rows - 1)              ? "row"
           : !are_within(parts.ids, body->n_ids, model->vocab_size - 1)                 ? "token"
           : !are_within(parts.positions, body->n_positions, model->n_positions - 1)    ? "position"
           : !are_within(parts.token_types, body->n_token_types, model->vocab_size - 1) ? "token type"
                                                                                        : check_pieces(engine, body, &parts);
}

static const char *check_samples(const struct tfr_engine *engine, struct tfr_message *message) {
    const struct tfr_step_facts *steps = tfr_message_body(message);
    const int64_t n = message->body_bytes / (int64_t)sizeof *steps;
    if (message->body_bytes % (int64_t)sizeof *steps != 0 || !is_within(n, 1, TFR_MAX_SAMPLED_STEPS) ||
        (engine->trace == NULL && engine->watch == NULL)) {
        return "length";
    }
    for (int64_t i = 0; i < n; i++) {
        if (!is_within(steps[i].rows, 1, engine->max_rows) || !is_within(steps[i].logits, 0, steps[i].rows)) {
            return "number of rows";
        }
    }
    return NULL;
}

static const char *look(struct tfr_engine *engine, struct tfr_message *message) {
    switch ((enum tfr_message_kind)message->kind) {
    case TFR_MESSAGE_STEP:
        return check_step(engine, message);
    case TFR_MESSAGE_OPEN_SLOT:
        return check_open(engine, message);
    case TFR_MESSAGE_CLOSE_SLOT:
        return find_slot(engine, message->part.slot) != NULL ? NULL : "slot";
    case TFR_MESSAGE_COPY_SLOT:
        return check_copy(engine, message);
    case TFR_MESSAGE_OPEN_CROSS:
        return check_open_cross(engine, message);
    case TFR_MESSAGE_LOAD_KV:
        return check_load(engine, message);
    case TFR_MESSAGE_FETCH_KV:
        return check_part(engine, &message->part);
    case TFR_MESSAGE_PLAN:
        return check_plan(engine, message);
    case TFR_MESSAGE_WATCH:
        return is_within(message->part.n, 0, TFR_MAX_SAMPLED_STEPS) ? NULL : "number of steps";
    case TFR_MESSAGE_SAMPLES:
        return check_samples(engine, message);
    case TFR_MESSAGE_TRACE:
        return engine->trace != NULL ? NULL : "trace";
    default:
        return NULL;
    }
}

enum tfr_status tfr_message_check(struct tfr_engine *engine, struct tfr_message *message) {
    static const char *const names[] = {
#define TFR_MESSAGE_NAME(name, function, waits) #name,
        TFR_EACH_MESSAGE(TFR_MESSAGE_NAME)
#undef TFR_MESSAGE_NAME
    };
    const char *fault = look(engine, message);
    return fault == NULL
               ? TFR_OK
               : tfr_raise(TFR_RUNTIME,
                           "rank %d got command %u, %s, with a %s that it does not have: the ranks have lost each other; run "
                           "the same build of tfrun on all nodes",
                           tfr_engine_rank(engine), message->number, names[message->kind], fault);
}

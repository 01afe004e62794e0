/* slot_commands.c - slots on all ranks, commanded by rank 0: see command.h. */
#include "base/log.h"
#include "base/status.h"
#include "job/command.h"

static enum tfr_status command_slot(struct tfr_engine *engine, enum tfr_message_kind kind, const struct tfr_kv_part *part,
                                    int32_t from) {
    struct tfr_message *message = tfr_message_new(engine, kind, 0);
    if (message == NULL) {
        return TFR_RESOURCE;
    }
    message->part = *part;
    message->from = from;
    return tfr_command(engine, message);
}

/* The first free one, but rather one whose memory the replica can use again, and then one that has none. There is one: those that
 * rest are max_slots - max_batch at most. */
static int32_t choose_slot(const struct tfr_engine *engine, int32_t replica) {
    int32_t chosen = -1, chosen_rank = 3;
    for (int32_t i = 0; i < engine->n_slots; i++) {
        const struct tfr_slot *slot = &engine->slots[i];
        const int32_t rank = slot->has_memory && slot->replica == replica ? 0 : slot->has_memory ? 2 : 1;
        if (!slot->open && rank < chosen_rank) {
            chosen = i;
            chosen_rank = rank;
        }
    }
    return chosen;
}

/* A server has one slot more, so that what it does between steps finds room while all places are taken; and it keeps the memory of
 * slots, so that there is as much of it as the longest sequence needs. */
enum tfr_status tfr_engine_open_slot(struct tfr_engine *engine, int32_t replica, int64_t capacity, int32_t *slot) {
    if (tfr_engine_free_slots(engine) + engine->is_server <= 0) {
        return tfr_raise(TFR_RESOURCE, "all %lld sequences are in use; raise tfrun.runtime.max_batch",
                         (long long)engine->max_batch);
    }
    *slot = choose_slot(engine, replica);
    const int64_t longest = tfr_kv_capacity(engine->config);
    const struct tfr_kv_part part = {
        .slot = *slot, .n = capacity, .first = engine->is_server && longest > capacity ? longest : capacity};
    return command_slot(engine, TFR_MESSAGE_OPEN_SLOT, &part, replica);
}

int64_t tfr_engine_free_slots(const struct tfr_engine *engine) {
    int64_t n = engine->max_batch;
    for (int64_t i = 0; i < engine->n_slots; i++) {
        n -= engine->slots[i].open && !engine->slots[i].resting;
    }
    return n;
}

void tfr_engine_close_slot(struct tfr_engine *engine, int32_t slot) {
    const struct tfr_kv_part part = {.slot = slot, .n = engine->is_server};
    if (command_slot(engine, TFR_MESSAGE_CLOSE_SLOT, &part, 0) != TFR_OK && !tfr_comm_has_left()) {
        tfr_log(TFR_LOG_ERROR, "engine", "%s", tfr_failure_text());
    }
}

enum tfr_status tfr_engine_copy_slot(struct tfr_engine *engine, int32_t to, int32_t from, int64_t n) {
    const struct tfr_kv_part part = {.slot = to, .n = n};
    return command_slot(engine, TFR_MESSAGE_COPY_SLOT, &part, from);
}

enum tfr_status tfr_engine_open_cross(struct tfr_engine *engine, int32_t slot, int64_t n) {
    const struct tfr_kv_part part = {.slot = slot, .n = n};
    return command_slot(engine, TFR_MESSAGE_OPEN_CROSS, &part, 0);
}

struct tfr_message *tfr_engine_load_kv(struct tfr_engine *engine, const struct tfr_kv_part *part) {
    const size_t bytes = (size_t)tfr_kv_part_floats(engine, part) * sizeof(float);
    struct tfr_message *message = tfr_message_new(engine, TFR_MESSAGE_LOAD_KV, bytes);
    if (message != NULL) {
        message->part = *part;
    }
    return message;
}

enum tfr_status tfr_engine_fetch_kv(struct tfr_engine *engine, const struct tfr_kv_part *part, const float **keys) {
    struct tfr_message *message = tfr_message_new(engine, TFR_MESSAGE_FETCH_KV, 0);
    if (message == NULL) {
        return TFR_RESOURCE;
    }
    message->part = *part;
    TFR_TRY(tfr_command(engine, message));
    *keys = engine->fetched.data;
    return TFR_OK;
}

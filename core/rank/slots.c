/* slots.c - opens, copies and closes the caches of this rank: see slots.h. */
#include "rank/slots.h"
#include "base/status.h"

#include "base/arena.h"
#include "rank/rank.h"

static void release_cross(struct tfr_slot *slot) {
    if (slot->cross != NULL && --slot->cross->users == 0) {
        tfr_kvcache_close(&slot->cross->kv);
        tfr_free(slot->cross);
    }
    slot->cross = NULL;
}

static void share_cross(struct tfr_slot *to, const struct tfr_slot *from) {
    if (to->cross == from->cross) {
        return;
    }
    release_cross(to);
    to->cross = from->cross;
    if (to->cross != NULL) {
        to->cross->users++;
    }
}

enum tfr_status tfr_slots_open(struct tfr_engine *engine) {
    engine->slots = tfr_alloc((size_t)engine->n_slots + 1, sizeof *engine->slots);
    return engine->slots != NULL ? TFR_OK : TFR_RESOURCE;
}

void tfr_slots_close(struct tfr_engine *engine) {
    for (int32_t i = 0; engine->slots != NULL && i <= engine->n_slots; i++) {
        tfr_slot_close(engine, i, false);
    }
    tfr_block_close(&engine->fetched);
    tfr_free(engine->slots);
    engine->slots = NULL;
}

static void drop_memory(struct tfr_slot *slot) {
    if (slot->has_memory) {
        tfr_kvcache_close(&slot->kv);
        slot->has_memory = false;
    }
}

/* All ranks have kept the same slots with the same room, so they agree without a word on which of them is used again. */
enum tfr_status tfr_slot_open(struct tfr_engine *engine, int32_t slot, int32_t replica, int64_t capacity, int64_t room) {
    struct tfr_slot *opened = &engine->slots[slot];
    if (!opened->has_memory || opened->replica != replica || !tfr_kvcache_reuse(&opened->kv, capacity)) {
        drop_memory(opened);
        opened->replica = replica;
        TFR_TRY(tfr_engine_open_kv(engine, &opened->kv, replica, room));
        opened->has_memory = true;
        tfr_kvcache_reuse(&opened->kv, capacity);
    }
    opened->open = true;
    return TFR_OK;
}

void tfr_slot_close(struct tfr_engine *engine, int32_t slot, bool keeps) {
    struct tfr_slot *closed = &engine->slots[slot];
    if (closed->open) {
        release_cross(closed);
        closed->open = closed->resting = false;
    }
    if (!keeps) {
        drop_memory(closed);
    }
}

void tfr_slot_copy(struct tfr_engine *engine, int32_t to, int32_t from, int64_t n) {
    tfr_kvcache_copy(&engine->slots[to].kv, &engine->slots[from].kv, n);
    share_cross(&engine->slots[to], &engine->slots[from]);
}

enum tfr_status tfr_slot_open_cross(struct tfr_engine *engine, int32_t slot, int64_t n) {
    struct tfr_slot *opened = &engine->slots[slot];
    if (n == 0) {
        release_cross(opened);
        return TFR_OK;
    }
    struct tfr_cross *cross = tfr_alloc(1, sizeof *cross);
    enum tfr_status status = tfr_comm_agree(engine->comm, cross != NULL ? TFR_OK : TFR_RESOURCE);
    if (status == TFR_OK) {
        status = tfr_engine_open_fixed_kv(engine, &cross->kv, opened->replica, n);
    }
    if (status != TFR_OK) {
        tfr_free(cross);
        return status;
    }
    release_cross(opened);
    cross->users = 1;
    opened->cross = cross;
    return TFR_OK;
}

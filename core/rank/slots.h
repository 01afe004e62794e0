/* slots.h - the caches of this rank: a slot for each sequence, one more for the prefix, shared ones for encoder states.
 *
 * Every rank has the same slots and holds in them what its own blocks need. These functions act on this rank alone; rank 0 makes
 * all ranks call them (job/command.c). Where one rank alone may fail, all agree. Thread rule: the engine's thread.
 */
#ifndef TFR_RANK_SLOTS_H
#define TFR_RANK_SLOTS_H

#include "exec/kvcache.h"

struct tfr_engine;

/* Keys and values of one set of encoder states for the blocks of this rank. */
struct tfr_cross {
    struct tfr_kvcache kv;
    int64_t n; /* positions filled */
    int users; /* slots that read it */
};

enum { TFR_ALL_REPLICAS = -1 };

struct tfr_slot {
    bool open;
    bool has_memory; /* that its last sequence left */
    bool resting;    /* rank 0: between requests, for others that begin alike; takes no place of max_batch */
    int32_t replica; /* whose ranks hold keys and values; the others have a cache of no blocks. TFR_ALL_REPLICAS: all */
    struct tfr_kvcache kv;
    struct tfr_cross *cross; /* NULL: cross-attention is passed by */
};

enum tfr_status tfr_slots_open(struct tfr_engine *engine);
void tfr_slots_close(struct tfr_engine *engine);

/* Room for `capacity` positions, and where memory is to be had for it, for `room` of them, on the ranks of a replica. */
enum tfr_status tfr_slot_open(struct tfr_engine *engine, int32_t slot, int32_t replica, int64_t capacity, int64_t room);
/* `keeps`: its memory stays, for the next sequence. */
void tfr_slot_close(struct tfr_engine *engine, int32_t slot, bool keeps);
/* The first n positions of slot `from` become those of slot `to`, of the same replica; encoder states are shared. */
void tfr_slot_copy(struct tfr_engine *engine, int32_t to, int32_t from, int64_t n);
/* Room for n encoder positions; n = 0: none any more. A slot that has some loses them. */
enum tfr_status tfr_slot_open_cross(struct tfr_engine *engine, int32_t slot, int64_t n);

/* kv_io.c: keys and values in and out. Which part of a cache: positions [first, first + n) of block `layer`. */
struct tfr_kv_part {
    int32_t slot, is_cross;
    int64_t layer, first, n;
};
/* Floats of a part: keys [H][n][D], then values. */
int64_t tfr_kv_part_floats(const struct tfr_engine *engine, const struct tfr_kv_part *part);
/* Does nothing on a rank that does not own the block. */
void tfr_kv_part_load(struct tfr_engine *engine, const struct tfr_kv_part *part, const float *keys);
/* On every rank, agreed: from the owner to rank 0, where *keys is borrowed until the next call; NULL on other ranks. */
enum tfr_status tfr_kv_part_fetch(struct tfr_engine *engine, const struct tfr_kv_part *part, const float **keys);

#endif

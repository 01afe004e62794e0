/* command.h - rank 0 says what to do and does it, every other rank does it too. Thread rule: the engine's thread.
 *
 * A command that fails on all ranks alike (they agreed) is rank 0's to report; the others stay until they are told to end. One that
 * fails otherwise ends the job: the rule stands at tfr_rank_stay_together (rank/rank.h), and holds for whatever a command calls.
 */
#ifndef TFR_JOB_COMMAND_H
#define TFR_JOB_COMMAND_H

#include "job/message.h"

/* Sends a message of tfr_message_new, then does what it says. */
enum tfr_status tfr_command(struct tfr_engine *engine, struct tfr_message *message);
/* A message of one kind without a body, by which every rank answers into `answers` of rank 0; NULL: no memory for them. */
enum tfr_status tfr_command_ask_all(struct tfr_engine *engine, enum tfr_message_kind kind, const void *answers);
/* The last one. */
void tfr_command_end(struct tfr_engine *engine);

/* The plan of such a step on all ranks, before any step needs it. */
enum tfr_status tfr_engine_ask_plan(struct tfr_engine *engine, int64_t rows, int64_t logits,
                                    const struct tfr_gpt2_features *features);

/* peak_memory.c: the most memory that this process has held, and that each rank has: (*bytes)[ranks], until the next call. */
int64_t tfr_peak_memory_bytes(void);
enum tfr_status tfr_engine_ask_memory(struct tfr_engine *engine, const int64_t **bytes);

/* rank_facts.c: of this rank. */
struct tfr_rank_facts tfr_own_rank_facts(const struct tfr_engine *engine);
/* Rank 0, around a run, with several ranks: what each did in it; the engine's, NULL on one rank. */
enum tfr_status tfr_engine_begin_facts(struct tfr_engine *engine);
const struct tfr_rank_facts *tfr_engine_end_facts(struct tfr_engine *engine); /* behind tfr_engine_rank_facts */

/* slot_commands.c: slots on all ranks. */
enum tfr_status tfr_engine_open_slot(struct tfr_engine *engine, int32_t replica, int64_t capacity, int32_t *slot);
int64_t tfr_engine_free_slots(const struct tfr_engine *engine);
void tfr_engine_close_slot(struct tfr_engine *engine, int32_t slot);
/* The first n positions of slot `from` become those of slot `to`; encoder states are shared. */
enum tfr_status tfr_engine_copy_slot(struct tfr_engine *engine, int32_t to, int32_t from, int64_t n);
/* Room for n encoder positions in a slot; 0: none any more. */
enum tfr_status tfr_engine_open_cross(struct tfr_engine *engine, int32_t slot, int64_t n);
/* A message whose body takes the keys [H][n][D] and values of `part`, to be filled and commanded; NULL after raising. */
struct tfr_message *tfr_engine_load_kv(struct tfr_engine *engine, const struct tfr_kv_part *part);
/* Keys, then values; borrowed until the next command. */
enum tfr_status tfr_engine_fetch_kv(struct tfr_engine *engine, const struct tfr_kv_part *part, const float **keys);

#endif

/* command.c - what every rank does for each kind of message, and the loop of the ranks that follow: see command.h. */
#include "job/command.h"
#include <string.h>

#include "base/clock.h"
#include "base/status.h"
#include "job/message_check.h"
#include "job/samples.h"
#include "job/trace_file.h"

#include "rank/step_run.h"

static enum tfr_status obey_step(struct tfr_engine *engine, struct tfr_message *message) {
    return tfr_rank_step(engine, tfr_message_body(message));
}

static enum tfr_status obey_open_slot(struct tfr_engine *engine, struct tfr_message *message) {
    return tfr_slot_open(engine, message->part.slot, message->from, message->part.n, message->part.first);
}

static enum tfr_status obey_close_slot(struct tfr_engine *engine, struct tfr_message *message) {
    tfr_slot_close(engine, message->part.slot, message->part.n != 0);
    return TFR_OK;
}

static enum tfr_status obey_copy_slot(struct tfr_engine *engine, struct tfr_message *message) {
    tfr_slot_copy(engine, message->part.slot, message->from, message->part.n);
    return TFR_OK;
}

static enum tfr_status obey_open_cross(struct tfr_engine *engine, struct tfr_message *message) {
    return tfr_slot_open_cross(engine, message->part.slot, message->part.n);
}

static enum tfr_status obey_load_kv(struct tfr_engine *engine, struct tfr_message *message) {
    tfr_kv_part_load(engine, &message->part, tfr_message_body(message));
    return TFR_OK;
}

static enum tfr_status obey_fetch_kv(struct tfr_engine *engine, struct tfr_message *message) {
    const float *keys;
    return tfr_kv_part_fetch(engine, &message->part, &keys);
}

static enum tfr_status obey_trace(struct tfr_engine *engine, struct tfr_message *message) {
    (void)message;
    return tfr_trace_file_obey(engine);
}

static enum tfr_status obey_watch(struct tfr_engine *engine, struct tfr_message *message) {
    return tfr_watch_obey(engine, (size_t)message->part.n);
}

static enum tfr_status obey_samples(struct tfr_engine *engine, struct tfr_message *message) {
    const size_t n = (size_t)message->body_bytes / sizeof(struct tfr_step_facts);
    return tfr_samples_obey(engine, tfr_message_body(message), n);
}

static enum tfr_status obey_plan(struct tfr_engine *engine, struct tfr_message *message) {
    const struct tfr_plan *plan;
    return tfr_engine_plan(engine, message->part.n, message->part.first, tfr_message_body(message), &plan);
}

static enum tfr_status obey_memory(struct tfr_engine *engine, struct tfr_message *message) {
    const int64_t mine = tfr_peak_memory_bytes();
    (void)message;
    return tfr_comm_gather(engine->comm, &mine, sizeof mine, engine->rank_memory_bytes);
}

static enum tfr_status obey_facts(struct tfr_engine *engine, struct tfr_message *message) {
    const struct tfr_rank_facts mine = tfr_own_rank_facts(engine);
    (void)message;
    return tfr_comm_gather(engine->comm, &mine, sizeof mine, engine->rank_facts);
}

static enum tfr_status obey_call(struct tfr_engine *engine, struct tfr_message *message) {
    (void)message;
    return tfr_comm_answer(engine->comm);
}

static enum tfr_status obey_end(struct tfr_engine *engine, struct tfr_message *message) {
    (void)engine, (void)message;
    return TFR_OK;
}

static enum tfr_status settle(struct tfr_engine *engine, const struct tfr_message *message) {
    static const enum tfr_message_waits table[] = {
#define TFR_MESSAGE_WAITS(name, function, waits) [TFR_MESSAGE_##name] = TFR_WAITS_##waits,
        TFR_EACH_MESSAGE(TFR_MESSAGE_WAITS)
#undef TFR_MESSAGE_WAITS
    };
    switch (table[message->kind]) {
    case TFR_WAITS_NONE:
        return TFR_OK;
    case TFR_WAITS_SLOTS:
        TFR_TRY(tfr_steps_settle(engine, message->from));
        return tfr_steps_settle(engine, message->part.slot);
    case TFR_WAITS_SLOT:
        return tfr_steps_settle(engine, message->part.slot);
    case TFR_WAITS_ALL:
        break;
    }
    return tfr_steps_settle(engine, -1);
}

static enum tfr_status obey(struct tfr_engine *engine, struct tfr_message *message) {
    static enum tfr_status (*const table[])(struct tfr_engine *, struct tfr_message *) = {
#define TFR_OBEY(name, function, waits) [TFR_MESSAGE_##name] = function,
        TFR_EACH_MESSAGE(TFR_OBEY)
#undef TFR_OBEY
    };
    const uint64_t agreed_before = tfr_comm_count_agreed(engine->comm);
    enum tfr_status status = settle(engine, message);
    status = status == TFR_OK ? table[message->kind](engine, message) : status;
    tfr_rank_stay_together(engine, status, agreed_before);
    return status;
}

static uint64_t elsewhere_ns(const struct tfr_engine *engine) {
    return tfr_exec_busy_ns(engine->exec) + tfr_comm_waited_ns(engine->comm) + tfr_store_pack_ns(engine->store);
}

/* Time of commands but for kernels, waits and the packing of weights. */
static void count_control(struct tfr_engine *engine, uint64_t begin_ns, uint64_t before_ns) {
    const uint64_t ns = tfr_clock_ns() - begin_ns, elsewhere = elsewhere_ns(engine) - before_ns;
    engine->control_ns += ns > elsewhere ? ns - elsewhere : 0;
}

enum tfr_status tfr_command(struct tfr_engine *engine, struct tfr_message *message) {
    const uint64_t begin_ns = tfr_clock_ns(), before_ns = elsewhere_ns(engine);
    enum tfr_status status = tfr_message_post(engine, message);
    status = status == TFR_OK ? obey(engine, message) : status;
    count_control(engine, begin_ns, before_ns);
    return status;
}

enum tfr_status tfr_command_ask_all(struct tfr_engine *engine, enum tfr_message_kind kind, const void *answers) {
    struct tfr_message *message = answers != NULL ? tfr_message_new(engine, kind, 0) : NULL;
    return message != NULL ? tfr_command(engine, message) : TFR_RESOURCE;
}

enum tfr_status tfr_engine_ask_plan(struct tfr_engine *engine, int64_t rows, int64_t logits,
                                    const struct tfr_gpt2_features *features) {
    if (tfr_engine_has_plan(engine, rows, logits, features)) {
        return TFR_OK;
    }
    struct tfr_message *message = tfr_message_new(engine, TFR_MESSAGE_PLAN, sizeof *features);
    if (message == NULL) {
        return TFR_RESOURCE;
    }
    memcpy(tfr_message_body(message), features, sizeof *features);
    message->part = (struct tfr_kv_part){.first = logits, .n = rows};
    return tfr_command(engine, message);
}

void tfr_command_end(struct tfr_engine *engine) {
    if (tfr_engine_rank(engine) == 0 && tfr_engine_size(engine) > 1 && !tfr_comm_has_left()) {
        struct tfr_message *message = tfr_message_new(engine, TFR_MESSAGE_END, 0);
        if (message != NULL) {
            (void)tfr_command(engine, message);
        }
    }
}

enum tfr_status tfr_engine_follow(struct tfr_engine *engine) {
    enum tfr_status first_failure = TFR_OK;
    for (;;) {
        struct tfr_message *message;
        enum tfr_status heard = tfr_message_next(engine, &message);
        heard = heard == TFR_OK ? tfr_message_check(engine, message) : heard;
        tfr_rank_give_up(engine, heard); /* rank 0 would wait for this rank, which no longer knows what it says */
        TFR_TRY(heard);
        const uint64_t begin_ns = tfr_clock_ns(), before_ns = elsewhere_ns(engine);
        const enum tfr_status status = obey(engine, message);
        count_control(engine, begin_ns, before_ns);
        first_failure = first_failure == TFR_OK ? status : first_failure;
        if (message->kind == TFR_MESSAGE_END) {
            return first_failure;
        }
    }
}

/* rank_facts.c - where the time of each rank went, and what it sent: see struct tfr_rank_facts. */
#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "job/command.h"

struct tfr_rank_facts tfr_own_rank_facts(const struct tfr_engine *engine) {
    struct tfr_rank_facts facts = {
        .busy_ns = tfr_exec_busy_ns(engine->exec), .wait_ns = tfr_comm_waited_ns(engine->comm), .control_ns = engine->control_ns};
    tfr_comm_count_sent(engine->comm, &facts.sent_bytes, &facts.sent_messages);
    return facts;
}

enum tfr_status tfr_engine_rank_facts(struct tfr_engine *engine, const struct tfr_rank_facts **facts) {
    if (engine->rank_facts == NULL) {
        engine->rank_facts = tfr_alloc((size_t)tfr_engine_size(engine), sizeof *engine->rank_facts);
    }
    const enum tfr_status status = tfr_command_ask_all(engine, TFR_MESSAGE_FACTS, engine->rank_facts);
    *facts = status == TFR_OK ? engine->rank_facts : NULL;
    return status;
}

void tfr_engine_log_rank_facts(const struct tfr_engine *engine, const struct tfr_rank_facts *facts) {
    for (int rank = 0; rank < tfr_engine_size(engine) && tfr_engine_size(engine) > 1; rank++) {
        tfr_log(TFR_LOG_INFO, "rank",
                "rank %d: %.0f ms in kernels, %.0f ms waited, %.0f ms for commands, %.0f kB sent in %llu messages", rank,
                (double)facts[rank].busy_ns / 1e6, (double)facts[rank].wait_ns / 1e6, (double)facts[rank].control_ns / 1e6,
                (double)facts[rank].sent_bytes / 1e3, (unsigned long long)facts[rank].sent_messages);
    }
}

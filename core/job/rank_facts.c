/* rank_facts.c - where the time of each rank went, and what it sent: see struct tfr_rank_facts. */
#include <string.h>

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

enum tfr_status tfr_engine_begin_facts(struct tfr_engine *engine) {
    const struct tfr_rank_facts *facts;
    const size_t n = (size_t)tfr_engine_size(engine);
    if (n == 1) {
        return TFR_OK;
    }
    engine->run_facts = engine->run_facts != NULL ? engine->run_facts : tfr_alloc(n, sizeof *engine->run_facts);
    if (engine->run_facts == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(tfr_engine_rank_facts(engine, &facts));
    memcpy(engine->run_facts, facts, n * sizeof *facts);
    return TFR_OK;
}

const struct tfr_rank_facts *tfr_engine_end_facts(struct tfr_engine *engine) {
    for (int rank = 0; rank < tfr_engine_size(engine) && engine->run_facts != NULL; rank++) {
        const struct tfr_rank_facts *now = &engine->rank_facts[rank];
        struct tfr_rank_facts *run = &engine->run_facts[rank];
        *run = (struct tfr_rank_facts){.busy_ns = now->busy_ns - run->busy_ns,
                                       .wait_ns = now->wait_ns - run->wait_ns,
                                       .control_ns = now->control_ns - run->control_ns,
                                       .sent_bytes = now->sent_bytes - run->sent_bytes,
                                       .sent_messages = now->sent_messages - run->sent_messages};
    }
    return engine->run_facts;
}

void tfr_engine_log_rank_facts(const struct tfr_engine *engine, const struct tfr_rank_facts *facts) {
    for (int rank = 0; rank < tfr_engine_size(engine) && tfr_engine_size(engine) > 1; rank++) {
        tfr_log(TFR_LOG_INFO, "rank",
                "rank %d: %.0f ms in kernels, %.0f ms waited, %.0f ms for commands, %.0f kB sent in %llu messages", rank,
                (double)facts[rank].busy_ns / 1e6, (double)facts[rank].wait_ns / 1e6, (double)facts[rank].control_ns / 1e6,
                (double)facts[rank].sent_bytes / 1e3, (unsigned long long)facts[rank].sent_messages);
    }
}

/* rank_watch.c - see rank_watch.h. */
#include "study/rank_watch.h"

#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"

static size_t n_ranks(const struct tfr_rank_watch *watch) {
    return (size_t)tfr_engine_size(watch->engine);
}

enum tfr_status tfr_rank_watch_begin(struct tfr_rank_watch *watch) {
    const struct tfr_rank_facts *facts;
    if (watch == NULL) {
        return TFR_OK;
    }
    TFR_TRY(tfr_engine_rank_facts(watch->engine, &facts));
    memcpy(watch->before, facts, n_ranks(watch) * sizeof *facts);
    watch->start_ns = tfr_clock_ns();
    return TFR_OK;
}

static uint64_t less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

enum tfr_status tfr_rank_watch_end(struct tfr_rank_watch *watch, double units) {
    const struct tfr_rank_facts *now;
    if (watch == NULL) {
        return TFR_OK;
    }
    watch->elapsed_ns = tfr_clock_ns() - watch->start_ns;
    watch->units = units;
    TFR_TRY(tfr_engine_rank_facts(watch->engine, &now));
    for (size_t rank = 0; rank < n_ranks(watch); rank++) {
        const struct tfr_rank_facts *then = &watch->before[rank], *asking = &watch->asking[rank];
        const uint64_t busy_ns = now[rank].busy_ns - then->busy_ns, control_ns = now[rank].control_ns - then->control_ns;
        const uint64_t waited_ns = now[rank].wait_ns - then->wait_ns, left_ns = less(watch->elapsed_ns, busy_ns + control_ns);
        watch->between[rank] = (struct tfr_rank_facts){
            .busy_ns = busy_ns,
            .wait_ns = waited_ns < left_ns ? waited_ns : left_ns, /* a rank waits while it is asked, too */
            .control_ns = control_ns,
            .sent_bytes = less(now[rank].sent_bytes - then->sent_bytes, asking->sent_bytes),
            .sent_messages = less(now[rank].sent_messages - then->sent_messages, asking->sent_messages),
        };
    }
    return TFR_OK;
}

enum tfr_status tfr_rank_watch_open(struct tfr_rank_watch *watch, struct tfr_engine *engine) {
    *watch = (struct tfr_rank_watch){.engine = engine};
    watch->before = tfr_alloc(n_ranks(watch), sizeof *watch->before);
    watch->between = tfr_alloc(n_ranks(watch), sizeof *watch->between);
    watch->asking = tfr_alloc(n_ranks(watch), sizeof *watch->asking);
    if (watch->before == NULL || watch->between == NULL || watch->asking == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(tfr_rank_watch_begin(watch));
    TFR_TRY(tfr_rank_watch_end(watch, 1));
    memcpy(watch->asking, watch->between, n_ranks(watch) * sizeof *watch->asking);
    return TFR_OK;
}

void tfr_rank_watch_close(struct tfr_rank_watch *watch) {
    tfr_free(watch->before);
    tfr_free(watch->between);
    tfr_free(watch->asking);
    *watch = (struct tfr_rank_watch){0};
}

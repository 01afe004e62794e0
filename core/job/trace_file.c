/* trace_file.c - observe.trace: what all ranks did, as one Chrome trace written by rank 0 (chrome://tracing,
 * Perfetto).
 *
 * A rank is a process of the picture, a thread a thread of it. Times are those of rank 0's clock: a rank on
 * another node measures the distance of its own.
 */
#include "job/trace_file.h"

#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "job/command.h"

enum { EVENTS_A_THREAD = 1 << 16, N_CLOCK_ROUNDS = 5 };

enum tfr_status tfr_trace_file_open(struct tfr_engine *engine) {
    const struct tfr_options *options = &engine->config->options;
    int wanted = options->observe_trace != NULL; /* rank 0 decides */
    enum tfr_status status = TFR_OK;
    if (engine->lender != NULL) {
        tfr_exec_set_trace(engine->exec, engine->lender->trace, "assistant");
        return TFR_OK;
    }
    TFR_TRY(tfr_comm_bcast(engine->comm, &wanted, sizeof wanted));
    if (!wanted) {
        return TFR_OK;
    }
    if (tfr_engine_rank(engine) == 0) {
        status = tfr_result_write(options->observe_trace, NULL, 0, options->output_force);
    }
    if (status == TFR_OK) {
        status = tfr_trace_open(&engine->trace, tfr_team_size(engine->team), EVENTS_A_THREAD);
    }
    TFR_TRY(tfr_comm_agree(engine->comm, status));
    tfr_exec_set_trace(engine->exec, engine->trace, NULL);
    return TFR_OK;
}

struct clock_reply {
    uint64_t origin_ns, now_ns;
};

static enum tfr_status tell_time(struct tfr_engine *engine, int peer) {
    char question = 0;
    for (int i = 0; i < N_CLOCK_ROUNDS; i++) {
        struct clock_reply reply = {.origin_ns = tfr_trace_opened_ns(engine->trace)};
        TFR_TRY(tfr_comm_recv(engine->comm, &question, 1, peer, TFR_TAG_TRACE));
        reply.now_ns = tfr_clock_ns();
        TFR_TRY(tfr_comm_send(engine->comm, &reply, sizeof reply, peer, TFR_TAG_TRACE));
    }
    return TFR_OK;
}

/* When rank 0's trace began, on this rank's clock: from the answer that came fastest. Ranks of one node share
 * a clock, which is seen by rank 0's time lying between question and answer; then it is exact, however long an answer takes. */
static enum tfr_status ask_origin(struct tfr_engine *engine, uint64_t *origin_ns) {
    uint64_t fastest = UINT64_MAX;
    for (int i = 0; i < N_CLOCK_ROUNDS; i++) {
        struct clock_reply reply;
        char question = 0;
        const uint64_t before = tfr_clock_ns();
        TFR_TRY(tfr_comm_send(engine->comm, &question, 1, 0, TFR_TAG_TRACE));
        TFR_TRY(tfr_comm_recv(engine->comm, &reply, sizeof reply, 0, TFR_TAG_TRACE));
        const uint64_t took = tfr_clock_ns() - before, middle = before + took / 2;
        const bool is_same = reply.now_ns - before <= took;
        if (took < fastest) {
            fastest = took;
            *origin_ns = is_same ? reply.origin_ns : middle - (reply.now_ns - reply.origin_ns);
        }
    }
    return TFR_OK;
}

/* Events of this rank as JSON, an array; free out->text. */
static enum tfr_status own_events(const struct tfr_engine *engine, uint64_t origin_ns, struct tfr_json_out *out) {
    *out = (struct tfr_json_out){0};
    tfr_json_begin(out, NULL, '[');
    tfr_trace_put_json(engine->trace, tfr_engine_rank(engine), origin_ns, out);
    tfr_json_end(out, ']');
    return out->failed ? tfr_raise(TFR_RESOURCE, "no memory for the trace of rank %d", tfr_engine_rank(engine)) : TFR_OK;
}

/* Rank 0 has the sizes before it says that there is memory; afterwards no rank may fail alone. */
static enum tfr_status give_events(struct tfr_engine *engine, const struct tfr_json_out *own) {
    const uint64_t size = own->size;
    TFR_TRY(tfr_comm_gather(engine->comm, &size, sizeof size, NULL));
    TFR_TRY(tfr_comm_agree(engine->comm, TFR_OK));
    return tfr_comm_send(engine->comm, own->text, own->size, 0, TFR_TAG_TRACE);
}

static enum tfr_status send_events(struct tfr_engine *engine) {
    struct tfr_json_out out;
    uint64_t origin_ns = 0;
    TFR_TRY(ask_origin(engine, &origin_ns));
    enum tfr_status status = tfr_comm_agree(engine->comm, own_events(engine, origin_ns, &out));
    if (status == TFR_OK) {
        status = give_events(engine, &out);
    }
    tfr_free(out.text);
    return status;
}

static enum tfr_status no_memory(const struct tfr_engine *engine) {
    return tfr_raise(TFR_RESOURCE, "%s: no memory for the trace", engine->config->options.observe_trace);
}

/* The array of one rank without its brackets, behind those that came before. */
static void put_events(struct tfr_json_out *out, const char *array, size_t size) {
    char *items = size > 2 ? tfr_strndup(array + 1, size - 2) : NULL;
    if (items == NULL) {
        out->failed = true;
        return;
    }
    tfr_json_put_value(out, NULL, items);
    tfr_free(items);
}

/* Where there is no memory to put them the others are received all the same. */
static enum tfr_status receive_events(struct tfr_engine *engine, const uint64_t *sizes, char *text, struct tfr_json_out *out) {
    for (int peer = 1; peer < tfr_engine_size(engine); peer++) {
        TFR_TRY(tfr_comm_recv(engine->comm, text, (size_t)sizes[peer], peer, TFR_TAG_TRACE));
        put_events(out, text, (size_t)sizes[peer]);
    }
    return TFR_OK;
}

/* `sizes`: [ranks], to be filled. One text at a time is in memory beside the whole. */
static enum tfr_status take_events(struct tfr_engine *engine, const struct tfr_json_out *own, uint64_t *sizes,
                                   struct tfr_json_out *out) {
    const uint64_t size = own->size;
    uint64_t most = 1;
    TFR_TRY(tfr_comm_gather(engine->comm, &size, sizeof size, sizes));
    put_events(out, own->text, own->size);
    for (int peer = 1; peer < tfr_engine_size(engine); peer++) {
        most = sizes[peer] > most ? sizes[peer] : most;
    }
    char *text = tfr_alloc(1, (size_t)most);
    enum tfr_status status = tfr_comm_agree(engine->comm, text != NULL ? TFR_OK : no_memory(engine));
    if (status == TFR_OK) {
        status = receive_events(engine, sizes, text, out);
    }
    tfr_free(text);
    return status;
}

static enum tfr_status tell_times(struct tfr_engine *engine) {
    for (int peer = 1; peer < tfr_engine_size(engine); peer++) {
        TFR_TRY(tell_time(engine, peer));
    }
    return TFR_OK;
}

static enum tfr_status collect(struct tfr_engine *engine, struct tfr_json_out *out) {
    struct tfr_json_out own = {0};
    TFR_TRY(tell_times(engine));
    uint64_t *sizes = tfr_alloc((size_t)tfr_engine_size(engine), sizeof *sizes);
    enum tfr_status status = sizes != NULL ? own_events(engine, tfr_trace_opened_ns(engine->trace), &own) : TFR_RESOURCE;
    status = tfr_comm_agree(engine->comm, status);
    if (status == TFR_OK) {
        status = take_events(engine, &own, sizes, out);
    }
    tfr_free(sizes);
    tfr_free(own.text);
    return status;
}

enum tfr_status tfr_trace_file_obey(struct tfr_engine *engine) {
    return tfr_engine_rank(engine) == 0 ? collect(engine, engine->traced) : send_events(engine);
}

static enum tfr_status command_trace(struct tfr_engine *engine, struct tfr_json_out *out) {
    struct tfr_message *message = tfr_message_new(engine, TFR_MESSAGE_TRACE, 0);
    engine->traced = out;
    return message != NULL ? tfr_command(engine, message) : TFR_RESOURCE;
}

/* What rank 0 has no memory for, and the file, are no part of the command: nobody waits for them. */
static enum tfr_status write_events(struct tfr_engine *engine) {
    const struct tfr_options *options = &engine->config->options;
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "displayTimeUnit", "ms");
    tfr_json_begin(&out, "traceEvents", '[');
    enum tfr_status status = command_trace(engine, &out);
    tfr_json_end(&out, ']');
    tfr_json_end(&out, '}');
    if (status == TFR_OK && out.failed) {
        status = no_memory(engine);
    }
    if (status == TFR_OK) {
        status = tfr_result_write(options->observe_trace, out.text, out.size, options->output_force);
    }
    tfr_free(out.text);
    return status;
}

enum tfr_status tfr_engine_write_trace(struct tfr_engine *engine) {
    if (engine->trace == NULL || engine->trace_written) {
        return TFR_OK;
    }
    engine->trace_written = true; /* also where it fails: once is enough */
    return write_events(engine);
}

/* step.c - one step on all ranks: rank 0 sends a control message of fixed size, everyone runs the plan for
 * its shape.
 *
 * The message names sequences by slot; each rank keeps the kv cache of a slot for its own blocks. Token ids
 * and positions stay on rank 0, which embeds. A step that fails on one rank alone (a broken message) cannot
 * be mended: that rank ends the job.
 */
#include "rank/rank.h"

#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "session/encoder.h"

enum control_kind {
    CONTROL_STEP,
    CONTROL_OPEN_SLOT,
    CONTROL_CLOSE_SLOT,
    CONTROL_COPY_SLOT,
    CONTROL_PAYLOAD,
    CONTROL_END
};

struct tfr_control {
    int32_t kind, n_seqs, slot, from; /* from: the slot that is copied to `slot` */
    int64_t capacity;                 /* or how many positions to copy */
    struct tfr_step_seq seq[];
};

int64_t tfr_engine_logit_width(const struct tfr_engine *engine) {
    const struct tfr_hparams *model = &engine->config->model;
    const int64_t widths[] = {model->vocab_size, model->num_labels, model->n_embd, 2 /* question answering */};
    int64_t widest = 0;
    for (size_t i = 0; i < TFR_COUNT_OF(widths); i++) {
        widest = widths[i] > widest ? widths[i] : widest;
    }
    return widest;
}

static size_t logits_bytes(const struct tfr_engine *engine) {
    return (size_t)engine->max_rows * (size_t)tfr_engine_logit_width(engine) * sizeof(float);
}

enum tfr_status tfr_step_open_buffers(struct tfr_engine *engine) {
    const size_t rows = (size_t)engine->max_rows, batch = (size_t)engine->max_batch;
    engine->control_bytes = sizeof *engine->control + batch * sizeof(struct tfr_step_seq);
    engine->slots = tfr_alloc(batch + 1, sizeof *engine->slots);
    engine->seqs = tfr_alloc(batch, sizeof *engine->seqs);
    engine->ids = tfr_alloc(rows, sizeof *engine->ids);
    engine->positions = tfr_alloc(rows, sizeof *engine->positions);
    engine->logit_rows = tfr_alloc(rows, sizeof *engine->logit_rows);
    if (engine->slots == NULL || engine->seqs == NULL || engine->ids == NULL || engine->positions == NULL ||
        engine->logit_rows == NULL) {
        return TFR_RESOURCE;
    }
    if (tfr_engine_rank(engine) == 0) {
        TFR_TRY(tfr_block_open(&engine->logits, logits_bytes(engine), TFR_HUGEPAGES_OFF));
    }
    engine->control = tfr_alloc(1, engine->control_bytes);
    return engine->control != NULL ? TFR_OK : TFR_RESOURCE;
}

void tfr_step_close_buffers(struct tfr_engine *engine) {
    for (int64_t i = 0; engine->slots != NULL && i <= engine->max_batch; i++) {
        if (engine->slots[i].open) {
            tfr_kvcache_close(&engine->slots[i].kv);
            tfr_cross_release(&engine->slots[i]);
        }
    }
    if (engine->logits.data != NULL) {
        tfr_block_close(&engine->logits);
    }
    if (engine->gathered.data != NULL) {
        tfr_block_close(&engine->gathered);
    }
    tfr_free(engine->slots);
    tfr_free(engine->seqs);
    tfr_free(engine->ids);
    tfr_free(engine->positions);
    tfr_free(engine->logit_rows);
    tfr_free(engine->control);
}

/* What every rank does for a step: rows of each sequence, then the plan. */
static void lay_out_batch(struct tfr_engine *engine, const struct tfr_control *control, int64_t *rows, int64_t *logits) {
    *rows = *logits = 0;
    for (int32_t i = 0; i < control->n_seqs; i++) {
        const struct tfr_step_seq *seq = &control->seq[i];
        const struct tfr_slot *slot = &engine->slots[seq->slot];
        engine->seqs[i] =
            (struct tfr_batch_seq){.row0 = *rows, .n_rows = seq->rows, .past = seq->past, .kv = slot->kv.layer};
        if (slot->cross != NULL) {
            engine->seqs[i].n_cross = slot->cross->n;
            engine->seqs[i].cross_kv = slot->cross->kv.layer;
        }
        for (int32_t r = seq->rows - seq->keep; r < seq->rows; r++) {
            engine->logit_rows[(*logits)++] = (int32_t)(*rows + r);
        }
        *rows += seq->rows;
    }
}

static enum tfr_status run_step(struct tfr_engine *engine, const struct tfr_control *control) {
    int64_t rows, logits;
    lay_out_batch(engine, control, &rows, &logits);
    const struct tfr_plan *plan;
    struct tfr_gpt2_features features = tfr_engine_features(engine);
    features.cross = engine->slots[control->seq[0].slot].cross != NULL; /* all have encoder states, or none */
    TFR_TRY(tfr_engine_plan(engine, rows, logits, &features, &plan));
    const struct tfr_batch batch = {.n_seqs = control->n_seqs, .seq = engine->seqs};
    const struct tfr_exec_input input = {
        .ids = engine->ids,
        .positions = engine->positions,
        .logit_rows = engine->logit_rows,
        .logits = engine->logits.data,
        .rows = rows,
        .n_logits = logits,
        .batch = &batch,
    };
    enum tfr_status status = tfr_exec_run(engine->exec, plan, &input);
    if (status != TFR_OK && tfr_engine_size(engine) > 1) {
        tfr_log_set_level(TFR_LOG_ERROR);
        tfr_log(TFR_LOG_ERROR, "exec", "%s", tfr_failure_text()); /* comm's text names the rank */
        tfr_comm_abort(engine->comm, tfr_status_exit_code(status));
    }
    return status;
}

static enum tfr_status open_slot(struct tfr_engine *engine, const struct tfr_control *control) {
    struct tfr_slot *slot = &engine->slots[control->slot];
    TFR_TRY(tfr_engine_open_kv(engine, &slot->kv, control->capacity));
    slot->open = true;
    return TFR_OK;
}

static void close_slot(struct tfr_engine *engine, const struct tfr_control *control) {
    tfr_kvcache_close(&engine->slots[control->slot].kv);
    tfr_cross_release(&engine->slots[control->slot]);
    engine->slots[control->slot].open = false;
}

static void copy_slot(struct tfr_engine *engine, const struct tfr_control *control) {
    struct tfr_slot *to = &engine->slots[control->slot];
    const struct tfr_slot *from = &engine->slots[control->from];
    tfr_kvcache_copy(&to->kv, &from->kv, control->capacity);
    tfr_cross_share(to, from);
}

/* Rank 0 has the body at engine->payload, the others get it here; control->capacity is its size. */
static enum tfr_status take_payload(struct tfr_engine *engine, const struct tfr_control *control) {
    const size_t bytes = (size_t)control->capacity;
    const bool is_first = tfr_engine_rank(engine) == 0;
    if (tfr_engine_size(engine) == 1) {
        return tfr_payload_obey(engine, engine->payload);
    }
    void *payload = is_first ? engine->payload : tfr_alloc(1, bytes);
    enum tfr_status status = tfr_comm_agree(engine->comm, payload != NULL ? TFR_OK : TFR_RESOURCE);
    if (status == TFR_OK) {
        status = tfr_comm_bcast(engine->comm, payload, bytes);
    }
    if (status == TFR_OK) {
        status = tfr_payload_obey(engine, payload);
    }
    if (!is_first) {
        tfr_free(payload);
    }
    return status;
}

static enum tfr_status obey(struct tfr_engine *engine, const struct tfr_control *control) {
    switch ((enum control_kind)control->kind) {
    case CONTROL_STEP:
        return run_step(engine, control);
    case CONTROL_OPEN_SLOT:
        return open_slot(engine, control);
    case CONTROL_CLOSE_SLOT:
        close_slot(engine, control);
        return TFR_OK;
    case CONTROL_COPY_SLOT:
        copy_slot(engine, control);
        return TFR_OK;
    case CONTROL_PAYLOAD:
        return take_payload(engine, control);
    case CONTROL_END:
        break;
    }
    return TFR_OK;
}

/* Rank 0: tell the others, then do it. */
static enum tfr_status command(struct tfr_engine *engine) {
    if (tfr_engine_size(engine) > 1) {
        TFR_TRY(tfr_comm_bcast(engine->comm, engine->control, engine->control_bytes));
    }
    return obey(engine, engine->control);
}

/* A failure that all ranks agreed on is rank 0's to report: this rank stays until it is told to end. */
enum tfr_status tfr_engine_follow(struct tfr_engine *engine) {
    struct tfr_control *control = engine->control;
    enum tfr_status first_failure = TFR_OK;
    for (;;) {
        tfr_comm_set_timeout(engine->comm, 0); /* rank 0 may take its time between steps */
        enum tfr_status heard = tfr_comm_bcast(engine->comm, control, engine->control_bytes);
        tfr_comm_set_timeout(engine->comm, engine->config->options.parallel_timeout_s);
        TFR_TRY(heard);
        if (control->kind == CONTROL_END) {
            return first_failure;
        }
        enum tfr_status status = obey(engine, control);
        first_failure = first_failure == TFR_OK ? status : first_failure;
    }
}

void tfr_engine_end(struct tfr_engine *engine) {
    if (tfr_engine_rank(engine) == 0 && tfr_engine_size(engine) > 1) {
        engine->control->kind = CONTROL_END;
        tfr_comm_bcast(engine->comm, engine->control, engine->control_bytes);
    }
}

enum tfr_status tfr_engine_run_step(struct tfr_engine *engine, const struct tfr_step_seq *seqs,
                                    int64_t n_seqs, const int32_t *ids) {
    struct tfr_control *control = engine->control;
    control->kind = CONTROL_STEP;
    control->n_seqs = (int32_t)n_seqs;
    memcpy(control->seq, seqs, (size_t)n_seqs * sizeof *seqs);
    int64_t row = 0;
    for (int64_t i = 0; i < n_seqs; i++) {
        for (int32_t r = 0; r < seqs[i].rows; r++, row++) {
            engine->ids[row] = ids[row];
            engine->positions[row] = (int32_t)(seqs[i].past + r);
        }
    }
    return command(engine);
}

enum tfr_status tfr_engine_command_payload(struct tfr_engine *engine, void *payload, size_t bytes) {
    engine->payload = payload;
    engine->control->kind = CONTROL_PAYLOAD;
    engine->control->capacity = (int64_t)bytes;
    return command(engine);
}

enum tfr_status tfr_engine_open_slot(struct tfr_engine *engine, int64_t capacity, int32_t *slot) {
    for (int32_t i = 0; i < engine->max_batch; i++) {
        if (!engine->slots[i].open) {
            engine->control->kind = CONTROL_OPEN_SLOT;
            engine->control->slot = *slot = i;
            engine->control->capacity = capacity;
            return command(engine);
        }
    }
    return tfr_raise(TFR_RESOURCE, "all %lld sequences are in use; raise tfrun.runtime.max_batch",
                     (long long)engine->max_batch);
}

int64_t tfr_engine_free_slots(const struct tfr_engine *engine) {
    int64_t n = 0;
    for (int64_t i = 0; i < engine->max_batch; i++) {
        n += !engine->slots[i].open;
    }
    return n;
}

void tfr_engine_close_slot(struct tfr_engine *engine, int32_t slot) {
    engine->control->kind = CONTROL_CLOSE_SLOT;
    engine->control->slot = slot;
    if (command(engine) != TFR_OK) {
        tfr_log(TFR_LOG_ERROR, "engine", "%s", tfr_failure_text());
    }
}

enum tfr_status tfr_engine_copy_slot(struct tfr_engine *engine, int32_t to, int32_t from, int64_t n) {
    engine->control->kind = CONTROL_COPY_SLOT;
    engine->control->slot = to;
    engine->control->from = from;
    engine->control->capacity = n;
    return command(engine);
}

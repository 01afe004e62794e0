/* forward_steps.c - the rows of a request as pieces of steps, and the results of the steps to their places. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "forward/forward.h"
#include "step/step.h"

/* Some sequences of a request on their way through steps. Arrays over rows are in the order of the row plan. */
struct batch {
    const struct tfr_forward_request *request;
    const struct tfr_row_plan *plan;
    const struct tfr_result *result;
    int64_t first_run, n_runs;
    struct tfr_gpt2_features features;
    struct tfr_piece *pieces; /* [n_runs] */
    int32_t *ids, *positions, *token_types, *embed_at, *t;
    uint8_t *kept;
};

/* First index from `from` on whose logits are those of a row, n_keep if there is none. The last n_keep positions are
 * kept in order; a list given may name a position several times. */
static int64_t kept_at(const struct tfr_forward_request *request, struct tfr_row row, int64_t from) {
    if (request->keep == NULL) {
        const int64_t j = row.t - (request->S - request->n_keep);
        return j >= from ? j : request->n_keep;
    }
    while (from < request->n_keep && tfr_head_position(request, row.b, from) != row.t) {
        from++;
    }
    return from;
}

static bool wants_logits(const struct tfr_forward_request *request, struct tfr_row row) {
    return kept_at(request, row, 0) < request->n_keep;
}

static struct tfr_gpt2_features features_of(const struct tfr_forward_request *request, const struct tfr_result *result) {
    struct tfr_gpt2_features features = tfr_engine_features(request->engine);
    features.head = request->head == TFR_HEAD_DOUBLE ? TFR_HEAD_LM : request->head;
    features.embeds = request->embeds != NULL;
    features.token_types = request->token_types != NULL;
    features.hidden_states = result->hidden != NULL;
    features.last_hidden = result->last_hidden != NULL;
    features.cross = request->has_cross;
    features.weights = result->weights != NULL;
    features.mask = request->mask != NULL;
    features.cross_mask = request->cross_mask != NULL;
    features.head_mask = request->head_mask != NULL;
    if (request->options.attn != TFR_ATTN_AUTO) {
        features.attention = request->options.attn;
    }
    return features;
}

static bool open_arrays(struct batch *batch) {
    const size_t rows = (size_t)batch->plan->n_rows + 1;
    batch->pieces = tfr_alloc((size_t)batch->n_runs + 1, sizeof *batch->pieces);
    batch->ids = tfr_alloc(rows, sizeof(int32_t));
    batch->positions = tfr_alloc(rows, sizeof(int32_t));
    batch->token_types = tfr_alloc(rows, sizeof(int32_t));
    batch->embed_at = tfr_alloc(rows, sizeof(int32_t));
    batch->t = tfr_alloc(rows, sizeof(int32_t));
    batch->kept = tfr_alloc(rows, 1);
    return batch->pieces != NULL && batch->ids != NULL && batch->positions != NULL && batch->token_types != NULL &&
           batch->embed_at != NULL && batch->t != NULL && batch->kept != NULL;
}

static void close_arrays(struct batch *batch) {
    tfr_free(batch->pieces);
    tfr_free(batch->ids);
    tfr_free(batch->positions);
    tfr_free(batch->token_types);
    tfr_free(batch->embed_at);
    tfr_free(batch->t);
    tfr_free(batch->kept);
}

static void gather_rows(struct batch *batch) {
    const struct tfr_forward_request *request = batch->request;
    for (int64_t r = 0; r < batch->plan->n_rows; r++) {
        const struct tfr_row row = batch->plan->rows[r];
        const int64_t at = row.b * request->S + row.t;
        batch->t[r] = row.t;
        batch->embed_at[r] = (int32_t)at;
        batch->positions[r] = request->positions[at];
        batch->ids[r] = request->ids != NULL ? request->ids[at] : 0;
        batch->token_types[r] = request->token_types != NULL ? request->token_types[at] : 0;
        batch->kept[r] = wants_logits(request, row);
    }
}

static struct tfr_piece_mask self_mask(const struct batch *batch, const struct tfr_row_run *run) {
    const struct tfr_forward_request *request = batch->request;
    const int64_t head = request->S * request->T;
    const int64_t from_b = request->mask_batch > 1 ? run->b : 0;
    if (request->mask == NULL) {
        return (struct tfr_piece_mask){0};
    }
    return (struct tfr_piece_mask){.values = request->mask + from_b * request->mask_heads * head,
                                   .heads = request->mask_heads,
                                   .head_stride = head,
                                   .row_stride = request->T,
                                   .row_at = batch->t + run->first};
}

static struct tfr_piece_mask cross_mask(const struct batch *batch, const struct tfr_row_run *run) {
    const struct tfr_forward_request *request = batch->request;
    if (request->cross_mask == NULL) {
        return (struct tfr_piece_mask){0};
    }
    return (struct tfr_piece_mask){.values = request->cross_mask + run->b * request->S * request->E,
                                   .heads = 1,
                                   .row_stride = request->E,
                                   .row_at = batch->t + run->first,
                                   .column_of = batch->plan->cross_of + run->b * request->E};
}

static void make_pieces(struct batch *batch, const int32_t *slot, int64_t b0) {
    const struct tfr_forward_request *request = batch->request;
    for (int64_t i = 0; i < batch->n_runs; i++) {
        const struct tfr_row_run *run = &batch->plan->runs[batch->first_run + i];
        batch->pieces[i] = (struct tfr_piece){
            .slot = slot[run->b - b0],
            .query_only = run->query_only,
            .whole = !request->model->is_causal && !run->query_only,
            .n = run->n,
            .past = run->past,
            .features = &batch->features,
            .ids = batch->ids + run->first,
            .positions = batch->positions + run->first,
            .token_types = batch->token_types + run->first,
            .embeds = request->embeds,
            .embed_at = batch->embed_at + run->first,
            .kept = batch->kept + run->first,
            .mask = self_mask(batch, run),
            .cross_mask = cross_mask(batch, run),
            .head_mask = request->head_mask,
        };
    }
}

/* The run that a cut is of, and the index of its first row in the row plan. */
static const struct tfr_row_run *run_of(const struct batch *batch, const struct tfr_cut *cut, int64_t *first_row) {
    const struct tfr_row_run *run = &batch->plan->runs[batch->first_run + (cut->piece - batch->pieces)];
    *first_row = run->first + cut->first;
    return run;
}

/* Logits of a row to all places that ask for them; gives the row's part of `logits` up where there is none. */
static void scatter_logits(const struct batch *batch, const struct tfr_cut *cut, const float **logits) {
    const struct tfr_forward_request *request = batch->request;
    const struct tfr_result *result = batch->result;
    int64_t first;
    run_of(batch, cut, &first);
    for (int64_t r = 0; r < cut->n; r++) {
        const struct tfr_row row = batch->plan->rows[first + r];
        for (int64_t j = kept_at(request, row, 0); j < request->n_keep; j = kept_at(request, row, j + 1)) {
            memcpy(result->logits + (row.b * request->n_keep + j) * result->width, *logits, (size_t)result->width * sizeof(float));
        }
        *logits += batch->kept[first + r] ? result->width : 0;
    }
}

static void scatter_hidden(const struct batch *batch, const struct tfr_step *step, const struct tfr_cut *cut) {
    const struct tfr_forward_request *request = batch->request;
    const struct tfr_result *result = batch->result;
    const int64_t C = request->model->n_embd, L = request->model->n_layer;
    int64_t first;
    run_of(batch, cut, &first);
    for (int64_t i = 0; i <= L; i++) {
        float *to = result->hidden != NULL ? result->hidden[i] : i == L ? result->last_hidden : NULL;
        for (int64_t r = 0; r < cut->n && to != NULL; r++) {
            const struct tfr_row row = batch->plan->rows[first + r];
            memcpy(to + (row.b * request->S + row.t) * C, step->hidden[i] + (cut->row + r) * C, (size_t)C * sizeof(float));
        }
    }
}

/* Weights of one cut, dense [H][n][n_keys], to their places among all keys. */
static void scatter_weights(const struct batch *batch, const struct tfr_cut *cut, const float *from, int64_t n_keys,
                            const int32_t *key_of, int64_t width, float *to) {
    const int64_t H = batch->request->model->n_head, S = batch->request->S;
    int64_t first;
    const struct tfr_row_run *run = run_of(batch, cut, &first);
    for (int64_t h = 0; h < H; h++) {
        for (int64_t r = 0; r < cut->n; r++) {
            float *row = to + ((run->b * H + h) * S + batch->t[first + r]) * width;
            for (int64_t s = 0; s < n_keys; s++) {
                row[key_of[s]] = from[(h * cut->n + r) * n_keys + s];
            }
        }
    }
}

static void scatter_block_weights(const struct batch *batch, const struct tfr_step *step, int64_t layer) {
    const struct tfr_forward_request *request = batch->request;
    const struct tfr_result *result = batch->result;
    const int64_t H = request->model->n_head;
    const float *self = step->weights[layer], *cross = step->cross_weights[layer];
    for (int64_t i = 0; i < step->n_cuts; i++) {
        const struct tfr_cut *cut = &step->cuts[i];
        int64_t first;
        const int64_t b = run_of(batch, cut, &first)->b, n_keys = tfr_cut_keys(cut), n_cross = batch->plan->n_cross[b];
        scatter_weights(batch, cut, self, n_keys, batch->plan->key_of + b * request->T, request->T, result->weights[layer]);
        self += H * cut->n * n_keys;
        if (result->cross != NULL) {
            scatter_weights(batch, cut, cross, n_cross, batch->plan->cross_of + b * request->E, request->E, result->cross[layer]);
            cross += H * cut->n * n_cross;
        }
    }
}

static void scatter(const struct batch *batch, const struct tfr_step *step) {
    const float *logits = step->logits;
    for (int64_t i = 0; i < step->n_cuts; i++) {
        scatter_logits(batch, &step->cuts[i], &logits);
        scatter_hidden(batch, step, &step->cuts[i]);
    }
    for (int64_t layer = 0; layer < batch->request->model->n_layer && batch->result->weights != NULL; layer++) {
        scatter_block_weights(batch, step, layer);
    }
}

/* Those whose results are logits alone, of numbers alone: others are waited for on all ranks. */
static bool may_spread(const struct tfr_gpt2_features *features) {
    return features->head != TFR_HEAD_NONE && !features->embeds && !features->hidden_states && !features->last_hidden &&
           !features->weights && !features->mask && !features->cross_mask && !features->head_mask;
}

int32_t tfr_rows_replica(const struct tfr_forward_request *request, const struct tfr_result *result, int64_t i, int64_t n) {
    const struct tfr_gpt2_features features = features_of(request, result);
    return may_spread(&features) ? (int32_t)((n - 1 - i) * request->engine->placement.replicas / n) : 0;
}

/* The pieces of one replica's slots, which follow one another. */
struct span {
    struct tfr_step step;
    bool is_begun;
};

static enum tfr_status open_spans(const struct batch *batch, struct span *spans, int *n_spans) {
    const struct tfr_engine *engine = batch->request->engine;
    for (int64_t i = 0, n; i < batch->n_runs; i += n) {
        const int32_t replica = engine->slots[batch->pieces[i].slot].replica;
        for (n = 1; i + n < batch->n_runs && engine->slots[batch->pieces[i + n].slot].replica == replica; n++) {
        }
        TFR_TRY(tfr_step_open(&spans[*n_spans].step, batch->request->engine, batch->pieces + i, n));
        spans[(*n_spans)++].is_begun = false;
    }
    return TFR_OK;
}

static enum tfr_status begin_each(struct span *spans, int n_spans, bool *goes_on) {
    *goes_on = false;
    for (int i = 0; i < n_spans; i++) {
        if (tfr_step_cut(&spans[i].step)) {
            TFR_TRY(tfr_engine_cancelled() ? tfr_raise(TFR_CANCELLED, "stopped on request") : tfr_step_begin(&spans[i].step));
            spans[i].is_begun = *goes_on = true;
        }
    }
    return TFR_OK;
}

/* All that were begun, also where another one failed. */
static enum tfr_status end_each(const struct batch *batch, struct span *spans, int n_spans, enum tfr_status status) {
    for (int i = 0; i < n_spans; i++) {
        const enum tfr_status ended = spans[i].is_begun ? tfr_step_end(&spans[i].step) : TFR_OK;
        if (spans[i].is_begun && status == TFR_OK && ended == TFR_OK) {
            scatter(batch, &spans[i].step);
        }
        status = status == TFR_OK ? ended : status;
        spans[i].is_begun = false;
    }
    return status;
}

/* A step of each replica at a time. */
static enum tfr_status run_steps(const struct batch *batch) {
    struct span *spans = tfr_alloc((size_t)batch->request->engine->placement.replicas, sizeof *spans);
    int n_spans = 0;
    bool goes_on = true;
    enum tfr_status status = spans != NULL ? open_spans(batch, spans, &n_spans) : TFR_RESOURCE;
    while (status == TFR_OK && goes_on) {
        status = end_each(batch, spans, n_spans, begin_each(spans, n_spans, &goes_on));
    }
    while (n_spans > 0) {
        tfr_step_close(&spans[--n_spans].step);
    }
    tfr_free(spans);
    return status;
}

enum tfr_status tfr_rows_run(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, const int32_t *slot,
                             int64_t b0, int64_t n, const struct tfr_result *result) {
    struct batch batch = {.request = request, .plan = plan, .result = result, .features = features_of(request, result)};
    while (batch.first_run < plan->n_runs && plan->runs[batch.first_run].b < b0) {
        batch.first_run++;
    }
    while (batch.first_run + batch.n_runs < plan->n_runs && plan->runs[batch.first_run + batch.n_runs].b < b0 + n) {
        batch.n_runs++;
    }
    enum tfr_status status = TFR_RESOURCE;
    if (open_arrays(&batch)) {
        gather_rows(&batch);
        make_pieces(&batch, slot, b0);
        status = run_steps(&batch);
    }
    close_arrays(&batch);
    return status;
}

/* forward_rows.c - which rows of a request are computed, in which steps, and where their results go.
 *
 * Of each sequence the visible tokens come first, as one run over the cache; then the masked ones that still
 * see keys, as queries alone (unless options.ragged). Steps are cut at max_rows rows, anywhere: a row's bits do not depend on it.
 */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "forward/forward.h"

static bool is_visible(const struct tfr_forward_request *request, int64_t b, int64_t j) {
    return request->key_mask == NULL || request->key_mask[b * request->T + j] != 0;
}

static void add_row(struct tfr_row_plan *plan, int64_t b, int64_t t, int64_t past, bool query_only) {
    struct tfr_run *last = plan->n_runs > 0 ? &plan->runs[plan->n_runs - 1] : NULL;
    plan->rows[plan->n_rows] = (struct tfr_row){.b = (int32_t)b, .t = (int32_t)t};
    const bool continues =
        last != NULL && last->b == b && last->query_only == query_only && (!query_only || last->past == past);
    if (continues) {
        last->n++;
    } else {
        plan->runs[plan->n_runs++] =
            (struct tfr_run){.b = b, .n = 1, .past = past, .first = plan->n_rows, .query_only = query_only};
    }
    plan->n_rows++;
}

/* Kept keys of sequence b, cached ones first. */
static void keep_keys(struct tfr_row_plan *plan, const struct tfr_forward_request *request, int64_t b) {
    int32_t *of = plan->key_of + b * request->T;
    for (int64_t j = 0; j < request->T; j++) {
        if (is_visible(request, b, j)) {
            of[plan->n_keys[b]++] = (int32_t)j;
            plan->n_past[b] += j < request->P;
        }
    }
    for (int64_t j = 0; j < request->E; j++) {
        if (request->encoder_mask == NULL || request->encoder_mask[b * request->E + j]) {
            plan->cross_of[b * request->E + plan->n_cross[b]++] = (int32_t)j;
        }
    }
}

static void add_rows(struct tfr_row_plan *plan, const struct tfr_forward_request *request, int64_t b) {
    for (int64_t t = 0; t < request->S; t++) {
        if (is_visible(request, b, request->P + t)) {
            add_row(plan, b, t, plan->n_past[b], false);
        }
    }
    int64_t before = plan->n_past[b];
    for (int64_t t = 0; t < request->S && !request->options.ragged; t++) {
        const bool visible = is_visible(request, b, request->P + t);
        const int64_t seen = request->model->is_causal ? before : plan->n_keys[b];
        before += visible;
        if (!visible && seen > 0) {
            add_row(plan, b, t, seen, true);
        }
    }
}

enum tfr_status tfr_row_plan_open(struct tfr_row_plan *plan, const struct tfr_forward_request *request) {
    const size_t B = (size_t)request->B, rows = B * (size_t)request->S;
    *plan = (struct tfr_row_plan){
        .rows = tfr_alloc(rows, sizeof *plan->rows),
        .runs = tfr_alloc(rows, sizeof *plan->runs),
        .key_of = tfr_alloc(B * (size_t)request->T, sizeof(int32_t)),
        .n_keys = tfr_alloc(B, sizeof(int32_t)),
        .n_past = tfr_alloc(B, sizeof(int32_t)),
        .cross_of = tfr_alloc(B * (size_t)request->E + 1, sizeof(int32_t)),
        .n_cross = tfr_alloc(B, sizeof(int32_t)),
    };
    if (plan->rows == NULL || plan->runs == NULL || plan->key_of == NULL || plan->n_keys == NULL ||
        plan->n_past == NULL || plan->cross_of == NULL || plan->n_cross == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t b = 0; b < request->B; b++) {
        keep_keys(plan, request, b);
        add_rows(plan, request, b);
        const int64_t fresh = plan->n_keys[b] - plan->n_past[b];
        if (!request->model->is_causal && fresh > request->engine->max_rows) {
            return tfr_raise(
                TFR_USAGE,
                "is_causal = false needs all %lld tokens of row %lld in one step, which takes %lld; raise "
                "tfrun.runtime.max_rows",
                (long long)fresh, (long long)b, (long long)request->engine->max_rows);
        }
    }
    return TFR_OK;
}

void tfr_row_plan_close(struct tfr_row_plan *plan) {
    tfr_free(plan->rows);
    tfr_free(plan->runs);
    tfr_free(plan->key_of);
    tfr_free(plan->n_keys);
    tfr_free(plan->n_past);
    tfr_free(plan->cross_of);
    tfr_free(plan->n_cross);
    *plan = (struct tfr_row_plan){0};
}

/* Walk over the runs of some sequences: the run under way and the rows of it that are done. */
struct walk {
    const struct tfr_forward_request *request;
    const struct tfr_row_plan *plan;
    const int32_t *slot;
    int64_t b0, run, done, end_run;
    /* the step being made: its pieces of runs */
    struct tfr_run *pieces;
    int64_t n_pieces, n_rows;
    int32_t *row_of; /* [n_rows] index into plan->rows */
    struct tfr_step_inputs inputs;
    int32_t *ids, *positions, *token_types;
    struct tfr_block embeds;
};

static int64_t piece_keys(const struct tfr_run *piece) {
    return piece->past + (piece->query_only ? 0 : piece->n);
}

/* Cuts the next step off; false when all rows are done. Without causality a run must not be cut: it then
 * waits for the next step. */
static bool next_step(struct walk *walk) {
    const int64_t most = walk->request->engine->max_rows;
    walk->n_pieces = walk->n_rows = 0;
    while (walk->run < walk->end_run && walk->n_rows < most) {
        const struct tfr_run *run = &walk->plan->runs[walk->run];
        const int64_t left = run->n - walk->done, room = most - walk->n_rows;
        if (left > room && !walk->request->model->is_causal && !run->query_only && walk->n_rows > 0) {
            break;
        }
        const int64_t n = left < room ? left : room;
        walk->pieces[walk->n_pieces++] =
            (struct tfr_run){.b = run->b,
                             .n = n,
                             .past = run->past + (run->query_only ? 0 : walk->done),
                             .first = run->first + walk->done,
                             .query_only = run->query_only};
        for (int64_t r = 0; r < n; r++) {
            walk->row_of[walk->n_rows++] = (int32_t)(run->first + walk->done + r);
        }
        walk->done += n;
        if (walk->done == run->n) {
            walk->run++;
            walk->done = 0;
        }
    }
    return walk->n_rows > 0;
}

static struct tfr_row row_at(const struct walk *walk, int64_t r) {
    return walk->plan->rows[walk->row_of[r]];
}

static void gather_inputs(struct walk *walk) {
    const struct tfr_forward_request *request = walk->request;
    const int64_t C = request->model->n_embd;
    for (int64_t r = 0; r < walk->n_rows; r++) {
        const struct tfr_row row = row_at(walk, r);
        const int64_t at = row.b * request->S + row.t;
        walk->positions[r] = request->positions[at];
        if (request->ids != NULL) {
            walk->ids[r] = request->ids[at];
        }
        if (request->token_types != NULL) {
            walk->token_types[r] = request->token_types[at];
        }
        if (request->embeds != NULL) {
            memcpy((float *)walk->embeds.data + r * C, request->embeds + at * C, (size_t)C * sizeof(float));
        }
    }
    walk->inputs = (struct tfr_step_inputs){.ids = walk->ids,
                                            .positions = walk->positions,
                                            .token_types = walk->token_types,
                                            .embeds = walk->embeds.data};
}

/* Floats of the masks of one piece. */
static int64_t self_mask_floats(const struct tfr_forward_request *request, const struct tfr_run *piece) {
    return request->mask != NULL ? request->mask_heads * piece->n * piece_keys(piece) : 0;
}

static int64_t cross_mask_floats(const struct walk *walk, const struct tfr_run *piece) {
    return walk->request->cross_mask != NULL ? piece->n * walk->plan->n_cross[piece->b] : 0;
}

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

static void copy_masks(const struct walk *walk, const struct tfr_run *piece, float *self, float *cross) {
    const struct tfr_forward_request *request = walk->request;
    const int64_t T = request->T, n_keys = piece_keys(piece), n_cross = walk->plan->n_cross[piece->b];
    const int64_t from_b = request->mask_batch > 1 ? piece->b : 0;
    for (int64_t r = 0; r < piece->n; r++) {
        const int64_t t = walk->plan->rows[piece->first + r].t;
        for (int64_t h = 0; h < request->mask_heads && request->mask != NULL; h++) {
            const float *row = request->mask + ((from_b * request->mask_heads + h) * request->S + t) * T;
            memcpy(self + (h * piece->n + r) * n_keys, row, (size_t)n_keys * sizeof(float));
        }
        for (int64_t s = 0; s < n_cross && request->cross_mask != NULL; s++) {
            const float *row = request->cross_mask + (piece->b * request->S + t) * request->E;
            cross[r * n_cross + s] = row[walk->plan->cross_of[piece->b * request->E + s]];
        }
    }
}

static void fill_entries(const struct walk *walk, struct tfr_payload *payload) {
    const struct tfr_forward_request *request = walk->request;
    const struct tfr_payload_parts parts = tfr_payload_parts(payload);
    int64_t at = 0;
    if (request->head_mask != NULL) {
        at = request->model->n_layer * request->model->n_head;
        memcpy(parts.floats, request->head_mask, (size_t)at * sizeof(float));
    }
    for (int64_t i = 0; i < walk->n_pieces; i++) {
        const struct tfr_run *piece = &walk->pieces[i];
        const int64_t n_self = self_mask_floats(request, piece);
        parts.entries[i] = (struct tfr_payload_entry){.slot = walk->slot[piece->b - walk->b0],
                                                      .query_only = piece->query_only,
                                                      .rows = piece->n,
                                                      .past = piece->past,
                                                      .mask_at = at,
                                                      .mask_heads = request->mask_heads,
                                                      .cross_mask_at = at + n_self};
        copy_masks(walk, piece, parts.floats + at, parts.floats + at + n_self);
        at += n_self + cross_mask_floats(walk, piece);
    }
    for (int64_t r = 0, n = 0; r < walk->n_rows && n < payload->n_logits; r++) {
        if (wants_logits(request, row_at(walk, r))) {
            parts.logit_rows[n++] = (int32_t)r;
        }
    }
}

static struct tfr_gpt2_features features_of(const struct tfr_forward_request *request,
                                            const struct tfr_result *result) {
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

static struct tfr_payload *make_step(const struct walk *walk, const struct tfr_result *result) {
    const struct tfr_forward_request *request = walk->request;
    struct tfr_payload shape = {.kind = TFR_PAYLOAD_STEP,
                                .features = features_of(request, result),
                                .n_entries = walk->n_pieces,
                                .n_rows = walk->n_rows};
    if (request->head_mask != NULL) {
        shape.n_floats = request->model->n_layer * request->model->n_head;
    }
    for (int64_t i = 0; i < walk->n_pieces; i++) {
        shape.n_floats +=
            self_mask_floats(request, &walk->pieces[i]) + cross_mask_floats(walk, &walk->pieces[i]);
    }
    for (int64_t r = 0; r < walk->n_rows; r++) {
        shape.n_logits += wants_logits(request, row_at(walk, r));
    }
    struct tfr_payload *payload = tfr_payload_make(&shape);
    if (payload != NULL) {
        fill_entries(walk, payload);
    }
    return payload;
}

static void scatter_logits(const struct walk *walk, struct tfr_payload *payload,
                           const struct tfr_result *result) {
    const struct tfr_forward_request *request = walk->request;
    const struct tfr_payload_parts parts = tfr_payload_parts(payload);
    const float *logits = request->engine->logits.data;
    for (int64_t i = 0; i < payload->n_logits; i++) {
        const struct tfr_row row = row_at(walk, parts.logit_rows[i]);
        for (int64_t j = kept_at(request, row, 0); j < request->n_keep; j = kept_at(request, row, j + 1)) {
            memcpy(result->logits + (row.b * request->n_keep + j) * result->width, logits + i * result->width,
                   (size_t)result->width * sizeof(float));
        }
    }
}

static void scatter_hidden(const struct walk *walk, const struct tfr_step_outputs *outputs,
                           const struct tfr_result *result) {
    const struct tfr_forward_request *request = walk->request;
    const int64_t C = request->model->n_embd, L = request->model->n_layer;
    for (int64_t i = 0; i <= L; i++) {
        float *to = result->hidden != NULL ? result->hidden[i] : i == L ? result->last_hidden : NULL;
        for (int64_t r = 0; r < walk->n_rows && to != NULL; r++) {
            const struct tfr_row row = row_at(walk, r);
            memcpy(to + (row.b * request->S + row.t) * C, outputs->hidden[i] + r * C,
                   (size_t)C * sizeof(float));
        }
    }
}

/* Weights of one piece, dense [H][n][n_keys], to their places among all keys. */
static void scatter_weights(const struct walk *walk, const struct tfr_run *piece, const float *from,
                            int64_t n_keys, const int32_t *key_of, int64_t width, float *to) {
    const int64_t H = walk->request->model->n_head, S = walk->request->S;
    for (int64_t h = 0; h < H; h++) {
        for (int64_t r = 0; r < piece->n; r++) {
            float *row = to + ((piece->b * H + h) * S + walk->plan->rows[piece->first + r].t) * width;
            for (int64_t s = 0; s < n_keys; s++) {
                row[key_of[s]] = from[(h * piece->n + r) * n_keys + s];
            }
        }
    }
}

static void scatter_all_weights(const struct walk *walk, const struct tfr_step_outputs *outputs,
                                const struct tfr_result *result) {
    const struct tfr_forward_request *request = walk->request;
    const int64_t H = request->model->n_head;
    for (int64_t layer = 0; layer < request->model->n_layer && result->weights != NULL; layer++) {
        const float *self = outputs->weights[layer], *cross = outputs->cross_weights[layer];
        for (int64_t i = 0; i < walk->n_pieces; i++) {
            const struct tfr_run *piece = &walk->pieces[i];
            const int64_t n_keys = piece_keys(piece), n_cross = walk->plan->n_cross[piece->b];
            scatter_weights(walk, piece, self, n_keys, walk->plan->key_of + piece->b * request->T, request->T,
                            result->weights[layer]);
            self += H * piece->n * n_keys;
            if (result->cross != NULL) {
                scatter_weights(walk, piece, cross, n_cross, walk->plan->cross_of + piece->b * request->E,
                                request->E, result->cross[layer]);
                cross += H * piece->n * n_cross;
            }
        }
    }
}

static enum tfr_status run_one(struct walk *walk, const struct tfr_result *result) {
    struct tfr_payload *payload = make_step(walk, result);
    if (payload == NULL) {
        return TFR_RESOURCE;
    }
    gather_inputs(walk);
    struct tfr_step_outputs outputs = {0};
    enum tfr_status status = tfr_payload_run(walk->request->engine, payload, &walk->inputs, &outputs);
    if (status == TFR_OK) {
        scatter_logits(walk, payload, result);
        scatter_hidden(walk, &outputs, result);
        scatter_all_weights(walk, &outputs, result);
    }
    tfr_step_outputs_close(&outputs);
    tfr_free(payload);
    return status;
}

static enum tfr_status open_walk(struct walk *walk) {
    const size_t rows = (size_t)walk->request->engine->max_rows;
    walk->pieces = tfr_alloc(rows, sizeof *walk->pieces);
    walk->row_of = tfr_alloc(rows, sizeof(int32_t));
    walk->ids = tfr_alloc(rows, sizeof(int32_t));
    walk->positions = tfr_alloc(rows, sizeof(int32_t));
    walk->token_types = tfr_alloc(rows, sizeof(int32_t));
    if (walk->pieces == NULL || walk->row_of == NULL || walk->ids == NULL || walk->positions == NULL ||
        walk->token_types == NULL) {
        return TFR_RESOURCE;
    }
    return tfr_block_open(&walk->embeds, rows * (size_t)walk->request->model->n_embd * sizeof(float),
                          TFR_HUGEPAGES_OFF);
}

enum tfr_status tfr_rows_run(const struct tfr_forward_request *request, const struct tfr_row_plan *plan,
                             const int32_t *slot, int64_t b0, int64_t n, const struct tfr_result *result) {
    struct walk walk = {.request = request, .plan = plan, .slot = slot, .b0 = b0};
    while (walk.run < plan->n_runs && plan->runs[walk.run].b < b0) {
        walk.run++;
    }
    for (walk.end_run = walk.run; walk.end_run < plan->n_runs && plan->runs[walk.end_run].b < b0 + n;) {
        walk.end_run++;
    }
    enum tfr_status status = open_walk(&walk);
    while (status == TFR_OK && next_step(&walk)) {
        status = tfr_engine_cancelled() ? tfr_raise(TFR_CANCELLED, "stopped on request") : run_one(&walk, result);
    }
    if (walk.embeds.data != NULL) {
        tfr_block_close(&walk.embeds);
    }
    tfr_free(walk.pieces);
    tfr_free(walk.row_of);
    tfr_free(walk.ids);
    tfr_free(walk.positions);
    tfr_free(walk.token_types);
    return status;
}

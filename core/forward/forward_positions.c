/* forward_positions.c - position_ids of a request: given, counted or by default; and the sequences packed in
 * a row that they tell apart. */
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "forward/forward.h"

enum tfr_status tfr_forward_request_token_shape(const struct tfr_forward_request *request, const char *name,
                                                const struct tfr_tensor *tensor, bool *is_shared) {
    const int64_t B = request->B, S = request->S, choices = request->choices, line[] = {B * S};
    const int64_t flat[] = {B, S}, deep[] = {choices > 0 ? B / choices : 0, choices, S};
    const bool is_each = tfr_input_fits(tensor, 2, flat) || (choices > 0 && tfr_input_fits(tensor, 3, deep)) ||
                         (is_shared != NULL && tfr_input_fits(tensor, 1, line));
    if (is_shared != NULL) {
        *is_shared = !is_each;
    }
    if (is_each || (is_shared != NULL && tfr_input_fits(tensor, 1, &request->S))) {
        return TFR_OK;
    }
    const bool is_deep = choices > 0 && tensor->rank == 3;
    return tfr_input_shape(name, tensor, is_deep ? 3 : 2, is_deep ? deep : flat);
}

/* Visible tokens before each one, as generation counts; hidden ones get 1, as there. */
static void count_positions(const struct tfr_forward_request *request) {
    for (int64_t b = 0; b < request->B; b++) {
        int32_t seen = 0;
        for (int64_t j = 0; j < request->T; j++) {
            const bool is_visible = request->key_mask == NULL || request->key_mask[b * request->T + j];
            seen += is_visible;
            if (j >= request->P) {
                request->positions[b * request->S + j - request->P] = is_visible ? seen - 1 : 1;
            }
        }
    }
}

static enum tfr_status make_positions(struct tfr_forward_request *request) {
    const int64_t limit = request->model->n_positions;
    if (request->options.auto_positions && request->mask != NULL) {
        return tfr_raise(TFR_USAGE, "auto-positions count the visible tokens of an attention_mask [B, P+S]; this one has rank 4: "
                                    "give position_ids");
    }
    request->positions = tfr_alloc((size_t)(request->B * request->S), sizeof *request->positions);
    if (request->positions == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t i = 0; i < request->B * request->S; i++) {
        request->positions[i] = (int32_t)(request->P + i % request->S);
    }
    if (request->options.auto_positions) {
        count_positions(request);
    }
    for (int64_t i = 0; i < request->B * request->S; i++) {
        if (request->positions[i] >= limit) {
            return tfr_raise(TFR_USAGE,
                             "position %d at row %lld, column %lld is outside 0..%lld (n_positions - 1); "
                             "shorten the input",
                             request->positions[i], (long long)(i / request->S), (long long)(i % request->S),
                             (long long)(limit - 1));
        }
    }
    return TFR_OK;
}

static enum tfr_status read_positions(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "position_ids");
    if (tensor == NULL) {
        return make_positions(request);
    }
    if (request->options.auto_positions) {
        return tfr_raise(TFR_USAGE, "position_ids are given and automatic positions are asked for; choose one");
    }
    const int64_t limit = request->model->n_positions, to[] = {request->B, request->S};
    int64_t from[2] = {request->B, request->S};
    if (request->choices > 0 && tensor->rank == 3) {
        TFR_TRY(tfr_forward_request_token_shape(request, "position_ids", tensor, NULL));
    } else {
        TFR_TRY(tfr_input_broadcast("position_ids", tensor, 2, to, from));
    }
    TFR_TRY(tfr_input_indices("position_ids", tensor, from[1], limit, "n_positions", &request->positions));
    request->positions = tfr_input_repeat(request->positions, sizeof *request->positions, 2, from, to);
    return request->positions != NULL ? TFR_OK : TFR_RESOURCE;
}

/* Whether position t of row b is not the one after its neighbour's. */
static bool is_restart(const struct tfr_forward_request *request, int64_t b, int64_t t) {
    const int32_t *row = request->positions + b * request->S;
    return t > 0 && row[t] != row[t - 1] + 1;
}

/* A mask of rank 4 that lets a token see its own sequence alone, as transformers 5 makes it. */
static enum tfr_status make_packed_mask(struct tfr_forward_request *request) {
    const int64_t S = request->S;
    request->mask_batch = request->B;
    request->mask_heads = 1;
    request->mask = tfr_alloc((size_t)(request->B * S * S), sizeof(float));
    int32_t *sequence = tfr_alloc((size_t)S, sizeof *sequence);
    for (int64_t b = 0; b < request->B && request->mask != NULL && sequence != NULL; b++) {
        for (int64_t t = 0; t < S; t++) {
            sequence[t] = t > 0 ? sequence[t - 1] + is_restart(request, b, t) : 0;
        }
        for (int64_t at = 0; at < S * S; at++) {
            const bool is_own = sequence[at / S] == sequence[at % S];
            request->mask[b * S * S + at] = is_own ? 0.0f : TFR_HIDDEN; /* -infinity hides as well */
        }
    }
    const bool is_made = request->mask != NULL && sequence != NULL;
    tfr_free(sequence);
    return is_made ? TFR_OK : TFR_RESOURCE;
}

/* One position for all tokens of a row begins a sequence with every token: torch has no such packing. */
static bool is_column(const struct tfr_forward_request *request, const struct tfr_tensor *tensor) {
    return request->S > 1 && (tensor->rank == 0 || tensor->dim[tensor->rank - 1] == 1);
}

static enum tfr_status pack(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "position_ids");
    const int64_t dim[] = {request->B, request->S};
    return is_column(request, tensor) ? tfr_input_shape("position_ids", tensor, 2, dim) : make_packed_mask(request);
}

static enum tfr_status check_packed(const struct tfr_forward_request *request) {
    if (tfr_input_find(request, "position_ids") == NULL) {
        return tfr_raise(TFR_USAGE, "packed sequences are told apart by position_ids, which are not given");
    }
    if (request->has_past || tfr_input_find(request, "attention_mask") != NULL) {
        return tfr_raise(TFR_USAGE, "packed sequences take no %s: position_ids alone tell them apart",
                         request->has_past ? "past_key_values" : "attention_mask");
    }
    return TFR_OK;
}

/* The first place where positions do not go on by one, as an index into all of them; -1: there is none. */
static int64_t first_restart(const struct tfr_forward_request *request) {
    for (int64_t at = 0; at < request->B * request->S; at++) {
        if (is_restart(request, at / request->S, at % request->S)) {
            return at;
        }
    }
    return -1;
}

/* transformers takes such a row for several sequences where it keeps no cache and is given none. */
static enum tfr_status settle_restarts(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "position_ids");
    const bool is_alone = tensor != NULL && tfr_input_find(request, "attention_mask") == NULL && !request->has_past;
    const int64_t at = is_alone ? first_restart(request) : -1;
    if (at < 0 || request->options.packed == TFR_SWITCH_OFF) {
        return TFR_OK;
    }
    const bool is_packed = !request->options.use_cache && !request->has_cross_past && request->model->is_causal;
    tfr_log(is_packed ? TFR_LOG_INFO : TFR_LOG_WARN, "forward",
            "position_ids of row %lld do not go on by one at column %lld and there is no attention_mask: %s",
            (long long)(at / request->S), (long long)(at % request->S),
            is_packed                    ? "another sequence begins there, as nothing is cached; --no-packed makes one of all"
            : is_column(request, tensor) ? "all its tokens see each other, and have one position; give one for each"
                                         : "all its tokens see each other; --packed makes sequences of them");
    return is_packed ? pack(request) : TFR_OK;
}

enum tfr_status tfr_forward_request_positions(struct tfr_forward_request *request) {
    TFR_TRY(read_positions(request));
    if (request->options.packed == TFR_SWITCH_ON) {
        TFR_TRY(check_packed(request));
        return pack(request);
    }
    return settle_restarts(request);
}

/* forward_masks.c - the masks of a request: of tokens, of single queries and keys, of heads and of the
 * encoder's positions. What torch repeats over rows, heads or queries may be given once. */
#include <math.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "base/tensor.h"
#include "forward/forward.h"

static bool is_flag(const struct tfr_tensor *tensor) {
    return tfr_input_is_integer(tensor->dtype) || tensor->dtype == TFR_DTYPE_BOOL || tensor->dtype == TFR_DTYPE_U8;
}

/* Minus infinity hides a key; nothing can be added to NaN or infinity. */
static enum tfr_status check_additive(const char *name, const float *values, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!(values[i] < INFINITY)) {
            return tfr_raise(TFR_USAGE, "%s: element %lld is %g; give finite numbers, or -inf for a hidden key", name, (long long)i,
                             (double)values[i]);
        }
    }
    return TFR_OK;
}

/* What is added to the scores: the numbers themselves, or of flags nothing where they are 1. */
static enum tfr_status read_additive(const char *name, const struct tfr_tensor *tensor, bool has_flags, float **values) {
    const int64_t n = tfr_tensor_count(tensor);
    if (!has_flags) {
        TFR_TRY(tfr_input_floats(name, tensor, values));
        return check_additive(name, *values, n);
    }
    uint8_t *flags = NULL;
    TFR_TRY(tfr_input_mask(name, tensor, &flags));
    *values = tfr_alloc((size_t)(n > 0 ? n : 1), sizeof **values);
    for (int64_t i = 0; i < n && *values != NULL; i++) {
        (*values)[i] = flags[i] ? 0.0f : TFR_HIDDEN;
    }
    tfr_free(flags);
    return *values != NULL ? TFR_OK : TFR_RESOURCE;
}

static enum tfr_status read_mask4(struct tfr_forward_request *request, const struct tfr_tensor *tensor) {
    const int64_t *dim = tensor->dim, S = request->S, T = request->T;
    const int64_t wants[] = {-1, -1, dim[2] == 1 ? 1 : S, dim[3] == 1 ? 1 : T}, to[] = {dim[0], dim[1], S, T};
    TFR_TRY(tfr_input_shape("attention_mask", tensor, 4, wants));
    request->mask_batch = dim[0];
    request->mask_heads = dim[1];
    if ((dim[0] != 1 && dim[0] != request->B) || (dim[1] != 1 && dim[1] != request->model->n_head)) {
        return tfr_raise(TFR_USAGE, "attention_mask is for %lld rows and %lld heads; needs 1 or %lld rows, 1 or %lld heads",
                         (long long)dim[0], (long long)dim[1], (long long)request->B, (long long)request->model->n_head);
    }
    TFR_TRY(read_additive("attention_mask", tensor, is_flag(tensor), &request->mask));
    request->mask = tfr_input_repeat(request->mask, sizeof *request->mask, 4, dim, to);
    return request->mask != NULL ? TFR_OK : TFR_RESOURCE;
}

static void warn_padding(const struct tfr_forward_request *request) {
    const int32_t pad = request->model->pad_token_id;
    for (int64_t b = 0; b < request->B && request->ids != NULL && pad >= 0; b++) {
        if (request->ids[b * request->S] == pad || request->ids[(b + 1) * request->S - 1] == pad) {
            tfr_log(TFR_LOG_WARN, "forward",
                    "row %lld begins or ends with pad_token_id %d and there is no attention_mask: the padding "
                    "is attended to",
                    (long long)b, pad);
            return;
        }
    }
}

bool tfr_forward_request_mask_fits(const struct tfr_forward_request *request, const struct tfr_tensor *tensor, int64_t width) {
    const int64_t B = request->B, choices = request->choices;
    const int64_t flat[] = {B, width}, line[] = {B * width}, deep[] = {choices > 0 ? B / choices : 0, choices, width};
    return tfr_input_fits(tensor, 2, flat) || tfr_input_fits(tensor, 1, line) || (choices > 0 && tfr_input_fits(tensor, 3, deep));
}

enum tfr_status tfr_forward_request_mask(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "attention_mask");
    const int64_t dim[] = {request->B, request->T};
    if (tensor == NULL) {
        warn_padding(request);
        return TFR_OK;
    }
    if (tensor->rank == 4) {
        return read_mask4(request, tensor);
    }
    if (request->has_prefix) {
        return tfr_forward_request_prefix_mask(request, tensor);
    }
    if (tensor->rank == 2 && request->P > 0 && tensor->dim[1] == request->S) {
        return tfr_raise(TFR_USAGE,
                         "attention_mask covers %lld tokens, but %lld are cached and %lld are new; it must cover all %lld",
                         (long long)request->S, (long long)request->P, (long long)request->S, (long long)request->T);
    }
    return tfr_forward_request_mask_fits(request, tensor, request->T) ? tfr_input_mask("attention_mask", tensor, &request->key_mask)
                                                                      : tfr_input_shape("attention_mask", tensor, 2, dim);
}

enum tfr_status tfr_forward_request_head_mask(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "head_mask");
    const int64_t L = request->model->n_layer, H = request->model->n_head, dim[] = {L, H};
    if (tensor == NULL) {
        return TFR_OK;
    }
    const int rank = tensor->rank == 1 ? 1 : 2;
    const int64_t width = rank <= tensor->rank && tensor->dim[rank - 1] == 1 ? 1 : H;
    const int64_t wants[] = {L, width}, from[] = {rank == 1 ? 1 : L, width};
    TFR_TRY(tfr_input_shape("head_mask", tensor, rank, rank == 1 ? wants + 1 : wants));
    uint8_t *flags = NULL;
    if (is_flag(tensor)) {
        TFR_TRY(tfr_input_mask("head_mask", tensor, &flags));
        request->head_mask = tfr_alloc((size_t)(L * H), sizeof(float));
        for (int64_t i = 0; i < tfr_tensor_count(tensor) && request->head_mask != NULL; i++) {
            request->head_mask[i] = flags[i];
        }
        tfr_free(flags);
    } else {
        TFR_TRY(tfr_input_floats("head_mask", tensor, &request->head_mask));
    }
    if (request->head_mask != NULL) {
        request->head_mask = tfr_input_repeat(request->head_mask, sizeof(float), 2, from, dim);
    }
    return request->head_mask != NULL ? TFR_OK : TFR_RESOURCE;
}

/* [B,E] hides positions for all queries, [B,S,E] for each on its own; of rank 4 it is added to the scores. */
enum tfr_status tfr_forward_request_encoder_mask(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "encoder_attention_mask");
    const int64_t B = request->B, S = request->S, E = request->E, flat[] = {B, E}, deep[] = {B, S, E}, wide[] = {B, 1, S, E};
    int64_t from[4];
    if (tensor == NULL) {
        return TFR_OK;
    }
    if (!request->has_cross) {
        return tfr_raise(TFR_USAGE, "encoder_attention_mask is given without encoder_hidden_states");
    }
    if (tensor->rank == 2) {
        const int64_t wants[] = {tensor->dim[0] == 1 ? 1 : B, E};
        TFR_TRY(tfr_input_shape("encoder_attention_mask", tensor, 2, wants));
        TFR_TRY(tfr_input_mask("encoder_attention_mask", tensor, &request->encoder_mask));
        request->encoder_mask = tfr_input_repeat(request->encoder_mask, 1, 2, wants, flat);
        return request->encoder_mask != NULL ? TFR_OK : TFR_RESOURCE;
    }
    const bool is_wide = tensor->rank == 4;
    const int rank = is_wide ? 4 : 3;
    const int64_t *to = is_wide ? wide : deep;
    if (tensor->rank != rank) {
        return tfr_input_shape("encoder_attention_mask", tensor, rank, to);
    }
    TFR_TRY(tfr_input_broadcast("encoder_attention_mask", tensor, rank, to, from));
    TFR_TRY(read_additive("encoder_attention_mask", tensor, !is_wide || is_flag(tensor), &request->cross_mask));
    request->cross_mask = tfr_input_repeat(request->cross_mask, sizeof *request->cross_mask, rank, from, to);
    return request->cross_mask != NULL ? TFR_OK : TFR_RESOURCE;
}

/* forward_prefix.c - a forward pass behind model.prefix, as PEFT runs one: the prefix is the cache of every
 * row, tokens stand at positions P and on, and a mask of the tokens alone leaves the prefix visible. */
#include "base/arena.h"
#include "base/status.h"
#include "forward/forward.h"

/* PEFT passes over the last two with a warning; a result that ignores an input is none here. */
enum tfr_status tfr_forward_request_check_prefix(struct tfr_forward_request *request) {
    static const struct {
        const char *name, *why;
    } refused[] = {
        {"past_key_values.0.key", "the prefix is the cache; take model.prefix away to give another one that begins with it"},
        {"position_ids", "tokens stand behind it at positions P, P + 1, ... as in PEFT; leave them out"},
        {"token_type_ids", "PEFT leaves them out beside a prefix; do so too"},
    };
    request->has_prefix = request->engine->n_prefix > 0;
    for (size_t i = 0; i < TFR_COUNT_OF(refused) && request->has_prefix; i++) {
        if (tfr_input_find(request, refused[i].name) != NULL) {
            return tfr_raise(TFR_USAGE, "%s is given and model.prefix is loaded: %s", refused[i].name, refused[i].why);
        }
    }
    return TFR_OK;
}

/* The positions of the prefix lie in one piece before the tokens: none can be hidden. */
static enum tfr_status check_visible(const struct tfr_forward_request *request) {
    for (int64_t i = 0; i < request->B * request->T; i++) {
        if (i % request->T < request->P && !request->key_mask[i]) {
            return tfr_raise(TFR_USAGE,
                             "attention_mask hides position %lld of row %lld, which is in the prefix; only "
                             "tokens can be hidden",
                             (long long)(i % request->T), (long long)(i / request->T));
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_forward_request_prefix_mask(struct tfr_forward_request *request, const struct tfr_tensor *tensor) {
    const int64_t B = request->B, S = request->S, T = request->T;
    uint8_t *of_tokens = NULL;
    if (tfr_forward_request_mask_fits(request, tensor, T)) {
        TFR_TRY(tfr_input_mask("attention_mask", tensor, &request->key_mask));
        return check_visible(request);
    }
    if (!tfr_forward_request_mask_fits(request, tensor, S)) {
        const int64_t dim[] = {B, tensor->rank > 0 && tensor->dim[tensor->rank - 1] == T ? T : S};
        return tfr_input_shape("attention_mask", tensor, 2, dim);
    }
    TFR_TRY(tfr_input_mask("attention_mask", tensor, &of_tokens));
    request->key_mask = tfr_alloc((size_t)(B * T), sizeof *request->key_mask);
    for (int64_t i = 0; i < B * T && request->key_mask != NULL; i++) {
        const int64_t t = i % T - request->P;
        request->key_mask[i] = t < 0 || of_tokens[i / T * S + t];
    }
    tfr_free(of_tokens);
    return request->key_mask != NULL ? TFR_OK : TFR_RESOURCE;
}

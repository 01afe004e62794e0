/* forward_reply.c - the named results of a forward pass. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "forward/forward.h"

enum tfr_status tfr_reply_add(struct tfr_forward_reply *reply, const char *name, int rank, const int64_t *dim, float **data) {
    if (reply->n == reply->capacity) {
        const size_t capacity = reply->capacity > 0 ? 2 * reply->capacity : 16;
        struct tfr_named_tensor *moved = tfr_realloc(reply->tensors, capacity, sizeof *moved);
        if (moved == NULL) {
            return TFR_RESOURCE;
        }
        reply->tensors = moved;
        reply->capacity = capacity;
    }
    struct tfr_tensor tensor = tfr_tensor_make(NULL, TFR_DTYPE_F32, rank, dim);
    const int64_t count = tfr_tensor_count(&tensor);
    tensor.data = tfr_alloc((size_t)(count > 0 ? count : 1), sizeof(float));
    char *copy = tfr_strdup(name);
    if (tensor.data == NULL || copy == NULL) {
        tfr_free(tensor.data);
        tfr_free(copy);
        return TFR_RESOURCE;
    }
    reply->tensors[reply->n++] = (struct tfr_named_tensor){.name = copy, .tensor = tensor};
    *data = tensor.data;
    return TFR_OK;
}

void tfr_reply_narrow(struct tfr_forward_reply *reply, enum tfr_dtype dtype) {
    for (size_t i = 0; i < reply->n && dtype != TFR_DTYPE_F32; i++) {
        struct tfr_tensor *tensor = &reply->tensors[i].tensor;
        const int64_t n = tfr_tensor_count(tensor);
        for (int64_t at = 0; at < n; at++) { /* in place: a narrow element never reaches a wide one to come */
            float wide;
            uint16_t narrow;
            memcpy(&wide, (const uint8_t *)tensor->data + at * (int64_t)sizeof wide, sizeof wide);
            tfr_from_f32(&narrow, &wide, dtype, 1);
            memcpy((uint8_t *)tensor->data + at * (int64_t)sizeof narrow, &narrow, sizeof narrow);
        }
        tensor->dtype = dtype;
    }
}

size_t tfr_forward_reply_count(const struct tfr_forward_reply *reply) {
    return reply->n;
}

const struct tfr_named_tensor *tfr_forward_reply_at(const struct tfr_forward_reply *reply, size_t index) {
    return index < reply->n ? &reply->tensors[index] : NULL;
}

void tfr_forward_reply_close(struct tfr_forward_reply *reply) {
    if (reply == NULL) {
        return;
    }
    for (size_t i = 0; i < reply->n; i++) {
        tfr_free((void *)(uintptr_t)reply->tensors[i].name);
        tfr_free(reply->tensors[i].tensor.data);
    }
    tfr_free(reply->tensors);
    tfr_free(reply);
}

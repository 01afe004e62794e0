/* forward_file.c - a forward pass from a safetensors file to a safetensors file. */
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "forward/forward.h"
#include "model/weights.h"

static enum tfr_status fill_from_reply(void *user, size_t tensor, int64_t first, int64_t n, void *buffer) {
    const struct tfr_forward_reply *reply = user;
    const struct tfr_tensor *from = &reply->tensors[tensor].tensor;
    const size_t width = tfr_dtype_size(from->dtype);
    memcpy(buffer, (const uint8_t *)from->data + (size_t)first * width, (size_t)n * width);
    return TFR_OK;
}

/* What has come to `path` while the model ran is not written over either. */
static enum tfr_status write_reply(const char *path, bool force, struct tfr_forward_reply *reply) {
    TFR_TRY(tfr_result_write(path, NULL, 0, force));
    struct tfr_weight_spec *specs = tfr_alloc(reply->n, sizeof *specs);
    if (specs == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < reply->n; i++) {
        const struct tfr_tensor *tensor = &reply->tensors[i].tensor;
        specs[i] = (struct tfr_weight_spec){.name = reply->tensors[i].name, .dtype = tensor->dtype, .rank = tensor->rank};
        memcpy(specs[i].dim, tensor->dim, sizeof specs[i].dim);
    }
    enum tfr_status status = tfr_weights_write(path, specs, reply->n, fill_from_reply, reply);
    tfr_free(specs);
    return status;
}

static enum tfr_status forward_weights(struct tfr_engine *engine, const struct tfr_weights *weights, const char *out_path,
                                       const struct tfr_forward_options *options) {
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(weights, &n);
    struct tfr_named_tensor *inputs = tfr_alloc(n + 1, sizeof *inputs);
    if (inputs == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < n; i++) {
        inputs[i] = (struct tfr_named_tensor){.name = all[i].name, .tensor = all[i].tensor};
    }
    struct tfr_forward_reply *reply = NULL;
    enum tfr_status status = tfr_forward(engine, inputs, n, options, &reply);
    if (status == TFR_OK) {
        status = write_reply(out_path, engine->config->options.output_force, reply);
    }
    tfr_forward_reply_close(reply);
    tfr_free(inputs);
    return status;
}

static bool is_same_file(const char *a, const char *b) {
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

enum tfr_status tfr_forward_file(struct tfr_engine *engine, const char *in_path, const char *out_path,
                                 const struct tfr_forward_options *options) {
    struct tfr_weights *weights = NULL;
    if (is_same_file(in_path, out_path)) {
        return tfr_raise(TFR_USAGE, "%s is both the request and where the reply goes; give another file for the reply", in_path);
    }
    TFR_TRY(tfr_result_write(out_path, NULL, 0, engine->config->options.output_force));
    TFR_TRY(tfr_weights_open(&weights, in_path));
    enum tfr_status status = forward_weights(engine, weights, out_path, options);
    tfr_weights_close(weights);
    return status;
}

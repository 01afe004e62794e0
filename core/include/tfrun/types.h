/* types.h - the words that every part of tfrun shares: status, dtype, tensor view, shape letters.
 *
 * Shape letters, used in every comment of the project:
 *   B  sequences in the step            T  token rows in the step (all sequences together)
 *   S  keys a query can see, cache included    R  rows whose logits are asked for
 *   C  n_embd    H  n_head    D  head_dim, C = H * D    F  inner width of the MLP    V  vocab_size
 *   L  n_layer   P  cached positions of a sequence
 *
 * Thread rule: plain data, no functions with state. C17, no dependency but the C library.
 */
#ifndef TFRUN_TYPES_H
#define TFRUN_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TFR_VERSION_MAJOR 0
#define TFR_VERSION_MINOR 1
#define TFR_VERSION_PATCH 0
#define TFR_VERSION_TEXT  "0.1.0"

#if defined(__GNUC__)
#define TFR_API                __attribute__((visibility("default")))
#define TFR_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define TFR_API
#define TFR_PRINTF(fmt, first)
#endif

/* Every failure has one of these kinds; each kind has one process exit code.
 * X(name, exit code, text) */
#define TFR_STATUS_LIST(X)                                                                                                         \
    X(OK, 0, "ok")                                                                                                                 \
    X(RUNTIME, 1, "failure at run time")                                                                                           \
    X(USAGE, 2, "bad usage")                                                                                                       \
    X(CONFIG, 3, "bad config")                                                                                                     \
    X(MODEL, 4, "bad or unsupported model, tokenizer or data")                                                                     \
    X(RESOURCE, 5, "missing resource: memory, file, library, launcher")                                                            \
    X(CHECK, 6, "a check failed")                                                                                                  \
    X(UNSUPPORTED, 4, "not supported")                                                                                             \
    X(CANCELLED, 130, "cancelled")                                                                                                 \
    X(BUSY, 5, "too much to do already")

enum tfr_status {
#define TFR_STATUS_ENUM(name, code, text) TFR_##name,
    TFR_STATUS_LIST(TFR_STATUS_ENUM)
#undef TFR_STATUS_ENUM
        TFR_STATUS_COUNT
};

/* Element types. Append only: the numbers are part of the plugin ABI. A coarse type has whole numbers of few bits, and one scale
 * for each group of elements along K (inputs of a linear); group 0: no scale, -1: all of K (one scale per output channel).
 * What the numbers stand for is defined in tfrun/quant.h.
 * X(name, bits per element, elements per scale, type of the scale, type of the zero point beside it, name in a safetensors file
 * ("" none), name in a config) */
#define TFR_DTYPE_LIST(X)                                                                                                          \
    X(F32, 32, 0, NONE, NONE, "F32", "f32")                                                                                        \
    X(BF16, 16, 0, NONE, NONE, "BF16", "bf16")                                                                                     \
    X(F16, 16, 0, NONE, NONE, "F16", "f16")                                                                                        \
    X(F64, 64, 0, NONE, NONE, "F64", "f64")                                                                                        \
    X(I64, 64, 0, NONE, NONE, "I64", "i64")                                                                                        \
    X(I32, 32, 0, NONE, NONE, "I32", "i32")                                                                                        \
    X(I16, 16, 0, NONE, NONE, "I16", "i16")                                                                                        \
    X(I8, 8, 0, NONE, NONE, "I8", "i8")                                                                                            \
    X(U8, 8, 0, NONE, NONE, "U8", "u8")                                                                                            \
    X(BOOL, 8, 0, NONE, NONE, "BOOL", "bool")                                                                                      \
    X(I8_CHANNEL, 8, -1, F32, NONE, "", "i8_channel") /* i8 * scale of the output channel */                                       \
    X(I4_GROUP, 4, 32, F16, NONE, "", "i4_group")     /* two neighbours along K in a byte, low half first */                       \
    X(I4_GROUP64, 4, 64, F16, NONE, "", "i4_group64")                                                                              \
    X(I4_ZERO, 4, 32, F16, U8, "", "i4_zero")                                                                                      \
    X(I4_ZERO64, 4, 64, F16, U8, "", "i4_zero64")

enum tfr_dtype {
    TFR_DTYPE_NONE = -1,
#define TFR_DTYPE_ENUM(name, bits, group, scale, zero, file_name, config_name) TFR_DTYPE_##name,
    TFR_DTYPE_LIST(TFR_DTYPE_ENUM)
#undef TFR_DTYPE_ENUM
        TFR_DTYPE_COUNT
};

#define TFR_MAX_RANK 4

/* A view of a tensor: never owns its data. dim[] is outermost first; stride[] is in elements. */
struct tfr_tensor {
    void *data;
    enum tfr_dtype dtype;
    int rank;
    int64_t dim[TFR_MAX_RANK];
    int64_t stride[TFR_MAX_RANK];
};

#ifdef __cplusplus
}
#endif
#endif

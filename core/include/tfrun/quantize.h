/* quantize.h - a part of tfrun.h: a model folder whose weights are coarse (tfrun/quant.h), made from any checkpoint.
 *
 * Thread rule: one thread; the result is read-only afterwards.
 */
#ifndef TFRUN_QUANTIZE_H
#define TFRUN_QUANTIZE_H

#ifndef TFRUN_TFRUN_H
#error "include <tfrun/tfrun.h>, which has this part"
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct tfr_quantize_request {
    const char *to;           /* "int8", "int8w", "int4", "mixed"; options below runtime.int4_ have the rest */
    tfr_progress_fn progress; /* may be NULL */
    void *user;
    double smooth; /* in (0, 1]: c_attn's and c_fc's inputs are made alike before rounding, in f32 without any effect; 0: not */
};

/* One parameter. Errors are 0 where it was written as it is. */
struct tfr_quantized_tensor {
    char name[96];
    const char *type_before, *type; /* "f32", "i8_channel" */
    double error;                   /* Frobenius norm of what rounding changed, relative to that of the (smoothed) tensor */
    double largest;                 /* largest change of an element */
    int64_t bytes_before, bytes;    /* a tied head is 0 bytes before */
};
struct tfr_quantized {
    char *directory;
    struct tfr_quantized_tensor *tensors; /* [n] */
    size_t n;
    int64_t bytes_before, bytes;
};

/* Writes output.file (a folder) from the config's checkpoint, a LoRA adapter merged: config.json, model.safetensors, the tokenizer
 * files and generation_config.json. All is written, or nothing. Free with tfr_quantized_free. */
TFR_API enum tfr_status tfr_quantize(const char *config, const struct tfr_override *overrides, size_t n_overrides,
                                     const struct tfr_quantize_request *request, struct tfr_quantized **quantized);
/* What tfr_quantize refuses before it looks at weights, for callers that have work to do before: the source, the type, the folder.
 */
TFR_API enum tfr_status tfr_quantize_check(const char *config, const struct tfr_override *overrides, size_t n_overrides,
                                           const struct tfr_quantize_request *request);
TFR_API void tfr_quantized_free(struct tfr_quantized *quantized);
/* Perplexities of the two models may be added; NULL: not measured. With the tokens of both (keep_tokens) the difference has its own
 * standard error. Free with tfr_string_free. */
TFR_API enum tfr_status tfr_report_quantized(const struct tfr_quantized *quantized, const struct tfr_evaluation *before,
                                             const struct tfr_evaluation *after, enum tfr_report_form form, char **text);

#ifdef __cplusplus
}
#endif
#endif

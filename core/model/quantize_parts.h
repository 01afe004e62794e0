/* quantize_parts.h - `tfrun quantize`: a checkpoint written again with coarse weights. For core/engine and the files of core/model.
 */
#ifndef TFR_MODEL_QUANTIZE_PARTS_H
#define TFR_MODEL_QUANTIZE_PARTS_H

#include <tfrun/tfrun.h>

#include "model/folder.h"
#include "model/model.h"

struct tfr_quantize_form {
    const char *to;                      /* quantization_config.weights */
    const char *runtime;                 /* runtime.dtype of the new config */
    enum tfr_dtype dtype;                /* of coarse weights, */
    const struct tfr_string_list *finer; /* but of these it is I8_CHANNEL; NULL: of none */
    double smooth;                       /* strength of the smoothing that comes first, 0: none */
};

/* One entry of `tensors` for each parameter, in the order of the file. Memory: the parts of one tensor. */
enum tfr_status tfr_quantize_weights(const struct tfr_model *model, const struct tfr_quantize_form *form, struct tfr_outfile *to,
                                     const struct tfr_quantize_request *request, struct tfr_quantized *quantized);
/* quantize_smooth.c: whether smoothing changes the parameter, and its values then, F32 in the parameter's shape. */
bool tfr_smooth_changes(enum tfr_param param);
enum tfr_status tfr_smooth_param(const struct tfr_model *model, enum tfr_param param, int64_t layer, double strength, float *to);
/* quantize_config.c: the config of the new folder: the source's, which says now how the weights were rounded, and no longer what
 * was said about the files. */
enum tfr_status tfr_quantize_config(const struct tfr_config *config, const struct tfr_quantize_form *form, struct tfr_outfile *to);

#endif

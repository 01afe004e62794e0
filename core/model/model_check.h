/* model_check.h - a checkpoint against the tensor table. For the files of core/model. */
#ifndef TFR_MODEL_MODEL_CHECK_H
#define TFR_MODEL_MODEL_CHECK_H

#include "model/model.h"

/* Names, prefixes, shapes, dtypes and the tied matrix of model->weights; everything wrong is raised at once.
 * `path` is the file for messages about what is missing. */
enum tfr_status tfr_model_check_tensors(const struct tfr_model *model, const char *path);
/* Refuses NaN and infinity; reads every byte of every parameter. */
enum tfr_status tfr_model_check_values(const struct tfr_model *model);

#endif

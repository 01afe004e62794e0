/* model_coarse.h - coarse tensors of a checkpoint. For the files of core/model, and the store of packed weights. */
#ifndef TFR_MODEL_MODEL_COARSE_H
#define TFR_MODEL_MODEL_COARSE_H

#include "model/model.h"

/* Of a checkpoint whose config says that it was quantised, just opened: whole numbers with their scales become coarse weights, and
 * the tensors of scales and zero points leave the table. What is wrong with them is raised, all at once. */
enum tfr_status tfr_model_fold_coarse(struct tfr_model *model);
/* Refuses whole numbers that no rounding gives; reads them all. */
enum tfr_status tfr_model_check_coarse(const struct tfr_weight *weight);

#endif

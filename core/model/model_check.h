/* model_check.h - a checkpoint against the tensor table. For the files of core/model. */
#ifndef TFR_MODEL_MODEL_CHECK_H
#define TFR_MODEL_MODEL_CHECK_H

#include "config/complaints.h"
#include "model/model.h"

/* Names, prefixes, shapes, dtypes and the tied matrix of model->weights; everything wrong is raised at once.
 * `path` is the file for messages about what is missing. */
enum tfr_status tfr_model_check_tensors(const struct tfr_model *model, const char *path);
/* Parts of it, for model_survey.c. Complains about one tensor of the file; raises what model_check_names.c finds. */
void tfr_model_check_tensor(struct tfr_complaints *complaints, const struct tfr_model *model, const struct tfr_weight *weight);
enum tfr_status tfr_model_check_prefix(const struct tfr_model *model);
enum tfr_status tfr_model_check_tied(const struct tfr_model *model);
/* Calls `missing` for every parameter that the checkpoint should have and has not. */
void tfr_model_each_missing(const struct tfr_model *model, void (*missing)(void *user, enum tfr_param param, int64_t layer),
                            void *user);
/* Whether no parameter asks for the tensor and model.ignore_tensors lets it pass. */
bool tfr_model_is_ignored(const struct tfr_model *model, const struct tfr_weight *weight);
/* model.c: opens model->weights, with model.tensor_prefix taken off. */
enum tfr_status tfr_model_open_checkpoint(struct tfr_model *model, const char *path);
/* model.c: tfr_lora_find, and a refusal where the weights are coarse. */
enum tfr_status tfr_model_find_lora(const struct tfr_config *config, char **directory);
/* Refuses NaN and infinity; reads every byte of every parameter. */
enum tfr_status tfr_model_check_values(const struct tfr_model *model);

/* weights_find.c: the file of weights that the config means; *path is to be freed. */
enum tfr_status tfr_model_find_weights(const struct tfr_config *config, char **path);
/* Whether there is one. */
bool tfr_model_has_weights(const struct tfr_config *config);
/* The same for any folder. */
enum tfr_status tfr_weights_find_in(const char *directory, char **path);
bool tfr_weights_are_in(const char *directory);
/* Calls `unread` for each file of weights in the folder that is not the one found: another goes first. `error` is 0, or the errno
 * of a system that can't say whether there is one. */
void tfr_model_each_unread(const struct tfr_config *config, void (*unread)(void *user, const char *name, int error), void *user);

#endif

/* lora.h - a LoRA adapter that PEFT wrote, merged into the weights when the model is opened.
 *
 * tfr_lora_open reads adapter_config.json and names, types and shapes of adapter_model.safetensors (or .bin);
 * tfr_lora_merge makes the tensors that differ from the checkpoint's, in memory of its own and in the
 * checkpoint's types. Weights that the adapter does not touch stay where they are. The rules are PEFT's: the
 * product in float32 (float64 for a float64 weight), times lora_alpha / r, added and rounded once. Thread
 * rule: as model.h.
 */
#ifndef TFR_MODEL_LORA_H
#define TFR_MODEL_LORA_H

#include "model/model.h"

struct tfr_lora;

enum tfr_status tfr_lora_open(struct tfr_lora **lora, const char *directory, const struct tfr_hparams *hparams);
void tfr_lora_close(struct tfr_lora *lora);
/* After model->lora is set and its checkpoint was checked. */
enum tfr_status tfr_lora_merge(struct tfr_lora *lora, const struct tfr_model *model);
/* The tensor that stands for a parameter instead of the checkpoint's; NULL: the checkpoint's, or no adapter.
 * Before the merge only parameters that the adapter replaces have one. */
const struct tfr_weight *tfr_lora_param(const struct tfr_lora *lora, enum tfr_param param, int64_t layer);
/* Calls `merged` for every such tensor. */
enum tfr_status tfr_lora_each(const struct tfr_lora *lora, enum tfr_status (*merged)(void *user, const struct tfr_weight *weight),
                              void *user);
size_t tfr_lora_count(const struct tfr_lora *lora);

/* The adapter that the config means: model.adapter, or the one that lies beside the weights; *directory is
 * NULL without one, else to be freed. */
enum tfr_status tfr_lora_find(const struct tfr_config *config, char **directory);

#endif

/* lora_config.h - what the adapter_config.json of a LoRA adapter says, checked. For the files of core/model.
 */
#ifndef TFR_MODEL_LORA_CONFIG_H
#define TFR_MODEL_LORA_CONFIG_H

#include "config/config.h"

struct tfr_json_doc;

struct tfr_lora_config {
    struct tfr_json_doc *doc; /* owned */
    int64_t rank;
    double alpha;
    bool is_rank_stable; /* use_rslora */
};

/* Reads and checks every key; the caller closes *config whatever comes. */
enum tfr_status tfr_lora_config_open(struct tfr_lora_config *config, const char *directory, const struct tfr_hparams *hparams);
void tfr_lora_config_close(struct tfr_lora_config *config);
/* Rank and scaling of a module ("transformer.h.0.attn.c_attn"). */
enum tfr_status tfr_lora_scaling(const struct tfr_lora_config *config, const char *module, int64_t *rank, double *scaling);
/* Whether PEFT would put an adapter on the module, `layer` being its block or -1; whether it would replace
 * it. */
enum tfr_status tfr_lora_targets(const struct tfr_lora_config *config, const char *module, int64_t layer, bool *is_target);
enum tfr_status tfr_lora_saves(const struct tfr_lora_config *config, const char *module, bool *is_saved);
/* base_model_name_or_path; NULL if there is none. */
const char *tfr_lora_base(const struct tfr_lora_config *config);

#endif

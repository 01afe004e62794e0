/* adapter_config.h - the files of a folder that PEFT wrote, and adapter_config.json of a prefix: every key
 * honoured, without effect, or refused. lora_config.h has that of a LoRA adapter. */
#ifndef TFR_MODEL_ADAPTER_CONFIG_H
#define TFR_MODEL_ADAPTER_CONFIG_H

#include "config/config.h"
#include "model/weights.h"

struct tfr_json_doc;

/* Checks it against the model; *n becomes num_virtual_tokens. */
enum tfr_status tfr_adapter_read_config(const char *directory, const struct tfr_hparams *hparams, int64_t *n);

/* For adapters of both kinds. Raises with the way to run it if peft_type is not `wanted`; if task_type is for
 * another class. */
enum tfr_status tfr_adapter_check_type(const struct tfr_json_doc *doc, const char *wanted);
enum tfr_status tfr_adapter_check_task(const struct tfr_json_doc *doc, const struct tfr_hparams *hparams);
/* adapter_files.c: adapter_config.json, and adapter_model.safetensors or .bin. */
enum tfr_status tfr_adapter_open_config(struct tfr_json_doc **doc, const char *directory);
enum tfr_status tfr_adapter_open_weights(struct tfr_weights **weights, const char *directory);

#endif

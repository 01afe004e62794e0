/* adapter_config.h - adapter_config.json of a folder that PEFT wrote: every key honoured, without effect, or
 * refused. */
#ifndef TFR_MODEL_ADAPTER_CONFIG_H
#define TFR_MODEL_ADAPTER_CONFIG_H

#include "config/config.h"

/* Checks it against the model; *n becomes num_virtual_tokens. */
enum tfr_status tfr_adapter_read_config(const char *directory, const struct tfr_hparams *hparams, int64_t *n);

#endif

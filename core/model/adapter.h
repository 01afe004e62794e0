/* adapter.h - the prefix of model.prefix as it lies on disk, checked against the model.
 *
 * Two forms: a folder that PEFT's save_pretrained wrote (adapter_config.json, adapter_model.safetensors or .bin with
 * prompt_embeddings [tokens, 2 L C] and, for classification, the head that was trained with it), or one
 * safetensors file with past_key_values.{i}.key and .value [1, H, tokens, C / H]. PEFT saves what its
 * projection gives, so that prefix_projection makes no difference here. Every other kind of adapter is
 * refused by name. Opening reads headers; thread rule: as weights.h.
 */
#ifndef TFR_MODEL_ADAPTER_H
#define TFR_MODEL_ADAPTER_H

#include "config/config.h"
#include "model/weights.h"

struct tfr_adapter;

enum tfr_status tfr_adapter_open(struct tfr_adapter **adapter, const char *path, const struct tfr_hparams *hparams);
void tfr_adapter_close(struct tfr_adapter *adapter);
int64_t tfr_adapter_positions(const struct tfr_adapter *adapter);
/* Keys [H][tokens][C / H] of a block, then its values; NaN and infinity are refused. */
enum tfr_status tfr_adapter_block(const struct tfr_adapter *adapter, int64_t layer, float *keys);
/* A tensor of the head by its name in the model ("score.weight"); NULL without an adapter or where it has
 * none. */
const struct tfr_weight *tfr_adapter_head(const struct tfr_adapter *adapter, const char *name);

#endif

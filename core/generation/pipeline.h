/* pipeline.h - the settings of the score pipeline from the options of a config. Thread rule: made on one
 * thread, read-only afterwards. */
#ifndef TFR_GENERATION_PIPELINE_H
#define TFR_GENERATION_PIPELINE_H

#include "config/config.h"
#include "generation/processors.h"

/* `eos` is the model's end token, -1 for none; sampling.eos_token_id beats it. Lists that are not what they
 * must be, and token ids outside the vocabulary: TFR_CONFIG with the key's name. */
enum tfr_status tfr_pipeline_open(struct tfr_pipeline *pipeline, const struct tfr_options *options, int32_t eos,
                                  int64_t vocab_size);
void tfr_pipeline_close(struct tfr_pipeline *pipeline);
bool tfr_pipeline_stops(const struct tfr_pipeline *pipeline, int32_t id); /* one of sampling.stop_token_ids */
bool tfr_pipeline_ends(const struct tfr_pipeline *pipeline, int32_t id);  /* an end token */

#endif

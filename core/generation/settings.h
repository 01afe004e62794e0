/* settings.h - the settings of the score pipeline from the options of a config. Thread rule: made on one thread, read-only
 * afterwards. */
#ifndef TFR_GENERATION_SETTINGS_H
#define TFR_GENERATION_SETTINGS_H

#include "config/config.h"
#include "generation/processors.h"

/* `eos` is the model's end token, -1 for none; sampling.eos_token_id beats it. Lists that are not what they must be, and token ids
 * outside the vocabulary: TFR_CONFIG with the key's name. */
enum tfr_status tfr_scoring_open(struct tfr_scoring *scoring, const struct tfr_options *options, int32_t eos, int64_t vocab_size);
void tfr_scoring_close(struct tfr_scoring *scoring);
bool tfr_scoring_ends(const struct tfr_scoring *scoring, int32_t id); /* an end token */

#endif

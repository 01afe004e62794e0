/* init_config.h - copies a config into a folder that holds its own weights and tokenizer. For the files of
 * core/model. */
#ifndef TFR_MODEL_INIT_CONFIG_H
#define TFR_MODEL_INIT_CONFIG_H

#include "base/mapfile.h"

/* Written into `to`, which the caller commits or abandons. */
enum tfr_status tfr_init_copy_config(const char *from, struct tfr_outfile *to);

#endif

/* weights_foreign.h - files of other programs that are given as weights. For the files of core/model. */
#ifndef TFR_MODEL_WEIGHTS_FOREIGN_H
#define TFR_MODEL_WEIGHTS_FOREIGN_H

#include <tfrun/types.h>

/* Refuses by its first bytes a file of a known other form, and one that is named as torch names its own but is none.
 * Asked about files that torch_file.h does not know. */
enum tfr_status tfr_weights_refuse_foreign(const char *path, const uint8_t *data, size_t size);

#endif

/* torch_parts.h - what the readers of the two layouts and the reader of state dicts share. For
 * core/model/torch_*.c. */
#ifndef TFR_MODEL_TORCH_PARTS_H
#define TFR_MODEL_TORCH_PARTS_H

#include "model/torch_file.h"

/* Finds the bytes of a storage by its key. Raises if there is none, or if it is not of `size` bytes. */
typedef enum tfr_status (*tfr_torch_find_fn)(void *user, const char *key, size_t size, const uint8_t **data);

/* The tensors of a state dict into *file, which the caller clears on failure; copies of all tensors together
 * are at most `copy_limit` bytes. */
enum tfr_status tfr_torch_state(struct tfr_torch_file *file, const char *name, const struct tfr_pickle *pickle, size_t copy_limit,
                                tfr_torch_find_fn find, void *user);

/* A name that can be shown and compared: UTF-8 without control characters. */
bool tfr_torch_is_plain(const char *text, size_t size);

enum tfr_status tfr_torch_zip(struct tfr_torch_file *file, const char *name, const uint8_t *data, size_t size);
enum tfr_status tfr_torch_stream(struct tfr_torch_file *file, const char *name, const uint8_t *data, size_t size);

#endif

/* weights.h - safetensors or files of torch.save (pytorch_model.bin), one or a sharded index, mapped read-only and checked
 * before use.
 *
 * Checked: header length and JSON, known dtypes, shapes without overflow, size = product of shape x width, ranges that start
 * at 0, touch exactly, do not overlap and end at the end of the file; no duplicate names across shards; shard names
 * without '/' or '..'. For files of torch.save see torch_file.h. Data may be unaligned: use tfr_to_f32 or memcpy, never a cast.
 * Thread rule: open and close on one thread, look-ups by any.
 */
#ifndef TFR_MODEL_WEIGHTS_H
#define TFR_MODEL_WEIGHTS_H

#include <tfrun/types.h>

#include "base/mapfile.h"

struct tfr_coarse_weight; /* model/coarse_tensor.h */

struct tfr_weights; /* owns the mappings */

struct tfr_weight {
    const char *name;                       /* as in the file */
    struct tfr_tensor tensor;               /* dense view of the mapped bytes, rarely of a copy; .data is read-only */
    const char *file;                       /* path of the shard, for messages */
    const struct tfr_coarse_weight *coarse; /* NULL, or what the whole numbers stand for: .tensor then has the coarse type, the
                                               shape of the parameter and their address */
};

enum tfr_status tfr_weights_open(struct tfr_weights **weights, const char *path); /* .safetensors, .bin or .index.json */
void tfr_weights_close(struct tfr_weights *weights);
const struct tfr_weight *tfr_weights_find(const struct tfr_weights *weights, const char *name);
/* All tensors in the order of the files. */
const struct tfr_weight *tfr_weights_all(const struct tfr_weights *weights, size_t *n);
/* The i-th name that an index has and no shard, NULL beyond the last. */
const char *tfr_weights_absent(const struct tfr_weights *weights, size_t i);
/* Takes `front` off the names of all tensors; each must begin with it. Before anybody keeps a name. */
enum tfr_status tfr_weights_strip(struct tfr_weights *weights, const char *front);
/* Path of the i-th file that was opened, NULL beyond the last. */
const char *tfr_weights_file(const struct tfr_weights *weights, size_t i);
/* What the system said of it then, also where it is no longer there. */
const struct tfr_file_facts *tfr_weights_facts(const struct tfr_weights *weights, size_t i);
/* A text of the file's __metadata__, NULL if it has none of that key; of a sharded model, none. */
const char *tfr_weights_note(const struct tfr_weights *weights, const char *key);
/* Drops the resident pages of one tensor (it was packed and will not be read again). */
void tfr_weights_drop(const struct tfr_weights *weights, const struct tfr_weight *weight);

/* Writer: the file appears complete or not at all. Tensors are written in the order given; `fill` is called
 * once per tensor to produce its bytes piece by piece into `buffer` (n elements from element `first`). */
struct tfr_weight_spec {
    const char *name;
    enum tfr_dtype dtype;
    int rank;
    int64_t dim[TFR_MAX_RANK];
};
typedef enum tfr_status (*tfr_weight_fill_fn)(void *user, size_t tensor, int64_t first, int64_t n, void *buffer);
enum tfr_status tfr_weights_write(const char *path, const struct tfr_weight_spec *specs, size_t n, tfr_weight_fill_fn fill,
                                  void *user);
/* The same into a file that the caller puts in place. */
struct tfr_outfile;
enum tfr_status tfr_weights_write_into(struct tfr_outfile *out, const struct tfr_weight_spec *specs, size_t n,
                                       tfr_weight_fill_fn fill, void *user);
/* The same with members of __metadata__ beside "format". */
struct tfr_weight_note {
    const char *key, *value;
};
enum tfr_status tfr_weights_write_noted(const char *path, const struct tfr_weight_note *notes, size_t n_notes,
                                        const struct tfr_weight_spec *specs, size_t n, tfr_weight_fill_fn fill, void *user);

#endif

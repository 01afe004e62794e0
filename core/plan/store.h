/* store.h - packed weights, once per (tensor, pack format), in huge pages, shared by all plans.
 *
 * Also plain f32 copies of small constants (biases, layer norm parameters). A weight whose packed form is its file form
 * (embedding tables) is used where it is mapped. After packing, the mapping's pages are dropped.
 * Thread rule: filled while plans are built, on one thread; the bytes are read-only afterwards.
 */
#ifndef TFR_PLAN_STORE_H
#define TFR_PLAN_STORE_H

#include "base/arena.h"
#include "graph/graph.h"
#include "model/weights.h"

#include <tfrun/plugin.h>

#include "team/team.h"

struct tfr_store;

enum tfr_status tfr_store_open(struct tfr_store **store, const struct tfr_weights *weights, struct tfr_team *team,
                               enum tfr_hugepages hugepages);
void tfr_store_close(struct tfr_store *store);
size_t tfr_store_bytes(const struct tfr_store *store);
uint64_t tfr_store_pack_ns(const struct tfr_store *store); /* time spent on packing and converting so far */

/* Weights that a file of packed weights holds are mapped from there instead of packed (plan/pack_file.h). `path` and `key` are
 * copied; whoever may not read the weights, by `mode`, may not read the file. Before the first plan. */
enum tfr_status tfr_store_use_packs(struct tfr_store *store, const char *path, const char *key, uint32_t mode);
/* Writes that file with all that was packed, where something is new; nothing where no file is used. Closing does it too. */
enum tfr_status tfr_store_save_packs(struct tfr_store *store);

void tfr_store_keep_packs(struct tfr_store *store); /* the same; a failure is a warning */

/* Rows [first, first + n) of a weight, all where n is 0; each such share is kept for itself. */
struct tfr_weight_rows {
    const struct tfr_weight *weight;
    int64_t first, n;
    const struct tfr_slice *slice; /* of those rows; NULL: none. A weight has one slice in the life of a store */
};
struct tfr_weight_rows tfr_value_rows(const struct tfr_value *value); /* of a weight */
struct tfr_tensor tfr_weight_rows_tensor(const struct tfr_weight_rows *rows);
/* Packed form of argument `arg` for a kernel: makes it on first use with the team. */
enum tfr_status tfr_store_pack(struct tfr_store *store, const struct tfr_weight_rows *rows, const struct tfr_kernel *kernel,
                               const struct tfr_problem *problem, int arg, const struct tfr_pack_need *need, const void **packed);
/* BF16 or F16 where that type holds all values of the rows exactly, else F32. f32 rows are read, once in the life of the store. */
enum tfr_status tfr_store_exact(struct tfr_store *store, const struct tfr_weight_rows *rows, enum tfr_dtype *exact);
/* Plain copy as F32, BF16 or F16, 64-byte aligned. */
enum tfr_status tfr_store_plain(struct tfr_store *store, const struct tfr_weight_rows *rows, enum tfr_dtype dtype,
                                const void **data);

#endif

/* pack_file.h - packed weights of one model as a file that is mapped instead of packing anew.
 *
 * The file begins with a key, a text that says of what it was made; one with another key is stale. Its table and every weight in it
 * have a sum; a file that is not whole is told and not used. It appears complete or not at all, and is never changed afterwards, so
 * processes of a machine share its pages. Thread rule: the thread that drives the team.
 */
#ifndef TFR_PLAN_PACK_FILE_H
#define TFR_PLAN_PACK_FILE_H

#include <tfrun/types.h>

#include "team/team.h"

enum { TFR_PACK_NAME = 104, TFR_PACK_FORMAT = 32 };

/* One packed weight; also what is known of its values, with no bytes. As it stands in the file. */
struct tfr_pack_entry {
    char name[TFR_PACK_NAME]; /* of the weight */
    char format[TFR_PACK_FORMAT];
    int64_t first, n;     /* rows of it, as in struct tfr_weight_rows */
    int32_t slice[4];     /* axis, parts, shard, n_shards */
    int32_t dtype, exact; /* packed type; `exact`: this entry says that the rows are exact in dtype, and has no bytes */
    uint64_t bytes, offset, sum;
};

/* Of the same rows, format and type; of those that say what is exact, of the same rows. */
bool tfr_pack_entry_same(const struct tfr_pack_entry *a, const struct tfr_pack_entry *b);

struct tfr_pack_file; /* NULL: none */

/* *file is NULL where there is none, or none that can be used: a warning says why. `fault` of the system (no memory) is a failure.
 */
enum tfr_status tfr_pack_file_open(struct tfr_pack_file **file, const char *path, const char *key, struct tfr_team *team);
void tfr_pack_file_close(struct tfr_pack_file *file);
/* The entry that has the same name, rows, format and type as `wanted` (and as many bytes), else NULL; its bytes. */
const struct tfr_pack_entry *tfr_pack_file_find(const struct tfr_pack_file *file, const struct tfr_pack_entry *wanted);
const void *tfr_pack_file_data(const struct tfr_pack_file *file, const struct tfr_pack_entry *entry);
const struct tfr_pack_entry *tfr_pack_file_entries(const struct tfr_pack_file *file, size_t *n);
/* Whoever may read files of `mode` may read this one, where the umask lets them; nobody else may write it. Offsets and sums of the
 * entries are filled in; data[i] are the bytes of entries[i]. */
enum tfr_status tfr_pack_file_write(const char *path, const char *key, uint32_t mode, struct tfr_pack_entry *entries,
                                    const void *const *data, size_t n, struct tfr_team *team);

#endif

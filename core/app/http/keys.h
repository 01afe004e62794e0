/* keys.h - the API keys of a server: one a line of a file, or in the environment; never on the command line. Thread rule: read-only
 * once open. */
#ifndef TFR_APP_HTTP_KEYS_H
#define TFR_APP_HTTP_KEYS_H

#include <stdbool.h>
#include <stddef.h>

struct tfr_keys;

/* Of the file, unless `path` is NULL, and of TFRUN_API_KEYS (separated by commas), which is taken out of the environment. NULL with
 * a sentence in `error`: a file that can't be read, a key that is too short or too long, a file without a key. */
struct tfr_keys *tfr_keys_open(const char *path, char *error, size_t size);
void tfr_keys_close(struct tfr_keys *keys);
size_t tfr_keys_count(const struct tfr_keys *keys);
/* Which key the value of an Authorization header gives ("Bearer KEY"); -1: none of them. The time does not tell how much of a key
 * was right. */
int tfr_keys_find(const struct tfr_keys *keys, const char *authorization);
/* Whether it gives one at all. */
bool tfr_keys_bears(const char *authorization);

#endif

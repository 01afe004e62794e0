/* random_weights.h - weights for a model that has none: times do not depend on their values.
 * Thread rule: one thread. */
#ifndef TFR_PROFILE_RANDOM_WEIGHTS_H
#define TFR_PROFILE_RANDOM_WEIGHTS_H

#include <tfrun/tfrun.h>

/* In a folder of its own below $TMPDIR. */
struct tfr_random_weights {
    char *folder, *config, *weights;
};
/* `config` NULL: the shape of GPT-2 124M, and made->config is its config. */
enum tfr_status tfr_random_weights_make(struct tfr_random_weights *made, const char *config);
/* Files that are open stay readable. */
void tfr_random_weights_remove(struct tfr_random_weights *made);
/* Whether a config's weights are not there. Fails for a bad config. */
enum tfr_status tfr_weights_are_missing(const char *config, const struct tfr_override *overrides, size_t n_overrides,
                                        bool *missing);

#endif

/* fingerprint.c - one number for a model and its prefix, so that a saved cache is not taken for another
 * model's. */
#include "base/hash.h"
#include "model/model_hash.h"
#include "session/saved_cache.h"

uint64_t tfr_engine_fingerprint(const struct tfr_engine *engine) {
    const uint64_t parts[] = {tfr_hparams_fingerprint(&engine->config->model), tfr_model_sample_hash(engine->model),
                              (uint64_t)engine->n_prefix, engine->prefix_hash};
    return tfr_hash(TFR_HASH_START, parts, sizeof parts);
}

/* params.h - the settings of one request as plain values: what the options and a request's own words came to. Generation reads
 * these and never the config. Thread rule: read-only once made, any thread; freed when the last user lets go. */
#ifndef TFR_GENERATION_PARAMS_H
#define TFR_GENERATION_PARAMS_H

#include <tfrun/tfrun.h>

#include <stdatomic.h>

#include "config/config.h"
#include "generation/processors.h"

struct tfr_params {
    atomic_int users;
    struct tfr_pipeline pipeline;
    struct tfr_string_list stop;
    int64_t n;                      /* sequences that come out */
    int64_t max_tokens, max_length; /* new ones; with the prompt, 0 where max_tokens counts */
    int truncate;                   /* of a prompt that leaves no room: input.truncate */
    bool bounded;                   /* runtime.kv_capacity is set: kept or refused, never worked around */
    int64_t seed;                   /* -1: one is drawn */
    int64_t logprobs;               /* best tokens told beside each new one; -1: nothing is */
    bool prompt_logprobs;
    int64_t num_beams;
    double length_penalty;
    int early_stopping; /* enum of the option's choices */
    bool assisted;      /* the engine's assistant drafts */
    int64_t n_drafts;   /* of the assistant */
    int64_t lookup, lookup_ngram;
};

/* From options as they are; the config's own make the defaults of an engine. `eos` as in pipeline.h. */
enum tfr_status tfr_params_make(struct tfr_params **params, const struct tfr_options *options, const struct tfr_hparams *model);
struct tfr_params *tfr_params_share(struct tfr_params *params); /* one more user, who frees it too */

#endif

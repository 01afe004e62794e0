/* params.c - options to the settings of a request: the one place where generation reads options. */
#include "generation/params.h"

#include "base/arena.h"
#include "base/status.h"
#include "generation/pipeline.h"
#include "rank/rank.h"

static enum tfr_status copy_stop(struct tfr_string_list *to, const struct tfr_string_list *from) {
    to->items = tfr_alloc(from->n + 1, sizeof *to->items);
    for (; to->items != NULL && to->n < from->n; to->n++) {
        to->items[to->n] = tfr_strdup(from->items[to->n]);
        if (to->items[to->n] == NULL) {
            return TFR_RESOURCE;
        }
    }
    return to->items != NULL ? TFR_OK : TFR_RESOURCE;
}

static void take_options(struct tfr_params *params, const struct tfr_options *o) {
    params->n = o->sampling_num_return_sequences;
    params->max_tokens = o->sampling_max_tokens;
    params->max_length = o->sampling_max_length;
    params->truncate = o->input_truncate;
    params->bounded = o->runtime_kv_capacity > 0;
    params->seed = o->sampling_seed;
    params->logprobs = o->sampling_logprobs;
    params->prompt_logprobs = o->sampling_prompt_logprobs;
    params->num_beams = o->sampling_num_beams;
    params->length_penalty = o->sampling_length_penalty;
    params->early_stopping = o->sampling_early_stopping;
    params->assisted = o->sampling_assistant != NULL;
    params->n_drafts = o->sampling_num_assistant_tokens;
    params->lookup = o->sampling_prompt_lookup;
    params->lookup_ngram = o->sampling_max_matching_ngram_size;
}

enum tfr_status tfr_params_make(struct tfr_params **params, const struct tfr_options *options, const struct tfr_hparams *model) {
    *params = NULL;
    struct tfr_params *made = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    atomic_init(&made->users, 1);
    take_options(made, options);
    enum tfr_status status = tfr_pipeline_open(&made->pipeline, options, model->eos_token_id, model->vocab_size);
    status = status == TFR_OK ? copy_stop(&made->stop, &options->sampling_stop) : status;
    if (status != TFR_OK) {
        tfr_params_free(made);
        return status;
    }
    *params = made;
    return TFR_OK;
}

/* Few tokens that are named leave others. */
static bool may_ban_all(const struct tfr_pipeline *pipeline, int64_t vocab_size) {
    const size_t n = pipeline->eos.n + pipeline->stop_ids.n + pipeline->suppress.n + pipeline->begin_suppress.n +
                     pipeline->bad_words.n + pipeline->sequence_bias.n + pipeline->logit_bias.n;
    return (int64_t)n >= vocab_size;
}

static enum tfr_status try_first_token(const struct tfr_pipeline *pipeline, int64_t vocab_size) {
    const struct tfr_score_row row = {.max_length = INT64_MAX}; /* of no prompt: what depends on one bans nothing */
    struct tfr_processors processors;
    char options[320];
    float *scores = tfr_alloc((size_t)vocab_size, sizeof *scores); /* all 0 */
    enum tfr_status status = scores != NULL ? tfr_processors_open(&processors, pipeline, vocab_size) : TFR_RESOURCE;
    if (status == TFR_OK) {
        const bool is_none = tfr_processors_blame(&processors, &row, scores, options, sizeof options) == 0;
        tfr_processors_close(&processors);
        status = is_none ? tfr_raise(TFR_CONFIG, "no token is left for a text to begin with: none of %lld gets past %s",
                                     (long long)vocab_size, options)
                         : TFR_OK;
    }
    tfr_free(scores);
    return status;
}

/* Whatever the prompt is. What depends on it, on what was generated or on a forced token, which passes some bans, is found when
 * there is no token. */
static enum tfr_status check_left(const struct tfr_params *params, int64_t vocab_size) {
    struct tfr_pipeline first = params->pipeline;
    const bool is_forced = first.forced_bos >= 0 || first.forced_eos.n > 0,
               makes_none = params->max_tokens + params->max_length == 0;
    first.min_length = 0; /* of prompt and text together */
    return may_ban_all(&first, vocab_size) && !is_forced && !makes_none ? try_first_token(&first, vocab_size) : TFR_OK;
}

static enum tfr_status parse(const struct tfr_engine *engine, const struct tfr_request_text *text, struct tfr_params **params) {
    struct tfr_options options;
    *params = NULL;
    enum tfr_status status = tfr_config_request(engine->config, text, &options);
    status = status == TFR_OK ? tfr_params_make(params, &options, &engine->config->model) : status;
    tfr_config_request_free(&options);
    status = status == TFR_OK ? check_left(*params, engine->config->model.vocab_size) : status;
    if (status != TFR_OK) {
        tfr_params_free(*params);
        *params = NULL;
    }
    return status;
}

enum tfr_status tfr_params_parse(const struct tfr_engine *engine, const struct tfr_override *overrides, size_t n_overrides,
                                 struct tfr_params **params) {
    const struct tfr_request_text text = {.overrides = overrides, .n_overrides = n_overrides};
    return parse(engine, &text, params);
}

enum tfr_status tfr_params_parse_json(const struct tfr_engine *engine, const char *json, size_t size, struct tfr_params **params) {
    const struct tfr_request_text text = {.json = json, .json_size = size};
    return parse(engine, &text, params);
}

struct tfr_params *tfr_params_share(struct tfr_params *params) {
    atomic_fetch_add(&params->users, 1);
    return params;
}

void tfr_params_free(struct tfr_params *params) {
    if (params == NULL || atomic_fetch_sub(&params->users, 1) > 1) {
        return;
    }
    tfr_pipeline_close(&params->pipeline);
    for (size_t i = 0; i < params->stop.n; i++) {
        tfr_free(params->stop.items[i]);
    }
    tfr_free(params->stop.items);
    tfr_free(params);
}

/* saved_cache_run.c - prompts that begin like a saved cache do not pay for its positions again: see saved_cache.h. */
#include "session/saved_cache.h"

#include "base/log.h"
#include "base/status.h"
#include "generation/generation.h"

static bool has_encoder_states(const struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n) {
    bool has = engine->config->options.input_encoder_states != NULL;
    for (size_t i = 0; i < n; i++) {
        has |= prompts[i].encoder != NULL;
    }
    return has;
}

enum tfr_status tfr_run_check_cache(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n_prompts) {
    const struct tfr_options *options = &engine->config->options;
    const char *path = options->output_cache_save, *loaded = options->input_cache_load;
    if ((path != NULL || loaded != NULL) && has_encoder_states(engine, prompts, n_prompts)) {
        return tfr_raise(TFR_USAGE, "encoder states do not go with %s: a saved cache is of text alone; leave one out",
                         path != NULL ? "output.cache_save" : "input.cache_load");
    }
    if (loaded != NULL) {
        TFR_TRY(tfr_saved_cache_check(engine, loaded));
    }
    if (path == NULL) {
        return TFR_OK;
    }
    if (n_prompts != 1) {
        return tfr_raise(
            TFR_USAGE, "output.cache_save keeps one sequence and there are %zu prompts; give one", n_prompts);
    }
    return tfr_result_write(path, NULL, 0, engine->config->options.output_force);
}

enum tfr_status tfr_run_take_cached(struct tfr_generation_run *run, const struct tfr_live *live,
                                    struct tfr_session *session) {
    const char *path = run->engine->config->options.input_cache_load;
    if (path == NULL) {
        return TFR_OK;
    }
    TFR_TRY(tfr_saved_cache_take(session, path, live->ids.data, (int64_t)live->n_prompt - 1));
    const int64_t taken = tfr_session_length(session);
    if (taken == 0 && live->n_prompt > 1) {
        tfr_log(TFR_LOG_WARN, "engine",
                "prompt %zu begins with another token than %s: nothing is taken from it", live->index, path);
    }
    run->stats->cached_tokens += live->choice == 0 ? (size_t)taken : 0; /* as prompt_tokens counts */
    return TFR_OK;
}

/* What of the sequence its session lacks, up to the prompt's end. */
static enum tfr_status feed_prompt(struct tfr_generation_run *run, struct tfr_live *live) {
    TFR_TRY(tfr_live_open_session(run, live));
    TFR_TRY(tfr_live_prepare(run, live, live->session));
    const int64_t known = tfr_session_length(live->session);
    const struct tfr_feed feed = {
        .session = live->session, .ids = live->ids.data + known, .n = (int64_t)live->n_prompt - known};
    const float *logits;
    return tfr_engine_feed(run->engine, &feed, 1, &logits);
}

enum tfr_status tfr_run_save_cache(struct tfr_generation_run *run, struct tfr_live *live) {
    const struct tfr_options *options = &run->engine->config->options;
    if (live->session == NULL) {
        TFR_TRY(feed_prompt(run, live));
    }
    return tfr_session_save(live->session, live->ids.data, options->output_cache_save, options->output_force);
}

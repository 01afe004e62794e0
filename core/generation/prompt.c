/* prompt.c - what stands before a sequence's first step: its tokens, how long it may become, its encoder states. */
#include <string.h>

#include "base/log.h"
#include "base/status.h"
#include "generation/generation.h"
#include "session/session.h"
#include "session/prefix.h"
#include "session/saved_cache.h"
#include "model/tokenizer.h"

enum tfr_status tfr_prompt_ids(const struct tfr_tokenizer *tokenizer, const struct tfr_prompt *prompt, struct tfr_ids *ids) {
    if (prompt->text != NULL) {
        return tfr_tokenizer_encode(tokenizer, prompt->text, prompt->size, TFR_SPECIAL_PARSE, ids);
    }
    for (size_t i = 0; i < prompt->n_ids; i++) {
        TFR_TRY(tfr_ids_append(ids, prompt->ids[i]));
    }
    return TFR_OK;
}

void tfr_ids_cut(struct tfr_ids *ids, size_t room, int where) {
    if (where == TFR_TRUNCATE_LEFT) {
        memmove(ids->data, ids->data + ids->n - room, room * sizeof *ids->data);
    }
    ids->n = room;
}

static enum tfr_status truncate_prompt(const struct tfr_engine *engine, struct tfr_live *live) {
    const struct tfr_options *options = &engine->config->options;
    const int64_t most = tfr_engine_n_positions(engine), max_length = options->sampling_max_length;
    const bool cuts = options->input_truncate != TFR_TRUNCATE_ERROR;
    const int64_t limit = cuts && max_length > 0 && max_length < most ? max_length : most;
    /* What is left for new tokens after a cut: as many as a bounded cache must hold, else at most half of the context. */
    const bool bounded = options->runtime_kv_capacity > 0;
    const int64_t wanted = max_length > 0 ? 1 : options->sampling_max_tokens;
    const int64_t left = bounded ? limit - 1 : limit / 2, room = limit - (wanted < left ? wanted : left);
    const bool fits = (int64_t)live->ids.n < limit && !(cuts && bounded && (int64_t)live->ids.n > room);
    if (fits || options->sampling_max_tokens == 0) {
        return (int64_t)live->ids.n <= limit ? TFR_OK
                                             : tfr_raise(TFR_USAGE, "prompt has %zu tokens, context is %lld (%s); shorten it",
                                                         live->ids.n, (long long)limit, tfr_engine_positions_name(engine));
    }
    if (options->input_truncate == TFR_TRUNCATE_ERROR) {
        return tfr_raise(TFR_USAGE, "prompt has %zu tokens, context is %lld (%s); shorten it or pass --truncate left|right",
                         live->ids.n, (long long)limit, tfr_engine_positions_name(engine));
    }
    tfr_log(TFR_LOG_WARN, "engine", "prompt cut from %zu to %lld tokens", live->ids.n, (long long)room);
    tfr_ids_cut(&live->ids, (size_t)room, options->input_truncate);
    return TFR_OK;
}

/* A caller's own padding: here no prompt needs any, and the text goes on after it. */
static void warn_padding(const struct tfr_engine *engine, const struct tfr_live *live) {
    const int32_t pad = engine->config->model.pad_token_id;
    if (pad >= 0 && live->ids.n > 1 && live->ids.data[live->ids.n - 1] == pad) {
        tfr_log(TFR_LOG_WARN, "engine", "prompt %zu ends in pad_token_id %d and the text goes on after it; leave padding out",
                live->index, pad);
    }
}

static enum tfr_status encode_prompt(struct tfr_generation_run *run, const struct tfr_prompt *prompt, struct tfr_live *live) {
    TFR_TRY(tfr_prompt_ids(run->tokenizer, prompt, &live->ids));
    if (live->ids.n == 0) {
        int32_t bos = run->engine->config->model.bos_token_id;
        if (bos < 0) {
            return tfr_raise(TFR_USAGE, "the prompt is empty and the config has no bos_token_id to start from; give a prompt");
        }
        TFR_TRY(tfr_ids_append(&live->ids, bos));
    }
    TFR_TRY(tfr_engine_check_ids(run->engine, live->ids.data, (int64_t)live->ids.n, live->index));
    warn_padding(run->engine, live);
    return truncate_prompt(run->engine, live);
}

/* max_length counts the prompt; where it stands, max_tokens does not count (config_generation.c settled that). */
static enum tfr_status settle_length(const struct tfr_generation_run *run, struct tfr_live *live) {
    const struct tfr_config *config = run->engine->config;
    const int64_t limit = tfr_engine_n_positions(run->engine), room = limit - (int64_t)live->n_prompt;
    const int64_t max_length = config->options.sampling_max_length;
    live->max_tokens = config->options.sampling_max_tokens;
    if (max_length > 0) {
        live->max_tokens = max_length - (int64_t)live->n_prompt;
        if (live->max_tokens <= 0) {
            return tfr_raise(TFR_USAGE,
                             "prompt %zu has %zu tokens and sampling.max_length is %lld, prompt included; give --max-tokens",
                             live->index, live->n_prompt, (long long)max_length);
        }
    }
    if (config->options.runtime_kv_capacity > 0) { /* a limit that somebody set: kept or refused, never worked around */
        return tfr_engine_check_capacity(run->engine, run->engine->n_prefix + (int64_t)live->n_prompt, live->max_tokens);
    }
    if (live->max_tokens > room) {
        tfr_log(TFR_LOG_WARN, "engine",
                "prompt %zu has %zu tokens and context is %lld (%s): at most %lld new tokens instead of %lld", live->index,
                live->n_prompt, (long long)limit, tfr_engine_positions_name(run->engine), (long long)room,
                (long long)live->max_tokens);
        live->max_tokens = room;
    }
    return TFR_OK;
}

enum tfr_status tfr_live_open(struct tfr_generation_run *run, const struct tfr_prompt *prompt, size_t index,
                              struct tfr_live *live) {
    const size_t n_choices = tfr_generate_choices(run->engine);
    *live = (struct tfr_live){.index = index, .choice = index % n_choices};
    if (prompt->encoder != NULL) {
        live->encoder = *prompt->encoder;
    } else {
        tfr_encoder_file_at(&run->encoder, index / n_choices, &live->encoder);
    }
    tfr_stream_init(&live->stream, run->tokenizer, &run->engine->config->options.sampling_stop);
    TFR_TRY(encode_prompt(run, prompt, live));
    live->n_prompt = live->ids.n;
    TFR_TRY(settle_length(run, live));
    live->finish = live->max_tokens == 0 ? TFR_FINISH_LENGTH : TFR_FINISH_NONE;
    return TFR_OK;
}

enum tfr_status tfr_live_prepare(struct tfr_generation_run *run, const struct tfr_live *live, struct tfr_session *session) {
    if (live->encoder.states != NULL) {
        return tfr_session_encode(session, &live->encoder);
    }
    return tfr_run_take_cached(run, live, session);
}

enum tfr_status tfr_live_open_session(struct tfr_generation_run *run, struct tfr_live *live) {
    return tfr_session_open(&live->session, run->engine, (int64_t)live->n_prompt + live->max_tokens);
}

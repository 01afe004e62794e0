/* prompt.c - what stands before a sequence's first step: its tokens, and how long it may become. */
#include "generation/prompt.h"

#include <string.h>

#include "base/log.h"
#include "base/plural.h"
#include "base/status.h"
#include "rank/rank.h"
#include "session/prefix.h"
#include "session/session.h"

/* A prompt under reading. */
struct reading {
    const struct tfr_engine *engine;
    const struct tfr_params *params;
    struct tfr_ids *ids;
    size_t index;
};

static enum tfr_status truncate_prompt(const struct reading *reading) {
    const struct tfr_engine *engine = reading->engine;
    const struct tfr_params *params = reading->params;
    struct tfr_ids *ids = reading->ids;
    const int64_t most = tfr_engine_n_positions(engine), max_length = params->max_length;
    const bool cuts = params->truncate != TFR_TRUNCATE_ERROR;
    const int64_t limit = cuts && max_length > 0 && max_length < most ? max_length : most;
    /* What is left for new tokens after a cut: as many as a bounded cache must hold, else at most half of the context. */
    const int64_t wanted = max_length > 0 ? 1 : params->max_tokens;
    const int64_t left = params->bounded ? limit - 1 : limit / 2, room = limit - (wanted < left ? wanted : left);
    const bool fits = (int64_t)ids->n < limit && !(cuts && params->bounded && (int64_t)ids->n > room);
    if (fits || params->max_tokens == 0) {
        return (int64_t)ids->n <= limit ? TFR_OK
                                        : tfr_raise(TFR_USAGE, "prompt has %zu tokens, context is %lld (%s); shorten it", ids->n,
                                                    (long long)limit, tfr_engine_positions_name(engine));
    }
    if (params->truncate == TFR_TRUNCATE_ERROR) {
        return tfr_raise(TFR_USAGE, "prompt has %zu tokens, context is %lld (%s); shorten it or pass --truncate left|right", ids->n,
                         (long long)limit, tfr_engine_positions_name(engine));
    }
    tfr_log(TFR_LOG_WARN, "engine", "prompt cut from %zu to %lld tokens", ids->n, (long long)room);
    tfr_ids_cut(ids, (size_t)room, params->truncate);
    return TFR_OK;
}

/* A caller's own padding: here no prompt needs any, and the text goes on after it. A server's log is not its clients' to fill. */
static void warn_padding(const struct reading *reading) {
    const int32_t pad = reading->engine->config->model.pad_token_id;
    const struct tfr_ids *ids = reading->ids;
    if (pad >= 0 && !reading->engine->is_server && ids->n > 1 && ids->data[ids->n - 1] == pad) {
        tfr_log(TFR_LOG_WARN, "engine", "prompt %zu ends in pad_token_id %d and the text goes on after it; leave padding out",
                reading->index + 1, pad);
    }
}

static enum tfr_status check_prompt(const struct reading *reading) {
    struct tfr_ids *ids = reading->ids;
    if (ids->n == 0) {
        const int32_t bos = reading->engine->config->model.bos_token_id;
        if (bos < 0) {
            return tfr_raise(TFR_USAGE, "the prompt is empty and the config has no bos_token_id to start from; give a prompt");
        }
        TFR_TRY(tfr_ids_append(ids, bos));
    }
    TFR_TRY(tfr_engine_check_ids(reading->engine, ids->data, (int64_t)ids->n, reading->index));
    warn_padding(reading);
    return truncate_prompt(reading);
}

/* max_length counts the prompt; where it stands, max_tokens does not count (config_settle.c settled that). */
static enum tfr_status settle_length(const struct reading *reading, int64_t *max_tokens) {
    const struct tfr_engine *engine = reading->engine;
    const int64_t limit = tfr_engine_n_positions(engine), n = (int64_t)reading->ids->n, room = limit - n;
    const int64_t max_length = reading->params->max_length;
    *max_tokens = reading->params->max_tokens;
    if (max_length > 0) {
        *max_tokens = max_length - n;
        if (*max_tokens <= 0) {
            return tfr_raise(TFR_USAGE,
                             "prompt %zu has %lld token%s and sampling.max_length is %lld, prompt included; give --max-tokens",
                             reading->index + 1, (long long)n, tfr_plural(n), (long long)max_length);
        }
    }
    if (reading->params->bounded) {
        return tfr_engine_check_capacity(engine, engine->n_prefix + n, *max_tokens);
    }
    if (*max_tokens > room) {
        tfr_log(TFR_LOG_WARN, "engine",
                "prompt %zu has %lld token%s and context is %lld (%s): at most %lld new tokens instead of %lld", reading->index + 1,
                (long long)n, tfr_plural(n), (long long)limit, tfr_engine_positions_name(engine), (long long)room,
                (long long)*max_tokens);
        *max_tokens = room;
    }
    return TFR_OK;
}

enum tfr_status tfr_prompt_read(const struct tfr_engine *engine, const struct tfr_params *params,
                                const struct tfr_tokenizer *tokenizer, const struct tfr_prompt *prompt, size_t index,
                                struct tfr_ids *ids, int64_t *max_tokens) {
    const struct reading reading = {.engine = engine, .params = params, .ids = ids, .index = index};
    TFR_TRY(tfr_prompt_ids(tokenizer, prompt, ids));
    TFR_TRY(check_prompt(&reading));
    return settle_length(&reading, max_tokens);
}

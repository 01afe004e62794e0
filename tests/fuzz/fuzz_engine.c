/* fuzz_engine.c - what an engine is given to read: forward requests, encoder states, saved caches, JSON lines to score.
 *
 * forward: the first byte picks the model (language model, cross-attention, two heads, classification, tokens, a prefix, spans),
 * the rest is a safetensors file of inputs; a reply can be read to the last byte. The engine answers as before afterwards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "harness.h"
#include "model/weights.h"
#include "rank/rank.h"
#include "session/encoder.h"
#include "session/saved_cache.h"

static const char *const kinds[] = {"lm", "cross", "double", "seq", "token"};
static const char *const more_kinds[] = {"lm", "prefix", "span"}; /* of a first byte with the bit of 32, whose others are options */

int tfr_fuzz_forward(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    struct tfr_engine *engine =
        tfr_fuzz_engine(data[0] & 32 ? more_kinds[data[0] % TFR_COUNT_OF(more_kinds)] : kinds[data[0] % TFR_COUNT_OF(kinds)]);
    const struct tfr_forward_options options = {.output_hidden_states = data[0] & 64 ? TFR_SWITCH_ON : TFR_SWITCH_CONFIG,
                                                .output_attentions = data[0] & 128 ? TFR_SWITCH_ON : TFR_SWITCH_CONFIG,
                                                .auto_positions = data[0] / 32 % 2 == 1 && data[0] & 4,
                                                .packed = data[0] / 32 % 2 == 1 && data[0] & 8 ? TFR_SWITCH_ON : TFR_SWITCH_CONFIG,
                                                .logits_to_keep = data[0] / 32 % 2 == 1 && data[0] & 16 ? 2 : 0};
    char out[1024], in[1024];
    snprintf(in, sizeof in, "%s", tfr_fuzz_write("forward.safetensors", data + 1, size - 1));
    snprintf(out, sizeof out, "%s", tfr_fuzz_path("reply.safetensors"));
    remove(out);
    if (tfr_fuzz_accepted(tfr_forward_file(engine, in, out, &options))) {
        struct tfr_weights *reply;
        tfr_fuzz_require(tfr_weights_open(&reply, out) == TFR_OK, "a reply is a safetensors file");
        tfr_weights_close(reply);
    } else {
        tfr_fuzz_require(!tfr_path_exists(out), "where a request is refused there is no reply");
    }
    return 0;
}

int tfr_fuzz_encoder(const uint8_t *data, size_t size) {
    struct tfr_engine *engine = tfr_fuzz_engine("cross");
    struct tfr_encoder_file file;
    const size_t n_prompts = size > 0 ? 1 + data[0] % 3 : 1;
    char path[1024];
    snprintf(path, sizeof path, "%s", tfr_fuzz_write("states.safetensors", data + (size > 0), size - (size > 0)));
    char *const before = engine->config->options.input_encoder_states;
    engine->config->options.input_encoder_states = path;
    tfr_fuzz_require(!tfr_fuzz_accepted(tfr_encoder_refuse_file(engine, "score")), "what does not read states says so");
    if (tfr_fuzz_accepted(tfr_encoder_file_open(&file, engine, n_prompts))) {
        struct tfr_session *session;
        struct tfr_encoder_states states;
        tfr_fuzz_require(tfr_encoder_file_at(&file, n_prompts - 1, &states), "every prompt has its states");
        if (tfr_fuzz_accepted(tfr_session_open(&session, engine, 8))) {
            tfr_fuzz_accepted(tfr_session_encode(session, &states));
            tfr_session_close(session);
        }
        tfr_encoder_file_close(&file);
    }
    engine->config->options.input_encoder_states = before;
    return 0;
}

static const int32_t cached_ids[] = {7, 8, 9, 10, 11, 12};

/* A file of this engine, which says which model it is of. */
static void save_one(struct tfr_engine *engine, const char *path) {
    struct tfr_session *session;
    const float *logits;
    tfr_fuzz_require(tfr_session_open(&session, engine, 8) == TFR_OK, "a session opens");
    const struct tfr_feed feed = {.session = session, .ids = cached_ids, .n = TFR_COUNT_OF(cached_ids), .keep = 1};
    tfr_fuzz_require(tfr_engine_feed(engine, &feed, 1, &logits) == TFR_OK, "a session is fed");
    tfr_fuzz_require(tfr_session_save(session, cached_ids, path, true) == TFR_OK, "a session is saved");
    tfr_session_close(session);
}

/* Where a session has come from a file, what it says next is that of a session that was fed. */
static void check_next(struct tfr_engine *engine, struct tfr_session *loaded) {
    struct tfr_session *fed;
    const int64_t n = tfr_session_length(loaded), more = n < (int64_t)TFR_COUNT_OF(cached_ids);
    const int32_t next = 13;
    const float *logits;
    tfr_fuzz_require(tfr_session_open(&fed, engine, 8) == TFR_OK, "a session opens");
    const struct tfr_feed feeds[] = {{.session = fed, .ids = cached_ids, .n = n, .keep = 0}};
    const struct tfr_feed both[] = {{.session = fed, .ids = more ? cached_ids + n : &next, .n = 1, .keep = 1},
                                    {.session = loaded, .ids = more ? cached_ids + n : &next, .n = 1, .keep = 1}};
    tfr_fuzz_require(tfr_engine_feed(engine, feeds, 1, &logits) == TFR_OK, "a session is fed");
    tfr_fuzz_require(tfr_engine_feed(engine, both, 2, &logits) == TFR_OK, "two sessions are fed");
    const size_t row = (size_t)tfr_engine_vocab_size(engine);
    tfr_fuzz_require(memcmp(logits, logits + row, row * sizeof *logits) == 0, "a loaded session goes on as one that was fed");
    tfr_session_close(fed);
}

/* The first two bytes are where a file of this engine is changed: 0 and 0 take the input as it is; otherwise the rest of the input
 * stands in the saved file from there on, so that what is behind the header is reached too. */
int tfr_fuzz_cache(const uint8_t *data, size_t size) {
    struct tfr_engine *engine = tfr_fuzz_engine("lm");
    static char *saved;
    static size_t saved_size;
    struct tfr_session *session;
    if (size < 2) {
        return 0;
    }
    if (saved == NULL) {
        char path[1024];
        snprintf(path, sizeof path, "%s", tfr_fuzz_path("saved.safetensors"));
        save_one(engine, path);
        tfr_fuzz_require(tfr_file_read(path, 1 << 20, &saved, &saved_size) == TFR_OK, "a saved cache can be read");
    }
    const size_t at = (size_t)(data[0] | data[1] << 8) % (saved_size + 1), n = size - 2;
    const size_t whole = at == 0 ? n : at + n > saved_size ? at + n : saved_size;
    uint8_t *bytes = malloc(whole + 1);
    if (bytes == NULL) {
        return 0;
    }
    if (at > 0) {
        memcpy(bytes, saved, saved_size < whole ? saved_size : whole);
    }
    memcpy(bytes + at, data + 2, n);
    const char *path = tfr_fuzz_write("cache.safetensors", bytes, whole);
    tfr_fuzz_require(tfr_session_open(&session, engine, 8) == TFR_OK, "a session opens");
    if (tfr_fuzz_accepted(tfr_session_load(session, path, cached_ids, TFR_COUNT_OF(cached_ids)))) {
        if (tfr_session_length(session) > 0) {
            check_next(engine, session);
        }
    } else {
        tfr_fuzz_require(tfr_session_length(session) == 0, "where a cache is refused the session is empty");
    }
    tfr_session_close(session);
    free(bytes);
    return 0;
}

static bool take_line(void *user, const char *line, size_t size) {
    (void)user;
    tfr_fuzz_require(tfr_json_scan("line", line, size, TFR_RUNTIME) == TFR_OK, "a line of the answer is JSON");
    return true;
}

/* The first byte: pairs or choices. */
int tfr_fuzz_score(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const enum tfr_score_lines form = data[0] % 2 == 0 ? TFR_SCORE_PAIRS : TFR_SCORE_CHOICES;
    char *text = malloc(size);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0'; /* as a file that was read has one */
    tfr_fuzz_accepted(tfr_score_jsonl(tfr_fuzz_engine("lm"), form, "lines.jsonl", text, size - 1, take_line, NULL, NULL));
    free(text);
    return 0;
}

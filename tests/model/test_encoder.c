/* test_encoder.c - `test_encoder FOLDER`: encoder states of sessions, through the C interface, on a model
 * with cross-attention.
 *
 * A session with states gives the bits of tfr_forward; copies share them; what cannot be is refused. */
#include <stdlib.h>
#include <string.h>

#include "golden_case.h"

enum { N_TOKENS = 6, N_STATES = 4, WIDTH = 12 };

static int32_t ids[N_TOKENS] = {5, 3, 0, 7, 7, 1};

static void make_states(float *states) {
    for (int i = 0; i < N_STATES * WIDTH; i++) {
        states[i] = (float)((i * 37) % 23) / 11 - 1;
    }
}

static struct tfr_session *encoded_session(struct tfr_engine *engine, const float *states, const uint8_t *mask) {
    const struct tfr_encoder_states encoder = {.states = states, .mask = mask, .n = N_STATES};
    struct tfr_session *session = golden_session(engine, N_TOKENS);
    golden_check(tfr_session_encode(session, &encoder), "encode");
    return session;
}

/* logits of all tokens by tfr_forward; the caller frees them. */
static float *forward(struct tfr_engine *engine, float *states, int64_t *mask) {
    const int64_t n = N_TOKENS * tfr_engine_vocab_size(engine);
    const struct tfr_named_tensor inputs[] = {
        {"input_ids", {.data = ids, .dtype = TFR_DTYPE_I32, .rank = 2, .dim = {1, N_TOKENS}, .stride = {N_TOKENS, 1}}},
        {"encoder_hidden_states", {.data = states, .rank = 3, .dim = {1, N_STATES, WIDTH}, .stride = {N_STATES * WIDTH, WIDTH, 1}}},
        {"encoder_attention_mask",
         {.data = mask, .dtype = TFR_DTYPE_I64, .rank = 2, .dim = {1, N_STATES}, .stride = {N_STATES, 1}}},
    };
    const struct tfr_forward_options options = {.use_cache = TFR_SWITCH_OFF};
    struct tfr_forward_reply *reply;
    golden_check(tfr_forward(engine, inputs, 3, &options, &reply), "tfr_forward");
    if (tfr_forward_reply_count(reply) != 1 || strcmp(tfr_forward_reply_at(reply, 0)->name, "logits") != 0) {
        golden_fail("the reply is not the logits alone");
    }
    float *logits = golden_room(n);
    memcpy(logits, tfr_forward_reply_at(reply, 0)->tensor.data, (size_t)n * sizeof *logits);
    tfr_forward_reply_close(reply);
    return logits;
}

static void check_bits(struct tfr_engine *engine, float *states, int64_t *wide_mask, const uint8_t *mask) {
    const int64_t vocab_size = tfr_engine_vocab_size(engine);
    float *want = forward(engine, states, wide_mask), *have = golden_room(N_TOKENS * vocab_size);
    struct tfr_session *first = encoded_session(engine, states, mask), *second = golden_session(engine, N_TOKENS);
    golden_feed(engine, first, ids, 3, 3, have);
    golden_check(tfr_session_copy(second, first, 3), "copy");
    tfr_session_close(first); /* what is shared outlives it */
    golden_feed(engine, second, ids + 3, N_TOKENS - 3, N_TOKENS - 3, have + 3 * vocab_size);
    golden_same_bits(have, want, N_TOKENS * vocab_size, "a session with encoder states and a forward pass");
    struct tfr_session *plain = golden_session(engine, N_TOKENS);
    golden_check(tfr_session_copy(second, plain, 0), "copy of a session without states");
    golden_feed(engine, second, ids, N_TOKENS, N_TOKENS, have);
    golden_feed(engine, plain, ids, N_TOKENS, N_TOKENS, want);
    golden_same_bits(have, want, N_TOKENS * vocab_size, "a session whose states were taken by a copy and one that had none");
    tfr_session_close(plain);
    tfr_session_close(second);
    free(want);
    free(have);
}

/* With and without states in one call: the bits of each alone. */
static void check_company(struct tfr_engine *engine, const float *states) {
    const int64_t n = N_TOKENS * tfr_engine_vocab_size(engine);
    float *want = golden_room(2 * n);
    struct tfr_session *with = encoded_session(engine, states, NULL), *without = golden_session(engine, N_TOKENS);
    golden_feed(engine, with, ids, N_TOKENS, N_TOKENS, want);
    golden_feed(engine, without, ids, N_TOKENS, N_TOKENS, want + n);
    golden_check(tfr_session_crop(with, 0), "crop");
    golden_check(tfr_session_crop(without, 0), "crop");
    const struct tfr_feed feeds[] = {{.session = with, .ids = ids, .n = N_TOKENS, .keep = N_TOKENS},
                                     {.session = without, .ids = ids, .n = N_TOKENS, .keep = N_TOKENS}};
    const float *have;
    golden_check(tfr_engine_feed(engine, feeds, 2, &have), "feed");
    golden_same_bits(have, want, 2 * n, "sessions with and without encoder states in one call and alone");
    tfr_session_close(with);
    tfr_session_close(without);
    free(want);
}

static void expect_usage(enum tfr_status status, const char *words) {
    if (status != TFR_USAGE || strstr(tfr_last_error(), words) == NULL) {
        golden_fail("status %d, \"%s\" instead of \"%s\"", (int)status, tfr_last_error(), words);
    }
}

static void check_refusals(struct tfr_engine *engine, const float *states) {
    struct tfr_session *without = golden_session(engine, N_TOKENS);
    float *logits = golden_room(tfr_engine_vocab_size(engine));
    const struct tfr_encoder_states none = {.states = states, .n = 0}, some = {.states = states, .n = N_STATES};
    expect_usage(tfr_session_encode(without, &none), "give at least one");
    golden_feed(engine, without, ids, 1, 1, logits);
    expect_usage(tfr_session_encode(without, &some), "before its first token");
    tfr_session_close(without);
    free(logits);
}

/* Shared states count once. */
static void check_memory(struct tfr_engine *engine, const float *states) {
    const int64_t empty = tfr_engine_memory(engine).kv_bytes;
    struct tfr_session *first = encoded_session(engine, states, NULL);
    const int64_t one = tfr_engine_memory(engine).kv_bytes;
    struct tfr_session *plain = golden_session(engine, N_TOKENS);
    const int64_t beside = tfr_engine_memory(engine).kv_bytes;
    golden_check(tfr_session_copy(plain, first, 0), "copy");
    if (tfr_engine_memory(engine).kv_bytes != beside || one <= empty) {
        golden_fail("kv bytes are %lld, %lld, %lld and %lld", (long long)empty, (long long)one, (long long)beside,
                    (long long)tfr_engine_memory(engine).kv_bytes);
    }
    tfr_session_close(first);
    tfr_session_close(plain);
    if (tfr_engine_memory(engine).kv_bytes != empty) {
        golden_fail("closing left kv bytes behind");
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        golden_fail("usage: test_encoder FOLDER");
    }
    const struct golden_case golden = {.folder = argv[1]};
    struct tfr_engine *engine = golden_engine(&golden, NULL);
    float states[N_STATES * WIDTH];
    uint8_t mask[N_STATES] = {1, 0, 1, 1};
    int64_t wide_mask[N_STATES] = {1, 0, 1, 1};
    make_states(states);
    check_bits(engine, states, wide_mask, mask);
    check_company(engine, states);
    check_refusals(engine, states);
    check_memory(engine, states);
    tfr_engine_close(engine);
    return 0;
}

/* test_forward.c - `test_forward FOLDER`: tfr_forward through the C interface gives the bits that a session gives. */
#include <stdlib.h>
#include <string.h>

#include "golden_case.h"

enum { N_TOKENS = 7 };

static const struct tfr_named_tensor *find(const struct tfr_forward_reply *reply, const char *name) {
    for (size_t i = 0; i < tfr_forward_reply_count(reply); i++) {
        if (strcmp(tfr_forward_reply_at(reply, i)->name, name) == 0) {
            return tfr_forward_reply_at(reply, i);
        }
    }
    golden_fail("the reply has no %s", name);
    return NULL;
}

static struct tfr_forward_reply *forward(struct tfr_engine *engine, int32_t *ids, int64_t n) {
    const struct tfr_named_tensor input = {
        .name = "input_ids", .tensor = {.data = ids, .dtype = TFR_DTYPE_I32, .rank = 2, .dim = {1, n}, .stride = {n, 1}}};
    const struct tfr_forward_options options = {.use_cache = true, .output_hidden_states = true};
    struct tfr_forward_reply *reply;
    golden_check(tfr_forward(engine, &input, 1, &options, &reply), "tfr_forward");
    return reply;
}

/* Sessions that are open stay as they are. */
static void check_beside_session(struct tfr_engine *engine, int32_t *ids, const struct tfr_tensor *logits) {
    const int64_t vocab_size = tfr_engine_vocab_size(engine);
    float *fed = golden_room(N_TOKENS * vocab_size);
    struct tfr_session *session = golden_session(engine, N_TOKENS);
    golden_feed(engine, session, ids, 3, 3, fed);
    tfr_forward_reply_close(forward(engine, ids, N_TOKENS));
    golden_feed(engine, session, ids + 3, N_TOKENS - 3, N_TOKENS - 3, fed + 3 * vocab_size);
    golden_same_bits(fed, logits->data, N_TOKENS * vocab_size, "a session and a forward pass");
    tfr_session_close(session);
    free(fed);
}

/* Shapes that only a host program can give: products that overflow are refused before they are formed. */
static void check_shapes_are_bounded(struct tfr_engine *engine) {
    const int64_t huge = INT64_C(1) << 40;
    int32_t id = 1;
    const struct tfr_tensor wrong[] = {
        {.data = &id, .dtype = TFR_DTYPE_I32, .rank = 3, .dim = {huge, huge, 0}, .stride = {0, 0, 1}},
        {.data = &id, .dtype = TFR_DTYPE_I32, .rank = 2, .dim = {huge, 1}, .stride = {0, 0}},
        {.data = &id, .dtype = TFR_DTYPE_I32, .rank = 2, .dim = {INT64_MAX, INT64_MAX}, .stride = {0, 0}},
        {.data = &id, .dtype = TFR_DTYPE_I32, .rank = 2, .dim = {-1, 1}, .stride = {1, 1}},
        {.data = &id, .dtype = TFR_DTYPE_I32, .rank = 9, .dim = {1, 1}, .stride = {1, 1}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const struct tfr_named_tensor input = {.name = "input_ids", .tensor = wrong[i]};
        const struct tfr_forward_options options = {0};
        struct tfr_forward_reply *reply;
        if (tfr_forward(engine, &input, 1, &options, &reply) != TFR_USAGE || strstr(tfr_last_error(), "input_ids") == NULL) {
            golden_fail("shape %zu: %s", i, tfr_last_error());
        }
    }
}

/* What only a host program can ask for. */
static void check_refusals(struct tfr_engine *engine, int32_t *ids) {
    const struct tfr_named_tensor input = {.name = "input_ids",
                                           .tensor = {.data = ids, .dtype = TFR_DTYPE_I32, .rank = 1, .dim = {2}, .stride = {1}}};
    const struct tfr_named_tensor twice[] = {input, input};
    const struct {
        struct tfr_forward_options options;
        size_t n;
        const char *word;
    } cases[] = {{{.out_dtype = TFR_DTYPE_F64}, 1, "out_dtype = 3"},
                 {{.out_dtype = TFR_DTYPE_NONE}, 1, "out_dtype = -1"},
                 {{.attn = 7}, 1, "attn = 7"},
                 {{0}, 2, "input_ids is there twice"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tfr_forward_reply *reply;
        if (tfr_forward(engine, twice, cases[i].n, &cases[i].options, &reply) != TFR_USAGE || reply != NULL ||
            strstr(tfr_last_error(), cases[i].word) == NULL) {
            golden_fail("refusal %zu: %s", i, tfr_last_error());
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        golden_fail("usage: test_forward FOLDER");
    }
    const struct golden_case golden = {.folder = argv[1]};
    struct tfr_engine *engine = golden_engine(&golden, NULL);
    int32_t ids[N_TOKENS] = {5, 3, 0, 7, 7, 1, 2};
    struct tfr_forward_reply *reply = forward(engine, ids, N_TOKENS);
    const struct tfr_tensor *logits = &find(reply, "logits")->tensor;
    if (logits->rank != 3 || logits->dim[0] != 1 || logits->dim[1] != N_TOKENS || logits->dim[2] != tfr_engine_vocab_size(engine)) {
        golden_fail("logits have rank %d and dims %lld, %lld, %lld", logits->rank, (long long)logits->dim[0],
                    (long long)logits->dim[1], (long long)logits->dim[2]);
    }
    if (find(reply, "past_key_values.0.key")->tensor.dim[2] != N_TOKENS ||
        find(reply, "hidden_states.0")->tensor.dim[1] != N_TOKENS) {
        golden_fail("the cache or the hidden states do not cover all tokens");
    }
    check_beside_session(engine, ids, logits);
    check_shapes_are_bounded(engine);
    check_refusals(engine, ids);
    if (tfr_forward_reply_at(reply, tfr_forward_reply_count(reply)) != NULL) {
        golden_fail("there is a tensor behind the last one");
    }
    const struct tfr_forward_options options = {0};
    struct tfr_forward_reply *refused = reply;
    if (tfr_forward(engine, NULL, 0, &options, &refused) != TFR_USAGE || refused != NULL) {
        golden_fail("a request without inputs was not refused");
    }
    tfr_forward_reply_close(refused);
    tfr_forward_reply_close(reply);
    tfr_engine_close(engine);
    return 0;
}

/* test_memory_need.c - what is free against what a rank takes: the packed weights as the engine counts them,
 * a refusal, a warning. */
#include "rank/rank.h"

#include <stdio.h>

#include "base/log.h"
#include "base/status.h"
#include "tfr_test.h"

static char last_line[1024];

static void keep(void *user, enum tfr_log_level level, const char *area, const char *text) {
    (void)user, (void)level, (void)area;
    snprintf(last_line, sizeof(last_line), "%s", text);
}

/* 12 blocks of GPT-2 small have 84,934,656 elements in their matrices, its head 50257 * 768. */
TFR_TEST(packed_bytes_of_gpt2) {
    TFR_UNUSED_STATE;
    struct tfr_config config = {.model = {.n_layer = 12, .n_embd = 768, .n_inner = 3072, .vocab_size = 50257}};
    const struct tfr_hparams *model = &config.model;
    assert_int_equal(tfr_packed_bytes(&config, 12, 0, TFR_DTYPE_F32), INT64_C(84934656) * 4);
    assert_int_equal(tfr_packed_bytes(&config, 12, model->vocab_size, TFR_DTYPE_BF16), (INT64_C(84934656) + INT64_C(38597376)) * 2);
    assert_int_equal(tfr_packed_bytes(&config, 0, 0, TFR_DTYPE_F32), 0);
    /* with a scale for each output: 3 * 768 + 768 + 3072 + 768 of a block, 50257 of the head */
    assert_int_equal(tfr_packed_bytes(&config, 12, model->vocab_size, TFR_DTYPE_I8_CHANNEL),
                     INT64_C(84934656) + INT64_C(38597376) + (12 * 6912 + 50257) * 4);
    /* 4 bits and a scale of 16 for each 32; of two blocks in 12 and of the head 8 bits and a scale of 32 for each output */
    char *globs[] = {"lm_head.weight", "h.0.*", "h.11.*"};
    config.options.runtime_int4_finer = (struct tfr_string_list){.items = globs, .n = 3};
    const int64_t of_fours = INT64_C(84934656) / 12 / 32 * 18, of_eights = INT64_C(84934656) / 12 + 6912 * 4;
    assert_int_equal(tfr_packed_bytes(&config, 12, 0, TFR_DTYPE_I4_GROUP), 10 * of_fours + 2 * of_eights);
    assert_int_equal(tfr_packed_bytes(&config, 0, model->vocab_size, TFR_DTYPE_I4_GROUP), INT64_C(38597376) + 50257 * 4);
    config.options.runtime_int4_finer.n = 0;
    config.model.add_cross_attention = true;
    assert_int_equal(tfr_packed_bytes(&config, 1, 0, TFR_DTYPE_F32), (int64_t)16 * 768 * 768 * 4);
}

/* The demo model once run holds what was predicted, and its biases and norms. */
TFR_TEST(packed_bytes_are_those_of_an_engine) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine;
    struct tfr_generation result;
    struct tfr_generation_stats stats;
    const int32_t ids[] = {1, 2, 3};
    const struct tfr_prompt prompt = {.ids = ids, .n_ids = 3};
    const struct tfr_override whole = {
        .key = "runtime.lossless", .value = "false", .origin = "test"}; /* 32 bits, not 16 that are enough */
    assert_ok(tfr_engine_open(&engine, TFR_SOURCE_DIR "/configs/demo", &whole, 1));
    assert_ok(tfr_generate(engine, &prompt, 1, NULL, NULL, &result, &stats));
    const int64_t said =
        tfr_packed_bytes(engine->config, engine->config->model.n_layer, engine->config->model.vocab_size, TFR_DTYPE_F32);
    const int64_t held = tfr_engine_memory(engine).weights_bytes;
    assert_true(held >= said && held < said + said / 20);
    tfr_generation_free(&result);
    tfr_engine_close(engine);
}

TFR_TEST(weights_that_do_not_fit_are_refused) {
    TFR_UNUSED_STATE;
    struct tfr_memory_need need = {
        .n_layers = 12, .weights_bytes = 500000000, .cache_bytes = 75000000, .free_bytes = 400000000, .can_halve = true};
    assert_refused(tfr_memory_judge("c.json", &need), TFR_RESOURCE,
                   "c.json: the packed weights of 12 blocks take 500.0 MB, and 400.0 MB are free for this process");
    assert_non_null(strstr(tfr_failure_text(), "--dtype bf16"));
    need.can_halve = false;
    assert_refused(tfr_memory_judge("c.json", &need), TFR_RESOURCE, "raise the limit, or spread");
    need.free_bytes = 0; /* not known */
    assert_ok(tfr_memory_judge("c.json", &need));
}

TFR_TEST(a_full_cache_that_does_not_fit_is_a_warning) {
    TFR_UNUSED_STATE;
    const struct tfr_memory_need need = {
        .weights_bytes = 500000000, .cache_bytes = 75000000, .free_bytes = 574000000, .can_halve = true};
    struct tfr_memory_need enough = need;
    enough.free_bytes++;
    enough.cache_bytes -= 1000000;
    tfr_log_set_level(TFR_LOG_WARN);
    tfr_log_set_callback(keep, NULL);
    assert_ok(tfr_memory_judge("c.json", &enough));
    assert_string_equal(last_line, "");
    assert_ok(tfr_memory_judge("c.json", &need));
    assert_non_null(strstr(last_line, "weights of 500 MB and the kv cache of one full sequence, 75 MB, are more than the 574 MB"));
    tfr_log_set_callback(NULL, NULL);
}

TFR_TEST_MAIN(TFR_CASE(packed_bytes_of_gpt2), TFR_CASE(packed_bytes_are_those_of_an_engine),
              TFR_CASE(weights_that_do_not_fit_are_refused), TFR_CASE(a_full_cache_that_does_not_fit_is_a_warning))

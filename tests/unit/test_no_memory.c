/* test_no_memory.c - what finds no memory is refused or is whole: each allocation of a call is refused in turn, and where the call
 * goes well all the same, it has to give what it gives without a fault. */
#include <tfrun/profile.h>
#include <tfrun/tfrun.h>

#include "base/arena.h"
#include "base/status.h"
#include "tfr_files.h"
#include "tfr_test.h"

static const char *const golden = TFR_SOURCE_DIR "/tests/model/golden/base";

/* One answer as a text of its own. */
typedef enum tfr_status (*ask_fn)(char **text);

static void refuse_each(ask_fn ask, uint64_t least) {
    char *whole, *text;
    uint64_t i = 1;
    assert_ok(ask(&whole));
    for (bool is_done = false; !is_done; i++) {
        text = NULL;
        tfr_alloc_fail_after(i);
        const enum tfr_status status = ask(&text);
        tfr_alloc_fail_after(0);
        if (status == TFR_OK && strcmp(text, whole) != 0) {
            fail_msg("allocation %llu: \"%s\" is not \"%s\"", (unsigned long long)i, text, whole);
        }
        assert_true(status == TFR_OK || tfr_failure_text()[0] != '\0');
        is_done = status == TFR_OK && i > least;
        tfr_free(text);
    }
    tfr_free(whole);
}

static enum tfr_status ask_config(char **text) {
    static const struct tfr_override overrides[] = {
        {.key = "sampling.eos_token_id", .value = "[1, 2]", .origin = "--set"},
        {.key = "sampling.bad_words_ids", .value = "[[3], [4, 5]]", .origin = "--set"},
    };
    return tfr_report_config(golden, overrides, TFR_COUNT_OF(overrides), text);
}

TFR_TEST(a_config_is_printed_with_all_keys) {
    TFR_UNUSED_STATE;
    refuse_each(ask_config, 500);
}

static enum tfr_status ask_missing(char **text) {
    bool missing;
    TFR_TRY(tfr_weights_are_missing(golden, NULL, 0, &missing));
    *text = tfr_strdup(missing ? "missing" : "there");
    return *text != NULL ? TFR_OK : TFR_RESOURCE;
}

TFR_TEST(weights_that_are_there_are_not_missing) {
    TFR_UNUSED_STATE;
    refuse_each(ask_missing, 200);
}

TFR_TEST(a_model_is_never_quantized_into_its_own_folder) {
    TFR_UNUSED_STATE;
    const struct tfr_override overrides[] = {{.key = "output.file", .value = golden, .origin = "-o"},
                                             {.key = "output.force", .value = "true", .origin = "--force"}};
    const struct tfr_quantize_request request = {.to = "int8"};
    for (uint64_t i = 0; i < 300; i++) {
        tfr_alloc_fail_after(i);
        assert_int_not_equal(tfr_quantize_check(golden, overrides, TFR_COUNT_OF(overrides), &request), TFR_OK);
        tfr_alloc_fail_after(0);
    }
}

TFR_TEST_MAIN(TFR_CASE(a_config_is_printed_with_all_keys), TFR_CASE(weights_that_are_there_are_not_missing),
              TFR_CASE(a_model_is_never_quantized_into_its_own_folder))

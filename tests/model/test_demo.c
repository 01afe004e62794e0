/* test_demo.c - `test_demo CONFIG GOLDEN INDEX`: prompt INDEX of the demo model gives the ids that
 * transformers gave.
 *
 * Greedy, f32, one process, past the end-of-text token, as scripts/make_demo_golden.py did it; the prompt's
 * own ids are compared too.
 */
#include <tfrun/tfrun.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"

static void fail(const char *format, ...) TFR_PRINTF(1, 2);
static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static const tfr_json *item(const struct tfr_json_doc *doc, const char *key, long index) {
    const tfr_json *node = tfr_json_first(tfr_json_member(tfr_json_root(doc), key));
    for (long i = 0; node != NULL && i < index; i++) {
        node = tfr_json_next(node);
    }
    if (node == NULL) {
        fail("%s: no %s[%ld]", tfr_json_name(doc), key, index);
    }
    return node;
}

static void expect_ids(const tfr_json *expected, const int32_t *ids, size_t n, const char *what) {
    size_t i = 0;
    for (const tfr_json *node = tfr_json_first(expected); node != NULL; node = tfr_json_next(node), i++) {
        if (i >= n || ids[i] != (int32_t)tfr_json_number(node)) {
            fail("%s: id %zu is %d, transformers has %d", what, i, i < n ? ids[i] : -1, (int)tfr_json_number(node));
        }
    }
    if (i != n) {
        fail("%s: %zu ids, transformers has %zu", what, n, i);
    }
}

static void generate(const char *config, const char *text, size_t n_tokens, struct tfr_generation *result) {
    char count[24];
    snprintf(count, sizeof count, "%zu", n_tokens);
    const struct tfr_override overrides[] = {{"sampling.max_tokens", count, "the test"},
                                             {"sampling.temperature", "0", "the test"},
                                             {"sampling.ignore_eos", "true", "the test"},
                                             {"runtime.dtype", "f32", "the test"}};
    struct tfr_engine *engine;
    struct tfr_generation_stats stats;
    const struct tfr_prompt prompt = {.text = text, .size = strlen(text)};
    if (tfr_engine_open(&engine, config, overrides, sizeof overrides / sizeof overrides[0]) != TFR_OK ||
        tfr_generate(engine, &prompt, 1, NULL, NULL, result, &stats) != TFR_OK) {
        fail("%s", tfr_last_error());
    }
    tfr_engine_close(engine);
}

int main(int argc, char **argv) {
    struct tfr_json_doc *doc;
    struct tfr_generation result;
    if (argc != 4) {
        fail("usage: test_demo CONFIG GOLDEN INDEX");
    }
    if (tfr_json_open_file(&doc, argv[2], TFR_MODEL) != TFR_OK) {
        fail("%s", tfr_failure_text());
    }
    const long index = strtol(argv[3], NULL, 10);
    const tfr_json *ids = item(doc, "ids", index);
    generate(argv[1], tfr_json_string(item(doc, "prompts", index)), tfr_json_size(ids), &result);
    expect_ids(item(doc, "prompt_ids", index), result.prompt_ids, result.n_prompt_ids, "prompt");
    expect_ids(ids, result.ids, result.n_ids, "continuation");
    printf("%.200s\n", result.text);
    tfr_generation_free(&result);
    tfr_json_close(doc);
    return 0;
}

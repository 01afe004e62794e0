/* test_beam.c - `test_beam FOLDER GOLDEN [NAME]`: generation gives the ids of transformers (all cases, or those of one
 * name); `test_beam CASE - LAW`: laws that need no reference.
 *
 * FOLDER/<model> holds each case's model ("demo": FOLDER itself). Laws: beam sampling depends on the seed alone; one beam is
 * greedy; samples of one prompt differ and repeat.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "golden_case.h"

enum { MAX_OVERRIDES = 16, MAX_RESULTS = 16 };

struct overrides {
    struct tfr_override item[MAX_OVERRIDES];
    char text[MAX_OVERRIDES][4096];
    size_t n;
};

static void add(struct overrides *list, const char *key, const char *value) {
    if (list->n == MAX_OVERRIDES) {
        golden_fail("too many settings");
    }
    snprintf(list->text[list->n], sizeof list->text[0], "%s", value);
    list->item[list->n] = (struct tfr_override){.key = key, .value = list->text[list->n], .origin = "the test"};
    list->n++;
}

static void add_node(struct overrides *list, const tfr_json *node) {
    char text[96];
    if (tfr_json_kind(node) == TFR_JSON_NUMBER) {
        snprintf(text, sizeof text, "%.15g", tfr_json_number(node));
        add(list, tfr_json_key(node), text);
    } else if (tfr_json_kind(node) == TFR_JSON_BOOL) {
        add(list, tfr_json_key(node), tfr_json_bool(node) ? "true" : "false");
    } else {
        add(list, tfr_json_key(node), tfr_json_string(node));
    }
}

static void add_eos(struct overrides *list, const tfr_json *eos) {
    char text[96] = "[";
    for (const tfr_json *id = tfr_json_first(eos); id != NULL; id = tfr_json_next(id)) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", text[1] != '\0' ? "," : "", (int)tfr_json_number(id));
    }
    strcat(text, "]");
    if (tfr_json_size(eos) == 0) {
        add(list, "sampling.ignore_eos", "true");
    } else {
        add(list, "sampling.eos_token_id", text);
    }
}

/* Generates; the caller frees the results. Returns how many there are. */
static size_t generate(const char *folder, const struct overrides *list, const int32_t *ids, size_t n_ids,
                       struct tfr_generation *results) {
    struct tfr_engine *engine;
    struct tfr_generation_stats stats;
    golden_check(tfr_engine_open(&engine, folder, list->item, list->n), "open");
    const struct tfr_prompt prompt = {.ids = ids, .n_ids = n_ids};
    const size_t n = tfr_generate_choices(engine);
    if (n > MAX_RESULTS) {
        golden_fail("%zu results", n);
    }
    golden_check(tfr_generate(engine, &prompt, 1, NULL, NULL, results, &stats), "generate");
    tfr_engine_close(engine);
    return n;
}

static void free_results(struct tfr_generation *results, size_t n) {
    for (size_t i = 0; i < n; i++) {
        tfr_generation_free(&results[i]);
    }
}

static void expect_ids(const tfr_json *expected, const struct tfr_generation *result, int index, size_t row) {
    size_t i = 0;
    for (const tfr_json *id = tfr_json_first(expected); id != NULL; id = tfr_json_next(id), i++) {
        if (i >= result->n_ids || result->ids[i] != (int32_t)tfr_json_number(id)) {
            golden_fail("case %d, sequence %zu: id %zu is %d, transformers has %d", index, row, i,
                        i < result->n_ids ? result->ids[i] : -1, (int)tfr_json_number(id));
        }
    }
    if (i != result->n_ids) {
        golden_fail("case %d, sequence %zu: %zu ids, transformers has %zu", index, row, result->n_ids, i);
    }
}

static void check_case(const char *folder, const tfr_json *item, int index) {
    char path[4096];
    const char *model = tfr_json_string(tfr_json_member(item, "model"));
    snprintf(path, sizeof path, "%s%s%s", folder, strcmp(model, "demo") == 0 ? "" : "/", strcmp(model, "demo") == 0 ? "" : model);
    struct overrides list = {.n = 0};
    add(&list, "sampling.temperature", "0");
    add_eos(&list, tfr_json_member(item, "eos"));
    for (const tfr_json *node = tfr_json_first(tfr_json_member(item, "settings")); node != NULL; node = tfr_json_next(node)) {
        const bool drafts = strcmp(tfr_json_key(node), "sampling.assistant") == 0;
        drafts ? add(&list, "sampling.assistant", path) : add_node(&list, node);
    }
    int32_t ids[MAX_GOLDEN_TOKENS];
    size_t n_ids = 0;
    for (const tfr_json *id = tfr_json_first(tfr_json_member(item, "prompt")); id != NULL; id = tfr_json_next(id)) {
        ids[n_ids++] = (int32_t)tfr_json_number(id);
    }
    struct tfr_generation results[MAX_RESULTS];
    const size_t n = generate(path, &list, ids, n_ids, results);
    const tfr_json *expected = tfr_json_member(item, "ids");
    if (n != tfr_json_size(expected)) {
        golden_fail("case %d: %zu sequences, transformers has %zu", index, n, tfr_json_size(expected));
    }
    size_t row = 0;
    for (const tfr_json *ids_of = tfr_json_first(expected); ids_of != NULL; ids_of = tfr_json_next(ids_of), row++) {
        expect_ids(ids_of, &results[row], index, row);
    }
    free_results(results, n);
}

/* Cases of that name; all where it is NULL. */
static void check_golden(const char *folder, const char *golden, const char *name) {
    struct tfr_json_doc *doc;
    if (tfr_json_open_file(&doc, golden, TFR_MODEL) != TFR_OK) {
        golden_fail("%s", tfr_failure_text());
    }
    int index = 0;
    const tfr_json *cases = tfr_json_member(tfr_json_root(doc), "cases");
    for (const tfr_json *item = tfr_json_first(cases); item != NULL; item = tfr_json_next(item)) {
        if (name == NULL || strcmp(tfr_json_string(tfr_json_member(item, "name")), name) == 0) {
            check_case(folder, item, index++);
        }
    }
    if (index == 0) {
        golden_fail("%s has no such cases", golden);
    }
    printf("%d cases\n", index);
    tfr_json_close(doc);
}

static void same_result(const struct tfr_generation *a, const struct tfr_generation *b, bool same, const char *what) {
    const bool equal = a->n_ids == b->n_ids && memcmp(a->ids, b->ids, a->n_ids * sizeof *a->ids) == 0;
    if (equal != same) {
        golden_fail("%s: the ids are %s", what, equal ? "the same" : "not the same");
    }
}

static size_t run_law(const struct golden_case *golden, const char *const *settings, struct tfr_generation *results) {
    struct overrides list = {.n = 0};
    char key[MAX_OVERRIDES][64];
    add(&list, "sampling.max_tokens", "8");
    add(&list, "sampling.ignore_eos", "true");
    for (size_t i = 0; settings[i] != NULL; i++) {
        const char *equals = strchr(settings[i], '=');
        snprintf(key[i], sizeof key[i], "%.*s", (int)(equals - settings[i]), settings[i]);
        add(&list, key[i], equals + 1);
    }
    return generate(golden->folder, &list, golden->ids, 3, results);
}

/* Two runs of the same settings, and one of another seed. */
static void law_seed(const struct golden_case *golden) {
    static const char *const beams[] = {"sampling.do_sample=true", "sampling.num_beams=3", "sampling.num_return_sequences=2",
                                        "sampling.temperature=3",  "sampling.seed=5",      NULL};
    static const char *const samples[] = {"sampling.temperature=3", "sampling.num_return_sequences=4", "sampling.seed=5", NULL};
    static const char *const others[] = {"sampling.temperature=3", "sampling.num_return_sequences=4", "sampling.seed=6", NULL};
    static const char *const narrow[] = {"sampling.temperature=3", "sampling.num_return_sequences=4", "sampling.seed=5",
                                         "runtime.max_batch=3", NULL};
    struct tfr_generation a[MAX_RESULTS], b[MAX_RESULTS];
    size_t n = run_law(golden, beams, a);
    run_law(golden, beams, b);
    same_result(&a[1], &b[1], true, "beam sampling again");
    free_results(a, n);
    free_results(b, n);
    n = run_law(golden, samples, a);
    run_law(golden, narrow, b);
    for (size_t i = 0; i < n; i++) {
        same_result(&a[i], &b[i], true, "samples in other groups");
    }
    same_result(&a[0], &a[1], false, "two samples of one prompt");
    free_results(b, n);
    run_law(golden, others, b);
    same_result(&a[0], &b[0], false, "another seed");
    free_results(a, n);
    free_results(b, n);
}

/* Whatever drafts, greedy ids are those of plain decoding. A model that drafts for itself has every draft accepted. */
static void law_assist(const struct golden_case *golden, const char *assistant) {
    char other[4096], itself[4096];
    snprintf(other, sizeof other, "sampling.assistant=%s", assistant);
    snprintf(itself, sizeof itself, "sampling.assistant=%s", golden->folder);
    const char *const cases[][5] = {
        {"sampling.max_tokens=20", other},
        {"sampling.max_tokens=20", itself, "sampling.num_assistant_tokens=3"},
        {"sampling.max_tokens=20", "sampling.prompt_lookup=4"},
        {"sampling.max_tokens=20", "sampling.prompt_lookup=9", "sampling.max_matching_ngram_size=1", "runtime.max_rows=3"},
        {"sampling.max_tokens=20", other, "sampling.repetition_penalty=1.3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const bool penalty = i == 4;
        const char *const plain[] = {"sampling.max_tokens=20", penalty ? "sampling.repetition_penalty=1.3" : NULL, NULL};
        struct tfr_generation a[MAX_RESULTS], b[MAX_RESULTS];
        run_law(golden, plain, a);
        run_law(golden, cases[i], b);
        same_result(a, b, true, cases[i][1]);
        if (a->n_ids != 20) {
            golden_fail("%zu tokens instead of 20", a->n_ids);
        }
        free_results(a, 1);
        free_results(b, 1);
    }
}

int main(int argc, char **argv) {
    if (argc == 3 || (argc == 4 && strcmp(argv[2], "-") != 0)) {
        check_golden(argv[1], argv[2], argv[3]);
        return 0;
    }
    struct golden_case golden;
    golden_read(&golden, argv[1]);
    if (argc == 4 && strcmp(argv[3], "seed") == 0) {
        law_seed(&golden);
    } else if (argc == 4 && strncmp(argv[3], "assist=", 7) == 0) {
        law_assist(&golden, argv[3] + 7);
    } else {
        golden_fail("usage: test_beam FOLDER GOLDEN [NAME], or test_beam CASE - seed|assist=CASE");
    }
    golden_free(&golden);
    return 0;
}

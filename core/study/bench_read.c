/* bench_read.c - a bench from its document: figures are worked out again from the times, so only those are read. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "study/bench_document.h"
#include "study/kernel_bench.h"

/* A case of all ranks' threads is a number that fits. */
enum { MOST_RANKS = 1 << 20, MOST_THREADS = 4096 /* as runtime.threads */, MOST_N = 1 << 30 };

#define TO_MAKE_ONE "`tfrun bench CONFIG --save FILE` or --format json makes one"

static enum tfr_status read_real(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, double *value) {
    const tfr_json *node = tfr_json_member(object, key);
    if (node == NULL || tfr_json_kind(node) != TFR_JSON_NUMBER || !(tfr_json_number(node) >= 0) ||
        !isfinite(tfr_json_number(node))) {
        return tfr_document_refuse(doc, object, key, "a number from 0 on");
    }
    *value = tfr_json_number(node);
    return TFR_OK;
}

static enum tfr_status read_whole(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, int64_t most,
                                  int64_t *value) {
    const tfr_json *node = tfr_json_member(object, key);
    if (node == NULL || !tfr_json_int64(doc, node, value) || *value < 0) {
        return tfr_document_refuse(doc, object, key, "a whole number from 0 on");
    }
    return *value <= most ? TFR_OK : tfr_document_refuse(doc, object, key, "no more than there can be");
}

static enum tfr_status read_text(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, char *text, size_t size) {
    const char *found = tfr_json_string(tfr_json_member(object, key));
    if (found == NULL || strlen(found) >= size || !tfr_is_plain(found)) {
        return tfr_document_refuse(doc, object, key, "a short string without control characters");
    }
    memcpy(text, found, strlen(found) + 1);
    return TFR_OK;
}

static enum tfr_status read_times(const struct tfr_json_doc *doc, const tfr_json *node, struct tfr_bench_figure *figure) {
    const tfr_json *list = tfr_json_member(node, "times_ms");
    const size_t n = list != NULL && tfr_json_kind(list) == TFR_JSON_ARRAY ? tfr_json_size(list) : 0;
    if (n < 1 || n > TFR_MOST_TIMES) {
        return tfr_document_refuse(doc, node, "times_ms", "a list of 1 to 1000 times");
    }
    figure->times = tfr_alloc(n, sizeof *figure->times);
    if (figure->times == NULL) {
        return TFR_RESOURCE;
    }
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        if (tfr_json_kind(item) != TFR_JSON_NUMBER || !(tfr_json_number(item) > 0) || !isfinite(tfr_json_number(item))) {
            return tfr_document_refuse(doc, item, "times_ms", "times above 0");
        }
        figure->times[figure->n_times++] = tfr_json_number(item) / 1e3;
    }
    figure->spread = tfr_spread_of(figure->times, figure->n_times);
    return TFR_OK;
}

/* What not every bench has: 0 where it has none. */
static enum tfr_status read_optional(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, double *value) {
    *value = 0;
    return tfr_json_member(object, key) != NULL ? read_real(doc, object, key, value) : TFR_OK;
}

static enum tfr_status read_figure_ranks(const struct tfr_json_doc *doc, const tfr_json *node, struct tfr_bench_figure *figure,
                                         int n_ranks) {
    const tfr_json *list = tfr_json_member(node, "ranks");
    int rank = 0;
    if (list == NULL) {
        return TFR_OK;
    }
    if (tfr_json_kind(list) != TFR_JSON_ARRAY || tfr_json_size(list) != (size_t)n_ranks) {
        return tfr_document_refuse(doc, node, "ranks", "a list with an item for each rank");
    }
    figure->ranks = tfr_alloc((size_t)n_ranks, sizeof *figure->ranks);
    if (figure->ranks == NULL) {
        return TFR_RESOURCE;
    }
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item), rank++) {
        struct tfr_bench_rank *one = &figure->ranks[rank];
        TFR_TRY(read_real(doc, item, "busy_ms", &one->busy_s));
        TFR_TRY(read_real(doc, item, "wait_ms", &one->wait_s));
        TFR_TRY(read_real(doc, item, "control_ms", &one->control_s));
        TFR_TRY(read_real(doc, item, "bytes_sent", &one->bytes));
        TFR_TRY(read_real(doc, item, "messages_sent", &one->messages));
        one->busy_s /= 1e3;
        one->wait_s /= 1e3;
        one->control_s /= 1e3;
    }
    return TFR_OK;
}

static enum tfr_status read_figure(const struct tfr_json_doc *doc, const tfr_json *node, struct tfr_bench_figure *figure,
                                   int n_ranks) {
    const char *name = tfr_json_string(tfr_json_member(node, "case"));
    int kind = 0;
    while (kind < TFR_BENCH_KINDS && (name == NULL || strcmp(name, tfr_bench_kind_name((enum tfr_bench_kind)kind)) != 0)) {
        kind++;
    }
    if (kind == TFR_BENCH_KINDS) {
        return tfr_document_refuse(doc, node, "case", "decode, prefill, sequences, steps, mixed or class");
    }
    figure->what.kind = (enum tfr_bench_kind)kind;
    TFR_TRY(read_whole(doc, node, "n", MOST_N, &figure->what.n));
    TFR_TRY(read_real(doc, node, "tokens", &figure->tokens));
    TFR_TRY(read_real(doc, node, "first_ms", &figure->first_s));
    TFR_TRY(read_optional(doc, node, "roof_ms", &figure->roof_s));
    TFR_TRY(read_optional(doc, node, "predicted_ms", &figure->predicted_s));
    figure->first_s /= 1e3;
    figure->roof_s /= 1e3;
    figure->predicted_s /= 1e3;
    figure->waited_percent = -1;
    if (tfr_json_member(node, "waited_percent") != NULL) {
        TFR_TRY(read_real(doc, node, "waited_percent", &figure->waited_percent));
    }
    TFR_TRY(read_figure_ranks(doc, node, figure, n_ranks));
    return read_times(doc, node, figure);
}

static enum tfr_status read_figures(const struct tfr_json_doc *doc, struct tfr_bench *bench) {
    const tfr_json *list = tfr_json_member(tfr_json_root(doc), "cases");
    if (list == NULL || tfr_json_kind(list) != TFR_JSON_ARRAY) {
        return tfr_document_refuse(doc, tfr_json_root(doc), "cases", "a list");
    }
    bench->figures = tfr_alloc(tfr_json_size(list) + 1, sizeof *bench->figures);
    if (bench->figures == NULL) {
        return TFR_RESOURCE;
    }
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        TFR_TRY(read_figure(doc, item, &bench->figures[bench->n_figures++], bench->n_ranks));
    }
    return TFR_OK;
}

static enum tfr_status read_ranks(const struct tfr_json_doc *doc, struct tfr_bench *bench) {
    const tfr_json *list = tfr_json_member(tfr_json_root(doc), "per_rank");
    int rank = 0;
    if (list == NULL || tfr_json_kind(list) != TFR_JSON_ARRAY || tfr_json_size(list) != (size_t)bench->n_ranks) {
        return tfr_document_refuse(doc, tfr_json_root(doc), "per_rank", "a list with an item for each rank");
    }
    bench->peak_memory_bytes = tfr_alloc((size_t)bench->n_ranks, sizeof *bench->peak_memory_bytes);
    if (bench->peak_memory_bytes == NULL) {
        return TFR_RESOURCE;
    }
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        TFR_TRY(read_whole(doc, item, "peak_memory_bytes", INT64_MAX, &bench->peak_memory_bytes[rank++]));
    }
    return TFR_OK;
}

static enum tfr_status read_head(const struct tfr_json_doc *doc, struct tfr_bench *bench) {
    const tfr_json *root = tfr_json_root(doc);
    char text[32];
    int64_t ranks, threads;
    const char *schema = tfr_json_string(tfr_json_member(root, "schema"));
    if (schema != NULL && strcmp(schema, TFR_KERNEL_BENCH_SCHEMA) == 0) {
        return tfr_raise(TFR_MODEL,
                         "%s is of kernels alone (--micro), and this takes benches of models; kernels are compared in one run, in "
                         "which they take turns, or by median_us and times_us of the same case and kernel (docs/bench.md)",
                         tfr_json_name(doc));
    }
    if (schema == NULL || strcmp(schema, TFR_BENCH_SCHEMA) != 0) {
        return tfr_raise(TFR_MODEL, "%s is no document of bench, whose schema is \"" TFR_BENCH_SCHEMA "\"; " TO_MAKE_ONE,
                         tfr_json_name(doc));
    }
    TFR_TRY(read_text(doc, root, "model", bench->model, sizeof bench->model));
    TFR_TRY(read_text(doc, root, "machine", bench->machine, sizeof bench->machine));
    TFR_TRY(read_whole(doc, root, "ranks", MOST_RANKS, &ranks));
    TFR_TRY(read_whole(doc, root, "threads", MOST_THREADS, &threads));
    TFR_TRY(read_whole(doc, root, "repetitions", TFR_MOST_TIMES, &bench->repetitions));
    TFR_TRY(read_real(doc, root, "memory_bytes_per_s", &bench->memory_rate));
    TFR_TRY(read_real(doc, root, "flops_per_s", &bench->flop_rate));
    TFR_TRY(read_real(doc, root, "load_s", &bench->load_s));
    TFR_TRY(read_real(doc, root, "first_token_s", &bench->first_token_s));
    TFR_TRY(read_text(doc, root, "logits_digest", text, sizeof text));
    if (ranks < 1 || threads < 1) {
        return tfr_document_refuse(doc, root, ranks < 1 ? "ranks" : "threads", "a whole number from 1 on");
    }
    bench->n_ranks = (int)ranks;
    bench->n_threads = (int)threads;
    char *end;
    bench->logits_digest = strtoull(text, &end, 16);
    return end == text + 16 && *end == '\0' ? TFR_OK : tfr_document_refuse(doc, root, "logits_digest", "16 hexadecimal digits");
}

static enum tfr_status read_all(const struct tfr_json_doc *doc, struct tfr_bench *bench) {
    const tfr_json *manifest = tfr_json_member(tfr_json_root(doc), "manifest");
    TFR_TRY(read_head(doc, bench));
    TFR_TRY(read_figures(doc, bench));
    TFR_TRY(read_ranks(doc, bench));
    return manifest != NULL ? tfr_manifest_read(&bench->manifest, doc, manifest)
                            : tfr_document_refuse(doc, tfr_json_root(doc), "manifest", "an object");
}

/* What is no JSON at all is most often the table of a bench, or the wrong file. */
static enum tfr_status open_document(struct tfr_json_doc **doc, const char *path) {
    if (tfr_path_is_directory(path)) {
        return tfr_raise(TFR_MODEL, "%s is a folder, not a document of bench; " TO_MAKE_ONE, path);
    }
    const enum tfr_status status = tfr_json_open_file(doc, path, TFR_MODEL);
    if (status == TFR_MODEL) {
        char reason[512];
        snprintf(reason, sizeof reason, "%s", tfr_failure_text());
        return tfr_raise(TFR_MODEL, "%s: this is no JSON document of bench; " TO_MAKE_ONE, reason);
    }
    return status;
}

enum tfr_status tfr_bench_read(struct tfr_bench **bench, const char *path) {
    struct tfr_json_doc *doc;
    *bench = NULL;
    TFR_TRY(open_document(&doc, path));
    struct tfr_bench *made = tfr_alloc(1, sizeof *made);
    const enum tfr_status status = made != NULL ? read_all(doc, made) : TFR_RESOURCE;
    tfr_json_close(doc);
    if (status != TFR_OK) {
        tfr_bench_free(made);
        return status;
    }
    *bench = made;
    return TFR_OK;
}

enum tfr_status tfr_bench_is_document(const char *path, bool *is) {
    struct tfr_json_doc *doc;
    TFR_TRY(tfr_json_open_file(&doc, path, TFR_MODEL));
    const char *schema = tfr_json_string(tfr_json_member(tfr_json_root(doc), "schema"));
    *is = schema != NULL && strcmp(schema, TFR_BENCH_SCHEMA) == 0;
    tfr_json_close(doc);
    return TFR_OK;
}

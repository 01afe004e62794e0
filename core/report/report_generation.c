/* report_generation.c - generations as JSON, and result files that appear complete or not at all. */
#include <tfrun/tfrun.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "rank/rank.h"
#include "report/run_prediction.h"

static const char *const finish_names[] = {"cancelled", "length", "eos", "stop"};

static void put_ids(struct tfr_json_out *out, const char *key, const int32_t *ids, size_t n) {
    tfr_json_begin(out, key, '[');
    for (size_t i = 0; i < n; i++) {
        tfr_json_put_int(out, NULL, ids[i]);
    }
    tfr_json_end(out, ']');
}

/* Of one token: itself, then the best at its place. */
static void put_logprob(struct tfr_json_out *out, const struct tfr_logprob *items, size_t n_top) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "id", items[0].id);
    tfr_json_put_number(out, "logprob", items[0].logprob);
    tfr_json_begin(out, "top", '[');
    for (size_t i = 1; i <= n_top; i++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_int(out, "id", items[i].id);
        tfr_json_put_number(out, "logprob", items[i].logprob);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

static void put_logprobs(struct tfr_json_out *out, const struct tfr_generation *generation) {
    const size_t each = generation->n_top + 1;
    if (generation->prompt_logprobs != NULL) {
        tfr_json_begin(out, "prompt_logprobs", '[');
        tfr_json_put_null(out, NULL); /* nothing stands before the first token */
        for (size_t i = 0; i + 1 < generation->n_prompt_ids; i++) {
            put_logprob(out, generation->prompt_logprobs + i * each, generation->n_top);
        }
        tfr_json_end(out, ']');
    }
    if (generation->logprobs != NULL) {
        tfr_json_begin(out, "logprobs", '[');
        for (size_t i = 0; i < generation->n_ids; i++) {
            put_logprob(out, generation->logprobs + i * each, generation->n_top);
        }
        tfr_json_end(out, ']');
    }
}

static void put_generation(struct tfr_json_out *out, const struct tfr_generation *generation) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_string(out, "text", generation->text, generation->text_size);
    tfr_json_put_text(out, "finish_reason", finish_names[generation->finish]);
    put_ids(out, "prompt_ids", generation->prompt_ids, generation->n_prompt_ids);
    put_ids(out, "ids", generation->ids, generation->n_ids);
    put_logprobs(out, generation);
    tfr_json_end(out, '}');
}

static void put_facts(struct tfr_json_out *out, const struct tfr_rank_facts *facts) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_number(out, "busy_ms", (double)facts->busy_ns / 1e6);
    tfr_json_put_number(out, "wait_ms", (double)facts->wait_ns / 1e6);
    tfr_json_put_number(out, "control_ms", (double)facts->control_ns / 1e6);
    tfr_json_put_int(out, "sent_bytes", (int64_t)facts->sent_bytes);
    tfr_json_put_int(out, "sent_messages", (int64_t)facts->sent_messages);
    tfr_json_end(out, '}');
}

static void put_stats(struct tfr_json_out *out, const struct tfr_generation_stats *stats) {
    tfr_json_begin(out, "stats", '{');
    tfr_json_put_int(out, "prompt_tokens", (int64_t)stats->prompt_tokens);
    tfr_json_put_int(out, "cached_tokens", (int64_t)stats->cached_tokens);
    tfr_json_put_int(out, "output_tokens", (int64_t)stats->output_tokens);
    tfr_json_put_number(out, "load_ms", (double)stats->load_ns / 1e6);
    tfr_json_put_number(out, "pack_ms", (double)stats->pack_ns / 1e6);
    tfr_json_put_number(out, "first_token_ms", (double)stats->first_token_ns / 1e6);
    tfr_json_put_number(out, "prompt_ms", (double)stats->prompt_ns / 1e6);
    tfr_json_put_number(out, "decode_ms", (double)stats->decode_ns / 1e6);
    tfr_json_put_int(out, "peak_memory_bytes", stats->peak_memory_bytes);
    if (stats->rank_memory_bytes != NULL && stats->n_ranks > 1) {
        tfr_json_begin(out, "rank_memory_bytes", '[');
        for (int rank = 0; rank < stats->n_ranks; rank++) {
            tfr_json_put_int(out, NULL, stats->rank_memory_bytes[rank]);
        }
        tfr_json_end(out, ']');
    }
    if (stats->rank_facts != NULL && stats->n_ranks > 1) {
        tfr_json_begin(out, "rank_facts", '[');
        for (int rank = 0; rank < stats->n_ranks; rank++) {
            put_facts(out, &stats->rank_facts[rank]);
        }
        tfr_json_end(out, ']');
    }
    tfr_json_end(out, '}');
}

enum tfr_status tfr_generation_json(const struct tfr_engine *engine, const struct tfr_generation *results, size_t n,
                                    const struct tfr_generation_stats *stats, char **text) {
    struct tfr_json_out out = {0};
    char digest[24];
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)stats->logits_digest);
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-generate-1");
    tfr_json_put_text(&out, "version", TFR_VERSION_TEXT);
    if (engine->config->options.model_name != NULL) {
        tfr_json_put_text(&out, "model", engine->config->options.model_name);
    }
    tfr_json_put_int(&out, "ranks", tfr_engine_size(engine));
    tfr_json_put_int(&out, "threads", engine->threads.n_threads);
    if (engine->layout_told != NULL && engine->layout_told[0] != '\0') {
        tfr_json_put_text(&out, "layout", engine->layout_told);
    }
    tfr_json_put_int(&out, "seed", stats->seed);
    tfr_json_put_text(&out, "logits_digest", digest);
    tfr_json_begin(&out, "choices", '[');
    for (size_t i = 0; i < n; i++) {
        put_generation(&out, &results[i]);
    }
    tfr_json_end(&out, ']');
    put_stats(&out, stats);
    struct tfr_run_prediction prediction;
    const enum tfr_status status = tfr_run_predict(engine, stats, n, &prediction);
    if (status == TFR_OK && prediction.n_ranks > 0) {
        tfr_run_prediction_json(&prediction, &out);
        tfr_run_prediction_free(&prediction);
    }
    if (status == TFR_RESOURCE) { /* what was generated is worth more */
        tfr_log(TFR_LOG_WARN, "generate", "the result is without its prediction: %s", tfr_failure_text());
    }
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

/* What is no regular file is written as it is, whatever its folder allows. */
static enum tfr_status check_device(const char *path) {
    return access(path, W_OK) == 0 ? TFR_OK : tfr_raise(TFR_RESOURCE, "cannot write %s: %s", path, strerror(errno));
}

static enum tfr_status check_target(const char *path, bool force) {
    if (strcmp(path, "-") == 0) {
        return tfr_raise(TFR_USAGE, "- is no file to write; results go to stdout where no output is named");
    }
    if (path[0] == '\0') {
        return tfr_raise(TFR_USAGE, "the name of a file to write is empty; name one");
    }
    if (tfr_path_is_directory(path) || path[strlen(path) - 1] == '/') {
        return tfr_raise(TFR_RESOURCE, "%s is a folder; name a file to write", path);
    }
    if (tfr_path_exists(path) && !force) {
        return tfr_raise(TFR_USAGE, "%s exists; pass --force to overwrite it", path);
    }
    if (tfr_path_exists(path) && !tfr_path_is_plain(path)) {
        return check_device(path);
    }
    char *directory = tfr_path_directory(path);
    if (directory == NULL) {
        return TFR_RESOURCE;
    }
    bool writable = access(directory, W_OK) == 0;
    enum tfr_status status =
        writable ? TFR_OK : tfr_raise(TFR_RESOURCE, "cannot write %s: its folder %s is missing or not writable", path, directory);
    tfr_free(directory);
    return status;
}

enum tfr_status tfr_result_write(const char *path, const char *text, size_t size, bool force) {
    TFR_TRY(check_target(path, force));
    if (text == NULL) {
        return TFR_OK;
    }
    struct tfr_outfile out;
    TFR_TRY(tfr_outfile_open(&out, path));
    enum tfr_status status = tfr_outfile_write(&out, text, size);
    if (status != TFR_OK) {
        tfr_outfile_abandon(&out);
        return status;
    }
    return tfr_outfile_commit(&out);
}

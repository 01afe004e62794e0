/* report_check.c - `tfrun check`: every field, option and tensor of a config as honoured, without effect, or
 * refused. Loads nothing: a refused config is reported in full, and a checkpoint costs its header. */
#include <tfrun/tfrun.h>

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/mapfile.h"
#include "base/memtext.h"
#include "base/status.h"
#include "config/config.h"
#include "config/findings.h"
#include "generation/params.h"
#include "model/model.h"
#include "model/tokenizer.h"

enum { VALUE_WIDTH = 32 };

static const struct {
    const char *key, *title;
} abouts[] = {
    [TFR_ABOUT_FIELD] = {"fields", "fields of the config"},
    [TFR_ABOUT_OPTION] = {"options", "options (tfrun)"},
    [TFR_ABOUT_TENSOR] = {"tensors", "tensors of the checkpoint"},
    [TFR_ABOUT_TOKENIZER] = {"tokenizer", "files of the tokenizer"},
    [TFR_ABOUT_OTHER] = {"other", "other"},
};

static const char *const verdict_names[] = {
    [TFR_VERDICT_HONOURED] = "honoured", [TFR_VERDICT_NO_EFFECT] = "no effect", [TFR_VERDICT_REFUSED] = "refused"};

static void put_finding(struct tfr_json_out *out, const struct tfr_finding *finding) {
    const bool is_tensor = finding->about == TFR_ABOUT_TENSOR;
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "name", finding->name);
    if (is_tensor) {
        tfr_json_put_text_or_null(out, "dtype", finding->dtype);
    }
    tfr_json_put_value(out, is_tensor ? "shape" : "value", finding->value != NULL ? finding->value : "null");
    tfr_json_put_text_or_null(out, is_tensor ? "kind" : "source", finding->source);
    tfr_json_put_text(out, "status", verdict_names[finding->verdict]);
    tfr_json_put_text_or_null(out, "reason", finding->reason);
    tfr_json_end(out, '}');
}

static void put_counts(struct tfr_json_out *out, const struct tfr_findings *findings) {
    tfr_json_begin(out, "counts", '{');
    for (int verdict = 0; verdict < TFR_VERDICT_COUNT; verdict++) {
        tfr_json_put_int(out, verdict_names[verdict], (int64_t)tfr_findings_count(findings, (enum tfr_verdict)verdict));
    }
    tfr_json_end(out, '}');
}

static enum tfr_status as_json(const char *path, const struct tfr_findings *findings, char **text) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-check-1");
    tfr_json_put_text(&out, "config", path);
    for (int about = 0; about < TFR_ABOUT_COUNT; about++) {
        tfr_json_begin(&out, abouts[about].key, '[');
        for (size_t i = 0; i < findings->n; i++) {
            if ((int)findings->items[i].about == about) {
                put_finding(&out, &findings->items[i]);
            }
        }
        tfr_json_end(&out, ']');
    }
    put_counts(&out, findings);
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

/* Values are ASCII here but for texts of the file: cut where a character begins. */
static int shown_length(const char *value) {
    size_t length = strlen(value);
    if (length > VALUE_WIDTH) {
        length = VALUE_WIDTH - 3;
        while (length > 0 && ((unsigned char)value[length] & 0xC0) == 0x80) {
            length--;
        }
    }
    return (int)length;
}

static void print_finding(FILE *stream, const struct tfr_finding *finding, int name_width) {
    const char *value = finding->value != NULL ? finding->value : "-";
    char typed[96];
    if (finding->dtype != NULL) {
        snprintf(typed, sizeof(typed), "%s %s", finding->dtype, value);
        value = typed;
    }
    const int length = shown_length(value);
    const char *rest = (size_t)length < strlen(value) ? "..." : "";
    fprintf(stream, "  %-9s  %-*s  %.*s%-*s  %-11s  %s\n", verdict_names[finding->verdict], name_width, finding->name, length,
            value, VALUE_WIDTH - length, rest, finding->source != NULL ? finding->source : "-",
            finding->reason != NULL ? finding->reason : "");
}

static void print_about(FILE *stream, const struct tfr_findings *findings, int about) {
    int width = 0;
    for (size_t i = 0; i < findings->n; i++) {
        const int length = (int)strlen(findings->items[i].name);
        width = (int)findings->items[i].about == about && length > width ? length : width;
    }
    if (width > 0) {
        fprintf(stream, "%s\n", abouts[about].title);
    }
    for (size_t i = 0; i < findings->n; i++) {
        if ((int)findings->items[i].about == about) {
            print_finding(stream, &findings->items[i], width);
        }
    }
}

static enum tfr_status as_text(const char *path, const struct tfr_findings *findings, char **text) {
    size_t size;
    FILE *stream;
    TFR_TRY(tfr_memtext_open(&stream, text, &size));
    for (int about = 0; about < TFR_ABOUT_COUNT; about++) {
        print_about(stream, findings, about);
    }
    fprintf(stream, "%s: %zu honoured, %zu without effect on inference, %zu refused\n", path,
            tfr_findings_count(findings, TFR_VERDICT_HONOURED), tfr_findings_count(findings, TFR_VERDICT_NO_EFFECT),
            tfr_findings_count(findings, TFR_VERDICT_REFUSED));
    return tfr_memtext_close(stream, text);
}

/* What the values under sampling mean: lists of ids, ids outside the vocabulary. */
static void survey_sampling(const struct tfr_config *config, struct tfr_findings *findings) {
    struct tfr_params *params;
    const enum tfr_status status =
        tfr_config_blame(config, "sampling.", tfr_params_make(&params, &config->options, &config->model));
    if (status == TFR_OK) {
        tfr_params_free(params);
        return;
    }
    const struct tfr_finding finding = {.about = TFR_ABOUT_OPTION,
                                        .verdict = TFR_VERDICT_REFUSED,
                                        .status = status,
                                        .name = "sampling",
                                        .source = "values",
                                        .reason = tfr_failure_text()};
    tfr_findings_add(findings, &finding);
}

/* Files that the run would open. */
static void survey_files(const struct tfr_options *options, struct tfr_findings *findings) {
    const struct {
        const char *name, *path;
    } files[] = {{"input.cache_load", options->input_cache_load},
                 {"input.encoder_states", options->input_encoder_states},
                 {"sampling.assistant", options->sampling_assistant}};
    for (size_t i = 0; i < TFR_COUNT_OF(files); i++) {
        if (files[i].path == NULL || tfr_path_exists(files[i].path)) {
            continue;
        }
        const struct tfr_finding finding = {.about = TFR_ABOUT_OPTION,
                                            .verdict = TFR_VERDICT_REFUSED,
                                            .status = TFR_RESOURCE,
                                            .name = files[i].name,
                                            .source = "values",
                                            .reason = "there is no such file"};
        tfr_findings_add(findings, &finding);
    }
}

/* A tokenizer that is not there is no refusal: prompts may be ids. */
static void survey_tokenizer(const struct tfr_config *config, struct tfr_findings *findings) {
    const char *named = config->options.model_tokenizer;
    if (named == NULL && !tfr_model_has_tokenizer(config->directory)) {
        return;
    }
    struct tfr_tokenizer *tokenizer;
    const enum tfr_status status = tfr_tokenizer_open_noting(&tokenizer, named != NULL ? named : config->directory, findings);
    const bool is_foreign = status == TFR_OK && tfr_tokenizer_n_model(tokenizer) > config->model.vocab_size;
    if (status == TFR_OK && !is_foreign) {
        tfr_tokenizer_close(tokenizer);
        return;
    }
    tfr_tokenizer_close(tokenizer);
    tfr_findings_add(
        findings, &(struct tfr_finding){.about = TFR_ABOUT_TOKENIZER,
                                        .verdict = TFR_VERDICT_REFUSED,
                                        .status = is_foreign ? TFR_MODEL : status,
                                        .name = "tokenizer",
                                        .source = "files",
                                        .reason = is_foreign ? "it has more tokens than the model has rows" : tfr_failure_text()});
}

/* Globs of runtime.int4_finer, where int4 rounds by them. */
static void survey_finer(struct tfr_config *config, struct tfr_findings *findings) {
    const bool is_read = config->options.runtime_dtype == TFR_PACK_INT4 && !config->quantization.given;
    const enum tfr_status status = is_read ? tfr_model_check_finer(config) : TFR_OK;
    if (status != TFR_OK) {
        tfr_findings_add(findings, &(struct tfr_finding){.about = TFR_ABOUT_OTHER,
                                                         .verdict = TFR_VERDICT_REFUSED,
                                                         .status = status,
                                                         .name = "runtime.int4_finer",
                                                         .source = "together",
                                                         .reason = tfr_failure_text()});
    }
}

enum tfr_status tfr_report_check(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                 enum tfr_report_form form, char **text, enum tfr_status *verdict) {
    struct tfr_findings findings = {0};
    struct tfr_config *config = NULL;
    enum tfr_status status = tfr_config_survey(&config, path, overrides, n_overrides, &findings);
    if (status == TFR_OK) {
        status = tfr_model_survey(config, &findings);
    }
    if (status == TFR_OK) {
        survey_sampling(config, &findings);
        survey_finer(config, &findings);
        survey_files(&config->options, &findings);
        survey_tokenizer(config, &findings);
        *verdict = tfr_findings_status(&findings);
        status = findings.failed ? TFR_RESOURCE : TFR_OK; /* a finding of these may be lost, or lack its name */
    }
    if (status == TFR_OK) {
        status = form == TFR_REPORT_JSON ? as_json(config->path, &findings, text) : as_text(config->path, &findings, text);
    }
    tfr_config_free(config);
    tfr_findings_clear(&findings);
    return status;
}

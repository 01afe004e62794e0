/* model_survey.c - every tensor of a checkpoint as a finding. Reads headers alone, however large the files.
 */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "config/findings.h"
#include "model/lora.h"
#include "model/model_check.h"
#include "model/model_tensors.h"

enum { MAX_NAME = 128 };

struct survey {
    struct tfr_model model;
    struct tfr_findings *findings;
};

static void refuse(struct survey *survey, enum tfr_finding_about about, const char *name, const char *source,
                   enum tfr_status status, const char *reason) {
    tfr_findings_add(
        survey->findings,
        &(struct tfr_finding){
            .about = about, .verdict = TFR_VERDICT_REFUSED, .status = status, .name = name, .source = source, .reason = reason});
}

static void add_missing(void *user, enum tfr_param param, int64_t layer) {
    struct survey *survey = user;
    char name[MAX_NAME], shape[96];
    int64_t dim[2];
    const int rank = tfr_model_param_shape(&survey->model.hparams, param, dim);
    tfr_findings_add(survey->findings, &(struct tfr_finding){.about = TFR_ABOUT_TENSOR,
                                                             .verdict = TFR_VERDICT_REFUSED,
                                                             .status = TFR_MODEL,
                                                             .name = tfr_model_param_name(param, layer, name, sizeof(name)),
                                                             .value = tfr_shape_text(rank, dim, shape, sizeof(shape)),
                                                             .source = "missing",
                                                             .reason = "the config asks for it and no file has it"});
}

/* One matrix under two names; the data of both are compared when the model is opened, not here. */
static bool is_second_of_tied(const struct survey *survey, const struct tfr_weight *weight, const struct tfr_parsed_name *parsed) {
    return survey->model.tied && parsed->kind == TFR_NAME_PARAM && parsed->param == TFR_PARAM_LM_HEAD &&
           tfr_model_param(&survey->model, TFR_PARAM_LM_HEAD, 0) != weight;
}

static void add_tensor(struct survey *survey, const struct tfr_weight *weight) {
    const struct tfr_parsed_name parsed = tfr_model_parse_name(weight->name);
    char shape[96];
    struct tfr_finding finding = {
        .about = TFR_ABOUT_TENSOR,
        .name = weight->name,
        .value = tfr_shape_text(weight->tensor.rank, weight->tensor.dim, shape, sizeof(shape)),
        .dtype = weight->coarse != NULL ? tfr_dtype_name(weight->tensor.dtype) : tfr_dtype_file_name(weight->tensor.dtype),
        .source = "unknown",
        .reason = "",
    };
    if (parsed.kind == TFR_NAME_BUFFER) {
        finding.verdict = TFR_VERDICT_NO_EFFECT;
        finding.source = "mask buffer";
        finding.reason = "a buffer that old versions stored: skipped";
    } else if (tfr_model_is_ignored(&survey->model, weight)) {
        finding.verdict = TFR_VERDICT_NO_EFFECT;
        finding.source = "ignored";
        finding.reason = "no parameter asks for it; model.ignore_tensors lets it pass";
    } else if (is_second_of_tied(survey, weight, &parsed)) {
        finding.source = "tied";
        finding.reason = "stored twice; loading refuses it unless it equals wte.weight";
    } else if (parsed.kind == TFR_NAME_PARAM) {
        finding.source = "parameter";
    }
    struct tfr_complaints complaints = {0};
    tfr_model_check_tensor(&complaints, &survey->model, weight);
    survey->findings->failed |= complaints.n_lost > 0;
    if (complaints.n > 0) {
        finding.verdict = TFR_VERDICT_REFUSED;
        finding.status = complaints.items[0].status;
        finding.reason = complaints.items[0].text;
    }
    tfr_findings_add(survey->findings, &finding);
    tfr_complaints_clear(&complaints);
}

/* lm_head of a tied model that only stores wte, or the other way round. */
static void add_tied(struct survey *survey) {
    const struct tfr_weight *wte = tfr_model_param(&survey->model, TFR_PARAM_WTE, 0);
    if (!survey->model.tied || wte == NULL || tfr_weights_find(survey->model.weights, "lm_head.weight") != NULL) {
        return;
    }
    char shape[96], reason[MAX_NAME + 32];
    snprintf(reason, sizeof(reason), "shares %.100s", wte->name);
    tfr_findings_add(survey->findings,
                     &(struct tfr_finding){.about = TFR_ABOUT_TENSOR,
                                           .name = "lm_head.weight",
                                           .value = tfr_shape_text(wte->tensor.rank, wte->tensor.dim, shape, sizeof(shape)),
                                           .source = "tied",
                                           .reason = reason});
}

/* A prefix's head stands in for one that the checkpoint lacks, so it comes first. */
static void open_adapter(struct survey *survey) {
    const char *path = survey->model.config->options.model_prefix;
    if (path == NULL) {
        return;
    }
    const enum tfr_status status = tfr_adapter_open(&survey->model.adapter, path, &survey->model.hparams);
    if (status != TFR_OK) {
        refuse(survey, TFR_ABOUT_OTHER, "prefix", "file", status, tfr_failure_text());
    } else {
        tfr_findings_add(survey->findings, &(struct tfr_finding){.about = TFR_ABOUT_OTHER,
                                                                 .verdict = TFR_VERDICT_HONOURED,
                                                                 .name = "prefix",
                                                                 .source = "file",
                                                                 .reason = "stands before every sequence"});
    }
}

static void add_unread(void *user, const char *name, int error) {
    struct survey *survey = user;
    char unknown[MAX_NAME];
    snprintf(unknown, sizeof(unknown), "can't be looked at: %.60s; other weights go first", strerror(error));
    tfr_findings_add(survey->findings, &(struct tfr_finding){.about = TFR_ABOUT_OTHER,
                                                             .verdict = TFR_VERDICT_NO_EFFECT,
                                                             .name = name,
                                                             .source = "file",
                                                             .reason = error != 0 ? unknown
                                                                                  : "not read: other weights go first, as in "
                                                                                    "transformers"});
}

/* Which file was read, and which were not. */
static void add_files(struct survey *survey, const char *path) {
    tfr_findings_add(
        survey->findings,
        &(struct tfr_finding){
            .about = TFR_ABOUT_OTHER, .verdict = TFR_VERDICT_HONOURED, .name = "checkpoint", .source = "file", .reason = path});
    tfr_model_each_unread(survey->model.config, add_unread, survey);
}

/* Before the merge it stands in for tensors that the checkpoint lacks. */
static void open_lora(struct survey *survey) {
    char *directory = NULL, tensors[48];
    enum tfr_status status = tfr_model_find_lora(survey->model.config, &directory);
    if (status == TFR_OK && directory != NULL) {
        status = tfr_lora_open(&survey->model.lora, directory, &survey->model.hparams);
    }
    if (status != TFR_OK) {
        refuse(survey, TFR_ABOUT_OTHER, "adapter", "file", status, tfr_failure_text());
    } else if (directory != NULL) {
        snprintf(tensors, sizeof(tensors), "merged into %zu tensors: ", tfr_lora_count(survey->model.lora));
        char *reason = tfr_format("%s%s", tensors, directory);
        survey->findings->failed |= reason == NULL;
        tfr_findings_add(
            survey->findings,
            &(struct tfr_finding){
                .about = TFR_ABOUT_OTHER, .verdict = TFR_VERDICT_HONOURED, .name = "adapter", .source = "file", .reason = reason});
        tfr_free(reason);
    }
    tfr_free(directory);
}

/* Names of an index that no shard has; a parameter that needs one is missing and told so. */
static void add_absent(struct survey *survey) {
    const char *name;
    for (size_t i = 0; (name = tfr_weights_absent(survey->model.weights, i)) != NULL; i++) {
        tfr_findings_add(survey->findings, &(struct tfr_finding){.about = TFR_ABOUT_TENSOR,
                                                                 .verdict = TFR_VERDICT_NO_EFFECT,
                                                                 .name = name,
                                                                 .source = "index",
                                                                 .reason = "the index names it, no shard has it"});
    }
}

static void survey_tensors(struct survey *survey) {
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(survey->model.weights, &n);
    for (size_t i = 0; i < n; i++) {
        add_tensor(survey, &all[i]);
    }
    add_tied(survey);
    add_absent(survey);
    tfr_model_each_missing(&survey->model, add_missing, survey);
    const enum tfr_status status = tfr_model_check_prefix(&survey->model);
    if (status != TFR_OK) {
        refuse(survey, TFR_ABOUT_OTHER, "checkpoint", "file", status, tfr_failure_text());
    }
}

enum tfr_status tfr_model_survey(const struct tfr_config *config, struct tfr_findings *findings) {
    struct survey survey = {.model = {.config = config, .hparams = config->model, .tied = config->model.tie_word_embeddings},
                            .findings = findings};
    char *path = NULL;
    enum tfr_status status = tfr_model_find_weights(config, &path);
    const bool is_absent = status == TFR_RESOURCE && !tfr_model_has_weights(config); /* else it lacks memory */
    if (is_absent) { /* nothing there is nothing wrong: a config alone may be asked about */
        tfr_findings_add(findings, &(struct tfr_finding){.about = TFR_ABOUT_OTHER,
                                                         .verdict = TFR_VERDICT_NO_EFFECT,
                                                         .name = "checkpoint",
                                                         .source = "none",
                                                         .reason = tfr_failure_text()});
    } else if (status == TFR_OK) {
        status = tfr_model_open_checkpoint(&survey.model, path);
    }
    open_adapter(&survey);
    if (status == TFR_OK) {
        open_lora(&survey);
    }
    if (status == TFR_OK) {
        add_files(&survey, path);
        survey_tensors(&survey);
    } else if (!is_absent) {
        refuse(&survey, TFR_ABOUT_OTHER, "checkpoint", "file", status, tfr_failure_text());
    }
    tfr_weights_close(survey.model.weights);
    tfr_adapter_close(survey.model.adapter);
    tfr_lora_close(survey.model.lora);
    tfr_free(path);
    return findings->failed ? TFR_RESOURCE : TFR_OK;
}

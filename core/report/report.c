/* report.c - the questions that need no weights: plan and plugins. */
#include <tfrun/tfrun.h>

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/memtext.h"
#include "base/status.h"
#include "base/tensor.h"
#include "report/auto_layout.h"
#include "report/dry.h"

static enum tfr_status plan_of_rank(struct tfr_dry *dry, const struct tfr_plan_question *question, int rank,
                                    struct tfr_plan **plan) {
    const struct tfr_dry_step step = {
        .rank = rank,
        .rows = tfr_bucket(question->rows, dry->config->options.runtime_max_rows),
        .logits = 1,
        .context = question->context,
        .features = {.attention = dry->config->options.runtime_attn},
    };
    return tfr_dry_plan(dry, &step, plan);
}

/* Of steps that could run: a row needs a position behind those that are cached. */
static enum tfr_status settle_question(const struct tfr_config *config, struct tfr_plan_question *question) {
    enum { USUAL = 128 };
    const int64_t most = tfr_kv_capacity(config) - 1, max_rows = config->options.runtime_max_rows;
    if (question->rows > max_rows) {
        return tfr_raise(TFR_USAGE,
                         "--rows %lld: a step of %s has %lld at most (runtime.max_rows); give less, or a larger --max-rows",
                         (long long)question->rows, config->path, (long long)max_rows);
    }
    if (question->context > most) {
        return tfr_raise(TFR_USAGE, "--context %lld: a sequence of %s has %lld positions, %s; give %lld at most",
                         (long long)question->context, config->path, (long long)most + 1,
                         config->options.runtime_kv_capacity > 0 ? "which runtime.kv_capacity says" : "its n_positions",
                         (long long)most);
    }
    if (question->context < 0) {
        question->context = most < USUAL ? most : USUAL;
    }
    return TFR_OK;
}

struct plan_report {
    enum tfr_report_form form;
    char *text; /* TEXT grows here */
    struct tfr_json_out json;
};

static enum tfr_status append_text(struct plan_report *report, char *more) {
    if (more == NULL) {
        return TFR_RESOURCE;
    }
    char *joined = report->text == NULL ? tfr_strdup(more) : tfr_format("%s\n%s", report->text, more);
    tfr_free(more);
    tfr_free(report->text);
    report->text = joined;
    return joined != NULL ? TFR_OK : TFR_RESOURCE;
}

/* Of the blocks of a rank. */
static int64_t position_bytes(const struct tfr_dry *dry, int rank) {
    const struct tfr_kvcache_spec spec = tfr_kv_spec(dry->config, tfr_placement_count_blocks(&dry->placement, rank));
    return (int64_t)tfr_kvcache_position_bytes(&spec);
}

static enum tfr_status append_caches(struct plan_report *report, const struct tfr_dry *dry, int rank) {
    const struct tfr_options *options = &dry->config->options;
    const int64_t capacity = tfr_kv_capacity(dry->config), bytes = position_bytes(dry, rank);
    return append_text(report, tfr_format("kv cache of a sequence: %s, %s, %lld bytes a position, %.2f MB for %lld positions\n",
                                          tfr_kv_dtype_name(tfr_kv_dtype(dry->config)),
                                          tfr_choice_name("runtime.kv_cache", options->runtime_kv_cache), (long long)bytes,
                                          (double)(bytes * capacity) / 1e6, (long long)capacity));
}

/* Of a machine with several NUMA domains; all ranks are taken to be on it. */
static enum tfr_status append_domains(struct plan_report *report, const struct tfr_dry *dry, int rank, int n_ranks) {
    const struct tfr_options *options = &dry->config->options;
    struct tfr_thread_choice choice;
    char words[256];
    TFR_TRY(tfr_machine_choose_threads(dry->machine, (int)options->runtime_threads, rank, n_ranks, &choice));
    TFR_TRY(tfr_memory_describe(dry->machine, &choice, (enum tfr_bind)options->runtime_bind,
                                (enum tfr_memory_rule)options->parallel_memory, words, sizeof words));
    return words[0] == '\0' ? TFR_OK : append_text(report, tfr_format("memory comes from %s\n", words));
}

static void put_caches(struct plan_report *report, const struct tfr_dry *dry, int n_ranks) {
    struct tfr_json_out *out = &report->json;
    tfr_json_begin(out, "kv_cache", '{');
    tfr_json_put_text(out, "dtype", tfr_kv_dtype_name(tfr_kv_dtype(dry->config)));
    tfr_json_put_text(out, "kind", tfr_choice_name("runtime.kv_cache", dry->config->options.runtime_kv_cache));
    tfr_json_put_int(out, "capacity", tfr_kv_capacity(dry->config));
    tfr_json_begin(out, "position_bytes", '[');
    for (int rank = 0; rank < n_ranks; rank++) {
        tfr_json_put_int(out, NULL, position_bytes(dry, rank));
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

static enum tfr_status report_rank(struct plan_report *report, const struct tfr_dry *dry, const struct tfr_plan *plan,
                                   const struct tfr_plan_question *question, int rank) {
    if (report->form == TFR_REPORT_JSON) {
        tfr_plan_explain_json(plan, &report->json);
        return TFR_OK;
    }
    if (question->n_ranks > 1) {
        TFR_TRY(append_text(report, tfr_format("rank %d of %d", rank, question->n_ranks)));
    }
    TFR_TRY(append_text(report, tfr_plan_explain(plan, question->refusals)));
    TFR_TRY(append_caches(report, dry, rank));
    return append_domains(report, dry, rank, question->n_ranks);
}

static enum tfr_status report_ranks(struct plan_report *report, struct tfr_dry *dry, const struct tfr_plan_question *question) {
    for (int rank = 0; rank < question->n_ranks; rank++) {
        struct tfr_plan *plan;
        TFR_TRY(plan_of_rank(dry, question, rank, &plan));
        enum tfr_status status = report_rank(report, dry, plan, question, rank);
        tfr_plan_free(plan);
        TFR_TRY(status);
    }
    if (dry->config->model.head == TFR_HEAD_DOUBLE && report->form == TFR_REPORT_TEXT) {
        return append_text(report, tfr_format("without multiple_choice_head: a plan of its own runs it, on pooled rows\n"));
    }
    return TFR_OK;
}

enum tfr_status tfr_report_plan(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                const struct tfr_plan_question *question, enum tfr_report_form form, char **text) {
    if (form != TFR_REPORT_TEXT && form != TFR_REPORT_JSON) {
        return tfr_raise(TFR_USAGE, "a plan is reported as text or JSON; tfr_report_graph draws its graph");
    }
    struct tfr_dry dry = {0};
    struct plan_report report = {.form = form};
    struct tfr_plan_question settled = *question;
    tfr_json_begin(&report.json, NULL, '{');
    tfr_json_put_text(&report.json, "schema", "tfrun-plan-1");
    tfr_json_put_text(&report.json, "predicted_from", "nominal peaks");
    tfr_json_begin(&report.json, "ranks", '[');
    enum tfr_status status = tfr_dry_check_said(overrides, n_overrides, question->n_ranks);
    status = status == TFR_OK ? tfr_dry_open(&dry, path, overrides, n_overrides, question->n_ranks) : status;
    if (status == TFR_OK) {
        status = question->n_ranks == 1 ? tfr_auto_check(dry.config, 1) : tfr_check_idle_ranks(dry.config, question->n_ranks);
    }
    if (status == TFR_OK) {
        status = settle_question(dry.config, &settled);
    }
    if (status == TFR_OK && form == TFR_REPORT_TEXT && dry.told[0] != '\0') {
        status = append_text(&report, tfr_format("%s\n", dry.told));
    }
    if (status == TFR_OK) {
        status = report_ranks(&report, &dry, &settled);
    }
    tfr_json_end(&report.json, ']');
    if (status == TFR_OK && dry.told[0] != '\0') {
        tfr_json_put_text(&report.json, "layout", dry.told);
    }
    if (status == TFR_OK) {
        put_caches(&report, &dry, question->n_ranks);
    }
    if (status == TFR_OK && dry.config->model.head == TFR_HEAD_DOUBLE) {
        tfr_json_put_text(&report.json, "left_out", "multiple_choice_head");
    }
    tfr_json_end(&report.json, '}');
    tfr_dry_close(&dry);
    if (status == TFR_OK && form == TFR_REPORT_JSON) {
        return tfr_json_take(&report.json, text);
    }
    tfr_free(report.json.text);
    if (status != TFR_OK) {
        tfr_free(report.text);
        return status;
    }
    *text = report.text;
    return TFR_OK;
}

static const char *const run_class_names[] = {"seq", "team", "self", "async"};
static const char *const op_names[] = {
#define TFR_OP(NAME, name, n_in, n_out, args, flops, read, written, text) name,
#include <tfrun/ops.def>
};

static bool cpu_has(const struct tfr_machine *machine, const struct tfr_kernel *kernel) {
    return (kernel->isa & ~machine->isa) == 0;
}

static void plugin_json(struct tfr_json_out *out, const struct tfr_registry_entry *entry, const struct tfr_machine *machine) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "name", entry->plugin->name);
    tfr_json_put_text(out, "version", entry->plugin->version);
    tfr_json_put_text(out, "build", entry->plugin->build);
    tfr_json_put_text(out, "path", entry->path);
    tfr_json_begin(out, "kernels", '[');
    for (int i = 0; i < entry->plugin->n_kernels; i++) {
        const struct tfr_kernel *kernel = entry->plugin->kernels[i];
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_text(out, "name", kernel->name);
        tfr_json_put_text(out, "op", op_names[kernel->op]);
        tfr_json_put_text(out, "class", run_class_names[kernel->run_class]);
        tfr_json_put_bool(out, "runs_here", cpu_has(machine, kernel));
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

static void plugin_text(FILE *stream, const struct tfr_registry_entry *entry, const struct tfr_machine *machine) {
    fprintf(stream, "%s %s  (%s)\n  %s\n", entry->plugin->name, entry->plugin->version, entry->plugin->build,
            entry->path[0] != '\0' ? entry->path : "linked in");
    for (int i = 0; i < entry->plugin->n_kernels; i++) {
        const struct tfr_kernel *kernel = entry->plugin->kernels[i];
        fprintf(stream, "  %-12s %-40s %-5s %s\n", op_names[kernel->op], kernel->name, run_class_names[kernel->run_class],
                cpu_has(machine, kernel) ? "" : "not on this CPU");
    }
}

static enum tfr_status list_plugins(const struct tfr_registry *registry, const struct tfr_machine *machine,
                                    enum tfr_report_form form, char **text) {
    size_t n;
    const struct tfr_registry_entry *entries = tfr_registry_plugins(registry, &n);
    if (form == TFR_REPORT_JSON) {
        struct tfr_json_out json = {0};
        tfr_json_begin(&json, NULL, '[');
        for (size_t i = 0; i < n; i++) {
            plugin_json(&json, &entries[i], machine);
        }
        tfr_json_end(&json, ']');
        return tfr_json_take(&json, text);
    }
    size_t size;
    FILE *stream;
    TFR_TRY(tfr_memtext_open(&stream, text, &size));
    for (size_t i = 0; i < n; i++) {
        plugin_text(stream, &entries[i], machine);
    }
    return tfr_memtext_close(stream, text);
}

enum tfr_status tfr_report_plugins(const char *const *paths, size_t n_paths, enum tfr_report_form form, char **text) {
    struct tfr_machine *machine;
    TFR_TRY(tfr_machine_read(&machine));
    size_t n_bundled;
    char **folders = tfr_registry_folders(&n_bundled);
    struct tfr_registry *registry = NULL;
    const struct tfr_registry_request request = {.isa = machine->isa,
                                                 .n_cores = machine->n_cores,
                                                 .l1d_bytes = machine->l1d_bytes,
                                                 .l2_bytes = machine->l2_bytes,
                                                 .l3_bytes = machine->l3_bytes,
                                                 .folders = (const char *const *)folders,
                                                 .n_bundled = n_bundled,
                                                 .paths = (char *const *)paths,
                                                 .n_paths = n_paths};
    enum tfr_status status = folders != NULL ? tfr_registry_open(&registry, &request) : TFR_RESOURCE;
    if (status == TFR_OK) {
        status = list_plugins(registry, machine, form, text);
    }
    tfr_registry_close(registry);
    tfr_registry_free_folders(folders);
    tfr_machine_free(machine);
    return status;
}

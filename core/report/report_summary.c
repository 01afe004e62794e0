/* report_summary.c - `tfrun summary`: what the model is, as PyTorch and torchinfo show it, and what memory it takes. */
#include <tfrun/tfrun.h>

#include <stdarg.h>

#include "base/arena.h"
#include "base/grouped.h"
#include "base/json.h"
#include "base/memtext.h"
#include "base/plural.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/coarse_tensor.h"
#include "model/module_tree.h"
#include "report/dry.h"

/* Everything that is told, before it is written. */
struct summary {
    const struct tfr_config *config;
    const struct tfr_summary_question *question;
    struct tfr_module_tree tree;
    int64_t parameters, parameter_bytes, packed_bytes, position_bytes;
    int64_t linears, finer; /* with coarse weights; those that have 8 bits where the others have 4 */
    enum tfr_dtype stored;  /* all else then */
    int64_t seq, step_rows, step_logits, activation_bytes, scratch_bytes;
};

static enum tfr_status choose(struct tfr_dry *dry, const struct tfr_summary_question *question) {
    struct tfr_config *config = dry->config;
    TFR_TRY(tfr_dry_choose_head(dry, question->head));
    if (question->cross_attention != TFR_SWITCH_CONFIG) {
        config->model.add_cross_attention = question->cross_attention == TFR_SWITCH_ON;
    }
    if (question->seq > config->model.n_positions) {
        return tfr_raise(TFR_USAGE, "a sequence of %lld is longer than n_positions = %lld of %s; give a shorter one",
                         (long long)question->seq, (long long)config->model.n_positions, config->path);
    }
    return TFR_OK;
}

/* The plan of a step of the model, or of as many of its blocks as have all that more would have: blocks are alike, and what one
 * leaves behind is the room of the next. */
static enum tfr_status plan_step(struct tfr_dry *dry, const struct tfr_dry_step *step, struct tfr_plan **plan) {
    enum { ENOUGH_BLOCKS = 64 };
    int64_t *n_layer = &dry->config->model.n_layer;
    const int64_t all = *n_layer;
    *n_layer = all < ENOUGH_BLOCKS ? all : ENOUGH_BLOCKS;
    const enum tfr_status status = tfr_dry_plan(dry, step, plan);
    *n_layer = all;
    return status;
}

/* The arena of one step, as the memory plan lays it out. */
static enum tfr_status measure_step(struct summary *summary, struct tfr_dry *dry) {
    const struct tfr_config *config = summary->config;
    const int64_t max_rows = config->options.runtime_max_rows, batch = summary->question->batch;
    const int64_t wanted = batch > max_rows / summary->seq ? max_rows : batch * summary->seq;
    summary->step_rows = tfr_bucket(wanted, max_rows);
    const bool is_of_all_rows = config->model.head == TFR_HEAD_TOKEN || config->model.head == TFR_HEAD_QA;
    summary->step_logits = is_of_all_rows ? summary->step_rows : tfr_bucket(batch < wanted ? batch : wanted, max_rows);
    const struct tfr_dry_step step = {.rows = summary->step_rows,
                                      .logits = summary->step_logits,
                                      .context = summary->seq,
                                      .features = {.head = config->model.head == TFR_HEAD_DOUBLE ? TFR_HEAD_LM : config->model.head,
                                                   .cross = config->model.add_cross_attention,
                                                   .attention = config->options.runtime_attn}};
    struct tfr_plan *plan;
    TFR_TRY(plan_step(dry, &step, &plan));
    summary->activation_bytes = (int64_t)plan->arena_bytes;
    summary->scratch_bytes = (int64_t)(plan->scratch_bytes + plan->scratch_per_thread_bytes * (size_t)plan->n_threads);
    tfr_plan_free(plan);
    return TFR_OK;
}

/* One parameter of a model with coarse weights: linears are rounded, a tied head's copy of wte too; all else is as it is stored. */
static int64_t coarse_bytes(struct summary *summary, enum tfr_param param, int64_t layer) {
    const struct tfr_config *config = summary->config;
    int64_t dim[2] = {1, 1};
    const int rank = tfr_model_param_shape(&config->model, param, dim);
    if (!tfr_model_is_linear(&config->model, param)) {
        return dim[0] * (rank > 1 ? dim[1] : 1) * (int64_t)tfr_dtype_size(summary->stored);
    }
    const enum tfr_dtype asked = tfr_packed_dtype(config),
                         own = tfr_model_linear_dtype(&config->options.runtime_int4_finer, param, layer, asked);
    struct tfr_coarse_weight form;
    tfr_coarse_shape(&form, own, dim, param >= TFR_PARAM_LM_HEAD);
    summary->linears++;
    summary->finer += own != asked;
    return (int64_t)tfr_coarse_bytes(&form);
}

static void count_parameters(struct summary *summary) {
    const struct tfr_hparams *model = &summary->config->model;
    const enum tfr_dtype dtype = tfr_packed_dtype(summary->config);
    summary->parameters = tfr_model_param_count(model);
    if (tfr_dtype_file_name(dtype)[0] != '\0') {
        summary->parameter_bytes = summary->parameters * (int64_t)tfr_dtype_size(dtype);
        return;
    }
    for (int param = 0; param < TFR_PARAM_COUNT; param++) {
        const int64_t n = param < TFR_PARAM_PER_BLOCK ? model->n_layer : 1;
        for (int64_t layer = 0; tfr_model_has_param(model, (enum tfr_param)param) && layer < n; layer++) {
            summary->parameter_bytes += coarse_bytes(summary, (enum tfr_param)param, layer);
        }
    }
}

static enum tfr_status measure(struct summary *summary, struct tfr_dry *dry) {
    const struct tfr_config *config = summary->config;
    const struct tfr_hparams *model = &config->model;
    const enum tfr_dtype dtype = tfr_packed_dtype(config);
    const struct tfr_kvcache_spec spec = tfr_kv_spec(config, model->n_layer);
    summary->stored = dry->tables.wte;
    count_parameters(summary);
    summary->packed_bytes =
        tfr_packed_bytes(config, model->n_layer, tfr_head_has_vocabulary((int)model->head) ? model->vocab_size : 0, dtype);
    summary->position_bytes = (int64_t)tfr_kvcache_position_bytes(&spec);
    summary->seq = summary->question->seq > 0 ? summary->question->seq : model->n_positions;
    return measure_step(summary, dry);
}

static void put_bytes(FILE *stream, const char *what, int64_t bytes, const char *format, ...) TFR_PRINTF(4, 5);
static void put_bytes(FILE *stream, const char *what, int64_t bytes, const char *format, ...) {
    char number[TFR_GROUPED_SIZE];
    va_list arguments;
    fprintf(stream, "%-16s %15s  ", what, tfr_grouped(bytes, number));
    va_start(arguments, format);
    vfprintf(stream, format, arguments);
    va_end(arguments);
    fputc('\n', stream);
}

static void put_parameter_bytes(FILE *stream, const struct summary *summary) {
    const char *dtype = tfr_choice_name("runtime.dtype", summary->config->options.runtime_dtype);
    char finer[64] = "";
    if (summary->linears == 0) {
        put_bytes(stream, "parameter bytes", summary->parameter_bytes, "all of them as %s", dtype);
        return;
    }
    if (summary->finer > 0) {
        snprintf(finer, sizeof finer, ", %lld of %lld in 8 bits", (long long)summary->finer, (long long)summary->linears);
    }
    put_bytes(stream, "parameter bytes", summary->parameter_bytes, "linears as %s%s, the rest as %s", dtype, finer,
              tfr_dtype_name(summary->stored));
}

static void put_facts(FILE *stream, const struct summary *summary) {
    const struct tfr_config *config = summary->config;
    const struct tfr_hparams *model = &config->model;
    const struct tfr_options *options = &config->options;
    char blocks[TFR_GROUPED_SIZE], heads[TFR_GROUPED_SIZE], head_width[TFR_GROUPED_SIZE], width[TFR_GROUPED_SIZE],
        inner[TFR_GROUPED_SIZE], positions[TFR_GROUPED_SIZE], vocabulary[TFR_GROUPED_SIZE];
    fprintf(stream, "%s of %s: %s block%s, %s head%s of %s, width %s, inner width %s, %s positions, vocabulary of %s, %s%s\n\n",
            tfr_head_class(model->head), config->path, tfr_grouped(model->n_layer, blocks), tfr_plural(model->n_layer),
            tfr_grouped(model->n_head, heads), tfr_plural(model->n_head), tfr_grouped(model->n_embd / model->n_head, head_width),
            tfr_grouped(model->n_embd, width), tfr_grouped(model->n_inner, inner), tfr_grouped(model->n_positions, positions),
            tfr_grouped(model->vocab_size, vocabulary), model->activation_name,
            model->add_cross_attention ? ", cross-attention" : "");
    const bool is_tied = tfr_head_has_vocabulary((int)model->head) && model->tie_word_embeddings;
    put_bytes(stream, "parameters", summary->parameters, "%s",
              is_tied ? "lm_head is wte, counted once; torchinfo counts it twice" : "each counted once");
    put_parameter_bytes(stream, summary);
    put_bytes(stream, "packed bytes", summary->packed_bytes, "matrices of the blocks%s, in the layout of the kernels",
              tfr_head_has_vocabulary((int)model->head) ? " and of the vocabulary" : "");
    put_bytes(stream, "kv cache bytes", summary->position_bytes, "a token as %s", tfr_kv_dtype_name(tfr_kv_dtype(config)));
    put_bytes(stream, "activation bytes", summary->activation_bytes,
              "at most, in a step of %lld row%s (batch %lld of %lld, at most %lld a step) with logits of %lld",
              (long long)summary->step_rows, tfr_plural(summary->step_rows), (long long)summary->question->batch,
              (long long)summary->seq, (long long)options->runtime_max_rows, (long long)summary->step_logits);
    put_bytes(stream, "scratch bytes", summary->scratch_bytes, "of the kernels in that step\n");
}

static enum tfr_status write_text(const struct summary *summary, char **text) {
    const enum tfr_summary_part part = summary->question->part;
    FILE *stream;
    size_t size;
    TFR_TRY(tfr_memtext_open(&stream, text, &size));
    if (part == TFR_SUMMARY_ALL) {
        put_facts(stream, summary);
    }
    if (part != TFR_SUMMARY_TABLE) {
        tfr_module_tree_print(&summary->tree, stream);
    }
    if (part == TFR_SUMMARY_ALL) {
        fputc('\n', stream);
    }
    if (part != TFR_SUMMARY_PRINT) {
        tfr_module_tree_table(&summary->tree, summary->question->depth, stream);
    }
    return tfr_memtext_close(stream, text);
}

static void put_modules(struct tfr_json_out *out, const struct tfr_module_tree *tree) {
    tfr_json_begin(out, "modules", '[');
    for (int i = 0; i < tree->n; i++) {
        const struct tfr_module *module = &tree->items[i];
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_int(out, "depth", module->depth);
        tfr_json_put_text(out, "name", module->name);
        tfr_json_put_text(out, "class", module->class_name);
        tfr_json_put_text(out, "attributes", module->attributes);
        tfr_json_put_int(out, "copies", module->copies);
        tfr_json_put_int(out, "parameters", module->parameters);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
}

static void put_numbers(struct tfr_json_out *out, const struct summary *summary) {
    const struct tfr_hparams *model = &summary->config->model;
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {{"num_layers", model->n_layer},
                   {"num_heads", model->n_head},
                   {"hidden_size", model->n_embd},
                   {"intermediate_size", model->n_inner},
                   {"n_positions", model->n_positions},
                   {"vocab_size", model->vocab_size},
                   {"parameters", summary->parameters},
                   {"parameters_torchinfo", tfr_module_tree_total(&summary->tree)},
                   {"parameter_bytes", summary->parameter_bytes},
                   {"packed_bytes", summary->packed_bytes},
                   {"kv_position_bytes", summary->position_bytes},
                   {"step_rows", summary->step_rows},
                   {"step_logits", summary->step_logits},
                   {"activation_bytes", summary->activation_bytes},
                   {"scratch_bytes", summary->scratch_bytes}};
    for (size_t i = 0; i < TFR_COUNT_OF(numbers); i++) {
        tfr_json_put_int(out, numbers[i].key, numbers[i].value);
    }
}

static enum tfr_status write_json(const struct summary *summary, char **text) {
    const struct tfr_config *config = summary->config;
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-summary-1");
    tfr_json_put_text(&out, "config", config->path);
    tfr_json_put_text(&out, "head", tfr_head_word(config->model.head));
    tfr_json_put_text(&out, "class", tfr_head_class(config->model.head));
    tfr_json_put_bool(&out, "cross_attention", config->model.add_cross_attention);
    tfr_json_put_text(&out, "activation_function", config->model.activation_name);
    tfr_json_put_text(&out, "dtype", tfr_choice_name("runtime.dtype", config->options.runtime_dtype));
    tfr_json_put_text(&out, "kv_dtype", tfr_kv_dtype_name(tfr_kv_dtype(config)));
    put_numbers(&out, summary);
    put_modules(&out, &summary->tree);
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

static enum tfr_status report(struct tfr_dry *dry, const struct tfr_summary_question *question, enum tfr_report_form form,
                              char **text) {
    struct summary summary = {.config = dry->config, .question = question};
    const struct tfr_module_form module_form = {.norm_shows_bias = question->norm_shows_bias};
    TFR_TRY(choose(dry, question));
    TFR_TRY(tfr_module_tree_build(&summary.tree, dry->config, &module_form));
    if (question->part == TFR_SUMMARY_ALL || form == TFR_REPORT_JSON) {
        TFR_TRY(measure(&summary, dry));
    }
    return form == TFR_REPORT_JSON ? write_json(&summary, text) : write_text(&summary, text);
}

enum tfr_status tfr_report_summary(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                   const struct tfr_summary_question *question, enum tfr_report_form form, char **text) {
    struct tfr_dry dry = {0};
    enum tfr_status status = tfr_dry_open(&dry, path, overrides, n_overrides, 1);
    if (status == TFR_OK) {
        status = report(&dry, question, form, text);
    }
    tfr_dry_close(&dry);
    return status;
}

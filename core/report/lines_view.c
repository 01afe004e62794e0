/* lines_view.c - one class line by line: the question settled, rows and sums computed, and the texts that all forms print. */
#include "report/lines_view.h"

#include <string.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/status.h"
#include "base/tensor.h"

enum { ALL_LEVELS = 99, FORMULA_TEXT = TFR_POLY_TEXT };

/* What lines have no answer to. */
static enum tfr_status check_question(const struct tfr_cost_report *report) {
    const struct tfr_cost_query *query = report->query;
    if (report->n_sequences != 1) {
        return tfr_raise(TFR_USAGE, "--level line takes sequences that are alike, as a class's formulas have one batch_size, "
                                    "seq_len and cache_len; give one "
                                    "--seq and one --cache, and --batch, or --level kernel for a ragged batch");
    }
    if (query->n_ranks > 1) {
        return tfr_raise(TFR_USAGE, "--level line tells what PyTorch does in one process; leave --ranks out");
    }
    if (query->logits == TFR_COST_LOGITS_NONE) {
        return tfr_raise(TFR_USAGE, "--logits none leaves no line of the head out; give --class GPT2Model");
    }
    return TFR_OK;
}

static enum tfr_status check_encoder(const struct tfr_cost_query *query, uint32_t bits) {
    if ((bits & (uint32_t)(TFR_ON(IS_CROSS) | TFR_ON(CROSS))) != 0 && query->encoder_len == 0) {
        return tfr_raise(TFR_USAGE,
                         "--class %s reads an encoder's states; give --encoder-len, of a config with add_cross_attention",
                         query->class_name);
    }
    return TFR_OK;
}

static enum tfr_status settle_path(struct tfr_lines_view *view) {
    const struct tfr_cost_query *query = view->report->query;
    const struct tfr_hparams *model = &view->report->config->model;
    const uint32_t asked = tfr_line_page_bits(query->class_name, &view->cls);
    const struct tfr_line_question question = {
        .release = query->release,
        .fused = query->fused_attention || (asked & (uint32_t)TFR_ON(FUSED)) != 0,
        .past = view->report->has_past,
        .one_row = view->report->sequences->rows == 1,
        .encoder = query->encoder_len > 0,
        .encoder_cached = query->encoder_len > 0 && query->phase == TFR_COST_DECODE,
        .only_last = query->logits == TFR_COST_LOGITS_LAST,
    };
    TFR_TRY(check_encoder(query, asked));
    TFR_TRY(tfr_line_path_set(&view->path, model, &question));
    view->path.element = view->report->dtype == TFR_DTYPE_BF16 ? 2 : 4;
    view->cls = tfr_line_class_of((enum tfr_head)model->head);
    if (query->class_name != NULL) {
        TFR_TRY(tfr_line_class_named(&view->path, query->class_name, &view->cls));
    }
    view->info = tfr_line_class_info(view->cls);
    TFR_TRY(check_encoder(query, view->info.sets));
    return tfr_line_need_source(&view->path, view->cls, &view->source);
}

static void settle_values(struct tfr_lines_view *view) {
    const struct tfr_sequences *of = view->report->sequences;
    tfr_int128 *value = view->value;
    const bool is_cross = (view->info.sets & (uint32_t)TFR_ON(IS_CROSS)) != 0;
    value[TFR_DIM_BATCH] = of->count;
    value[TFR_DIM_SEQ] = of->rows;
    value[TFR_DIM_CACHE] = of->past;
    tfr_bind_model(&view->report->config->model, view->report->query->encoder_len, value);
    value[TFR_DIM_KEY_LEN] = is_cross ? value[TFR_DIM_ENCODER] : value[TFR_DIM_CACHE] + value[TFR_DIM_SEQ];
}

/* Numbers need a class whose arguments the model decides: a Linear is called in many places and has formulas alone. */
static enum tfr_status settle_numbers(struct tfr_lines_view *view) {
    for (int i = view->info.n_args - 1; i >= 0 && view->numbers; i--) {
        if (view->info.arg[i] >= TFR_DIM_IN_FEATURES) {
            view->without_value = tfr_dim_name(view->info.arg[i]);
        }
    }
    if (view->without_value == NULL) {
        return TFR_OK;
    }
    if (!view->formulas) {
        return tfr_raise(TFR_USAGE,
                         "%s is called in several places, so that %s has no one value; give --form symbolic, or --class of "
                         "its caller",
                         view->info.page, view->without_value);
    }
    view->numbers = false;
    return TFR_OK;
}

/* Where a query meets only the keys before it: the same lines with the mean number of keys. */
static struct tfr_line_path causal_path(const struct tfr_lines_view *view) {
    struct tfr_line_path path = view->path;
    path.causal = view->report->config->model.is_causal;
    return path;
}

static enum tfr_status count_causal_row(const struct tfr_lines_view *view, struct tfr_lines_row *row) {
    const struct tfr_line_path path = causal_path(view);
    struct tfr_line_sum sum;
    enum tfr_status status = tfr_line_step_sum(&sum, &path, view->cls, row->row->step);
    status = status == TFR_OK ? tfr_line_expand(&sum, &path, ALL_LEVELS) : status;
    status = status == TFR_OK ? tfr_poly_count(&sum.flops, view->value, "the FLOPs of visible pairs", &row->causal_flops) : status;
    tfr_line_sum_free(&sum);
    return status;
}

static enum tfr_status sum_row(struct tfr_lines_view *view, struct tfr_lines_row *row, int levels) {
    row->skipped = tfr_line_skip_reason(row->row->step->when, tfr_line_bits(&view->path, view->cls));
    TFR_TRY(tfr_line_step_sum(&row->sum, &view->path, view->cls, row->row->step));
    TFR_TRY(tfr_line_expand(&row->sum, &view->path, levels));
    if (!view->numbers) {
        return TFR_OK;
    }
    TFR_TRY(tfr_line_count_step(&row->counts, &view->path, view->cls, row->row->step, view->value));
    return count_causal_row(view, row);
}

static enum tfr_status sum_rows(struct tfr_lines_view *view) {
    view->rows = tfr_alloc((size_t)view->source.n_rows, sizeof *view->rows);
    if (view->rows == NULL) {
        return TFR_RESOURCE;
    }
    for (int i = 0; i < view->source.n_rows; i++) {
        view->rows[i].row = &view->source.row[i];
        TFR_TRY(sum_row(view, &view->rows[i], view->report->query->expand));
    }
    return TFR_OK;
}

static enum tfr_status sum_causal(struct tfr_lines_view *view) {
    const struct tfr_line_path path = causal_path(view);
    struct tfr_line_sum sum;
    enum tfr_status status = tfr_line_class_sum(&sum, &path, view->cls);
    status = status == TFR_OK ? tfr_line_expand(&sum, &path, ALL_LEVELS) : status;
    view->causal = sum.flops;
    tfr_line_sum_free(&sum);
    TFR_TRY(status);
    view->has_causal = !tfr_poly_equal(&view->causal, &view->whole.flops);
    return view->numbers ? tfr_poly_count(&view->causal, view->value, "the FLOPs of visible pairs", &view->causal_flops) : TFR_OK;
}

static enum tfr_status sum_all(struct tfr_lines_view *view) {
    TFR_TRY(tfr_line_class_sum(&view->sum, &view->path, view->cls));
    TFR_TRY(tfr_line_expand(&view->sum, &view->path, view->report->query->expand));
    TFR_TRY(tfr_line_class_sum(&view->whole, &view->path, view->cls));
    TFR_TRY(tfr_line_expand(&view->whole, &view->path, ALL_LEVELS));
    TFR_TRY(sum_causal(view));
    return view->numbers ? tfr_line_count_class(&view->counts, &view->path, view->cls, view->value) : TFR_OK;
}

enum tfr_status tfr_lines_open(struct tfr_lines_view *view, const struct tfr_cost_report *report) {
    *view = (struct tfr_lines_view){
        .report = report, .numbers = report->query->form != TFR_COST_SYMBOLIC, .formulas = report->query->form != TFR_COST_NUMERIC};
    TFR_TRY(check_question(report));
    TFR_TRY(settle_path(view));
    settle_values(view);
    TFR_TRY(settle_numbers(view));
    TFR_TRY(sum_rows(view));
    return sum_all(view);
}

void tfr_lines_close(struct tfr_lines_view *view) {
    for (int i = 0; i < view->source.n_rows && view->rows != NULL; i++) {
        tfr_line_sum_free(&view->rows[i].sum);
    }
    tfr_free(view->rows);
    tfr_line_sum_free(&view->sum);
    tfr_line_sum_free(&view->whole);
}

const char *tfr_lines_amount_name(enum tfr_lines_amount amount) {
    static const char *const names[] = {"FLOPs", "bytes read", "bytes written"};
    return names[amount];
}

tfr_int128 tfr_lines_count(const struct tfr_line_counts *counts, enum tfr_lines_amount amount) {
    return amount == TFR_LINES_FLOPS ? counts->flops : amount == TFR_LINES_READ ? counts->read : counts->written;
}

const struct tfr_poly *tfr_lines_poly(const struct tfr_line_sum *sum, enum tfr_lines_amount amount) {
    return amount == TFR_LINES_FLOPS ? &sum->flops : amount == TFR_LINES_READ ? &sum->read : &sum->written;
}

bool tfr_lines_is_free(const struct tfr_line_sum *sum) {
    return sum->n_refs + sum->flops.n_terms + sum->read.n_terms + sum->written.n_terms == 0;
}

static enum tfr_status write_formula(const struct tfr_lines_view *view, const struct tfr_line_sum *sum, const struct tfr_poly *poly,
                                     FILE *stream) {
    char text[FORMULA_TEXT];
    const char *plus = "";
    if (poly->n_terms > 0 || sum->n_refs == 0) {
        fputs(tfr_cost_formula(view->report, poly, text, sizeof text), stream);
        plus = " + ";
    }
    for (int i = 0; i < sum->n_refs; i++) {
        char *ref = tfr_line_ref_text(&sum->ref[i], &view->path);
        if (ref == NULL) {
            return TFR_RESOURCE;
        }
        fprintf(stream, "%s%s", plus, ref);
        tfr_free(ref);
        plus = " + ";
    }
    return TFR_OK;
}

char *tfr_lines_formula(const struct tfr_lines_view *view, const struct tfr_line_sum *sum, enum tfr_lines_amount amount) {
    FILE *stream;
    char *text;
    size_t size;
    if (tfr_memtext_open(&stream, &text, &size) != TFR_OK) {
        return NULL;
    }
    const enum tfr_status status = write_formula(view, sum, tfr_lines_poly(sum, amount), stream);
    return tfr_memtext_end(stream, &text, status) == TFR_OK ? text : NULL;
}

const char *tfr_lines_kind(const struct tfr_lines_row *row) {
    return row->row->step->composite ? "composite" : "basic";
}

const char *tfr_lines_file(const struct tfr_line_source *source, char *text, size_t size) {
    snprintf(text, size, "%s%s.py", strncmp(source->module, "torch", 5) == 0 ? "" : "src/", source->module);
    for (char *at = text; at < text + strlen(text) - 3; at++) {
        *at = *at == '.' ? '/' : *at;
    }
    return text;
}

const char *tfr_lines_release(const struct tfr_lines_view *view, char *text, size_t size) {
    const bool is_torch = strncmp(view->source.module, "torch", 5) == 0;
    snprintf(text, size, "%s %s", is_torch ? "PyTorch" : "transformers",
             is_torch ? tfr_line_torch_name() : tfr_line_release_name(view->path.release));
    return text;
}

bool tfr_lines_is_function(const struct tfr_lines_view *view) {
    return view->source.class_line == view->source.first;
}

const char *tfr_lines_place(const struct tfr_lines_view *view, char *text, size_t size) {
    const struct tfr_line_source *source = &view->source;
    if (tfr_lines_is_function(view)) {
        snprintf(text, size, "function in lines %d-%d", source->first, source->last);
    } else {
        snprintf(text, size, "class in line %d, forward in %d-%d", source->class_line, source->first, source->last);
    }
    return text;
}

const char *tfr_lines_dtype(const struct tfr_lines_view *view) {
    return tfr_dtype_name(view->report->dtype == TFR_DTYPE_BF16 ? TFR_DTYPE_BF16 : TFR_DTYPE_F32); /* those of the library */
}

const char *tfr_lines_range(const struct tfr_line_row *row, char *text, size_t size) {
    if (row->first == row->last) {
        snprintf(text, size, "%d", row->first);
    } else {
        snprintf(text, size, "%d-%d", row->first, row->last);
    }
    return text;
}

int tfr_lines_n_args(const struct tfr_lines_view *view) {
    const bool without_encoder = view->info.last_is_optional && (view->path.bits & (uint32_t)TFR_ON(CROSS)) == 0;
    return view->info.n_args - without_encoder;
}

char *tfr_lines_own_reference(const struct tfr_lines_view *view) {
    struct tfr_line_ref own = {.cls = view->cls, .count = "1"};
    for (int i = 0; i < tfr_lines_n_args(view); i++) {
        snprintf(own.arg[i], sizeof own.arg[i], "%s", tfr_dim_name(view->info.arg[i]));
    }
    return tfr_line_ref_text(&own, &view->path);
}

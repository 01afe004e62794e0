/* lines_json.c - `tfrun cost --level line` as JSON, with the FLOPs of each op and of the matrix products for who counts otherwise.
 */
#include "base/arena.h"
#include "base/status.h"
#include "report/lines_view.h"

static void put_counts(struct tfr_json_out *out, const struct tfr_line_counts *counts) {
    tfr_json_put_int128(out, "flops", counts->flops);
    tfr_json_put_int128(out, "bytes_read", counts->read);
    tfr_json_put_int128(out, "bytes_written", counts->written);
}

static enum tfr_status put_formulas(const struct tfr_lines_view *view, const struct tfr_line_sum *sum, const char *key,
                                    struct tfr_json_out *out) {
    static const char *const keys[] = {"flops", "bytes_read", "bytes_written"};
    tfr_json_begin(out, key, '{');
    for (int i = 0; i < TFR_LINES_AMOUNTS; i++) {
        char *text = tfr_lines_formula(view, sum, (enum tfr_lines_amount)i);
        if (text == NULL) {
            return TFR_RESOURCE;
        }
        tfr_json_put_text(out, keys[i], text);
        tfr_free(text);
    }
    tfr_json_end(out, '}');
    return TFR_OK;
}

static enum tfr_status put_row(const struct tfr_lines_view *view, const struct tfr_lines_row *row, struct tfr_json_out *out) {
    const struct tfr_line_step *step = row->row->step;
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "first", row->row->first);
    tfr_json_put_int(out, "last", row->row->last);
    tfr_json_put_text(out, "kind", step->composite ? "composite" : "basic");
    tfr_json_put_text(out, "operation", step->operation);
    tfr_json_put_text(out, "analysis", step->analysis);
    if (row->skipped != NULL) {
        tfr_json_put_text(out, "skipped", row->skipped);
    }
    if (view->numbers) {
        put_counts(out, &row->counts);
        tfr_json_put_int128(out, "flops_visible", row->causal_flops);
    }
    const enum tfr_status status = view->formulas ? put_formulas(view, &row->sum, "formula", out) : TFR_OK;
    tfr_json_end(out, '}');
    return status;
}

static void put_ops(const struct tfr_lines_view *view, struct tfr_json_out *out) {
    tfr_json_begin(out, "ops", '[');
    for (int op = 0; op < TFR_REFERENCE_OP_COUNT; op++) {
        const struct tfr_line_op_counts *counts = &view->counts.op[op];
        if (counts->calls > 0) {
            tfr_json_begin(out, NULL, '{');
            tfr_json_put_text(out, "name", tfr_reference_info((enum tfr_reference_op)op)->name);
            tfr_json_put_int128(out, "n", counts->calls);
            tfr_json_put_int128(out, "flops", counts->flops);
            tfr_json_put_int128(out, "bytes_read", counts->read);
            tfr_json_put_int128(out, "bytes_written", counts->written);
            tfr_json_end(out, '}');
        }
    }
    tfr_json_end(out, ']');
}

static enum tfr_status put_totals(const struct tfr_lines_view *view, struct tfr_json_out *out) {
    char text[TFR_POLY_TEXT];
    tfr_json_begin(out, "total", '{');
    if (view->numbers) {
        put_counts(out, &view->counts);
        tfr_json_put_int128(out, "flops_visible", view->causal_flops);
        tfr_json_put_int128(out, "matmul_flops", view->counts.matmul);
        put_ops(view, out);
    }
    if (view->formulas) {
        TFR_TRY(put_formulas(view, &view->sum, "formula", out));
        TFR_TRY(put_formulas(view, &view->whole, "formula_down_to_ops", out));
        tfr_json_put_text(out, "flops_visible_formula", tfr_cost_formula(view->report, &view->causal, text, sizeof text));
    }
    tfr_json_end(out, '}');
    return TFR_OK;
}

static void put_question(const struct tfr_lines_view *view, struct tfr_json_out *out) {
    tfr_json_put_text(out, "config", view->report->config->path);
    tfr_json_put_text(out, "phase", view->report->query->phase == TFR_COST_DECODE ? "decode" : "prefill");
    tfr_json_put_text(out, "logits", view->path.only_last ? "last" : "all");
    tfr_json_put_text(out, "dtype", tfr_lines_dtype(view));
}

static enum tfr_status put_view(const struct tfr_lines_view *view, struct tfr_json_out *out) {
    char text[160], *own = tfr_lines_own_reference(view);
    if (own == NULL) {
        return TFR_RESOURCE;
    }
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "schema", "tfrun-cost-lines-1");
    put_question(view, out);
    tfr_json_put_text(out, "release", tfr_line_release_name(view->path.release));
    tfr_json_put_text(out, "class", view->source.qualified);
    tfr_json_put_text(out, "reference", own);
    tfr_free(own);
    tfr_json_put_text(out, "file", tfr_lines_file(&view->source, text, sizeof text));
    tfr_json_put_bool(out, "is_function", tfr_lines_is_function(view));
    tfr_json_put_int(out, "class_line", view->source.class_line);
    tfr_json_put_int(out, "first", view->source.first);
    tfr_json_put_int(out, "last", view->source.last);
    tfr_json_put_bool(out, "fused_attention", (view->path.bits & (uint32_t)TFR_ON(FUSED)) != 0);
    tfr_json_put_int(out, "expanded", view->report->query->expand);
    tfr_json_begin(out, "variables", '{');
    for (int i = 0; i < tfr_lines_n_args(view) && view->numbers; i++) {
        tfr_json_put_int128(out, tfr_dim_name(view->info.arg[i]), view->value[view->info.arg[i]]);
    }
    tfr_json_end(out, '}');
    tfr_json_begin(out, "rows", '[');
    for (int i = 0; i < view->source.n_rows; i++) {
        TFR_TRY(put_row(view, &view->rows[i], out));
    }
    tfr_json_end(out, ']');
    TFR_TRY(put_totals(view, out));
    tfr_json_end(out, '}');
    return TFR_OK;
}

enum tfr_status tfr_lines_write_json(const struct tfr_lines_view *view, char **text) {
    struct tfr_json_out out = {0};
    const enum tfr_status status = put_view(view, &out);
    if (status == TFR_OK && !out.failed) {
        *text = out.text;
        return TFR_OK;
    }
    tfr_free(out.text);
    return status != TFR_OK ? status : tfr_raise(TFR_RESOURCE, "no memory for the lines as JSON");
}

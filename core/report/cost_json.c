/* cost_json.c - `tfrun cost` as JSON. Whole numbers beyond 2^53 are strings of digits, since readers of JSON round them. */
#include <string.h>

#include <tfrun/tfrun.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "base/tensor.h"
#include "report/cost_report.h"

enum { FORMULA_TEXT = TFR_POLY_TEXT };

static void put_amount(struct tfr_json_out *out, const struct tfr_amount *amount) {
    tfr_json_put_int128(out, "flops", amount->flops);
    tfr_json_put_int128(out, "flops_visible", amount->visible_flops);
    tfr_json_put_int128(out, "bytes_read", amount->read);
    tfr_json_put_int128(out, "bytes_written", amount->written);
}

static void put_poly(const struct tfr_cost_report *report, struct tfr_json_out *out, const char *key, const struct tfr_poly *poly) {
    char text[FORMULA_TEXT];
    tfr_json_put_text(out, key, tfr_cost_formula(report, poly, text, sizeof text));
}

static enum tfr_status put_formulas(const struct tfr_cost_report *report, const struct tfr_account_filter *filter,
                                    struct tfr_json_out *out) {
    struct tfr_formula all, visible;
    TFR_TRY(tfr_account_sum_poly(report->account, filter, filter->side == TFR_EXECUTED, &all));
    TFR_TRY(tfr_account_sum_poly(report->account, filter, true, &visible));
    tfr_json_begin(out, "formula", '{');
    put_poly(report, out, "flops", &all.flops);
    put_poly(report, out, "flops_visible", &visible.flops);
    put_poly(report, out, "bytes_read", &all.read);
    put_poly(report, out, "bytes_written", &all.written);
    tfr_json_end(out, '}');
    return TFR_OK;
}

static enum tfr_status put_side(const struct tfr_cost_report *report, const struct tfr_cost_row *row, enum tfr_account_side side,
                                struct tfr_json_out *out) {
    if (row->side[side].n == 0 && !row->is_total) {
        return TFR_OK;
    }
    struct tfr_account_filter filter = row->filter;
    filter.side = side;
    tfr_json_begin(out, tfr_cost_side_name(side), '{');
    tfr_json_put_int(out, "n", row->side[side].n);
    if (report->query->form != TFR_COST_SYMBOLIC) {
        put_amount(out, &row->side[side].amount);
    }
    enum tfr_status status = TFR_OK;
    if (report->query->form != TFR_COST_NUMERIC) {
        status = put_formulas(report, &filter, out);
    }
    tfr_json_end(out, '}');
    return status;
}

static enum tfr_status put_row(const struct tfr_cost_report *report, const struct tfr_cost_row *row, const char *key,
                               struct tfr_json_out *out) {
    tfr_json_begin(out, key, '{');
    if (!row->is_total) {
        tfr_json_put_text(out, "name", row->name);
        tfr_json_put_text(out, report->query->level == TFR_COST_MODULE ? "class" : "what", row->note);
        tfr_json_put_int(out, "depth", row->depth);
        tfr_json_put_int(out, "blocks", row->copies);
    }
    enum tfr_status status = put_side(report, row, TFR_REFERENCE, out);
    status = status == TFR_OK ? put_side(report, row, TFR_EXECUTED, out) : status;
    tfr_json_end(out, '}');
    return status;
}

static void put_question(const struct tfr_cost_report *report, struct tfr_json_out *out) {
    static const char *const kept[] = {[TFR_LOGITS_ALL] = "all", [TFR_LOGITS_LAST] = "last", [TFR_LOGITS_NONE] = "none"};
    static const enum tfr_dim dims[] = {TFR_DIM_LAYERS,       TFR_DIM_HIDDEN, TFR_DIM_HEADS,   TFR_DIM_HEAD_DIM,
                                        TFR_DIM_INTERMEDIATE, TFR_DIM_VOCAB,  TFR_DIM_ENCODER, TFR_DIM_LABELS};
    const struct tfr_account *account = report->account;
    tfr_json_put_text(out, "config", report->config->path);
    tfr_json_put_text(out, "reference_release", TFR_COST_REFERENCE_RELEASE);
    tfr_json_put_text(out, "class", tfr_head_class(report->config->model.head));
    tfr_json_begin(out, "dimensions", '{');
    for (size_t i = 0; i < TFR_COUNT_OF(dims); i++) {
        tfr_json_put_int128(out, tfr_dim_name(dims[i]), account->step[dims[i]]);
    }
    tfr_json_end(out, '}');
    tfr_json_put_text(out, "phase", report->query->phase == TFR_COST_DECODE ? "decode" : "prefill");
    tfr_json_begin(out, "sequences", '[');
    for (size_t i = 0; i < report->n_sequences; i++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_int128(out, "batch_size", report->sequences[i].count);
        tfr_json_put_int128(out, "seq_len", report->sequences[i].rows);
        tfr_json_put_int128(out, "cache_len", report->sequences[i].past);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    tfr_json_begin(out, "logits", '{');
    tfr_json_put_text(out, "reference", kept[account->question.logits[TFR_REFERENCE]]);
    tfr_json_put_text(out, "executed", kept[account->question.logits[TFR_EXECUTED]]);
    tfr_json_end(out, '}');
    tfr_json_put_text(out, "dtype", tfr_dtype_name(account->question.dtype));
    tfr_json_put_text(out, "reference_dtype", tfr_dtype_name(tfr_account_reference_dtype(&account->question)));
    tfr_json_put_text(out, "kv_dtype", tfr_dtype_name(account->question.kv_dtype));
    tfr_json_put_text(out, "table_dtype", tfr_dtype_name(account->question.tables.wte));
    if (account->question.tables.wpe != account->question.tables.wte) {
        tfr_json_put_text(out, "position_table_dtype", tfr_dtype_name(account->question.tables.wpe));
    }
    tfr_json_put_int(out, "max_rows", account->question.max_rows);
}

/* Sums of the executed step, under the letters that formulas have where there is more than one. */
static void put_step(const struct tfr_cost_report *report, struct tfr_json_out *out) {
    static const enum tfr_dim letters[] = {TFR_DIM_T, TFR_DIM_R, TFR_DIM_A, TFR_DIM_X, TFR_DIM_B, TFR_DIM_U, TFR_DIM_W};
    tfr_json_begin(out, "step_sums", '{');
    for (size_t i = 0; i < TFR_COUNT_OF(letters); i++) {
        tfr_json_put_int128(out, tfr_dim_name(letters[i]), report->account->step[letters[i]]);
    }
    tfr_json_end(out, '}');
}

static enum tfr_status put_ranks(const struct tfr_cost_report *report, struct tfr_json_out *out) {
    tfr_json_begin(out, "ranks", '[');
    enum tfr_status status = TFR_OK;
    for (int rank = 0; rank < tfr_account_n_ranks(&report->account->question) && status == TFR_OK; rank++) {
        struct tfr_amount all, sent;
        tfr_int128 n_messages;
        status = tfr_cost_rank(report, rank, &all, &sent, &n_messages);
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_int(out, "rank", rank);
        put_amount(out, &all);
        tfr_json_put_int128(out, "messages_sent", n_messages);
        tfr_json_put_int128(out, "bytes_sent", sent.read);
        const struct tfr_account_filter filter = {.side = TFR_EXECUTED, .by_rank = true, .rank = rank};
        if (status == TFR_OK && report->query->form != TFR_COST_NUMERIC) {
            status = put_formulas(report, &filter, out);
        }
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    return status;
}

static enum tfr_status put_all(const struct tfr_cost_report *report, struct tfr_json_out *out) {
    static const char *const levels[] = {[TFR_COST_KERNEL] = "kernel", [TFR_COST_MODULE] = "module"};
    tfr_json_put_text(out, "schema", "tfrun-cost-1");
    put_question(report, out);
    put_step(report, out);
    if (report->query->form != TFR_COST_NUMERIC) {
        char hold[TFR_COST_HOLD_TEXT];
        tfr_cost_formulas_hold(report, hold, sizeof hold);
        tfr_json_put_text(out, "formulas_hold", hold);
    }
    tfr_json_put_text(out, "level", levels[report->query->level]);
    tfr_json_begin(out, "rows", '[');
    for (int i = 0; i < report->n_rows; i++) {
        if (!report->rows[i].is_total) {
            TFR_TRY(put_row(report, &report->rows[i], NULL, out));
        }
    }
    tfr_json_end(out, ']');
    TFR_TRY(put_row(report, &report->rows[report->n_rows - 1], "total", out));
    return put_ranks(report, out);
}

enum tfr_status tfr_cost_report_json(const struct tfr_cost_report *report, char **text) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    enum tfr_status status = put_all(report, &out);
    tfr_json_end(&out, '}');
    if (status == TFR_OK && out.failed) {
        status = tfr_raise(TFR_RESOURCE, "no memory for a report");
    }
    if (status != TFR_OK) {
        tfr_free(out.text);
        return status;
    }
    *text = out.text;
    return TFR_OK;
}

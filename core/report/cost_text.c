/* cost_text.c - `tfrun cost` for people: what was asked and how it is counted, numbers, formulas, ranks; as table, Markdown, CSV.
 */
#include <string.h>

#include <tfrun/tfrun.h>

#include "base/plural.h"
#include "base/status.h"
#include "base/tensor.h"
#include "report/cost_report.h"
#include "report/grid.h"

enum { FORMULA_TEXT = TFR_POLY_TEXT };

static void put_number(struct tfr_grid *grid, tfr_int128 value, bool is_here, char separator) {
    char text[TFR_INT128_TEXT];
    tfr_grid_put(grid, is_here ? tfr_int128_text(value, separator, text) : "");
}

static void put_name(struct tfr_grid *grid, const struct tfr_cost_row *row) {
    char name[160], copies[32] = "";
    const char *last = strrchr(row->name, '.'), *shown = row->depth > 0 && last != NULL ? last + 1 : row->name;
    if (row->copies > 1) {
        snprintf(copies, sizeof copies, " x %lld", (long long)row->copies);
    }
    snprintf(name, sizeof name, "%*s%s%s", 2 * row->depth, "", row->copies > 1 ? "h.N" : shown, copies);
    tfr_grid_put(grid, name);
}

static void put_side(struct tfr_grid *grid, const struct tfr_cost_row *row, enum tfr_account_side side, char separator) {
    const struct tfr_amount *amount = &row->side[side].amount;
    const bool is_here = row->side[side].n > 0 || row->is_total;
    put_number(grid, row->side[side].n, is_here, separator);
    put_number(grid, amount->flops, is_here, separator);
    if (side == TFR_REFERENCE) {
        put_number(grid, amount->visible_flops, is_here, separator);
    }
    put_number(grid, amount->read, is_here, separator);
    put_number(grid, amount->written, is_here, separator);
}

static enum tfr_status write_numbers(const struct tfr_cost_report *report, enum tfr_grid_form form, FILE *stream) {
    static const char *const heads[] = {"reference:", "FLOPs", "of visible pairs", "bytes read",   "bytes written",
                                        "executed:",  "FLOPs", "bytes read",       "bytes written"};
    const bool is_module = report->query->level == TFR_COST_MODULE;
    struct tfr_grid grid = {.n_columns = 10 + is_module, .is_left = is_module ? 3 : 1};
    tfr_grid_put(&grid, is_module ? "module" : "kernel");
    if (is_module) {
        tfr_grid_put(&grid, "class");
    }
    for (size_t i = 0; i < TFR_COUNT_OF(heads); i++) {
        tfr_grid_put(&grid, heads[i]);
    }
    tfr_grid_rule(&grid);
    for (int i = 0; i < report->n_rows; i++) {
        const struct tfr_cost_row *row = &report->rows[i];
        if (row->is_total) {
            tfr_grid_rule(&grid);
        }
        put_name(&grid, row);
        if (is_module) {
            tfr_grid_put(&grid, row->is_total ? "" : row->note);
        }
        put_side(&grid, row, TFR_REFERENCE, ',');
        put_side(&grid, row, TFR_EXECUTED, ',');
    }
    const enum tfr_status status = tfr_grid_write(&grid, form, stream);
    tfr_grid_close(&grid);
    return status;
}

static void write_formula(FILE *stream, enum tfr_grid_form form, const char *what, const struct tfr_poly *poly) {
    char text[FORMULA_TEXT];
    tfr_poly_factored(poly, text, sizeof text);
    fprintf(stream, form == TFR_GRID_MARKDOWN ? "- %s: `%s`\n" : "  %-22s %s\n", what, text);
}

static enum tfr_status write_row_formulas(const struct tfr_cost_report *report, const struct tfr_cost_row *row,
                                          enum tfr_grid_form form, FILE *stream) {
    const bool is_markdown = form == TFR_GRID_MARKDOWN;
    for (int side = 0; side < TFR_ACCOUNT_SIDES; side++) {
        if (row->side[side].n == 0) {
            continue;
        }
        struct tfr_account_filter filter = row->filter;
        struct tfr_formula all;
        filter.side = (enum tfr_account_side)side;
        TFR_TRY(tfr_account_sum_poly(report->account, &filter, side == TFR_EXECUTED, &all));
        fprintf(stream, is_markdown ? "\n**%s%s%s, %s**\n\n" : "\n%s%s%s, %s\n", row->name, row->note != NULL ? ": " : "",
                row->note != NULL ? row->note : "", tfr_cost_side_name(filter.side));
        write_formula(stream, form, "FLOPs", &all.flops);
        if (side == TFR_REFERENCE) {
            struct tfr_formula visible;
            TFR_TRY(tfr_account_sum_poly(report->account, &filter, true, &visible));
            if (!tfr_poly_equal(&visible.flops, &all.flops)) {
                write_formula(stream, form, "FLOPs of visible pairs", &visible.flops);
            }
        }
        write_formula(stream, form, "bytes read", &all.read);
        write_formula(stream, form, "bytes written", &all.written);
    }
    return TFR_OK;
}

static enum tfr_status write_formulas(const struct tfr_cost_report *report, enum tfr_grid_form form, FILE *stream) {
    fprintf(stream, "\nformulas hold where %s\n", tfr_cost_formulas_hold(report));
    for (int i = 0; i < report->n_rows; i++) {
        TFR_TRY(write_row_formulas(report, &report->rows[i], form, stream));
    }
    return TFR_OK;
}

static enum tfr_status write_ranks(const struct tfr_cost_report *report, enum tfr_grid_form form, FILE *stream) {
    static const char *const heads[] = {"rank", "blocks", "FLOPs", "bytes read", "bytes written", "messages sent", "bytes sent"};
    struct tfr_grid grid = {.n_columns = (int)TFR_COUNT_OF(heads)};
    for (size_t i = 0; i < TFR_COUNT_OF(heads); i++) {
        tfr_grid_put(&grid, heads[i]);
    }
    tfr_grid_rule(&grid);
    enum tfr_status status = TFR_OK;
    for (int rank = 0; rank < report->query->n_ranks && status == TFR_OK; rank++) {
        struct tfr_amount all, sent;
        tfr_int128 n_messages;
        int64_t n_blocks = 0;
        status = tfr_cost_rank(report, rank, &all, &sent, &n_messages);
        for (int64_t i = 0; i < report->config->model.n_layer; i++) {
            n_blocks += report->dry.owner[i] == rank;
        }
        tfr_grid_put_count(&grid, rank);
        tfr_grid_put_count(&grid, n_blocks);
        put_number(&grid, all.flops, true, ',');
        put_number(&grid, all.read, true, ',');
        put_number(&grid, all.written, true, ',');
        put_number(&grid, n_messages, true, ',');
        put_number(&grid, sent.read, true, ',');
    }
    fputc('\n', stream);
    status = status == TFR_OK ? tfr_grid_write(&grid, form, stream) : status;
    tfr_grid_close(&grid);
    return status;
}

static const char *of_logits(enum tfr_logits_kept kept) {
    return kept == TFR_LOGITS_ALL    ? "logits of all positions"
           : kept == TFR_LOGITS_LAST ? "logits of the last position"
                                     : "no logits";
}

static void write_dims(const struct tfr_cost_report *report, const char *line_end, FILE *stream) {
    static const enum tfr_dim shown[] = {TFR_DIM_LAYERS,   TFR_DIM_HIDDEN,       TFR_DIM_HEADS,
                                         TFR_DIM_HEAD_DIM, TFR_DIM_INTERMEDIATE, TFR_DIM_VOCAB};
    const struct tfr_hparams *model = &report->config->model;
    char text[TFR_INT128_TEXT];
    fprintf(stream, "%s of %s:", tfr_head_class(model->head), report->config->path);
    for (size_t i = 0; i < TFR_COUNT_OF(shown); i++) {
        fprintf(stream, "%s %s %s", i > 0 ? "," : "", tfr_dim_name(shown[i]),
                tfr_int128_text(report->account->step[shown[i]], ',', text));
    }
    if (model->head == TFR_HEAD_SEQUENCE || model->head == TFR_HEAD_TOKEN) {
        fprintf(stream, ", num_labels %lld", (long long)model->num_labels);
    }
    fputs(line_end, stream);
}

static void write_sequences(const struct tfr_cost_report *report, const char *line_end, FILE *stream) {
    char count[TFR_INT128_TEXT], seq[TFR_INT128_TEXT], cache[TFR_INT128_TEXT];
    fprintf(stream, "%s:", report->query->phase == TFR_COST_DECODE ? "decode" : "prefill");
    for (size_t i = 0; i < report->n_sequences; i++) {
        const struct tfr_sequences *of = &report->sequences[i];
        fprintf(stream, "%s batch_size %s, seq_len %s, cache_len %s", i > 0 ? ";" : "", tfr_int128_text(of->count, ',', count),
                tfr_int128_text(of->rows, ',', seq), tfr_int128_text(of->past, ',', cache));
    }
    if (report->query->encoder_len > 0) {
        fprintf(stream, "; encoder_len %s", tfr_int128_text(report->query->encoder_len, ',', count));
    }
    fputs(line_end, stream);
}

static enum tfr_status write_pairs(const struct tfr_cost_report *report, const char *line_end, FILE *stream) {
    tfr_int128 full[TFR_DIM_COUNT], visible[TFR_DIM_COUNT];
    struct tfr_batch_question batch = {.sequences = report->sequences, .n = report->n_sequences, .max_rows = INT64_MAX};
    char a[TFR_INT128_TEXT], b[TFR_INT128_TEXT];
    TFR_TRY(tfr_batch_at_once(&batch, full));
    batch.is_causal = report->config->model.is_causal;
    TFR_TRY(tfr_batch_at_once(&batch, visible));
    fprintf(stream, "pairs (query, key): %s in full, %s visible%s", tfr_int128_text(full[TFR_DIM_A], ',', a),
            tfr_int128_text(visible[TFR_DIM_A], ',', b), line_end);
    return TFR_OK;
}

/* The letters that formulas keep where sequences differ or are cut: what they are, and the executed step's values. */
static void write_letters(const struct tfr_cost_report *report, const char *line_end, FILE *stream) {
    static const enum tfr_dim letters[] = {TFR_DIM_T, TFR_DIM_R, TFR_DIM_A, TFR_DIM_X, TFR_DIM_B, TFR_DIM_U, TFR_DIM_W};
    const tfr_int128 *value = report->account->step;
    char text[TFR_INT128_TEXT];
    if (report->query->form == TFR_COST_NUMERIC || (report->n_sequences == 1 && value[TFR_DIM_U] <= 1)) {
        return;
    }
    fputs("letters, since not all rows are alike in one step:", stream);
    for (size_t i = 0; i < TFR_COUNT_OF(letters); i++) {
        fprintf(stream, "%s %s = %s %s", i > 0 ? "," : "", tfr_dim_name(letters[i]), tfr_int128_text(value[letters[i]], ',', text),
                tfr_dim_meaning(letters[i]));
    }
    fputs(line_end, stream);
}

/* What stands for what, before any number. */
static enum tfr_status write_head(const struct tfr_cost_report *report, enum tfr_grid_form form, FILE *stream) {
    const char *line_end = form == TFR_GRID_MARKDOWN ? "  \n" : "\n";
    const struct tfr_account *account = report->account;
    const struct tfr_account_question *question = &account->question;
    char steps[TFR_INT128_TEXT], keys[TFR_INT128_TEXT];
    write_dims(report, line_end, stream);
    write_sequences(report, line_end, stream);
    TFR_TRY(write_pairs(report, line_end, stream));
    fprintf(stream, "reference: the kernels that PyTorch runs when nothing is fused, each by itself; %s; %s; FLOPs of all pairs%s",
            tfr_dtype_name(question->dtype), of_logits(question->logits[TFR_REFERENCE]), line_end);
    fprintf(
        stream,
        "executed: tfrun's graph after fusing; weights %s, tables %s, kv cache %s, activations f32; %s; FLOPs of visible pairs%s",
        tfr_dtype_name(question->dtype), tfr_dtype_name(question->stored), tfr_dtype_name(question->kv_dtype),
        of_logits(question->logits[TFR_EXECUTED]), line_end);
    fprintf(stream, "steps: %s of at most %lld rows, which read the weights each, and %s keys in all%s",
            tfr_int128_text(account->step[TFR_DIM_U], ',', steps), (long long)question->max_rows,
            tfr_int128_text(account->step[TFR_DIM_X], ',', keys), line_end);
    write_letters(report, line_end, stream);
    fprintf(stream,
            "counted: + - * / max compare exp tanh erf log sqrt rsqrt are one FLOP, a multiply-add two, selecting none; bytes of "
            "distinct elements of each kernel%s\n",
            line_end);
    return TFR_OK;
}

static enum tfr_status write_csv(const struct tfr_cost_report *report, FILE *stream);

enum tfr_status tfr_cost_report_text(const struct tfr_cost_report *report, FILE *stream) {
    const struct tfr_cost_query *query = report->query;
    const enum tfr_grid_form form = query->format == TFR_COST_MARKDOWN ? TFR_GRID_MARKDOWN : TFR_GRID_TEXT;
    if (query->format == TFR_COST_CSV) {
        return write_csv(report, stream);
    }
    TFR_TRY(write_head(report, form, stream));
    if (query->form != TFR_COST_SYMBOLIC) {
        TFR_TRY(write_numbers(report, form, stream));
    }
    if (query->form != TFR_COST_SYMBOLIC && query->n_ranks > 1) {
        TFR_TRY(write_ranks(report, form, stream));
    }
    return query->form != TFR_COST_NUMERIC ? write_formulas(report, form, stream) : TFR_OK;
}

static enum tfr_status put_csv_side(const struct tfr_cost_report *report, const struct tfr_cost_row *row,
                                    enum tfr_account_side side, struct tfr_grid *grid) {
    const struct tfr_amount *amount = &row->side[side].amount;
    const tfr_int128 numbers[] = {row->side[side].n, amount->flops, amount->visible_flops, amount->read, amount->written};
    tfr_grid_put(grid, row->name);
    tfr_grid_put_count(grid, row->depth);
    tfr_grid_put(grid, tfr_cost_side_name(side));
    for (size_t i = 0; i < TFR_COUNT_OF(numbers) && report->query->form != TFR_COST_SYMBOLIC; i++) {
        put_number(grid, numbers[i], true, '\0');
    }
    if (report->query->form == TFR_COST_NUMERIC) {
        return TFR_OK;
    }
    struct tfr_account_filter filter = row->filter;
    struct tfr_formula all, visible;
    filter.side = side;
    TFR_TRY(tfr_account_sum_poly(report->account, &filter, side == TFR_EXECUTED, &all));
    TFR_TRY(tfr_account_sum_poly(report->account, &filter, true, &visible));
    const struct tfr_poly *formulas[] = {&all.flops, &visible.flops, &all.read, &all.written};
    for (size_t i = 0; i < TFR_COUNT_OF(formulas); i++) {
        char text[FORMULA_TEXT];
        tfr_grid_put(grid, tfr_poly_text(formulas[i], text, sizeof text));
    }
    return TFR_OK;
}

static enum tfr_status write_csv(const struct tfr_cost_report *report, FILE *stream) {
    static const char *const names[] = {"name", "depth", "side"},
                             *const numbers[] = {"n", "flops", "flops_visible", "bytes_read", "bytes_written"},
                             *const formulas[] = {"flops_formula", "flops_visible_formula", "bytes_read_formula",
                                                  "bytes_written_formula"};
    const enum tfr_cost_form form = report->query->form;
    struct tfr_grid grid = {.n_columns = 3 + (form != TFR_COST_SYMBOLIC ? 5 : 0) + (form != TFR_COST_NUMERIC ? 4 : 0)};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        tfr_grid_put(&grid, names[i]);
    }
    for (size_t i = 0; i < TFR_COUNT_OF(numbers) && form != TFR_COST_SYMBOLIC; i++) {
        tfr_grid_put(&grid, numbers[i]);
    }
    for (size_t i = 0; i < TFR_COUNT_OF(formulas) && form != TFR_COST_NUMERIC; i++) {
        tfr_grid_put(&grid, formulas[i]);
    }
    enum tfr_status status = TFR_OK;
    for (int i = 0; i < report->n_rows && status == TFR_OK; i++) {
        for (int side = 0; side < TFR_ACCOUNT_SIDES && status == TFR_OK; side++) {
            if (report->rows[i].side[side].n > 0 || report->rows[i].is_total) {
                status = put_csv_side(report, &report->rows[i], (enum tfr_account_side)side, &grid);
            }
        }
    }
    status = status == TFR_OK ? tfr_grid_write(&grid, TFR_GRID_CSV, stream) : status;
    tfr_grid_close(&grid);
    return status;
}

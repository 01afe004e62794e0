/* cost_head.c - the head of `tfrun cost`: what was asked, what the columns stand for and how it is counted. */
#include <tfrun/quant.h>
#include <tfrun/tfrun.h>

#include "base/status.h"
#include "base/tensor.h"
#include "report/cost_report.h"

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

static void write_reference(const struct tfr_cost_report *report, const char *line_end, FILE *stream) {
    const struct tfr_account_question *question = &report->account->question;
    fprintf(stream,
            "reference: the kernels of eager attention in transformers " TFR_COST_REFERENCE_RELEASE
            ", each by itself; %s; %s; FLOPs of all pairs%s",
            tfr_dtype_name(tfr_account_reference_dtype(question)), of_logits(question->logits[TFR_REFERENCE]), line_end);
    const struct tfr_hparams *model = question->hparams;
    const bool is_scaled_once =
        model->reorder_and_upcast_attn || model->scale_attn_weights != model->scale_attn_by_inverse_layer_idx;
    fprintf(
        stream,
        "  --level line has the same FLOPs%s, but counts also the bytes of positions, masks, integers and copies that its release "
        "makes on the way%s",
        is_scaled_once ? "" : " (from transformers 5 on it scales once)", line_end);
}

/* What stands for what, before any number. */
enum tfr_status tfr_cost_report_head(const struct tfr_cost_report *report, const char *line_end, FILE *stream) {
    const struct tfr_account *account = report->account;
    const struct tfr_account_question *question = &account->question;
    const struct tfr_table_types *tables = &question->tables;
    const bool are_alike = tables->wte == tables->wpe;
    const bool is_finer = tfr_quant_group(question->dtype) > 0 && question->finer->n > 0;
    char steps[TFR_INT128_TEXT], keys[TFR_INT128_TEXT];
    write_dims(report, line_end, stream);
    write_sequences(report, line_end, stream);
    TFR_TRY(write_pairs(report, line_end, stream));
    write_reference(report, line_end, stream);
    fprintf(stream,
            "executed: tfrun's graph after fusing; weights %s%s, tables %s%s%s, kv cache %s, activations f32; %s; FLOPs of visible "
            "pairs%s",
            tfr_dtype_name(question->dtype), is_finer ? " (runtime.int4_finer: some of 8 bits)" : "", tfr_dtype_name(tables->wte),
            are_alike ? "" : " and (positions) ", are_alike ? "" : tfr_dtype_name(tables->wpe), tfr_dtype_name(question->kv_dtype),
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

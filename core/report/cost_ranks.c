/* cost_ranks.c - each rank's share of `tfrun cost`, and its messages; ranks without work are counted, not listed. */
#include "report/cost_report.h"

#include "base/status.h"

static void put_number(struct tfr_grid *grid, tfr_int128 value) {
    char text[TFR_INT128_TEXT];
    tfr_grid_put(grid, tfr_int128_text(value, ',', text));
}

static enum tfr_status put_rank(const struct tfr_cost_report *report, int rank, int64_t *n_idle, struct tfr_grid *grid) {
    struct tfr_amount all, sent;
    tfr_int128 n_messages;
    TFR_TRY(tfr_cost_rank(report, rank, &all, &sent, &n_messages));
    if (all.flops + all.read + all.written == 0) {
        ++*n_idle;
        return TFR_OK;
    }
    tfr_grid_put_count(grid, rank);
    tfr_grid_put_count(grid, tfr_placement_count_blocks(&report->dry.placement, rank));
    put_number(grid, all.flops);
    put_number(grid, all.read);
    put_number(grid, all.written);
    put_number(grid, n_messages);
    put_number(grid, sent.read);
    return TFR_OK;
}

/* Why a rank is missing, and why the first may have no block. */
static void write_notes(const struct tfr_cost_report *report, int64_t n_idle, FILE *stream) {
    if (n_idle > 0) {
        fprintf(stream, "\n%lld of %d ranks have nothing to do: there are %lld blocks, and a rank takes whole ones\n",
                (long long)n_idle, report->query->n_ranks, (long long)report->config->model.n_layer);
    }
    if (tfr_placement_count_blocks(&report->dry.placement, 0) == 0) {
        fprintf(stream, "\nrank 0 has no block: it looks up the embeddings and computes the logits, which --split balanced weighs "
                        "against blocks (--split hf deals evenly)\n");
    }
}

enum tfr_status tfr_cost_report_ranks(const struct tfr_cost_report *report, enum tfr_grid_form form, FILE *stream) {
    static const char *const heads[] = {"rank", "blocks", "FLOPs", "bytes read", "bytes written", "messages sent", "bytes sent"};
    struct tfr_grid grid = {.n_columns = (int)TFR_COUNT_OF(heads)};
    int64_t n_idle = 0;
    for (size_t i = 0; i < TFR_COUNT_OF(heads); i++) {
        tfr_grid_put(&grid, heads[i]);
    }
    tfr_grid_rule(&grid);
    enum tfr_status status = TFR_OK;
    for (int rank = 0; rank < report->query->n_ranks && status == TFR_OK; rank++) {
        status = put_rank(report, rank, &n_idle, &grid);
    }
    fputc('\n', stream);
    status = status == TFR_OK ? tfr_grid_write(&grid, form, stream) : status;
    tfr_grid_close(&grid);
    if (status == TFR_OK) {
        write_notes(report, n_idle, stream);
    }
    return status;
}

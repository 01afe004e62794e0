/* report_quantized.c - what rounding the weights changed: a line for each tensor, the bytes, and perplexities where they were
 * measured; for people and as JSON. */
#include <tfrun/tfrun.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/memtext.h"
#include "base/status.h"
#include "base/units.h"
#include "report/grid.h"
#include "scoring/score.h"

static double worse_by(const struct tfr_evaluation *before, const struct tfr_evaluation *after) {
    return 100 * (after->perplexity / before->perplexity - 1);
}

/* Standard error of worse_by from what each token lost, far below those of the two perplexities: both saw the same tokens. Negative
 * where tokens were not kept, or one has no probability. */
static double error_of_worse(const struct tfr_evaluation *before, const struct tfr_evaluation *after) {
    const size_t n = before->n_tokens;
    if (before->tokens == NULL || after->tokens == NULL || n != after->n_tokens) {
        return -1;
    }
    double sum = 0, sum_of_squares = 0;
    for (size_t i = 0; i < n; i++) {
        const double lost = before->tokens[i].logprob - after->tokens[i].logprob;
        sum += lost;
        sum_of_squares += lost * lost;
    }
    const double error = 100 * after->perplexity / before->perplexity * tfr_error_of_mean(sum, sum_of_squares, (double)n);
    return isfinite(sum) && isfinite(error) ? error : -1;
}

static void put_perplexity(struct tfr_json_out *out, const struct tfr_evaluation *before, const struct tfr_evaluation *after) {
    tfr_json_begin(out, "perplexity", '{');
    const double error = error_of_worse(before, after);
    tfr_put_real(out, "before", before->perplexity);
    tfr_put_real(out, "before_error", before->perplexity_error);
    tfr_json_put_text(out, "before_dtype", before->dtype);
    tfr_json_put_text(out, "before_kv_dtype", before->kv_dtype);
    tfr_put_real(out, "after", after->perplexity);
    tfr_put_real(out, "after_error", after->perplexity_error);
    tfr_json_put_text(out, "after_dtype", after->dtype);
    tfr_json_put_text(out, "after_kv_dtype", after->kv_dtype);
    tfr_put_real(out, "worse_percent", worse_by(before, after));
    if (error >= 0) {
        tfr_put_real(out, "worse_percent_error", error);
    }
    tfr_json_put_int(out, "n_tokens", (int64_t)after->n_tokens);
    tfr_json_end(out, '}');
}

static enum tfr_status report_json(const struct tfr_quantized *quantized, const struct tfr_evaluation *before,
                                   const struct tfr_evaluation *after, char **text) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-quantize-1");
    tfr_json_put_text(&out, "directory", quantized->directory);
    tfr_json_put_int(&out, "bytes_before", quantized->bytes_before);
    tfr_json_put_int(&out, "bytes", quantized->bytes);
    if (before != NULL && after != NULL) {
        put_perplexity(&out, before, after);
    }
    tfr_json_begin(&out, "tensors", '[');
    for (size_t i = 0; i < quantized->n; i++) {
        const struct tfr_quantized_tensor *tensor = &quantized->tensors[i];
        tfr_json_begin(&out, NULL, '{');
        tfr_json_put_text(&out, "name", tensor->name);
        tfr_json_put_text(&out, "type_before", tensor->type_before);
        tfr_json_put_text(&out, "type", tensor->type);
        tfr_json_put_number(&out, "error", tensor->error);
        tfr_json_put_number(&out, "largest", tensor->largest);
        tfr_json_put_int(&out, "bytes_before", tensor->bytes_before);
        tfr_json_put_int(&out, "bytes", tensor->bytes);
        tfr_json_end(&out, '}');
    }
    tfr_json_end(&out, ']');
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

static void put_bytes(struct tfr_grid *grid, int64_t bytes) {
    char text[TFR_UNIT_TEXT];
    tfr_grid_put(grid, tfr_si_text((double)bytes, "B", text));
}

/* Tensors that were rounded; the others as one line, so that the bytes add up. */
static void put_rows(struct tfr_grid *grid, const struct tfr_quantized *quantized) {
    int64_t before = quantized->bytes_before, after = quantized->bytes;
    for (size_t i = 0; i < quantized->n; i++) {
        const struct tfr_quantized_tensor *tensor = &quantized->tensors[i];
        if (strcmp(tensor->type, tensor->type_before) == 0) {
            continue;
        }
        char error[32], largest[32];
        snprintf(error, sizeof error, "%.4f %%", 100 * tensor->error);
        snprintf(largest, sizeof largest, "%.3g", tensor->largest);
        tfr_grid_put(grid, tensor->name);
        tfr_grid_put(grid, tensor->type);
        tfr_grid_put(grid, error);
        tfr_grid_put(grid, largest);
        put_bytes(grid, tensor->bytes_before);
        put_bytes(grid, tensor->bytes);
        before -= tensor->bytes_before;
        after -= tensor->bytes;
    }
    const char *const rest[] = {"all others", "as they were", "", ""}, *const all[] = {"together", "", "", ""};
    tfr_grid_rule(grid);
    for (size_t i = 0; i < TFR_COUNT_OF(rest); i++) {
        tfr_grid_put(grid, rest[i]);
    }
    put_bytes(grid, before);
    put_bytes(grid, after);
    for (size_t i = 0; i < TFR_COUNT_OF(all); i++) {
        tfr_grid_put(grid, all[i]);
    }
    put_bytes(grid, quantized->bytes_before);
    put_bytes(grid, quantized->bytes);
}

static void put_line(FILE *stream, const struct tfr_evaluation *before, const struct tfr_evaluation *after) {
    const double error = error_of_worse(before, after);
    fprintf(stream, "\nperplexity %.4f +- %.4f (%s, kv %s) before, %.4f +- %.4f (%s, kv %s) after: %+.3f %%", before->perplexity,
            before->perplexity_error, before->dtype, before->kv_dtype, after->perplexity, after->perplexity_error, after->dtype,
            after->kv_dtype, worse_by(before, after));
    if (error >= 0) {
        fprintf(stream, " +- %.3f", error);
    }
    fprintf(stream, " (%zu tokens)\n", after->n_tokens);
}

static enum tfr_status report_text(const struct tfr_quantized *quantized, const struct tfr_evaluation *before,
                                   const struct tfr_evaluation *after, char **text) {
    static const char *const head[] = {"tensor", "type", "error", "largest", "before", "after"};
    struct tfr_grid grid = {.n_columns = (int)TFR_COUNT_OF(head), .is_left = 3};
    FILE *stream;
    size_t size;
    TFR_TRY(tfr_memtext_open(&stream, text, &size));
    for (size_t i = 0; i < TFR_COUNT_OF(head); i++) {
        tfr_grid_put(&grid, head[i]);
    }
    tfr_grid_rule(&grid);
    put_rows(&grid, quantized);
    const enum tfr_status status = tfr_grid_write(&grid, TFR_GRID_TEXT, stream);
    tfr_grid_close(&grid);
    if (before != NULL && after != NULL) {
        put_line(stream, before, after);
    }
    return tfr_memtext_end(stream, text, status);
}

enum tfr_status tfr_report_quantized(const struct tfr_quantized *quantized, const struct tfr_evaluation *before,
                                     const struct tfr_evaluation *after, enum tfr_report_form form, char **text) {
    return form == TFR_REPORT_JSON ? report_json(quantized, before, after, text) : report_text(quantized, before, after, text);
}

/* kernel_bench_json.c - what kernels took as a document, schema tfrun-kernels-1. Times are microseconds. */
#include "base/json.h"
#include "base/tensor.h"
#include "study/kernel_bench.h"

static void put_roof(struct tfr_json_out *out, const struct tfr_kernel_result *result, const struct tfr_kernel_figure *figure) {
    const double share = tfr_kernel_roof_share(result, figure);
    tfr_json_put_number(out, "roof_us", result->roof_s * 1e6);
    tfr_json_put_number(out, "roof_share", share);
    tfr_json_put_text(out, "roof", result->is_compute_bound ? "compute" : "memory");
    tfr_json_put_bool(out, "doubtful", share > TFR_KERNEL_DOUBTFUL_SHARE);
}

static void put_figure(struct tfr_json_out *out, const struct tfr_kernel_result *result, const struct tfr_kernel_figure *figure) {
    const struct tfr_spread *spread = &figure->spread;
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "kernel", figure->kernel);
    tfr_json_put_int(out, "threads", figure->threads);
    tfr_json_put_number(out, "median_us", spread->median * 1e6);
    tfr_json_put_number(out, "q1_us", spread->q1 * 1e6);
    tfr_json_put_number(out, "q3_us", spread->q3 * 1e6);
    tfr_json_put_number(out, "low95_us", spread->low * 1e6);
    tfr_json_put_number(out, "high95_us", spread->high * 1e6);
    tfr_json_put_number(out, "coverage", spread->coverage);
    tfr_json_put_number(out, "gflops", result->flops / spread->median / 1e9);
    tfr_json_put_number(out, "gb_s", result->bytes / spread->median / 1e9);
    if (result->roof_s > 0) {
        put_roof(out, result, figure);
    }
    tfr_json_put_int(out, "packed_bytes", (int64_t)figure->packed_bytes);
    tfr_json_begin(out, "times_us", '[');
    for (size_t i = 0; i < figure->n_times; i++) {
        tfr_json_put_number(out, NULL, figure->times[i] * 1e6);
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

static void put_result(struct tfr_json_out *out, const struct tfr_kernel_result *result) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "case", result->of.name);
    tfr_json_put_text(out, "is", result->of.text);
    tfr_json_put_int(out, "line", result->of.line);
    tfr_json_put_number(out, "flops", result->flops);
    tfr_json_put_number(out, "bytes", result->bytes);
    tfr_json_put_text(out, "factors", tfr_kv_dtype_name(tfr_kernel_case_factors(&result->of)));
    if (result->memory_rate > 0) {
        tfr_json_put_number(out, "memory_bytes_per_s", result->memory_rate);
    }
    if (result->waited_percent >= 0) {
        tfr_json_put_number(out, "waited_percent", result->waited_percent);
    }
    tfr_json_begin(out, "kernels", '[');
    for (size_t i = 0; i < result->n_served; i++) {
        put_figure(out, result, &result->figures[i]);
    }
    tfr_json_end(out, ']');
    tfr_json_begin(out, "refused", '[');
    for (size_t i = result->n_served; i < result->n_figures; i++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_text(out, "kernel", result->figures[i].kernel);
        tfr_json_put_text(out, "reason", result->figures[i].refusal);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

static void put_rates(struct tfr_json_out *out, const struct tfr_kernel_bench *bench) {
    tfr_json_put_number(out, "memory_bytes_per_s", bench->memory_rate);
    tfr_json_begin(out, "flops_per_s", '{'); /* of factors of a type; without those that are not measured */
    for (int i = 0; i < TFR_KERNEL_PEAKS; i++) {
        if (bench->peaks[i].flop_rate > 0) {
            tfr_json_put_number(out, tfr_kv_dtype_name(bench->peaks[i].dtype), bench->peaks[i].flop_rate);
        }
    }
    tfr_json_end(out, '}');
}

enum tfr_status tfr_kernel_bench_json(const struct tfr_kernel_bench *bench, char **text) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", TFR_KERNEL_BENCH_SCHEMA);
    tfr_json_put_text(&out, "file", bench->file);
    tfr_json_put_text(&out, "machine", bench->machine);
    tfr_json_put_int(&out, "threads", bench->n_threads);
    tfr_json_put_int(&out, "repetitions", bench->repetitions);
    if (bench->has_roofs) {
        put_rates(&out, bench);
    }
    tfr_json_begin(&out, "cases", '[');
    for (size_t i = 0; i < bench->n_results; i++) {
        put_result(&out, &bench->results[i]);
    }
    tfr_json_end(&out, ']');
    tfr_manifest_put(&out, &bench->manifest);
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

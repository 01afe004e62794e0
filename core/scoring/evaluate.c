/* evaluate.c - perplexity of a text: overlapping windows, each token counted once, sums in the order of the
 * text.
 *
 * Window w stands over tokens [w * stride, w * stride + ctx) and counts those that no window before it
 * counted. Where that includes its first token (stride = ctx), the token before it is fed too, so that no
 * token is lost at a border.
 */
#include <tfrun/tfrun.h>

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/tensor.h"
#include "config/choices.h"
#include "scoring/score.h"
#include "session/prefix.h"

struct window_sum {
    double nll;
    size_t n;
};

struct evaluating {
    struct tfr_engine *engine;
    const struct tfr_tokenizer *tokenizer;
    struct tfr_ids ids;
    struct tfr_score_item *windows; /* [result->n_windows] */
    struct window_sum *sums;
    struct tfr_evaluation *result;
    double sum, sum_of_squares; /* of -log p */
    tfr_progress_fn progress;
    void *user;
    uint64_t start_ns;
    size_t total;
};

static enum tfr_status choose_window(struct evaluating *run) {
    const struct tfr_options *options = &run->engine->config->options;
    const int64_t limit = tfr_engine_n_positions(run->engine);
    struct tfr_evaluation *result = run->result;
    result->ctx = options->eval_ctx > 0 ? options->eval_ctx : limit;
    if (result->ctx > limit) {
        return tfr_raise(TFR_USAGE, "eval.ctx = %lld is more than the model's %s = %lld; pass --ctx %lld or less",
                         (long long)result->ctx, tfr_engine_positions_name(run->engine), (long long)limit, (long long)limit);
    }
    result->stride = options->eval_stride > 0 ? options->eval_stride : (result->ctx + 1) / 2;
    if (result->stride > result->ctx) {
        return tfr_raise(TFR_USAGE,
                         "eval.stride = %lld is more than eval.ctx = %lld and would skip tokens; pass "
                         "--stride %lld or less",
                         (long long)result->stride, (long long)result->ctx, (long long)result->ctx);
    }
    return TFR_OK;
}

static enum tfr_status encode(struct evaluating *run, const char *text, size_t size) {
    const struct tfr_options *options = &run->engine->config->options;
    run->result->bos = options->eval_bos;
    if (options->eval_bos) {
        TFR_TRY(tfr_append_bos(run->engine, &run->ids));
    }
    const size_t before = run->ids.n;
    TFR_TRY(tfr_tokenizer_encode(run->tokenizer, text, size, TFR_SPECIAL_PARSE, &run->ids));
    if (options->eval_limit > 0 && run->ids.n - before > (size_t)options->eval_limit) {
        run->ids.n = before + (size_t)options->eval_limit;
    }
    if (run->ids.n < 2) {
        return tfr_raise(TFR_MODEL, "the text has %zu tokens and none to predict; give at least %s", run->ids.n - before,
                         options->eval_bos ? "one" : "two, or pass --bos");
    }
    run->total = run->ids.n - 1;
    return TFR_OK;
}

static enum tfr_status lay_out_windows(struct evaluating *run) {
    const size_t n = run->ids.n, ctx = (size_t)run->result->ctx, stride = (size_t)run->result->stride;
    const size_t n_windows = n <= ctx ? 1 : 1 + (n - ctx + stride - 1) / stride;
    run->windows = tfr_alloc(n_windows, sizeof *run->windows);
    run->sums = tfr_alloc(n_windows, sizeof *run->sums);
    if (run->windows == NULL || run->sums == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t w = 0, counted = 1; w < n_windows; w++) {
        const size_t begin = w * stride, end = begin + ctx < n ? begin + ctx : n;
        const size_t from = begin < counted ? begin : counted - 1;
        run->windows[w] = (struct tfr_score_item){.ids = run->ids.data + from, .n = end - from, .n_context = counted - from};
        counted = end;
    }
    run->result->n_windows = n_windows;
    return TFR_OK;
}

double tfr_error_of_mean(double sum, double sum_of_squares, double n) {
    if (!isfinite(sum_of_squares)) { /* a token without probability */
        return n > 1 ? INFINITY : 0;
    }
    const double squares = sum_of_squares - sum * sum / n;
    return n > 1 && squares > 0 ? sqrt(squares / (n - 1) / n) : 0;
}

double tfr_perplexity_error(double nll, double nll_error) {
    return nll_error > 0 ? exp(nll) * nll_error : 0; /* no error of an infinite perplexity is none all the same */
}

static void report_progress(const struct evaluating *run) {
    if (run->progress == NULL) {
        return;
    }
    const double n = (double)run->result->n_tokens;
    const double nll = run->sum / n;
    const struct tfr_progress progress = {
        .what = "eval",
        .unit = "tok",
        .value_name = "perplexity",
        .done = run->result->n_tokens,
        .total = run->total,
        .value = exp(nll),
        .error = tfr_perplexity_error(nll, tfr_error_of_mean(run->sum, run->sum_of_squares, n)),
        .elapsed_ns = tfr_clock_ns() - run->start_ns,
    };
    run->progress(run->user, &progress);
}

static enum tfr_status take_scores(void *user, size_t window, size_t first, const struct tfr_token_score *scores, size_t n) {
    (void)first;
    struct evaluating *run = user;
    struct tfr_evaluation *result = run->result;
    for (size_t i = 0; i < n; i++) {
        const double nll = -scores[i].logprob;
        size_t bytes = 0;
        tfr_tokenizer_bytes(run->tokenizer, scores[i].id, &bytes);
        run->sum += nll;
        run->sum_of_squares += nll * nll;
        run->sums[window].nll += nll;
        result->n_bytes += bytes;
        result->n_greedy += scores[i].best_id == scores[i].id;
        if (result->tokens != NULL) {
            result->tokens[result->n_tokens + i] = scores[i];
        }
    }
    run->sums[window].n += n;
    result->n_tokens += n;
    report_progress(run);
    return TFR_OK;
}

/* Windows as clusters: tokens of one window may go together. 0 with fewer than two. */
static double error_from_windows(const struct evaluating *run, double mean) {
    double squares = 0, used = 0;
    for (size_t w = 0; w < run->result->n_windows; w++) {
        const struct window_sum *sum = &run->sums[w];
        const double away = sum->nll - (double)sum->n * mean;
        squares += away * away;
        used += sum->n > 0;
    }
    if (!isfinite(mean)) {
        return used > 1 ? INFINITY : 0;
    }
    return used > 1 ? sqrt(squares * used / (used - 1)) / (double)run->result->n_tokens : 0;
}

static void conclude(struct evaluating *run) {
    struct tfr_evaluation *result = run->result;
    const double n = (double)result->n_tokens;
    result->elapsed_ns = tfr_clock_ns() - run->start_ns;
    if (result->n_tokens == 0) {
        return;
    }
    result->logprob = -run->sum;
    result->nll = run->sum / n;
    result->nll_error = tfr_error_of_mean(run->sum, run->sum_of_squares, n);
    result->nll_error_windows = error_from_windows(run, result->nll);
    result->perplexity = exp(result->nll);
    result->perplexity_error = tfr_perplexity_error(result->nll, result->nll_error);
    result->bits_per_token = result->nll / log(2);
    result->bits_per_byte = result->n_bytes > 0 ? run->sum / log(2) / (double)result->n_bytes : 0;
}

static enum tfr_status run_windows(struct evaluating *run, const char *text, size_t size, bool keep_tokens) {
    TFR_TRY(choose_window(run));
    TFR_TRY(tfr_engine_tokenizer(run->engine, &run->tokenizer));
    TFR_TRY(encode(run, text, size));
    TFR_TRY(lay_out_windows(run));
    if (keep_tokens) {
        run->result->tokens = tfr_alloc(run->total, sizeof *run->result->tokens);
        if (run->result->tokens == NULL) {
            return TFR_RESOURCE;
        }
    }
    run->start_ns = tfr_clock_ns();
    enum tfr_status status = tfr_score_stream(run->engine, run->windows, run->result->n_windows, take_scores, run);
    conclude(run);
    return status;
}

enum tfr_status tfr_evaluate(struct tfr_engine *engine, const char *text, size_t size, bool keep_tokens, tfr_progress_fn progress,
                             void *user, struct tfr_evaluation *evaluation) {
    *evaluation = (struct tfr_evaluation){
        .dtype = tfr_choice_name("runtime.dtype", engine->config->options.runtime_dtype),
        .kv_dtype = tfr_kv_dtype_name(tfr_kv_dtype(engine->config)),
    };
    struct evaluating run = {.engine = engine, .result = evaluation, .progress = progress, .user = user};
    enum tfr_status status = run_windows(&run, text, size, keep_tokens);
    if (status != TFR_OK && status != TFR_CANCELLED) {
        tfr_evaluation_free(evaluation);
    }
    tfr_ids_free(&run.ids);
    tfr_free(run.windows);
    tfr_free(run.sums);
    return status;
}

void tfr_evaluation_free(struct tfr_evaluation *evaluation) {
    tfr_free(evaluation->tokens);
    evaluation->tokens = NULL;
}

/* forward_loss.c - losses of the heads, in double on rank 0, from logits and the targets read before. */
#include <math.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/logits.h"
#include "base/status.h"
#include "forward/forward.h"

enum tfr_status tfr_labels_check(const char *name, const int64_t *labels, int64_t n, int64_t limit) {
    for (int64_t i = 0; i < n; i++) {
        if ((labels[i] < 0 || labels[i] >= limit) && labels[i] != TFR_IGNORED_LABEL) {
            return tfr_raise(TFR_USAGE, "%s: %lld at element %lld is outside 0..%lld and not %d (not counted)", name,
                             (long long)labels[i], (long long)i, (long long)(limit - 1), TFR_IGNORED_LABEL);
        }
    }
    return TFR_OK;
}

/* Mean over the rows whose label counts; NaN when there is none. Row i of `labels` belongs to row i of logits. */
static double cross_entropy(const float *logits, int64_t n, int64_t width, const int64_t *labels, int64_t ignored) {
    double total = 0;
    int64_t counted = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * width;
        if (labels[i] != TFR_IGNORED_LABEL && labels[i] != ignored) {
            total += tfr_log_sum_exp(row, width) - row[labels[i]];
            counted++;
        }
    }
    return counted > 0 ? total / (double)counted : NAN;
}

/* Label of position t + 1 for the logits of position t. */
static enum tfr_status lm_loss(const struct tfr_forward_request *request, const struct tfr_result *result, double *loss) {
    const int64_t S = request->S, n = request->B * S;
    int64_t *shifted = tfr_alloc((size_t)n, sizeof *shifted);
    if (shifted == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t i = 0; i < n; i++) {
        shifted[i] = i % S + 1 < S ? request->targets.labels[i + 1] : TFR_IGNORED_LABEL;
    }
    *loss = cross_entropy(result->logits, n, result->width, shifted, TFR_IGNORED_LABEL);
    tfr_free(shifted);
    return TFR_OK;
}

/* Mean squared error, or binary cross entropy with logits, of one number for each logit. */
static double number_loss(const struct tfr_forward_request *request, const struct tfr_result *result) {
    const int64_t n = request->B * result->width;
    const bool is_regression = request->targets.problem_type == TFR_PROBLEM_REGRESSION;
    double total = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = result->logits[i], y = request->targets.numbers[i];
        total += is_regression ? (x - y) * (x - y) : (x > 0 ? x : 0) - x * y + log1p(exp(-fabs(x)));
    }
    return total / (double)n;
}

static enum tfr_status add(struct tfr_forward_reply *reply, const char *name, double loss) {
    float *data;
    if (isnan(loss)) {
        tfr_log(TFR_LOG_WARN, "forward", "no label counts, or logits hold NaN: the %s is NaN", name);
    }
    TFR_TRY(tfr_reply_add(reply, name, 0, NULL, &data));
    *data = (float)loss;
    return TFR_OK;
}

enum tfr_status tfr_add_loss(const struct tfr_forward_request *request, const struct tfr_result *result,
                             struct tfr_forward_reply *reply) {
    const struct tfr_targets *targets = &request->targets;
    const int64_t n = request->B * request->n_keep;
    const bool is_lm = request->head == TFR_HEAD_LM || request->head == TFR_HEAD_DOUBLE;
    double loss = NAN;
    if (targets->labels == NULL && targets->numbers == NULL) {
        return TFR_OK;
    }
    if (is_lm) {
        TFR_TRY(lm_loss(request, result, &loss));
    } else {
        loss = targets->numbers != NULL ? number_loss(request, result)
                                        : cross_entropy(result->logits, n, result->width, targets->labels, TFR_IGNORED_LABEL);
    }
    return add(reply, "loss", loss);
}

enum tfr_status tfr_add_choice_loss(const struct tfr_forward_request *request, const float *mc_logits,
                                    struct tfr_forward_reply *reply) {
    const int64_t *labels = request->targets.mc_labels;
    const int64_t width = tfr_choice_width(request);
    return labels == NULL ? TFR_OK
                          : add(reply, "mc_loss", cross_entropy(mc_logits, request->B / width, width, labels, TFR_IGNORED_LABEL));
}

enum tfr_status tfr_add_span_loss(const struct tfr_forward_request *request, float *const *logits,
                                  struct tfr_forward_reply *reply) {
    const int64_t B = request->B, S = request->S;
    int64_t *const *span = request->targets.span;
    return span[0] == NULL
               ? TFR_OK
               : add(reply, "loss", (cross_entropy(logits[0], B, S, span[0], S) + cross_entropy(logits[1], B, S, span[1], S)) / 2);
}

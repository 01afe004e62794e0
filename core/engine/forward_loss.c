/* forward_loss.c - losses of the heads, in double on rank 0. */
#include <math.h>

#include "base/status.h"
#include "engine/forward.h"
#include "engine/loss.h"

double tfr_cross_entropy(const float *logits, int64_t n, int64_t width, const int64_t *labels,
                         int64_t ignored) {
    double total = 0;
    int64_t counted = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * width;
        if (labels[i] != -100 && labels[i] != ignored) {
            total += tfr_log_sum_exp(row, width) - row[labels[i]];
            counted++;
        }
    }
    return counted > 0 ? total / (double)counted : NAN;
}

enum tfr_status tfr_labels_check(const char *name, const int64_t *labels, int64_t n, int64_t limit,
                                 int64_t ignored) {
    for (int64_t i = 0; i < n; i++) {
        if ((labels[i] < 0 || labels[i] >= limit) && labels[i] != ignored) {
            return tfr_raise(TFR_USAGE,
                             "%s: %lld at element %lld is outside 0..%lld and not %lld (not counted)", name,
                             (long long)labels[i], (long long)i, (long long)(limit - 1), (long long)ignored);
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_reply_add_loss(struct tfr_forward_reply *reply, const char *name, double loss) {
    float *data;
    TFR_TRY(tfr_reply_add(reply, name, 0, NULL, &data));
    *data = (float)loss;
    return TFR_OK;
}

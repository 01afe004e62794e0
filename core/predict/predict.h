/* predict.h - the time of a task on this machine, from a calibration.
 *
 *     roof time  = max(FLOPs / peak, near bytes / bandwidth(near set) + far bytes / bandwidth(far set))
 *     time       = roof time / efficiency
 *
 * Peaks and bandwidths are measured roofs. The efficiency of a kernel at a shape is roof time / measured time at the calibrated
 * points; between two of them it is linear in the logarithm of the rows, and of 1 + the cached positions. Beyond the outermost
 * it stays. A shape that was not calibrated takes the nearest one of its kernel. All of it is a pure function of the facts of a
 * task and the calibration. Thread rule: no state.
 */
#ifndef TFR_PREDICT_PREDICT_H
#define TFR_PREDICT_PREDICT_H

#include "predict/calibration.h"
#include "predict/task_facts.h"

enum tfr_bound { TFR_BOUND_COMPUTE, TFR_BOUND_MEMORY, TFR_BOUND_COUNT };
enum tfr_prediction_base { TFR_BASED_ON_SHAPE, TFR_BASED_ON_KERNEL, TFR_BASED_ON_ROOF };

/* Bytes a second of `threads` threads that go through `set` bytes. */
double tfr_roof_bandwidth(const struct tfr_roofs *roofs, int threads, double set);
/* FLOPs a second of `threads` threads with factors of this type on units of this instruction set; 0 where none was measured. */
double tfr_roof_flops(const struct tfr_roofs *roofs, int threads, enum tfr_dtype dtype, uint32_t isa);
/* No kernel can be faster, if all its bytes come from where they are expected. */
double tfr_roof_ns(const struct tfr_roofs *roofs, const struct tfr_task_facts *facts, enum tfr_bound *bound);

/* Share of the roof at these rows and this context. */
double tfr_efficiency_at(const struct tfr_calibration_kernel *kernel, int64_t class_rows, int64_t rows, int64_t context);

struct tfr_task_prediction {
    double ns, roof_ns, efficiency;
    enum tfr_bound bound;
    enum tfr_prediction_base base;
};
void tfr_predict_task(const struct tfr_calibration *calibration, const struct tfr_task_facts *facts,
                      struct tfr_task_prediction *prediction);
/* What passes between the n_tasks tasks of a step of so many rows. */
double tfr_predict_between(const struct tfr_calibration *calibration, int64_t class_rows, int64_t rows, int n_tasks);
/* The time that one passage would take if threads did nothing but meet. */
double tfr_between_roof_ns(const struct tfr_roofs *roofs);

#endif

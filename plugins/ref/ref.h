/* ref.h - the functions behind the kernel records of ref. All class SEQ. */
#ifndef TFR_PLUGINS_REF_H
#define TFR_PLUGINS_REF_H

#include <tfrun/plugin.h>

typedef int32_t tfr_ref_run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                            const struct tfr_run_ctx *ctx);

tfr_ref_run tfr_ref_embed, tfr_ref_layer_norm, tfr_ref_linear, tfr_ref_kv_append, tfr_ref_attention, tfr_ref_activation,
    tfr_ref_add, tfr_ref_gather_rows, tfr_ref_lookup_add, tfr_ref_copy, tfr_ref_sum_blocks, tfr_ref_best_rows, tfr_ref_int8,
    tfr_ref_int8w, tfr_ref_int4;

double tfr_ref_activate(double x, int activation);

/* Packed weight of linear: [K][N] dense in the packed dtype, formats "plain.f32" and "plain.bf16". */
bool tfr_ref_linear_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size);
int32_t tfr_ref_linear_prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                               char *reason, size_t reason_size);
void tfr_ref_linear_pack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                         const struct tfr_tensor *weight, void *packed, int32_t tid, int32_t nth);
/* Linear on I8_CHANNEL by rows rounded to int8: [K][N] whole numbers, then scales, format "plain.i8_channel". */
bool tfr_ref_int8_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size);
int32_t tfr_ref_int8_prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                             char *reason, size_t reason_size);
void tfr_ref_int8_pack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                       const struct tfr_tensor *weight, void *packed, int32_t tid, int32_t nth);
void tfr_ref_int8_repack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                         const struct tfr_coarse *weight, void *packed, int32_t tid, int32_t nth);

/* The same weights by x as it is, added in double. */
bool tfr_ref_int8w_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size);
int32_t tfr_ref_int8w_prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                              char *reason, size_t reason_size);

/* Linear on types of 4 bits by rows rounded in the same groups, format "plain.i4". */
bool tfr_ref_int4_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size);
int32_t tfr_ref_int4_prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                             char *reason, size_t reason_size);
void tfr_ref_int4_pack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                       const struct tfr_tensor *weight, void *packed, int32_t tid, int32_t nth);
void tfr_ref_int4_repack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                         const struct tfr_coarse *weight, void *packed, int32_t tid, int32_t nth);

/* What both share: order INT or INT_GROUP where no activation follows, else an own one; and the end of a row. */
struct tfr_order tfr_ref_coarse_order(int kind, const struct tfr_problem *problem);
bool tfr_ref_coarse_supports(int kind, const struct tfr_problem *problem, char *reason, size_t reason_size);
float tfr_ref_coarse_end(const struct tfr_problem *problem, float value, const float *bias, const float *residual);

bool tfr_ref_attention_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size);
int32_t tfr_ref_attention_prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                                  char *reason, size_t reason_size);

#endif

/* profile_run.h - what was measured of a prefill and a decode step, beside what the calibration predicts.
 *
 * Every number is a mean over the middle half of the repetitions, by the time that rank 0 took: so the nodes of a phase, what
 * passes between them and the waits for messages add up to the step. Thread rule: the engine's thread; read-only afterwards.
 */
#ifndef TFR_PROFILE_PROFILE_RUN_H
#define TFR_PROFILE_PROFILE_RUN_H

#include <tfrun/profile.h>

#include "predict/predict.h"
#include "profile/counters.h"
#include "rank/rank.h"

enum tfr_phase { TFR_PHASE_PREFILL, TFR_PHASE_DECODE, TFR_PHASE_COUNT };

/* A node of one rank; all its steps in one repetition together. */
struct tfr_profile_node {
    struct tfr_task_facts facts; /* of its first step; flops and bytes are sums */
    int32_t phase, rank;
    enum tfr_bound bound;
    enum tfr_prediction_base base;
    double ns, predicted_ns, roof_ns, waited_ns;
};

/* One rank in one phase. */
struct tfr_profile_rank {
    double span_ns; /* from its first task's begin to its last one's end, all steps of a repetition */
    double busy_ns, waited_ns, between_ns;
    double predicted_ns, predicted_between_ns; /* the first with the second in it */
};

struct tfr_profile_phase {
    bool is_there;
    struct tfr_step_facts first; /* its first step */
    int64_t n_steps, n_reps;
    struct tfr_profile_rank *ranks; /* [n_ranks] */
    int64_t n_looks;
    double memory_rate;       /* that memory gave meanwhile, bytes a second, the mean of n_looks; 0: not asked */
    struct tfr_counts counts; /* of rank 0, per repetition */
};

struct tfr_profile {
    struct tfr_calibration calibration; /* or nominal roofs and no kernels */
    bool is_calibrated;
    char calibrated_by[512]; /* file and age, or why there is none */
    char doubts[TFR_DOUBTS_SIZE];
    char model[160], machine[160];
    int n_ranks;
    int64_t batch;
    struct tfr_profile_phase phase[TFR_PHASE_COUNT];
    struct tfr_profile_node *nodes; /* by phase, rank, first begin */
    size_t n_nodes;
    char counters_refusal[256]; /* why there are no counters; "" if there are or none were asked for */
};

/* Fills what a profile says of its calibration. A file that is named must fit; that of the cache folder (NULL) is passed over where
 * it does not, and the profile says why. */
enum tfr_status tfr_profile_take_calibration(struct tfr_profile *profile, const struct tfr_engine *engine, const char *named);
const char *tfr_phase_name(enum tfr_phase phase);
/* "h.*.attn.c_attn" of "h.3.attn.c_attn"; its module "h.*.attn". */
void tfr_node_group(const char *name, char *group, size_t size);
void tfr_node_module(const char *name, char *module, size_t size);

/* conditions.c: those of now, without the model; the first without an engine. */
void tfr_conditions_of(const struct tfr_registry *registry, const struct tfr_machine *machine, const struct tfr_config *config,
                       int n_threads, struct tfr_conditions *conditions);
void tfr_engine_conditions(const struct tfr_engine *engine, struct tfr_conditions *conditions);

/* Nodes of a phase that share a name, added up: ranks and blocks together. */
enum tfr_grouping { TFR_BY_NODE, TFR_BY_MODULE, TFR_BY_KERNEL, TFR_GROUPING_COUNT };
struct tfr_profile_group {
    char name[64];
    int64_t n; /* nodes */
    double ns, predicted_ns, roof_ns, flops, bytes, memory_bound_ns;
    bool is_predicted; /* at a shape that was calibrated, all of it */
};
/* The largest gap between measured and predicted first; messages are not among them. Free with tfr_free. */
enum tfr_status tfr_profile_groups(const struct tfr_profile *profile, enum tfr_phase phase, enum tfr_grouping grouping,
                                   struct tfr_profile_group **groups, size_t *n);

/* profile_sums.c: samples of the repetitions of a phase, by repetition, rank and begin, become its nodes and sums. */
struct tfr_phase_samples {
    const struct tfr_step_facts *steps; /* [n_steps] of one repetition */
    size_t n_steps;
    struct tfr_task_sample **samples; /* [n_reps] */
    size_t *n_samples;
    size_t n_reps;
};
enum tfr_status tfr_profile_add_phase(struct tfr_profile *profile, enum tfr_phase phase, const struct tfr_phase_samples *all);

#endif

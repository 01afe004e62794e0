/* profile.h - a part of tfrun.h: what this machine reaches, and where the time of a step goes.
 *
 * A calibration holds roofs of the machine and what kernels reached at some shapes; it stays in a file of the user's cache folder,
 * one for each host and number of threads. A profile runs steps and holds what each node took against what the calibration
 * predicts. Neither changes which kernels run. Thread rule: that of the engine.
 */
#ifndef TFRUN_PROFILE_H
#define TFRUN_PROFILE_H

#include <tfrun/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tfr_engine;
struct tfr_override;

struct tfr_calibrate_question {
    const char *config; /* whose kernels are measured; NULL: GPT-2 124M with random weights */
    const struct tfr_override *overrides;
    size_t n_overrides;
    const char *output; /* NULL: the file of this host in the cache folder */
    bool net;           /* nothing but the links between the ranks of this job: no config, and a calibration that there is */
    bool asleep;        /* beside net: where ranks compute they sleep, as kernels of a test do that only take time */
    bool quick;         /* each shape once: seconds instead of a minute or two, and less to rely on */
    void (*say)(void *user, const char *what, int64_t done, int64_t total); /* progress; total 0: not known. May be NULL */
    void *user;
};
/* Measures and writes the file; *path is freed with tfr_string_free. Both runtime.dtype, unless an override names one. One process,
 * refused under a launcher with several ranks; with `net` two ranks or more, and *path is NULL on all but rank 0. */
TFR_API enum tfr_status tfr_calibrate(const struct tfr_calibrate_question *question, char **path);
/* What a calibration says, with its age. `path` NULL: that of this host, for `threads` threads (0: as many as a run takes). */
TFR_API enum tfr_status tfr_report_calibration(const char *path, int64_t threads, bool json, char **text);

/* Weights for a model that has none, in a folder of their own below $TMPDIR: times do not depend on their values. */
struct tfr_random_weights {
    char *folder, *config, *weights;
};
/* `config` NULL: the shape of GPT-2 124M, and made->config is its config. */
TFR_API enum tfr_status tfr_random_weights_make(struct tfr_random_weights *made, const char *config);
/* An engine that was opened with them (model.weights) keeps them. NULL-safe members. */
TFR_API void tfr_random_weights_remove(struct tfr_random_weights *made);
/* Whether a config has no weights beside it. Fails for a bad config, and for weights that it names and that are not there. */
TFR_API enum tfr_status tfr_weights_are_missing(const char *config, const struct tfr_override *overrides, size_t n_overrides,
                                                bool *missing);
/* Ranks that a launcher started; 1 without one. */
TFR_API int tfr_launched_size(void);

struct tfr_profile_question {
    int64_t prompt_tokens;   /* of each sequence, in the prefill; 0: no prefill */
    int64_t context;         /* cached positions of each sequence in decoding; -1: no decoding */
    int64_t batch, reps;     /* sequences; how often each phase is run */
    bool counters;           /* hardware counters too, where the kernel allows */
    const char *calibration; /* a file that must fit; NULL: that of this host, where it fits */
};
struct tfr_profile; /* what was measured */
/* Rank 0; the other ranks follow. */
TFR_API enum tfr_status tfr_profile_run(struct tfr_profile **profile, struct tfr_engine *engine,
                                        const struct tfr_profile_question *question);
TFR_API void tfr_profile_free(struct tfr_profile *profile);
/* Whether its roofs were measured, by a calibration of this host that fits. */
TFR_API bool tfr_profile_is_calibrated(const struct tfr_profile *profile);

enum tfr_table_form { TFR_TABLE_TEXT, TFR_TABLE_MD, TFR_TABLE_JSON, TFR_TABLE_CSV };
TFR_API enum tfr_status tfr_report_profile(const struct tfr_profile *profile, enum tfr_table_form form, char **text);
/* Whether the program that draws it is there: for asking before the work. TFR_RESOURCE with its package where not. */
TFR_API enum tfr_status tfr_roofline_check(void);
/* The roofline picture as SVG, drawn by gnuplot. */
TFR_API enum tfr_status tfr_report_roofline(const struct tfr_profile *profile, char **svg);

#ifdef __cplusplus
}
#endif
#endif

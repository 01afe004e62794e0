/* calibration.h - what was measured of a machine: its roofs, and what each kernel reached at some shapes; a file of one host.
 *
 * It serves predictions and reports. No plan is made from it: which kernel runs is a pure function of the model, the options and
 * the machine's nominal peaks (docs/decisions/005). Thread rule: no state; a calibration is read-only once it is complete.
 */
#ifndef TFR_PREDICT_CALIBRATION_H
#define TFR_PREDICT_CALIBRATION_H

#include "predict/link.h"
#include "roofs/roofs.h"

/* 1 held attention with products of bf16 against the peak of f32: its roof times would not go with those of now. */
#define TFR_CALIBRATION_SCHEMA "tfrun-calibration-2"

/* Under which it was measured. */
struct tfr_conditions {
    char host[128], cpu[128];
    char version[32], abi[16]; /* of tfrun, of its kernels */
    char bind[16], governor[32], model[128];
    char hugepages[32];   /* "try, madvise": runtime.hugepages, and what the system says */
    char plugins[640];    /* "gemv 0.1.0 (compiler 12.2.0); ..." */
    char measured_at[32]; /* "2026-11-28T18:00:00Z" */
    int64_t measured_unix, threads;
    uint32_t isa;
    double quota_cores;    /* 0: no limit */
    double waited_percent; /* of the time in which threads could have run, others had their cores */
};
/* What an engine knows of its own. */
struct tfr_run_conditions {
    const struct tfr_machine *machine;
    int n_threads;
    const char *bind, *hugepages, *version; /* words of runtime.bind and runtime.hugepages */
    char plugins[640];
};
/* Of now, without model. */
void tfr_conditions_now(struct tfr_conditions *conditions, const struct tfr_run_conditions *run);

/* A kernel at a shape: the median of what it took, and what it would take at the roofs. */
struct tfr_calibration_point {
    int64_t class_rows, rows, context;
    double ns, roof_ns;
};
struct tfr_calibration_kernel {
    char kernel[64], shape[64];
    int64_t threads;
    struct tfr_calibration_point *points; /* by class, rows, context */
    size_t n_points;
};
/* What passes between tasks, in each run: named like a kernel. */
#define TFR_BETWEEN_TASKS "between tasks"

struct tfr_calibration {
    struct tfr_conditions conditions;
    struct tfr_roofs roofs;
    struct tfr_calibration_kernel *kernels;
    size_t n_kernels;
    struct tfr_measured_links links; /* by calibrate --net */
};
/* Without one: what the machine says about itself, and every kernel at its roof. Nothing of it is to be freed. */
void tfr_calibration_nominal(struct tfr_calibration *calibration, const struct tfr_machine *machine, int n_threads);
void tfr_calibration_free(struct tfr_calibration *calibration); /* NULL-safe; the record itself is the caller's */
/* Adds a point; of a kernel and shape that are not there yet, those too. Points come in order. */
enum tfr_status tfr_calibration_add(struct tfr_calibration *calibration, const char *kernel, const char *shape, int64_t threads,
                                    const struct tfr_calibration_point *point);
const struct tfr_calibration_kernel *tfr_calibration_find(const struct tfr_calibration *calibration, const char *kernel,
                                                          const char *shape, int64_t threads);

/* calibration_file.c: "$XDG_CACHE_HOME/tfrun/KIND-HOST-2t.json", or below ~/.cache; free with tfr_free. NULL after raising. */
char *tfr_cache_file(const char *kind, const char *host, int64_t threads);
/* Whether anything names one: else no file is there, which is not the same as no memory for its path. */
bool tfr_cache_has_folder(void);
/* A line of text as that file: makes the folders; it appears complete or not at all. */
enum tfr_status tfr_cache_write(const char *path, const char *text);
/* That of the kind "calibration". */
char *tfr_calibration_path(const char *host, int64_t threads);
char *tfr_calibration_text(const struct tfr_calibration *calibration);
/* Makes the folders. The file appears complete or not at all. Refuses one of no use, below. */
enum tfr_status tfr_calibration_write(const struct tfr_calibration *calibration, const char *path);
/* calibration_read.c. Failure: TFR_RESOURCE where it cannot be read, TFR_UNSUPPORTED where it is one of another schema,
 * TFR_MODEL where it is not a calibration. */
enum tfr_status tfr_calibration_read(struct tfr_calibration *calibration, const char *path);
/* calibration_check.c: refuses one that was made under conditions that kernels' times depend on (TFR_MODEL, with the field, both
 * values and the fix). What may matter is named in `doubts`, "" if nothing. */
enum tfr_status tfr_calibration_check(const struct tfr_calibration *calibration, const struct tfr_conditions *now, const char *path,
                                      char *doubts, size_t size);
/* TFR_RUNTIME, with the file that it was for, the member and its value, where a rate is none (0, or not finite), which no reader
 * takes: nothing can be predicted from it. */
enum tfr_status tfr_calibration_check_rates(const struct tfr_calibration *calibration, const char *path);
/* What makes the calibration itself doubtful, added to `doubts`: threads that waited for cores, all threads slower than one. */
enum { TFR_DOUBTS_SIZE = 1024 };
void tfr_calibration_doubts(const struct tfr_calibration *calibration, char *doubts, size_t size);
/* "3 hours old". */
void tfr_calibration_age(const struct tfr_conditions *conditions, int64_t now_unix, char *text, size_t size);

#endif

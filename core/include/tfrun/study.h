/* study.h - a part of tfrun.h: how fast a model runs here, as a document that can be kept, compared and measured again.
 *
 * A bench runs steps and prompts again and again, all kinds in turn, so that a busy minute meets all of them. What it holds can be
 * written as JSON ("schema": "tfrun-bench-1") and read back. Thread rule: measuring is the engine's thread; a bench is read-only
 * afterwards.
 */
#ifndef TFRUN_STUDY_H
#define TFRUN_STUDY_H

#include <tfrun/profile.h>
#include <tfrun/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tfr_bench; /* what was measured, and under which conditions */
struct tfr_bench_question {
    const char *config; /* that the engine was opened with */
    const struct tfr_override *overrides;
    size_t n_overrides;
    const char *cases; /* "decode:128,prefill:512,sequences:8"; NULL: the usual ones, of those that fit */
    int64_t repetitions;
    bool no_roofs;                 /* some seconds less, and no share of the roof */
    bool gate;                     /* cases that have limits (tfr_bench_gate), and where the time of prompts goes */
    const struct tfr_bench *again; /* a bench that is repeated: refused where the config says something else now. NULL */
    void (*say)(void *user, int64_t done, int64_t total); /* rounds; may be NULL */
    void *user;
    const struct tfr_bench *before; /* that it is to stand beside: refused where it can't. NULL */
};

/* Whether `cases` is a list of cases: before an engine is opened for them. TFR_USAGE where it is none. */
TFR_API enum tfr_status tfr_bench_check(const char *cases);
/* Rank 0; the other ranks follow. */
TFR_API enum tfr_status tfr_bench_run(struct tfr_bench **bench, struct tfr_engine *engine,
                                      const struct tfr_bench_question *question);
/* Limits that figures of a bench with `gate` do not hold; the report names them. */
TFR_API size_t tfr_bench_missed(const struct tfr_bench *bench);
/* Which cases and why, and what to do: the end of a sentence, cut at `size` bytes. Empty where all are held. */
TFR_API void tfr_bench_missed_why(const struct tfr_bench *bench, char *words, size_t size);
TFR_API void tfr_bench_free(struct tfr_bench *bench);
/* A document of tfr_report_bench. TFR_MODEL with file, line and member where it is none. */
TFR_API enum tfr_status tfr_bench_read(struct tfr_bench **bench, const char *path);
/* Benches of the same thing, run more than once, become the first of them, which then has all their times, and intervals that hold
 * those of all. The others are freed; *n is how many are left. */
TFR_API enum tfr_status tfr_bench_fold(struct tfr_bench **benches, size_t *n);
/* Whether a JSON file says that it is one. */
TFR_API enum tfr_status tfr_bench_is_document(const char *path, bool *is);
/* What has to be said to measure it again; borrowed. */
struct tfr_bench_recorded {
    const char *config, *cases; /* cases NULL: the usual ones */
    size_t n_overrides;
    int64_t repetitions;
    int n_ranks;
};
TFR_API struct tfr_bench_recorded tfr_bench_recorded(const struct tfr_bench *bench);
/* Override i of those, borrowed; the key as in the table of options. */
TFR_API void tfr_bench_override(const struct tfr_bench *bench, size_t i, const char **key, const char **value);
/* Whether only the user may say this option, and no file or document of somebody else: it loads code, names a file to write, or
 * says what is trusted (docs/security.md). */
TFR_API bool tfr_option_is_users(const char *key);
/* Whether the logits that both know of are equal. */
TFR_API bool tfr_bench_same_bits(const struct tfr_bench *bench, const struct tfr_bench *before);
/* Whether anything that both recorded of program, machine, settings and config is another; the report names it. */
TFR_API bool tfr_bench_differs(const struct tfr_bench *bench, const struct tfr_bench *before);
/* As a table with a line "tfrun-perf: key=value ..." for each case behind it, Markdown, CSV, or the whole document as JSON. With
 * `before` (else NULL) also its medians, the ratio, and whether the new median lies in the old interval. */
TFR_API enum tfr_status tfr_report_bench(const struct tfr_bench *bench, const struct tfr_bench *before, enum tfr_table_form form,
                                         char **text);

/* One kernel at a time, over a file of cases (docs/bench.md), without a model. */
struct tfr_kernel_bench;
struct tfr_kernel_bench_question {
    const char *file;
    const char *only;                     /* the name of a case; NULL: all of them */
    const char *kernel;                   /* a part of kernel names; NULL: all kernels but the plain reference */
    const struct tfr_override *overrides; /* that the engine was opened with */
    size_t n_overrides;
    int64_t repetitions;
    bool no_roofs;                                        /* some seconds less, and no share of the roof */
    void (*say)(void *user, int64_t done, int64_t total); /* cases; may be NULL */
    void *user;
};
/* Threads, memory and kernels as options say, and no model: good for tfr_kernel_bench_run and tfr_engine_io alone. One process. To
 * be freed by tfr_engine_close. */
TFR_API enum tfr_status tfr_engine_open_bare(struct tfr_engine **engine, const struct tfr_override *overrides, size_t n_overrides);
/* TFR_CONFIG with the place in the file for a case that is none; TFR_RESOURCE for one that takes more memory than there is;
 * TFR_UNSUPPORTED where no kernel serves any case. */
TFR_API enum tfr_status tfr_kernel_bench_run(struct tfr_kernel_bench **bench, struct tfr_engine *engine,
                                             const struct tfr_kernel_bench_question *question);
TFR_API void tfr_kernel_bench_free(struct tfr_kernel_bench *bench);
/* As a table with a line "tfrun-perf: key=value ..." for each case and kernel behind it, Markdown, CSV, or JSON ("schema":
 * "tfrun-kernels-1"), which always says which kernels refused a case; the first two do so with `refusals`. */
TFR_API enum tfr_status tfr_report_kernel_bench(const struct tfr_kernel_bench *bench, enum tfr_table_form form, bool refusals,
                                                char **text);

/* Benches of one model on different numbers of ranks and threads, joined. They are borrowed, and outlive it. */
struct tfr_scaling;
TFR_API enum tfr_status tfr_scaling_join(struct tfr_scaling **scaling, const struct tfr_bench *const *benches, size_t n);
TFR_API void tfr_scaling_free(struct tfr_scaling *scaling);
/* Speed-up, efficiency and serial fraction of every case against the fewest cores. JSON: "schema": "tfrun-scaling-1". */
TFR_API enum tfr_status tfr_report_scaling(const struct tfr_scaling *scaling, enum tfr_table_form form, char **text);
/* A script for gnuplot for each case, "strong-prefill-512", and each work a core, "weak-sequences-2"; those in
 * which something is compared. */
struct tfr_scaling_picture {
    char *name, *script; /* which writes SVG to its standard output */
};
TFR_API enum tfr_status tfr_scaling_pictures(const struct tfr_scaling *scaling, struct tfr_scaling_picture **pictures, size_t *n);
TFR_API void tfr_scaling_pictures_free(struct tfr_scaling_picture *pictures, size_t n);
/* By the program gnuplot; tfr_roofline_check says whether it is there. */
TFR_API enum tfr_status tfr_scaling_draw(const struct tfr_scaling_picture *picture, char **svg);

#ifdef __cplusplus
}
#endif
#endif

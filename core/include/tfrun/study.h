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

struct tfr_bench_question {
    const char *config; /* that the engine was opened with */
    const struct tfr_override *overrides;
    size_t n_overrides;
    const char *cases; /* "decode:128,prefill:512,sequences:8"; NULL: the usual ones, of those that fit */
    int64_t repetitions;
    void (*say)(void *user, int64_t done, int64_t total); /* rounds; may be NULL */
    void *user;
};
struct tfr_bench;

/* Whether `cases` is a list of cases: before an engine is opened for them. TFR_USAGE where it is none. */
TFR_API enum tfr_status tfr_bench_check(const char *cases);
/* Rank 0; the other ranks follow. */
TFR_API enum tfr_status tfr_bench_run(struct tfr_bench **bench, struct tfr_engine *engine,
                                      const struct tfr_bench_question *question);
TFR_API void tfr_bench_free(struct tfr_bench *bench);
/* As a table with a line "tfrun-perf: key=value ..." for each case behind it, Markdown, CSV, or the whole document as JSON. */
TFR_API enum tfr_status tfr_report_bench(const struct tfr_bench *bench, enum tfr_table_form form, char **text);

#ifdef __cplusplus
}
#endif
#endif

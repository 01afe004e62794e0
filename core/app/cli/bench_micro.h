/* bench_micro.h - `tfrun bench --micro FILE`: one kernel at a time, without a config. */
#ifndef TFR_APP_BENCH_MICRO_H
#define TFR_APP_BENCH_MICRO_H

#include "app/cli/cli.h"

/* Rounds that bench asks for and takes; below ten an interval says little. */
enum { TFR_USUAL_ROUNDS = 11, TFR_LEAST_ROUNDS = 10, TFR_MOST_ROUNDS = 1000 };

/* Returns the exit code. */
int tfr_bench_micro(struct tfr_args *args);
/* A place for the JSON document of --save, before the work (text NULL), and the document after it. Exit code. */
int tfr_bench_save(const struct tfr_engine *engine, const struct tfr_args *args, const char *text);

#endif

/* bench_micro.h - `tfrun bench --micro FILE`: one kernel at a time, without a config. */
#ifndef TFR_APP_BENCH_MICRO_H
#define TFR_APP_BENCH_MICRO_H

#include "app/cli/cli.h"

/* Returns the exit code. */
int tfr_bench_micro(struct tfr_args *args);

#endif

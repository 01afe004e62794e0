/* cmd_bench.h - what `tfrun bench` and its --micro share. */
#ifndef TFR_APP_CMD_BENCH_H
#define TFR_APP_CMD_BENCH_H

#include "app/cli/cli.h"

/* Rounds that bench asks for and takes; below ten an interval says little. */
enum { TFR_USUAL_ROUNDS = 11, TFR_LEAST_ROUNDS = 10, TFR_MOST_ROUNDS = 1000 };

/* A place for the JSON document of --save, before the work (text NULL), and the document after it. Exit code. */
int tfr_bench_save(const struct tfr_engine *engine, const struct tfr_args *args, const char *text);

#endif

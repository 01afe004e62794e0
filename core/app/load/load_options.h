/* load_options.h - the command line of `tfrun load`: what is sent, and how the runs follow each other. */
#ifndef TFR_APP_LOAD_LOAD_OPTIONS_H
#define TFR_APP_LOAD_LOAD_OPTIONS_H

#include "app/cli/cli.h"
#include "app/load/load_run.h"

enum { TFR_LOAD_MOST_RUNS = 32 };

struct tfr_load_list {
    double values[TFR_LOAD_MOST_RUNS];
    int n; /* 0: not given */
};

struct tfr_load_options {
    bool is_inside, sweeps, has_victim, is_constant, json, quiet, force;
    const char *model, *svg, *output, *key; /* NULL: not given; the key itself */
    struct tfr_load_list clients, rates, percents;
    struct tfr_load_workload workload;
    struct tfr_load_slo slo;
    int64_t requests, warmup, vocab_size; /* requests 0, warmup -1: as is usual for the run */
    double seconds, timeout_s;
    struct tfr_load_trace trace; /* n 0: none */
};

/* 0, or the exit code after a message. */
int tfr_load_options_read(struct tfr_load_options *options, const struct tfr_args *args);
void tfr_load_options_free(struct tfr_load_options *options);

/* The plan of a closed loop, of an open one, of the trace, of the victim. */
struct tfr_load_plan tfr_load_plan_closed(const struct tfr_load_options *options, int clients);
struct tfr_load_plan tfr_load_plan_open(const struct tfr_load_options *options, double rate);
struct tfr_load_plan tfr_load_plan_trace(const struct tfr_load_options *options);
struct tfr_load_plan tfr_load_plan_victim(const struct tfr_load_options *options, int64_t n_positions);

#endif

/* counters.h - what the CPU counts while a phase runs: cycles, instructions, lines from memory; through perf_event_open.
 *
 * The kernel may not allow it, or a virtual machine not have it: then a sentence says why, and what would help. All threads of the
 * process are counted. Thread rule: one thread opens and reads.
 */
#ifndef TFR_PROFILE_COUNTERS_H
#define TFR_PROFILE_COUNTERS_H

#include <tfrun/types.h>

enum tfr_counter { TFR_COUNT_CYCLES, TFR_COUNT_INSTRUCTIONS, TFR_COUNT_MISSES, TFR_COUNT_FLOPS, TFR_COUNTER_COUNT };
struct tfr_counts {
    double value[TFR_COUNTER_COUNT]; /* misses are lines of the last cache level, 64 bytes each */
    bool has[TFR_COUNTER_COUNT];
    char why_not[TFR_COUNTER_COUNT][256]; /* "" where it has, and where nothing was asked for */
};
/* "instructions". */
const char *tfr_counter_name(enum tfr_counter counter);

struct tfr_counters;
/* NULL, with the reason, where nothing can be counted. */
struct tfr_counters *tfr_counters_open(char *reason, size_t size);
void tfr_counters_close(struct tfr_counters *counters);
/* What was counted since opening, scaled where the CPU had to share its counters. */
void tfr_counters_read(const struct tfr_counters *counters, struct tfr_counts *counts);
/* Why a call failed with this errno, in words, with the fix. */
void tfr_counters_explain(int error, int paranoid, char *reason, size_t size);

#endif

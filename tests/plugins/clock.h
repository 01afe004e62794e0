/* clock.h - what the clock kernels do instead of computing: let time pass. */
#ifndef TFR_TEST_CLOCK_H
#define TFR_TEST_CLOCK_H

#include <tfrun/plugin.h>

/* Returns `ns` nanoseconds after it was called, early by as much as the calls before were late. Messages in flight move on. */
void clock_spend(double ns, const struct tfr_run_ctx *ctx);

#endif

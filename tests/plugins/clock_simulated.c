/* clock_simulated.c - time of clock kernels in a program for simulated ranks. */
#include "clock.h"

#include <simgrid/actor.h>

void clock_spend(double ns, const struct tfr_run_ctx *ctx) {
    (void)ctx; /* messages move on by themselves */
    sg_actor_sleep_for(1e-9 * ns);
}

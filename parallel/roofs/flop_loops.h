/* flop_loops.h - loops that multiply and add in registers alone, one for each kind of unit.
 *
 * Each has as many independent chains as hide the latency of two pipes, and returns the FLOPs that it did. Private to roofs.
 */
#ifndef TFR_ROOFS_FLOP_LOOPS_H
#define TFR_ROOFS_FLOP_LOOPS_H

#include <tfrun/types.h>

typedef double (*tfr_flop_loop)(int64_t rounds);

struct tfr_flop_unit {
    int32_t dtype;
    uint32_t isa; /* needed, all bits; the lowest one names the unit */
    tfr_flop_loop loop;
};
/* Units that the build knows. */
const struct tfr_flop_unit *tfr_flop_units(int *n);

#endif

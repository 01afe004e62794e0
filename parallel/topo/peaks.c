/* peaks.c - nominal clock, FLOP rates and read bandwidth: pure functions of what the machine says about
 * itself.
 *
 * Never measured and never the momentary clock: the choice of kernels follows from these numbers, and it must
 * be the same in every run on a machine.
 */
#include "topo/topo_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/plugin.h>

/* Assumed where the machine does not tell its clock. */
#define UNKNOWN_GHZ 3.0
/* A core reads about 8 bytes in a cycle from the outer cache levels and memory, until the memory of the
 * package is the limit: eight channels of DDR4-3200. */
#define BYTES_PER_CYCLE          8.0
#define BYTES_PER_SECOND_PACKAGE 200e9

/* On x86 "bogomips" is twice the clock of the time stamp counter, which is the base clock and never changes;
 * "cpu MHz" would be the clock of this moment. */
static double bogomips_ghz(const char *root) {
    double ghz = 0;
#if defined(__x86_64__)
    char text[8192]; /* the first processor's paragraph takes about 2 KiB */
    if (tfr_topo_slurp(text, sizeof text, root, "/proc/cpuinfo")) {
        const char *at = strstr(text, "bogomips");
        const char *value = at != NULL ? strchr(at, ':') : NULL;
        ghz = value != NULL ? strtod(value + 1, NULL) / 2000.0 : 0;
    }
#else
    (void)root;
#endif
    return ghz;
}

static double nominal_ghz(const char *root) {
    int64_t khz = 0;
    double ghz = 0;
    if (tfr_topo_number(&khz, root, "/sys/devices/system/cpu/cpu0/cpufreq/base_frequency")) {
        ghz = (double)khz / 1e6;
    } else {
        ghz = bogomips_ghz(root);
    }
    if (ghz < 0.5 && tfr_topo_number(&khz, root, "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")) {
        ghz = (double)khz / 1e6;
    }
    /* Rounded, since a boot calibrates the counter a little differently each time. */
    return ghz < 0.5 || ghz > 10.0 ? UNKNOWN_GHZ : round(ghz * 10.0) / 10.0;
}

/* FLOPs per cycle of one core: two pipes of fused multiply-adds. */
static double f32_per_cycle(uint32_t isa) {
    if (isa & TFR_ISA_AVX512) {
        return 64;
    }
    if (isa & TFR_ISA_AVX2) {
        return 32;
    }
    return isa & TFR_ISA_NEON ? 16 : 8;
}

static double bf16_per_cycle(uint32_t isa) {
    if (isa & TFR_ISA_AMX_BF16) {
        return 1024; /* 16 x 16 x 32 products in 16 cycles */
    }
    if (isa & TFR_ISA_AVX512_BF16) {
        return 128;
    }
    return f32_per_cycle(isa); /* widened, then as f32 */
}

void tfr_topo_peaks(const char *root, struct tfr_machine *machine) {
    machine->ghz = nominal_ghz(root);
    const double hertz = machine->ghz * 1e9;
    machine->flops_f32_per_core = hertz * f32_per_cycle(machine->isa);
    machine->flops_bf16_per_core = hertz * bf16_per_cycle(machine->isa);
    machine->bytes_per_core = hertz * BYTES_PER_CYCLE;
    machine->bytes_total =
        fmin(machine->bytes_per_core * machine->n_cores, BYTES_PER_SECOND_PACKAGE * machine->n_packages);
}

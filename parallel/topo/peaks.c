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

/* FLOPs (a multiply-add is two) in a cycle of one core, for factors of a type on the units of an instruction set: two pipes of
 * whole vectors, but for the tiles of AMX (16 x 16 x 32 pairs, or 64 of int8, in 16 cycles). */
static const struct peak {
    uint32_t isa;
    enum tfr_dtype dtype;
    double per_cycle;
} peaks[] = {
    {0, TFR_DTYPE_F32, 8},
    {TFR_ISA_NEON, TFR_DTYPE_F32, 16},
    {TFR_ISA_AVX2, TFR_DTYPE_F32, 32},
    {TFR_ISA_AVX512, TFR_DTYPE_F32, 64},
    {TFR_ISA_AVX512_FP16, TFR_DTYPE_F16, 128},
    {TFR_ISA_AVX512_BF16, TFR_DTYPE_BF16, 128},
    {TFR_ISA_ARM_BF16, TFR_DTYPE_BF16, 64},
    {TFR_ISA_AMX_BF16, TFR_DTYPE_BF16, 1024},
    {TFR_ISA_DOTPROD, TFR_DTYPE_I8, 64},
    {TFR_ISA_I8MM, TFR_DTYPE_I8, 128},
    {TFR_ISA_AVX512_VNNI, TFR_DTYPE_I8, 256},
    {TFR_ISA_AMX_INT8, TFR_DTYPE_I8, 2048},
};

double tfr_isa_flops_per_cycle(uint32_t isa, enum tfr_dtype dtype) {
    double best = 0;
    for (size_t i = 0; i < sizeof peaks / sizeof peaks[0]; i++) {
        if (peaks[i].dtype == dtype && (peaks[i].isa & ~isa) == 0 && peaks[i].per_cycle > best) {
            best = peaks[i].per_cycle;
        }
    }
    return best > 0 || dtype == TFR_DTYPE_F32 ? best : tfr_isa_flops_per_cycle(isa, TFR_DTYPE_F32); /* widened, then as f32 */
}

void tfr_topo_peaks(const char *root, struct tfr_machine *machine) {
    machine->ghz = nominal_ghz(root);
    const double hertz = machine->ghz * 1e9;
    machine->flops_f32_per_core = hertz * tfr_isa_flops_per_cycle(machine->isa, TFR_DTYPE_F32);
    machine->flops_bf16_per_core = hertz * tfr_isa_flops_per_cycle(machine->isa, TFR_DTYPE_BF16);
    machine->bytes_per_core = hertz * BYTES_PER_CYCLE;
    machine->bytes_total = fmin(machine->bytes_per_core * machine->n_cores, BYTES_PER_SECOND_PACKAGE * machine->n_packages);
}

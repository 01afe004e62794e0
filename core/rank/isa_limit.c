/* isa_limit.c - runtime.isa: what a limit leaves of the instruction sets of a CPU, and the names that people know them by. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "rank/rank.h"

uint32_t tfr_isa_limit(int choice) {
    static const uint32_t limits[] = {
        [TFR_LIMIT_AUTO] = UINT32_MAX,
        [TFR_LIMIT_PLAIN] = 0,
        [TFR_LIMIT_AVX2] = TFR_ISA_AVX2,
        [TFR_LIMIT_AVX512] = TFR_ISA_AVX2 | TFR_ISA_AVX512,
        [TFR_LIMIT_AVX512_BF16] = TFR_ISA_AVX2 | TFR_ISA_AVX512 | TFR_ISA_AVX512_BF16 | TFR_ISA_AVX512_VNNI | TFR_ISA_AVX512_VBMI,
        [TFR_LIMIT_AMX] = UINT32_MAX,
        [TFR_LIMIT_NEON] = TFR_ISA_NEON,
    };
    return limits[choice];
}

/* What a CPU must have so that a limit means anything on it. */
static uint32_t isa_named(int choice) {
    static const uint32_t named[] = {
        [TFR_LIMIT_AVX2] = TFR_ISA_AVX2,    [TFR_LIMIT_AVX512] = TFR_ISA_AVX512,
        [TFR_LIMIT_NEON] = TFR_ISA_NEON,    [TFR_LIMIT_AVX512_BF16] = TFR_ISA_AVX512_BF16,
        [TFR_LIMIT_AMX] = TFR_ISA_AMX_BF16,
    };
    return (size_t)choice < TFR_COUNT_OF(named) ? named[choice] : 0;
}

/* A limit that this CPU does not reach would be passed over: the kernels would be those of auto, or plain C of another kind of CPU.
 */
enum tfr_status tfr_check_isa(const struct tfr_config *config, uint32_t isa) {
    static const int limits[] = {TFR_LIMIT_PLAIN,       TFR_LIMIT_AVX2, TFR_LIMIT_AVX512,
                                 TFR_LIMIT_AVX512_BF16, TFR_LIMIT_AMX,  TFR_LIMIT_NEON};
    const int wanted = config->options.runtime_isa;
    char said[600], can[128] = "auto";
    if ((isa_named(wanted) & ~isa) == 0) {
        return TFR_OK;
    }
    for (size_t i = 0; i < TFR_COUNT_OF(limits); i++) {
        if ((isa_named(limits[i]) & ~isa) == 0) {
            const size_t n = strlen(can);
            snprintf(can + n, sizeof can - n, ", %s", tfr_choice_name("runtime.isa", limits[i]));
        }
    }
    const char *name = tfr_choice_name("runtime.isa", wanted);
    return tfr_config_blame(config, "runtime.isa",
                            tfr_raise(TFR_CONFIG, "%s: this CPU lacks it; it can run %s",
                                      tfr_option_said(config, "runtime.isa", name, said, sizeof said), can));
}

/* The widest one: a name a person knows the machine by. */
static const char *widest(uint32_t isa) {
    static const uint32_t known[] = {TFR_ISA_AMX_BF16, TFR_ISA_AVX512_BF16, TFR_ISA_AVX512,
                                     TFR_ISA_AVX2,     TFR_ISA_SVE,         TFR_ISA_NEON};
    for (size_t i = 0; i < TFR_COUNT_OF(known); i++) {
        if ((isa & known[i]) != 0) {
            return tfr_isa_name(known[i]);
        }
    }
    return "plain";
}

const char *tfr_engine_isa(const struct tfr_engine *engine) {
    return widest(tfr_registry_isa(engine->registry));
}

const char *tfr_isa_within(const char *limit) {
    int choice = 0;
    const char *name;
    while ((name = tfr_choice_name("runtime.isa", choice)) != NULL && strcmp(name, limit) != 0) {
        choice++;
    }
    return name != NULL ? widest(tfr_cpu_isa() & tfr_isa_limit(choice)) : NULL;
}

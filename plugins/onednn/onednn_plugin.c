/* onednn_plugin.c - entry of the onednn plugin: holds the library to the host's instruction sets, opens
 * engine and stream. */
#include "onednn/onednn.h"

static char build_text[160];

static const struct tfr_plugin plugin = {
    .struct_size = sizeof(struct tfr_plugin),
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "onednn",
    .version = TFR_VERSION_TEXT,
    .build = build_text,
    .n_kernels = ONEDNN_N_KERNELS,
    .kernels = onednn_kernels,
};

static void choose_activation(uint32_t isa) {
    (void)isa;
#ifdef TFR_HAVE_AVX2
    if (isa & TFR_ISA_AVX2) {
        tfr_onednn_act = tfr_onednn_act_avx2;
    }
#endif
#ifdef TFR_HAVE_AVX512
    if (isa & TFR_ISA_AVX512) {
        tfr_onednn_act = tfr_onednn_act_avx512;
    }
#endif
#ifdef TFR_HAVE_NEON
    if (isa & TFR_ISA_NEON) {
        tfr_onednn_act = tfr_onednn_act_neon;
    }
#endif
}

static void describe_build(void) {
    const dnnl_version_t *version = dnnl_version();
    snprintf(build_text, sizeof build_text, "compiler %s, oneDNN %d.%d.%d (%s, runtime %s)", __VERSION__, version->major,
             version->minor, version->patch, compat_isa_text(), compat_runtime_text());
}

TFR_PLUGIN_ENTRY(onednn) {
    if (dnnl_version()->major != DNNL_VERSION_MAJOR) {
        host->log("onednn", "the oneDNN library found has another major version than the headers it was built with");
        return NULL;
    }
    compat_limit_isa(host->isa);
    choose_activation(host->isa);
    if (dnnl_version()->cpu_runtime != DNNL_RUNTIME_OMP) {
        host->log("onednn", "this oneDNN does not run its threads by OpenMP, so it would not use tfrun's");
        return NULL;
    }
    if (!onednn_open_engine()) {
        host->log("onednn", "oneDNN offers no CPU engine");
        return NULL;
    }
    describe_build();
    return &plugin;
}

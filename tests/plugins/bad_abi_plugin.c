/* bad_abi_plugin.c - a plugin as strangers built them for plugin ABI 1 (ABI 1.0's records and functions, cut to what matters):
 * must be refused, and told what changed, before anything else of it is read. */
#include <stddef.h>
#include <stdint.h>

/* As core/include/tfrun/plugin.h had it in ABI 1. */
struct abi1_kernel {
    uint32_t struct_size;
    const char *name;
    int32_t op;
    uint32_t dtypes, isa;
    int32_t run_class;
    uint32_t flags;
    int32_t score;
    void *functions[8];
};
struct abi1_plugin {
    uint32_t struct_size;
    int32_t abi_major, abi_minor;
    const char *name, *version, *build;
    int32_t n_kernels;
    const struct abi1_kernel *kernels; /* an array of records */
};

static const struct abi1_kernel kernels[] = {{.struct_size = sizeof(struct abi1_kernel), .name = "add.f32.old.plain"}};
static const struct abi1_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = 1,
    .name = (const char *)1, /* whatever stands here in another version */
    .n_kernels = 1,
    .kernels = kernels,
};

__attribute__((visibility("default"))) const void *tfr_plugin_entry(const void *host);
const void *tfr_plugin_entry(const void *host) {
    (void)host;
    return &plugin;
}

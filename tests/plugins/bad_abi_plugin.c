/* bad_abi_plugin.c - says that it was built for plugin ABI 2: must be refused before anything else of it is
 * read. */
#include <tfrun/plugin.h>

static const struct tfr_plugin plugin = {
    .struct_size = sizeof(struct tfr_plugin),
    .abi_major = 2,
    .name = (const char *)1, /* whatever stands here in another version */
};

TFR_PLUGIN_ENTRY(bad_abi) {
    (void)host;
    return &plugin;
}

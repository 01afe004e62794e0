/* plugin_load.c - opening, asking and checking of plugins, so that nothing wrong is ever called.
 *
 * The version is checked first: members behind it may mean something else in another version.
 */
#include "plan/plugin_load.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"

/* Last words of a plugin's entry function: the reason when it declines. */
static _Thread_local char last_words[200];

static enum tfr_status check_version(const struct tfr_plugin *plugin, const char *path) {
    if (plugin->struct_size < offsetof(struct tfr_plugin, name)) {
        return tfr_raise(TFR_RESOURCE,
                         "plugin %s: its record says %u bytes, too few for a version; rebuild it against "
                         "these headers",
                         path, (unsigned)plugin->struct_size);
    }
    if (plugin->abi_major != TFR_PLUGIN_ABI_MAJOR) {
        return tfr_raise(TFR_RESOURCE,
                         "plugin %s: built for plugin ABI %d, this tfrun speaks %d; rebuild it against "
                         "these headers",
                         path, (int)plugin->abi_major, TFR_PLUGIN_ABI_MAJOR);
    }
    if (plugin->abi_minor > TFR_PLUGIN_ABI_MINOR) {
        return tfr_raise(TFR_RESOURCE,
                         "plugin %s: built for plugin ABI %d.%d, this tfrun speaks %d.%d; rebuild it "
                         "against these headers or update tfrun",
                         path, (int)plugin->abi_major, (int)plugin->abi_minor, TFR_PLUGIN_ABI_MAJOR,
                         TFR_PLUGIN_ABI_MINOR);
    }
    return TFR_OK;
}

static const char *fault_of_kernel(const struct tfr_kernel *kernel) {
    if (kernel->struct_size != sizeof(*kernel)) {
        return "its struct_size is not that of ABI 1.0";
    }
    if (kernel->name == NULL || kernel->name[0] == '\0') {
        return "it has no name";
    }
    if (kernel->op < 0 || kernel->op >= TFR_OP_COUNT) {
        return "its op is not in the op table";
    }
    if (kernel->run_class < TFR_RUN_SEQ || kernel->run_class > TFR_RUN_ASYNC) {
        return "its run class is unknown";
    }
    if (kernel->run == NULL) {
        return "it has no run function";
    }
    if (kernel->run_class == TFR_RUN_ASYNC && kernel->poll == NULL) {
        return "it is asynchronous but has no poll function";
    }
    return NULL;
}

enum tfr_status tfr_plugin_check(const struct tfr_plugin *plugin, const char *path) {
    TFR_TRY(check_version(plugin, path));
    if (plugin->struct_size < sizeof(*plugin) || plugin->name == NULL || plugin->name[0] == '\0') {
        return tfr_raise(TFR_RESOURCE,
                         "plugin %s: its record is incomplete (struct_size %u, needs %zu, and a name)", path,
                         (unsigned)plugin->struct_size, sizeof(*plugin));
    }
    if (plugin->n_kernels < 0 || (plugin->n_kernels > 0 && plugin->kernels == NULL)) {
        return tfr_raise(TFR_RESOURCE, "plugin %s: says it has %d kernels but gives none", path,
                         (int)plugin->n_kernels);
    }
    for (int i = 0; i < plugin->n_kernels; i++) {
        const char *fault = fault_of_kernel(&plugin->kernels[i]);
        if (fault != NULL) {
            const char *name = plugin->kernels[i].name;
            return tfr_raise(TFR_RESOURCE, "plugin %s: kernel %d (%s): %s", path, i,
                             name != NULL ? name : "no name", fault);
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_plugin_enter(const struct tfr_plugin **plugin, const char *path,
                                 tfr_plugin_entry_fn entry, const struct tfr_host *host) {
    last_words[0] = '\0';
    *plugin = entry(host);
    if (*plugin == NULL) {
        return tfr_raise(TFR_RESOURCE, "plugin %s: declines: %s", path,
                         last_words[0] != '\0' ? last_words : "no reason given");
    }
    return tfr_plugin_check(*plugin, path);
}

enum tfr_status tfr_plugin_load(const struct tfr_plugin **plugin, const char *path,
                                const struct tfr_host *host) {
    /* A bare file name would be looked for in the system's library folders. */
    char *file = tfr_format("%s%s", strchr(path, '/') == NULL ? "./" : "", path);
    if (file == NULL) {
        return TFR_RESOURCE;
    }
    void *object = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    tfr_free(file);
    if (object == NULL) {
        return tfr_raise(TFR_RESOURCE, "plugin %s: cannot be loaded: %s", path, dlerror());
    }
    void *symbol = dlsym(object, TFR_PLUGIN_SYMBOL);
    if (symbol == NULL) {
        return tfr_raise(TFR_RESOURCE, "plugin %s: does not export %s: not a tfrun plugin", path,
                         TFR_PLUGIN_SYMBOL);
    }
    tfr_plugin_entry_fn entry;
    memcpy(&entry, &symbol, sizeof(entry)); /* ISO C has no cast from object to function pointer */
    return tfr_plugin_enter(plugin, path, entry, host);
}

void tfr_plugin_log(const char *plugin, const char *text) {
    snprintf(last_words, sizeof(last_words), "%s", text);
    tfr_log(TFR_LOG_DEBUG, "plugin", "%s: %s", plugin, text);
}

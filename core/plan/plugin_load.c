/* plugin_load.c - opening, asking and checking of plugins, so that nothing wrong is ever called.
 *
 * The version is checked first: members behind it may mean something else in another version.
 */
#include "plan/plugin_load.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "graph/graph.h"

/* Last words of a plugin's entry function: the reason when it declines. */
static _Thread_local char last_words[200];

static const char no_memory[] = "no memory";

static enum tfr_status check_version(const struct tfr_plugin *plugin, const char *path) {
    if (plugin->struct_size < offsetof(struct tfr_plugin, name)) {
        return tfr_raise(TFR_RESOURCE,
                         "plugin %s: its record says %u bytes, too few for a version; rebuild it against "
                         "these headers",
                         path, (unsigned)plugin->struct_size);
    }
    if (plugin->abi_major != TFR_PLUGIN_ABI_MAJOR) {
        return tfr_raise(TFR_RESOURCE,
                         "plugin %s: built for plugin ABI %d, this tfrun speaks %d: %sdocs/plugin-abi.md says what changed; "
                         "then rebuild it against these headers",
                         path, (int)plugin->abi_major, TFR_PLUGIN_ABI_MAJOR,
                         plugin->abi_major == 1 ? "functions take the kernel first, `run` returns a status, kernels are pointers, "
                                                  "`query` is `prepare`; "
                                                : "");
    }
    return TFR_OK;
}

/* Up to the last members that ABI 2.0 cannot do without, whatever a later minor version appends. */
static const size_t least_kernel_bytes = offsetof(struct tfr_kernel, poll);
static const size_t least_plugin_bytes = offsetof(struct tfr_plugin, kernels) + sizeof(((struct tfr_plugin *)0)->kernels);

/* A kernel of a newer minor version may serve what this host has never heard of: it is passed over. */
static bool is_unheard_of(const struct tfr_plugin *plugin, const struct tfr_kernel *kernel) {
    return plugin->abi_minor > TFR_PLUGIN_ABI_MINOR && (kernel->op >= TFR_OP_COUNT || kernel->run_class > TFR_RUN_ASYNC);
}

static const char *fault_of_kernel(const struct tfr_plugin *plugin, const struct tfr_kernel *kernel) {
    if (kernel == NULL) {
        return "it is NULL";
    }
    if (kernel->struct_size < least_kernel_bytes) {
        return "its struct_size is too small for ABI 2.0";
    }
    if (kernel->name == NULL || kernel->name[0] == '\0') {
        return "it has no name";
    }
    if (is_unheard_of(plugin, kernel)) {
        return NULL;
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
    if (kernel->op == TFR_OP_FUSED && (kernel->pattern == NULL || kernel->n_pattern < 2 || kernel->n_pattern > TFR_MAX_PARTS)) {
        return "its pattern needs two to four ops";
    }
    if (kernel->run_class == TFR_RUN_ASYNC && (!TFR_HAS(tfr_kernel, kernel, poll) || kernel->poll == NULL)) {
        return "it is asynchronous but has no poll function";
    }
    return NULL;
}

static bool has_twin(const struct tfr_plugin *plugin, int index) {
    for (int i = 0; i < index; i++) {
        if (strcmp(plugin->kernels[i]->name, plugin->kernels[index]->name) == 0) {
            return true;
        }
    }
    return false;
}

enum tfr_status tfr_plugin_check(const struct tfr_plugin *plugin, const char *path) {
    TFR_TRY(check_version(plugin, path));
    if (plugin->struct_size < least_plugin_bytes || plugin->name == NULL || plugin->name[0] == '\0') {
        return tfr_raise(TFR_RESOURCE, "plugin %s: its record is incomplete (struct_size %u, needs %zu, and a name)", path,
                         (unsigned)plugin->struct_size, least_plugin_bytes);
    }
    if (plugin->n_kernels < 0 || (plugin->n_kernels > 0 && plugin->kernels == NULL)) {
        return tfr_raise(TFR_RESOURCE, "plugin %s: says it has %d kernels but gives none", path, (int)plugin->n_kernels);
    }
    for (int i = 0; i < plugin->n_kernels; i++) {
        const struct tfr_kernel *kernel = plugin->kernels[i];
        const char *fault = fault_of_kernel(plugin, kernel);
        if (fault == NULL && has_twin(plugin, i)) {
            fault = "another kernel of this plugin has the same name";
        }
        if (fault != NULL) {
            const char *name = kernel != NULL && kernel->struct_size >= least_kernel_bytes ? kernel->name : NULL;
            return tfr_raise(TFR_RESOURCE, "plugin %s: kernel %d (%s): %s", path, i, name != NULL ? name : "no name", fault);
        }
    }
    return TFR_OK;
}

static bool is_ours(const struct tfr_plugin *plugin, const struct tfr_kernel *kernel) {
    return kernel->struct_size >= sizeof(*kernel) && !is_unheard_of(plugin, kernel);
}

/* The copy, its pointers and its kernels in one piece of memory. */
static struct tfr_plugin *copy_plugin(const struct tfr_plugin *plugin) {
    const size_t n = (size_t)plugin->n_kernels;
    struct tfr_plugin *copy = tfr_alloc(1, sizeof(*copy) + n * (sizeof(struct tfr_kernel) + sizeof(struct tfr_kernel *)));
    if (copy == NULL) {
        return NULL;
    }
    struct tfr_kernel *kernels = (struct tfr_kernel *)(void *)(copy + 1);
    const struct tfr_kernel **pointers = (const struct tfr_kernel **)(void *)(kernels + n);
    memcpy(copy, plugin, plugin->struct_size < sizeof(*copy) ? plugin->struct_size : sizeof(*copy));
    copy->n_kernels = 0;
    copy->kernels = pointers;
    for (size_t i = 0; i < n; i++) {
        const struct tfr_kernel *kernel = plugin->kernels[i];
        if (is_ours(plugin, kernel)) {
            pointers[copy->n_kernels++] = kernel;
        } else if (!is_unheard_of(plugin, kernel)) {
            memcpy(&kernels[i], kernel, kernel->struct_size); /* the rest is zero: the defaults */
            pointers[copy->n_kernels++] = &kernels[i];
        }
    }
    return copy;
}

enum tfr_status tfr_plugin_complete(const struct tfr_plugin *plugin, struct tfr_plugin **completed) {
    *completed = NULL;
    bool all_ours = true;
    for (int i = 0; i < plugin->n_kernels; i++) {
        all_ours = all_ours && is_ours(plugin, plugin->kernels[i]);
    }
    if (!all_ours) {
        *completed = copy_plugin(plugin);
    }
    return all_ours || *completed != NULL ? TFR_OK : TFR_RESOURCE;
}

enum tfr_status tfr_plugin_enter(const struct tfr_plugin **plugin, const char *path, tfr_plugin_entry_fn entry,
                                 const struct tfr_host *host) {
    last_words[0] = '\0';
    *plugin = entry(host);
    if (*plugin == NULL) {
        return tfr_raise(TFR_RESOURCE, "plugin %s: declines: %s", path, last_words[0] != '\0' ? last_words : "no reason given");
    }
    return tfr_plugin_check(*plugin, path);
}

bool tfr_plugin_is_system_fault(const char *sentence) {
    static const int errors[] = {EMFILE, ENFILE, EIO, EINTR};
    bool found = strstr(sentence, no_memory) != NULL;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        found = found || strstr(sentence, strerror(errors[i])) != NULL; /* the loader's words end with the system's */
    }
    return found;
}

enum tfr_status tfr_plugin_load(const struct tfr_plugin **plugin, const char *path, const struct tfr_host *host) {
    /* A bare file name would be looked for in the system's library folders. */
    char *file = tfr_format("%s%s", strchr(path, '/') == NULL ? "./" : "", path);
    if (file == NULL) {
        return TFR_RESOURCE;
    }
    void *object = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    tfr_free(file);
    if (object == NULL) {
        const char *why = dlerror();
        const bool is_memory = why == NULL || strstr(why, "annot allocate memory") != NULL || strstr(why, "out of memory") != NULL;
        return tfr_raise(TFR_RESOURCE, "plugin %s: cannot be loaded: %s", path, is_memory ? no_memory : why);
    }
    void *symbol = dlsym(object, TFR_PLUGIN_SYMBOL);
    if (symbol == NULL) {
        return tfr_raise(TFR_RESOURCE, "plugin %s: does not export %s: not a tfrun plugin", path, TFR_PLUGIN_SYMBOL);
    }
    tfr_plugin_entry_fn entry;
    memcpy(&entry, &symbol, sizeof(entry)); /* ISO C has no cast from object to function pointer */
    return tfr_plugin_enter(plugin, path, entry, host);
}

void tfr_plugin_log(const char *plugin, const char *text) {
    snprintf(last_words, sizeof(last_words), "%s", text);
    tfr_log(TFR_LOG_DEBUG, "plugin", "%s: %s", plugin, text);
}

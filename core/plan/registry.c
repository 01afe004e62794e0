/* registry.c - the book of plugins: where they come from, what the user's list says about them.
 */
#include "plan/registry_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "common/plugins_static.h"
#include "plan/plugin_load.h"

/* Host records must stay valid to the end of the process, because plugins keep the pointer; registries with
 * equal facts share one. Written while a registry is opened, which happens on one thread. */
static struct host_record {
    struct tfr_host host;
    struct host_record *next;
} * hosts;

static bool same_host(const struct tfr_host *a, const struct tfr_host *b) {
    return a->isa == b->isa && a->n_cores == b->n_cores && a->l1d_bytes == b->l1d_bytes && a->l2_bytes == b->l2_bytes &&
           a->l3_bytes == b->l3_bytes;
}

static const struct tfr_host *host_for(const struct tfr_registry_request *request) {
    const struct tfr_host facts = {
        .struct_size = sizeof(facts),
        .abi_major = TFR_PLUGIN_ABI_MAJOR,
        .abi_minor = TFR_PLUGIN_ABI_MINOR,
        .isa = request->isa,
        .n_cores = request->n_cores,
        .l1d_bytes = request->l1d_bytes,
        .l2_bytes = request->l2_bytes,
        .l3_bytes = request->l3_bytes,
        .log = tfr_plugin_log,
    };
    for (struct host_record *record = hosts; record != NULL; record = record->next) {
        if (same_host(&record->host, &facts)) {
            return &record->host;
        }
    }
    struct host_record *record = tfr_alloc(1, sizeof(*record));
    if (record == NULL) {
        return NULL;
    }
    *record = (struct host_record){.host = facts, .next = hosts};
    hosts = record;
    return &record->host;
}

static const struct tfr_registry_entry *find_plugin(const struct tfr_registry *registry, const char *name) {
    for (size_t i = 0; i < registry->n_entries; i++) {
        if (strcmp(registry->entries[i].plugin->name, name) == 0) {
            return &registry->entries[i];
        }
    }
    return NULL;
}

static const char *find_kernel(const struct tfr_registry *registry, const char *name) {
    for (size_t i = 0; i < registry->n_entries; i++) {
        const struct tfr_plugin *plugin = registry->entries[i].plugin;
        for (int k = 0; k < plugin->n_kernels; k++) {
            if (strcmp(plugin->kernels[k]->name, name) == 0) {
                return plugin->name;
            }
        }
    }
    return NULL;
}

/* Names tell plugins and kernels apart in the user's list and in plans, so each stands once. */
static bool is_new(const struct tfr_registry *registry, const struct tfr_plugin *plugin, char *fault, size_t size) {
    const struct tfr_registry_entry *first = find_plugin(registry, plugin->name);
    if (first != NULL) {
        snprintf(fault, size, "another plugin of the name %s is already there, from %s; give this one a name of its own",
                 plugin->name, first->path[0] != '\0' ? first->path : "the program");
        return false;
    }
    for (int k = 0; k < plugin->n_kernels; k++) {
        const char *name = plugin->kernels[k]->name, *owner = find_kernel(registry, name);
        if (owner != NULL) {
            snprintf(fault, size, "plugin %s already has a kernel of the name %s", owner, name);
            return false;
        }
    }
    return true;
}

static enum tfr_status append(struct tfr_registry *registry, const struct tfr_plugin *plugin, const char *path) {
    struct tfr_registry_entry *entries = tfr_realloc(registry->entries, registry->n_entries + 1, sizeof(*entries));
    if (entries == NULL) {
        return TFR_RESOURCE;
    }
    registry->entries = entries;
    struct tfr_registry_entry *entry = &entries[registry->n_entries];
    *entry = (struct tfr_registry_entry){.plugin = plugin};
    TFR_TRY(tfr_plugin_complete(plugin, &entry->completed));
    entry->plugin = entry->completed != NULL ? entry->completed : plugin;
    entry->path = tfr_strdup(path);
    if (entry->path == NULL) {
        tfr_free(entry->completed);
        return TFR_RESOURCE;
    }
    registry->n_entries++;
    tfr_log(TFR_LOG_DEBUG, "plugin", "%s %s: %d kernels%s%s", plugin->name, plugin->version != NULL ? plugin->version : "",
            (int)entry->plugin->n_kernels, *path != '\0' ? " from " : "", path);
    return TFR_OK;
}

static enum tfr_status add_checked(struct tfr_registry *registry, const struct tfr_plugin *plugin, const char *path) {
    char fault[300];
    if (!is_new(registry, plugin, fault, sizeof(fault))) {
        return tfr_raise(TFR_RESOURCE, "plugin %s: %s", path[0] != '\0' ? path : plugin->name, fault);
    }
    return append(registry, plugin, path);
}

static enum tfr_status add_static(struct tfr_registry *registry, const struct tfr_host *host) {
    for (int i = 0; i < tfr_n_static_plugins; i++) {
        const struct tfr_plugin *plugin;
        enum tfr_status status = tfr_plugin_enter(&plugin, "linked in", tfr_static_plugins[i], host);
        if (status != TFR_OK) {
            tfr_log(TFR_LOG_WARN, "plugin", "%s", tfr_failure_text());
            continue;
        }
        TFR_TRY(add_checked(registry, plugin, ""));
    }
    return TFR_OK;
}

static enum tfr_status add_named(struct tfr_registry *registry, const struct tfr_registry_request *request,
                                 const struct tfr_host *host) {
    for (size_t i = 0; i < request->n_paths; i++) {
        const struct tfr_plugin *plugin;
        TFR_TRY(tfr_plugin_load(&plugin, request->paths[i], host));
        TFR_TRY(add_checked(registry, plugin, request->paths[i]));
    }
    return TFR_OK;
}

static bool is_same_file(const char *a, const char *b) {
    struct stat left, right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

/* Failure to load a plugin that was merely found is a warning, but where the system failed, as for want of memory: the choice of
 * kernels must not depend on that. A bundled one may be found in several of our own folders; any other may not take a name that is
 * there. */
static enum tfr_status add_found(struct tfr_registry *registry, const char *path, bool is_bundled, const struct tfr_host *host) {
    const struct tfr_plugin *plugin;
    char fault[300];
    if (tfr_plugin_load(&plugin, path, host) != TFR_OK) {
        if (tfr_plugin_is_system_fault(tfr_failure_text())) {
            return TFR_RESOURCE;
        }
        tfr_log(TFR_LOG_WARN, "plugin", "%s", tfr_failure_text());
        return TFR_OK;
    }
    if (!is_new(registry, plugin, fault, sizeof(fault))) {
        const struct tfr_registry_entry *first = find_plugin(registry, plugin->name);
        const bool is_expected = is_bundled || (first != NULL && is_same_file(first->path, path));
        tfr_log(is_expected ? TFR_LOG_DEBUG : TFR_LOG_WARN, "plugin", "plugin %s: not taken: %s", path, fault);
        return TFR_OK;
    }
    return append(registry, plugin, path);
}

/* tfr_*.so: other objects in the folder (the transport comm_mpi.so) are no kernel plugins. */
static int is_plugin_file(const struct dirent *file) {
    size_t length = strlen(file->d_name);
    return length > 7 && strncmp(file->d_name, "tfr_", 4) == 0 && strcmp(file->d_name + length - 3, ".so") == 0;
}

/* In the order of the names, so that every run finds them alike. A folder that is not there is no error; one that can't be read is,
 * because the choice of kernels must not depend on that. */
static enum tfr_status add_folder(struct tfr_registry *registry, const char *folder, bool is_bundled, const struct tfr_host *host) {
    struct dirent **files;
    int n = scandir(folder, &files, is_plugin_file, alphasort);
    if (n < 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? TFR_OK
                   : tfr_raise(TFR_RESOURCE, "%s: cannot look for plugins in this folder: %s", folder, strerror(errno));
    }
    enum tfr_status status = TFR_OK;
    for (int i = 0; i < n; i++) {
        char *path = status == TFR_OK ? tfr_format("%s/%s", folder, files[i]->d_name) : NULL;
        if (path != NULL) {
            status = add_found(registry, path, is_bundled, host);
        } else if (status == TFR_OK) {
            status = TFR_RESOURCE;
        }
        tfr_free(path);
        free(files[i]); /* scandir's own memory */
    }
    free(files);
    return status;
}

static enum tfr_status fill(struct tfr_registry *registry, const struct tfr_registry_request *request) {
    const struct tfr_host *host = host_for(request);
    if (host == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(tfr_registry_read_list(registry, request->list));
    TFR_TRY(add_static(registry, host));
    for (size_t i = 0; i < request->n_bundled; i++) {
        TFR_TRY(add_folder(registry, request->folders[i], true, host));
    }
    TFR_TRY(add_named(registry, request, host));
    for (size_t i = request->n_bundled; request->folders != NULL && request->folders[i] != NULL; i++) {
        TFR_TRY(add_folder(registry, request->folders[i], false, host));
    }
    return tfr_registry_check_list(registry);
}

enum tfr_status tfr_registry_open(struct tfr_registry **registry, const struct tfr_registry_request *request) {
    *registry = NULL;
    struct tfr_registry *made = tfr_alloc(1, sizeof(*made));
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    made->isa = request->isa;
    enum tfr_status status = fill(made, request);
    if (status != TFR_OK) {
        tfr_registry_close(made);
        return status;
    }
    *registry = made;
    return TFR_OK;
}

void tfr_registry_close(struct tfr_registry *registry) {
    if (registry == NULL) {
        return;
    }
    for (size_t i = 0; i < registry->n_entries; i++) {
        tfr_free((char *)registry->entries[i].path);
        tfr_free(registry->entries[i].completed);
    }
    tfr_free(registry->entries);
    tfr_free(registry->rules);
    tfr_free(registry->list);
    tfr_free(registry);
}

enum tfr_status tfr_registry_add(struct tfr_registry *registry, const struct tfr_plugin *plugin, const char *path) {
    TFR_TRY(tfr_plugin_check(plugin, *path != '\0' ? path : "linked in"));
    return add_checked(registry, plugin, path);
}

uint32_t tfr_registry_isa(const struct tfr_registry *registry) {
    return registry->isa;
}

const struct tfr_registry_entry *tfr_registry_plugins(const struct tfr_registry *registry, size_t *n) {
    *n = registry->n_entries;
    return registry->entries;
}

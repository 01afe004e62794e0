/* registry.c - the book of plugins: where they come from, what the user's list says about them.
 */
#include "plan/registry.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "common/plugins_static.h"
#include "plan/plugin_load.h"
#include "topo/topo.h"

static const char path_variable[] = "TFRUN_PLUGIN_PATH";

struct rule {
    const char *word; /* plugin name or prefix of a kernel name */
    bool ban;
};

struct tfr_registry {
    struct tfr_registry_entry *entries;
    size_t n_entries;
    uint32_t isa;
    char *list; /* copy of the user's list, cut into words */
    struct rule *rules;
    size_t n_rules;
};

/* Host records must stay valid to the end of the process, because plugins keep the pointer; registries with
 * equal facts share one. Written while a registry is opened, which happens on one thread. */
static struct host_record {
    struct tfr_host host;
    struct host_record *next;
} * hosts;

static bool same_host(const struct tfr_host *a, const struct tfr_host *b) {
    return a->isa == b->isa && a->n_cores == b->n_cores && a->l1d_bytes == b->l1d_bytes &&
           a->l2_bytes == b->l2_bytes && a->l3_bytes == b->l3_bytes;
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

static enum tfr_status append(struct tfr_registry *registry, const struct tfr_plugin *plugin,
                              const char *path) {
    struct tfr_registry_entry *entries =
        tfr_realloc(registry->entries, registry->n_entries + 1, sizeof(*entries));
    if (entries == NULL) {
        return TFR_RESOURCE;
    }
    registry->entries = entries;
    char *copy = tfr_strdup(path);
    if (copy == NULL) {
        return TFR_RESOURCE;
    }
    entries[registry->n_entries++] = (struct tfr_registry_entry){.plugin = plugin, .path = copy};
    tfr_log(TFR_LOG_DEBUG, "plugin", "%s %s: %d kernels%s%s", plugin->name,
            plugin->version != NULL ? plugin->version : "", (int)plugin->n_kernels,
            *path != '\0' ? " from " : "", path);
    return TFR_OK;
}

static enum tfr_status add_static(struct tfr_registry *registry, const struct tfr_host *host) {
    for (int i = 0; i < tfr_n_static_plugins; i++) {
        const struct tfr_plugin *plugin;
        enum tfr_status status = tfr_plugin_enter(&plugin, "linked in", tfr_static_plugins[i], host);
        if (status != TFR_OK) {
            tfr_log(TFR_LOG_WARN, "plugin", "%s", tfr_failure_text());
            continue;
        }
        TFR_TRY(tfr_registry_add(registry, plugin, ""));
    }
    return TFR_OK;
}

static enum tfr_status add_named(struct tfr_registry *registry, const struct tfr_registry_request *request,
                                 const struct tfr_host *host) {
    for (size_t i = 0; i < request->n_paths; i++) {
        const struct tfr_plugin *plugin;
        TFR_TRY(tfr_plugin_load(&plugin, request->paths[i], host));
        TFR_TRY(tfr_registry_add(registry, plugin, request->paths[i]));
    }
    return TFR_OK;
}

/* Failure to load a plugin that was merely found is a warning; of two of one name the first stays. */
static enum tfr_status add_found(struct tfr_registry *registry, const char *path,
                                 const struct tfr_host *host) {
    const struct tfr_plugin *plugin;
    if (tfr_plugin_load(&plugin, path, host) != TFR_OK) {
        tfr_log(TFR_LOG_WARN, "plugin", "%s", tfr_failure_text());
        return TFR_OK;
    }
    const struct tfr_registry_entry *first = find_plugin(registry, plugin->name);
    if (first != NULL) {
        tfr_log(TFR_LOG_DEBUG, "plugin", "%s: passed over, %s is already there from %s", path, plugin->name,
                first->path[0] != '\0' ? first->path : "the program");
        return TFR_OK;
    }
    return append(registry, plugin, path);
}

/* tfr_*.so: other objects in the folder (the transport comm_mpi.so) are no kernel plugins. */
static int is_plugin_file(const struct dirent *file) {
    size_t length = strlen(file->d_name);
    return length > 7 && strncmp(file->d_name, "tfr_", 4) == 0 && strcmp(file->d_name + length - 3, ".so") == 0;
}

/* In the order of the names, so that every run finds them alike. A folder that is not there is no error. */
static enum tfr_status add_folder(struct tfr_registry *registry, const char *folder,
                                  const struct tfr_host *host) {
    struct dirent **files;
    int n = scandir(folder, &files, is_plugin_file, alphasort);
    if (n < 0) {
        return TFR_OK;
    }
    enum tfr_status status = TFR_OK;
    for (int i = 0; i < n; i++) {
        char *path = status == TFR_OK ? tfr_format("%s/%s", folder, files[i]->d_name) : NULL;
        if (path != NULL) {
            status = add_found(registry, path, host);
        } else if (status == TFR_OK) {
            status = TFR_RESOURCE;
        }
        tfr_free(path);
        free(files[i]); /* scandir's own memory */
    }
    free(files);
    return status;
}

static enum tfr_status read_list(struct tfr_registry *registry, const char *list) {
    if (list == NULL) {
        return TFR_OK;
    }
    registry->list = tfr_strdup(list);
    registry->rules = tfr_alloc(strlen(list) + 1, sizeof(*registry->rules));
    if (registry->list == NULL || registry->rules == NULL) {
        return TFR_RESOURCE;
    }
    char *rest = registry->list;
    for (char *word; (word = strtok_r(rest, ", ", &rest)) != NULL;) {
        struct rule rule = {.word = word + (word[0] == '-'), .ban = word[0] == '-'};
        if (rule.word[0] == '\0') {
            return tfr_raise(TFR_CONFIG, "list of plugins \"%s\": '-' without a name", list);
        }
        if (rule.ban && strcmp(rule.word, "ref") == 0) {
            return tfr_raise(TFR_CONFIG,
                             "list of plugins \"%s\": ref cannot be banned: it is the fallback of every op",
                             list);
        }
        registry->rules[registry->n_rules++] = rule;
    }
    return TFR_OK;
}

static bool matches(const struct rule *rule, const struct tfr_kernel *kernel, const char *plugin) {
    return strcmp(rule->word, plugin) == 0 || strncmp(kernel->name, rule->word, strlen(rule->word)) == 0;
}

static bool matches_any(const struct tfr_registry *registry, const struct rule *rule) {
    for (size_t i = 0; i < registry->n_entries; i++) {
        const struct tfr_plugin *plugin = registry->entries[i].plugin;
        for (int k = 0; k < plugin->n_kernels; k++) {
            if (matches(rule, &plugin->kernels[k], plugin->name)) {
                return true;
            }
        }
    }
    return false;
}

/* A word that means nothing here may mean something on another machine, so it is no error. */
static void warn_idle_rules(const struct tfr_registry *registry) {
    for (size_t i = 0; i < registry->n_rules; i++) {
        if (!matches_any(registry, &registry->rules[i])) {
            tfr_log(TFR_LOG_WARN, "plugin", "list of plugins: no plugin or kernel is called %s here",
                    registry->rules[i].word);
        }
    }
}

static enum tfr_status fill(struct tfr_registry *registry, const struct tfr_registry_request *request) {
    const struct tfr_host *host = host_for(request);
    if (host == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(read_list(registry, request->list));
    TFR_TRY(add_static(registry, host));
    TFR_TRY(add_named(registry, request, host));
    for (const char *const *folder = request->folders; folder != NULL && *folder != NULL; folder++) {
        TFR_TRY(add_folder(registry, *folder, host));
    }
    warn_idle_rules(registry);
    return TFR_OK;
}

/* "beside the running program": PROGRAM_FOLDER/../LIBRARIES/tfrun/plugins, or NULL. */
static char *program_plugins(const char *libraries) {
    char program[4096];
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (size <= 0) {
        return NULL;
    }
    program[size] = '\0';
    char *slash = strrchr(program, '/');
    if (slash == NULL) {
        return NULL;
    }
    *slash = '\0';
    return tfr_format("%s/../%s/tfrun/plugins", program, libraries);
}

enum tfr_status tfr_registry_open(struct tfr_registry **registry,
                                  const struct tfr_registry_request *request) {
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
    }
    tfr_free(registry->entries);
    tfr_free(registry->rules);
    tfr_free(registry->list);
    tfr_free(registry);
}

enum tfr_status tfr_registry_add(struct tfr_registry *registry, const struct tfr_plugin *plugin,
                                 const char *path) {
    TFR_TRY(tfr_plugin_check(plugin, *path != '\0' ? path : "linked in"));
    const struct tfr_registry_entry *first = find_plugin(registry, plugin->name);
    if (first != NULL) {
        return tfr_raise(TFR_RESOURCE, "plugin %s: another one of the name %s is already there%s%s", path,
                         plugin->name, first->path[0] != '\0' ? ": " : "", first->path);
    }
    return append(registry, plugin, path);
}

const struct tfr_registry_entry *tfr_registry_plugins(const struct tfr_registry *registry, size_t *n) {
    *n = registry->n_entries;
    return registry->entries;
}

char **tfr_registry_folders(void) {
    const char *variable = getenv(path_variable);
    char *given = tfr_strdup(variable != NULL ? variable : "");
    /* One folder per two bytes of the variable at most, then ours, then NULL. */
    char **folders = given != NULL ? tfr_alloc(strlen(given) / 2 + 5, sizeof(*folders)) : NULL;
    if (folders == NULL) {
        tfr_free(given);
        return NULL;
    }
    size_t n = 0;
    char *rest = given;
    for (char *word; (word = strtok_r(rest, ":", &rest)) != NULL;) {
        folders[n] = tfr_strdup(word);
        n += folders[n] != NULL;
    }
    tfr_free(given);
    folders[n] = program_plugins("lib"); /* the build folder */
    n += folders[n] != NULL;
    if (strcmp(TFRUN_LIBDIR, "lib") != 0) {
        folders[n] = program_plugins(TFRUN_LIBDIR); /* an installed copy, wherever it was moved to */
        n += folders[n] != NULL;
    }
    folders[n] = tfr_strdup(TFRUN_PLUGIN_FOLDER);
    return folders;
}

void tfr_registry_free_folders(char **folders) {
    for (char **folder = folders; folder != NULL && *folder != NULL; folder++) {
        tfr_free(*folder);
    }
    tfr_free(folders);
}

bool tfr_registry_allows(const struct tfr_registry *registry, const struct tfr_kernel *kernel,
                         const char *plugin, char *reason, size_t reason_size) {
    if (kernel->isa & ~registry->isa) {
        snprintf(reason, reason_size, "needs %s", tfr_isa_name(kernel->isa & ~registry->isa));
        return false;
    }
    for (size_t i = 0; i < registry->n_rules && strcmp(plugin, "ref") != 0; i++) {
        if (registry->rules[i].ban && matches(&registry->rules[i], kernel, plugin)) {
            snprintf(reason, reason_size, "banned by the user's list (-%s)", registry->rules[i].word);
            return false;
        }
    }
    if (reason_size > 0) {
        reason[0] = '\0';
    }
    return true;
}

int tfr_registry_preference(const struct tfr_registry *registry, const struct tfr_kernel *kernel,
                            const char *plugin) {
    for (size_t i = 0; i < registry->n_rules; i++) {
        if (!registry->rules[i].ban && matches(&registry->rules[i], kernel, plugin)) {
            return (int)(registry->n_rules - i);
        }
    }
    return 0;
}

/* registry_list.c - what the user's list ("-onednn,gemv") says about a kernel.
 */
#include "plan/registry_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "common/plugins_static.h"
#include "topo/topo.h"

enum tfr_status tfr_registry_read_list(struct tfr_registry *registry, const char *list) {
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
        struct tfr_list_rule rule = {.word = word + (word[0] == '-'), .ban = word[0] == '-'};
        if (rule.word[0] == '\0') {
            return tfr_raise(TFR_CONFIG, "list of plugins \"%s\": '-' without a name", list);
        }
        if (rule.ban && strcmp(rule.word, "ref") == 0) {
            return tfr_raise(TFR_CONFIG, "list of plugins \"%s\": ref cannot be banned: it is the fallback of every op", list);
        }
        registry->rules[registry->n_rules++] = rule;
    }
    return TFR_OK;
}

static bool matches(const struct tfr_list_rule *rule, const struct tfr_kernel *kernel, const char *plugin) {
    return strcmp(rule->word, plugin) == 0 || strncmp(kernel->name, rule->word, strlen(rule->word)) == 0;
}

/* Kernels that the word names: of ref, which no ban reaches, and of all others. */
struct named {
    bool of_ref, of_others;
};

static struct named named_by(const struct tfr_registry *registry, const struct tfr_list_rule *rule) {
    struct named named = {false, false};
    for (size_t i = 0; i < registry->n_entries; i++) {
        const struct tfr_plugin *plugin = registry->entries[i].plugin;
        for (int k = 0; k < plugin->n_kernels; k++) {
            if (matches(rule, plugin->kernels[k], plugin->name)) {
                *(strcmp(plugin->name, "ref") == 0 ? &named.of_ref : &named.of_others) = true;
            }
        }
    }
    return named;
}

/* Names of all plugins and kernels, for the nearest one. NULL without memory. */
static const char **collect_names(const struct tfr_registry *registry, size_t *n) {
    size_t count = 0;
    for (size_t i = 0; i < registry->n_entries; i++) {
        count += 1 + (size_t)registry->entries[i].plugin->n_kernels;
    }
    const char **names = tfr_alloc(count, sizeof(*names));
    *n = 0;
    for (size_t i = 0; i < registry->n_entries && names != NULL; i++) {
        const struct tfr_plugin *plugin = registry->entries[i].plugin;
        names[(*n)++] = plugin->name;
        for (int k = 0; k < plugin->n_kernels; k++) {
            names[(*n)++] = plugin->kernels[k]->name;
        }
    }
    return names;
}

static enum tfr_status refuse_word(const struct tfr_registry *registry, const char *word) {
    size_t n;
    const char **names = collect_names(registry, &n);
    if (names == NULL) {
        return TFR_RESOURCE;
    }
    const char *nearest = tfr_nearest_name(word, names, n);
    enum tfr_status status =
        nearest != NULL
            ? tfr_raise(TFR_CONFIG, "runtime.kernels (--kernels): nothing is called \"%s\" here; did you mean \"%s\"?", word,
                        nearest)
            : tfr_raise(TFR_CONFIG, "runtime.kernels (--kernels): nothing is called \"%s\" here; `tfrun plugins` lists the names",
                        word);
    tfr_free(names);
    return status;
}

/* A bundled plugin may be left out of this build, or decline this machine: its name is known all the same. */
static bool is_bundled(const char *word) {
    for (const char *const *name = tfr_bundled_plugins; *name != NULL; name++) {
        if (strcmp(*name, word) == 0) {
            return true;
        }
    }
    return false;
}

enum tfr_status tfr_registry_check_list(const struct tfr_registry *registry) {
    for (size_t i = 0; i < registry->n_rules; i++) {
        const char *word = registry->rules[i].word;
        const struct named named = named_by(registry, &registry->rules[i]);
        if (registry->rules[i].ban && named.of_ref && !named.of_others) {
            return tfr_raise(TFR_CONFIG,
                             "runtime.kernels (--kernels): -%s names kernels of ref alone, and ref cannot be banned: it is "
                             "the fallback of every op; leave -%s out",
                             word, word);
        }
        if (named.of_ref || named.of_others) {
            continue;
        }
        if (!is_bundled(word)) {
            return refuse_word(registry, word);
        }
        tfr_log(TFR_LOG_DEBUG, "plugin", "list of plugins: %s is not in this build, or declined this machine", word);
    }
    return TFR_OK;
}

bool tfr_registry_allows(const struct tfr_registry *registry, const struct tfr_kernel *kernel, const char *plugin, char *reason,
                         size_t reason_size) {
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

int tfr_registry_preference(const struct tfr_registry *registry, const struct tfr_kernel *kernel, const char *plugin) {
    for (size_t i = 0; i < registry->n_rules; i++) {
        if (!registry->rules[i].ban && matches(&registry->rules[i], kernel, plugin)) {
            return (int)(registry->n_rules - i);
        }
    }
    return 0;
}

/* conditions.c - what an engine knows of the conditions under which its kernels are measured. */
#include <stdio.h>
#include <string.h>

#include <tfrun/tfrun.h>

#include "config/choices.h"
#include "profile/profile_run.h"

/* "gemv 0.1.0 (compiler 12.2.0); ...": a vendor's library of another version is another plugin. */
static void list_plugins(const struct tfr_registry *registry, char *text, size_t size) {
    size_t n;
    const struct tfr_registry_entry *entries = tfr_registry_plugins(registry, &n);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const struct tfr_plugin *plugin = entries[i].plugin;
        const size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s %s (%s)", i > 0 ? "; " : "", plugin->name, plugin->version, plugin->build);
    }
}

void tfr_conditions_of(const struct tfr_registry *registry, const struct tfr_machine *machine, const struct tfr_config *config,
                       int n_threads, struct tfr_conditions *conditions) {
    const struct tfr_options *options = &config->options;
    struct tfr_run_conditions run = {.machine = machine,
                                     .n_threads = n_threads,
                                     .bind = tfr_choice_name("runtime.bind", options->runtime_bind),
                                     .hugepages = tfr_choice_name("runtime.hugepages", options->runtime_hugepages),
                                     .version = tfr_version()};
    list_plugins(registry, run.plugins, sizeof run.plugins);
    tfr_conditions_now(conditions, &run);
}

void tfr_engine_conditions(const struct tfr_engine *engine, struct tfr_conditions *conditions) {
    tfr_conditions_of(engine->registry, engine->machine, engine->config, engine->threads.n_threads, conditions);
}

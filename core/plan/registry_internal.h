/* registry_internal.h - the book itself, for the files that keep it. */
#ifndef TFR_PLAN_REGISTRY_INTERNAL_H
#define TFR_PLAN_REGISTRY_INTERNAL_H

#include "plan/registry.h"

struct tfr_list_rule {
    const char *word; /* plugin name or prefix of a kernel name */
    bool ban;
};

struct tfr_registry {
    struct tfr_registry_entry *entries;
    size_t n_entries;
    uint32_t isa;
    char *list; /* copy of the user's list, cut into words */
    struct tfr_list_rule *rules;
    size_t n_rules;
};

/* registry_list.c: cuts the list into rules; then, when all plugins are there, refuses words that name nothing. */
enum tfr_status tfr_registry_read_list(struct tfr_registry *registry, const char *list);
enum tfr_status tfr_registry_check_list(const struct tfr_registry *registry);

#endif

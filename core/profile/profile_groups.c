/* profile_groups.c - nodes of a profile added up by name, module or kernel. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "profile/profile_run.h"

const char *tfr_phase_name(enum tfr_phase phase) {
    static const char *const names[] = {[TFR_PHASE_PREFILL] = "prefill", [TFR_PHASE_DECODE] = "decode"};
    return names[phase];
}

void tfr_node_group(const char *name, char *group, size_t size) {
    const bool is_block = strncmp(name, "h.", 2) == 0;
    const size_t digits = is_block ? strspn(name + 2, "0123456789") : 0;
    if (digits > 0) {
        snprintf(group, size, "h.*%s", name + 2 + digits);
    } else {
        snprintf(group, size, "%s", name);
    }
}

void tfr_node_module(const char *name, char *module, size_t size) {
    tfr_node_group(name, module, size);
    if (strncmp(module, "h.*.", 4) == 0) {
        module[4 + strcspn(module + 4, ".+")] = '\0';
    }
}

static void name_of(const struct tfr_profile_node *node, enum tfr_grouping grouping, char *name, size_t size) {
    if (grouping == TFR_BY_KERNEL) {
        snprintf(name, size, "%s", node->facts.kernel);
    } else if (grouping == TFR_BY_MODULE) {
        tfr_node_module(node->facts.name, name, size);
    } else {
        tfr_node_group(node->facts.name, name, size);
    }
}

static void add_node(struct tfr_profile_group *group, const struct tfr_profile_node *node) {
    group->n++;
    group->ns += node->ns;
    group->predicted_ns += node->predicted_ns;
    group->roof_ns += node->roof_ns;
    group->flops += node->facts.flops;
    group->bytes += node->facts.near_bytes + node->facts.far_bytes;
    group->memory_bound_ns += node->bound == TFR_BOUND_MEMORY ? node->roof_ns : 0;
    group->is_predicted = group->is_predicted && node->base == TFR_BASED_ON_SHAPE;
}

static int by_gap(const void *a, const void *b) {
    const struct tfr_profile_group *x = a, *y = b;
    const double gap_x = fabs(x->ns - x->predicted_ns), gap_y = fabs(y->ns - y->predicted_ns);
    return gap_x != gap_y ? (gap_x < gap_y) - (gap_x > gap_y) : strcmp(x->name, y->name);
}

enum tfr_status tfr_profile_groups(const struct tfr_profile *profile, enum tfr_phase phase, enum tfr_grouping grouping,
                                   struct tfr_profile_group **groups, size_t *n) {
    *n = 0;
    *groups = tfr_alloc(profile->n_nodes + 1, sizeof **groups);
    if (*groups == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < profile->n_nodes; i++) {
        const struct tfr_profile_node *node = &profile->nodes[i];
        char name[sizeof(*groups)->name];
        size_t g = 0;
        if (node->phase != (int32_t)phase || node->facts.is_message) {
            continue;
        }
        name_of(node, grouping, name, sizeof name);
        while (g < *n && strcmp((*groups)[g].name, name) != 0) {
            g++;
        }
        struct tfr_profile_group *group = &(*groups)[g];
        if (g == *n) {
            (*n)++;
            *group = (struct tfr_profile_group){.is_predicted = true};
            memcpy(group->name, name, sizeof name);
        }
        add_node(group, node);
    }
    qsort(*groups, *n, sizeof **groups, by_gap);
    return TFR_OK;
}

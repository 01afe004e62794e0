/* cgroup.c - control group limits, versions 1 and 2.
 *
 * /proc/self/cgroup names the group in each hierarchy, /proc/self/mountinfo where (and from which group on) a
 * hierarchy is mounted. From the process's folder upwards every folder is asked. A group that lies outside of
 * what is mounted (a container with the host's names) is taken as the mounted top.
 */
#include "topo/cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "topo/topo_internal.h"

enum { PROC_TEXT = 256 * 1024 };

enum controller { CPU, CPUSET, MEMORY, N_CONTROLLERS };
static const char *const controller_names[N_CONTROLLERS] = {"cpu", "cpuset", "memory"};

struct chain {
    const char *root;
    char mount[PATH_MAX];
    char path[PATH_MAX]; /* below the mount point, "" or "/a/b" */
    bool v2;
};

/* True if `word` is one of the names in a comma-separated list. */
static bool list_has(const char *list, const char *word) {
    const size_t length = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

/* The group of the process from the lines "number:controllers:path"; version 2 has the number 0 and no
 * controllers. */
static bool find_group(char *text, const char *controller, char *path, size_t size) {
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *names = strchr(line, ':');
        char *group = names != NULL ? strchr(names + 1, ':') : NULL;
        if (group == NULL) {
            continue;
        }
        *names++ = '\0';
        *group++ = '\0';
        const bool match = controller == NULL ? *names == '\0' : list_has(names, controller);
        if (match) {
            return (size_t)snprintf(path, size, "%s", group) < size;
        }
    }
    return false;
}

/* mountinfo writes blanks and backslashes of a path as \ooo. */
static void unescape(char *text) {
    char *to = text;
    for (const char *at = text; *at != '\0'; at++) {
        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] != '\0' && at[3] != '\0') {
            *to++ = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
            at += 3;
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
}

/* "id parent device root mount-point options [optional]... - type source super-options". */
static bool parse_mount(char *line, const char *controller, char **mounted_root, char **mount_point) {
    char *fields[6] = {0}, *rest = line;
    char *tail = strstr(line, " - ");
    if (tail == NULL) {
        return false;
    }
    *tail = '\0';
    for (size_t i = 0; i < 6; i++) {
        fields[i] = strsep(&rest, " ");
        if (fields[i] == NULL) {
            return false;
        }
    }
    char *after = tail + 3;
    const char *type = strsep(&after, " ");
    const char *source = strsep(&after, " ");
    if (source == NULL || after == NULL || strcmp(type, controller == NULL ? "cgroup2" : "cgroup") != 0 ||
        (controller != NULL && !list_has(after, controller))) {
        return false;
    }
    *mounted_root = fields[3];
    *mount_point = fields[4];
    unescape(*mounted_root);
    unescape(*mount_point);
    return true;
}

/* Path of `group` below the mounted one; the mounted top where it lies elsewhere. */
static const char *below(const char *group, const char *mounted_root) {
    const size_t length = strcmp(mounted_root, "/") == 0 ? 0 : strlen(mounted_root);
    const bool inside = strncmp(group, mounted_root, length) == 0 && (group[length] == '/' || group[length] == '\0');
    if (!inside || strstr(group, "/..") != NULL || strcmp(group + length, "/") == 0) {
        return "";
    }
    return group + length;
}

/* Where the group of this process lies; NULL controller is version 2. */
static bool find_chain(struct chain *chain, const char *root, const char *controller, char *text) {
    char group[PATH_MAX];
    *chain = (struct chain){.root = root, .v2 = controller == NULL};
    if (!tfr_topo_slurp(text, PROC_TEXT, root, "/proc/self/cgroup") || !find_group(text, controller, group, sizeof group) ||
        !tfr_topo_slurp(text, PROC_TEXT, root, "/proc/self/mountinfo")) {
        return false;
    }
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *mounted_root, *mount_point;
        if (parse_mount(line, controller, &mounted_root, &mount_point)) {
            snprintf(chain->mount, sizeof chain->mount, "%s", mount_point);
            snprintf(chain->path, sizeof chain->path, "%s", below(group, mounted_root));
            return true;
        }
    }
    return false;
}

/* Cuts the last folder off; false at the top. */
static bool go_up(struct chain *chain) {
    char *cut = strrchr(chain->path, '/');
    if (cut == NULL) {
        return false;
    }
    *cut = '\0';
    return true;
}

static bool read_text(const struct chain *chain, const char *file, char *text, size_t size) {
    return tfr_topo_slurp(text, size, chain->root, "%s%s/%s", chain->mount, chain->path, file);
}

static bool read_number(const struct chain *chain, const char *file, int64_t *number) {
    return tfr_topo_number(number, chain->root, "%s%s/%s", chain->mount, chain->path, file);
}

static void read_quota(const struct chain *chain, struct tfr_cgroup_limits *limits) {
    char text[64];
    int64_t quota = 0, period = 0;
    if (chain->v2) {
        long long a, b; /* "max 100000" does not scan */
        if (!read_text(chain, "cpu.max", text, sizeof text) || sscanf(text, "%lld %lld", &a, &b) != 2) {
            return;
        }
        quota = a;
        period = b;
    } else if (!read_number(chain, "cpu.cfs_quota_us", &quota) || !read_number(chain, "cpu.cfs_period_us", &period)) {
        return;
    }
    if (quota > 0 && period > 0) {
        const double cores = (double)quota / (double)period;
        limits->quota_cores = limits->quota_cores > 0 && limits->quota_cores < cores ? limits->quota_cores : cores;
    }
}

/* A group's effective set already lies inside its ancestors'; the first folder that tells is enough. */
static void read_cpus(const struct chain *chain, struct tfr_cgroup_limits *limits) {
    static const char *const v1[] = {"cpuset.effective_cpus", "cpuset.cpus"};
    static const char *const v2[] = {"cpuset.cpus.effective", "cpuset.cpus"};
    for (size_t i = 0; i < 2 && tfr_cpus_count(&limits->cpus) == 0; i++) {
        char list[8192];
        struct tfr_cpus cpus = {0};
        if (read_text(chain, chain->v2 ? v2[i] : v1[i], list, sizeof list) && tfr_cpus_parse(&cpus, list)) {
            limits->cpus = cpus;
        }
    }
}

/* Bytes of file cache that nobody has touched for a while: "inactive_file", in version 1 with descendants
 * "total_". */
static int64_t droppable_bytes(const struct chain *chain) {
    char text[8192];
    const char *name = chain->v2 ? "\ninactive_file " : "\ntotal_inactive_file ";
    text[0] = '\n';
    if (!read_text(chain, "memory.stat", text + 1, sizeof text - 1)) {
        return 0;
    }
    const char *at = strstr(text, name);
    return at != NULL ? strtoll(at + strlen(name), NULL, 10) : 0;
}

static void read_memory(const struct chain *chain, struct tfr_cgroup_limits *limits) {
    /* Version 1 writes "no limit" as a number near the largest. */
    const int64_t unlimited = (int64_t)1 << 60;
    int64_t limit = 0, used = 0;
    if (!read_number(chain, chain->v2 ? "memory.max" : "memory.limit_in_bytes", &limit) || limit <= 0 || limit >= unlimited) {
        return;
    }
    if (limits->memory_bytes == 0 || limit < limits->memory_bytes) {
        limits->memory_bytes = limit;
    }
    if (!read_number(chain, chain->v2 ? "memory.current" : "memory.usage_in_bytes", &used)) {
        used = 0;
    }
    const int64_t busy = used - droppable_bytes(chain);
    const int64_t left = limit - (busy > 0 ? busy : 0);
    if (limits->memory_left_bytes == 0 || left < limits->memory_left_bytes) {
        limits->memory_left_bytes = left > 1 ? left : 1; /* 0 would read as "no limit" */
    }
}

static void read_folder(const struct chain *chain, enum controller controller, struct tfr_cgroup_limits *limits) {
    switch (controller) {
    case CPU:
        read_quota(chain, limits);
        break;
    case CPUSET:
        read_cpus(chain, limits);
        break;
    default:
        read_memory(chain, limits);
    }
}

enum tfr_status tfr_cgroup_read(const char *root, struct tfr_cgroup_limits *limits) {
    char *text = tfr_alloc(PROC_TEXT, 1);
    struct chain *chain = tfr_alloc(1, sizeof *chain);
    *limits = (struct tfr_cgroup_limits){0};
    for (int controller = 0; controller < N_CONTROLLERS && text != NULL && chain != NULL; controller++) {
        /* A controller lives in one hierarchy; asking both covers mixed systems. */
        for (int v2 = 0; v2 < 2; v2++) {
            if (find_chain(chain, root, v2 ? NULL : controller_names[controller], text)) {
                do {
                    read_folder(chain, (enum controller)controller, limits);
                } while (go_up(chain));
            }
        }
    }
    const enum tfr_status status = text != NULL && chain != NULL ? TFR_OK : TFR_RESOURCE;
    tfr_free(chain);
    tfr_free(text);
    return status;
}

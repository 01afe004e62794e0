/* cpus.c - sets of CPU numbers, and readers of the one-line files of /proc and /sys. */
#include "topo/topo_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int tfr_cpus_count(const struct tfr_cpus *cpus) {
    int n = 0;
    for (size_t i = 0; i < TFR_CPUS_MAX / 64; i++) {
        n += __builtin_popcountll(cpus->word[i]);
    }
    return n;
}

bool tfr_cpus_equal(const struct tfr_cpus *a, const struct tfr_cpus *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

struct tfr_cpus tfr_cpus_and(const struct tfr_cpus *a, const struct tfr_cpus *b) {
    struct tfr_cpus both;
    for (size_t i = 0; i < TFR_CPUS_MAX / 64; i++) {
        both.word[i] = a->word[i] & b->word[i];
    }
    return both;
}

bool tfr_cpus_parse(struct tfr_cpus *cpus, const char *list) {
    const char *at = list;
    while (*at != '\0' && *at != '\n') {
        char *end;
        const long first = strtol(at, &end, 10);
        if (end == at || first < 0) {
            return false;
        }
        long last = first;
        if (*end == '-') {
            at = end + 1;
            last = strtol(at, &end, 10);
            if (end == at || last < first) {
                return false;
            }
        }
        for (long cpu = first; cpu <= last && cpu < TFR_CPUS_MAX; cpu++) {
            tfr_cpus_add(cpus, (int)cpu);
        }
        at = *end == ',' ? end + 1 : end;
        if (*end != ',' && *end != '\0' && *end != '\n') {
            return false;
        }
    }
    return true;
}

/* As much as there is room for, with a NUL behind it. Without memory of its own: a machine is not another one when that is short.
 */
static bool read_beginning(int file, char *text, size_t size) {
    size_t used = 0;
    ssize_t n = 1;
    while (n != 0 && used < size - 1) {
        n = read(file, text + used, size - 1 - used);
        if (n < 0 && errno != EINTR) {
            used = 0;
            break;
        }
        used += n > 0 ? (size_t)n : 0;
    }
    text[used] = '\0';
    return n >= 0;
}

static bool slurp(char *text, size_t size, const char *root, const char *format, va_list args) {
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s", root);
    if (n < 0 || (size_t)n >= sizeof path) {
        return false;
    }
    const int m = vsnprintf(path + n, sizeof path - (size_t)n, format, args);
    if (m < 0 || (size_t)m >= sizeof path - (size_t)n) {
        return false;
    }
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return false;
    }
    const bool fine = read_beginning(file, text, size);
    close(file);
    return fine;
}

bool tfr_topo_slurp(char *text, size_t size, const char *root, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const bool fine = slurp(text, size, root, format, args);
    va_end(args);
    return fine;
}

bool tfr_topo_number(int64_t *number, const char *root, const char *format, ...) {
    char text[64], *end;
    va_list args;
    va_start(args, format);
    const bool fine = slurp(text, sizeof text, root, format, args);
    va_end(args);
    if (!fine) {
        return false;
    }
    const long long value = strtoll(text, &end, 10);
    if (end == text) {
        return false;
    }
    *number = value;
    return true;
}

void tfr_topo_online(const char *root, struct tfr_cpus *cpus) {
    char list[4096];
    *cpus = (struct tfr_cpus){0};
    if (tfr_topo_slurp(list, sizeof list, root, "/sys/devices/system/cpu/online") && tfr_cpus_parse(cpus, list) &&
        tfr_cpus_count(cpus) > 0) {
        return;
    }
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    *cpus = (struct tfr_cpus){0};
    for (long cpu = 0; cpu < (n > 0 ? n : 1); cpu++) {
        tfr_cpus_add(cpus, (int)cpu);
    }
}

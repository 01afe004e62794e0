/* crowd.c - reads /proc/self/task/N/schedstat: nanoseconds on a core, nanoseconds of waiting for one. */
#include "team/crowd.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include "topo/topo_internal.h"

/* A look is long enough to see several turns of the scheduler (3 to 4 ms each). Two lossy looks in a row are
 * no accident, ten seconds of them are worth a warning; a pinned team stays loose until the cores were its own for two
 * seconds. A team that hardly wanted to run tells nothing. */
enum { LOOK_NS = 250000000, LEAST_NS = LOOK_NS / 4, LOSSY_PERCENT = 20, QUIET_PERCENT = 4 };
enum { LOSSY_LOOKS = 2, WARN_LOOKS = 40, QUIET_LOOKS = 8 };

int tfr_thread_id(void) {
#if defined(__linux__)
    return (int)syscall(SYS_gettid);
#else
    return -1;
#endif
}

static bool read_time(const char *root, int thread, uint64_t *ran, uint64_t *waited) {
    char text[128];
    unsigned long long on, off;
    if (!tfr_topo_slurp(text, sizeof text, root, "/proc/self/task/%d/schedstat", thread) ||
        sscanf(text, "%llu %llu", &on, &off) != 2) {
        return false;
    }
    *ran += on;
    *waited += off;
    return true;
}

/* Sums over the sampled threads; false where none can be read. A thread that has ended counts no more. */
static bool read_times(const struct tfr_crowd *crowd, const char *root, uint64_t *ran, uint64_t *waited) {
    bool any = false;
    *ran = *waited = 0;
    for (int i = 0; i < crowd->n_sampled; i++) {
        any = read_time(root, crowd->thread_id[i], ran, waited) || any;
    }
    return any;
}

void tfr_crowd_open(struct tfr_crowd *crowd, const char *root, uint64_t now_ns) {
    crowd->looked_ns = now_ns;
    crowd->is_on = read_times(crowd, root, &crowd->ran_ns, &crowd->waited_ns);
}

static enum tfr_crowd_advice judge(struct tfr_crowd *crowd, int percent) {
    crowd->n_lossy = percent >= LOSSY_PERCENT ? crowd->n_lossy + 1 : 0;
    crowd->n_quiet = percent <= QUIET_PERCENT ? crowd->n_quiet + 1 : 0;
    if (!crowd->is_loose && crowd->n_lossy >= LOSSY_LOOKS) {
        crowd->is_loose = true;
        return TFR_CROWD_LOOSEN;
    }
    if (crowd->n_lossy >= WARN_LOOKS && !crowd->has_warned) {
        crowd->has_warned = true;
        return TFR_CROWD_WARN;
    }
    if (crowd->is_loose && crowd->n_quiet >= QUIET_LOOKS) {
        crowd->is_loose = false;
        return TFR_CROWD_TIGHTEN;
    }
    return TFR_CROWD_STAY;
}

enum tfr_crowd_advice tfr_crowd_look(struct tfr_crowd *crowd, const char *root, uint64_t now_ns, int *percent) {
    uint64_t ran, waited;
    *percent = 0;
    if (!crowd->is_on || now_ns - crowd->looked_ns < LOOK_NS) {
        return TFR_CROWD_STAY;
    }
    crowd->looked_ns = now_ns;
    if (!read_times(crowd, root, &ran, &waited) || ran < crowd->ran_ns || waited < crowd->waited_ns) {
        crowd->is_on = false;
        return TFR_CROWD_STAY;
    }
    const uint64_t on = ran - crowd->ran_ns, off = waited - crowd->waited_ns;
    crowd->ran_ns = ran;
    crowd->waited_ns = waited;
    if (on + off < LEAST_NS) {
        return TFR_CROWD_STAY;
    }
    *percent = (int)(off * 100 / (on + off));
    return judge(crowd, *percent);
}

bool tfr_crowd_times(const char *root, uint64_t *ran_ns, uint64_t *waited_ns) {
    char path[PATH_MAX];
    bool any = false;
    snprintf(path, sizeof path, "%s/proc/self/task", root);
    DIR *threads = opendir(path);
    *ran_ns = *waited_ns = 0;
    for (const struct dirent *entry; threads != NULL && (entry = readdir(threads)) != NULL;) {
        const int thread = (int)strtol(entry->d_name, NULL, 10);
        any = (thread > 0 && read_time(root, thread, ran_ns, waited_ns)) || any;
    }
    if (threads != NULL) {
        closedir(threads);
    }
    return any;
}

/* counters.c - see counters.h. */
#include "profile/counters.h"

#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"

enum { MAX_THREADS = 1024, NO_EVENT = -1 };

struct tfr_counters {
    int error[TFR_COUNTER_COUNT]; /* errno of the first thread on which it could not be opened; NO_EVENT */
    int n_files;
    struct {
        int fd, counter;
    } file[MAX_THREADS * TFR_COUNTER_COUNT];
};

const char *tfr_counter_name(enum tfr_counter counter) {
    static const char *const names[] = {[TFR_COUNT_CYCLES] = "cycles",
                                        [TFR_COUNT_INSTRUCTIONS] = "instructions",
                                        [TFR_COUNT_MISSES] = "last_level_misses",
                                        [TFR_COUNT_FLOPS] = "flops"};
    return names[counter];
}

/* FLOPs have no name of their own among the kernel's events: the raw event of AMD's family 17h and later counts those of SSE and
 * AVX, a multiply-add as two. Others: none that counts alike for every type. */
static bool event_of(enum tfr_counter counter, bool is_amd, struct perf_event_attr *attr) {
    static const uint64_t configs[] = {[TFR_COUNT_CYCLES] = PERF_COUNT_HW_CPU_CYCLES,
                                       [TFR_COUNT_INSTRUCTIONS] = PERF_COUNT_HW_INSTRUCTIONS,
                                       [TFR_COUNT_MISSES] = PERF_COUNT_HW_CACHE_MISSES,
                                       [TFR_COUNT_FLOPS] = 0x0f03};
    const bool is_raw = counter == TFR_COUNT_FLOPS;
    *attr = (struct perf_event_attr){.size = sizeof *attr,
                                     .type = is_raw ? PERF_TYPE_RAW : PERF_TYPE_HARDWARE,
                                     .config = configs[counter],
                                     .exclude_kernel = 1,
                                     .exclude_hv = 1,
                                     .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING};
    return !is_raw || is_amd;
}

static bool runs_on_amd(void) {
    char *text;
    size_t size;
    if (tfr_file_read("/proc/cpuinfo", 1 << 24, &text, &size) != TFR_OK) {
        return false;
    }
    const bool is_amd = strstr(text, "AuthenticAMD") != NULL;
    tfr_free(text);
    return is_amd;
}

static void count_thread(struct tfr_counters *counters, pid_t thread, bool is_amd) {
    for (int c = 0; c < TFR_COUNTER_COUNT; c++) {
        struct perf_event_attr attr;
        if (counters->error[c] != 0) {
            continue;
        }
        if (!event_of((enum tfr_counter)c, is_amd, &attr)) {
            counters->error[c] = NO_EVENT;
            continue;
        }
        const bool has_room = counters->n_files < MAX_THREADS * TFR_COUNTER_COUNT;
        const int fd = has_room ? (int)syscall(SYS_perf_event_open, &attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC) : -1;
        if (fd >= 0) {
            counters->file[counters->n_files].fd = fd;
            counters->file[counters->n_files++].counter = c;
        } else if (!has_room || errno != ESRCH) { /* a thread that has ended counts nothing more */
            counters->error[c] = has_room ? errno : EMFILE;
        }
    }
}

/* What is not open for all threads would be a part of the truth: its files go. */
static void drop_partial(struct tfr_counters *counters) {
    int kept = 0;
    for (int i = 0; i < counters->n_files; i++) {
        if (counters->error[counters->file[i].counter] != 0) {
            close(counters->file[i].fd);
        } else {
            counters->file[kept++] = counters->file[i];
        }
    }
    counters->n_files = kept;
}

static void count_threads(struct tfr_counters *counters) {
    const bool is_amd = runs_on_amd();
    DIR *threads = opendir("/proc/self/task");
    if (threads == NULL) {
        const int error = errno;
        for (int c = 0; c < TFR_COUNTER_COUNT; c++) {
            counters->error[c] = error;
        }
        return;
    }
    errno = 0; /* which is all that tells the end from a failure */
    for (const struct dirent *entry; (entry = readdir(threads)) != NULL; errno = 0) {
        const pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
        if (thread > 0) {
            count_thread(counters, thread, is_amd);
        }
    }
    const int error = errno;
    closedir(threads);
    for (int c = 0; c < TFR_COUNTER_COUNT && error != 0; c++) {
        counters->error[c] = error;
    }
    drop_partial(counters);
}

static int paranoia(void) {
    char *text;
    size_t size;
    int level = -1;
    if (tfr_file_read("/proc/sys/kernel/perf_event_paranoid", 64, &text, &size) == TFR_OK) {
        level = (int)strtol(text, NULL, 10);
        tfr_free(text);
    }
    return level;
}

void tfr_counters_explain(int error, int paranoid, char *reason, size_t size) {
    switch (error) {
    case NO_EVENT:
        snprintf(reason, size, "this CPU has no event for it that counts alike for every type");
        break;
    case EACCES:
    case EPERM:
        snprintf(reason, size,
                 "not allowed (kernel.perf_event_paranoid is %d): `sysctl kernel.perf_event_paranoid=2` or the capability "
                 "CAP_PERFMON would; in a container its seccomp profile may stand in the way too",
                 paranoid);
        break;
    case ENOENT:
    case EOPNOTSUPP:
        snprintf(reason, size, "this CPU shows no hardware counters (%s): mostly a virtual machine without a virtual PMU",
                 strerror(error));
        break;
    case ENOSYS:
        snprintf(reason, size, "this kernel was built without perf events (CONFIG_PERF_EVENTS), or the sandbox hides them");
        break;
    default:
        snprintf(reason, size, "perf_event_open fails: %s", strerror(error));
    }
}

struct tfr_counters *tfr_counters_open(char *reason, size_t size) {
    struct tfr_counters *counters = tfr_alloc(1, sizeof *counters);
    if (counters == NULL) {
        snprintf(reason, size, "no memory");
        return NULL;
    }
    count_threads(counters);
    if (counters->n_files == 0) {
        tfr_counters_explain(counters->error[TFR_COUNT_CYCLES], paranoia(), reason, size);
        tfr_counters_close(counters);
        return NULL;
    }
    return counters;
}

void tfr_counters_close(struct tfr_counters *counters) {
    for (int i = 0; counters != NULL && i < counters->n_files; i++) {
        close(counters->file[i].fd);
    }
    tfr_free(counters);
}

void tfr_counters_read(const struct tfr_counters *counters, struct tfr_counts *counts) {
    *counts = (struct tfr_counts){0};
    for (int c = 0; c < TFR_COUNTER_COUNT; c++) {
        if (counters->error[c] != 0) {
            tfr_counters_explain(counters->error[c], paranoia(), counts->why_not[c], sizeof counts->why_not[c]);
        }
    }
    for (int i = 0; i < counters->n_files; i++) {
        struct {
            uint64_t value, enabled, running;
        } seen;
        const int c = counters->file[i].counter;
        const ssize_t n = read(counters->file[i].fd, &seen, sizeof seen);
        if (n != sizeof seen) { /* the sum of the others would be a part of the truth */
            snprintf(counts->why_not[c], sizeof counts->why_not[c], "it was opened and can't be read: %s",
                     strerror(n < 0 ? errno : EIO));
        } else if (seen.running > 0) {
            counts->value[c] += (double)seen.value * (double)seen.enabled / (double)seen.running;
            counts->has[c] = true;
        }
    }
    for (int c = 0; c < TFR_COUNTER_COUNT; c++) {
        counts->has[c] = counts->has[c] && counts->why_not[c][0] == '\0';
    }
}

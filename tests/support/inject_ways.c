/* inject_ways.c - the ways by which requests are made, each with its first and its last request: a request in a loop is made a
 * thousand times, and refusing the first and the last of these shows what the others would. Allocates nothing. */
#include "inject_ways.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WAYS = 1 << 16 };

static struct way {
    uint64_t key; /* 0: free */
    long first, last;
} ways[WAYS];
static size_t n_ways;
static atomic_flag noting = ATOMIC_FLAG_INIT;

uint64_t inject_way_of(uint64_t start, const uintptr_t *calls, size_t n) {
    uint64_t way = UINT64_C(0xCBF29CE484222325) ^ start;
    for (size_t i = 0; i < n; i++) {
        way = (way ^ calls[i]) * UINT64_C(0x9E3779B97F4A7C15);
        way ^= way >> 29;
    }
    return way != 0 ? way : 1;
}

void inject_note_way(uint64_t way, long number) {
    while (atomic_flag_test_and_set_explicit(&noting, memory_order_acquire)) {
    }
    size_t i = way % WAYS;
    while (ways[i].key != 0 && ways[i].key != way) {
        i = (i + 1) % WAYS;
    }
    if (ways[i].key == way) {
        ways[i].last = number;
    } else if (n_ways < WAYS / 2) {
        ways[i] = (struct way){way, number, number};
        n_ways++;
    } else {
        _exit(98); /* a table that is not whole would pass for one */
    }
    atomic_flag_clear_explicit(&noting, memory_order_release);
}

/* By system calls alone: what else writes has been counted, or is counted still. */
int inject_tell_ways(void) {
    const char *path = getenv("TFR_INJECT_WAYS");
    if (path == NULL) {
        return 0;
    }
    char text[64];
    const int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int result = file < 0 ? -1 : 0;
    for (size_t i = 0; i < WAYS && result == 0; i++) {
        if (ways[i].key != 0) {
            const int size = snprintf(text, sizeof text, "%ld %ld\n", ways[i].first, ways[i].last);
            result = syscall(SYS_write, file, text, (size_t)size) == size ? 0 : -1;
        }
    }
    if (file >= 0) {
        syscall(SYS_close, file);
    }
    return result;
}

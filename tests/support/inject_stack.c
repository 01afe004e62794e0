/* inject_stack.c - the way to a system call, read from the stack of a stopped program: the addresses in tfrun's code that stand
 * there behind a call instruction. Frames that were left may have one of these too, so one way can pass for two, which costs a run
 * more; two pass for one only where all that is on the stack agrees. */
#include "inject_stack.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "inject_ways.h"

enum { PAGES = 16, PAGE = 4096, MOST_CALLS = 16, MOST_RANGES = 64, LONGEST_CALL = 7 };

struct ranges {
    struct {
        uintptr_t begin, end;
    } list[MOST_RANGES];
    size_t n;
};

/* Where the code of tfrun, its library, its plugins and its tests lies. */
static struct ranges code_of(pid_t thread) {
    struct ranges found = {.n = 0};
    char name[64], line[4096 + 128];
    snprintf(name, sizeof name, "/proc/%d/maps", (int)thread);
    FILE *maps = fopen(name, "r");
    while (maps != NULL && found.n < MOST_RANGES && fgets(line, sizeof line, maps) != NULL) {
        unsigned long begin, end;
        char rights[5], *file = strrchr(line, '/');
        const bool is_code = sscanf(line, "%lx-%lx %4s", &begin, &end, rights) == 3 && rights[2] == 'x';
        if (is_code && file != NULL && (strstr(file, "tfr") != NULL || strstr(file, "inject_engine") != NULL)) {
            found.list[found.n].begin = begin;
            found.list[found.n++].end = end;
        }
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return found;
}

static bool is_in(const struct ranges *code, uintptr_t address) {
    size_t i = 0;
    while (i < code->n && (address < code->list[i].begin + LONGEST_CALL || address >= code->list[i].end)) {
        i++;
    }
    return i < code->n;
}

/* A call ends at `address`: e8 and four bytes, or ff /2 and up to five. */
static bool is_behind_call(pid_t thread, uintptr_t address) {
    unsigned char bytes[LONGEST_CALL] = {0};
    const struct iovec here = {bytes, sizeof bytes}, there = {(void *)(address - sizeof bytes), sizeof bytes};
    if (process_vm_readv(thread, &here, 1, &there, 1, 0) != (ssize_t)sizeof bytes) {
        return false;
    }
    bool is_call = bytes[LONGEST_CALL - 5] == 0xE8;
    for (int i = 0; i + 1 < LONGEST_CALL; i++) {
        is_call = is_call || (bytes[i] == 0xFF && (bytes[i + 1] >> 3 & 7) == 2);
    }
    return is_call;
}

static size_t read_stack(pid_t thread, uintptr_t stack, uintptr_t *words) {
    struct iovec here = {words, (size_t)PAGES * PAGE}, there[PAGES];
    for (size_t i = 0; i < PAGES; i++) {
        const uintptr_t begin = i == 0 ? stack : (stack / PAGE + i) * PAGE;
        there[i] = (struct iovec){(void *)begin, i == 0 ? PAGE - stack % PAGE : PAGE};
    }
    const ssize_t size = process_vm_readv(thread, &here, 1, there, PAGES, 0);
    return size > 0 ? (size_t)size / sizeof *words : 0;
}

uint64_t inject_way_of_stack(pid_t thread, uint64_t number, uintptr_t stack) {
    static uintptr_t words[PAGES * PAGE / sizeof(uintptr_t)];
    const struct ranges code = code_of(thread);
    const size_t n = read_stack(thread, stack, words);
    uintptr_t calls[MOST_CALLS];
    size_t n_calls = 0;
    for (size_t i = 0; i < n && n_calls < MOST_CALLS; i++) {
        if (is_in(&code, words[i]) && is_behind_call(thread, words[i])) {
            calls[n_calls++] = words[i];
        }
    }
    return inject_way_of(number, calls, n_calls);
}

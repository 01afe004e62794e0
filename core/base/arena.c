/* arena.c - small objects from the C heap and big blocks from anonymous mappings.
 *
 * The only file of the library that calls malloc and friends. Blocks are mapped with 2 MiB to spare and
 * trimmed, because mmap promises page alignment only and a huge page needs 2 MiB.
 */
#include "base/arena.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"

static const size_t huge_page_bytes = (size_t)2 << 20;
static _Atomic uint64_t fail_countdown;

/* True for the one allocation that the test asked to fail. */
static bool must_fail(void) {
    uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    while (left != 0) {
        if (atomic_compare_exchange_weak_explicit(&fail_countdown, &left, left - 1, memory_order_relaxed, memory_order_relaxed)) {
            return left == 1;
        }
    }
    return false;
}

static void raise_no_memory(size_t n, size_t size) {
    tfr_raise(TFR_RESOURCE, "no memory for %zu x %zu bytes", n, size);
}

static size_t mapped_bytes(size_t size) {
    return tfr_align_up(size, (size_t)sysconf(_SC_PAGESIZE));
}

/* Maps `length` bytes at a multiple of 2 MiB; NULL when the system refuses. */
static void *map_aligned(size_t length) {
    size_t wide = length + huge_page_bytes;
    if (wide < length) {
        return NULL;
    }
    uint8_t *start = mmap(NULL, wide, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    size_t skip = tfr_align_up((uintptr_t)start, huge_page_bytes) - (uintptr_t)start;
    if (skip > 0) {
        munmap(start, skip);
    }
    if (wide - skip > length) {
        munmap(start + skip + length, wide - skip - length);
    }
    return start + skip;
}

void *tfr_alloc(size_t n, size_t size) {
    size_t bytes;
    if (!tfr_size_mul(n, size, &bytes) || must_fail()) {
        raise_no_memory(n, size);
        return NULL;
    }
    void *memory = calloc(1, bytes > 0 ? bytes : 1);
    if (memory == NULL) {
        raise_no_memory(n, size);
    }
    return memory;
}

void *tfr_realloc(void *old, size_t n, size_t size) {
    size_t bytes;
    if (!tfr_size_mul(n, size, &bytes) || must_fail()) {
        raise_no_memory(n, size);
        return NULL;
    }
    void *memory = realloc(old, bytes > 0 ? bytes : 1);
    if (memory == NULL) {
        raise_no_memory(n, size);
    }
    return memory;
}

void tfr_free(void *memory) {
    free(memory);
}

char *tfr_strdup(const char *text) {
    return tfr_strndup(text, strlen(text));
}

char *tfr_strndup(const char *text, size_t n) {
    size_t size = strnlen(text, n);
    char *copy = tfr_alloc(size + 1, 1);
    if (copy != NULL) {
        memcpy(copy, text, size);
    }
    return copy;
}

char *tfr_format(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0) {
        tfr_raise(TFR_RUNTIME, "text cannot be formatted: %s", strerror(errno));
        return NULL;
    }
    char *text = tfr_alloc((size_t)size + 1, 1);
    if (text != NULL) {
        va_start(args, format);
        vsnprintf(text, (size_t)size + 1, format, args);
        va_end(args);
    }
    return text;
}

void tfr_alloc_fail_after(uint64_t n) {
    atomic_store_explicit(&fail_countdown, n, memory_order_relaxed);
}

enum tfr_status tfr_block_open(struct tfr_block *block, size_t size, enum tfr_hugepages mode) {
    *block = (struct tfr_block){.size = size};
    if (size == 0) {
        return TFR_OK;
    }
    size_t length = mapped_bytes(size);
    void *data = length < size || must_fail() ? NULL : map_aligned(length);
    if (data == NULL) {
        block->size = 0;
        return tfr_raise(TFR_RESOURCE, "no memory for a block of %zu bytes", size);
    }
    block->data = data;
    if (mode == TFR_HUGEPAGES_TRY && size >= huge_page_bytes) {
        block->huge = madvise(data, length, MADV_HUGEPAGE) == 0;
    }
    return TFR_OK;
}

void tfr_block_close(struct tfr_block *block) {
    if (block->data != NULL) {
        munmap(block->data, mapped_bytes(block->size));
    }
    *block = (struct tfr_block){0};
}

enum tfr_status tfr_block_reserve(struct tfr_block *block, size_t size, enum tfr_hugepages mode) {
    if (size <= block->size) {
        return TFR_OK;
    }
    tfr_block_close(block);
    return tfr_block_open(block, size, mode);
}

void *tfr_bump_take(struct tfr_bump *bump, size_t size, size_t align) {
    uintptr_t next = (uintptr_t)bump->base + bump->used;
    size_t padding = tfr_align_up(next, align) - next;
    size_t left = bump->size - bump->used;
    if (padding > left || size > left - padding) {
        return NULL;
    }
    bump->used += padding + size;
    return bump->base + (bump->used - size);
}

size_t tfr_align_up(size_t value, size_t align) {
    return (value + align - 1) / align * align;
}

bool tfr_size_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

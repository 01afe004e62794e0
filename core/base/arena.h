/* arena.h - all memory of the library comes from here.
 *
 * Two kinds: small objects (tfr_alloc, zeroed, counted against the fault-injection hook) and big
 * blocks (struct tfr_block: anonymous mapping, 2 MiB aligned, madvise(MADV_HUGEPAGE) when asked;
 * pages are untouched until first use, so the team's first touch decides where they live).
 * A failure raises TFR_RESOURCE with the size asked for. Thread rule: any thread.
 */
#ifndef TFR_BASE_ARENA_H
#define TFR_BASE_ARENA_H

#include <tfrun/types.h>

/* Zeroed memory for n * size bytes; NULL after raising on overflow or no memory. Free with tfr_free. */
void *tfr_alloc(size_t n, size_t size);
/* Grows like realloc; new bytes are NOT zeroed; on failure the old block stays valid, NULL returned. */
void *tfr_realloc(void *old, size_t n, size_t size);
void tfr_free(void *memory);
/* Copies of strings; NULL after raising. */
char *tfr_strdup(const char *text);
char *tfr_strndup(const char *text, size_t n);
char *tfr_format(const char *format, ...) TFR_PRINTF(1, 2);

/* Tests only: the n-th allocation from now fails (0 = never). */
void tfr_alloc_fail_after(uint64_t n);

struct tfr_block {
    void *data; /* 2 MiB aligned, zero filled on first touch */
    size_t size;
    bool huge; /* huge pages were asked for and the kernel took the advice */
};

enum tfr_hugepages { TFR_HUGEPAGES_OFF, TFR_HUGEPAGES_TRY };

enum tfr_status tfr_block_open(struct tfr_block *block, size_t size, enum tfr_hugepages mode);
void tfr_block_close(struct tfr_block *block);
/* At least `size` bytes; what a smaller block held is lost. A zeroed block may be reserved. */
enum tfr_status tfr_block_reserve(struct tfr_block *block, size_t size, enum tfr_hugepages mode);

/* A bump allocator over caller memory: `tfr_bump_take` hands out aligned pieces, NULL when full. */
struct tfr_bump {
    uint8_t *base;
    size_t size, used;
};
void *tfr_bump_take(struct tfr_bump *bump, size_t size, size_t align);

size_t tfr_align_up(size_t value, size_t align);
/* a * b into *out; false on overflow. */
bool tfr_size_mul(size_t a, size_t b, size_t *out);

#endif

/* chunks.h - how the rows that prompts may have in a step are shared among them. Thread rule: no state. */
#ifndef TFR_GENERATION_CHUNKS_H
#define TFR_GENERATION_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows that prompts have in a step at least, prompts that share a step at most, steps of which one is of batch prompts. */
enum { TFR_CHUNK_LEAST = 16, TFR_CHUNK_PROMPTS = 4, TFR_CHUNK_TURNS = 10 };

/* A prompt of which `left` rows are to be fed, and the rows that it gets. */
struct tfr_chunk {
    int64_t left, rows;
    bool whole; /* all of `left` or nothing */
    bool batch; /* gets what the others leave, and a tenth in any case */
};

/* In order of arrival. The oldest gets a share, so that it comes to its end; so do the three that need least beside it, so that no
 * long prompt keeps short ones waiting; each has at least TFR_CHUNK_LEAST or all it needs, or half of that where two have to live
 * on it. What is left over goes by age. Where `room` is too small for the least of both classes, every tenth `step` is of the batch
 * ones; all together get no more than `room`, but for what goes whole. */
void tfr_chunks_share(struct tfr_chunk *chunks, size_t n, int64_t room, uint64_t step);

#endif

/* chunks.c - shares rows of a step among prompts: see chunks.h. */
#include "generation/chunks.h"

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static bool is_picked(const size_t *picked, size_t n_picked, size_t index) {
    for (size_t i = 0; i < n_picked; i++) {
        if (picked[i] == index) {
            return true;
        }
    }
    return false;
}

/* The oldest of a class, then those that need least; n of none: nobody is left. */
static size_t pick(const struct tfr_chunk *chunks, size_t n, bool batch, const size_t *picked, size_t n_picked) {
    size_t best = n;
    for (size_t i = 0; i < n; i++) {
        if (chunks[i].batch != batch || is_picked(picked, n_picked, i)) {
            continue;
        }
        if (best == n || (n_picked > 0 && chunks[i].left < chunks[best].left)) {
            best = i;
        }
    }
    return best;
}

/* The picked ones in order of what they need, so that what a short one leaves is the next one's. */
static size_t pick_all(const struct tfr_chunk *chunks, size_t n, bool batch, size_t most_picked, size_t *picked) {
    size_t n_picked = 0;
    while (n_picked < most_picked) {
        const size_t next = pick(chunks, n, batch, picked, n_picked);
        if (next == n) {
            break;
        }
        picked[n_picked++] = next;
    }
    for (size_t i = 1; i < n_picked; i++) {
        const size_t moved = picked[i];
        size_t at = i;
        for (; at > 0 && chunks[picked[at - 1]].left > chunks[moved].left; at--) {
            picked[at] = picked[at - 1];
        }
        picked[at] = moved;
    }
    return n_picked;
}

static int64_t give(struct tfr_chunk *chunk, int64_t room, bool is_oldest) {
    int64_t rows = least(chunk->left - chunk->rows, most(room, 0));
    if (chunk->whole && chunk->rows + rows < chunk->left) {
        rows = is_oldest ? chunk->left - chunk->rows : 0;
    }
    chunk->rows += rows;
    return rows;
}

/* Returns the rows that a class took of its room. */
static int64_t share(struct tfr_chunk *chunks, size_t n, bool batch, int64_t room) {
    size_t picked[TFR_CHUNK_PROMPTS];
    const int64_t fit = room < TFR_CHUNK_LEAST ? 1 : most(2, least(TFR_CHUNK_PROMPTS, room / TFR_CHUNK_LEAST));
    const size_t n_picked = pick_all(chunks, n, batch, (size_t)fit, picked), oldest = pick(chunks, n, batch, NULL, 0);
    int64_t used = 0;
    for (size_t i = 0; i < n_picked; i++) {
        used += give(&chunks[picked[i]], (room - used) / (int64_t)(n_picked - i), picked[i] == oldest);
    }
    for (size_t i = 0; i < n && used < room; i++) {
        used += chunks[i].batch == batch ? give(&chunks[i], room - used, false) : 0;
    }
    return used;
}

void tfr_chunks_share(struct tfr_chunk *chunks, size_t n, int64_t room, uint64_t step) {
    size_t n_batch = 0;
    for (size_t i = 0; i < n; i++) {
        chunks[i].rows = 0;
        n_batch += chunks[i].batch;
    }
    const bool is_mixed = n_batch > 0 && n_batch < n, fits_both = room >= 2 * TFR_CHUNK_LEAST;
    const bool is_batch_turn = is_mixed && !fits_both && step % TFR_CHUNK_TURNS == TFR_CHUNK_TURNS - 1;
    const bool first = n_batch == n || is_batch_turn;
    const int64_t kept = is_mixed && fits_both ? most(room / TFR_CHUNK_TURNS, TFR_CHUNK_LEAST) : 0;
    const int64_t used = share(chunks, n, first, room - kept), rest = most(room - used, kept);
    if (is_mixed && rest > 0) {
        share(chunks, n, !first, rest);
    }
}

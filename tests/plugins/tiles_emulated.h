/* tiles_emulated.h - the tile instructions that plugins/coarse/i8_tiles.h uses, in plain C, for processors without them. What a
 * processor refuses by a fault (a tile without a size, sizes that do not fit) ends the program here too.
 */
#ifndef TFR_TESTS_TILES_EMULATED_H
#define TFR_TESTS_TILES_EMULATED_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct emulated_tile {
    int rows, row_bytes;
    uint8_t at[16][64];
};
static _Thread_local struct emulated_tile emulated_tiles[8];

static inline void emulated_require(int is_right) {
    if (!is_right) {
        abort();
    }
}

/* The layout in memory is the instruction's: palette, start, 14 bytes, 16 sizes of rows, 16 counts. */
static inline void emulated_configure(const void *config) {
    const uint8_t *at = config;
    emulated_require(at[0] == 1 && at[1] == 0);
    for (int i = 0; i < 8; i++) {
        struct emulated_tile *tile = &emulated_tiles[i];
        memset(tile, 0, sizeof *tile);
        tile->row_bytes = at[16 + 2 * i] | at[17 + 2 * i] << 8;
        tile->rows = at[48 + i];
        emulated_require(tile->rows <= 16 && tile->row_bytes <= 64 && (tile->rows == 0) == (tile->row_bytes == 0));
    }
}

static inline void emulated_load(struct emulated_tile *tile, const void *at, int64_t step) {
    emulated_require(tile->rows > 0);
    for (int row = 0; row < tile->rows; row++) {
        memcpy(tile->at[row], (const uint8_t *)at + row * step, (size_t)tile->row_bytes);
    }
}

static inline void emulated_store(const struct emulated_tile *tile, void *at, int64_t step) {
    emulated_require(tile->rows > 0);
    for (int row = 0; row < tile->rows; row++) {
        memcpy((uint8_t *)at + row * step, tile->at[row], (size_t)tile->row_bytes);
    }
}

static inline void emulated_dot(struct emulated_tile *sum, const struct emulated_tile *x, const struct emulated_tile *w) {
    emulated_require(sum->rows == x->rows && x->row_bytes == 4 * w->rows && sum->row_bytes == w->row_bytes && w->rows > 0);
    for (int row = 0; row < sum->rows; row++) {
        for (int column = 0; column < sum->row_bytes / 4; column++) {
            uint32_t total; /* wraps around */
            memcpy(&total, &sum->at[row][4 * column], sizeof total);
            for (int quad = 0; quad < w->rows; quad++) {
                for (int i = 0; i < 4; i++) {
                    total += (uint32_t)((int32_t)x->at[row][4 * quad + i] * (int8_t)w->at[quad][4 * column + i]);
                }
            }
            memcpy(&sum->at[row][4 * column], &total, sizeof total);
        }
    }
}

static inline void emulated_release(void) {
    memset(emulated_tiles, 0, sizeof emulated_tiles);
}

#define TILES_CONFIGURE(config)     emulated_configure(config)
#define TILES_ZERO(tile)            memset(emulated_tiles[tile].at, 0, sizeof emulated_tiles[tile].at)
#define TILES_LOAD(tile, at, step)  emulated_load(&emulated_tiles[tile], at, step)
#define TILES_STORE(tile, at, step) emulated_store(&emulated_tiles[tile], at, step)
#define TILES_DOT(sum, x, w)        emulated_dot(&emulated_tiles[sum], &emulated_tiles[x], &emulated_tiles[w])
#define TILES_RELEASE()             emulated_release()

#endif

/* i8_tiles.h - the inner loop of int8 by tiles (AMX): up to 16 rows of x times one panel, the same sums as i8_tile.h makes.
 *
 * A panel lies as the second factor of the instruction wants it: 16 quads of K by 16 columns are 16 lines, 256 bytes apart. Tiles 0
 * to 3 hold the sums of 64 columns, 4 and 5 the factors, 6 and 7 those of the last quads of K, fewer than 16. Where
 * TFR_TILES_EMULATED is defined, plain C stands in for the instructions (tests/plugins/tiles_emulated.h). Included by i8_tile.h
 * alone.
 */
#ifndef TFR_PLUGINS_COARSE_I8_TILES_H
#define TFR_PLUGINS_COARSE_I8_TILES_H

#if defined(TFR_TILES_EMULATED)
#include "tiles_emulated.h"
#else
#define TILES_CONFIGURE(config)     _tile_loadconfig(config)
#define TILES_ZERO(tile)            _tile_zero(tile)
#define TILES_LOAD(tile, at, step)  _tile_loadd(tile, at, step)
#define TILES_STORE(tile, at, step) _tile_stored(tile, at, step)
#define TILES_DOT(sum, x, w)        _tile_dpbusd(sum, x, w) /* x + 128 is the unsigned factor */
#define TILES_RELEASE()             _tile_release()
#endif

enum { I8_QUADS = 16, I8_TILE_COLUMNS = 16 };

/* What the instruction reads: sizes of the tiles (Intel SDM volume 1, chapter 18). */
struct i8_tiles_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

V_INLINE void i8_tiles_configure(int64_t rows, int64_t rest) {
    struct i8_tiles_config config = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        const bool is_weight = tile == 5 || tile == 7, is_rest = tile >= 6;
        const int64_t quads = is_rest ? rest : I8_QUADS;
        config.rows[tile] = (uint8_t)(is_weight ? quads : rows);
        config.row_bytes[tile] = (uint16_t)(is_weight || tile < 4 ? 4 * I8_TILE_COLUMNS : 4 * quads);
        if (quads == 0) {
            config.rows[tile] = 0;
            config.row_bytes[tile] = 0;
        }
    }
    TILES_CONFIGURE(&config);
}

#define I8_TILES_COLUMNS(part, x, w_tile, w)                                                                                       \
    do {                                                                                                                           \
        TILES_LOAD(w_tile, (w) + 4 * I8_TILE_COLUMNS * (part), COARSE_QUAD_BYTES);                                                 \
        TILES_DOT(part, x, w_tile);                                                                                                \
    } while (0)
#define I8_TILES_PANEL(x, w_tile, w)                                                                                               \
    do {                                                                                                                           \
        I8_TILES_COLUMNS(0, x, w_tile, w);                                                                                         \
        I8_TILES_COLUMNS(1, x, w_tile, w);                                                                                         \
        I8_TILES_COLUMNS(2, x, w_tile, w);                                                                                         \
        I8_TILES_COLUMNS(3, x, w_tile, w);                                                                                         \
    } while (0)

/* One group of rows: a tile alone prefetches as much as it reads, one of several half of it. */
V_INLINE void i8_run(int64_t rows, bool alone, const struct i8_tile *t) {
    const int64_t whole = t->quads / I8_QUADS, rest = t->quads % I8_QUADS, lines = alone ? 4 * I8_QUADS : 2 * I8_QUADS;
    const char *w = t->panel, *ahead = t->ahead;
    const uint8_t *x = t->x;
    i8_tiles_configure(rows, rest);
    TILES_ZERO(0);
    TILES_ZERO(1);
    TILES_ZERO(2);
    TILES_ZERO(3);
    for (int64_t q = 0; q < whole; q++, x += 4 * I8_QUADS, w += I8_QUADS * COARSE_QUAD_BYTES) {
        for (int64_t line = 0; line < lines; line++, ahead += 64) {
            __builtin_prefetch(ahead, 0, 2);
        }
        TILES_LOAD(4, x, t->x_stride);
        I8_TILES_PANEL(4, 5, w);
    }
    if (rest > 0) {
        TILES_LOAD(6, x, t->x_stride);
        I8_TILES_PANEL(6, 7, w);
    }
    TILES_STORE(0, t->sum, TFR_PANEL_COLS * sizeof *t->sum);
    TILES_STORE(1, t->sum + I8_TILE_COLUMNS, TFR_PANEL_COLS * sizeof *t->sum);
    TILES_STORE(2, t->sum + 2 * I8_TILE_COLUMNS, TFR_PANEL_COLS * sizeof *t->sum);
    TILES_STORE(3, t->sum + 3 * I8_TILE_COLUMNS, TFR_PANEL_COLS * sizeof *t->sum);
    TILES_RELEASE();
}

#endif

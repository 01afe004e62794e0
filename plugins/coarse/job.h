/* job.h - what the kernels of this plugin share: the arguments of one run, how it is cut into items, and the end of a row (bias,
 * activation, residual). Included by sources that are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_COARSE_JOB_H
#define TFR_PLUGINS_COARSE_JOB_H

#include "coarse/coarse.h"
#include "common/act.h"
#include "common/coarse_panel.h"
#include "common/dtype.h"

/* How far a tile looks ahead in what it streams: about what one thread has under way, more where the rows keep it longer. */
#define AHEAD_BYTES(rows)  ((rows) <= COARSE_STREAM_ROWS ? 4096 : 8192)
#define COARSE_STREAM_ROWS 2 /* so few rows take no longer than the panel does to come in */

struct coarse_job {
    const float *x, *bias, *residual;
    float *y;
    char *weight;
    size_t panel_stride;
    int64_t rows, k, n, panels;
    int64_t chunks, chunk_rows; /* an item is one panel for one chunk of rows */
    int activation;
};

/* Chunks so that each thread has a few items, of most_rows at most; their rows are a multiple of those of a tile. */
V_INLINE struct coarse_job coarse_job_of(const struct tfr_run_args *args, const struct tfr_problem *problem, size_t panel_stride,
                                         int tile_rows, int most_rows, int nth) {
    const int64_t k = problem->arg[0].dim[1], n = problem->arg[4].dim[1], panels = panel_count(n), rows = args->rows;
    const int64_t for_all = (4 * (int64_t)nth + panels - 1) / panels, for_room = (rows + most_rows - 1) / most_rows;
    const int64_t wanted = for_all > for_room ? for_all : for_room;
    const int64_t share = (rows + wanted - 1) / wanted, whole = (share + tile_rows - 1) / tile_rows * tile_rows;
    return (struct coarse_job){
        .x = args->arg[0],
        .bias = args->arg[2],
        .residual = args->arg[3],
        .y = args->arg[4],
        .weight = args->arg[1],
        .panel_stride = panel_stride,
        .rows = rows,
        .k = k,
        .n = n,
        .panels = panels,
        .chunks = whole > 0 ? (rows + whole - 1) / whole : 0,
        .chunk_rows = whole,
        .activation = problem->attrs.activation,
    };
}

/* One panel for some rows, in groups that differ by at most one row. While the groups pass over a panel they prefetch the next one,
 * each a piece, so that a step takes the longer of streaming and computing, not both; the first panel of a thread, and one or two
 * rows, look ahead in what they stream. */
struct coarse_item {
    int64_t panel, row0, rows, groups;
    bool is_first, has_next;
};

V_INLINE struct coarse_item coarse_item_of(const struct coarse_job *job, int64_t i, int64_t begin, int64_t end, int tile_rows) {
    const int64_t panel = i / job->chunks, row0 = i % job->chunks * job->chunk_rows, left = job->rows - row0;
    const int64_t rows = left < job->chunk_rows ? left : job->chunk_rows;
    return (struct coarse_item){.panel = panel,
                                .row0 = row0,
                                .rows = rows,
                                .groups = (rows + tile_rows - 1) / tile_rows,
                                .is_first = i == begin,
                                .has_next = panel < (end - 1) / job->chunks};
}

V_INLINE bool coarse_streams(const struct coarse_item *item, int64_t group) {
    return item->rows <= COARSE_STREAM_ROWS || (item->is_first && group == 0);
}

/* Where group `group` prefetches, `piece` bytes in all; lines that were just read cost nothing. */
V_INLINE const char *coarse_ahead(const struct coarse_job *job, const struct coarse_item *item, int64_t group, int64_t piece) {
    const char *panel = job->weight + (size_t)item->panel * job->panel_stride;
    if (coarse_streams(item, group)) {
        return panel + AHEAD_BYTES(item->rows);
    }
    return item->has_next && group * piece < (int64_t)job->panel_stride ? panel + job->panel_stride + group * piece : panel;
}

/* The first lines that a thread is going to stream come in while it rounds its rows. */
V_INLINE void coarse_expect_panel(const struct coarse_job *job, int64_t begin, int64_t end) {
    if (begin >= end) {
        return; /* a job without rows has no chunks to divide by */
    }
    const char *panel = job->weight + (size_t)(begin / job->chunks) * job->panel_stride;
    for (int64_t at = 0; at < AHEAD_BYTES(job->rows); at += 64) {
        __builtin_prefetch(panel + at, 0, 3);
    }
}

/* Lines of y that a tile is going to write come in while it computes. */
V_INLINE void coarse_expect(const struct coarse_job *job, int64_t panel, int64_t row, int64_t rows) {
    const float *y = job->y + row * job->n + panel * TFR_PANEL_COLS;
    for (int64_t r = 0; r < rows; r++, y += job->n) {
        for (int line = 0; line < TFR_PANEL_COLS; line += 16) {
            __builtin_prefetch(y + line, 1, 3);
        }
    }
}

/* y[row][column0 + c ..] from the value before the bias, at most VW columns of a panel. The residual may be y itself. */
V_INLINE void coarse_end(const struct coarse_job *job, int64_t row, int64_t column, int64_t columns, vf value) {
    const int n = columns < VW ? (int)columns : VW;
    const int64_t at = row * job->n + column;
    if (job->bias != NULL) {
        value = v_add(value, n == VW ? v_load(job->bias + column) : v_load_n(job->bias + column, n));
    }
    value = act_apply_vec(value, job->activation);
    if (job->residual != NULL) {
        value = v_add(value, n == VW ? v_load(job->residual + at) : v_load_n(job->residual + at, n));
    }
    if (n == VW) {
        v_store(job->y + at, value);
    } else {
        v_store_n(job->y + at, value, n);
    }
}

#endif

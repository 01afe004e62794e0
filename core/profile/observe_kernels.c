/* observe_kernels.c - see observe_kernels.h.
 *
 * Rows are the ends of each class of plans, since a vendor's kernel may compute whole classes. A vendor's kernel may also compute
 * whole blocks of rows, so that one row more than a block costs what the next block does: wide classes are seen inside too, at the
 * end of a block and one row behind it, without context and without attention, whose points have a context each. Contexts are few,
 * and more for one row. All shapes are seen once before any is seen again, so that a moment in which other programs ran is in one
 * sample of each.
 */
#include "profile/observe_kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "job/samples.h"
#include "predict/predict.h"
#include "profile/stepper.h"

enum { N_ROUNDS = 3, FEW_ROWS = 16, N_TIMES_FEW = 5, MOST_ROWS = 128, MOST_CONTEXTS = 12, ROW_BLOCK = 32, MOST_INNER = 4 };

/* Contexts from many to few: what a longer one left in the cache is cropped. */
struct grid {
    int64_t rows[MOST_ROWS], context[MOST_CONTEXTS];
    bool inner[MOST_ROWS];         /* inside a class */
    bool with_rows[MOST_CONTEXTS]; /* else one row alone */
    int n_rows, n_contexts;
};

static void add_context(struct grid *grid, int64_t context, bool with_rows) {
    if (context >= 0 && (grid->n_contexts == 0 || context < grid->context[grid->n_contexts - 1])) {
        grid->context[grid->n_contexts] = context;
        grid->with_rows[grid->n_contexts++] = with_rows;
    }
}

static void add_rows(struct grid *grid, int64_t rows, bool inner) {
    if (grid->n_rows < MOST_ROWS) {
        grid->rows[grid->n_rows] = rows;
        grid->inner[grid->n_rows++] = inner;
    }
}

/* At most MOST_INNER ends of blocks between low and high, each with the row behind it. */
static void add_inner_rows(struct grid *grid, int64_t low, int64_t high) {
    const int64_t blocks = (high - low + ROW_BLOCK) / ROW_BLOCK;
    const int64_t stride = ROW_BLOCK * ((blocks + MOST_INNER - 1) / MOST_INNER);
    for (int64_t rows = low - 1 + stride; rows + 1 < high; rows += stride) {
        add_rows(grid, rows, true);
        add_rows(grid, rows + 1, true);
    }
}

static struct grid make_grid(const struct tfr_engine *engine, bool quick) {
    struct grid grid = {0};
    const int64_t n_positions = tfr_engine_n_positions(engine);
    const int64_t most = engine->max_rows < n_positions ? engine->max_rows : n_positions;
    for (int64_t low = 1, high; low <= most && grid.n_rows < MOST_ROWS; low = high + 1) {
        high = tfr_bucket(low, engine->max_rows);
        high = high < most ? high : most;
        if (low < high) {
            add_rows(&grid, low, false);
        }
        if (!quick) {
            add_inner_rows(&grid, low, high);
        }
        add_rows(&grid, high, false);
    }
    add_context(&grid, n_positions - 1, false);
    add_context(&grid, n_positions / 2, true);
    add_context(&grid, n_positions / 4, false);
    add_context(&grid, n_positions / 8, !quick);
    add_context(&grid, n_positions / 16, false);
    add_context(&grid, n_positions / 64, false);
    add_context(&grid, 0, true);
    return grid;
}

static struct tfr_observation *next_item(struct tfr_observations *seen) {
    if (seen->n == seen->capacity) {
        const size_t capacity = seen->capacity > 0 ? 2 * seen->capacity : 4096;
        struct tfr_observation *grown = tfr_realloc(seen->items, capacity, sizeof *grown);
        if (grown == NULL) {
            return NULL;
        }
        seen->items = grown;
        seen->capacity = capacity;
    }
    struct tfr_observation *item = &seen->items[seen->n++];
    *item = (struct tfr_observation){0};
    return item;
}

static enum tfr_status add(struct tfr_observations *seen, const struct tfr_task_facts *facts, double ns) {
    struct tfr_observation *item = next_item(seen);
    if (item == NULL) {
        return TFR_RESOURCE;
    }
    *item = (struct tfr_observation){.facts = *facts, .ns = ns};
    return TFR_OK;
}

static bool is_inner(const struct grid *grid, int64_t rows) {
    int i = 0;
    while (i + 1 < grid->n_rows && grid->rows[i] < rows) {
        i++;
    }
    return grid->inner[i];
}

/* samples[0, n) are the tasks of one step. */
static enum tfr_status add_step(struct tfr_observations *seen, const struct tfr_task_sample *samples, size_t n,
                                const struct tfr_step_facts *step, const struct tfr_engine *engine, const struct grid *grid) {
    const bool has_attention = !is_inner(grid, step->rows);
    struct tfr_task_facts between = {.kernel = TFR_BETWEEN_TASKS, .threads = engine->threads.n_threads};
    double end_ns = 0, busy_ns = 0;
    for (size_t i = 0; i < n; i++) {
        if (has_attention || samples[i].facts.op != TFR_OP_ATTENTION) {
            TFR_TRY(add(seen, &samples[i].facts, samples[i].ns));
        }
        end_ns = fmax(end_ns, samples[i].begin_ns + samples[i].ns);
        busy_ns += samples[i].ns;
    }
    between.class_rows = tfr_bucket(step->rows, engine->max_rows);
    between.rows = between.rows_each = step->rows;
    return add(seen, &between, (end_ns - busy_ns) / (double)n);
}

/* Nothing is kept without `seen`. */
static enum tfr_status add_steps(struct tfr_observations *seen, struct tfr_engine *engine, const struct grid *grid,
                                 const struct tfr_step_facts *steps, size_t n_steps) {
    struct tfr_task_sample *samples;
    size_t n;
    if (seen == NULL || n_steps == 0) {
        return TFR_OK;
    }
    TFR_TRY(tfr_engine_samples(engine, steps, n_steps, &samples, &n));
    enum tfr_status status = TFR_OK;
    for (size_t i = 0, alike; i < n && status == TFR_OK; i += alike) {
        for (alike = 1; i + alike < n && samples[i + alike].step == samples[i].step; alike++) {
        }
        status = add_step(seen, samples + i, alike, &steps[samples[i].step], engine, grid);
    }
    tfr_free(samples);
    return status;
}

/* One shape; few rows several times, since they are quick and easily disturbed. */
static enum tfr_status see_shape(struct tfr_stepper *stepper, int64_t past, int64_t rows, int n_times, struct tfr_step_facts *steps,
                                 size_t *n) {
    for (int i = 0; i < n_times; i++) {
        if (tfr_engine_cancelled()) {
            tfr_engine_clear_cancel();
            return tfr_raise(TFR_CANCELLED, "stopped on request");
        }
        TFR_TRY(tfr_stepper_step(stepper, rows, rows <= FEW_ROWS ? rows : 1, &steps[(*n)++]));
        TFR_TRY(tfr_stepper_reach(stepper, past));
    }
    return TFR_OK;
}

/* All rows at one context; nothing is kept of a first round, in which plans are built and memory is touched. */
static enum tfr_status see_context(struct tfr_observations *seen, struct tfr_stepper *stepper, const struct grid *grid,
                                   int context) {
    struct tfr_step_facts steps[TFR_MAX_SAMPLED_STEPS];
    const int64_t past = grid->context[context];
    size_t n = 0;
    TFR_TRY(tfr_stepper_reach(stepper, past));
    for (int i = 0; i < grid->n_rows; i++) {
        const int64_t rows = grid->rows[i];
        const int n_times = rows <= FEW_ROWS ? N_TIMES_FEW : 1;
        if (past + rows > stepper->n_positions || (rows > 1 && !grid->with_rows[context]) || (grid->inner[i] && past > 0)) {
            continue;
        }
        if (n + (size_t)n_times > TFR_MAX_SAMPLED_STEPS) {
            TFR_TRY(add_steps(seen, stepper->engine, grid, steps, n));
            n = 0;
        }
        TFR_TRY(see_shape(stepper, past, rows, n_times, steps, &n));
    }
    return add_steps(seen, stepper->engine, grid, steps, n);
}

static enum tfr_status see_memory(struct tfr_observations *seen, const struct tfr_engine *engine) {
    if (seen->n_memory == (int)TFR_COUNT_OF(seen->memory)) {
        return TFR_OK;
    }
    return tfr_roofs_memory(engine->team, engine->machine, &seen->memory[seen->n_memory++]);
}

static enum tfr_status see_all(struct tfr_observations *seen, struct tfr_stepper *stepper, const struct grid *grid, int n_rounds,
                               tfr_observe_say say, void *user) {
    TFR_TRY(see_context(NULL, stepper, grid, grid->n_contexts - 1));
    for (int round = 0; round < n_rounds; round++) {
        for (int c = 0; c < grid->n_contexts; c++) {
            if (say != NULL) {
                say(user, round * grid->n_contexts + c, (int64_t)n_rounds * grid->n_contexts);
            }
            TFR_TRY(see_memory(seen, stepper->engine));
            TFR_TRY(see_context(seen, stepper, grid, c));
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_observe_kernels(struct tfr_observations *seen, struct tfr_engine *engine, bool quick, tfr_observe_say say,
                                    void *user) {
    const struct grid grid = make_grid(engine, quick);
    struct tfr_stepper stepper;
    TFR_TRY(tfr_stepper_open(&stepper, engine, 1));
    enum tfr_status status = tfr_engine_watch(engine, TFR_MAX_SAMPLED_STEPS);
    if (status == TFR_OK) {
        status = see_all(seen, &stepper, &grid, quick ? 1 : N_ROUNDS, say, user);
        const enum tfr_status unwatched = tfr_engine_watch(engine, 0);
        status = status == TFR_OK ? unwatched : status;
    }
    tfr_stepper_close(&stepper);
    return status;
}

static int compare(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

static int alike(const struct tfr_observation *a, const struct tfr_observation *b) {
    const struct tfr_task_facts *x = &a->facts, *y = &b->facts;
    int order = strcmp(x->kernel, y->kernel);
    order = order != 0 ? order : strcmp(x->shape, y->shape);
    order = order != 0 ? order : compare(x->threads, y->threads);
    order = order != 0 ? order : compare(x->class_rows, y->class_rows);
    order = order != 0 ? order : compare(x->rows_each, y->rows_each);
    return order != 0 ? order : compare(x->context, y->context);
}

static int by_key_and_time(const void *a, const void *b) {
    const struct tfr_observation *x = a, *y = b;
    const int order = alike(x, y);
    return order != 0 ? order : (x->ns > y->ns) - (x->ns < y->ns);
}

static double roof_of(const struct tfr_task_facts *facts, const struct tfr_roofs *roofs) {
    enum tfr_bound bound;
    return strcmp(facts->kernel, TFR_BETWEEN_TASKS) == 0 ? tfr_between_roof_ns(roofs) : tfr_roof_ns(roofs, facts, &bound);
}

static int by_rate(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum tfr_status tfr_observations_settle(struct tfr_observations *seen, struct tfr_calibration *calibration) {
    enum tfr_status status = TFR_OK;
    if (seen->n_memory > 0) {
        qsort(seen->memory, (size_t)seen->n_memory, sizeof *seen->memory, by_rate);
        tfr_roofs_set_memory(&calibration->roofs, seen->memory[seen->n_memory / 2]);
    }
    qsort(seen->items, seen->n, sizeof *seen->items, by_key_and_time);
    for (size_t first = 0, n; first < seen->n && status == TFR_OK; first += n) {
        for (n = 1; first + n < seen->n && alike(&seen->items[first], &seen->items[first + n]) == 0; n++) {
        }
        const struct tfr_observation *middle = &seen->items[first + n / 2];
        const struct tfr_task_facts *facts = &middle->facts;
        if (!(middle->ns > 0)) {
            continue; /* too short for this clock: nothing is known of it, and no reader takes such a point */
        }
        const struct tfr_calibration_point point = {.class_rows = facts->class_rows,
                                                    .rows = facts->rows_each,
                                                    .context = facts->context,
                                                    .ns = middle->ns,
                                                    .roof_ns = roof_of(facts, &calibration->roofs)};
        status = tfr_calibration_add(calibration, facts->kernel, facts->shape, facts->threads, &point);
    }
    tfr_free(seen->items);
    *seen = (struct tfr_observations){0};
    return status;
}

/* cut.c - cuts rows into steps, by the rule of base/cut.h: see step.h. */
#include <string.h>

#include "base/arena.h"
#include "base/cut.h"
#include "rank/rank.h"
#include "step/step.h"

enum tfr_status tfr_step_open(struct tfr_step *step, struct tfr_engine *engine, const struct tfr_piece *pieces, int64_t n) {
    *step = (struct tfr_step){.engine = engine, .pieces = pieces, .n_pieces = n, .most = engine->max_rows};
    const int64_t most = n < engine->max_rows ? n : engine->max_rows; /* a cut has at least one row */
    step->cuts = tfr_alloc((size_t)most + 1, sizeof *step->cuts);
    return step->cuts != NULL ? TFR_OK : TFR_RESOURCE;
}

void tfr_step_close(struct tfr_step *step) {
    tfr_free(step->cuts);
    step->cuts = NULL;
}

bool tfr_piece_keeps(const struct tfr_piece *piece, int64_t row) {
    return piece->kept != NULL ? piece->kept[row] != 0 : row >= piece->n - piece->keep;
}

int64_t tfr_cut_past(const struct tfr_cut *cut) {
    return cut->piece->past + (cut->piece->query_only ? 0 : cut->first);
}

int64_t tfr_cut_keys(const struct tfr_cut *cut) {
    return tfr_cut_past(cut) + (cut->piece->query_only ? 0 : cut->n);
}

int64_t tfr_cut_cross_keys(const struct tfr_engine *engine, const struct tfr_cut *cut) {
    const struct tfr_cross *cross = engine->slots[cut->piece->slot].cross;
    return cross != NULL ? cross->n : 0;
}

static bool may_share(const struct tfr_engine *engine, const struct tfr_piece *a, const struct tfr_piece *b) {
    return a->head_mask == b->head_mask && engine->slots[a->slot].replica == engine->slots[b->slot].replica &&
           (a->features == b->features || memcmp(a->features, b->features, sizeof *a->features) == 0);
}

static int64_t count_kept(const struct tfr_piece *piece, int64_t first, int64_t n) {
    int64_t kept = 0;
    for (int64_t r = first; r < first + n; r++) {
        kept += tfr_piece_keeps(piece, r);
    }
    return kept;
}

/* Rows that see one another stay together, however many. */
static int64_t most_rows(const struct tfr_step *step, const struct tfr_piece *piece) {
    return piece->whole && step->n_rows == 0 ? step->engine->max_rows : step->most;
}

bool tfr_step_cut(struct tfr_step *step) {
    step->n_cuts = step->n_rows = step->n_logits = 0;
    while (step->piece < step->n_pieces) {
        const struct tfr_piece *piece = &step->pieces[step->piece];
        const struct tfr_offer offer = {.left = piece->n - step->done,
                                        .may_share = step->n_rows > 0 && may_share(step->engine, piece, step->cuts[0].piece),
                                        .whole = piece->whole};
        const int64_t n = tfr_cut_take(&offer, step->n_rows, most_rows(step, piece));
        if (n < 0) {
            break;
        }
        if (n > 0) {
            step->cuts[step->n_cuts++] = (struct tfr_cut){.piece = piece, .first = step->done, .n = n, .row = step->n_rows};
            step->n_rows += n;
            step->n_logits += count_kept(piece, step->done, n);
        }
        step->done += n;
        if (step->done == piece->n) {
            step->piece++;
            step->done = 0;
        }
    }
    return step->n_rows > 0;
}

bool tfr_step_is_last(const struct tfr_step *step) {
    return step->piece == step->n_pieces;
}

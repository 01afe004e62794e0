/* ahead.c - hands pieces of work on logits to the team: see ahead.h. */
#include "generation/ahead.h"

#include <stdatomic.h>

#include "base/arena.h"
#include "generation/strategy.h"
#include "team/team.h"

/* Microseconds: a greedy choice takes some 4, all else some 60 to 500 (probe_logits); a team starts and ends in about 5. */
enum { MOST_SAMPLERS = 32, LIGHT_US = 4, HEAVY_US = 60, WORTH_US = 40 };

struct job {
    struct tfr_ahead *ahead;
    atomic_size_t next;
};

void tfr_ahead_close(struct tfr_ahead *ahead) {
    for (int i = 0; i < ahead->n_samplers; i++) {
        tfr_sampler_close(&ahead->samplers[i]);
    }
    tfr_free(ahead->samplers);
    tfr_free(ahead->pieces);
    *ahead = (struct tfr_ahead){0};
}

static bool reserve(struct tfr_ahead *ahead, size_t more) {
    if (ahead->n + more <= ahead->room) {
        return true;
    }
    const size_t room = 2 * ahead->room + more;
    struct tfr_ahead_piece *pieces = tfr_realloc(ahead->pieces, room, sizeof *pieces);
    if (pieces == NULL) {
        return false;
    }
    ahead->pieces = pieces;
    ahead->room = room;
    return true;
}

static int64_t cost_us(const struct tfr_continuation *c) {
    const struct tfr_params *params = c->params;
    const bool is_light =
        tfr_pipeline_is_greedy(&params->pipeline) && !c->has_digest && params->logprobs < 0 && !params->prompt_logprobs;
    return is_light ? LIGHT_US : HEAVY_US;
}

void tfr_ahead_add(struct tfr_ahead *ahead, struct tfr_continuation *c, const float *logits) {
    const int64_t wanted = c->strategy->pieces != NULL ? c->strategy->pieces(c) : 0,
                  n = reserve(ahead, (size_t)wanted) ? wanted : 0;
    for (int64_t i = 0; i < n; i++) {
        ahead->pieces[ahead->n++] = (struct tfr_ahead_piece){.c = c, .logits = logits, .index = i};
    }
    ahead->cost_us += n * cost_us(c);
}

/* One for each thread of the team, as far as there is memory. */
static void open_samplers(struct tfr_ahead *ahead) {
    const int size = tfr_team_size(ahead->engine->team), most = size < MOST_SAMPLERS ? size : MOST_SAMPLERS;
    if (ahead->samplers == NULL) {
        ahead->samplers = tfr_alloc((size_t)most, sizeof *ahead->samplers);
    }
    while (ahead->samplers != NULL && ahead->n_samplers < most) {
        if (tfr_sampler_open(&ahead->samplers[ahead->n_samplers], &ahead->engine->params->pipeline, 0,
                             ahead->engine->config->model.vocab_size) != TFR_OK) {
            return;
        }
        ahead->n_samplers++;
    }
}

static void look(void *user, int tid, int nth) {
    struct job *job = user;
    struct tfr_ahead *ahead = job->ahead;
    (void)nth;
    while (tid < ahead->n_samplers) {
        const size_t i = atomic_fetch_add(&job->next, 1);
        if (i >= ahead->n) {
            return;
        }
        const struct tfr_ahead_piece *piece = &ahead->pieces[i];
        tfr_sampler_use(&ahead->samplers[tid], &piece->c->params->pipeline, piece->c->seed);
        piece->c->strategy->look(piece->c, piece->index, piece->logits, &ahead->samplers[tid]);
    }
}

void tfr_ahead_run(struct tfr_ahead *ahead) {
    struct job job = {.ahead = ahead};
    if (ahead->n > 1 && ahead->cost_us >= WORTH_US && tfr_team_size(ahead->engine->team) > 1) {
        open_samplers(ahead);
        atomic_init(&job.next, 0);
        tfr_team_run(ahead->engine->team, look, &job);
    }
    ahead->n = 0;
    ahead->cost_us = 0;
}

/* layout_ring.c - micro-batches that go round in a pipeline: each rank takes what comes in the order in which it comes.
 *
 * Two groups may want the first rank at once, one with its next rows, one with its last rows for the head; then one waits its turn,
 * and a closed formula that knows latency and the longest busy alone is too fast. So the rounds are played through: events in order
 * of arrival, as in a simulation, some rounds to fill the ring and some to measure. See layout.h.
 */
#include "predict/layout.h"

#include <math.h>

#include "base/arena.h"

enum { FILLING_ROUNDS = 12, MEASURED_ROUNDS = 12 };

/* Where a group is: 0 .. last: it comes to this stage; HEAD, SAMPLE: to these. */
struct group {
    int place;
    double arrives_ns;
    double last_ns; /* when the last stage has its share of a split head, for which it waits for nobody; 0: as the others */
};
struct ring {
    const struct tfr_layout_question *question;
    const struct tfr_layout_step *step;
    struct tfr_layout_costs costs;
    struct group *groups;
    double *free_ns; /* [stages] when a rank is done with what it has */
    int last;
};

static double serve(struct ring *ring, int stage, double arrives_ns, double ns) {
    ring->free_ns[stage] = fmax(ring->free_ns[stage], arrives_ns) + ns;
    return ring->free_ns[stage];
}

static double serve_share(struct ring *ring, int stage, double arrives_ns) {
    return serve(ring, stage, arrives_ns, ring->costs.head_ns / tfr_layout_speed(ring->question, stage));
}

/* Serves the head of a group: of a split one all stages, and the last of them counts. */
static double serve_head(struct ring *ring, const struct group *group) {
    const struct tfr_layout *layout = ring->question->layout;
    if (layout->head != TFR_PLACE_SPLIT) {
        return serve(ring, 0, group->arrives_ns, ring->costs.head_ns);
    }
    double end_ns = group->last_ns;
    for (int stage = 0; stage < layout->stages; stage++) {
        const bool has_share = stage == ring->last && group->last_ns > 0;
        end_ns = fmax(end_ns, has_share ? 0 : serve_share(ring, stage, group->arrives_ns));
    }
    return end_ns;
}

/* The group that comes first does what it came for, and is on its way to the next place; true: it has its tokens. */
static bool advance(struct ring *ring, struct group *group) {
    const int head = ring->last + 1, sample = head + 1;
    const bool has_head = ring->costs.head_apart;
    const int place = group->place;
    if (place <= ring->last) {
        const double body_ns = tfr_layout_body_ns(ring->question, ring->step, place);
        const struct tfr_layout_sums sums = tfr_layout_sums_of(ring->question, ring->step, place);
        const double held_ns = fmax(body_ns, sums.wire_ns); /* while a group waits for sums, another one is served */
        group->arrives_ns = serve(ring, place, group->arrives_ns, held_ns + (place == ring->last ? ring->costs.tail_ns : 0));
        group->arrives_ns += fmax(0, body_ns + sums.wait_ns - held_ns);
        const struct tfr_layout *layout = ring->question->layout;
        if (place == ring->last && layout->head == TFR_PLACE_SPLIT && layout->tensor == 1) {
            group->last_ns = serve_share(ring, place, group->arrives_ns);
        }
        group->arrives_ns += place < ring->last ? tfr_layout_hop_ns(ring->question, ring->step, place + 1)
                             : has_head         ? ring->costs.to_head_ns
                                                : ring->costs.to_sample_ns;
        group->place = place < ring->last || has_head ? place + 1 : sample;
        return false;
    }
    if (place == head) {
        const bool is_done = ring->costs.sample_ns + ring->costs.to_sample_ns <= 0;
        group->arrives_ns = serve_head(ring, group) + ring->costs.to_sample_ns;
        group->place = is_done ? 0 : sample;
        return is_done;
    }
    group->arrives_ns = serve(ring, 0, group->arrives_ns, ring->costs.sample_ns);
    group->place = 0;
    return true;
}

static struct group *first_of(const struct ring *ring, int n) {
    struct group *first = &ring->groups[0];
    for (int i = 1; i < n; i++) {
        first = ring->groups[i].arrives_ns < first->arrives_ns ? &ring->groups[i] : first;
    }
    return first;
}

double tfr_layout_round_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, int groups) {
    struct ring ring = {.question = question, .step = step, .last = tfr_layout_last_stage(question->layout)};
    ring.groups = tfr_alloc((size_t)groups, sizeof *ring.groups);
    ring.free_ns = tfr_alloc((size_t)question->layout->stages, sizeof *ring.free_ns);
    double from_ns = 0, to_ns = 0;
    if (ring.groups == NULL || ring.free_ns == NULL) {
        to_ns = -1;
        goto out;
    }
    ring.costs = tfr_layout_end_costs(question, step);
    for (int64_t done = 0, all = (int64_t)groups * (FILLING_ROUNDS + MEASURED_ROUNDS); done < all;) {
        struct group *group = first_of(&ring, groups);
        if (advance(&ring, group)) {
            done++;
            from_ns = done == (int64_t)groups * FILLING_ROUNDS ? group->arrives_ns : from_ns;
            to_ns = group->arrives_ns;
            advance(&ring, group); /* rank 0 begins the next step of those who have their tokens before it looks at others */
        }
    }
out:
    tfr_free(ring.free_ns);
    tfr_free(ring.groups);
    return to_ns < 0 ? -1 : (to_ns - from_ns) / MEASURED_ROUNDS;
}

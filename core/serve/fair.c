/* fair.c - balances of keys, and the choice of the next one: see fair.h. */
#include "serve/fair.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"

static const double quantum = 256, batch_share = 0.1, most_credit = 4096;

/* Keys without a request that are remembered for what they owe. */
enum { MOST_DEBTORS = 64 };

/* A key with requests that wait or run, or one that owes. */
struct tfr_flow {
    struct tfr_flow *next; /* a ring */
    char *key;             /* NULL: of those without */
    bool batch;
    double balance; /* tokens that it may be charged before others come first */
    struct tfr_turn *first, *last;
    size_t users;
};

static bool same_key(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static struct tfr_flow *find(const struct tfr_fair *fair, const char *key, bool batch) {
    struct tfr_flow *first = fair->flows[batch], *flow = first;
    if (flow != NULL) {
        do {
            if (same_key(flow->key, key)) {
                return flow;
            }
            flow = flow->next;
        } while (flow != first);
    }
    return NULL;
}

/* Its turn comes last. */
static struct tfr_flow *make(struct tfr_fair *fair, const char *key, bool batch) {
    struct tfr_flow *flow = tfr_alloc(1, sizeof *flow);
    if (flow == NULL) {
        return NULL;
    }
    flow->key = key != NULL ? tfr_strdup(key) : NULL;
    flow->batch = batch;
    if (key != NULL && flow->key == NULL) {
        tfr_free(flow);
        return NULL;
    }
    struct tfr_flow *ring = fair->flows[batch], *last = ring;
    while (ring != NULL && last->next != ring) {
        last = last->next;
    }
    flow->next = ring != NULL ? ring : flow;
    *(ring != NULL ? &last->next : &fair->flows[batch]) = flow;
    return flow;
}

/* One without requests. */
static void forget(struct tfr_fair *fair, struct tfr_flow *flow) {
    struct tfr_flow *before = flow;
    while (before->next != flow) {
        before = before->next;
    }
    before->next = flow->next;
    if (fair->flows[flow->batch] == flow) {
        fair->flows[flow->batch] = flow->next != flow ? flow->next : NULL;
    }
    tfr_free(flow->key);
    tfr_free(flow);
    fair->debtors--;
}

/* Where too many owe, the one that owes least is forgiven. */
static void limit_debtors(struct tfr_fair *fair) {
    struct tfr_flow *least = NULL;
    for (int batch = 0; batch < 2; batch++) {
        struct tfr_flow *first = fair->flows[batch], *flow = first;
        while (flow != NULL) {
            least = flow->users == 0 && (least == NULL || flow->balance > least->balance) ? flow : least;
            flow = flow->next != first ? flow->next : NULL;
        }
    }
    if (fair->debtors > MOST_DEBTORS) {
        forget(fair, least);
    }
}

static void release(struct tfr_fair *fair, struct tfr_flow *flow) {
    fair->debtors += --flow->users == 0;
    if (--fair->users == 0) { /* there is room for everybody */
        for (int batch = 0; batch < 2; batch++) {
            while (fair->flows[batch] != NULL) {
                forget(fair, fair->flows[batch]);
            }
        }
    } else if (flow->users == 0 && flow->balance >= 0) {
        forget(fair, flow);
    } else if (flow->users == 0) {
        limit_debtors(fair);
    }
}

bool tfr_fair_add(struct tfr_fair *fair, struct tfr_turn *turn, const char *key, bool batch) {
    struct tfr_flow *flow = find(fair, key, batch);
    if (flow != NULL) {
        fair->debtors -= flow->users == 0;
    } else {
        flow = make(fair, key, batch);
    }
    if (flow == NULL) {
        return false;
    }
    turn->next = NULL;
    turn->flow = flow;
    *(flow->last != NULL ? &flow->last->next : &flow->first) = turn;
    flow->last = turn;
    flow->users++;
    fair->users++;
    fair->waiting[batch]++;
    return true;
}

/* Fills the balances of those that wait until one of them has something, in as many rounds as that takes. Those that do not wait
 * have no use for more than what they owe. */
static void fill(struct tfr_flow *ring) {
    double rounds = INFINITY;
    struct tfr_flow *flow = ring;
    do {
        const double needs = floor(-flow->balance / quantum) + 1;
        rounds = flow->first != NULL && needs < rounds ? needs : rounds;
        flow = flow->next;
    } while (flow != ring);
    do {
        if (flow->first != NULL || flow->balance < 0) {
            flow->balance += rounds * quantum;
            flow->balance = flow->first == NULL && flow->balance > 0 ? 0 : flow->balance;
        }
        flow = flow->next;
    } while (flow != ring);
}

/* The next one round the ring, from the one whose turn it was, that has something left; NULL: nobody has. */
static struct tfr_flow *solvent(struct tfr_flow *ring) {
    struct tfr_flow *flow = ring;
    do {
        if (flow->first != NULL && flow->balance > 0) {
            return flow;
        }
        flow = flow->next;
    } while (flow != ring);
    return NULL;
}

/* Those that owe nothing any more, beside `flow`, which stays. */
static void forget_paid(struct tfr_fair *fair, struct tfr_flow *flow) {
    for (struct tfr_flow *at = flow; at->next != flow;) {
        if (at->next->users == 0 && at->next->balance >= 0) {
            forget(fair, at->next);
        } else {
            at = at->next;
        }
    }
}

/* A batch turn that was chosen while nobody else waited: an interactive one that came since goes first. */
static bool is_overtaken(const struct tfr_fair *fair) {
    return fair->chosen != NULL && fair->chosen->flow->batch && fair->waiting[0] > 0 && fair->batch_credit <= 0;
}

struct tfr_turn *tfr_fair_next(struct tfr_fair *fair) {
    fair->chosen = is_overtaken(fair) ? NULL : fair->chosen;
    if (fair->chosen != NULL || tfr_fair_waiting(fair) == 0) {
        return fair->chosen;
    }
    const bool batch = fair->waiting[0] == 0 || (fair->waiting[1] > 0 && fair->batch_credit > 0);
    struct tfr_flow *flow = solvent(fair->flows[batch]);
    if (flow == NULL) {
        fill(fair->flows[batch]);
        flow = solvent(fair->flows[batch]);
        forget_paid(fair, flow);
    }
    fair->flows[batch] = flow;
    fair->chosen = flow->first;
    return fair->chosen;
}

static void remove_turn(struct tfr_fair *fair, struct tfr_turn *turn) {
    struct tfr_flow *flow = turn->flow;
    struct tfr_turn *before = NULL;
    for (struct tfr_turn *at = flow->first; at != turn; at = at->next) {
        before = at;
    }
    *(before != NULL ? &before->next : &flow->first) = turn->next;
    flow->last = flow->last == turn ? before : flow->last;
    fair->chosen = fair->chosen == turn ? NULL : fair->chosen;
    fair->waiting[flow->batch]--;
}

/* While batch requests wait, a share of all that is taken becomes theirs. */
static void credit_batch(struct tfr_fair *fair, const struct tfr_flow *flow, double cost) {
    double credit = fair->batch_credit + (fair->waiting[1] > 0 ? batch_share * cost : 0) - (flow->batch ? cost : 0);
    credit = credit > most_credit ? most_credit : credit;
    fair->batch_credit = credit < -most_credit ? -most_credit : credit;
}

void tfr_fair_take(struct tfr_fair *fair, struct tfr_turn *turn, double cost) {
    credit_batch(fair, turn->flow, cost);
    remove_turn(fair, turn);
    turn->cost = cost;
    turn->flow->balance -= cost;
    if (turn->flow->balance <= 0) { /* the others' turn */
        fair->flows[turn->flow->batch] = turn->flow->next;
    }
}

void tfr_fair_settle(struct tfr_fair *fair, struct tfr_turn *turn, double cost) {
    const double back = turn->cost - cost;
    turn->flow->balance = turn->flow->balance + back < quantum ? turn->flow->balance + back : quantum; /* nobody saves up turns */
    release(fair, turn->flow);
    turn->flow = NULL;
}

void tfr_fair_leave(struct tfr_fair *fair, struct tfr_turn *turn) {
    remove_turn(fair, turn);
    release(fair, turn->flow);
    turn->flow = NULL;
}

size_t tfr_fair_waiting(const struct tfr_fair *fair) {
    return fair->waiting[0] + fair->waiting[1];
}

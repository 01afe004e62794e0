/* fair.h - whose turn it is among requests that wait: in order of arrival for one key, round robin by tokens among several.
 *
 * Deficit round robin: each key has a balance in tokens. It is charged what a request is expected to take when that is admitted,
 * and the difference when it has ended; a key whose balance is used up waits until the others' turns have filled it again.
 * What a key owes outlives its requests, so that one large request after the other does not pass for a newcomer each time: what
 * others get meanwhile pays it, and it is forgotten when nobody has a request any more. Interactive requests go before batch
 * ones, which have a tenth of all tokens while they wait. Thread rule: the engine's thread. */
#ifndef TFR_SERVE_FAIR_H
#define TFR_SERVE_FAIR_H

#include <stdbool.h>
#include <stddef.h>

struct tfr_flow;

/* One request in here; a part of it, so that waiting needs no memory of its own. */
struct tfr_turn {
    struct tfr_turn *next;
    struct tfr_flow *flow;
    void *owner;
    double cost; /* tokens that it was charged */
};

struct tfr_fair {
    struct tfr_flow *flows[2]; /* rings of keys, interactive and batch: the one whose turn it is */
    size_t waiting[2];
    size_t users;        /* requests that wait or run */
    size_t debtors;      /* keys in the rings that have none of those, but owe */
    double batch_credit; /* tokens that batch requests may take before interactive ones */
    struct tfr_turn *chosen;
};

/* TFR_RESOURCE is false: there is no memory for its key. `key` is copied; NULL is a key too. */
bool tfr_fair_add(struct tfr_fair *fair, struct tfr_turn *turn, const char *key, bool batch);
/* Whose turn it is, NULL: nobody waits. It stays that one until it is taken or left, so that a large request is not passed by; but
 * a batch request does not keep an interactive one waiting that comes later. */
struct tfr_turn *tfr_fair_next(struct tfr_fair *fair);
/* It is admitted, and expected to take so many tokens. */
void tfr_fair_take(struct tfr_fair *fair, struct tfr_turn *turn, double cost);
/* It took so many in the end; it is in here no more. */
void tfr_fair_settle(struct tfr_fair *fair, struct tfr_turn *turn, double cost);
/* It ended while it waited. */
void tfr_fair_leave(struct tfr_fair *fair, struct tfr_turn *turn);
size_t tfr_fair_waiting(const struct tfr_fair *fair);

#endif

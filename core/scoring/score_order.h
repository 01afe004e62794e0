/* score_order.h - scores of items that are computed at the same time, handed to a sink in the order of the items.
 *
 * An item's own scores come in order; those of an item that others stand before wait until the others are complete. Thread rule:
 * one thread. */
#ifndef TFR_SCORING_SCORE_ORDER_H
#define TFR_SCORING_SCORE_ORDER_H

#include "scoring/score.h"

struct tfr_scored { /* an item that has begun and was not handed over wholly */
    struct tfr_scored *next;
    size_t item, n, handed; /* scores that it has; that the sink has of them */
    bool is_complete;
    struct tfr_token_score scores[];
};
struct tfr_score_order {
    struct tfr_scored *first, *last;
    tfr_score_sink sink;
    void *user;
};

/* The next item, which is to get `most` scores; NULL for lack of memory. The order owns it. */
struct tfr_scored *tfr_score_order_begin(struct tfr_score_order *order, size_t item, size_t most);
/* Hands over what is due; items that are complete go. */
enum tfr_status tfr_score_order_hand_over(struct tfr_score_order *order);
void tfr_score_order_close(struct tfr_score_order *order);

#endif

/* score_order.c - a list of items under way, the oldest first: see score_order.h. */
#include "scoring/score_order.h"

#include "base/arena.h"
#include "base/status.h"

struct tfr_scored *tfr_score_order_begin(struct tfr_score_order *order, size_t item, size_t most) {
    struct tfr_scored *begun = tfr_alloc(1, sizeof *begun + most * sizeof begun->scores[0]);
    if (begun == NULL) {
        return NULL;
    }
    begun->item = item;
    *(order->last != NULL ? &order->last->next : &order->first) = begun;
    order->last = begun;
    return begun;
}

static void drop_first(struct tfr_score_order *order) {
    struct tfr_scored *first = order->first;
    order->first = first->next;
    order->last = order->first != NULL ? order->last : NULL;
    tfr_free(first);
}

enum tfr_status tfr_score_order_hand_over(struct tfr_score_order *order) {
    while (order->first != NULL) {
        struct tfr_scored *first = order->first;
        const size_t from = first->handed, n = first->n - from;
        first->handed = first->n;
        if (n > 0) {
            TFR_TRY(order->sink(order->user, first->item, from, first->scores + from, n));
        }
        if (!first->is_complete) {
            return TFR_OK;
        }
        drop_first(order);
    }
    return TFR_OK;
}

void tfr_score_order_close(struct tfr_score_order *order) {
    while (order->first != NULL) {
        drop_first(order);
    }
}

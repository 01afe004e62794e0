/* link.h - messages between two ranks: n bytes take alpha_ns + n * byte_ns. Thread rule: no state. */
#ifndef TFR_PREDICT_LINK_H
#define TFR_PREDICT_LINK_H

#include <stddef.h>

#include <tfrun/types.h>

struct tfr_link {
    double alpha_ns, byte_ns;
};
static inline double tfr_link_ns(const struct tfr_link *link, double bytes) {
    return link->alpha_ns + bytes * link->byte_ns;
}

struct tfr_link_point {
    double bytes, ns;
};
/* The link whose relative errors have the least sum of squares over the points (two or more, of rising bytes and times above 0).
 * Neither number is negative. */
struct tfr_link tfr_link_fit(const struct tfr_link_point *points, size_t n);

/* What was measured between the ranks of a job. A kind of pairs that there was none of has pairs 0. */
struct tfr_measured_links {
    struct tfr_link net, shm; /* of two nodes, of one node */
    int64_t net_pairs, shm_pairs;
    char transport[96], measured_at[32];
};

#endif

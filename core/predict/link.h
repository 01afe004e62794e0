/* link.h - messages between two ranks: n bytes take alpha_ns + n * byte_ns.
 *
 * Where it was measured, more is known. Above a limit of the MPI library a message goes in several ways: it is told, it is
 * answered, and then its bytes come (a rendezvous). Each way ends when the process there looks: at once where it waits, and where
 * it computes when its kernel looks next. And ranks that compute do not come to an exchange at the same moment, so the last one is
 * waited for. Thread rule: no state.
 */
#ifndef TFR_PREDICT_LINK_H
#define TFR_PREDICT_LINK_H

#include <stddef.h>

#include <tfrun/types.h>

/* Kernels look for messages about as often while they compute; the clock kernels of the tests exactly so. */
#define TFR_LOOK_NS 250000.0

/* Ways that a library may have: where more seem to be, a rank was held up while they were counted. */
#define TFR_MOST_WAYS 8

struct tfr_large_messages {
    double above_bytes; /* 0: nothing is known, all are like small ones */
    double alpha_ns, byte_ns;
    double ways; /* 1: sent at once */
};
struct tfr_link {
    double alpha_ns, byte_ns; /* of small messages, or of all */
    struct tfr_large_messages large;
    double late_ns, later_ns; /* what an exchange between two ranks that compute takes besides; and for each doubling of them */
};
/* ns a byte of the largest messages. */
static inline double tfr_link_large_byte_ns(const struct tfr_link *link) {
    return link->large.above_bytes > 0 ? link->large.byte_ns : link->byte_ns;
}
static inline bool tfr_link_is_large(const struct tfr_link *link, double bytes) {
    return link->large.above_bytes > 0 && bytes > link->large.above_bytes;
}
/* Of one wire: the next message leaves behind it. */
static inline double tfr_link_wire_ns(const struct tfr_link *link, double bytes) {
    return bytes * (tfr_link_is_large(link, bytes) ? link->large.byte_ns : link->byte_ns);
}
/* So many messages of so many bytes each, one behind the other on one wire. */
static inline double tfr_link_several_ns(const struct tfr_link *link, double n, double bytes) {
    return (tfr_link_is_large(link, bytes) ? link->large.alpha_ns : link->alpha_ns) + n * tfr_link_wire_ns(link, bytes);
}
static inline double tfr_link_ns(const struct tfr_link *link, double bytes) {
    return tfr_link_several_ns(link, 1, bytes);
}
/* "7 us and 1.36 GB/s; above 48 KiB in 3 ways, 30 us and 1.2 GB/s; ranks that compute are 20 us late". */
void tfr_link_describe(const struct tfr_link *link, char *text, size_t size);
/* Until the last of so many ranks is there. */
double tfr_link_late_ns(const struct tfr_link *link, double ranks);

struct tfr_link_point {
    double bytes, ns;
    double computing_ns; /* the same between ranks that compute and look every TFR_LOOK_NS; 0: not measured */
};
/* The link whose relative errors have the least sum of squares over the points (two or more, of rising bytes and times above 0).
 * Neither number is negative. */
struct tfr_link tfr_link_fit(const struct tfr_link_point *points, size_t n);
/* That of the points that go in one way, with large messages from those that go in several, if there are any. */
struct tfr_link tfr_link_fit_ways(const struct tfr_link_point *points, size_t n);
/* Fills in late_ns and later_ns: what exchanges of so many ranks (2 and more, rising) took besides. */
struct tfr_late_point {
    double ranks, ns;
};
void tfr_link_fit_late(struct tfr_link *link, const struct tfr_late_point *points, size_t n);

/* What was measured between the ranks of a job. A kind of pairs that there was none of has pairs 0. */
struct tfr_measured_links {
    struct tfr_link net, shm; /* of two nodes, of one node */
    int64_t net_pairs, shm_pairs;
    bool asleep; /* where ranks computed they slept: late_ns and later_ns are those of kernels that only take time */
    char transport[96], measured_at[32];
};

#endif

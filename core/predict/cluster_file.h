/* cluster_file.h - nodes, links and ranks as a user describes them: `tfrun plan --cluster FILE`, `--net ALPHA_US,GBIT_S`.
 *
 *     {"nodes": 4, "ranks_per_node": 2, "bandwidth_gbs": 30, "node_bandwidth_gbs": 50, "gflops": 80, "node_us": 2,
 *      "net": {"alpha_us": 25, "gbit_s": 10}, "shm": {"alpha_us": 1.5, "gb_s": 10}}
 *
 * Bandwidth and FLOPs are those of a rank, with all its threads; both or none: without them ranks are as fast as this machine. An
 * unknown key, a value out of its range and a missing one are refused, with file, line and column. Thread rule: no state.
 */
#ifndef TFR_PREDICT_CLUSTER_FILE_H
#define TFR_PREDICT_CLUSTER_FILE_H

#include "predict/layout.h"

struct tfr_cluster_facts {
    struct tfr_cluster cluster;
    bool has_speed; /* else `speed` says nothing */
    struct tfr_rank_speed speed;
};
/* Where links are measured ones, the file has none. Failure: TFR_CONFIG. */
enum tfr_status tfr_cluster_read(struct tfr_cluster_facts *facts, const char *path, bool links_are_measured);
/* "25,10": every rank on a node of its own. Failure: TFR_USAGE. */
enum tfr_status tfr_cluster_net(struct tfr_cluster_facts *facts, const char *text);
/* Ranks of one node, with the usual cost of shared memory. */
struct tfr_cluster_facts tfr_cluster_of_one_node(void);

#endif

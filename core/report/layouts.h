/* layouts.h - what `tfrun plan --net` and `--cluster` tell, before it is written: every layout for one number of ranks, or a sweep.
 * Thread rule: one thread. */
#ifndef TFR_REPORT_LAYOUTS_H
#define TFR_REPORT_LAYOUTS_H

#include <tfrun/tfrun.h>

#include "predict/calibration.h"
#include "predict/cluster_file.h"
#include "rank/layout_list.h"
#include "rank/piece_times.h"
#include "report/dry.h"

struct layouts_of_ranks {
    int n_ranks;
    struct tfr_layout_list list;
    struct tfr_layout_times *times; /* [list.n]; without ranks where a layout is refused */
    int best[2];                    /* by enum tfr_goal: index, -1 where all are refused */
};
struct layouts_report {
    const struct tfr_layouts_question *question;
    struct tfr_dry dry;
    struct tfr_cluster_facts facts;
    struct tfr_calibration calibration, node; /* of a rank's threads; of a node's */
    char calibrated_by[256 + TFR_DOUBTS_SIZE];
    struct tfr_piece_times pieces;
    struct tfr_model_work work;
    struct tfr_layout_model model;
    struct tfr_layout_load load;
    struct tfr_layout_times alone; /* one rank */
    struct layouts_of_ranks *points;
    int n_points, goal;
};
/* Steps of a pipeline that have no micro-batch, over (blocks of each stage): "4,4,4,0". */
void tfr_layouts_blocks(const struct tfr_listed_layout *item, char *text, size_t size);

/* A calibration of this host and so many threads, and its path with what makes it doubtful, if it is there and holds for a dry run;
 * else it is not found, and for a path why the one that is there does not hold, or may not be read: "" where there is none.
 * TFR_RESOURCE for want of memory: a layout must not be chosen by that. */
enum tfr_status tfr_dry_find_calibration(const struct tfr_dry *dry, int n_threads, struct tfr_calibration *calibration, bool *found,
                                         char *path, size_t size);

/* layouts_text.c, layouts_json.c */
enum tfr_status tfr_layouts_write(const struct layouts_report *report, char **text);
/* Rows of the pieces in which a layout reads the prompt. */
int64_t tfr_layouts_piece(const struct layouts_report *report, const struct tfr_layout *layout);
enum tfr_status tfr_layouts_write_json(const struct layouts_report *report, char **text);

#endif

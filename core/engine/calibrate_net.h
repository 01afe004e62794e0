/* calibrate_net.h - the links between the ranks of this job, measured. Thread rule: the thread that speaks to the other ranks. */
#ifndef TFR_ENGINE_CALIBRATE_NET_H
#define TFR_ENGINE_CALIBRATE_NET_H

#include <tfrun/profile.h>

/* All ranks call it. Rank 0 adds what it found to the calibration of this host and its threads: *path, NULL on the others. */
enum tfr_status tfr_calibrate_net(const struct tfr_calibrate_question *question, char **path);

#endif

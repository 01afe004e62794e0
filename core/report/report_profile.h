/* report_profile.h - what the forms of a profile share. Private to report. Thread rule: no state. */
#ifndef TFR_REPORT_REPORT_PROFILE_H
#define TFR_REPORT_REPORT_PROFILE_H

#include "profile/profile_run.h"

const char *tfr_grouping_name(enum tfr_grouping grouping);
double tfr_gap_percent(double measured_ns, double predicted_ns);
/* "memory" or "compute": what most of the time at the roof goes to. */
const char *tfr_bound_name(const struct tfr_profile_group *group);
/* Of all ranks together. */
double tfr_phase_busy_ns(const struct tfr_profile_phase *phase, int n_ranks);
/* report_profile_json.c */
enum tfr_status tfr_profile_json(const struct tfr_profile *profile, char **text);

#endif

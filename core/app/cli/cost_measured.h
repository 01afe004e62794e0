/* cost_measured.h - `tfrun cost --measured`: below the costs, what the same step took. Thread rule: main thread. */
#ifndef TFR_APP_COST_MEASURED_H
#define TFR_APP_COST_MEASURED_H

#include "app/cli/cli.h"

/* Before anything is printed: 0, or an exit code after a message where a query is not one step that can be run. */
int tfr_cost_check_measured(const struct tfr_cost_query *query);
/* Runs the step of the query and prints its profile; an exit code. */
int tfr_cost_print_measured(struct tfr_args *args, const struct tfr_cost_query *query);

#endif

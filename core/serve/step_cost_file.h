/* step_cost_file.h - measured costs of steps, kept in the user's cache folder by host, model and settings. Thread rule: no state.
 */
#ifndef TFR_SERVE_STEP_COST_FILE_H
#define TFR_SERVE_STEP_COST_FILE_H

#include "rank/rank.h"
#include "serve/step_cost.h"

/* "$XDG_CACHE_HOME/tfrun/steps-DIGEST-HOST-2t.json"; free with tfr_free. NULL after raising. */
char *tfr_step_cost_path(const struct tfr_engine *engine);
enum tfr_status tfr_step_cost_write(const struct tfr_step_cost *cost, const char *path);
/* False: there is none, or none that this tfrun can read. */
bool tfr_step_cost_read(struct tfr_step_cost *cost, const char *path);

#endif

/* measure.h - what the commands that run a model share: their flags, running on rank 0, delivering text. */
#ifndef TFR_APP_MEASURE_H
#define TFR_APP_MEASURE_H

#include <tfrun/profile.h>

#include "app/cli/cli.h"

/* -q, -v (twice: more) and --json as options of the config. */
void tfr_measure_apply_flags(struct tfr_args *args);
/* Opens the engine of the one operand; rank 0 calls `drive`, the others follow. Returns the exit code. */
int tfr_measure_run(const struct tfr_args *args, int (*drive)(struct tfr_engine *engine, const struct tfr_args *args));
/* Whether two names are one file, also where it is not there yet; two names of one device are no matter. */
bool tfr_measure_is_one_file(const char *a, const char *b);
/* Two results of the command line in one file (-o, --trace, --cache-save, --svg, ...) are refused: exit code. Part of
 * tfr_measure_run. */
int tfr_measure_check_names(const struct tfr_args *args);
/* tfr_cli_fail, with the exit code of the signal where work was stopped by one. */
int tfr_measure_fail(enum tfr_status status);
/* Whether the result could be written where the config says, before the work. Exit code. */
int tfr_measure_check_output(const struct tfr_engine *engine);
/* To stdout or the output file. Exit code. */
int tfr_measure_deliver(const struct tfr_engine *engine, const char *text, size_t size);

/* Of --format and --json: false after tfr_cli_usage. */
bool tfr_measure_read_form(const struct tfr_args *args, enum tfr_table_form *form);

/* Before tfr_measure_run: random weights for a model that has none, and a word about them on stderr; not on several ranks. After
 * the engine is open, or has failed to, they go. 0, or an exit code after a message. */
int tfr_measure_lend_weights(struct tfr_args *args);
void tfr_measure_return_weights(void);

#endif

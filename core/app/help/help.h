/* help.h - what `tfrun --help` says, as text and as one document that man pages and completions are made from.
 *
 * Thread rule: main thread.
 */
#ifndef TFR_APP_HELP_H
#define TFR_APP_HELP_H

#include "app/cli/cli.h"

/* Usage and options of a command; NULL: all commands, and the options of generate. Returns 0. */
int tfr_help(const struct tfr_command *command);
/* Commands with their flags and the keys that they read, all options, exit codes: schema tfrun-help-1. Returns an exit code. */
int tfr_help_json(void);

#endif

/* commands.h - the table of commands, and what belongs to each.
 *
 * Thread rule: main thread.
 */
#ifndef TFR_APP_COMMANDS_H
#define TFR_APP_COMMANDS_H

#include "app/cli/cli.h"

enum { TFR_N_COMMANDS = 24 };
extern const struct tfr_command *const tfr_commands[TFR_N_COMMANDS];

/* NULL where no command has the name. */
const struct tfr_command *tfr_find_command(const char *name);
/* Of a `const struct tfr_command *`: whether an option's key means something to it. */
bool tfr_command_reads(const void *command, const char *key);
/* The flags of a command, with --ranks where it runs on all of them; until the next call. */
const struct tfr_flag *tfr_command_flags(const struct tfr_command *command, size_t *n);

#endif

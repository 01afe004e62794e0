/* launch.h - `--ranks N` of the commands that run on all ranks: the process becomes the launcher of N ranks of
 * itself.
 *
 * Thread rule: main thread, before any other thread exists.
 */
#ifndef TFR_APP_LAUNCH_H
#define TFR_APP_LAUNCH_H

#include "app/cli/args.h"

extern const struct tfr_flag tfr_launch_flag; /* --ranks, beside the command's own flags */

/* A copy of the command line, from before the parser cuts words at '='; NULL where there is no memory. Forget takes NULL. */
char **tfr_launch_keep(int argc, char **argv);
void tfr_launch_forget(char **words);

/* Replaces the process by a launcher where --ranks asks for several and says on stderr what it runs. `words` are
 * those of tfr_launch_keep, `cut` what the parser was given in their place; `config` is the model that the ranks will open, NULL:
 * none. What is wrong with that is told before. Returns 0 where one process is enough, an exit code after a sentence where no
 * launcher can be started. */
int tfr_launch(const struct tfr_args *args, const char *config, char *const *words, char *const *cut);

#endif

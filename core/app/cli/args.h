/* args.h - the command line, driven by the option table of tfrun.h: every option key is a flag, and --set reaches the rest.
 *
 * Errors name the flag and the nearest known one. Thread rule: main thread.
 */
#ifndef TFR_APP_ARGS_H
#define TFR_APP_ARGS_H

#include <string.h>

#include <tfrun/tfrun.h>

/* Flags of a command that are not options of the config. */
struct tfr_flag {
    const char *name, *operand, *help; /* operand NULL: takes none; "": a switch, also --no-NAME and --NAME=true|false */
    char short_name;                   /* 0 if none */
};

struct tfr_flag_value {
    const struct tfr_flag *flag;
    const char *value; /* NULL when it takes none */
};

#define TFR_MAX_ARGS_GIVEN 256
enum { TFR_MAX_OPERANDS = 1024 }; /* more are refused */

struct tfr_args {
    const char *operands[TFR_MAX_OPERANDS];
    int n_operands;
    struct tfr_override overrides[TFR_MAX_ARGS_GIVEN];
    size_t n_overrides;
    struct tfr_flag_value flags[TFR_MAX_ARGS_GIVEN];
    size_t n_flags;
    bool help;
    const char *unknown; /* the word where it is no option of this command; else NULL */
    char error[512];     /* one sentence when parsing failed */
};

/* False with args->error set. argv[0] is skipped. Strings are borrowed from argv (some are cut at '='). */
bool tfr_args_parse(struct tfr_args *args, int argc, char **argv, const struct tfr_flag *flags, size_t n_flags);
/* Last value given for a flag of the command; NULL if absent ("" for one without operand, "true" or "false"
 * for a switch). */
const char *tfr_args_flag(const struct tfr_args *args, const char *name);
/* Of a switch: enum tfr_switch, CONFIG if absent. */
int tfr_args_switch(const struct tfr_args *args, const char *name);
/* How the command line says an override, for sentences: by its flag, or behind --set by its key. */
static inline const char *tfr_args_word(const struct tfr_override *said) {
    return strcmp(said->origin, "--set") == 0 ? said->key : said->origin;
}
void tfr_args_add(struct tfr_args *args, const char *key, const char *value, const char *origin);
/* Value of the index-th time a flag of the command was given; NULL beyond. */
const char *tfr_args_nth(const struct tfr_args *args, const char *name, size_t index);
/* How often a flag of the command was given. */
size_t tfr_args_count(const struct tfr_args *args, const char *name);
/* Two words for one thing, whichever of them a command has: the positions that are cached. NULL: there is no other word. */
const char *tfr_args_other_word(const char *name);
typedef bool (*tfr_args_reads_fn)(const void *user, const char *key);
/* Whether the option is among those of a command: it has a flag, the command reads it, and none of its own flags has the name. */
bool tfr_args_shows(const struct tfr_flag *flags, size_t n_flags, const struct tfr_option_info *option, tfr_args_reads_fn reads,
                    const void *user);
/* The command's own flags, then the options of the table that it reads, two columns in 100. */
void tfr_args_print_options(const struct tfr_flag *flags, size_t n_flags, tfr_args_reads_fn reads, const void *user);

#endif

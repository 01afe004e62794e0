/* fuzz_cli.c - command lines: a word a line; the first may name a command. What its parser takes goes on to the config of a small
 * model, or is refused there. Nothing is run but help. */
#define main tfr_fuzz_main_of_tfrun
#include "app/cli/main.c"
#undef main

#include <fcntl.h>

#include "base/status.h"
#include "harness.h"

enum { MOST_WORDS = 64 };

/* A word a line; borrowed from `text`. */
static int cut_words(char *text, char **words) {
    int n = 0;
    words[n++] = (char *)(uintptr_t) "tfrun";
    for (char *rest = text, *line; n < MOST_WORDS && (line = strsep(&rest, "\n")) != NULL;) {
        words[n++] = line;
    }
    words[n] = NULL;
    return n;
}

/* Numbers of flags as the commands ask for them. */
static void read_numbers(const struct tfr_args *args) {
    for (size_t i = 0; i < args->n_flags; i++) {
        int64_t value = 1;
        const char *name = args->flags[i].flag->name;
        (void)tfr_args_switch(args, name);
        if (args->flags[i].flag->operand != NULL && tfr_cli_int(args, name, 0, 1 << 20, &value)) {
            tfr_fuzz_require(value >= 0 && value <= 1 << 20, "a number of a flag is in its range");
        }
    }
}

/* What is printed goes nowhere. */
static void open_results(void) {
    static bool is_open;
    tfr_fuzz_hush();
    if (!is_open) {
        is_open = true;
        const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (getenv("TFR_FUZZ_VERBOSE") == NULL) {
            dup2(nowhere, STDOUT_FILENO);
        }
        tfr_results_open();
    }
}

static void give_help(const struct tfr_command *command, int argc, char **words) {
    if (argc > 2 && strcmp(words[1], "help") == 0) {
        (void)help_on(argc, words);
    } else {
        (void)tfr_help(command);
    }
    (void)tfr_cli_flush();
}

int tfr_fuzz_cli(const uint8_t *data, size_t size) {
    char *words[MOST_WORDS + 1], **argv = words, *text = tfr_fuzz_text(data, size), owners[128];
    int argc = cut_words(text, words);
    struct tfr_args args;
    size_t n_flags;
    open_results();
    if (argc > 2 && strcmp(words[1], "help") == 0) {
        give_help(NULL, argc, words);
        free(text);
        return 0;
    }
    const struct tfr_command *command = take_command(&argc, &argv);
    const struct tfr_flag *flags = tfr_command_flags(command, &n_flags);
    if (!tfr_args_parse(&args, argc, argv, flags, n_flags)) {
        tfr_fuzz_require(args.error[0] != '\0', "a command line that is refused has a sentence");
        name_owners(has_flag, args.unknown != NULL && strncmp(args.unknown, "--", 2) == 0 ? args.unknown + 2 : "", owners,
                    sizeof owners);
    } else if (args.help) {
        give_help(command, 0, NULL);
    } else if (!has_stray(command, &args)) {
        struct tfr_settings *settings;
        read_numbers(&args);
        if (args.n_operands > 0) {
            (void)nearest_command(args.operands[0]);
        }
        tfr_args_add(&args, "trust", TFR_SOURCE_DIR, "fuzz");
        if (tfr_fuzz_accepted(tfr_settings_open(&settings, tfr_fuzz_model("lm"), args.overrides, args.n_overrides))) {
            tfr_settings_close(settings);
        }
    }
    free(text);
    return 0;
}

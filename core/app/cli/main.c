/* main.c - from words to a command. `tfrun CONFIG` is `tfrun generate CONFIG`. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/cli.h"
#include "app/cli/commands.h"
#include "app/cli/launch.h"
#include "app/cli/results.h"
#include "app/help/help.h"

typedef bool (*is_owner_fn)(const struct tfr_command *command, const char *name);

static int count_owners(is_owner_fn is_owner, const char *name) {
    int n = 0;
    for (int i = 0; i < TFR_N_COMMANDS; i++) {
        n += is_owner(tfr_commands[i], name);
    }
    return n;
}

/* " (it belongs to eval, score)" of an option or flag, or nothing; of many commands the first few. */
static void name_owners(is_owner_fn is_owner, const char *name, char *text, size_t size) {
    enum { MOST_NAMED = 4 };
    const int n_owners = count_owners(is_owner, name);
    size_t n = 0;
    text[0] = '\0';
    for (int i = 0, named = 0; i < TFR_N_COMMANDS && named < MOST_NAMED && n < size; i++) {
        if (is_owner(tfr_commands[i], name)) {
            n += (size_t)snprintf(text + n, size - n, "%s%s", named == 0 ? " (it belongs to " : ", ", tfr_commands[i]->name);
            named++;
        }
    }
    if (n_owners > 0 && n < size) {
        snprintf(text + n, size - n, n_owners > MOST_NAMED ? " and %d others)" : ")", n_owners - MOST_NAMED);
    }
}

static bool is_reader(const struct tfr_command *command, const char *key) {
    return command->reads != NULL && tfr_command_reads(command, key);
}

static bool has_flag(const struct tfr_command *command, const char *name) {
    size_t n_flags;
    const struct tfr_flag *flags = tfr_command_flags(command, &n_flags);
    for (size_t f = 0; f < n_flags; f++) {
        if (strcmp(flags[f].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The map has no line in the table. */
static bool is_known(const char *key) {
    size_t n;
    const struct tfr_option_info *table = tfr_option_table(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].key, key) == 0) {
            return true;
        }
    }
    return strcmp(key, "parallel.device_map") == 0;
}

/* An unknown key is told by whoever reads the config, with the nearest one; "trust" is of all commands that read one. */
static bool is_judged_later(const struct tfr_command *command, const char *key) {
    return !is_known(key) && tfr_command_reads(command, "trust");
}

/* An option that the command does not look at is refused, not passed over. */
static bool has_stray(const struct tfr_command *command, const struct tfr_args *args) {
    for (size_t i = 0; i < args->n_overrides; i++) {
        const struct tfr_override *override = &args->overrides[i];
        if (!is_judged_later(command, override->key) && !tfr_command_reads(command, override->key)) {
            bool by_set = strcmp(override->origin, "--set") == 0;
            char readers[128];
            name_owners(is_reader, override->key, readers, sizeof readers);
            tfr_cli_usage("%s%s%s has no effect on `tfrun %s`%s; leave it out", override->origin, by_set ? " " : "",
                          by_set ? override->key : "", command->name, readers);
            return true;
        }
    }
    return false;
}

static const char *nearest_command(const char *word) {
    const char *names[TFR_N_COMMANDS];
    for (int i = 0; i < TFR_N_COMMANDS; i++) {
        names[i] = tfr_commands[i]->name;
    }
    return tfr_nearest_name(word, names, TFR_N_COMMANDS);
}

/* The command word, taken out of argv; `generate` when the first word is not one. */
static const struct tfr_command *take_command(int *argc, char ***argv) {
    const struct tfr_command *command = *argc > 1 ? tfr_find_command((*argv)[1]) : NULL;
    if (command == NULL) {
        return &tfr_cmd_generate;
    }
    (*argc)--;
    (*argv)++;
    return command;
}

/* `tfrun help WORD` */
static int help_on(int argc, char **argv) {
    const char *word = argv[2];
    const struct tfr_command *command = tfr_find_command(word);
    if (argc > 3) {
        return tfr_cli_usage("help takes one word, and \"%s\" is one more; leave it out", argv[3]);
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        return tfr_help(NULL);
    }
    if (strcmp(word, "--json") == 0) {
        return tfr_help_json();
    }
    const char *near = command == NULL ? nearest_command(word) : NULL;
    if (near != NULL) {
        return tfr_cli_usage("help: \"%s\" is no command; did you mean %s?", word, near);
    }
    if (command == NULL) {
        return tfr_cli_usage("help: \"%s\" is no command; `tfrun help` lists them, `tfrun help --json` has all as one document",
                             word);
    }
    return tfr_help(command);
}

static int run(int argc, char **argv, char *const *words) {
    char *const *cut = argv;
    if (argc < 2) {
        tfr_help(NULL);
        return tfr_cli_usage("give a config or a command");
    }
    if (strcmp(argv[1], "--version") == 0) {
        tfr_results_print("tfrun %s\n", tfr_version());
        return 0;
    }
    if (strcmp(argv[1], "help") == 0 && access(argv[1], F_OK) != 0) {
        return argc > 2 ? help_on(argc, argv) : tfr_help(NULL);
    }
    bool named = tfr_find_command(argv[1]) != NULL;
    const struct tfr_command *command = take_command(&argc, &argv);
    struct tfr_args args;
    size_t n_flags;
    const struct tfr_flag *flags = tfr_command_flags(command, &n_flags);
    if (!tfr_args_parse(&args, argc, argv, flags, n_flags)) {
        char owners[128];
        name_owners(has_flag, args.unknown != NULL && strncmp(args.unknown, "--", 2) == 0 ? args.unknown + 2 : "", owners,
                    sizeof owners);
        return tfr_cli_usage("%s%s", args.error, owners);
    }
    if (args.help) {
        return tfr_launched_rank() == 0 ? tfr_help(named ? command : NULL) : 0;
    }
    if (!named && args.n_operands > 1 && tfr_find_command(args.operands[1]) != NULL) {
        return tfr_cli_usage("the command comes first: tfrun %s %s", args.operands[1], args.operands[0]);
    }
    if (!named && args.n_operands > 0 && access(args.operands[0], F_OK) != 0) {
        const char *near = nearest_command(args.operands[0]);
        if (near != NULL) {
            return tfr_cli_usage("\"%s\" is neither a command nor a file; did you mean %s?", args.operands[0], near);
        }
        if (args.n_operands > 1) {
            return tfr_cli_usage("\"%s\" is not a command, and one config is enough; `tfrun --help` lists the commands",
                                 args.operands[0]);
        }
    }
    if (has_stray(command, &args)) {
        return tfr_exit_code(TFR_USAGE);
    }
    const bool opens = strncmp(command->operands, "CONFIG", 6) == 0 && args.n_operands > 0; /* not those that may have one */
    const int code = command->on_all_ranks ? tfr_launch(&args, opens ? args.operands[0] : NULL, words, cut) : 0;
    if (code != 0 || (!command->on_all_ranks && tfr_launched_rank() != 0)) {
        return code;
    }
    return command->run(&args);
}

TFR_API int main(int argc, char **argv); /* smpirun looks for it in the program that it loads */

int main(int argc, char **argv) {
    tfr_results_open();
    tfr_cli_end_cleanly();
    char **words = tfr_launch_keep(argc, argv);
    const int code = words != NULL ? run(argc, argv, words) : tfr_cli_no_memory("the command line");
    const int lost = tfr_cli_flush(); /* whatever was printed has arrived, or is told */
    tfr_launch_forget(words);
    return code != 0 ? code : lost;
}

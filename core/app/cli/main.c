/* main.c - the subcommand table. `tfrun CONFIG` is `tfrun generate CONFIG`. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/cli.h"
#include "app/cli/launch.h"
#include "app/cli/results.h"

static const struct tfr_command *const commands[] = {
    &tfr_cmd_generate, &tfr_cmd_forward, &tfr_cmd_tokenize, &tfr_cmd_eval, &tfr_cmd_score,    &tfr_cmd_classify,
    &tfr_cmd_plan,     &tfr_cmd_summary, &tfr_cmd_graph,    &tfr_cmd_cost, &tfr_cmd_check,    &tfr_cmd_plugins,
    &tfr_cmd_topology, &tfr_cmd_doctor,  &tfr_cmd_config,   &tfr_cmd_init, &tfr_cmd_quantize, &tfr_cmd_calibrate,
    &tfr_cmd_profile,  &tfr_cmd_bench,   &tfr_cmd_scaling,  &tfr_cmd_load, &tfr_cmd_repl,     &tfr_cmd_serve,
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const struct tfr_command *find_command(const char *name) {
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

static bool is_read(const void *user, const char *key) {
    const struct tfr_command *command = user;
    if (command->reads == NULL) {
        return true;
    }
    if (strncmp(key, "tfrun.", 6) == 0) {
        key += 6;
    }
    for (const char *const *read = command->reads; *read != NULL; read++) {
        size_t length = strlen(*read);
        bool is_section = length > 0 && (*read)[length - 1] == '.';
        if (is_section ? strncmp(key, *read, length) == 0 : strcmp(key, *read) == 0) {
            return true;
        }
    }
    return false;
}

/* The flags of a command, with --ranks where it runs on all of them; until the next call. */
static const struct tfr_flag *flags_of(const struct tfr_command *command, size_t *n) {
    static struct tfr_flag flags[32];
    *n = command->n_flags;
    if (!command->on_all_ranks || *n >= sizeof flags / sizeof flags[0]) {
        return command->flags;
    }
    for (size_t f = 0; f < *n; f++) {
        flags[f] = command->flags[f];
    }
    flags[(*n)++] = tfr_launch_flag;
    return flags;
}

static int print_help(const struct tfr_command *command) {
    size_t n_flags;
    const struct tfr_flag *flags = flags_of(command != NULL ? command : &tfr_cmd_generate, &n_flags);
    if (command != NULL) {
        const char *gap = command->operands[0] != '\0' ? " " : "";
        tfr_results_print("Usage: tfrun %s%s%s [OPTIONS]\n%s\n\n", command->name, gap, command->operands, command->help);
        tfr_args_print_options(flags, n_flags, is_read, command);
        return 0;
    }
    tfr_results_print(
        "tfrun %s runs GPT-2 models on CPUs.\n\n"
        "Usage: tfrun CONFIG [OPTIONS]            do what the config says (generate)\n"
        "       tfrun COMMAND ... [OPTIONS]\n"
        "       tfrun CONFIG --ranks N ...        the same, blocks split over N ranks: mpirun -n N tfrun CONFIG ...\n\n"
        "CONFIG is a Hugging Face config.json with an optional key \"tfrun\", or a model folder.\n\nCommands:\n",
        tfr_version());
    for (int i = 0; i < N_COMMANDS; i++) {
        tfr_results_print("  %-10s %-14s %s\n", commands[i]->name, commands[i]->operands, commands[i]->help);
    }
    tfr_results_print("\nOptions of generate (others: tfrun COMMAND --help):\n");
    tfr_args_print_options(flags, n_flags, is_read, &tfr_cmd_generate);
    return 0;
}

typedef bool (*is_owner_fn)(const struct tfr_command *command, const char *name);

static int count_owners(is_owner_fn is_owner, const char *name) {
    int n = 0;
    for (int i = 0; i < N_COMMANDS; i++) {
        n += is_owner(commands[i], name);
    }
    return n;
}

/* " (it belongs to eval, score)" of an option or flag, or nothing; of many commands the first few. */
static void name_owners(is_owner_fn is_owner, const char *name, char *text, size_t size) {
    enum { MOST_NAMED = 4 };
    const int n_owners = count_owners(is_owner, name);
    size_t n = 0;
    text[0] = '\0';
    for (int i = 0, named = 0; i < N_COMMANDS && named < MOST_NAMED && n < size; i++) {
        if (is_owner(commands[i], name)) {
            n += (size_t)snprintf(text + n, size - n, "%s%s", named == 0 ? " (it belongs to " : ", ", commands[i]->name);
            named++;
        }
    }
    if (n_owners > 0 && n < size) {
        snprintf(text + n, size - n, n_owners > MOST_NAMED ? " and %d others)" : ")", n_owners - MOST_NAMED);
    }
}

static bool is_reader(const struct tfr_command *command, const char *key) {
    return command->reads != NULL && is_read(command, key);
}

static bool has_flag(const struct tfr_command *command, const char *name) {
    size_t n_flags;
    const struct tfr_flag *flags = flags_of(command, &n_flags);
    for (size_t f = 0; f < n_flags; f++) {
        if (strcmp(flags[f].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* An unknown key is told by whoever reads the config, with the nearest one. */
static bool is_known(const char *key) {
    size_t n;
    const struct tfr_option_info *table = tfr_option_table(&n);
    key += strncmp(key, "tfrun.", 6) == 0 ? 6 : 0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

/* An option that the command does not look at is refused, not passed over. */
static bool has_stray(const struct tfr_command *command, const struct tfr_args *args) {
    for (size_t i = 0; i < args->n_overrides; i++) {
        const struct tfr_override *override = &args->overrides[i];
        if (is_known(override->key) && !is_read(command, override->key)) {
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
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i]->name;
    }
    return tfr_nearest_name(word, names, N_COMMANDS);
}

/* The command word, taken out of argv; `generate` when the first word is not one. */
static const struct tfr_command *take_command(int *argc, char ***argv) {
    const struct tfr_command *command = *argc > 1 ? find_command((*argv)[1]) : NULL;
    if (command == NULL) {
        return &tfr_cmd_generate;
    }
    (*argc)--;
    (*argv)++;
    return command;
}

static int run(int argc, char **argv, char *const *words) {
    char *const *cut = argv;
    if (argc < 2) {
        print_help(NULL);
        return tfr_cli_usage("give a config or a command");
    }
    if (strcmp(argv[1], "--version") == 0) {
        tfr_results_print("tfrun %s\n", tfr_version());
        return 0;
    }
    if (strcmp(argv[1], "help") == 0 && access(argv[1], F_OK) != 0) {
        return print_help(argc > 2 ? find_command(argv[2]) : NULL);
    }
    bool named = find_command(argv[1]) != NULL;
    const struct tfr_command *command = take_command(&argc, &argv);
    struct tfr_args args;
    size_t n_flags;
    const struct tfr_flag *flags = flags_of(command, &n_flags);
    if (!tfr_args_parse(&args, argc, argv, flags, n_flags)) {
        char owners[128];
        name_owners(has_flag, args.unknown != NULL && strncmp(args.unknown, "--", 2) == 0 ? args.unknown + 2 : "", owners,
                    sizeof owners);
        return tfr_cli_usage("%s%s", args.error, owners);
    }
    if (args.help) {
        return tfr_launched_rank() == 0 ? print_help(named ? command : NULL) : 0;
    }
    if (!named && args.n_operands > 1 && find_command(args.operands[1]) != NULL) {
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

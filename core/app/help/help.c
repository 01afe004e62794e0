/* help.c - usage and options of a command, or of all. */
#include "app/help/help.h"

#include "app/cli/commands.h"
#include "app/cli/results.h"

static int help_on_all(void) {
    size_t n_flags;
    const struct tfr_flag *flags = tfr_command_flags(&tfr_cmd_generate, &n_flags);
    tfr_results_print(
        "tfrun %s runs GPT-2 models on CPUs.\n\n"
        "Usage: tfrun CONFIG [OPTIONS]            do what the config says (generate)\n"
        "       tfrun COMMAND ... [OPTIONS]\n"
        "       tfrun CONFIG --ranks N ...        the same, blocks split over N ranks: mpirun -n N tfrun CONFIG ...\n\n"
        "CONFIG is a Hugging Face config.json with an optional key \"tfrun\", or a model folder.\n\nCommands:\n",
        tfr_version());
    for (int i = 0; i < TFR_N_COMMANDS; i++) {
        tfr_results_print("  %-10s %-14s %s\n", tfr_commands[i]->name, tfr_commands[i]->operands, tfr_commands[i]->help);
    }
    tfr_results_print("\nOptions of generate (others: tfrun COMMAND --help):\n");
    tfr_args_print_options(flags, n_flags, tfr_command_reads, &tfr_cmd_generate);
    return 0;
}

int tfr_help(const struct tfr_command *command) {
    size_t n_flags;
    if (command == NULL) {
        return help_on_all();
    }
    const struct tfr_flag *flags = tfr_command_flags(command, &n_flags);
    const char *gap = command->operands[0] != '\0' ? " " : "";
    tfr_results_print("Usage: tfrun %s%s%s [OPTIONS]\n%s\n\n", command->name, gap, command->operands, command->help);
    tfr_args_print_options(flags, n_flags, tfr_command_reads, command);
    return 0;
}

/* commands.c - the subcommand table. */
#include "app/cli/commands.h"

#include <string.h>

#include "app/cli/launch.h"

const struct tfr_command *const tfr_commands[TFR_N_COMMANDS] = {
    &tfr_cmd_generate, &tfr_cmd_forward, &tfr_cmd_tokenize, &tfr_cmd_eval, &tfr_cmd_score,    &tfr_cmd_classify,
    &tfr_cmd_plan,     &tfr_cmd_summary, &tfr_cmd_graph,    &tfr_cmd_cost, &tfr_cmd_check,    &tfr_cmd_plugins,
    &tfr_cmd_topology, &tfr_cmd_doctor,  &tfr_cmd_config,   &tfr_cmd_init, &tfr_cmd_quantize, &tfr_cmd_calibrate,
    &tfr_cmd_profile,  &tfr_cmd_bench,   &tfr_cmd_scaling,  &tfr_cmd_load, &tfr_cmd_repl,     &tfr_cmd_serve,
};

const struct tfr_command *tfr_find_command(const char *name) {
    for (int i = 0; i < TFR_N_COMMANDS; i++) {
        if (strcmp(tfr_commands[i]->name, name) == 0) {
            return tfr_commands[i];
        }
    }
    return NULL;
}

bool tfr_command_reads(const void *user, const char *key) {
    const struct tfr_command *command = user;
    if (command->reads == NULL) {
        return true;
    }
    for (const char *const *read = command->reads; *read != NULL; read++) {
        if (**read == '!' && strcmp(key, *read + 1) == 0) {
            return false;
        }
        size_t length = strlen(*read);
        bool is_section = length > 0 && (*read)[length - 1] == '.';
        if (is_section ? strncmp(key, *read, length) == 0 : strcmp(key, *read) == 0) {
            return true;
        }
    }
    return false;
}

const struct tfr_flag *tfr_command_flags(const struct tfr_command *command, size_t *n) {
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

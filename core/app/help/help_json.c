/* help_json.c - the tables of commands and options as one JSON document, for scripts/gen_manual.py and whoever wraps the command.
 */
#include <string.h>

#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "app/help/help.h"
#include "base/arena.h"
#include "base/json.h"

static void put_letter(struct tfr_json_out *out, char letter) {
    const char text[2] = {letter, '\0'};
    tfr_json_put_text_or_null(out, "short", letter != 0 ? text : NULL);
}

/* A switch has a --no- form; its operand is empty in the table. */
static void put_flag(struct tfr_json_out *out, const struct tfr_flag *flag) {
    const bool is_switch = flag->operand != NULL && flag->operand[0] == '\0';
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "name", flag->name);
    put_letter(out, flag->short_name);
    tfr_json_put_text_or_null(out, "also", tfr_args_other_word(flag->name));
    tfr_json_put_bool(out, "switch", is_switch);
    tfr_json_put_text_or_null(out, "operand", is_switch ? NULL : flag->operand);
    tfr_json_put_text(out, "help", flag->help);
    tfr_json_end(out, '}');
}

static void put_command(struct tfr_json_out *out, const struct tfr_command *command) {
    size_t n_flags, n_options;
    const struct tfr_flag *flags = tfr_command_flags(command, &n_flags);
    const struct tfr_option_info *table = tfr_option_table(&n_options);
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "name", command->name);
    tfr_json_put_text(out, "operands", command->operands);
    tfr_json_put_text(out, "help", command->help);
    tfr_json_begin(out, "flags", '[');
    for (size_t f = 0; f < n_flags; f++) {
        put_flag(out, &flags[f]);
    }
    tfr_json_end(out, ']');
    tfr_json_begin(out, "options", '[');
    for (size_t i = 0; i < n_options; i++) {
        if (tfr_args_shows(flags, n_flags, &table[i], tfr_command_reads, command)) {
            tfr_json_put_text(out, NULL, table[i].key);
        }
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

static void put_option(struct tfr_json_out *out, const struct tfr_option_info *option) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "key", option->key);
    tfr_json_put_text(out, "type", option->type);
    tfr_json_put_text_or_null(out, "flag", option->flag);
    put_letter(out, option->short_flag);
    tfr_json_put_text_or_null(out, "operand", option->operand);
    tfr_json_put_text_or_null(out, "choices", option->choices);
    tfr_json_put_text_or_null(out, "default", option->default_text);
    tfr_json_put_number(out, "min", option->min);
    tfr_json_put_number(out, "max", option->max);
    tfr_json_put_text(out, "help", option->help);
    tfr_json_end(out, '}');
}

/* Several kinds of failure may have one code. */
static void put_exit_codes(struct tfr_json_out *out) {
#define PUT_CODE(name, code, text)                                                                                                 \
    tfr_json_begin(out, NULL, '{');                                                                                                \
    tfr_json_put_int(out, "code", code);                                                                                           \
    tfr_json_put_text(out, "meaning", text);                                                                                       \
    tfr_json_end(out, '}');
    tfr_json_begin(out, "exit_codes", '[');
    TFR_STATUS_LIST(PUT_CODE)
    tfr_json_end(out, ']');
#undef PUT_CODE
}

int tfr_help_json(void) {
    size_t n_options;
    const struct tfr_option_info *table = tfr_option_table(&n_options);
    struct tfr_json_out out = {0};
    char *text;
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-help-1");
    tfr_json_put_text(&out, "version", tfr_version());
    tfr_json_begin(&out, "commands", '[');
    for (int i = 0; i < TFR_N_COMMANDS; i++) {
        put_command(&out, tfr_commands[i]);
    }
    tfr_json_end(&out, ']');
    tfr_json_begin(&out, "options", '[');
    for (size_t i = 0; i < n_options; i++) {
        put_option(&out, &table[i]);
    }
    tfr_json_end(&out, ']');
    put_exit_codes(&out);
    tfr_json_end(&out, '}');
    if (tfr_json_take(&out, &text) != TFR_OK) {
        return tfr_cli_no_memory("the document");
    }
    tfr_results_put(text, strlen(text));
    tfr_results_put("\n", 1);
    tfr_free(text);
    return tfr_cli_flush();
}

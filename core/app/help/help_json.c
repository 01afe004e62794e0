/* help_json.c - the tables of commands and options as one JSON document, for scripts/gen_manual.py and whoever wraps the command.
 */
#include <string.h>

#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "app/help/help.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"

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

/* "f32|bf16" as a list; null where any value will do. */
static void put_choices(struct tfr_json_out *out, const char *choices) {
    if (choices == NULL) {
        tfr_json_put_null(out, "choices");
        return;
    }
    tfr_json_begin(out, "choices", '[');
    for (const char *at = choices, *end; at != NULL; at = *end == '|' ? end + 1 : NULL) {
        end = at + strcspn(at, "|");
        tfr_json_put_string(out, NULL, at, (size_t)(end - at));
    }
    tfr_json_end(out, ']');
}

static void put_option(struct tfr_json_out *out, const struct tfr_option_info *option) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "key", option->key);
    tfr_json_put_text(out, "type", option->type);
    tfr_json_put_text_or_null(out, "flag", option->flag);
    put_letter(out, option->short_flag);
    tfr_json_put_text_or_null(out, "operand", option->operand);
    put_choices(out, option->choices);
    tfr_json_put_text_or_null(out, "default", option->default_text);
    tfr_json_put_number(out, "min", option->min);
    tfr_json_put_number(out, "max", option->max);
    tfr_json_put_text(out, "help", option->help);
    tfr_json_end(out, '}');
}

/* Each code once, for all commands; several kinds of failure may have one. */
static void put_exit_codes(struct tfr_json_out *out) {
#define CODE_ITEM(name, code, text) {code, #name, text},
    static const struct {
        int code;
        const char *name, *meaning;
    } kinds[] = {TFR_STATUS_LIST(CODE_ITEM)};
#undef CODE_ITEM
    tfr_json_begin(out, "exit_codes", '[');
    for (size_t i = 0; i < TFR_COUNT_OF(kinds); i++) {
        size_t first = 0;
        while (kinds[first].code != kinds[i].code) {
            first++;
        }
        if (first < i) {
            continue;
        }
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_int(out, "code", kinds[i].code);
        tfr_json_begin(out, "kinds", '[');
        for (size_t k = i; k < TFR_COUNT_OF(kinds); k++) {
            if (kinds[k].code == kinds[i].code) {
                tfr_json_begin(out, NULL, '{');
                tfr_json_put_text(out, "name", kinds[k].name);
                tfr_json_put_text(out, "meaning", kinds[k].meaning);
                tfr_json_end(out, '}');
            }
        }
        tfr_json_end(out, ']');
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
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

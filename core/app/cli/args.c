/* args.c - a small parser of its own, because flags come from a table at run time: --name value,
 * --name=value, -n value, -nVALUE, --no-name for booleans, --set key=value, "--" ends options. */
#include "app/cli/args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/results.h"

enum { HELP_COLUMN = 34, HELP_WIDTH = 100, MAX_FLAGS = 256 };
/* Overrides that commands add for their flags (-q, --json). */
enum { ROOM_FOR_FLAGS = 8 };

static bool fail(struct tfr_args *args, const char *what, const char *word, const char *hint) {
    snprintf(args->error, sizeof args->error, "%s %s%s", word, what, hint);
    return false;
}

static bool is_bool(const struct tfr_option_info *option) {
    return strcmp(option->type, "BOOL") == 0;
}

static bool is_switch(const struct tfr_flag *flag) {
    return flag->operand != NULL && flag->operand[0] == '\0';
}

static const struct tfr_option_info *find_option(const char *name, size_t length, char short_name) {
    size_t n;
    const struct tfr_option_info *table = tfr_option_table(&n);
    for (size_t i = 0; i < n; i++) {
        if (short_name != 0
                ? table[i].short_flag == short_name
                : table[i].flag != NULL && strlen(table[i].flag) == length && strncmp(table[i].flag, name, length) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

static const struct tfr_flag *find_flag(const struct tfr_flag *flags, size_t n, const char *name, size_t length, char short_name) {
    for (size_t i = 0; i < n; i++) {
        if (short_name != 0 ? flags[i].short_name == short_name
                            : strlen(flags[i].name) == length && strncmp(flags[i].name, name, length) == 0) {
            return &flags[i];
        }
    }
    return NULL;
}

const char *tfr_args_other_word(const char *name) {
    return strcmp(name, "cache") == 0 ? "context" : strcmp(name, "context") == 0 ? "cache" : NULL;
}

static const char *nearest(const char *name, const struct tfr_flag *flags, size_t n_flags) {
    const char *names[MAX_FLAGS];
    size_t n_options, n = 0;
    const struct tfr_option_info *table = tfr_option_table(&n_options);
    for (size_t i = 0; i < n_options && n < MAX_FLAGS; i++) {
        if (table[i].flag != NULL) {
            names[n++] = table[i].flag;
        }
    }
    for (size_t i = 0; i < n_flags && n < MAX_FLAGS; i++) {
        names[n++] = flags[i].name;
    }
    return tfr_nearest_name(name, names, n);
}

void tfr_args_add(struct tfr_args *args, const char *key, const char *value, const char *origin) {
    if (args->n_overrides < TFR_MAX_ARGS_GIVEN) {
        args->overrides[args->n_overrides++] = (struct tfr_override){.key = key, .value = value, .origin = origin};
    }
}

static void add_flag(struct tfr_args *args, const struct tfr_flag *flag, const char *value) {
    if (args->n_flags < TFR_MAX_ARGS_GIVEN) {
        args->flags[args->n_flags++] = (struct tfr_flag_value){.flag = flag, .value = value};
    }
}

struct words {
    char **argv;
    int argc, at;
    const struct tfr_flag *flags; /* [n_flags] of the command */
    size_t n_flags;
};

/* "-o", "--to" and "--to=int8", but not "-1". */
static bool is_option(const struct words *words, const char *word) {
    if (word[0] != '-' || word[1] == '\0') {
        return false;
    }
    const bool is_long = word[1] == '-';
    const char *name = word + 2;
    const size_t length = strcspn(name, "=");
    if (!is_long) {
        return word[2] == '\0' && (find_flag(words->flags, words->n_flags, NULL, 0, word[1]) || find_option(NULL, 0, word[1]));
    }
    return find_flag(words->flags, words->n_flags, name, length, 0) != NULL || find_option(name, length, 0) != NULL ||
           strcmp(word, "--set") == 0 || strcmp(word, "--help") == 0;
}

/* By the word that help has for the value: N, a number of seconds S, ... */
static bool wants_number(const struct tfr_flag *flag) {
    return flag->operand[0] != '\0' && flag->operand[1] == '\0' && strchr("AKNPSTV", flag->operand[0]) != NULL;
}

static bool is_number(const struct tfr_option_info *option) {
    static const char *const types[] = {"INT", "COUNT", "SEED", "REAL"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(option->type, types[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A number was left out, and the next option would be taken for it. */
static bool refuse_swallowed(struct tfr_args *args, const char *word, const char *value) {
    snprintf(args->error, sizeof args->error, "%s: \"%s\" is not a number but an option; give %s its number", word, value, word);
    return false;
}

/* The operand: after '=' if given, else the next word. */
static const char *take_operand(struct words *words, const char *attached) {
    if (attached != NULL) {
        return attached;
    }
    return words->at + 1 < words->argc ? words->argv[++words->at] : NULL;
}

/* A key may have the name of its section before it, "tfrun.". */
static bool take_set(struct tfr_args *args, const char *assignment) {
    static const char whole[] = "tfrun.";
    char *equals = assignment != NULL ? strchr(assignment, '=') : NULL;
    if (equals == NULL || equals == assignment) {
        return fail(args, "takes KEY=VALUE, such as runtime.dtype=bf16", "--set", "");
    }
    *equals = '\0';
    tfr_args_add(args, assignment + (strncmp(assignment, whole, strlen(whole)) == 0 ? strlen(whole) : 0), equals + 1, "--set");
    return true;
}

static bool take_option(struct tfr_args *args, struct words *words, const struct tfr_option_info *option, char *word,
                        const char *attached, bool negated) {
    if (is_bool(option)) {
        tfr_args_add(args, option->key, attached != NULL ? attached : negated ? "false" : "true", word);
        return true;
    }
    const char *value = negated ? NULL : take_operand(words, attached);
    if (value != NULL && attached == NULL && is_number(option) && is_option(words, value)) {
        return refuse_swallowed(args, word, value);
    }
    if (value == NULL) {
        return fail(args, negated ? "is not a switch; there is no --no- form" : "needs a value", word, "");
    }
    tfr_args_add(args, option->key, value, word);
    return true;
}

static bool take_switch(struct tfr_args *args, const struct tfr_flag *flag, const char *word, const char *attached, bool negated) {
    if (attached != NULL && (negated || (strcmp(attached, "true") != 0 && strcmp(attached, "false") != 0))) {
        return fail(args, negated ? "takes no value" : "is true or false", word, "");
    }
    add_flag(args, flag, attached != NULL ? attached : negated ? "false" : "true");
    return true;
}

static bool take_flag(struct tfr_args *args, struct words *words, const struct tfr_flag *flag, const char *word,
                      const char *attached) {
    if (flag->operand == NULL) {
        if (attached != NULL) {
            return fail(args, "takes no value", word, "");
        }
        add_flag(args, flag, "");
        return true;
    }
    const char *value = take_operand(words, attached);
    if (value != NULL && attached == NULL && wants_number(flag) && is_option(words, value)) {
        return refuse_swallowed(args, word, value);
    }
    if (value == NULL) {
        return fail(args, "needs a value", word, "");
    }
    add_flag(args, flag, value);
    return true;
}

static bool unknown(struct tfr_args *args, const char *word, const struct tfr_flag *flags, size_t n_flags) {
    char hint[128] = "; `tfrun COMMAND --help` lists those of a command";
    const char *near = nearest(word + strspn(word, "-"), flags, n_flags);
    if (near != NULL) {
        snprintf(hint, sizeof hint, "; did you mean --%s?", near);
    }
    args->unknown = word;
    return fail(args, "is not an option", word, hint);
}

static bool take_long(struct tfr_args *args, struct words *words, char *word, const struct tfr_flag *flags, size_t n_flags) {
    char *equals = strchr(word, '=');
    const char *attached = equals != NULL ? equals + 1 : NULL;
    if (equals != NULL) {
        *equals = '\0';
    }
    const char *name = word + 2;
    bool negated = strncmp(name, "no-", 3) == 0;
    const struct tfr_flag *flag = find_flag(flags, n_flags, name, strlen(name), 0);
    const struct tfr_option_info *option = find_option(name, strlen(name), 0);
    if (flag == NULL && option == NULL && negated) {
        flag = find_flag(flags, n_flags, name + 3, strlen(name + 3), 0);
        flag = flag != NULL && is_switch(flag) ? flag : NULL;
        option = find_option(name + 3, strlen(name + 3), 0);
    } else {
        negated = false;
    }
    if (flag == NULL && option == NULL && tfr_args_other_word(name) != NULL) {
        flag = find_flag(flags, n_flags, tfr_args_other_word(name), strlen(tfr_args_other_word(name)), 0);
    }
    if (strcmp(name, "help") == 0) {
        args->help = true;
        return true;
    }
    if (strcmp(name, "set") == 0) {
        return take_set(args, take_operand(words, attached));
    }
    if (flag != NULL && is_switch(flag)) {
        return take_switch(args, flag, word, attached, negated);
    }
    if (flag != NULL) {
        return take_flag(args, words, flag, word, attached);
    }
    return option != NULL ? take_option(args, words, option, word, attached, negated) : unknown(args, word, flags, n_flags);
}

static bool take_short(struct tfr_args *args, struct words *words, char *word, const struct tfr_flag *flags, size_t n_flags) {
    const char *attached = word[2] != '\0' ? word + 2 : NULL;
    const struct tfr_flag *flag = find_flag(flags, n_flags, NULL, 0, word[1]);
    const struct tfr_option_info *option = find_option(NULL, 0, word[1]);
    if (word[1] == 'h' && attached == NULL) {
        args->help = true;
        return true;
    }
    if (flag != NULL) {
        return take_flag(args, words, flag, word, attached);
    }
    return option != NULL ? take_option(args, words, option, word, attached, false) : unknown(args, word, flags, n_flags);
}

bool tfr_args_parse(struct tfr_args *args, int argc, char **argv, const struct tfr_flag *flags, size_t n_flags) {
    struct words words = {.argv = argv, .argc = argc, .flags = flags, .n_flags = n_flags};
    bool only_operands = false;
    *args = (struct tfr_args){0};
    for (words.at = 1; words.at < argc; words.at++) {
        char *word = argv[words.at];
        if (!only_operands && strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && word[0] == '-' && word[1] == '-') {
            if (!take_long(args, &words, word, flags, n_flags)) {
                return false;
            }
        } else if (!only_operands && word[0] == '-' && word[1] != '\0') {
            if (!take_short(args, &words, word, flags, n_flags)) {
                return false;
            }
        } else if (args->n_operands == TFR_MAX_OPERANDS) {
            return fail(args, "is one file more than the 1024 that a command takes; give a folder", word, "");
        } else {
            args->operands[args->n_operands++] = word;
        }
    }
    if (args->n_overrides > TFR_MAX_ARGS_GIVEN - ROOM_FOR_FLAGS || args->n_flags == TFR_MAX_ARGS_GIVEN) {
        return fail(args, "options are more than this command takes", "these", "");
    }
    return true;
}

const char *tfr_args_flag(const struct tfr_args *args, const char *name) {
    for (size_t i = args->n_flags; i > 0; i--) {
        if (strcmp(args->flags[i - 1].flag->name, name) == 0) {
            return args->flags[i - 1].value;
        }
    }
    return NULL;
}

const char *tfr_args_nth(const struct tfr_args *args, const char *name, size_t index) {
    for (size_t i = 0; i < args->n_flags; i++) {
        if (strcmp(args->flags[i].flag->name, name) == 0 && index-- == 0) {
            return args->flags[i].value;
        }
    }
    return NULL;
}

size_t tfr_args_count(const struct tfr_args *args, const char *name) {
    size_t count = 0;
    for (size_t i = 0; i < args->n_flags; i++) {
        count += strcmp(args->flags[i].flag->name, name) == 0;
    }
    return count;
}

int tfr_args_switch(const struct tfr_args *args, const char *name) {
    const char *value = tfr_args_flag(args, name);
    return value == NULL ? TFR_SWITCH_CONFIG : strcmp(value, "true") == 0 ? TFR_SWITCH_ON : TFR_SWITCH_OFF;
}

/* Words of `text` wrapped between the help column and the right margin. */
static void print_wrapped(const char *text) {
    size_t column = HELP_COLUMN;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column + word + 1 > HELP_WIDTH) {
            tfr_results_print("\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        tfr_results_print(" %.*s", (int)word, text);
        column += word + 1;
        text += word + strspn(text + word, " ");
    }
    tfr_results_print("\n");
}

static void print_line(char short_name, const char *name, const char *operand, const char *help) {
    char left[128];
    int n = short_name != 0 ? snprintf(left, sizeof left, "  -%c, --%s", short_name, name)
                            : snprintf(left, sizeof left, "      --%s", name);
    if (operand != NULL && n > 0 && (size_t)n < sizeof left) {
        n += snprintf(left + n, sizeof left - (size_t)n, " %s", operand);
    }
    tfr_results_print("%-*s", HELP_COLUMN, left);
    if (n >= HELP_COLUMN) {
        tfr_results_print("\n%*s", HELP_COLUMN, "");
    }
    print_wrapped(help);
}

static void print_flag(const struct tfr_flag *flag) {
    char name[64];
    const char *also = tfr_args_other_word(flag->name);
    snprintf(name, sizeof name,
             also != NULL      ? "%s, --%s"
             : is_switch(flag) ? "%s, --no-%s"
                               : "%s",
             flag->name, also != NULL ? also : flag->name);
    print_line(flag->short_name, name, is_switch(flag) ? NULL : flag->operand, flag->help);
}

static void print_option(const struct tfr_option_info *option) {
    char help[512];
    int n = snprintf(help, sizeof help, "%s", option->help);
    if (option->choices != NULL && n > 0 && (size_t)n < sizeof help) {
        n += snprintf(help + n, sizeof help - (size_t)n, " (%s)", option->choices);
    }
    if (option->default_text != NULL && n > 0 && (size_t)n < sizeof help) {
        snprintf(help + n, sizeof help - (size_t)n, " [%s]", option->default_text);
    }
    char name[64];
    snprintf(name, sizeof name, is_bool(option) ? "%s, --no-%s" : "%s", option->flag, option->flag);
    print_line(option->short_flag, name, option->operand, help);
}

/* A flag of the command hides an option of the same name; --set still reaches that. */
static bool is_hidden(const struct tfr_flag *flags, size_t n_flags, const char *name) {
    for (size_t i = 0; i < n_flags; i++) {
        if (strcmp(flags[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

bool tfr_args_shows(const struct tfr_flag *flags, size_t n_flags, const struct tfr_option_info *option, tfr_args_reads_fn reads,
                    const void *user) {
    return option->flag != NULL && reads(user, option->key) && !is_hidden(flags, n_flags, option->flag);
}

void tfr_args_print_options(const struct tfr_flag *flags, size_t n_flags, tfr_args_reads_fn reads, const void *user) {
    size_t n, n_read = 0;
    const struct tfr_option_info *table = tfr_option_table(&n);
    for (size_t i = 0; i < n_flags; i++) {
        print_flag(&flags[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (!tfr_args_shows(flags, n_flags, &table[i], reads, user)) {
            continue;
        }
        if (n_read++ == 0) {
            tfr_results_print("\nOptions of the config, each a key under \"tfrun\" (docs/config.md); the last of two counts, "
                              "lists grow:\n");
        }
        print_option(&table[i]);
    }
    if (n_read > 0) {
        print_line(0, "set", "KEY=VALUE", "any key under \"tfrun\", such as runtime.dtype=bf16; may be given several times");
    }
    print_line('h', "help", NULL, "this text");
}

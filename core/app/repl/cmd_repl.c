/* cmd_repl.c - `tfrun repl CONFIG`: a text that grows line by line, typed and generated. A line is put behind the text, which then
 * goes on; lines that begin with / are commands. From a pipe the same lines are a script: its stdout has what was asked for alone,
 * and the first failure ends it. */
#include <langinfo.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/measure.h"
#include "app/cli/results.h"
#include "app/repl/repl.h"
#include "app/repl/repl_lines.h"

static const struct tfr_flag flags[] = {
    {"quiet", NULL, "only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics; -v -v for still more", 'v'},
};
static const char *const reads[] = {
    "trust",    "!model.aliases", "model.",  "!sampling.logprobs", "!sampling.prompt_logprobs", "sampling.",
    "runtime.", "parallel.",      "plugins", "observe.",           TFR_ENGINE_SERVING,          NULL};

struct command {
    const char *word, *operands;
    int fewest, most;
    int (*run)(struct tfr_repl *repl, char **operands);
    const char *help;
};

static const struct command commands[] = {
#define TFR_REPL(word, operands, fewest, most, does, help) {word, operands, fewest, most, tfr_repl_##does, help},
#include "app/repl/repl_commands.def"
#undef TFR_REPL
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0], MOST_OPERANDS = 2 };

int tfr_repl_help(struct tfr_repl *repl, char **operands) {
    (void)repl;
    (void)operands;
    tfr_results_print(
        "A line is put behind the text, as it is, and the text goes on. A line that ends in \\ is put there with a line\n"
        "end, and nothing goes on yet. A line that begins with // begins with / in the text. Ctrl-C stops.\n");
    for (int i = 0; i < N_COMMANDS; i++) {
        char word[40];
        snprintf(word, sizeof word, "/%s %s", commands[i].word, commands[i].operands);
        tfr_results_print("  %-18s %s\n", word, commands[i].help);
    }
    return 0;
}

int tfr_repl_quit(struct tfr_repl *repl, char **operands) {
    (void)operands;
    repl->has_quit = true;
    return 0;
}

/* A word may be shortened as far as it stays one command's. NULL after a message. */
static const struct command *find_command(const char *word) {
    const struct command *found = NULL;
    const char *names[N_COMMANDS];
    int n = 0;
    for (int i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].word;
        if (strcmp(commands[i].word, word) == 0) {
            return &commands[i];
        }
        if (*word != '\0' && strncmp(commands[i].word, word, strlen(word)) == 0) {
            found = &commands[i];
            n++;
        }
    }
    if (n == 1) {
        return found;
    }
    const char *near = n == 0 ? tfr_nearest_name(word, names, N_COMMANDS) : NULL;
    tfr_cli_usage("/%s is %s%s%s%s; /help lists the commands", word, n > 1 ? "several commands" : "no command",
                  near != NULL ? "; did you mean /" : "", near != NULL ? near : "", near != NULL ? "?" : "");
    return NULL;
}

/* The operands of a command, cut out of its line; the last one is the rest. */
static int split(char *at, int most, char **operands) {
    int n = 0;
    while (*(at += strspn(at, " \t")) != '\0') {
        if (n == most) {
            return most + 1;
        }
        operands[n++] = at;
        at += n == most ? strlen(at) : strcspn(at, " \t");
        if (*at != '\0') {
            *at++ = '\0';
        }
    }
    size_t size = n > 0 ? strlen(operands[n - 1]) : 0;
    while (size > 0 && (operands[n - 1][size - 1] == ' ' || operands[n - 1][size - 1] == '\t')) { /* blanks at the end */
        operands[n - 1][--size] = '\0';
    }
    return n;
}

static int run_command(struct tfr_repl *repl, char *line) {
    char *operands[MOST_OPERANDS + 1] = {NULL};
    const size_t length = strcspn(line, " \t");
    char *rest = line + length + (line[length] != '\0');
    line[length] = '\0';
    repl->overwrites = strcmp(line, "save!") == 0;
    const struct command *command = find_command(repl->overwrites ? "save" : line);
    if (command == NULL) {
        return tfr_exit_code(TFR_USAGE);
    }
    const int n = split(rest, command->most, operands);
    if (n < command->fewest || n > command->most) {
        return tfr_cli_usage("/%s takes %s, and got %d words", command->word,
                             command->operands[0] != '\0' ? command->operands : "nothing", n);
    }
    return command->run(repl, operands);
}

static int run_line(struct tfr_repl *repl, char *line) {
    char *nobody[MOST_OPERANDS + 1] = {NULL};
    if (line[0] == '/' && line[1] != '/') {
        return run_command(repl, line + 1);
    }
    line += line[0] == '/';
    const size_t size = strlen(line);
    const bool goes_on = size == 0 || line[size - 1] != '\\';
    if (!goes_on) {
        line[size - 1] = '\n';
    }
    const int code = size > 0 ? tfr_repl_type(repl, line, size, false) : 0;
    return code == 0 && goes_on ? tfr_repl_go_on(repl, nobody) : code;
}

/* Of a terminal failures are told and forgotten. */
static int run_lines(struct tfr_repl *repl) {
    struct tfr_repl_lines lines;
    bool was_stopped;
    char *line;
    int code = 0;
    tfr_repl_lines_open(&lines, repl->is_interactive);
    while (code == 0 && !repl->has_quit && (line = tfr_repl_lines_next(&lines, &was_stopped)) != NULL) {
        code = was_stopped ? 0 : run_line(repl, line);
        const int written = tfr_cli_flush();
        code = repl->is_interactive ? 0 : code != 0 ? code : written;
    }
    if (lines.error != 0) {
        fprintf(stderr, "tfrun: cannot read stdin: %s\n", strerror(lines.error));
        code = tfr_exit_code(TFR_RESOURCE);
    }
    tfr_repl_lines_close(&lines);
    return code;
}

/* Line editing counts characters. */
static void speak_utf8(void) {
    if (setlocale(LC_CTYPE, "") == NULL || strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
        setlocale(LC_CTYPE, "C.UTF-8");
    }
}

static int drive(struct tfr_engine *engine, const struct tfr_args *args) {
    struct tfr_repl repl = {.engine = engine, .is_interactive = isatty(STDIN_FILENO) == 1};
    const enum tfr_status status = tfr_vocabulary_open(&repl.vocabulary, args->operands[0], args->overrides, args->n_overrides);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    if (repl.is_interactive) {
        speak_utf8();
        fprintf(stderr, "tfrun: type text, or /help; %lld tokens at most\n", (long long)tfr_engine_n_positions(engine));
    }
    int code = tfr_repl_open_text(&repl);
    code = code == 0 ? run_lines(&repl) : code;
    tfr_repl_close_text(&repl);
    tfr_repl_forget_settings(&repl);
    tfr_vocabulary_close(repl.vocabulary);
    return code;
}

static int run(struct tfr_args *args) {
    tfr_measure_apply_flags(args);
    return tfr_measure_run(args, drive);
}

const struct tfr_command tfr_cmd_repl = {
    .name = "repl",
    .operands = "CONFIG",
    .help = "a text that grows line by line, typed and generated",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};

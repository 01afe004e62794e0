/* cmd_tokenize.c - `tfrun tokenize`: text to ids, or ids to text with --decode. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/cli.h"
#include "app/cli/results.h"

static const struct tfr_flag flags[] = {
    {"decode", NULL, "input is ids (decimal, any separators), output is text", 0},
    {"pieces", NULL, "one line a token: id and its bytes as a quoted string", 0},
    {"plain", NULL, "special tokens spelled out in the text are ordinary text", 0},
    {"count", NULL, "only the number of tokens", 0},
};

static const char *const reads[] = {"trust", "model.tokenizer", "input.prompt", "input.file", NULL};

static const char *option(const struct tfr_args *args, const char *key) {
    for (size_t i = args->n_overrides; i > 0; i--) {
        if (strcmp(args->overrides[i - 1].key, key) == 0) {
            return args->overrides[i - 1].value;
        }
    }
    return NULL;
}

static void print_ids(const struct tfr_vocabulary *vocabulary, const struct tfr_args *args, const int32_t *ids, size_t n) {
    if (tfr_args_flag(args, "count") != NULL) {
        tfr_results_print("%zu\n", n);
        return;
    }
    bool pieces = tfr_args_flag(args, "pieces") != NULL;
    for (size_t i = 0; i < n; i++) {
        size_t size;
        if (pieces) {
            const char *bytes = tfr_vocabulary_bytes(vocabulary, ids[i], &size);
            tfr_results_print("%d ", ids[i]);
            tfr_results_put_piece(bytes, size);
            tfr_results_put("\n", 1);
        } else {
            tfr_results_print(i > 0 ? " %d" : "%d", ids[i]);
        }
    }
    if (!pieces) {
        tfr_results_put("\n", 1);
    }
}

static int encode(const struct tfr_vocabulary *vocabulary, const struct tfr_args *args, const char *text, size_t size) {
    int32_t *ids;
    size_t n;
    enum tfr_status status = tfr_vocabulary_encode(vocabulary, text, size, tfr_args_flag(args, "plain") != NULL, &ids, &n);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    print_ids(vocabulary, args, ids, n);
    tfr_string_free(ids);
    return 0;
}

/* Decimal numbers in any text. Exit code; the ids are the caller's where it is 0. */
static int parse_ids(char *text, int32_t **ids, size_t *n) {
    *ids = malloc((strlen(text) / 2 + 1) * sizeof **ids);
    *n = 0;
    if (*ids == NULL) {
        return tfr_cli_no_memory("the ids");
    }
    for (char *at = text; *at != '\0';) {
        char *end;
        errno = 0;
        long value = strtol(at, &end, 10);
        if (end == at) {
            if (!isspace((unsigned char)*at) && strchr(",[]", *at) == NULL) {
                tfr_cli_usage("\"%.20s\" is not a list of token ids", at);
                free(*ids);
                return tfr_exit_code(TFR_USAGE);
            }
            at++;
            continue;
        }
        if (errno != 0 || value < 0 || value > INT32_MAX) {
            tfr_cli_usage("token id %.*s is out of range", (int)(end - at), at);
            free(*ids);
            return tfr_exit_code(TFR_USAGE);
        }
        (*ids)[(*n)++] = (int32_t)value;
        at = end;
    }
    return 0;
}

static int decode(const struct tfr_vocabulary *vocabulary, char *text) {
    int32_t *ids;
    size_t n, size;
    char *out;
    const int code = parse_ids(text, &ids, &n);
    if (code != 0) {
        return code;
    }
    enum tfr_status status = tfr_vocabulary_decode(vocabulary, ids, n, &out, &size);
    free(ids);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    tfr_results_put(out, size);
    tfr_string_free(out);
    return 0;
}

static bool go_together(const struct tfr_args *args, const char *prompt, const char *file) {
    static const char *const of_ids[] = {"count", "pieces", "plain"};
    for (size_t i = 0; i < sizeof of_ids / sizeof of_ids[0]; i++) {
        if (tfr_args_flag(args, "decode") != NULL && tfr_args_flag(args, of_ids[i]) != NULL) {
            tfr_cli_usage("--decode gives text; --%s is about token ids: leave one of them out", of_ids[i]);
            return false;
        }
    }
    if (tfr_args_flag(args, "count") != NULL && tfr_args_flag(args, "pieces") != NULL) {
        tfr_cli_usage("--count gives a number alone, --pieces a line for each token; leave one of them out");
        return false;
    }
    if (prompt != NULL && file != NULL) {
        tfr_cli_usage("--prompt and --file are two sources of the text; give one");
        return false;
    }
    return true;
}

/* Of -p, or of a file; NULL after a message. */
static char *read_text(const char *prompt, const char *file, size_t *size) {
    if (prompt == NULL) {
        return tfr_cli_read(file != NULL ? file : "-", size);
    }
    char *text = strdup(prompt);
    *size = strlen(prompt);
    if (text == NULL) {
        tfr_cli_no_memory("the prompt");
    }
    return text;
}

static int run(struct tfr_args *args) {
    const char *config = tfr_cli_operand(args, "a config, a model folder or a tokenizer.json");
    const char *prompt = option(args, "input.prompt"), *file = option(args, "input.file");
    if (config == NULL || !tfr_cli_one_prompt(args) || !go_together(args, prompt, file)) {
        return tfr_exit_code(TFR_USAGE);
    }
    struct tfr_vocabulary *vocabulary;
    enum tfr_status status = tfr_vocabulary_open(&vocabulary, config, args->overrides, args->n_overrides);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    size_t size;
    char *text = read_text(prompt, file, &size);
    int code = tfr_exit_code(TFR_RESOURCE);
    if (text != NULL) {
        code = tfr_args_flag(args, "decode") != NULL ? decode(vocabulary, text) : encode(vocabulary, args, text, size);
    }
    free(text);
    tfr_vocabulary_close(vocabulary);
    return code == 0 ? tfr_cli_flush() : code;
}

const struct tfr_command tfr_cmd_tokenize = {
    .name = "tokenize",
    .operands = "CONFIG",
    .help = "text (-p, -f or stdin) to token ids, or back with --decode",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .run = run,
};

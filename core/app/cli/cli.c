/* cli.c - see cli.h. */
#include "app/cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A launcher ends all ranks when the first one leaves with a failure: rank 0 gets the time to say why. */
static void let_rank_0_speak(void) {
    const struct timespec pause = {.tv_nsec = 500000000};
    nanosleep(&pause, NULL);
}

int tfr_cli_fail(enum tfr_status status) {
    if (tfr_launched_rank() != 0) {
        let_rank_0_speak();
    } else {
        const char *text = tfr_last_error();
        while (*text != '\0') {
            size_t line = strcspn(text, "\n");
            fprintf(stderr, "tfrun: %.*s\n", (int)line, text);
            text += line + (text[line] == '\n');
        }
    }
    return tfr_exit_code(status);
}

int tfr_cli_usage(const char *format, ...) {
    if (tfr_launched_rank() == 0) {
        va_list arguments;
        va_start(arguments, format);
        fputs("tfrun: ", stderr);
        vfprintf(stderr, format, arguments);
        fputc('\n', stderr);
        va_end(arguments);
    }
    return tfr_exit_code(TFR_USAGE);
}

const char *tfr_cli_operand(const struct tfr_args *args, const char *what) {
    if (args->n_operands == 1) {
        return args->operands[0];
    }
    if (args->n_operands == 0) {
        tfr_cli_usage("give %s; `tfrun --help` shows how", what);
    } else {
        tfr_cli_usage("one operand is enough (%s), \"%s\" is one too many; quote text with spaces, and give a switch its value "
                      "with = (--echo=false)", what, args->operands[1]);
    }
    return NULL;
}

int tfr_cli_write_failure(int error) {
    if (error == EPIPE) {
        return 0;
    }
    fprintf(stderr, "tfrun: cannot write to stdout: %s\n", strerror(error));
    return tfr_exit_code(TFR_RUNTIME);
}

int tfr_cli_flush(void) {
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : tfr_cli_write_failure(errno);
}

int tfr_cli_print(char *text) {
    size_t length = strlen(text);
    fputs(text, stdout);
    if (length == 0 || text[length - 1] != '\n') {
        putchar('\n');
    }
    tfr_string_free(text);
    return tfr_cli_flush();
}

bool tfr_cli_one_prompt(const struct tfr_args *args) {
    size_t n = 0;
    for (size_t i = 0; i < args->n_overrides; i++) {
        n += strcmp(args->overrides[i].key, "input.prompt") == 0;
    }
    if (n > 1) {
        tfr_cli_usage("--prompt is given %zu times; this command takes one text", n);
    }
    return n <= 1;
}

bool tfr_cli_int(const struct tfr_args *args, const char *flag, int64_t min, int64_t max, int64_t *value) {
    const char *text = tfr_args_flag(args, flag);
    if (text == NULL) {
        return true;
    }
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < min || number > max) {
        tfr_cli_usage("--%s: \"%s\" is not a whole number in %lld..%lld", flag, text, (long long)min, (long long)max);
        return false;
    }
    *value = number;
    return true;
}

static volatile sig_atomic_t caught_signal;

static void on_signal(int number) {
    caught_signal = number;
    tfr_engine_cancel();
    signal(number, SIG_DFL); /* a second one ends at once */
}

void tfr_cli_catch_signals(void) {
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
}

int tfr_cli_cancelled(void) {
    return caught_signal != 0 ? 128 + (int)caught_signal : tfr_exit_code(TFR_CANCELLED);
}

static char *read_stream(FILE *stream, size_t *size) {
    size_t capacity = 1 << 16;
    char *text = malloc(capacity);
    *size = 0;
    while (text != NULL) {
        *size += fread(text + *size, 1, capacity - *size - 1, stream);
        if (*size < capacity - 1) {
            break;
        }
        char *grown = realloc(text, capacity *= 2);
        if (grown == NULL) {
            free(text);
        }
        text = grown;
    }
    if (text == NULL || ferror(stream)) {
        free(text);
        return NULL;
    }
    text[*size] = '\0';
    return text;
}

char *tfr_cli_read(const char *path, size_t *size) {
    bool standard = strcmp(path, "-") == 0;
    FILE *stream = standard ? stdin : fopen(path, "rb");
    char *text = stream != NULL ? read_stream(stream, size) : NULL;
    if (text == NULL) {
        tfr_cli_usage("cannot read %s: %s", standard ? "stdin" : path, strerror(errno));
    }
    if (stream != NULL && !standard) {
        fclose(stream);
    }
    return text;
}

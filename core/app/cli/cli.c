/* cli.c - see cli.h. */
#include "app/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/cli/results.h"
#include "app/help/tell.h"

/* A launcher ends all ranks when the first one leaves with a failure: rank 0 gets the time to say why. */
static void let_rank_0_speak(void) {
    const struct timespec pause = {.tv_nsec = 500000000};
    nanosleep(&pause, NULL);
}

bool tfr_cli_has_launcher(void) {
    return getenv("OMPI_COMM_WORLD_SIZE") != NULL || getenv("PMIX_RANK") != NULL || getenv("PMI_RANK") != NULL;
}

void tfr_cli_settle(void) {
    enum { MOST_ROUNDS = 2000, MS = 1000000 };
    const struct timespec moment = {.tv_nsec = MS}, pause = {.tv_nsec = 100 * MS};
    if (!tfr_cli_has_launcher()) {
        return;
    }
    for (int i = 0; i < MOST_ROUNDS && tfr_results_are_unread(); i++) {
        nanosleep(&moment, NULL);
    }
    nanosleep(&pause, NULL);
}

/* Work was cancelled as another rank is gone, of which this rank told or the launcher does. */
static bool is_told_of(enum tfr_status status) {
    return status == TFR_CANCELLED && tfr_launched_size() > 1 && tfr_cli_is_sibling_gone();
}

int tfr_cli_fail(enum tfr_status status) {
    if (tfr_launched_rank() == 0) {
        tfr_cli_settle();
    }
    if (is_told_of(status)) {
        return tfr_exit_code(tfr_launched_is_named() ? TFR_RUNTIME : status);
    }
    if (tfr_launched_rank() != 0) {
        let_rank_0_speak();
    } else {
        const char *text = tfr_last_error();
        if (*text == '\0') {
            text = status == TFR_RESOURCE ? "no memory, or no more files" : "it failed, and left no words";
        }
        while (*text != '\0') {
            size_t line = strcspn(text, "\n");
            fprintf(stderr, "tfrun: %.*s\n", (int)line, text);
            text += line + (text[line] == '\n');
        }
    }
    return tfr_exit_code(status);
}

void tfr_cli_tell(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tfr_tell(format, arguments);
    va_end(arguments);
}

int tfr_cli_usage(const char *format, ...) {
    if (tfr_launched_rank() == 0) {
        va_list arguments;
        va_start(arguments, format);
        tfr_tell(format, arguments);
        va_end(arguments);
    }
    return tfr_exit_code(TFR_USAGE);
}

int tfr_cli_no_memory(const char *what) {
    fprintf(stderr, "tfrun: no memory for %s\n", what);
    return tfr_exit_code(TFR_RESOURCE);
}

const char *tfr_cli_operand(const struct tfr_args *args, const char *what) {
    if (args->n_operands == 1) {
        return args->operands[0];
    }
    if (args->n_operands == 0) {
        tfr_cli_usage("give %s; `tfrun --help` shows how", what);
    } else {
        tfr_cli_usage("one operand is enough (%s), \"%s\" is one too many; quote text with spaces, and give a switch its value "
                      "with = (--echo=false)",
                      what, args->operands[1]);
    }
    return NULL;
}

int tfr_cli_write_failure(int error) {
    static bool told;
    if (error == EPIPE) {
        return 0;
    }
    if (told) {
        return tfr_exit_code(TFR_RUNTIME);
    }
    told = true;
    fprintf(stderr, "tfrun: cannot write to stdout: %s\n", strerror(error));
    return tfr_exit_code(TFR_RUNTIME);
}

int tfr_cli_flush(void) {
    const int error = tfr_results_flush();
    return error == 0 ? 0 : tfr_cli_write_failure(error);
}

int tfr_cli_print(char *text) {
    size_t length = strlen(text);
    tfr_results_put(text, length);
    if (length == 0 || text[length - 1] != '\n') {
        tfr_results_put("\n", 1);
    }
    tfr_string_free(text);
    return tfr_cli_flush();
}

void tfr_cli_take_folder(struct tfr_args *args) {
    const char *directory = tfr_args_flag(args, "output");
    if (directory != NULL) {
        tfr_args_add(args, "output.file", directory, "--output");
    }
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
    const char first = text[*text == '-']; /* neither blanks nor a plus, which strtoll would pass over */
    if (first < '0' || first > '9' || errno != 0 || *end != '\0' || number < min || number > max) {
        char most[32] = "2^63 - 1";
        if (max < INT64_MAX) {
            snprintf(most, sizeof most, "%lld", (long long)max);
        }
        tfr_cli_usage("--%s: \"%s\" is not a whole number in %lld..%s", flag, text, (long long)min, most);
        return false;
    }
    *value = number;
    return true;
}

static volatile sig_atomic_t caught_signal;

/* What rank 0 says in end_at_once, made before, as a handler may do little: a launcher tells of ranks that die, but not that it was
 * interrupted itself. */
static struct {
    char sentence[192], siblings[64];
    int n_local;
    bool is_alone; /* without a launcher */
} farewell;

static void prepare_farewell(void) {
    const char *open_mpi = getenv("OMPI_COMM_WORLD_LOCAL_SIZE"), *hydra = getenv("MPI_LOCALNRANKS");
    char host[64] = "?";
    farewell.is_alone = tfr_launched_size() == 1;
    if (farewell.is_alone) {
        return;
    }
    tfr_launched_hear();
    if (tfr_launched_rank() != 0) {
        return;
    }
    gethostname(host, sizeof host - 1);
    snprintf(farewell.sentence, sizeof farewell.sentence,
             "tfrun: rank 0 on host %s was told by a signal to end, before there were results\n", host);
    snprintf(farewell.siblings, sizeof farewell.siblings, "/proc/%d/task/%d/children", (int)getppid(), (int)getppid());
    farewell.n_local = (int)strtol(open_mpi != NULL ? open_mpi : hydra != NULL ? hydra : "0", NULL, 10);
}

/* Of the process that started this one, as far as they are in the first 4 KB of the system's list; -1 where it has none. */
static int count_siblings(void) {
    char text[4096];
    int n = 0;
    const int file = open(farewell.siblings, O_RDONLY | O_CLOEXEC);
    const ssize_t size = file >= 0 ? read(file, text, sizeof text) : 0;
    for (ssize_t i = 0; i < size; i++) {
        n += text[i] == ' ';
    }
    if (file >= 0) {
        close(file);
    }
    return size > 0 ? n : -1;
}

void tfr_cli_ranks_have_met(void) {
    if (count_siblings() < farewell.n_local) {
        farewell.n_local = 0;
    }
}

bool tfr_cli_is_sibling_gone(void) {
    const int n = count_siblings();
    return tfr_launched_is_named() || (n >= 0 && n < farewell.n_local);
}

/* Of one process, as a handler may write it. */
static void say_signal(int number) {
    static const char end[] = ", before it was done\n";
    char text[64] = "tfrun: ended by signal ";
    size_t n = strlen(text);
    if (number >= 10) {
        text[n++] = (char)('0' + number / 10);
    }
    text[n++] = (char)('0' + number % 10);
    memcpy(text + n, end, sizeof end);
    const ssize_t told = write(STDERR_FILENO, text, strlen(text));
    (void)told; /* nothing can be done about it here */
}

/* Ends the process as the signal would have, without the files that are not complete. */
static void end_at_once(int number) {
    if (farewell.is_alone) {
        say_signal(number);
    }
    if (farewell.sentence[0] != '\0' && !tfr_launched_is_named() && !tfr_cli_is_sibling_gone()) {
        const ssize_t told = write(STDERR_FILENO, farewell.sentence, strlen(farewell.sentence));
        (void)told; /* nothing can be done about it here */
    }
    tfr_abandon_files();
    signal(number, SIG_DFL);
    raise(number);
}

static void cancel_first(int number) {
    const int error = errno; /* of the call that the signal came upon, which looks at it later */
    caught_signal = number;
    farewell.sentence[0] = '\0';
    if (tfr_cli_is_sibling_gone()) { /* the step would wait for it, and the launcher kills in a second */
        tfr_engine_leave();
    } else {
        tfr_engine_cancel();
    }
    signal(number, end_at_once); /* a second one */
    errno = error;
}

/* A signal that is ignored stays so (nohup). */
static void handle(int number, void (*handler)(int)) {
    if (signal(number, handler) == SIG_IGN) {
        signal(number, SIG_IGN);
    }
}

void tfr_cli_end_cleanly(void) {
    prepare_farewell();
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU, SIGXFSZ};
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++) {
        handle(ending[i], end_at_once);
    }
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves shows as a failed write */
}

void tfr_cli_catch_signals(void) {
    tfr_cli_ranks_have_met();
    handle(SIGINT, cancel_first);
    handle(SIGTERM, cancel_first);
}

/* Rank 0 got the signal too and ends the job in order; where it does not, this rank ends as the signal would have it. */
static void wait_for_rank_0(int number) {
    enum { PATIENCE_S = 5 };
    if (number != SIGALRM) {
        caught_signal = number;
        signal(number, end_at_once);
        alarm(PATIENCE_S);
    } else {
        end_at_once((int)caught_signal);
    }
}

void tfr_cli_follow_signals(void) {
    signal(SIGALRM, wait_for_rank_0);
    handle(SIGINT, wait_for_rank_0);
    handle(SIGTERM, wait_for_rank_0);
}

int tfr_cli_cancelled(void) {
    static bool told;
    tfr_cli_settle();
    if (caught_signal != 0 && tfr_launched_size() > 1 && !told) {
        char host[64] = "?";
        gethostname(host, sizeof host - 1);
        if (tfr_launched_is_named()) {
            told = true; /* by the rank that did not wait any longer */
        } else if (tfr_cli_is_sibling_gone()) {
            fprintf(stderr, "tfrun: another rank is gone, which the launcher tells of; the results so far are there\n");
        } else {
            fprintf(stderr, "tfrun: rank %d on host %s was ended by signal %d; the results so far are there\n", tfr_launched_rank(),
                    host, (int)caught_signal);
        }
        told = true;
    }
    if (caught_signal == 0 && tfr_launched_is_named()) { /* this rank told of the one that is lost */
        return tfr_exit_code(TFR_RUNTIME);
    }
    return caught_signal != 0 ? 128 + (int)caught_signal : tfr_exit_code(TFR_CANCELLED);
}

/* More than this is no text for a model, and a device such as /dev/zero never ends. */
static const size_t most_text_bytes = (size_t)1 << 30;

/* NULL with errno set. */
static char *read_stream(FILE *stream, size_t *size) {
    size_t capacity = 1 << 16;
    char *text = malloc(capacity);
    *size = 0;
    while (text != NULL) {
        *size += fread(text + *size, 1, capacity - *size - 1, stream);
        if (*size < capacity - 1 || *size > most_text_bytes) {
            break;
        }
        char *grown = realloc(text, capacity *= 2);
        if (grown == NULL) {
            free(text);
            errno = ENOMEM;
        }
        text = grown;
    }
    if (text == NULL || ferror(stream) || *size > most_text_bytes) {
        const int error = text != NULL && *size > most_text_bytes ? EFBIG : errno;
        free(text);
        errno = error;
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
        tfr_cli_usage("cannot read %s: %s", standard ? "stdin" : path,
                      errno == EFBIG ? "it is larger than 1 GiB, the most that is taken as a text" : strerror(errno));
    }
    if (stream != NULL && !standard) {
        fclose(stream);
    }
    return text;
}

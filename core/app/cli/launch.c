/* launch.c - finds mpirun or srun, gives it what this machine needs, and becomes it.
 *
 * tfrun divides cores among the ranks of a node itself, so the launcher is told not to bind; and it runs more ranks than cores
 * correctly, so the launcher is told to allow that.
 */
#include "app/cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/cli/cli.h"
#include "app/cli/results.h"

/* What the build has found beside the MPI library (CMakeLists.txt). */
#ifndef TFR_LAUNCHER
#define TFR_LAUNCHER "mpirun"
#endif
#ifndef TFR_SRUN_WIRING
#define TFR_SRUN_WIRING "pmix"
#endif
#ifndef TFR_LAUNCHER_PACKAGE
#define TFR_LAUNCHER_PACKAGE "openmpi-bin"
#endif

enum { MOST_RANKS = 4096, MOST_OWN_WORDS = 16, MOST_SAID = 4096 };

const struct tfr_flag tfr_launch_flag = {"ranks", "N",
                                         "start mpirun, or srun inside an allocation, for N ranks of this command [1]", 0};

struct launch {
    char *word[MOST_OWN_WORDS]; /* the launcher and its options */
    int n_words;
    char number[3][24];
    int n_numbers;
    char wiring[24];   /* room for a word that is put together */
    const char *asked; /* the program that was asked last what it is */
    int error;         /* of one that could not be: no answer is not the answer "another" */
};

static void add(struct launch *launch, const char *word) {
    if (launch->n_words < MOST_OWN_WORDS) {
        launch->word[launch->n_words++] = (char *)(uintptr_t)word; /* exec takes words that it does not change */
    }
}

static void add_number(struct launch *launch, const char *option, int64_t number) {
    char *text = launch->number[launch->n_numbers++];
    snprintf(text, sizeof launch->number[0], "%lld", (long long)number);
    add(launch, option);
    add(launch, text);
}

char **tfr_launch_keep(int argc, char **argv) {
    char **words = calloc((size_t)argc + 1, sizeof *words);
    for (int i = 0; words != NULL && i < argc; i++) {
        words[i] = strdup(argv[i]);
        if (words[i] == NULL) {
            tfr_launch_forget(words);
            return NULL;
        }
    }
    return words;
}

void tfr_launch_forget(char **words) {
    for (int i = 0; words != NULL && words[i] != NULL; i++) {
        free(words[i]);
    }
    free(words);
}

static bool is_in_path(const char *program) {
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        const size_t length = strcspn(path, ":");
        char file[PATH_MAX];
        if (snprintf(file, sizeof file, "%.*s/%s", (int)length, path, program) < (int)sizeof file && access(file, X_OK) == 0) {
            return true;
        }
        path += length + (path[length] == ':');
    }
    return false;
}

/* Starts a program, without a shell, which a small image may lack; what it prints goes to `fd`. Gives an errno, or 0. */
static int start(const char *program, const char *option, int fd, pid_t *child) {
    char *const words[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)option, NULL}; /* as above */
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) {
        return error;
    }
    error = posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
    error = error == 0 ? posix_spawn_file_actions_adddup2(&actions, fd, STDERR_FILENO) : error;
    error = error == 0 ? posix_spawnp(child, program, &actions, NULL, words, environ) : error;
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Its text until it ends or `text` is full. Gives an errno, or 0. */
static int take_text(int fd, char *text, size_t size) {
    size_t at = 0;
    ssize_t n = 1;
    while (n != 0 && at + 1 < size) {
        n = read(fd, text + at, size - 1 - at);
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    text[at] = '\0';
    return 0;
}

/* Which of the words, the first that can be, is in what a program prints; NULL: none, or with an error in `launch`. */
static const char *says(struct launch *launch, const char *program, const char *option, const char *const *any) {
    char text[MOST_SAID];
    pid_t child;
    int ends[2];
    launch->asked = program;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        launch->error = errno;
        return NULL;
    }
    launch->error = start(program, option, ends[1], &child);
    close(ends[1]);
    const bool is_started = launch->error == 0;
    launch->error = is_started ? take_text(ends[0], text, sizeof text) : launch->error;
    close(ends[0]);
    while (is_started && waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    for (; launch->error == 0 && *any != NULL; any++) {
        if (strstr(text, *any) != NULL) {
            return *any;
        }
    }
    return NULL;
}

static int64_t environment_number(const char *name) {
    const char *text = getenv(name);
    return text != NULL ? strtoll(text, NULL, 10) : 0;
}

/* srun gives a task one CPU unless it is told how many (since Slurm 22.05 not even --cpus-per-task of the batch script counts), and
 * refuses more tasks than CPUs. */
static void add_cpus(struct launch *launch, int64_t n_ranks) {
    const int64_t n_nodes = environment_number("SLURM_JOB_NUM_NODES");
    const int64_t on_node = environment_number("SLURM_CPUS_ON_NODE"); /* not in the shell of salloc */
    const int64_t per_node = on_node > 0 ? on_node : environment_number("SLURM_JOB_CPUS_PER_NODE");
    const int64_t n_cpus = per_node * (n_nodes > 0 ? n_nodes : 1);
    int64_t each = environment_number("SLURM_CPUS_PER_TASK");
    each = each > 0 ? each : n_cpus / n_ranks;
    if (n_cpus == 0) {
        return;
    }
    if (n_ranks * (each > 0 ? each : 1) > n_cpus) {
        add(launch, "--overcommit");
    } else {
        add_number(launch, "-c", each);
    }
}

static bool take_srun(struct launch *launch, int64_t n_ranks) {
    static const char *const wirings[] = {TFR_SRUN_WIRING, "pmix", NULL};
    const bool has_srun = getenv("SLURM_JOB_ID") != NULL && is_in_path("srun");
    const char *wiring = has_srun ? says(launch, "srun", "--mpi=list", wirings) : NULL;
    if (wiring == NULL) {
        return false;
    }
    snprintf(launch->wiring, sizeof launch->wiring, "--mpi=%s", wiring);
    add(launch, "srun");
    add(launch, launch->wiring);
    add(launch, "--kill-on-bad-exit=1"); /* a rank that is killed ends the job, as mpirun has it */
    add_number(launch, "-n", n_ranks);
    add_cpus(launch, n_ranks);
    return true;
}

/* A name of its own (mpiexec.hydra) says that it belongs to the MPI library of the build; mpirun may be another's then. MPICH's
 * Hydra neither binds nor counts cores unasked. */
static bool take_mpirun(struct launch *launch, int64_t n_ranks) {
    static const char *const open_mpi[] = {"Open MPI", "OpenRTE", "PRRTE", "prte", NULL};
    const bool is_name_of_mpi = strncmp(TFR_LAUNCHER, "mpi", 3) == 0; /* CMake takes srun where there is nothing else */
    const bool has_own = is_name_of_mpi && strcmp(TFR_LAUNCHER, "mpiexec") != 0 && is_in_path(TFR_LAUNCHER);
    const char *launcher = has_own ? TFR_LAUNCHER : "mpirun";
    if (!is_in_path(launcher)) {
        return false;
    }
    add(launch, launcher);
    if (says(launch, launcher, "--version", open_mpi) != NULL) {
        add(launch, "--map-by");
        add(launch, ":OVERSUBSCRIBE");
        add(launch, "--bind-to");
        add(launch, "none");
        if (geteuid() == 0) {
            add(launch, "--allow-run-as-root");
        }
    }
    add_number(launch, "-n", n_ranks);
    return true;
}

/* How many words `--ranks` takes at this place: 2, 1 with '=', or 0. The value of a flag points into the word that it came from. */
static int width_at(const struct tfr_args *args, char *const *cut, int at) {
    for (size_t i = 0; i < args->n_flags; i++) {
        const char *value = args->flags[i].value;
        if (strcmp(args->flags[i].flag->name, tfr_launch_flag.name) != 0) {
            continue;
        }
        if (cut[at + 1] != NULL && value == cut[at + 1]) {
            return 2;
        }
        if (value == cut[at] + strlen(cut[at]) + 1) {
            return 1;
        }
    }
    return 0;
}

/* For a shell to take back. */
static void say_word(const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
    if (*word != '\0' && word[strspn(word, plain)] == '\0') {
        fprintf(stderr, " %s", word);
        return;
    }
    fprintf(stderr, " '");
    for (; *word != '\0'; word++) {
        const bool is_control = (unsigned char)*word < 0x20 || *word == 0x7F;
        fprintf(stderr, *word == '\'' ? "'\\''" : "%c", is_control ? '?' : *word);
    }
    fputc('\'', stderr);
}

static void say_line(char *const *line) {
    fprintf(stderr, "tfrun:");
    for (; *line != NULL; line++) {
        say_word(*line);
    }
    fputc('\n', stderr);
}

static int become(const struct launch *launch, const struct tfr_args *args, char *const *words, char *const *cut) {
    int n = 0, at = 0;
    while (words[n] != NULL) {
        n++;
    }
    char **line = calloc((size_t)(launch->n_words + n) + 1, sizeof *line);
    if (line == NULL) {
        return tfr_cli_no_memory("the launcher's command line");
    }
    memcpy(line, launch->word, (size_t)launch->n_words * sizeof *line);
    at = launch->n_words;
    line[at++] = words[0];
    for (int i = 1; i < n; i++) {
        const int width = width_at(args, cut, i);
        if (width == 0) {
            line[at++] = words[i];
        }
        i += width > 1;
    }
    if (tfr_args_flag(args, "quiet") == NULL) {
        say_line(line);
    }
    tfr_results_give_back();
    signal(SIGPIPE, SIG_DFL); /* tfrun's own ranks ignore it again, the launcher must not */
    execvp(line[0], line);
    const int error = errno;
    free(line);
    fprintf(stderr, "tfrun: %s does not start: %s\n", launch->word[0], strerror(error));
    return tfr_exit_code(TFR_RESOURCE);
}

int tfr_launch(const struct tfr_args *args, const char *config, char *const *words, char *const *cut) {
    struct launch launch = {.n_words = 0};
    int64_t n_ranks = 1;
    if (tfr_args_flag(args, tfr_launch_flag.name) == NULL) {
        return 0;
    }
    if (!tfr_cli_int(args, tfr_launch_flag.name, 1, MOST_RANKS, &n_ranks)) {
        return tfr_exit_code(TFR_USAGE);
    }
    if (tfr_cli_has_launcher()) {
        return tfr_cli_usage("--ranks %lld starts a launcher, but a launcher has started this process already; leave --ranks out",
                             (long long)n_ranks);
    }
    if (n_ranks == 1) {
        return 0;
    }
    const enum tfr_status status =
        config != NULL ? tfr_report_start(config, args->overrides, args->n_overrides, (int)n_ranks) : TFR_OK;
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    const bool is_found = take_srun(&launch, n_ranks) || (launch.error == 0 && take_mpirun(&launch, n_ranks));
    if (launch.error != 0) {
        tfr_cli_tell("--ranks %lld: %s can't be asked what it is: %s; start it yourself: %s -n %lld tfrun ...", (long long)n_ranks,
                     launch.asked, strerror(launch.error), launch.asked, (long long)n_ranks);
        return tfr_exit_code(TFR_RESOURCE);
    }
    if (!is_found) {
        fprintf(stderr,
                "tfrun: --ranks %lld needs mpirun, or srun with " TFR_SRUN_WIRING " inside an allocation, and PATH has neither; "
                "install one (Debian package " TFR_LAUNCHER_PACKAGE "), or leave --ranks out for one process\n",
                (long long)n_ranks);
        return tfr_exit_code(TFR_RESOURCE);
    }
    return become(&launch, args, words, cut);
}

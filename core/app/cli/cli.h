/* cli.h - what the commands share: their table entry, ending with an error, results on stdout or into a file. */
#ifndef TFR_APP_CLI_H
#define TFR_APP_CLI_H

#include <stdio.h>

#include "app/cli/args.h"

struct tfr_command {
    const char *name, *operands, *help;
    const struct tfr_flag *flags;
    size_t n_flags;
    /* Option keys that mean something to the command, or prefixes ending in '.'; NULL-terminated. NULL: all. Others are refused,
     * and so is what "!KEY" before a prefix takes out of it. */
    const char *const *reads;
    bool on_all_ranks;                 /* false: under a launcher rank 0 alone does it, the others end at once */
    int (*run)(struct tfr_args *args); /* returns the process's exit code */
};

/* For `reads`: the keys of "serve." that are the engine's own, whoever feeds it; the others are about HTTP. */
#define TFR_ENGINE_SERVING                                                                                                         \
    "serve.itl_target_ms", "serve.max_queue", "serve.max_queue_tokens", "serve.max_queue_ms", "serve.prefix_cache",                \
        "serve.share_prefix", "serve.prefix_block"
/* And what is about a run alone, where only a plan is made: its start, its sequences, how ranks wait; its pages too, but `plan`
 * looks for a calibration, which has some. */
#define TFR_NO_START "!runtime.warmup", "!runtime.pack_cache", "!runtime.max_slots", "!parallel.wait", "!parallel.timeout_s"

extern const struct tfr_command tfr_cmd_generate, tfr_cmd_tokenize, tfr_cmd_init, tfr_cmd_plan, tfr_cmd_graph, tfr_cmd_plugins,
    tfr_cmd_topology, tfr_cmd_doctor, tfr_cmd_config, tfr_cmd_check, tfr_cmd_eval, tfr_cmd_score, tfr_cmd_classify, tfr_cmd_forward,
    tfr_cmd_summary, tfr_cmd_calibrate, tfr_cmd_profile, tfr_cmd_cost, tfr_cmd_load, tfr_cmd_repl, tfr_cmd_serve, tfr_cmd_bench,
    tfr_cmd_scaling, tfr_cmd_quantize;

/* True on every rank that a launcher started, also where it is the only one. */
bool tfr_cli_has_launcher(void);
/* To be called between what went to stdout and what goes to stderr. A launcher reads the two through two pipes: it may put the
 * second inside the first, and Open MPI 5.0 loses what it has not read of the first. So under one this waits until the pipe was
 * read, and a moment more. */
void tfr_cli_settle(void);
/* Prints each line of the last error as "tfrun: ..." on stderr (rank 0 only, and not what another rank has told of) and returns the
 * exit code of `status`. What was written to stdout before is settled. */
int tfr_cli_fail(enum tfr_status status);
/* "tfrun: ..." as one line on stderr, in which no name steers the terminal. */
void tfr_cli_tell(const char *format, ...) TFR_PRINTF(1, 2);
/* One sentence about the command line; exit code 2. */
int tfr_cli_usage(const char *format, ...) TFR_PRINTF(1, 2);
/* "no memory for WHAT", as a sentence; exit code 5. */
int tfr_cli_no_memory(const char *what);
/* The one operand of a command, or NULL after tfr_cli_usage. */
const char *tfr_cli_operand(const struct tfr_args *args, const char *what);
/* From now on a signal that ends the process removes the files that are not complete first. Called once, at the start. */
void tfr_cli_end_cleanly(void);
/* From now on SIGINT and SIGTERM ask the engine to stop after the step it is in; a second one ends at once.
 * For the time of long work on an engine only: elsewhere the signals keep their effect. */
void tfr_cli_catch_signals(void);
/* Of ranks that follow rank 0, which gets the same signals from a launcher: they go on until it ends the job. */
void tfr_cli_follow_signals(void);
/* An engine is open, so all ranks are there. A parent that has fewer children than this node has ranks now is no launcher but, say,
 * a script around each rank: how many it has later tells nothing of them. Part of tfr_cli_catch_signals. */
void tfr_cli_ranks_have_met(void);
/* Of the children of rank 0's launcher one is missing, or a rank told of one that is lost: an end that the launcher tells of was
 * not asked for. For handlers of signals too. */
bool tfr_cli_is_sibling_gone(void);
/* Exit code of work that was cancelled, and among ranks a sentence: 128 + the signal, or the status's own. What was written to
 * stdout before is settled. */
int tfr_cli_cancelled(void);
/* Exit code of a write to stdout that failed with this errno, after a message. A reader that left is no failure: 0. */
int tfr_cli_write_failure(int error);
/* What was written to stdout has arrived, or nobody reads any more: 0; else an exit code, after a message. */
int tfr_cli_flush(void);
/* Whole text to stdout with a final newline; frees it. */
int tfr_cli_print(char *text);
/* -o of a command that writes a model folder: in its flags in the place of the option of the config, which means a file elsewhere;
 * tfr_cli_take_folder makes that option of it. */
#define TFR_FOLDER_FLAG                                                                                                            \
    { "output", "DIR", "the folder to write; one that holds a model is refused without --force", 'o' }
void tfr_cli_take_folder(struct tfr_args *args);
/* False after tfr_cli_usage where -p is given several times to a command that takes one text. */
bool tfr_cli_one_prompt(const struct tfr_args *args);
/* A number of a flag in [min, max]; false after tfr_cli_usage. Absent: *value stays. */
bool tfr_cli_int(const struct tfr_args *args, const char *flag, int64_t min, int64_t max, int64_t *value);
/* All of a stream or file ("-" is stdin), NUL-terminated; free() it. NULL after tfr_cli_usage-like message. */
char *tfr_cli_read(const char *path, size_t *size);

#endif

/* leave_check.c - rank 0 has tokens when another rank stops for ever: told to leave (as the program is when the launcher ends a job
 * that has lost a rank), it gives what it has, and closes without waiting. Ends with 7, so that the launcher ends the rest. With
 * TFRUN_TEST_SILENT nobody tells it: it waits as long as parallel.timeout_s says, gives what it has, and its close ends the job. So
 * it does with TFRUN_TEST_BREAKS, where no rank stops, but its messages fail (comm_fail.so). */
#include <tfrun/tfrun.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rank/rank.h"

enum { N_TEXTS = 3, ENDED = 7 };

struct drive {
    struct tfr_engine *engine;
    int n_texts;
};

static bool is_silent(void) {
    return getenv("TFRUN_TEST_SILENT") != NULL;
}

static bool breaks(void) {
    return getenv("TFRUN_TEST_BREAKS") != NULL;
}

static void leave(int number) {
    (void)number;
    tfr_engine_leave();
}

/* The launcher's other children. */
static void stop_others(void) {
    char path[64];
    int process;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)getppid(), (int)getppid());
    FILE *file = fopen(path, "r");
    while (file != NULL && fscanf(file, "%d", &process) == 1) {
        if (process != (int)getpid()) {
            kill(process, SIGSTOP);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

/* The limit is short only now that nothing but the rank that stopped can exceed it. */
static bool on_text(void *user, size_t prompt, const char *text, size_t size) {
    struct drive *drive = user;
    (void)prompt, (void)text, (void)size;
    if (++drive->n_texts == N_TEXTS && breaks()) {
        setenv("TFRUN_FAIL_NOW", "1", 1);
    } else if (drive->n_texts == N_TEXTS) {
        stop_others();
        signal(SIGALRM, leave);
        alarm(is_silent() ? 0 : 1);
        tfr_comm_set_timeout(drive->engine->comm, is_silent() ? 1 : 300);
    }
    return true;
}

static int drive(struct tfr_engine *engine) {
    static const char text[] = "Once upon a time";
    const struct tfr_prompt prompt = {.text = text, .size = sizeof text - 1};
    struct tfr_generation result;
    struct tfr_generation_stats stats;
    struct drive driven = {.engine = engine};
    const enum tfr_status status = tfr_generate(engine, &prompt, 1, on_text, &driven, &result, &stats);
    fprintf(stderr, "leave_check: status %d, %zu tokens\n", (int)status, result.n_ids);
    const bool is_kept = status == TFR_CANCELLED && result.n_ids >= N_TEXTS && result.text != NULL;
    tfr_generation_free(&result);
    return is_kept ? 0 : 1;
}

int main(int argc, char **argv) {
    const char *tensor = getenv("TFRUN_TEST_TENSOR");
    const struct tfr_override overrides[] = {{"sampling.max_tokens", "200", "the test"},
                                             {"sampling.ignore_eos", "true", "the test"},
                                             {"parallel.tensor", tensor != NULL ? tensor : "1", "the test"}};
    struct tfr_engine *engine;
    if (argc < 2 || tfr_engine_open(&engine, argv[1], overrides, sizeof overrides / sizeof overrides[0]) != TFR_OK) {
        fprintf(stderr, "leave_check CONFIG: %s\n", tfr_last_error());
        return 2;
    }
    if (tfr_engine_rank(engine) != 0) {
        tfr_engine_follow(engine);
        tfr_engine_close(engine);
        return 1;
    }
    const int code = drive(engine);
    const bool close_ends_job = is_silent() || breaks();
    if (!close_ends_job) {
        tfr_engine_close(engine);
    }
    if (code == 0) {
        fprintf(stderr, "leave_check: kept what was there\n");
    }
    if (close_ends_job) {
        tfr_engine_close(engine);
        fprintf(stderr, "leave_check: the job goes on\n");
    }
    return ENDED;
}

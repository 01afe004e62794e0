/* follow_check.c - a rank that can't take a command in, or with a second argument can't answer it, ends the job, with its sentence,
 * instead of leaving the others waiting. */
#include <stdio.h>

#include "base/arena.h"
#include "base/status.h"
#include "job/command.h"

/* The list of rows with logits makes the message of the step longer than what goes at once, in a step that is not cut. */
enum { N_TOKENS = 400 };

static enum tfr_status drive(struct tfr_engine *engine) {
    static int32_t ids[N_TOKENS];
    struct tfr_session *session;
    const float *logits;
    TFR_TRY(tfr_session_open(&session, engine, N_TOKENS));
    const struct tfr_feed feed = {.session = session, .ids = ids, .n = N_TOKENS, .keep = N_TOKENS};
    const enum tfr_status status = tfr_engine_feed(engine, &feed, 1, &logits);
    tfr_session_close(session);
    return status;
}

/* All requests that a rank may have but one, which is that of the next command: no answer can be posted. */
static void leave_one_request(struct tfr_engine *engine) {
    static char never_sent[TFR_COMM_MAX_REQUESTS];
    for (int i = 1; i < TFR_COMM_MAX_REQUESTS; i++) {
        tfr_comm_request request;
        (void)tfr_comm_irecv(engine->comm, &never_sent[i], 1, 0, TFR_TAG_TRACE, &request);
    }
}

static enum tfr_status ask(struct tfr_engine *engine) {
    const int64_t *bytes;
    return tfr_engine_ask_memory(engine, &bytes);
}

int main(int argc, char **argv) {
    const struct tfr_override uncut = {"runtime.max_rows", "512", "the test"};
    struct tfr_engine *engine;
    if (argc < 2 || tfr_engine_open(&engine, argv[1], &uncut, 1) != TFR_OK) {
        fprintf(stderr, "follow_check CONFIG: %s\n", tfr_failure_text());
        return 2;
    }
    const bool drives = tfr_engine_rank(engine) == 0, answers = argc > 2;
    if (!drives && answers) {
        leave_one_request(engine);
    } else if (!drives) {
        tfr_alloc_fail_after(3); /* the first two are of the slot */
    }
    const enum tfr_status status = !drives ? tfr_engine_follow(engine) : answers ? ask(engine) : drive(engine);
    tfr_engine_close(engine);
    return tfr_exit_code(status);
}

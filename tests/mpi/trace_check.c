/* trace_check.c - rank 0 is refused its first, second, third, ... request for memory while it collects the trace: each time all
 * ranks go on, until the file is written. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "rank/rank.h"

enum { FEWEST = 5, MOST = 1000 }; /* requests that writing takes */

static enum tfr_status feed(struct tfr_engine *engine) {
    static const int32_t ids[] = {5, 6, 7};
    struct tfr_session *session;
    const float *logits;
    TFR_TRY(tfr_session_open(&session, engine, 4));
    const struct tfr_feed feed = {.session = session, .ids = ids, .n = 3, .keep = 1};
    const enum tfr_status status = tfr_engine_feed(engine, &feed, 1, &logits);
    tfr_session_close(session);
    return status;
}

static enum tfr_status drive(struct tfr_engine *engine) {
    enum tfr_status status = feed(engine);
    for (uint64_t n = 1; n <= MOST && status == TFR_OK; n++) {
        engine->trace_written = false;
        tfr_alloc_fail_after(n);
        const enum tfr_status written = tfr_engine_write_trace(engine);
        tfr_alloc_fail_after(0);
        if (written == TFR_OK) {
            printf("written after %llu refusals\n", (unsigned long long)n - 1);
            return n > FEWEST ? TFR_OK : tfr_raise(TFR_RUNTIME, "only %llu requests were refused", (unsigned long long)n - 1);
        }
        if (written != TFR_RESOURCE) {
            return tfr_raise_prefix(written, "request %llu", (unsigned long long)n);
        }
        status = feed(engine);
    }
    return status == TFR_OK ? tfr_raise(TFR_RUNTIME, "the trace was never written") : status;
}

int main(int argc, char **argv) {
    const struct tfr_override overrides[] = {{"observe.trace", argc > 2 ? argv[2] : "", "the test"},
                                             {"output.force", "true", "the test"},
                                             {"parallel.timeout_s", "20", "the test"}};
    struct tfr_engine *engine;
    if (argc < 3 || tfr_engine_open(&engine, argv[1], overrides, TFR_COUNT_OF(overrides)) != TFR_OK) {
        fprintf(stderr, "trace_check CONFIG FILE: %s\n", tfr_failure_text());
        return 2;
    }
    enum tfr_status status = TFR_OK;
    if (tfr_engine_rank(engine) == 0) {
        status = drive(engine);
        if (status != TFR_OK) {
            fprintf(stderr, "%s\n", tfr_failure_text());
        }
    } else {
        (void)tfr_engine_follow(engine); /* of the refusals; they are wanted */
    }
    tfr_engine_close(engine);
    return tfr_exit_code(status);
}

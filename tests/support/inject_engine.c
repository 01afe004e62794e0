/* inject_engine.c - inject_engine CONFIG FILE: a program that uses the engine as a library, for inject.c and inject_calls.c. It
 * opens an engine, generates, feeds a session, saves it into FILE and loads it again. A call that is refused is made once more:
 * after one fault the engine has to go on as if there had been none. Ends with 5 where a second call is refused too, and closes
 * everything first. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <tfrun/tfrun.h>

enum { N = 5, REFUSED = 5 };

static const int32_t ids[N] = {1, 2, 3, 4, 5};

struct job {
    const char *config, *file;
    struct tfr_engine *engine;
    struct tfr_session *session, *other;
};

/* What goes to stdout at the end. */
static char output[4096];
static size_t used;

__attribute__((format(printf, 1, 2))) static void put(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int size = vsnprintf(output + used, sizeof output - used, format, arguments);
    va_end(arguments);
    used += size > 0 && (size_t)size < sizeof output - used ? (size_t)size : 0;
}

static enum tfr_status open_engine(struct job *job) {
    static const struct tfr_override overrides[] = {{.key = "runtime.threads", .value = "1", .origin = "test"},
                                                    {.key = "sampling.max_tokens", .value = "4", .origin = "test"}};
    return tfr_engine_open(&job->engine, job->config, overrides, sizeof overrides / sizeof overrides[0]);
}

static enum tfr_status generate(struct job *job) {
    const struct tfr_prompt prompt = {.ids = ids, .n_ids = 3};
    struct tfr_generation result = {0};
    struct tfr_generation_stats stats;
    const enum tfr_status status = tfr_generate(job->engine, &prompt, 1, NULL, NULL, &result, &stats);
    for (size_t i = 0; status == TFR_OK && i < result.n_ids; i++) {
        put("%d ", (int)result.ids[i]);
    }
    if (status == TFR_OK) {
        put("%016llx\n", (unsigned long long)stats.logits_digest);
    }
    tfr_generation_free(&result); /* what there was */
    return status;
}

static enum tfr_status open_session(struct job *job) {
    return tfr_session_open(&job->session, job->engine, 2 * N);
}

static enum tfr_status open_other(struct job *job) {
    return tfr_session_open(&job->other, job->engine, 2 * N);
}

static enum tfr_status feed(struct job *job) {
    const float *logits;
    const struct tfr_feed feed = {.session = job->session, .ids = ids, .n = N, .keep = 1};
    enum tfr_status status = tfr_session_crop(job->session, 0); /* the refused call may have taken some */
    status = status == TFR_OK ? tfr_engine_feed(job->engine, &feed, 1, &logits) : status;
    if (status == TFR_OK) {
        put("%a %lld\n", (double)logits[0], (long long)tfr_session_length(job->session));
    }
    return status;
}

static enum tfr_status save(struct job *job) {
    return tfr_session_save(job->session, ids, job->file, false);
}

static enum tfr_status load(struct job *job) {
    const enum tfr_status status = tfr_session_load(job->other, job->file, ids, N);
    if (status == TFR_OK) {
        put("%lld of them loaded\n", (long long)tfr_session_length(job->other));
    }
    return status;
}

/* Once more where it was refused. */
static bool twice(enum tfr_status (*call)(struct job *job), struct job *job) {
    enum tfr_status status = call(job);
    if (status != TFR_OK) {
        fprintf(stderr, "tfrun: %s\n", tfr_last_error());
        status = call(job);
    }
    return status == TFR_OK;
}

/* An error once is as one of the other calls; a part is gone on with. */
static bool deliver(void) {
    size_t done = 0;
    for (int errors = 0; done < used && errors < 2;) {
        const ssize_t n = write(STDOUT_FILENO, output + done, used - done);
        done += n > 0 ? (size_t)n : 0;
        errors += n < 0;
    }
    return done == used;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    struct job job = {.config = argv[1], .file = argv[2]};
    close(open("/dev/null", O_RDWR));
    const bool good = twice(open_engine, &job) && twice(generate, &job) && twice(open_session, &job) && twice(feed, &job) &&
                      twice(save, &job) && twice(open_other, &job) && twice(load, &job) && twice(feed, &job) &&
                      twice(generate, &job);
    tfr_session_close(job.other);
    tfr_session_close(job.session);
    tfr_engine_close(job.engine);
    if (!deliver()) {
        perror("tfrun: cannot write to stdout");
        return REFUSED;
    }
    return good ? 0 : REFUSED;
}

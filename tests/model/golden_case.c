/* golden_case.c - see golden_case.h. */
#include "golden_case.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "base/tensor.h"
#include "model/weights.h"

void golden_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

void golden_check(enum tfr_status status, const char *what) {
    if (status != TFR_OK) {
        golden_fail("%s: %s", what, tfr_last_error());
    }
}

float *golden_room(int64_t n_floats) {
    float *room = malloc((size_t)(n_floats > 0 ? n_floats : 1) * sizeof *room);
    if (room == NULL) {
        golden_fail("no memory");
    }
    return room;
}

static const struct tfr_tensor *find(const struct tfr_weights *weights, const char *name, enum tfr_dtype dtype, int rank) {
    const struct tfr_weight *weight = tfr_weights_find(weights, name);
    if (weight == NULL || weight->tensor.dtype != dtype || weight->tensor.rank != rank) {
        golden_fail("golden.safetensors has no %s of the right form", name);
    }
    return &weight->tensor;
}

/* More than a tile of rows, and not a whole number of tiles. */
static void make_up(struct golden_case *golden) {
    enum { TOKENS = 75 };
    struct tfr_engine *engine = golden_engine(golden, NULL);
    golden->n = TOKENS;
    golden->vocab_size = tfr_engine_vocab_size(engine);
    uint32_t state = 1;
    for (int64_t i = 0; i < golden->n; i++) {
        state = state * 1664525u + 1013904223u;
        golden->ids[i] = (int32_t)((state >> 8) % (uint32_t)golden->vocab_size);
    }
    tfr_engine_close(engine);
}

void golden_read(struct golden_case *golden, const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/golden.safetensors", folder);
    *golden = (struct golden_case){.folder = folder};
    if (access(path, F_OK) != 0) {
        make_up(golden);
        return;
    }
    struct tfr_weights *weights;
    if (tfr_weights_open(&weights, path) != TFR_OK) {
        golden_fail("%s", tfr_failure_text());
    }
    const struct tfr_tensor *ids = find(weights, "input_ids", TFR_DTYPE_I32, 1);
    const struct tfr_tensor *logits = find(weights, "logits", TFR_DTYPE_F32, 2);
    golden->n = ids->dim[0];
    golden->vocab_size = logits->dim[1];
    if (golden->n < 1 || golden->n > MAX_GOLDEN_TOKENS || logits->dim[0] != golden->n) {
        golden_fail("%s: %lld ids and %lld rows of logits", path, (long long)golden->n, (long long)logits->dim[0]);
    }
    golden->logits = golden_room(golden->n * golden->vocab_size);
    memcpy(golden->ids, ids->data, tfr_tensor_bytes(ids));
    memcpy(golden->logits, logits->data, tfr_tensor_bytes(logits));
    tfr_weights_close(weights);
}

void golden_free(struct golden_case *golden) {
    free(golden->logits);
}

bool golden_can_run(const char *setting) {
    static const char key[] = "runtime.isa=";
    if (setting == NULL || strncmp(setting, key, sizeof key - 1) != 0) {
        return true;
    }
    const char *isa = setting + sizeof key - 1;
    if (strcmp(isa, "plain") == 0 || strcmp(isa, "auto") == 0) {
        return true;
    }
#if defined(__x86_64__)
    return strcmp(isa, "avx2") == 0 ? __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
           : strcmp(isa, "avx512") == 0
               ? __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
               : strcmp(isa, "avx512_bf16") == 0 && __builtin_cpu_supports("avx512bf16");
#else
    return strcmp(isa, "neon") == 0;
#endif
}

struct tfr_engine *golden_engine(const struct golden_case *golden, const struct golden_settings *settings) {
    struct tfr_override overrides[MAX_SETTINGS + 1] = {{0}};
    char *keys[MAX_SETTINGS];
    size_t n = 0;
    for (; settings != NULL && n < MAX_SETTINGS && settings->text[n] != NULL; n++) {
        keys[n] = strdup(settings->text[n]);
        char *equals = keys[n] != NULL ? strchr(keys[n], '=') : NULL;
        if (equals == NULL) {
            golden_fail("setting %s", settings->text[n]);
        }
        *equals = '\0';
        overrides[n] = (struct tfr_override){.key = keys[n], .value = equals + 1, .origin = "the test"};
    }
    char beside[1024]; /* some cases share the weights of another */
    snprintf(beside, sizeof beside, "%s/..", golden->folder);
    overrides[n] = (struct tfr_override){.key = "trust", .value = beside, .origin = "the test"};
    struct tfr_engine *engine;
    golden_check(tfr_engine_open(&engine, golden->folder, overrides, n + 1), "open");
    while (n > 0) {
        free(keys[--n]);
    }
    return engine;
}

struct tfr_session *golden_session(struct tfr_engine *engine, int64_t capacity) {
    struct tfr_session *session;
    golden_check(tfr_session_open(&session, engine, capacity), "session");
    return session;
}

void golden_feed(struct tfr_engine *engine, struct tfr_session *session, const int32_t *ids, int64_t n, int64_t keep, float *to) {
    const struct tfr_feed feed = {.session = session, .ids = ids, .n = n, .keep = keep};
    const float *logits;
    golden_check(tfr_engine_feed(engine, &feed, 1, &logits), "feed");
    if (keep > 0) {
        memcpy(to, logits, (size_t)(keep * tfr_engine_vocab_size(engine)) * sizeof *to);
    }
}

float *golden_run_ids(struct tfr_engine *engine, const int32_t *ids, int64_t n) {
    float *logits = golden_room(n * tfr_engine_vocab_size(engine));
    struct tfr_session *session = golden_session(engine, n);
    golden_feed(engine, session, ids, n, n, logits);
    tfr_session_close(session);
    return logits;
}

float *golden_run(const struct golden_case *golden, const struct golden_settings *settings) {
    struct tfr_engine *engine = golden_engine(golden, settings);
    float *logits = golden_run_ids(engine, golden->ids, golden->n);
    tfr_engine_close(engine);
    return logits;
}

double golden_distance(const float *a, const float *b, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        const double distance = fabs((double)a[i] - (double)b[i]);
        if (isnan(distance)) {
            return INFINITY;
        }
        most = distance > most ? distance : most;
    }
    return most;
}

void golden_same_bits(const float *a, const float *b, int64_t n, const char *what) {
    if (memcmp(a, b, (size_t)n * sizeof *a) != 0) {
        golden_fail("%s: the logits differ, by %.3g at most", what, golden_distance(a, b, n));
    }
}

void golden_within(const float *a, const float *b, int64_t n, double tolerance, const char *what) {
    const double distance = golden_distance(a, b, n);
    printf("%s: largest difference %.3g, allowed %.3g\n", what, distance, tolerance);
    if (!(distance <= tolerance)) {
        golden_fail("%s: too far", what);
    }
}

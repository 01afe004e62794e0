/* engine_lives.c - `engine_lives MODEL MODEL N`: opens and closes an engine N times in one process (a little more: whole rounds of
 * the lives below, of both models by turns, refused ones among them), then N sessions of one engine, and holds that nothing is
 * left.
 *
 * Two rounds warm up: shared objects are loaded, vendors fill their caches, the heap finds its size. From then on the number of
 * open files, threads and mappings is that of the warm process at the end of each round, the bytes of the heap that are in use grow
 * by less than an allocation for each life, and resident memory by two per cent at most. The public interface alone. */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tfrun/tfrun.h>

enum { MOST_OPTIONS = 6, WARM_ROUNDS = 2, ROWS = 10, TOKENS = 4, SIDE_BY_SIDE = 3 };
static const double most_heap_per_life = 8, most_growth = 0.02;
/* What threads keep for themselves of freed memory counts as in use; without that the figure is exact. */
static const char tunable[] = "GLIBC_TUNABLES", no_cache[] = "glibc.malloc.tcache_count=0";

enum kind { GENERATES, SESSIONS, CANCELLED, LEFT, IDLE, REFUSED, NO_MODEL, TOO_LONG, REPORTS };

static const struct life {
    const char *name;
    enum kind kind;
    const char *options[MOST_OPTIONS]; /* KEY=VALUE */
} lives[] = {
    {"f32", GENERATES, {"runtime.dtype=f32"}},
    {"a config that is refused", REFUSED, {"runtime.max_rows=-1"}},
    {"bf16, four threads", GENERATES, {"runtime.dtype=bf16", "runtime.threads=4"}},
    {"no such model", NO_MODEL, {NULL}},
    {"int8", GENERATES, {"runtime.dtype=int8"}},
    {"sessions", SESSIONS, {"runtime.dtype=f32", "runtime.max_batch=4"}},
    {"int8w, cache of int8", GENERATES, {"runtime.dtype=int8w", "runtime.kv_dtype=int8"}},
    {"a prompt that is too long", TOO_LONG, {NULL}},
    {"int4", GENERATES, {"runtime.dtype=int4"}},
    {"without oneDNN", GENERATES, {"runtime.kernels=-onednn"}},
    {"plain kernels", GENERATES, {"runtime.kernels=ref"}},
    {"cancelled", CANCELLED, {"runtime.max_batch=4"}},
    {"AVX2, sampled", GENERATES, {"runtime.isa=avx2", "sampling.temperature=0.8", "sampling.seed=7"}},
    {"a plugin that is not there", REFUSED, {"plugins=/nowhere/at/all.so"}},
    {"closed under way", LEFT, {"runtime.max_batch=4"}},
    {"warmed up", GENERATES, {"runtime.warmup=true", "runtime.max_batch=2", "runtime.max_rows=8"}},
    {"idle", IDLE, {NULL}},
    {"reports", REPORTS, {NULL}},
};

struct usage {
    long files, threads, mappings, resident_kib;
    size_t heap;
};

static int32_t ids[] = {1, 2, 3, 4, 5};
static const struct tfr_prompt prompt = {.ids = ids, .n_ids = sizeof ids / sizeof ids[0]};

static void expect(bool truth, const char *life, const char *what) {
    if (!truth) {
        fprintf(stderr, "engine_lives: %s: %s: %s\n", life, what, tfr_last_error());
        exit(1);
    }
}

static long count_entries(const char *path) {
    long n = 0;
    DIR *folder = opendir(path);
    while (folder != NULL && readdir(folder) != NULL) {
        n++;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return n - 2; /* . and .. */
}

static long count_lines(const char *path) {
    long n = 0;
    FILE *file = fopen(path, "r");
    for (int c; file != NULL && (c = fgetc(file)) != EOF;) {
        n += c == '\n';
    }
    if (file != NULL) {
        fclose(file);
    }
    return n;
}

static long resident_kib(void) {
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2) {
        resident = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static struct usage look(void) {
    const struct mallinfo2 heap = mallinfo2();
    return (struct usage){.files = count_entries("/proc/self/fd"),
                          .threads = count_entries("/proc/self/task"),
                          .mappings = count_lines("/proc/self/maps"),
                          .resident_kib = resident_kib(),
                          .heap = heap.uordblks + heap.hblkhd};
}

/* ---- what an engine does in its life -------------------------------------------------------------------- */

static void generate(struct tfr_engine *engine, const char *name) {
    struct tfr_generation result;
    struct tfr_generation_stats stats;
    expect(tfr_generate(engine, &prompt, 1, NULL, NULL, &result, &stats) == TFR_OK, name, "generate");
    expect(result.n_ids == TOKENS, name, "other than four tokens");
    tfr_generation_free(&result);
}

static void use_sessions(struct tfr_engine *engine, const char *name) {
    struct tfr_session *sessions[SIDE_BY_SIDE];
    struct tfr_feed feeds[SIDE_BY_SIDE];
    static const int32_t order[SIDE_BY_SIDE] = {2, 2, 0};
    const float *logits;
    for (int i = 0; i < SIDE_BY_SIDE; i++) {
        expect(tfr_session_open(&sessions[i], engine, 16) == TFR_OK, name, "a session");
        feeds[i] = (struct tfr_feed){.session = sessions[i], .ids = ids, .n = 1 + i, .keep = 1};
    }
    expect(tfr_engine_feed(engine, feeds, SIDE_BY_SIDE, &logits) == TFR_OK, name, "a step");
    expect(tfr_session_reorder(sessions, SIDE_BY_SIDE, order) == TFR_OK, name, "another order");
    expect(tfr_session_crop(sessions[0], 1) == TFR_OK && tfr_session_copy(sessions[1], sessions[0], 1) == TFR_OK, name, "a copy");
    for (int i = 0; i < SIDE_BY_SIDE; i++) {
        tfr_session_close(sessions[i]);
    }
}

/* Requests that are cancelled in the step after the first, or closed with the engine. */
static void submit_and_leave(struct tfr_engine *engine, const char *name, bool is_cancelled) {
    struct tfr_params *params;
    struct tfr_request *requests[SIDE_BY_SIDE];
    struct tfr_step_info info;
    struct tfr_event event;
    expect(tfr_params_parse(engine, NULL, 0, &params) == TFR_OK, name, "settings");
    for (int i = 0; i < SIDE_BY_SIDE; i++) {
        expect(tfr_request_submit(engine, &prompt, params, &requests[i]) == TFR_OK, name, "a request");
    }
    tfr_params_free(params);
    expect(tfr_engine_step(engine, &info) == TFR_OK, name, "a step");
    for (int i = 0; i < SIDE_BY_SIDE && is_cancelled; i++) {
        tfr_request_cancel(requests[i]);
    }
    while (is_cancelled && info.running > 0) {
        expect(tfr_engine_step(engine, &info) == TFR_OK, name, "a step");
    }
    for (int i = 0; i < SIDE_BY_SIDE; i++) {
        while (is_cancelled && tfr_request_poll(requests[i], &event)) {
        }
        tfr_request_close(requests[i]);
    }
}

static void ask_too_much(struct tfr_engine *engine, const char *name) {
    struct tfr_session *session = NULL;
    const int64_t most = tfr_engine_n_positions(engine);
    int32_t *many = calloc((size_t)most + 1, sizeof *many);
    const struct tfr_prompt large = {.ids = many, .n_ids = (size_t)most + 1};
    struct tfr_generation result;
    struct tfr_generation_stats stats;
    expect(many != NULL && tfr_generate(engine, &large, 1, NULL, NULL, &result, &stats) != TFR_OK, name, "it was taken");
    tfr_generation_free(&result);
    expect(tfr_session_open(&session, engine, most + 1) != TFR_OK, name, "so many positions were given");
    free(many);
    generate(engine, name);
}

static void report(const char *path, const struct tfr_override *overrides, size_t n, const char *name) {
    const struct tfr_plan_question question = {.rows = 4, .context = 8, .n_ranks = 2};
    enum tfr_status verdict;
    char *text;
    expect(tfr_report_plan(path, overrides, n, &question, TFR_REPORT_JSON, &text) == TFR_OK, name, "a plan");
    tfr_string_free(text);
    expect(tfr_report_check(path, overrides, n, TFR_REPORT_TEXT, &text, &verdict) == TFR_OK, name, "a check");
    tfr_string_free(text);
}

static void run(struct tfr_engine *engine, const struct life *life) {
    switch (life->kind) {
    case SESSIONS:
        use_sessions(engine, life->name);
        break;
    case CANCELLED:
    case LEFT:
        submit_and_leave(engine, life->name, life->kind == CANCELLED);
        break;
    case TOO_LONG:
        ask_too_much(engine, life->name);
        break;
    case IDLE:
        break;
    default:
        generate(engine, life->name);
    }
}

/* ---- lives, one after the other ------------------------------------------------------------------------- */

/* What all of them have, and a life's own. Keys are cut out of its texts. */
static size_t take_options(const struct life *life, struct tfr_override *overrides, char (*texts)[64]) {
    static const struct tfr_override common[] = {{"sampling.max_tokens", "4", "engine_lives"},
                                                 {"sampling.ignore_eos", "true", "engine_lives"},
                                                 {"observe.log", "error", "engine_lives"}};
    size_t n = sizeof common / sizeof common[0];
    memcpy(overrides, common, sizeof common);
    for (size_t i = 0; i < MOST_OPTIONS && life->options[i] != NULL; i++, n++) {
        snprintf(texts[i], sizeof texts[i], "%s", life->options[i]);
        char *value = strchr(texts[i], '=');
        *value = '\0';
        overrides[n] = (struct tfr_override){.key = texts[i], .value = value + 1, .origin = "engine_lives"};
    }
    return n;
}

static void live(const struct life *life, const char *path) {
    struct tfr_override overrides[MOST_OPTIONS + 3];
    char texts[MOST_OPTIONS][64];
    struct tfr_engine *engine = NULL;
    const size_t n = take_options(life, overrides, texts);
    if (life->kind == REPORTS) {
        report(path, overrides, n, life->name);
        return;
    }
    const enum tfr_status status = tfr_engine_open(&engine, life->kind == NO_MODEL ? "/nowhere/at/all" : path, overrides, n);
    if (life->kind == REFUSED || life->kind == NO_MODEL) {
        expect(status != TFR_OK && engine == NULL, life->name, "it was opened");
        return;
    }
    expect(status == TFR_OK, life->name, "open");
    run(engine, life);
    tfr_engine_close(engine);
}

static void print_head(const char *what) {
    printf("| %s | open files | threads | mappings | heap in use, KiB | VmRSS, KiB | s |\n|--:|--:|--:|--:|--:|--:|--:|\n", what);
}

static void print_row(long n, const struct usage *now, const struct timespec *begun) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    const double s = (double)(time.tv_sec - begun->tv_sec) + (double)(time.tv_nsec - begun->tv_nsec) / 1e9;
    printf("| %ld | %ld | %ld | %ld | %.1f | %ld | %.1f |\n", n, now->files, now->threads, now->mappings, (double)now->heap / 1024,
           now->resident_kib, s);
    fflush(stdout);
}

/* Whether nothing grew over n lives since it was warm. */
static bool hold(const char *what, const struct usage *warm, const struct usage *now, long n) {
    const double per_life = ((double)now->heap - (double)warm->heap) / (double)n;
    const double growth = (double)now->resident_kib / (double)warm->resident_kib - 1;
    const bool is_flat = now->files == warm->files && now->threads == warm->threads && now->mappings <= warm->mappings &&
                         per_life <= most_heap_per_life && growth <= most_growth;
    printf("%s: heap %+.1f bytes each, resident memory %+.2f %%%s\n\n", what, per_life, 100 * growth, is_flat ? "" : ": NOT FLAT");
    return is_flat;
}

static bool run_engines(char *const *models, long n) {
    const long n_lives = (long)(sizeof lives / sizeof lives[0]), rounds = (n + n_lives - 1) / n_lives;
    struct timespec begun;
    struct usage warm = {0}, now = {0};
    clock_gettime(CLOCK_MONOTONIC, &begun);
    print_head("engines");
    for (long round = -WARM_ROUNDS; round < rounds; round++) {
        for (long i = 0; i < n_lives; i++) {
            live(&lives[i], models[(round + i + WARM_ROUNDS) % 2]);
        }
        now = look();
        warm = round < 0 ? now : warm;
        if (round == -1 || (round >= 0 && (round + 1) * ROWS / rounds != round * ROWS / rounds)) {
            print_row((round + 1) * n_lives, &now, &begun);
        }
    }
    return hold("engines", &warm, &now, rounds * n_lives);
}

static bool run_sessions(const char *model, long n) {
    const struct life life = {"sessions", SESSIONS, {"runtime.max_batch=4"}};
    struct tfr_override overrides[MOST_OPTIONS + 3];
    char texts[MOST_OPTIONS][64];
    struct tfr_engine *engine;
    struct timespec begun;
    struct usage warm = {0}, now = {0};
    clock_gettime(CLOCK_MONOTONIC, &begun);
    const size_t n_options = take_options(&life, overrides, texts);
    expect(tfr_engine_open(&engine, model, overrides, n_options) == TFR_OK, life.name, "open");
    print_head("sessions");
    for (long i = -SIDE_BY_SIDE; i < n; i += SIDE_BY_SIDE) {
        use_sessions(engine, life.name);
        now = look();
        if (i < 0) {
            warm = now;
        }
        if (i < 0 || (i + SIDE_BY_SIDE) * ROWS / n != i * ROWS / n) {
            print_row(i + SIDE_BY_SIDE, &now, &begun);
        }
    }
    tfr_engine_close(engine);
    return hold("sessions", &warm, &now, n);
}

int main(int argc, char **argv) {
    const long n = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    if (n < 1) {
        fprintf(stderr, "usage: engine_lives MODEL MODEL N: N engines of both model folders by turns, and N sessions\n");
        return 2;
    }
    if (getenv(tunable) == NULL && setenv(tunable, no_cache, 1) == 0) {
        execv("/proc/self/exe", argv);
    }
    const bool engines = run_engines(argv + 1, n), sessions = run_sessions(argv[2], n);
    return engines && sessions ? 0 : 1;
}

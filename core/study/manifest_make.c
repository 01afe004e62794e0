/* manifest_make.c - collects a manifest from the engine, the environment and the kernel. */
#include <tfrun/tfrun.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/memtext.h"
#include "base/status.h"
#include "profile/profile_run.h"
#include "study/manifest.h"

extern char **environ;

/* Names that begin like this change how fast it runs. */
static const char *const prefixes[] = {"OMP_",   "GOMP_", "KMP_",   "OMPI_", "PMIX_MCA_", "MPICH_",         "SLURM_",
                                       "TFRUN_", "UCX_",  "HWLOC_", "DNNL_", "ONEDNN_",   "LD_LIBRARY_PATH"};
/* And these hold what is nobody's business, or another word in every run. */
static const char *const kept_back[] = {"JWT",  "KEY",  "TOKEN", "SECRET", "PASSW",  "CREDENTIAL", "precondition_transports",
                                        "_uri", "_URI", "jobid", "tmpdir", "session"};

static bool is_told(const char *name, size_t length) {
    bool begins = false;
    for (size_t i = 0; i < TFR_COUNT_OF(prefixes); i++) {
        begins = begins || strncmp(name, prefixes[i], strlen(prefixes[i])) == 0;
    }
    for (size_t i = 0; begins && i < TFR_COUNT_OF(kept_back); i++) {
        const char *found = strstr(name, kept_back[i]);
        begins = found == NULL || found >= name + length;
    }
    return begins;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct tfr_said *)a)->name, ((const struct tfr_said *)b)->name);
}

static enum tfr_status add(struct tfr_said_list *list, char *name, char *value) {
    list->items[list->n++] = (struct tfr_said){name, value};
    return name != NULL && value != NULL ? TFR_OK : TFR_RESOURCE;
}

static enum tfr_status note_environment(struct tfr_said_list *list) {
    size_t n = 0;
    while (environ != NULL && environ[n] != NULL) {
        n++;
    }
    list->items = tfr_alloc(n + 1, sizeof *list->items);
    if (list->items == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t length = strcspn(environ[i], "=");
        if (environ[i][length] == '=' && is_told(environ[i], length)) {
            TFR_TRY(add(list, tfr_strndup(environ[i], length), tfr_strdup(environ[i] + length + 1)));
            tfr_defuse(list->items[list->n - 1].value);
        }
    }
    qsort(list->items, list->n, sizeof *list->items, by_name);
    return TFR_OK;
}

static enum tfr_status note_overrides(struct tfr_said_list *list, const struct tfr_override *overrides, size_t n) {
    list->items = tfr_alloc(n + 1, sizeof *list->items);
    if (list->items == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < n; i++) {
        const char *key = overrides[i].key;
        if (strncmp(key, "output.", 7) != 0 && strcmp(key, "observe.log") != 0) { /* where results go changes none */
            TFR_TRY(add(list, tfr_strdup(key), tfr_strdup(overrides[i].value)));
        }
    }
    return TFR_OK;
}

/* The text of `tfrun config` behind the name of the file, without what is said of output. */
enum tfr_status tfr_manifest_config_digest(const struct tfr_bench_question *question, char **digest) {
    char *text;
    TFR_TRY(tfr_report_config(question->config, question->overrides, question->n_overrides, &text));
    const char *from = strstr(text, "\"n_layer\""), *to = strstr(text, "\"output.");
    const size_t size = from != NULL && to != NULL && to > from ? (size_t)(to - from) : 0;
    if (size == 0) {
        tfr_free(text);
        return tfr_raise(TFR_RUNTIME, "%s: the config as it is printed begins and ends with other members", question->config);
    }
    *digest = tfr_format("%016" PRIx64, tfr_hash(TFR_HASH_START, from, size));
    tfr_free(text);
    return *digest != NULL ? TFR_OK : TFR_RESOURCE;
}

/* Nothing of it is of weight to a shell. */
static bool is_plain(const char *text) {
    bool plain = true;
    for (; *text != '\0'; text++) {
        plain = plain && (isalnum((unsigned char)*text) || strchr("_-./,:=+@%", *text) != NULL);
    }
    return plain;
}

static void put_quoted(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        fputs(*text == '\'' ? "'\\''" : (char[2]){*text, '\0'}, out);
    }
}

/* A word of a command line as a shell reads it: what stands before '=' and what stands behind. */
static void put_setting(FILE *out, const char *before, const char *word) {
    const bool has_name = *before != '\0';
    const char *quote = (has_name || *word != '\0') && is_plain(before) && is_plain(word) ? "" : "'";
    fputs(quote, out);
    put_quoted(out, before);
    fputs(has_name ? "=" : "", out);
    put_quoted(out, word);
    fputs(quote, out);
}

static void put_word(FILE *out, const char *word) {
    put_setting(out, "", word);
}

static void put_overrides(FILE *out, const struct tfr_manifest *manifest) {
    for (size_t i = 0; i < manifest->overrides.n; i++) {
        fputs(" --set ", out);
        put_setting(out, manifest->overrides.items[i].name, manifest->overrides.items[i].value);
    }
}

static void put_flag(FILE *out, const char *flag, const char *value) {
    if (value != NULL) {
        fputs(flag, out);
        put_word(out, value);
    }
}

static enum tfr_status command_of_kernels(const struct tfr_manifest *manifest, const struct tfr_kernel_bench_question *question,
                                          char **text) {
    FILE *out;
    size_t size;
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    put_flag(out, "tfrun bench --micro ", question->file);
    put_overrides(out, manifest);
    put_flag(out, " --case ", question->only);
    put_flag(out, " --kernel ", question->kernel);
    fprintf(out, "%s --repetitions %" PRId64, question->no_roofs ? " --no-roofs" : "", question->repetitions);
    return tfr_memtext_close(out, text);
}

static enum tfr_status command_of(const struct tfr_manifest *manifest, const struct tfr_bench_question *question, int n_ranks,
                                  char **text) {
    FILE *out;
    size_t size;
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    if (n_ranks > 1) {
        fprintf(out, "mpirun -n %d ", n_ranks);
    }
    fputs("tfrun bench ", out);
    put_word(out, question->config);
    put_overrides(out, manifest);
    put_flag(out, " --cases ", question->cases);
    fprintf(out, " --repetitions %" PRId64, question->repetitions);
    return tfr_memtext_close(out, text);
}

/* Pages of two megabytes that this process has now. */
static int64_t huge_bytes(void) {
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    long long kib = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "AnonHugePages: %lld kB", &kib) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib * 1024;
}

static char *cpus_of(const struct tfr_engine *engine) {
    char *text;
    FILE *out;
    size_t size;
    if (tfr_memtext_open(&out, &text, &size) != TFR_OK) {
        return NULL;
    }
    for (int i = 0; i < engine->threads.n_cores && engine->threads.first_core + i < engine->machine->n_cores; i++) {
        fprintf(out, "%s%d", i > 0 ? "," : "", engine->machine->cores[engine->threads.first_core + i].pu);
    }
    return tfr_memtext_close(out, &text) == TFR_OK ? text : NULL;
}

static const char *transport_of(const struct tfr_comm *comm) {
    if (tfr_comm_size(comm) == 1) {
        return "none";
    }
    return tfr_comm_local_size(comm) == tfr_comm_size(comm) ? "shared memory"
           : tfr_comm_local_size(comm) == 1                 ? "network"
                                                            : "shared memory and network";
}

static void note_machine(char **facts, const struct tfr_engine *engine) {
    struct tfr_conditions now;
    tfr_engine_conditions(engine, &now);
    facts[TFR_FACT_MEASURED_AT] = tfr_strdup(now.measured_at);
    facts[TFR_FACT_VERSION] = tfr_strdup(tfr_version());
    facts[TFR_FACT_COMMIT] = tfr_strdup(tfr_build_commit());
    facts[TFR_FACT_PLUGINS] = tfr_strdup(now.plugins);
    facts[TFR_FACT_HOST] = tfr_strdup(now.host);
    facts[TFR_FACT_CPU] = tfr_strdup(now.cpu);
    facts[TFR_FACT_CORES] = tfr_format("%d", engine->machine->n_cores);
    facts[TFR_FACT_QUOTA] = tfr_format("%.15g", now.quota_cores);
    facts[TFR_FACT_GOVERNOR] = tfr_strdup(now.governor);
    facts[TFR_FACT_BIND] = tfr_strdup(now.bind);
    facts[TFR_FACT_CPUS] = cpus_of(engine);
    facts[TFR_FACT_THREADS] = tfr_format("%d: %s", engine->threads.n_threads, engine->threads.reason);
    facts[TFR_FACT_CROWDED] = tfr_strdup(engine->threads.oversubscribed ? "1" : "0");
    facts[TFR_FACT_HUGEPAGES] = tfr_strdup(now.hugepages);
    facts[TFR_FACT_HUGE_BYTES] = tfr_format("%" PRId64, huge_bytes());
    facts[TFR_FACT_MPI] = tfr_strdup(tfr_comm_describe(engine->comm));
    facts[TFR_FACT_TRANSPORT] = tfr_strdup(transport_of(engine->comm));
    facts[TFR_FACT_LOCAL_RANKS] = tfr_format("%d", tfr_comm_local_size(engine->comm));
}

static enum tfr_status check_facts(char *const *facts) {
    for (int i = 0; i < TFR_N_FACTS; i++) {
        if (facts[i] == NULL) {
            return TFR_RESOURCE;
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_manifest_make(struct tfr_manifest *manifest, const struct tfr_engine *engine,
                                  const struct tfr_bench_question *question) {
    char **facts = manifest->facts;
    note_machine(facts, engine);
    TFR_TRY(note_environment(&manifest->environment));
    TFR_TRY(note_overrides(&manifest->overrides, question->overrides, question->n_overrides));
    facts[TFR_FACT_CONFIG] = tfr_strdup(question->config);
    TFR_TRY(tfr_manifest_config_digest(question, &facts[TFR_FACT_CONFIG_DIGEST]));
    facts[TFR_FACT_CASES] = tfr_strdup(question->cases != NULL ? question->cases : "");
    facts[TFR_FACT_REPETITIONS] = tfr_format("%" PRId64, question->repetitions);
    TFR_TRY(command_of(manifest, question, tfr_engine_size(engine), &facts[TFR_FACT_COMMAND]));
    return check_facts(facts);
}

enum tfr_status tfr_manifest_of_kernels(struct tfr_manifest *manifest, const struct tfr_engine *engine,
                                        const struct tfr_kernel_bench_question *question) {
    static const enum tfr_fact none[] = {TFR_FACT_CONFIG, TFR_FACT_CONFIG_DIGEST, TFR_FACT_CASES};
    char **facts = manifest->facts;
    note_machine(facts, engine);
    TFR_TRY(note_environment(&manifest->environment));
    TFR_TRY(note_overrides(&manifest->overrides, question->overrides, question->n_overrides));
    for (size_t i = 0; i < TFR_COUNT_OF(none); i++) {
        facts[none[i]] = tfr_strdup("");
    }
    facts[TFR_FACT_REPETITIONS] = tfr_format("%" PRId64, question->repetitions);
    TFR_TRY(command_of_kernels(manifest, question, &facts[TFR_FACT_COMMAND]));
    return check_facts(facts);
}

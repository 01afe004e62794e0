/* manifest.h - under which conditions a bench was measured, and what has to be said to tfrun to measure it again.
 * Thread rule: read-only once it is complete. */
#ifndef TFR_STUDY_MANIFEST_H
#define TFR_STUDY_MANIFEST_H

#include <tfrun/study.h>

#include "base/json.h"

/* Every fact, in the order of the document: name, key, TEXT, NUMBER or FLAG (0 or 1). */
#define TFR_EACH_FACT(EACH)                                                                                                        \
    EACH(MEASURED_AT, "measured_at", TEXT)                                                                                         \
    EACH(VERSION, "tfrun", TEXT)                                                                                                   \
    EACH(COMMIT, "commit", TEXT) /* of git, of the build; "-dirty" behind it where files were changed */                           \
    EACH(PLUGINS, "plugins", TEXT)                                                                                                 \
    EACH(HOST, "host", TEXT)                                                                                                       \
    EACH(CPU, "cpu", TEXT)                                                                                                         \
    EACH(CORES, "cores", NUMBER) /* that rank 0 may use */                                                                         \
    EACH(QUOTA, "quota_cores", NUMBER)                                                                                             \
    EACH(GOVERNOR, "governor", TEXT)                                                                                               \
    EACH(BIND, "bind", TEXT)                                                                                                       \
    EACH(CPUS, "cpus", TEXT)       /* of the threads of rank 0 */                                                                  \
    EACH(THREADS, "threads", TEXT) /* their number, and which limit it comes from */                                               \
    EACH(CROWDED, "oversubscribed",                                                                                                \
         FLAG) /* more threads than cores or quota on the node of rank 0; 0 where a document does not tell */                      \
    EACH(HUGEPAGES, "hugepages", TEXT)                                                                                             \
    EACH(HUGE_BYTES, "huge_page_bytes", NUMBER) /* of rank 0, after the work */                                                    \
    EACH(MPI, "mpi", TEXT)                                                                                                         \
    EACH(TRANSPORT, "transport", TEXT)                                                                                             \
    EACH(LOCAL_RANKS, "ranks_on_first_node", NUMBER)                                                                               \
    EACH(CONFIG, "config", TEXT)                                                                                                   \
    EACH(CONFIG_DIGEST, "config_digest", TEXT) /* of all that the config says once the overrides are in it */                      \
    EACH(CASES, "cases", TEXT)                 /* as for --cases; "" the usual ones */                                             \
    EACH(REPETITIONS, "repetitions", NUMBER)                                                                                       \
    EACH(COMMAND, "command", TEXT)

enum tfr_fact {
#define TFR_FACT_NAME(name, key, kind) TFR_FACT_##name,
    TFR_EACH_FACT(TFR_FACT_NAME)
#undef TFR_FACT_NAME
        TFR_N_FACTS
};

struct tfr_said { /* a variable of the environment, or an option and its value */
    char *name, *value;
};
struct tfr_said_list {
    struct tfr_said *items;
    size_t n;
};

struct tfr_manifest {
    char *facts[TFR_N_FACTS]; /* a number as JSON writes it */
    struct tfr_said_list environment, overrides;
};

/* After the work. */
enum tfr_status tfr_manifest_make(struct tfr_manifest *manifest, const struct tfr_engine *engine,
                                  const struct tfr_bench_question *question);
/* The same of kernels without a model, whose config, digest and cases are "". */
enum tfr_status tfr_manifest_of_kernels(struct tfr_manifest *manifest, const struct tfr_engine *engine,
                                        const struct tfr_kernel_bench_question *question);
/* "16 hex digits": before the work, to hold a recorded one against it. */
enum tfr_status tfr_manifest_config_digest(const struct tfr_bench_question *question, char **digest);
void tfr_manifest_put(struct tfr_json_out *out, const struct tfr_manifest *manifest);
/* TFR_MODEL with file and place for what is not there. */
enum tfr_status tfr_manifest_read(struct tfr_manifest *manifest, const struct tfr_json_doc *doc, const tfr_json *node);
void tfr_manifest_free(struct tfr_manifest *manifest);
/* By SimGrid's clock, or with kernels that sleep instead of computing: no machine was that fast. */
bool tfr_manifest_is_simulated(const struct tfr_manifest *manifest);

/* A document that has something else at `key` of an object: TFR_MODEL with file and place. */
enum tfr_status tfr_document_refuse(const struct tfr_json_doc *doc, const tfr_json *node, const char *key, const char *wanted);

/* commit.c */
const char *tfr_build_commit(void);

#endif

/* comm_open.c - which back end: one process, or MPI when a launcher is visible; and the end.
 *
 * comm_mpi.so is looked for only under a launcher, so that one process starts fast and needs no MPI
 * installed.
 */
#include "mpi/comm.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "mpi/comm_internal.h"
#include "mpi/watchdog.h"

/* A number from the environment; -1 if there is none. */
static int environment_number(const char *variable) {
    const char *text = getenv(variable);
    char *end;
    if (text == NULL || *text == '\0') {
        return -1;
    }
    const long value = strtol(text, &end, 10);
    return *end == '\0' && value >= 0 && value <= INT_MAX ? (int)value : -1;
}

bool tfr_comm_launched(int *rank, int *size) {
    if (tfr_comm_backend_linked(rank, size) != NULL) {
        return *size > 1;
    }
    /* Open MPI's mpirun; Hydra (MPICH, Intel MPI) and srun with PMI; anything with PMIx, which does not tell
     * the size, but Slurm does. */
    static const struct {
        const char *rank, *size;
    } launchers[] = {
        {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
        {"PMI_RANK", "PMI_SIZE"},
        {"PMIX_RANK", "SLURM_STEP_NUM_TASKS"},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(launchers); i++) {
        const int n = environment_number(launchers[i].size), me = environment_number(launchers[i].rank);
        if (n > 1 && me >= 0) {
            *rank = me;
            *size = n;
            return true;
        }
    }
    *rank = 0;
    *size = 1;
    return false;
}

/* An srun step of several tasks without PMI: each would run the whole job and believe to be alone. The
 * variable of the step, not of the job: a batch script's own commands are single processes inside a job of
 * many tasks. */
static enum tfr_status check_wired(void) {
    const int n = environment_number("SLURM_STEP_NUM_TASKS");
    if (n > 1) {
        return tfr_raise(TFR_RESOURCE,
                         "srun started %d tasks, but they cannot find each other (no PMI or PMIx in the environment): "
                         "use mpirun inside the allocation, or srun --mpi=pmix where Slurm has it",
                         n);
    }
    return TFR_OK;
}

static enum tfr_status load_file(const char *path, struct tfr_comm_backend **backend) {
    /* Global: MPI libraries load parts of their own that look for the library's symbols. Never closed. */
    void *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (handle == NULL) {
        return tfr_raise(TFR_RESOURCE, "the MPI back end does not load: %s", dlerror());
    }
    tfr_comm_backend_fn entry;
    *(void **)&entry = dlsym(handle, TFR_COMM_BACKEND_SYMBOL);
    *backend = entry != NULL ? entry() : NULL;
    if (*backend == NULL || (*backend)->version != TFR_COMM_BACKEND_VERSION) {
        return tfr_raise(TFR_RESOURCE, "%s belongs to another version of tfrun: rebuild or reinstall it", path);
    }
    return TFR_OK;
}

/* Loads what the environment names, or from the first folder that has the file; *found says whether any had. */
static enum tfr_status load(const char *const *plugin_dirs, struct tfr_comm_backend **backend, bool *found) {
    int rank, size;
    *backend = tfr_comm_backend_linked(&rank, &size);
    *found = *backend != NULL;
    if (*found) {
        return TFR_OK;
    }
    const char *named = getenv(TFR_COMM_BACKEND_VARIABLE);
    *found = named != NULL && *named != '\0';
    if (*found) {
        return load_file(named, backend);
    }
    for (size_t i = 0; plugin_dirs != NULL && plugin_dirs[i] != NULL; i++) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s/" TFR_COMM_BACKEND_FILE, plugin_dirs[i]) < (int)sizeof path &&
            access(path, R_OK) == 0) {
            *found = true;
            return load_file(path, backend);
        }
    }
    return TFR_OK;
}

static enum tfr_status no_backend(const char *const *plugin_dirs, int size) {
    char folders[1024] = "";
    for (size_t i = 0; plugin_dirs != NULL && plugin_dirs[i] != NULL; i++) {
        const size_t used = strlen(folders);
        snprintf(folders + used, sizeof folders - used, "%s%s", used > 0 ? ", " : "", plugin_dirs[i]);
    }
    return tfr_raise(TFR_RESOURCE,
                     "%d ranks were started, but the MPI back end " TFR_COMM_BACKEND_FILE " is in no plugin folder (%s): "
                     "build with -DTFRUN_WITH_MPI=ON (Debian package libopenmpi-dev)",
                     size, folders);
}

/* Rank 0 speaks first, the others only where it is the one that does not come: a launcher takes a second to end them. None where
 * time is simulated. */
static int64_t limit_ms(const struct tfr_comm_backend *backend, int rank, int64_t timeout_s) {
    enum { TURN_MS = 2500, MOST_TURNS = 4 };
    return timeout_s <= 0 || backend->wait != NULL ? 0
                                                   : timeout_s * 1000 + (int64_t)(rank < MOST_TURNS ? rank : MOST_TURNS) * TURN_MS;
}

/* MPI's start waits for every rank of the job, for ever. */
static bool start_backend(struct tfr_comm_backend *backend, int rank, int size, int64_t timeout_s) {
    struct tfr_watchdog dog;
    char sentence[256], host[64] = "?";
    gethostname(host, sizeof host - 1);
    snprintf(sentence, sizeof sentence,
             "rank %d on host %s waited %lld s for the start of MPI: not all of the %d ranks of this job have come; one has died, "
             "hangs or does not run tfrun (limit: parallel.timeout_s, --mpi-timeout)",
             rank, host, (long long)timeout_s, size);
    tfr_watchdog_start(&dog, limit_ms(backend, rank, timeout_s), sentence);
    const bool fine = backend->open(backend);
    tfr_watchdog_stop(&dog);
    return fine;
}

/* Whether rank 0, or another one, does not tell of it. Where rank 0's start fails too that comes at nearly the same time; where it
 * does not, rank 0 waits in MPI's start for this one and is ended with it. */
static bool is_untold(int rank) {
    enum { PATIENCE_MS = 1500, NAP_MS = 10 };
    const struct timespec nap = {.tv_nsec = NAP_MS * 1000000L};
    tfr_word_name_job();
    for (int ms = 0; rank > 0 && ms < PATIENCE_MS; ms += NAP_MS) {
        if (tfr_word_is_taken()) {
            return false;
        }
        nanosleep(&nap, NULL);
    }
    return tfr_word_take();
}

enum tfr_status tfr_comm_not_met(enum tfr_status status) {
    int rank, size;
    if (tfr_comm_launched(&rank, &size) && is_untold(rank) && rank > 0) {
        char host[64] = "?";
        gethostname(host, sizeof host - 1);
        tfr_log_set_level(TFR_LOG_ERROR);
        tfr_log(TFR_LOG_ERROR, "mpi", "rank %d on host %s: %s", rank, host, tfr_failure_text());
    }
    return status;
}

static enum tfr_status open_mpi(const char *const *plugin_dirs, int rank, int size, int64_t timeout_s,
                                struct tfr_comm_backend **backend) {
    bool found = false;
    if (size > TFR_COMM_MAX_RANKS) {
        return tfr_raise(TFR_USAGE, "the launcher started %d ranks, and a job of tfrun has at most %d; start fewer", size,
                         TFR_COMM_MAX_RANKS);
    }
    TFR_TRY(load(plugin_dirs, backend, &found));
    if (!found) {
        return no_backend(plugin_dirs, size);
    }
    if (!start_backend(*backend, rank, size, timeout_s)) {
        return tfr_raise(TFR_RESOURCE,
                         "MPI does not start: %s; see that `mpirun -n 2 hostname` runs on these hosts, with the "
                         "launcher of the MPI that tfrun was built with (`ldd " TFR_COMM_BACKEND_FILE "`)",
                         (*backend)->error);
    }
    if ((*backend)->size != size) {
        return tfr_raise(TFR_RESOURCE,
                         "the launcher started %d ranks, but the MPI library (%s) sees %d: the launcher "
                         "belongs to another MPI",
                         size, (*backend)->describe, (*backend)->size);
    }
    return TFR_OK;
}

/* A rank without memory for its record tells the others so, and takes its leave with them, by this one: of the process, as MPI is.
 */
static struct tfr_comm *spare_record(void) {
    static struct tfr_comm spare;
    spare = (struct tfr_comm){.is_spare = true};
    return &spare;
}

static enum tfr_status open_over(struct tfr_comm **comm, struct tfr_comm_backend *backend, int64_t timeout_s) {
    struct tfr_comm *made = tfr_alloc(1, sizeof *made);
    if (made == NULL && backend->size == 1) {
        return TFR_RESOURCE;
    }
    made = made != NULL ? made : spare_record();
    made->backend = backend;
    made->timeout_s = timeout_s;
    snprintf(made->host, sizeof made->host, "?");
    gethostname(made->host, sizeof made->host - 1);
    made->wait = backend->local_size > sysconf(_SC_NPROCESSORS_ONLN) ? TFR_COMM_WAIT_SLEEP : TFR_COMM_WAIT_OWN_CORES;
    *comm = made;
    return tfr_comm_learn_places(made);
}

enum tfr_status tfr_comm_open_alone(struct tfr_comm **comm) {
    struct tfr_comm_backend *backend = tfr_comm_backend_self();
    *comm = NULL;
    backend->open(backend);
    return open_over(comm, backend, 0);
}

enum tfr_status tfr_comm_open(struct tfr_comm **comm, const char *const *plugin_dirs, int64_t timeout_s) {
    int rank = 0, size = 1;
    struct tfr_comm_backend *backend = NULL;
    *comm = NULL;
    if (!tfr_comm_launched(&rank, &size)) {
        TFR_TRY(check_wired());
        return tfr_comm_open_alone(comm);
    }
    TFR_TRY(open_mpi(plugin_dirs, rank, size, timeout_s, &backend));
    return open_over(comm, backend, timeout_s);
}

static void free_record(struct tfr_comm *comm) {
    tfr_free(comm->places);
    if (!comm->is_spare) {
        tfr_free(comm);
    }
}

void tfr_comm_close(struct tfr_comm *comm) {
    if (comm == NULL) {
        return;
    }
    if (comm->has_lost) {
        tfr_comm_abort(comm, tfr_status_exit_code(TFR_RUNTIME));
    }
    if (tfr_comm_has_left() && comm->backend->size > 1) { /* MPI's end would wait for the one that is gone */
        free_record(comm);
        return;
    }
    /* MPI's own end would spin, and for ever if a rank is gone: wait our way first. */
    if (tfr_comm_agree(comm, TFR_OK) != TFR_OK) {
        tfr_log_set_level(TFR_LOG_ERROR);
        tfr_log(TFR_LOG_ERROR, "mpi", "%s", tfr_failure_text());
        tfr_comm_abort(comm, tfr_status_exit_code(TFR_RUNTIME));
    }
    struct tfr_watchdog dog;
    char sentence[256], host[64] = "?";
    gethostname(host, sizeof host - 1);
    snprintf(sentence, sizeof sentence,
             "rank %d on host %s waited %lld s for the end of MPI: a rank has died or hangs (limit: parallel.timeout_s, "
             "--mpi-timeout)",
             comm->backend->rank, host, (long long)comm->timeout_s);
    tfr_watchdog_start(&dog, comm->backend->size > 1 ? limit_ms(comm->backend, comm->backend->rank, comm->timeout_s) : 0, sentence);
    comm->backend->close(comm->backend);
    tfr_watchdog_stop(&dog);
    free_record(comm);
}

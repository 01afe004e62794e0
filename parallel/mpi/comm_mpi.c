/* comm_mpi.c - the back end over MPI: the only file that includes mpi.h, built as comm_mpi.so.
 *
 * Level FUNNELED, errors returned (on a duplicate of the world, so that nothing of ours meets messages of
 * others), no blocking call between start and end. Knows nothing of tfrun but its own contract.
 *
 * With TFR_SIMULATED it is linked into a program for simulated ranks: comm_simulated.c has opened MPI, and waits block.
 */
#include "mpi/comm_backend.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mpi.h>

struct slot {
    MPI_Request request; /* MPI_REQUEST_NULL: free, or waited for */
    MPI_Status status;
    bool waited;
    size_t bytes;
    int peer;
    bool receives;
};

#ifdef TFR_SIMULATED
static const bool is_simulated = true;
#else
static const bool is_simulated = false;
#endif

/* One world per process, therefore static. */
static MPI_Comm world = MPI_COMM_NULL;
static struct slot slots[TFR_COMM_MAX_REQUESTS];
static int n_slots; /* that were ever used */

/* False with MPI's own words for `code`; it has none before it has started. */
static bool failed(struct tfr_comm_backend *backend, const char *call, int code) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0, is_open = 0;
    MPI_Initialized(&is_open);
    if (is_open) {
        MPI_Error_string(code, text, &length);
    } else {
        length = snprintf(text, sizeof text, "error %d", code);
    }
    backend->is_broken = true;
    snprintf(backend->error, sizeof backend->error, "%s: %.*s", call, length, text);
    return false;
}

#define TRY_MPI(backend, call)                                                                                                     \
    do {                                                                                                                           \
        const int code_ = (call);                                                                                                  \
        if (code_ != MPI_SUCCESS) {                                                                                                \
            return failed(backend, #call, code_);                                                                                  \
        }                                                                                                                          \
    } while (0)

static void describe(struct tfr_comm_backend *backend, int level) {
    static const char *const names[] = {"single", "funneled", "serialized", "multiple"};
    const int levels[] = {MPI_THREAD_SINGLE, MPI_THREAD_FUNNELED, MPI_THREAD_SERIALIZED, MPI_THREAD_MULTIPLE};
    char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    const char *name = "unknown level";
    int length = 0;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        name = levels[i] == level ? names[i] : name;
    }
    MPI_Get_library_version(library, &length);
    /* "Open MPI v4.1.4, package: ..."; MPICH: lines with a tab. The beginning says it. */
    library[strcspn(library, ",\n")] = '\0';
    for (char *at = library; (at = strchr(at, '\t')) != NULL;) {
        *at = ' ';
    }
    snprintf(backend->describe, sizeof backend->describe, "%.80s, %s", library, name);
}

static bool find_local(struct tfr_comm_backend *backend) {
    MPI_Comm local;
    TRY_MPI(backend, MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local));
    TRY_MPI(backend, MPI_Comm_rank(local, &backend->local_rank));
    TRY_MPI(backend, MPI_Comm_size(local, &backend->local_size));
    TRY_MPI(backend, MPI_Comm_free(&local));
    return true;
}

static bool mpi_open(struct tfr_comm_backend *backend) {
    int level = MPI_THREAD_SINGLE, is_open = 0;
    MPI_Initialized(&is_open);
    if (is_open && !is_simulated) {
        snprintf(backend->error, sizeof backend->error, "MPI is open already in this process");
        return false;
    }
    if (!is_open) {
        TRY_MPI(backend, MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level));
    }
    if (level < MPI_THREAD_FUNNELED && !is_simulated) {
        snprintf(backend->error, sizeof backend->error, "the MPI library allows no threads (level single)");
        return false;
    }
    TRY_MPI(backend, MPI_Comm_dup(MPI_COMM_WORLD, &world));
    TRY_MPI(backend, MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN));
    TRY_MPI(backend, MPI_Comm_set_name(world, "tfrun"));
    TRY_MPI(backend, MPI_Comm_rank(world, &backend->rank));
    TRY_MPI(backend, MPI_Comm_size(world, &backend->size));
    describe(backend, level);
    return find_local(backend);
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The end of MPI tells the launcher and waits for its answer, with PMIx for two seconds; then it goes on. A launcher that was held
 * up for so long (stopped, or its machine asleep) may find the end of the process before what it was told, and takes that for a
 * failure of the job. So it gets the time to read. */
static void mpi_close(struct tfr_comm_backend *backend) {
    enum { TO_READ_S = 1 };
    const double patience_s = 1.9, start = seconds_now();
    (void)backend;
    MPI_Comm_free(&world);
    MPI_Finalize();
    if (!is_simulated && seconds_now() - start > patience_s) {
        sleep(TO_READ_S);
    }
}

/* A free slot for a message of `bytes`, or -1 with a reason. */
static int take_slot(struct tfr_comm_backend *backend, size_t bytes) {
    if (bytes > INT_MAX) {
        snprintf(backend->error, sizeof backend->error, "a message of %zu bytes is above MPI's limit of %d", bytes, INT_MAX);
        return -1;
    }
    for (int i = 0; i < n_slots; i++) {
        if (slots[i].request == MPI_REQUEST_NULL && !slots[i].waited) {
            return i;
        }
    }
    if (n_slots < TFR_COMM_MAX_REQUESTS) {
        slots[n_slots].request = MPI_REQUEST_NULL;
        return n_slots++;
    }
    snprintf(backend->error, sizeof backend->error, "more than %d messages in flight", TFR_COMM_MAX_REQUESTS);
    return -1;
}

static bool mpi_isend(struct tfr_comm_backend *backend, const void *data, size_t bytes, int peer, int tag,
                      tfr_comm_request *request) {
    const int i = take_slot(backend, bytes);
    if (i < 0) {
        return false;
    }
    TRY_MPI(backend, MPI_Isend(data, (int)bytes, MPI_BYTE, peer, tag, world, &slots[i].request));
    slots[i].bytes = bytes;
    slots[i].peer = peer;
    slots[i].receives = false;
    *request = i;
    return true;
}

static bool mpi_irecv(struct tfr_comm_backend *backend, void *data, size_t bytes, int peer, int tag, tfr_comm_request *request) {
    const int i = take_slot(backend, bytes);
    if (i < 0) {
        return false;
    }
    TRY_MPI(backend, MPI_Irecv(data, (int)bytes, MPI_BYTE, peer, tag, world, &slots[i].request));
    slots[i].bytes = bytes;
    slots[i].peer = peer;
    slots[i].receives = true;
    *request = i;
    return true;
}

static bool mpi_test(struct tfr_comm_backend *backend, tfr_comm_request request, bool *done) {
    struct slot *slot = &slots[request];
    if (request >= n_slots) {
        snprintf(backend->error, sizeof backend->error, "request %d was never posted", request);
        return false;
    }
    int flag = slot->waited, got = 0;
    if (slot->request == MPI_REQUEST_NULL && !slot->waited) {
        snprintf(backend->error, sizeof backend->error, "request %d is not in flight", request);
        return false;
    }
    if (!slot->waited) {
        TRY_MPI(backend, MPI_Test(&slot->request, &flag, &slot->status));
    }
    slot->waited = false;
    *done = flag != 0;
    if (flag && slot->receives) {
        TRY_MPI(backend, MPI_Get_count(&slot->status, MPI_BYTE, &got));
        if ((size_t)got != slot->bytes) {
            snprintf(backend->error, sizeof backend->error, "rank %d sent %d bytes where %zu were expected", slot->peer, got,
                     slot->bytes);
            return false;
        }
    }
    return true;
}

#ifdef TFR_SIMULATED
/* Nothing moves while a rank looks, so it waits for whatever comes first; the request is told as done when it is tested. A caller
 * that looks at some of its messages in turn has time to come to one that is done before the rank waits for another. */
static bool mpi_wait(struct tfr_comm_backend *backend) {
    static int n_looks; /* since the last wait */
    MPI_Request requests[TFR_COMM_MAX_REQUESTS];
    int which[TFR_COMM_MAX_REQUESTS], n = 0, n_done = 0, first = MPI_UNDEFINED;
    MPI_Status status;
    for (int i = 0; i < n_slots; i++) {
        n_done += slots[i].waited;
        if (slots[i].request != MPI_REQUEST_NULL) {
            which[n] = i;
            requests[n++] = slots[i].request;
        }
    }
    if (n_done > 0 && (n == 0 || n_looks <= n_slots)) {
        n_looks++;
        return true;
    }
    if (n == 0) {
        snprintf(backend->error, sizeof backend->error, "a simulated rank waits, and no message is in flight");
        return false;
    }
    TRY_MPI(backend, MPI_Waitany(n, requests, &first, &status));
    struct slot *slot = &slots[which[first]];
    slot->request = MPI_REQUEST_NULL;
    slot->status = status;
    slot->waited = true;
    n_looks = 0;
    return true;
}
#endif

static volatile sig_atomic_t stop_code;

static void leave(int number) {
    (void)number;
    _exit(stop_code);
}

/* MPI_Abort of MPICH 4.0 over UCX waits until ranks have taken what was sent to them, for ever where one has stopped. A rank that
 * leaves without a word has the launcher end the others. */
static void mpi_stop(struct tfr_comm_backend *backend, int code) {
    enum { MOST_S = 2 };
    (void)backend;
    if (!is_simulated) {
        stop_code = code;
        signal(SIGALRM, leave);
        alarm(MOST_S);
    }
    MPI_Abort(world != MPI_COMM_NULL ? world : MPI_COMM_WORLD, code);
    _exit(code);
}

TFR_API struct tfr_comm_backend *tfr_comm_backend(void);

TFR_API struct tfr_comm_backend *tfr_comm_backend(void) {
    static struct tfr_comm_backend mpi = {
        .version = TFR_COMM_BACKEND_VERSION,
        .open = mpi_open,
        .close = mpi_close,
        .isend = mpi_isend,
        .irecv = mpi_irecv,
        .test = mpi_test,
#ifdef TFR_SIMULATED
        .wait = mpi_wait,
#endif
        .stop = mpi_stop,
    };
    return &mpi;
}

/* calibrate_net.c - links between ranks of a node and of two nodes: messages to and fro between pairs of the job's own ranks, and
 * from all to all of growing groups, the other ranks waiting. See calibrate_net.h. */
#include "engine/calibrate_net.h"

#include <tfrun/tfrun.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/mapfile.h"
#include "base/plural.h"
#include "base/status.h"
#include "config/config.h"
#include "engine/calibrate_talk.h"
#include "engine/wait_choice.h"
#include "mpi/comm.h"
#include "predict/calibration.h"
#include "rank/meet.h"
#include "topo/topo.h"

enum { MOST_PAIRS = 4, MOST_GROUPS = 6, OPENING_TIMEOUT_S = 300 };

/* Sizes of messages, with how often each goes to and fro; the first is as good as nothing. Close to each other where libraries
 * begin to tell a message before they send it. */
static const struct trial {
    size_t bytes;
    int n, n_quick, n_computing;
} trials[] = {{1, 200, 20, 20},     {64, 200, 20, 0},    {1024, 200, 20, 0},  {4096, 200, 20, 20}, {16384, 100, 20, 20},
              {32768, 100, 20, 0},  {49152, 60, 10, 20}, {65536, 60, 10, 20}, {98304, 60, 10, 20}, {196608, 40, 10, 20},
              {393216, 40, 10, 20}, {1048576, 20, 5, 0}, {4194304, 10, 5, 0}};
enum { N_TRIALS = TFR_COUNT_OF(trials), N_EXCHANGES = 100, N_QUICK_EXCHANGES = 10, QUICK_SHARE = 4 };

struct meeting {
    const struct tfr_calibrate_question *question;
    struct tfr_comm *comm;
    struct tfr_machine *machine;
    struct tfr_thread_choice threads;
    int rank, size;
    uint64_t *hosts; /* [size] */
    struct tfr_talk talk;
    enum tfr_comm_wait wait; /* of a run */
    struct kind {
        struct tfr_link_point point[MOST_PAIRS][N_TRIALS]; /* one way; rank 0 */
        int n_pairs;
        struct tfr_late_point late[MOST_GROUPS]; /* what an exchange took */
        int n_groups;
    } kinds[2]; /* same node, other node */
};

static enum tfr_status play(const struct meeting *meeting, const struct trial *trial, int peer, bool begins,
                            struct tfr_link_point *point) {
    const bool quick = meeting->question->quick;
    const int n_computing = quick ? (trial->n_computing + QUICK_SHARE - 1) / QUICK_SHARE : trial->n_computing;
    point->bytes = (double)trial->bytes;
    TFR_TRY(tfr_talk_pair(&meeting->talk, trial->bytes, quick ? trial->n_quick : trial->n, peer, begins, &point->ns));
    if (n_computing == 0) {
        return TFR_OK;
    }
    return tfr_talk_computing_pair(&meeting->talk, trial->bytes, n_computing, peer, begins, &point->computing_ns);
}

/* Ranks a and b play; all meet behind it, and rank 0 hears what a found. */
static enum tfr_status measure_pair(struct meeting *meeting, int a, int b) {
    struct kind *kind = &meeting->kinds[meeting->hosts[a] != meeting->hosts[b]];
    struct tfr_link_point mine[N_TRIALS] = {0}, (*all)[N_TRIALS] = NULL;
    enum tfr_status status = TFR_OK;
    for (int t = 0; t < N_TRIALS && status == TFR_OK && (meeting->rank == a || meeting->rank == b); t++) {
        status = play(meeting, &trials[t], meeting->rank == a ? b : a, meeting->rank == a, &mine[t]);
    }
    TFR_TRY(tfr_comm_agree(meeting->comm, status));
    if (meeting->rank == 0) {
        all = tfr_alloc((size_t)meeting->size, sizeof *all);
    }
    TFR_TRY(tfr_comm_agree(meeting->comm, meeting->rank == 0 && all == NULL ? TFR_RESOURCE : TFR_OK));
    status = tfr_comm_gather(meeting->comm, mine, sizeof mine, all);
    if (status == TFR_OK && meeting->rank == 0) {
        memcpy(kind->point[kind->n_pairs], all[a], sizeof mine);
    }
    kind->n_pairs++;
    tfr_free(all);
    return status;
}

/* Neighbours first, then ranks further apart: all ranks go through the same pairs. */
static enum tfr_status measure_pairs(struct meeting *meeting) {
    tfr_comm_set_wait(meeting->comm, TFR_COMM_WAIT_OWN_CORES); /* what a link takes, not who waits for it */
    for (int apart = 1; apart < meeting->size; apart++) {
        for (int a = 0; a + apart < meeting->size; a++) {
            const int is_other = meeting->hosts[a] != meeting->hosts[a + apart];
            if (meeting->kinds[is_other].n_pairs < MOST_PAIRS) {
                TFR_TRY(measure_pair(meeting, a, a + apart));
            }
        }
    }
    return TFR_OK;
}

/* The first 2, 4, 8, ... ranks, of one node or of several. */
static enum tfr_status measure_exchanges(struct meeting *meeting) {
    bool several = false;
    const int n = meeting->question->quick ? N_QUICK_EXCHANGES : N_EXCHANGES;
    tfr_comm_set_wait(meeting->comm, meeting->wait);
    for (int n_ranks = 2, i = 0; n_ranks <= meeting->size && i < MOST_GROUPS; n_ranks *= 2, i++) {
        double ns = 0;
        for (int rank = 1; rank < n_ranks; rank++) {
            several |= meeting->hosts[rank] != meeting->hosts[0];
        }
        struct kind *kind = &meeting->kinds[several];
        const enum tfr_status status = meeting->rank < n_ranks ? tfr_talk_exchange(&meeting->talk, n_ranks, n, &ns) : TFR_OK;
        TFR_TRY(tfr_comm_agree(meeting->comm, status));
        kind->late[kind->n_groups++] = (struct tfr_late_point){n_ranks, ns};
    }
    return TFR_OK;
}

static int by_time(const void *a, const void *b) {
    const struct tfr_link_point *x = a, *y = b;
    return (x->ns > y->ns) - (x->ns < y->ns);
}

/* Of each size the pair in the middle. An exchange takes its messages, and what it takes besides is for ranks that come late. */
static struct tfr_link fit(struct kind *kind) {
    struct tfr_link_point points[N_TRIALS];
    for (int t = 0; t < N_TRIALS; t++) {
        struct tfr_link_point sorted[MOST_PAIRS];
        for (int i = 0; i < kind->n_pairs; i++) {
            sorted[i] = kind->point[i][t];
        }
        qsort(sorted, (size_t)kind->n_pairs, sizeof sorted[0], by_time);
        points[t] = sorted[kind->n_pairs / 2];
    }
    struct tfr_link link = tfr_link_fit_ways(points, N_TRIALS);
    for (int i = 0; i < kind->n_groups; i++) {
        kind->late[i].ns -= tfr_link_several_ns(&link, kind->late[i].ranks - 1, TFR_TALK_EXCHANGE_BYTES);
    }
    tfr_link_fit_late(&link, kind->late, (size_t)kind->n_groups);
    return link;
}

static void note(struct meeting *meeting, struct tfr_measured_links *links) {
    const time_t now = time(NULL);
    struct tm utc;
    *links = (struct tfr_measured_links){
        .asleep = meeting->question->asleep, .shm_pairs = meeting->kinds[0].n_pairs, .net_pairs = meeting->kinds[1].n_pairs};
    if (links->shm_pairs > 0) {
        links->shm = fit(&meeting->kinds[0]);
    }
    if (links->net_pairs > 0) {
        links->net = fit(&meeting->kinds[1]);
    }
    snprintf(links->transport, sizeof links->transport, "%s", tfr_comm_describe(meeting->comm));
    if (gmtime_r(&now, &utc) != NULL) {
        strftime(links->measured_at, sizeof links->measured_at, "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
}

static enum tfr_status find_file(const struct meeting *meeting, char **path) {
    const struct tfr_calibrate_question *question = meeting->question;
    const int n_threads = meeting->threads.n_threads;
    *path = question->output != NULL ? tfr_strdup(question->output) : tfr_calibration_path(meeting->machine->host_name, n_threads);
    if (*path == NULL) {
        return TFR_RESOURCE;
    }
    return tfr_path_exists(*path)
               ? TFR_OK
               : tfr_raise(TFR_RESOURCE,
                           "%s: no calibration of %d thread%s to add links to; run `tfrun calibrate --threads %d` first", *path,
                           n_threads, n_threads == 1 ? "" : "s", n_threads);
}

/* Rank 0: before anything is measured, that there is a file to write into; behind it, into the file. */
static enum tfr_status look_for_file(const struct meeting *meeting) {
    char *path;
    const enum tfr_status status = meeting->rank == 0 ? find_file(meeting, &path) : TFR_OK;
    if (meeting->rank == 0) {
        tfr_free(path);
    }
    return tfr_comm_agree(meeting->comm, status);
}

static void say_link(const struct meeting *meeting, const char *where, const struct tfr_link *link, int64_t pairs) {
    const struct tfr_calibrate_question *question = meeting->question;
    char text[320];
    if (pairs > 0 && question->say != NULL) {
        tfr_link_describe(link, text, sizeof text);
        char line[400];
        snprintf(line, sizeof line, "%s: %s (%lld pair%s)", where, text, (long long)pairs, tfr_plural(pairs));
        question->say(question->user, line, 0, 0);
    }
}

static enum tfr_status add_links(struct meeting *meeting, const char *path) {
    struct tfr_calibration calibration = {0};
    TFR_TRY(tfr_calibration_read(&calibration, path));
    note(meeting, &calibration.links);
    say_link(meeting, "within a node", &calibration.links.shm, calibration.links.shm_pairs);
    say_link(meeting, "between nodes", &calibration.links.net, calibration.links.net_pairs);
    const enum tfr_status status = tfr_calibration_write(&calibration, path);
    tfr_calibration_free(&calibration);
    return status;
}

static enum tfr_status keep(struct meeting *meeting, char **path) {
    enum tfr_status status = find_file(meeting, path);
    status = status == TFR_OK ? add_links(meeting, *path) : status;
    if (status != TFR_OK) {
        tfr_free(*path);
        *path = NULL;
    }
    return status;
}

/* 0: as many as a run takes. */
static enum tfr_status threads_asked(const struct tfr_calibrate_question *question, int *n_threads) {
    *n_threads = 0;
    for (size_t i = 0; i < question->n_overrides; i++) {
        const struct tfr_override *override = &question->overrides[i];
        if (strcmp(override->key, "runtime.threads") != 0) {
            continue;
        }
        if (strcmp(override->value, "auto") == 0) { /* the last one counts */
            *n_threads = 0;
            continue;
        }
        char *end;
        const long asked = strtol(override->value, &end, 10);
        if (*end != '\0' || asked < 1 || asked > 4096) {
            return tfr_raise(TFR_USAGE, "%s: \"%s\" is neither auto nor a number of threads in 1..4096", override->origin,
                             override->value);
        }
        *n_threads = (int)asked;
    }
    return TFR_OK;
}

/* As a run that is told the same. */
static enum tfr_status choose_wait(struct meeting *meeting) {
    const struct tfr_calibrate_question *question = meeting->question;
    const char *asked = tfr_choice_name("parallel.wait", TFR_WAIT_AUTO), *name;
    for (size_t i = 0; i < question->n_overrides; i++) {
        asked = strcmp(question->overrides[i].key, "parallel.wait") == 0 ? question->overrides[i].value : asked;
    }
    int option = 0;
    while ((name = tfr_choice_name("parallel.wait", option)) != NULL && strcmp(name, asked) != 0 && option < TFR_WAIT_SLEEP) {
        option++;
    }
    if (name == NULL || strcmp(name, asked) != 0) {
        return tfr_raise(TFR_USAGE, "--wait: \"%s\" is none of auto, spin, sleep", asked);
    }
    const bool own_cores = tfr_machine_gives_own_cores(meeting->machine, &meeting->threads, tfr_comm_local_size(meeting->comm));
    meeting->wait = tfr_wait_choice(option, own_cores);
    return TFR_OK;
}

/* Everybody knows on which node everybody is. */
static enum tfr_status exchange_hosts(struct meeting *meeting) {
    const char *name = meeting->machine->host_name;
    const uint64_t mine = tfr_hash(TFR_HASH_START, name, strlen(name));
    meeting->hosts = tfr_alloc((size_t)meeting->size, sizeof *meeting->hosts);
    meeting->talk = (struct tfr_talk){.comm = meeting->comm, .asleep = meeting->question->asleep};
    meeting->talk.out = tfr_alloc(1, trials[N_TRIALS - 1].bytes);
    meeting->talk.in = tfr_alloc(1, trials[N_TRIALS - 1].bytes);
    const bool has_all = meeting->hosts != NULL && meeting->talk.out != NULL && meeting->talk.in != NULL;
    TFR_TRY(tfr_comm_agree(meeting->comm, has_all ? TFR_OK : TFR_RESOURCE));
    TFR_TRY(tfr_comm_gather(meeting->comm, &mine, sizeof mine, meeting->rank == 0 ? meeting->hosts : NULL));
    return tfr_comm_bcast(meeting->comm, meeting->hosts, (size_t)meeting->size * sizeof *meeting->hosts);
}

static enum tfr_status meet(struct meeting *meeting, char **path) {
    int index, sharing, asked;
    TFR_TRY(tfr_comm_agree(meeting->comm, threads_asked(meeting->question, &asked)));
    TFR_TRY(tfr_comm_agree(meeting->comm, tfr_machine_read(&meeting->machine)));
    TFR_TRY(tfr_comm_group(meeting->comm, tfr_machine_core_key(meeting->machine), &index, &sharing));
    TFR_TRY(tfr_comm_agree(meeting->comm, tfr_machine_choose_threads(meeting->machine, asked, index, sharing, &meeting->threads)));
    TFR_TRY(tfr_comm_agree(meeting->comm, choose_wait(meeting)));
    TFR_TRY(look_for_file(meeting));
    TFR_TRY(exchange_hosts(meeting));
    TFR_TRY(measure_pairs(meeting));
    TFR_TRY(measure_exchanges(meeting));
    return tfr_comm_agree(meeting->comm, meeting->rank == 0 ? keep(meeting, path) : TFR_OK);
}

enum tfr_status tfr_calibrate_net(const struct tfr_calibrate_question *question, char **path) {
    struct meeting *meeting = tfr_alloc(1, sizeof *meeting);
    enum tfr_status status = meeting != NULL ? tfr_rank_meet(&meeting->comm, OPENING_TIMEOUT_S) : tfr_comm_not_met(TFR_RESOURCE);
    *path = NULL;
    if (status == TFR_OK) {
        meeting->question = question;
        meeting->rank = tfr_comm_rank(meeting->comm);
        meeting->size = tfr_comm_size(meeting->comm);
        status =
            meeting->size > 1
                ? meet(meeting, path)
                : tfr_raise(TFR_USAGE, "calibrate --net measures between ranks, and there is one; give --ranks N, or start it with "
                                       "mpirun -n N or srun -n N");
    }
    if (meeting != NULL) {
        status = tfr_rank_part(meeting->comm, status);
        tfr_machine_free(meeting->machine);
        tfr_free(meeting->hosts);
        tfr_free(meeting->talk.out);
        tfr_free(meeting->talk.in);
    }
    tfr_free(meeting);
    return status;
}

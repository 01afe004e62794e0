/* picture_trace.c - what a file of --trace measured: of every box the time in the steps that have as many rows as the picture.
 *
 * A task takes from its first thread's begin to its last one's end. Tasks of a rank do not overlap, so their times add up to the
 * time that the rank spent in tasks, and shares to one. A message takes from its post to its completion, beside the tasks.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "picture/picture.h"

/* One thread in one task. */
struct span {
    int rank, node;
    int64_t run, rows, thread; /* -1: a message */
    double begin_us, end_us;
};

/* A rank whose oldest events were overwritten: its runs up to `run` are gone, or a part of them. */
struct cut {
    int rank;
    int64_t run;
};

/* A run with a task that the graph does not have: a step of another kind, such as the encoder's, or of another model. */
struct stranger {
    int rank, index;
    int64_t run;
    const char *name; /* of the task; of the file */
};

struct reader {
    struct tfr_picture *picture;
    const char *path;
    const struct tfr_json_doc *doc;
    struct span *spans;
    int n, room;
    int last; /* node that was found last: the next one is likely behind it */
    int n_ranks;
    struct cut *cuts;
    int n_cuts, cuts_room;
    struct stranger *strangers;
    int n_strangers, strangers_room;
};

static int panel_of(const struct tfr_picture *picture, int rank) {
    for (int p = 0; p < picture->n_panels; p++) {
        if (picture->panels[p].stage == TFR_PICTURE_FUSED && picture->panels[p].rank == rank) {
            return p;
        }
    }
    return -1;
}

static int find_node(struct reader *reader, int rank, const char *name) {
    const struct tfr_picture *picture = reader->picture;
    const int panel = panel_of(picture, rank);
    for (int i = 0; panel >= 0 && i < picture->n_nodes; i++) {
        const int at = (reader->last + i) % picture->n_nodes;
        const struct tfr_picture_node *node = &picture->nodes[at];
        if (node->panel == panel && node->kind == TFR_PICTURE_OP && strcmp(node->name, name) == 0) {
            reader->last = at;
            return at;
        }
    }
    return -1;
}

/* True for an event of a task or a message of the model; those of an assistant, arrows, names and counters are passed over. */
static bool is_task(const tfr_json *event) {
    const char *phase = tfr_json_string(tfr_json_member(event, "ph")), *kind = tfr_json_string(tfr_json_member(event, "cat"));
    return phase != NULL && kind != NULL && tfr_json_member(tfr_json_member(event, "args"), "model") == NULL &&
           strcmp(phase, "X") == 0 && (strcmp(kind, "task") == 0 || strcmp(kind, "message") == 0);
}

/* The best of each share of a split head is chosen in greedy steps alone: it is in no graph, and the rest of the step is that of
 * all.
 */
static bool is_choice(const char *name) {
    return strcmp(name, "best") == 0;
}

static enum tfr_status add_stranger(struct reader *reader, int rank, int64_t run, const char *name) {
    const struct stranger *last = reader->n_strangers > 0 ? &reader->strangers[reader->n_strangers - 1] : NULL;
    if (is_choice(name) || (last != NULL && last->rank == rank && last->run == run)) {
        return TFR_OK;
    }
    struct stranger *added =
        tfr_picture_more((void **)&reader->strangers, &reader->n_strangers, &reader->strangers_room, sizeof *reader->strangers);
    if (added == NULL) {
        return TFR_RESOURCE;
    }
    *added = (struct stranger){.rank = rank, .index = reader->n_strangers, .run = run, .name = name};
    return TFR_OK;
}

static enum tfr_status refuse_stranger(const struct reader *reader, const struct stranger *stranger) {
    return tfr_raise(
        TFR_USAGE,
        "%s: rank %d ran %s, which the graph does not have there; give the config, the options and the number of ranks "
        "that the trace was made with",
        reader->path, stranger->rank, stranger->name);
}

static enum tfr_status read_event(struct reader *reader, const tfr_json *event) {
    const tfr_json *args = tfr_json_member(event, "args"), *ts = tfr_json_member(event, "ts"), *dur = tfr_json_member(event, "dur");
    const char *name = tfr_json_string(tfr_json_member(event, "name"));
    int64_t rank, run, rows, thread;
    if (name == NULL || !tfr_json_int64(reader->doc, tfr_json_member(event, "pid"), &rank) ||
        !tfr_json_int64(reader->doc, tfr_json_member(event, "tid"), &thread) ||
        !tfr_json_int64(reader->doc, tfr_json_member(args, "run"), &run) ||
        !tfr_json_int64(reader->doc, tfr_json_member(args, "rows"), &rows) || tfr_json_kind(ts) != TFR_JSON_NUMBER ||
        tfr_json_kind(dur) != TFR_JSON_NUMBER) {
        return tfr_raise(TFR_MODEL,
                         "%s: an event of a task lacks its name, rank, thread, run, rows or time; give a file that --trace wrote",
                         reader->path);
    }
    if (rank >= reader->picture->step.n_ranks || rank < 0) {
        return tfr_raise(TFR_USAGE, "%s: has events of rank %lld, but the graph is one of %d rank%s; say --ranks as it ran",
                         reader->path, (long long)rank, reader->picture->step.n_ranks,
                         reader->picture->step.n_ranks == 1 ? "" : "s");
    }
    reader->n_ranks = reader->n_ranks > (int)rank ? reader->n_ranks : (int)rank + 1;
    const int node = find_node(reader, (int)rank, name);
    if (node < 0) {
        return add_stranger(reader, (int)rank, run, name);
    }
    struct span *span = tfr_picture_more((void **)&reader->spans, &reader->n, &reader->room, sizeof *reader->spans);
    if (span == NULL) {
        return TFR_RESOURCE;
    }
    *span =
        (struct span){.rank = (int)rank, .node = node, .run = run, .rows = rows, .thread = thread, .begin_us = tfr_json_number(ts)};
    span->end_us = span->begin_us + tfr_json_number(dur);
    if (reader->picture->nodes[node].peer >= 0) {
        span->thread = -1;
    }
    return TFR_OK;
}

/* events_overwritten stands with the name of a rank. */
static enum tfr_status read_cut(struct reader *reader, const tfr_json *event) {
    const tfr_json *lost = tfr_json_member(tfr_json_member(event, "args"), "events_overwritten");
    int64_t n, rank;
    if (lost == NULL || !tfr_json_int64(reader->doc, lost, &n) || n == 0 ||
        !tfr_json_int64(reader->doc, tfr_json_member(event, "pid"), &rank)) {
        return TFR_OK;
    }
    struct cut *cut = tfr_picture_more((void **)&reader->cuts, &reader->n_cuts, &reader->cuts_room, sizeof *reader->cuts);
    if (cut == NULL) {
        return TFR_RESOURCE;
    }
    *cut = (struct cut){.rank = (int)rank};
    return TFR_OK;
}

static enum tfr_status read_events(struct reader *reader) {
    const tfr_json *events = tfr_json_member(tfr_json_root(reader->doc), "traceEvents");
    if (tfr_json_kind(events) != TFR_JSON_ARRAY) {
        return tfr_raise(TFR_MODEL, "%s: has no traceEvents; give a file that --trace wrote", reader->path);
    }
    for (const tfr_json *event = tfr_json_first(events); event != NULL; event = tfr_json_next(event)) {
        if (is_task(event)) {
            TFR_TRY(read_event(reader, event));
        } else {
            TFR_TRY(read_cut(reader, event));
        }
    }
    if (reader->n_strangers > 0 && (reader->n == 0 || reader->n_ranks != reader->picture->step.n_ranks)) {
        return refuse_stranger(reader, reader->strangers);
    }
    if (reader->n == 0) {
        return tfr_raise(TFR_MODEL, "%s: has no events of tasks; give a file that --trace wrote of a run", reader->path);
    }
    if (reader->n_ranks != reader->picture->step.n_ranks) {
        return tfr_raise(TFR_USAGE, "%s: has tasks of %d rank%s, but the graph is one of %d; say --ranks as it ran", reader->path,
                         reader->n_ranks, reader->n_ranks == 1 ? "" : "s", reader->picture->step.n_ranks);
    }
    return TFR_OK;
}

static int by_thread(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    if (x->rank != y->rank) {
        return x->rank - y->rank;
    }
    return x->thread != y->thread ? (x->thread < y->thread ? -1 : 1) : (x->run > y->run) - (x->run < y->run);
}

/* Each thread lost its own oldest events: whole are the runs behind the first one that is left of every thread. */
static void find_cuts(struct reader *reader) {
    qsort(reader->spans, (size_t)reader->n, sizeof *reader->spans, by_thread);
    for (int c = 0; c < reader->n_cuts; c++) {
        struct cut *cut = &reader->cuts[c];
        for (int i = 0; i < reader->n; i++) {
            const struct span *span = &reader->spans[i], *before = i > 0 ? span - 1 : NULL;
            const bool is_first = before == NULL || before->rank != span->rank || before->thread != span->thread;
            if (span->rank == cut->rank && span->thread >= 0 && is_first && span->run > cut->run) {
                cut->run = span->run;
            }
        }
    }
}

static bool is_cut(const struct reader *reader, const struct span *span) {
    for (int c = 0; c < reader->n_cuts; c++) {
        if (reader->cuts[c].rank == span->rank && span->run <= reader->cuts[c].run) {
            return true;
        }
    }
    return false;
}

static int by_run(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    if (x->rank != y->rank) {
        return x->rank - y->rank;
    }
    if (x->run != y->run) {
        return x->run < y->run ? -1 : 1;
    }
    return x->node - y->node;
}

static int compare_runs(const void *a, const void *b) {
    const struct stranger *x = a, *y = b;
    if (x->rank != y->rank) {
        return x->rank - y->rank;
    }
    return (x->run > y->run) - (x->run < y->run);
}

static int by_rank_and_run(const void *a, const void *b) {
    const int order = compare_runs(a, b);
    return order != 0 ? order : ((const struct stranger *)a)->index - ((const struct stranger *)b)->index;
}

static bool is_strange(const struct reader *reader, const struct span *span) {
    const struct stranger key = {.rank = span->rank, .run = span->run};
    return reader->n_strangers > 0 &&
           bsearch(&key, reader->strangers, (size_t)reader->n_strangers, sizeof key, compare_runs) != NULL;
}

/* A rank all of whose runs are strange ran another graph. */
static enum tfr_status check_strangers(const struct reader *reader) {
    for (int i = 0; i < reader->n_strangers; i++) {
        const int panel = panel_of(reader->picture, reader->strangers[i].rank);
        if (panel < 0 || reader->picture->panels[panel].n_steps == 0) {
            return refuse_stranger(reader, &reader->strangers[i]);
        }
    }
    return TFR_OK;
}

static bool is_same_run(const struct span *a, const struct span *b) {
    return a->rank == b->rank && a->run == b->run;
}

/* Adds the times of the run's tasks to their boxes. */
static void add_run(struct tfr_picture *picture, const struct span *spans, int n) {
    picture->panels[picture->nodes[spans[0].node].panel].n_steps++;
    for (int i = 0, j; i < n; i = j) {
        double begin_us = spans[i].begin_us, end_us = spans[i].end_us;
        for (j = i + 1; j < n && spans[j].node == spans[i].node; j++) {
            begin_us = spans[j].begin_us < begin_us ? spans[j].begin_us : begin_us;
            end_us = spans[j].end_us > end_us ? spans[j].end_us : end_us;
        }
        picture->nodes[spans[i].node].measured_ns += (end_us - begin_us) * 1e3;
        picture->nodes[spans[i].node].is_measured = true;
    }
}

/* "6, 1": the rows of the steps that there are. */
static void list_rows(char *text, size_t size, const int64_t *rows, int n) {
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < n && at < size; i++) {
        at += (size_t)snprintf(text + at, size - at, "%s%lld", i > 0 ? ", " : "", (long long)rows[i]);
    }
}

static enum tfr_status add_runs(struct reader *reader) {
    enum { MOST_ROWS = 8 };
    const int64_t wanted = reader->picture->step.rows;
    int64_t seen[MOST_ROWS];
    int n_seen = 0, n_taken = 0;
    for (int i = 0, j; i < reader->n; i = j) {
        int64_t rows = 0;
        for (j = i; j < reader->n && is_same_run(&reader->spans[i], &reader->spans[j]); j++) {
            rows = reader->spans[j].rows > rows ? reader->spans[j].rows : rows;
        }
        if (is_cut(reader, &reader->spans[i]) || is_strange(reader, &reader->spans[i])) {
            continue;
        }
        if (rows == wanted) {
            add_run(reader->picture, &reader->spans[i], j - i);
            n_taken++;
        }
        int known = 0;
        while (known < n_seen && seen[known] != rows) {
            known++;
        }
        if (known == n_seen && n_seen < MOST_ROWS) {
            seen[n_seen++] = rows;
        }
    }
    if (n_taken == 0 && n_seen == 0 && reader->n_strangers > 0) {
        return refuse_stranger(reader, reader->strangers);
    }
    if (n_taken == 0) {
        char list[200];
        list_rows(list, sizeof list, seen, n_seen);
        return tfr_raise(TFR_USAGE, "%s: has no %sstep of %lld row%s; there are steps of %s: say --rows", reader->path,
                         reader->n_cuts > 0 ? "whole " : "", (long long)wanted, wanted == 1 ? "" : "s",
                         n_seen > 0 ? list : "none, since the oldest events were overwritten");
    }
    return TFR_OK;
}

/* Blocks run in every step: a trace without one of the graph's is that of a smaller model. */
static enum tfr_status check_blocks(const struct reader *reader) {
    const struct tfr_picture *picture = reader->picture;
    for (int i = 0; i < picture->n_nodes; i++) {
        const struct tfr_picture_node *node = &picture->nodes[i];
        if (node->kind == TFR_PICTURE_OP && node->layer >= 0 && node->peer < 0 && !node->is_measured &&
            picture->panels[node->panel].stage == TFR_PICTURE_FUSED) {
            return tfr_raise(
                TFR_USAGE,
                "%s: has no time of %s on rank %d; give the config, the options and the number of ranks that the trace was "
                "made with",
                reader->path, node->name, picture->panels[node->panel].rank);
        }
    }
    return TFR_OK;
}

/* Of a step, and as a share of its rank. */
static void settle(struct tfr_picture *picture) {
    for (int p = 0; p < picture->n_panels; p++) {
        const double whole_ns = tfr_picture_totals(picture, p).measured_ns;
        const int n_steps = picture->panels[p].n_steps;
        for (int i = 0; i < picture->n_nodes && n_steps > 0; i++) {
            struct tfr_picture_node *node = &picture->nodes[i];
            if (node->panel == p) {
                node->share = whole_ns > 0 && node->peer < 0 ? node->measured_ns / whole_ns : 0;
                node->measured_ns /= n_steps;
            }
        }
    }
    picture->has_measured = true;
}

enum tfr_status tfr_picture_measure(struct tfr_picture *picture, const char *path) {
    struct tfr_json_doc *doc;
    TFR_TRY(tfr_json_open_file(&doc, path, TFR_MODEL));
    struct reader reader = {.picture = picture, .path = path, .doc = doc};
    enum tfr_status status = read_events(&reader);
    if (status == TFR_OK) {
        find_cuts(&reader);
        qsort(reader.spans, (size_t)reader.n, sizeof *reader.spans, by_run);
        if (reader.n_strangers > 0) {
            qsort(reader.strangers, (size_t)reader.n_strangers, sizeof *reader.strangers, by_rank_and_run);
        }
        status = add_runs(&reader);
    }
    if (status == TFR_OK) {
        status = check_strangers(&reader);
    }
    if (status == TFR_OK) {
        status = check_blocks(&reader);
    }
    if (status == TFR_OK) {
        settle(picture);
    }
    tfr_free(reader.spans);
    tfr_free(reader.cuts);
    tfr_free(reader.strangers);
    tfr_json_close(doc);
    return status;
}

enum tfr_status tfr_picture_take_times(struct tfr_picture *picture, const struct tfr_picture_time *times, size_t n, int n_steps,
                                       const char *source) {
    struct reader reader = {.picture = picture, .path = source};
    for (int p = 0; p < picture->n_panels; p++) {
        picture->panels[p].n_steps = picture->panels[p].stage == TFR_PICTURE_FUSED ? n_steps : 0;
    }
    for (size_t i = 0; i < n; i++) {
        const int node = find_node(&reader, times[i].rank, times[i].name);
        if (node >= 0) {
            picture->nodes[node].measured_ns += times[i].ns * n_steps;
            picture->nodes[node].is_measured = true;
        }
    }
    TFR_TRY(check_blocks(&reader));
    settle(picture);
    return TFR_OK;
}

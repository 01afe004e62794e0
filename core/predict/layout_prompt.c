/* layout_prompt.c - a prompt in pieces that goes through stages of several ranks: the ranks are played, task by task.
 *
 * While a piece waits for the sums of other ranks, a rank goes on with another piece: no closed formula tells how long it takes. So
 * each rank has the tasks of each piece: three in front of the attention's sums, three in front of the MLP's, since the executor
 * looks for an older piece between tasks, and adding what came. It takes the oldest piece that is ready; rank 0 takes what needs no
 * message before everything else, as tfr_exec_start does. Messages of a rank leave one after the other, and come one after the
 * other. A large one that goes in several ways (predict/link.h) is under way until the last of them, and a rank that computes looks
 * for each when its kernel does. See layout.h.
 */
#include "predict/layout.h"

#include <math.h>

#include "base/arena.h"

/* Tasks times what is looked at for each: a fraction of a second's work. Larger prompts are told by the closed formula. */
static const double most_work = 2e7;

enum { STEPS = 4, PARTS = 3, EMBEDS = -1, TOTAL = -2 }; /* of half a block: its tasks, and the sum */

/* A piece of the prompt on a rank: `at` = half block * STEPS + step. */
struct unit {
    int at;
    double ready_ns; /* INFINITY: a message has to come */
    double total_ns; /* when the total of the ranks before this one comes, or came */
    int n_parts[2];  /* sums of so many ranks, of even and odd halves */
    double parts_ns[2];
};
struct player {
    double free_ns, sends_ns, receives_ns; /* its core, its wire out, its wire in */
    double began_ns;                       /* what it did last: until free_ns it looks now and then */
    double start_ns;                       /* of what it does next, */
    int next;                              /* for this piece */
};
/* A large message: where it is told, answered, or its bytes are on the way. */
struct flight {
    int from, to, piece;
    int at; /* where the receiver goes on; TOTAL: with the total of the ranks before it */
    int ways_left;
    double ns, bytes; /* the end of this way */
};
struct costs {
    double embed, task[2][PARTS], sum, row_bytes;
    bool is_few;
};
struct play {
    const struct tfr_layout_question *question;
    int n_ranks, n_shares, n_pieces, last_stage;
    struct player *players; /* [n_ranks] */
    struct unit *units;     /* [n_ranks][n_pieces] */
    struct costs *costs;    /* [n_pieces] */
    struct flight *flights;
    size_t n_flights;
    double end_ns;
};

static struct unit *unit_of(const struct play *play, int rank, int piece) {
    return &play->units[(size_t)rank * (size_t)play->n_pieces + (size_t)piece];
}

static int last_task(const struct play *play, int rank) {
    return STEPS * 2 * play->question->layout->blocks[rank / play->n_shares];
}

/* What a rank does next: of what it could begin first, the oldest piece. */
static void choose(struct play *play, int rank) {
    struct player *player = &play->players[rank];
    double first_ns = INFINITY;
    for (int piece = 0; piece < play->n_pieces; piece++) {
        first_ns = fmin(first_ns, unit_of(play, rank, piece)->ready_ns);
    }
    player->start_ns = fmax(player->free_ns, first_ns);
    player->next = -1;
    for (int piece = 0; piece < play->n_pieces && player->start_ns < INFINITY; piece++) {
        const struct unit *unit = unit_of(play, rank, piece);
        const bool is_first = rank == 0 && unit->at < PARTS;
        if (unit->ready_ns <= player->start_ns && (player->next < 0 || is_first)) {
            player->next = piece;
            if (is_first || rank > 0) {
                break;
            }
        }
    }
}

static void set_ready(struct play *play, int rank, int piece, int at, double ns) {
    struct unit *unit = unit_of(play, rank, piece);
    unit->at = at;
    unit->ready_ns = ns;
    choose(play, rank);
}

static const struct tfr_link *link_of(const struct play *play, int from, int to) {
    return tfr_layout_link(play->question, from / play->n_shares, to / play->n_shares);
}

/* When bytes come that are the last of what their sender has sent so far. */
static double come(struct play *play, int from, int to, double bytes) {
    const struct tfr_link *link = link_of(play, from, to);
    struct player *receiver = &play->players[to];
    receiver->receives_ns =
        fmax(receiver->receives_ns + tfr_link_wire_ns(link, bytes), play->players[from].sends_ns + link->alpha_ns);
    return receiver->receives_ns;
}

static void occupy(struct play *play, int from, int to, double ns, double bytes) {
    struct player *sender = &play->players[from];
    sender->sends_ns = fmax(sender->sends_ns, ns) + tfr_link_wire_ns(link_of(play, from, to), bytes);
}

static double send(struct play *play, int from, int to, double ns, double bytes) {
    occupy(play, from, to, ns, bytes);
    return come(play, from, to, bytes);
}

/* When a rank sees what is there at that time: it looks while it computes, and all the time while it waits. */
static double seen(const struct player *player, double ns) {
    if (ns >= player->free_ns) {
        return ns;
    }
    return fmin(player->free_ns, player->began_ns + ceil((ns - player->began_ns) / TFR_LOOK_NS) * TFR_LOOK_NS);
}

/* Sums of few rows: of one rank for another, or for itself. The last ones to come make it ready to add them. */
static void give_part(struct play *play, int to, int piece, int half, double ns) {
    struct unit *unit = unit_of(play, to, piece);
    const int turn = half % 2; /* some ranks are ahead, by one at most */
    unit->parts_ns[turn] = fmax(unit->parts_ns[turn], ns);
    if (++unit->n_parts[turn] == play->n_shares) {
        set_ready(play, to, piece, half * STEPS + PARTS, unit->parts_ns[turn]);
        unit->n_parts[turn] = 0;
        unit->parts_ns[turn] = 0;
    }
}

static void give_total(struct play *play, int to, int piece, double ns) {
    struct unit *unit = unit_of(play, to, piece);
    if (unit->at % STEPS == PARTS && unit->at >= 0) {
        set_ready(play, to, piece, unit->at, ns);
    } else {
        unit->total_ns = ns;
    }
}

static void arrive(struct play *play, int to, int piece, int at, double ns) {
    if (at == TOTAL) {
        give_total(play, to, piece, ns);
    } else {
        set_ready(play, to, piece, at, ns);
    }
}

static bool is_told_first(const struct tfr_link *link, double bytes) {
    return tfr_link_is_large(link, bytes) && link->large.ways > 1;
}

/* Rows of a piece to another rank. */
static void send_rows(struct play *play, int from, int to, int piece, int at, double ns) {
    const struct tfr_link *link = link_of(play, from, to);
    const double bytes = play->costs[piece].row_bytes;
    if (!is_told_first(link, bytes)) {
        arrive(play, to, piece, at, send(play, from, to, ns, bytes));
        return;
    }
    play->flights[play->n_flights++] = (struct flight){.from = from,
                                                       .to = to,
                                                       .piece = piece,
                                                       .at = at,
                                                       .ways_left = (int)link->large.ways - 1,
                                                       .ns = ns + link->alpha_ns,
                                                       .bytes = bytes};
}

/* A way of it ends: there they look for it and answer, or the bytes begin to come. */
static void go_on(struct play *play, size_t which) {
    struct flight *flight = &play->flights[which];
    const bool is_answer = (int)link_of(play, flight->from, flight->to)->large.ways % 2 == flight->ways_left % 2;
    const double ns = seen(&play->players[is_answer ? flight->from : flight->to], flight->ns);
    if (--flight->ways_left > 0) {
        flight->ns = ns + link_of(play, flight->from, flight->to)->alpha_ns;
        return;
    }
    const struct flight last = *flight;
    *flight = play->flights[--play->n_flights];
    arrive(play, last.to, last.piece, last.at, send(play, last.from, last.to, ns, last.bytes));
}

/* The rank has its sums of the heads. */
static void exchange(struct play *play, int rank, int piece, double ns) {
    const struct costs *costs = &play->costs[piece];
    struct unit *unit = unit_of(play, rank, piece);
    const int shard = rank % play->n_shares, first = rank - shard, half = unit->at / STEPS;
    const double blocks = (double)play->question->model->n_head / play->n_shares;
    set_ready(play, rank, piece, half * STEPS + PARTS, INFINITY);
    for (int other = first; costs->is_few && other < first + play->n_shares; other++) {
        const double bytes = shard == 0 ? costs->row_bytes : blocks * costs->row_bytes;
        give_part(play, other, piece, half, other == rank ? ns : send(play, rank, other, ns, bytes));
    }
    if (!costs->is_few && shard == 0) {
        send_rows(play, rank, rank + 1, piece, TOTAL, ns);
    } else if (!costs->is_few) {
        set_ready(play, rank, piece, unit->at, fmax(ns, unit->total_ns));
        unit->total_ns = INFINITY;
    }
}

/* Messages of one moment share the wire: they come together. */
static void tell_all(struct play *play, int rank, int piece, int at, double ns) {
    const double bytes = play->costs[piece].row_bytes;
    const bool is_told = is_told_first(link_of(play, rank, rank), bytes);
    const int shard = rank % play->n_shares;
    for (int i = 0; i < shard && !is_told; i++) {
        occupy(play, rank, rank, ns, bytes);
    }
    for (int other = rank - shard; other < rank; other++) {
        if (is_told) {
            send_rows(play, rank, other, piece, at, ns);
        } else {
            set_ready(play, other, piece, at, come(play, rank, other, bytes));
        }
    }
}

/* The rank has added what it had to add. */
static void pass_on(struct play *play, int rank, int piece, double ns) {
    const struct costs *costs = &play->costs[piece];
    const int shard = rank % play->n_shares, last = play->n_shares - 1;
    const int next = unit_of(play, rank, piece)->at + 1; /* of the half behind this one */
    if (!costs->is_few && shard < last) {
        set_ready(play, rank, piece, next - 1, INFINITY);
        send_rows(play, rank, rank + 1, piece, TOTAL, ns);
        return;
    }
    if (!costs->is_few) {
        tell_all(play, rank, piece, next, ns);
    }
    set_ready(play, rank, piece, next, ns);
}

static void leave(struct play *play, int rank, int piece, double ns) {
    set_ready(play, rank, piece, last_task(play, rank), INFINITY);
    if (rank / play->n_shares < play->last_stage) {
        const int to = rank + play->n_shares;
        send_rows(play, rank, to, piece, 0, ns);
    } else if (rank % play->n_shares == 0) {
        play->end_ns = fmax(play->end_ns, ns);
    }
}

static void embed(struct play *play, int piece, double ns) {
    set_ready(play, 0, piece, 0, ns);
    for (int shard = 1; shard < play->n_shares; shard++) {
        send_rows(play, 0, shard, piece, 0, ns);
    }
}

static void run_task(struct play *play, int rank) {
    struct player *player = &play->players[rank];
    const int piece = player->next, at = unit_of(play, rank, piece)->at, step = at % STEPS;
    const struct costs *costs = &play->costs[piece];
    const double speed = tfr_layout_speed(play->question, rank / play->n_shares);
    double ns = at == EMBEDS ? costs->embed : step < PARTS ? costs->task[at / STEPS % 2][step] : costs->sum;
    ns = at == last_task(play, rank) ? 0 : ns / speed;
    player->began_ns = player->start_ns;
    ns = player->free_ns = player->start_ns + ns;
    if (at == EMBEDS) {
        embed(play, piece, ns);
    } else if (at == last_task(play, rank)) {
        leave(play, rank, piece, ns);
    } else if (step == PARTS) {
        pass_on(play, rank, piece, ns);
    } else if (step == PARTS - 1) {
        exchange(play, rank, piece, ns);
    } else {
        set_ready(play, rank, piece, at + 1, ns);
    }
}

static void run_all(struct play *play) {
    for (;;) {
        int rank = 0;
        for (int other = 1; other < play->n_ranks; other++) {
            rank = play->players[other].start_ns < play->players[rank].start_ns ? other : rank;
        }
        size_t first = 0;
        for (size_t i = 1; i < play->n_flights; i++) {
            first = play->flights[i].ns < play->flights[first].ns ? i : first;
        }
        if (play->n_flights > 0 && (play->players[rank].next < 0 || play->flights[first].ns <= play->players[rank].start_ns)) {
            go_on(play, first);
            continue;
        }
        if (play->players[rank].next < 0) {
            return;
        }
        run_task(play, rank);
    }
}

/* A block's weights are 12 parts of width squared: 3 of c_attn, 1 of c_proj behind attention, 4 of c_fc and 4 of c_proj behind it.
 * A norm takes next to nothing. */
static void take_costs(struct play *play) {
    const struct tfr_layout_load *load = play->question->load;
    for (int piece = 0; piece < play->n_pieces; piece++) {
        struct costs *costs = &play->costs[piece];
        const int64_t done = piece * load->chunk, left = load->prompt - done;
        struct tfr_layout_step step = {
            .replicas = 1, .rows = (double)(left < load->chunk ? left : load->chunk), .sequences = 1, .in_flight = play->n_pieces};
        const double alone = tfr_layout_piece_ns(play->question, &step, TFR_PIECE_BLOCK, play->n_shares);
        step.past = (double)done;
        const double cached = tfr_layout_piece_ns(play->question, &step, TFR_PIECE_BLOCK, play->n_shares) - alone;
        *costs = (struct costs){.embed = tfr_layout_piece_ns(play->question, &step, TFR_PIECE_EMBED, 1),
                                .task = {{alone * 3 / 12, cached, alone / 12}, {0, alone / 3, alone / 3}},
                                .sum = tfr_layout_piece_ns(play->question, &step, TFR_PIECE_SUM, play->n_shares),
                                .row_bytes = (double)play->question->model->n_embd * step.rows * sizeof(float),
                                .is_few = step.rows <= TFR_LAYOUT_FEW_ROWS};
        costs->sum *= costs->is_few ? play->n_shares - 1 : 1;
    }
}

static void prepare(struct play *play) {
    take_costs(play);
    for (int rank = 0; rank < play->n_ranks; rank++) {
        for (int piece = 0; piece < play->n_pieces; piece++) {
            *unit_of(play, rank, piece) = (struct unit){.at = EMBEDS, .ready_ns = rank == 0 ? 0 : INFINITY, .total_ns = INFINITY};
        }
        choose(play, rank);
    }
}

bool tfr_layout_may_play(const struct tfr_layout_question *question, int64_t n_pieces) {
    const int last = tfr_layout_last_stage(question->layout);
    double tasks = 0;
    for (int stage = 0; stage <= last; stage++) {
        tasks += (2.0 * STEPS * question->layout->blocks[stage] + 1) * question->layout->tensor * (double)n_pieces;
    }
    return tasks * ((last + 1.0) * question->layout->tensor + (double)n_pieces) <= most_work;
}

double tfr_layout_play_ns(const struct tfr_layout_question *question, int n_pieces) {
    struct play play = {.question = question, .n_shares = question->layout->tensor, .n_pieces = n_pieces};
    play.last_stage = tfr_layout_last_stage(question->layout);
    play.n_ranks = (play.last_stage + 1) * play.n_shares;
    play.players = tfr_alloc((size_t)play.n_ranks, sizeof *play.players);
    play.units = tfr_alloc((size_t)play.n_ranks * (size_t)n_pieces, sizeof *play.units);
    play.costs = tfr_alloc((size_t)n_pieces, sizeof *play.costs);
    /* of a piece a rank has messages of one half block under way, and those into the stages */
    play.flights = tfr_alloc((size_t)play.n_ranks * (size_t)n_pieces * ((size_t)play.n_shares + 1), sizeof *play.flights);
    if (play.flights == NULL || play.players == NULL || play.units == NULL || play.costs == NULL) {
        play.end_ns = -1;
    } else {
        prepare(&play);
        run_all(&play);
    }
    tfr_free(play.flights);
    tfr_free(play.costs);
    tfr_free(play.units);
    tfr_free(play.players);
    return play.end_ns;
}

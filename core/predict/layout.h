/* layout.h - what a layout of ranks takes, before it runs: first token, a token, tokens a second, messages, memory, waiting.
 *
 * A layout is `replicas` groups that serve different sequences, each a pipeline of `stages`, each stage split over `tensor` ranks.
 * All of it follows from the times of the pieces of the model (embeddings, a block, ln_f, the head, sampling) and from links on
 * which n bytes take alpha + n / beta. With k rows in a micro-batch, P stages, T ranks a stage:
 *
 *     busy(stage)   = blocks * (block(k) / T + 2 add) + what else it holds: embeddings on the first, ln_f on the last, the head
 *     sums          = alpha + (T - 1) / T * heads * k * width * 4 / beta, up to TFR_LAYOUT_FEW_ROWS rows: ranks exchange the sums
 *                     of their heads, and each adds all of them in one order (of two ranks, one is sent less); of more rows the
 *                     running total goes through the ranks and comes back: T alpha + 2 (T - 1) * k * width * 4 / beta
 *     latency       = busy of all stages, the sums that they wait for, hops between them and back to rank 0, and sampling there
 *     one stream    = latency with one row; nothing overlaps
 *     tokens/s      = replicas * m * k / round, with m micro-batches in flight. No round is shorter than the latency, nor than m
 *                     times the longest busy; how much longer it is, the ring tells when it is played through (layout_ring.c)
 *     first token   = chunks of the prompt, each behind the chunk before it on the same rank and behind itself on the rank before:
 *                     end(s, c) = max(end(s, c - 1), end(s - 1, c) + hop) + busy(s, c); then the head for one row. Ranks of a stage
 *                     that wait for sums of one chunk go on with another, so where T > 1 they are played (layout_prompt.c)
 *
 * A split head gives every rank of a replica its share of the vocabulary: the last row goes to all of them, and slices of the
 * logits come back. One that is not stands on the first rank of a stage. These are the usual formulas of pipelines with
 * micro-batches and of sums over ranks (docs/scaling.md derives them). A pure function of its arguments. Thread rule: no state.
 */
#ifndef TFR_PREDICT_LAYOUT_H
#define TFR_PREDICT_LAYOUT_H

#include "graph/placement.h"
#include "predict/link.h"
#include "predict/piece_work.h"

/* Up to here the sums of heads go to all ranks at once (graph/gpt2_shards.c). */
enum { TFR_LAYOUT_FEW_ROWS = 16 };

struct tfr_cluster {
    int nodes, ranks_per_node;
    struct tfr_link net, shm; /* between nodes, within one */
    const double *speed;      /* of each rank, 1: as the times say; NULL: all 1 */
};

/* rank = (replica * stages + stage) * tensor + shard */
struct tfr_layout {
    int replicas, stages, tensor;
    enum tfr_head_place head;
    const int *blocks; /* [stages]; a stage without blocks has none of the others' work but what is said above */
    int groups;        /* micro-batches in flight; 0: as many as give most tokens a second */
};

/* Sizes that messages and memory follow from. */
struct tfr_layout_model {
    int64_t n_embd, n_head, vocabulary;
    double block_bytes, embed_bytes, head_bytes; /* in memory of a rank that holds them */
    double cached_bytes;                         /* of one position in one block */
    bool has_one_sum;                            /* weights of whole numbers: no shards can have parts of the sum over K */
};

struct tfr_layout_load {
    int64_t prompt, chunk; /* tokens of a prompt, and of the pieces in which it is read */
    int64_t sequences;     /* that are generated at the same time */
    int64_t context;       /* cached positions of each while it is */
    int64_t tokens;        /* new ones of a sequence: what a mixed split weighs beside the prompt; 0: none is listed */
};

struct tfr_layout_question {
    const struct tfr_layout *layout;
    const struct tfr_cluster *cluster;
    const struct tfr_layout_model *model;
    const struct tfr_layout_load *load;
    double (*ns)(const void *user, const struct tfr_piece_question *question);
    const void *user;
};

/* While all sequences are generated; messages and bytes are sent ones, those of the graph alone. */
struct tfr_layout_rank {
    double busy_ns; /* of a round of all groups */
    double wait_share;
    double memory_bytes;
    double messages_a_token, bytes_a_token;
};
struct tfr_layout_times {
    double first_token_ns, token_ns; /* of one stream */
    double tokens_per_s;
    double latency_ns, bottleneck_ns, round_ns; /* of a micro-batch; of a round of all of them */
    int groups;
    double rows;       /* of a micro-batch */
    double wait_share; /* mean of the ranks */
    double messages_a_token, bytes_a_token, most_memory_bytes;
    int n_ranks;
    struct tfr_layout_rank *rank; /* [n_ranks] */
};
/* `times->rank` is to be freed with tfr_free. Fails for lack of memory only. */
enum tfr_status tfr_layout_predict(const struct tfr_layout_question *question, struct tfr_layout_times *times);

/* By enum tfr_goal: tokens a second of all, or the time of a token of one stream; where the two are alike, the first token counts.
 */
bool tfr_layout_is_better(int goal, const struct tfr_layout_times *times, const struct tfr_layout_times *than);

/* layout_steps.c: what the above is made of. A step of `rows` rows in one micro-batch, a row of logits for each of `logits`. */
struct tfr_layout_step {
    int replicas; /* that are at work: one, where one stream is */
    double rows, sequences, past, logits;
    int in_flight; /* micro-batches or chunks that are under way at the same time */
};
/* The last one that has blocks: ln_f stands there. */
int tfr_layout_last_stage(const struct tfr_layout *layout);
double tfr_layout_busy_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, int stage);
double tfr_layout_latency_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step);
double tfr_layout_piece_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, enum tfr_piece which,
                           double shares);
/* -1 for lack of memory. */
double tfr_layout_first_token_ns(const struct tfr_layout_question *question, double *end /* [stages] */);
/* layout_sums.c: what ranks of a stage send each other in a step, of all its blocks; zeros where it is of one rank. */
struct tfr_layout_sums {
    double add_ns, wait_ns; /* of a rank: adding, and waiting, in which it may do something else */
    double wire_ns;         /* of the busiest wire */
};
struct tfr_layout_sums tfr_layout_sums_of(const struct tfr_layout_question *question, const struct tfr_layout_step *step,
                                          int stage);
/* layout_prompt.c: until the last piece of the prompt has left the blocks, where stages have several ranks; -1 for lack of memory.
 */
bool tfr_layout_may_play(const struct tfr_layout_question *question, int64_t n_pieces);
double tfr_layout_play_ns(const struct tfr_layout_question *question, int n_pieces);
/* Its parts: a stage before the head; rows to a stage from the one before it; from the end of the last block to the token. */
double tfr_layout_body_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, int stage);
double tfr_layout_hop_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, int stage);
struct tfr_layout_costs {
    double tail_ns;                 /* on the last stage, behind its blocks: ln_f, a head that is there */
    bool head_apart;                /* the head is a stop of its own: on rank 0 behind the last stage, or on all ranks */
    double to_head_ns;              /* on the way there */
    double head_ns;                 /* there; of a split head on each rank of speed 1 */
    double to_sample_ns, sample_ns; /* where rank 0 has the whole head, sampling is in it, and only logits of other replicas come */
};
struct tfr_layout_costs tfr_layout_end_costs(const struct tfr_layout_question *question, const struct tfr_layout_step *step);
double tfr_layout_speed(const struct tfr_layout_question *question, int stage); /* of its slowest rank */
/* layout_ring.c: a round of so many micro-batches; -1 for lack of memory. */
double tfr_layout_round_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, int groups);
/* layout_traffic.c: fills in messages, bytes and memory of each rank, for `rows` rows in a micro-batch. */
void tfr_layout_count(const struct tfr_layout_question *question, struct tfr_layout_times *times);
/* A step's, of one rank of its replica. */
struct tfr_layout_sent {
    double messages, bytes;
};
struct tfr_layout_sent tfr_layout_sent(const struct tfr_layout_question *question, double rows, double logits, int rank);
/* The link between two stages of a replica, or within a stage where both are the same: the slower one, where replicas or shards
 * differ. -1: all ranks of a replica. */
const struct tfr_link *tfr_layout_link(const struct tfr_layout_question *question, int stage, int other);

#endif

/* partition.c - the chains-on-chains problem by dynamic programming, O(ranks x blocks^2).
 *
 * best[r][i] is the least value of ranks r .. n-1 holding blocks i .. L-1, where a rank's value is combined
 * either by max (first pass: the bottleneck) or by the sum of squares (second pass: evenness, no rank above
 * the bottleneck).
 */
#include "mpi/partition.h"

#include <math.h>

#include "base/arena.h"
#include "base/status.h"

/* Sums of the same costs in another order differ in the last bits; equal means equal to this share. */
#define TIE 1e-9

struct table {
    const double *prefix; /* [n_blocks + 1] sums of block costs */
    int64_t n_blocks;
    int n_ranks;
    double first_cost, last_cost;
    double bound; /* no rank may cost more */
    bool squares; /* sum of squares instead of max */
    double *best; /* [(n_ranks + 1) * (n_blocks + 1)] */
};

/* Cost of `rank` when it holds blocks [begin, end). */
static double rank_cost(const struct table *table, int rank, int64_t begin, int64_t end) {
    double cost = table->prefix[end] - table->prefix[begin];
    cost += rank == 0 ? table->first_cost : 0;
    cost += end == table->n_blocks && end > begin ? table->last_cost : 0;
    return cost;
}

static double *cell(const struct table *table, int rank, int64_t begin) {
    return &table->best[(int64_t)rank * (table->n_blocks + 1) + begin];
}

/* Value of ranks `rank` .. n-1 when `rank` holds [begin, end) and the rest is split as well as can be. */
static double value_of(const struct table *table, int rank, int64_t begin, int64_t end) {
    const double cost = rank_cost(table, rank, begin, end);
    const double rest = *cell(table, rank + 1, end);
    if (cost > table->bound) {
        return INFINITY;
    }
    return table->squares ? cost * cost + rest : fmax(cost, rest);
}

static void fill(const struct table *table) {
    for (int64_t begin = 0; begin <= table->n_blocks; begin++) {
        *cell(table, table->n_ranks, begin) = begin == table->n_blocks ? 0 : INFINITY;
    }
    for (int rank = table->n_ranks - 1; rank >= 0; rank--) {
        for (int64_t begin = 0; begin <= table->n_blocks; begin++) {
            double best = INFINITY;
            for (int64_t end = begin; end <= table->n_blocks; end++) {
                best = fmin(best, value_of(table, rank, begin, end));
            }
            *cell(table, rank, begin) = best;
        }
    }
}

/* Walks the table from rank 0, each rank taking as many blocks as an equally good split allows. */
static void walk(const struct table *table, int *owner) {
    int64_t begin = 0;
    for (int rank = 0; rank < table->n_ranks; rank++) {
        const double best = *cell(table, rank, begin);
        int64_t end = table->n_blocks;
        while (end > begin && !(value_of(table, rank, begin, end) <= best * (1 + TIE))) {
            end--;
        }
        while (begin < end) {
            owner[begin++] = rank;
        }
    }
}

enum tfr_status tfr_partition_balanced(const double *block_cost, int64_t n_blocks, double first_cost, double last_cost, int n_ranks,
                                       int *owner) {
    const size_t width = (size_t)n_blocks + 1;
    double *prefix = tfr_alloc(width, sizeof *prefix);
    double *best = tfr_alloc(width * ((size_t)n_ranks + 1), sizeof *best);
    enum tfr_status status = TFR_RESOURCE;
    if (prefix == NULL || best == NULL) {
        goto out;
    }
    for (int64_t i = 0; i < n_blocks; i++) {
        prefix[i + 1] = prefix[i] + block_cost[i];
    }
    struct table table = {.prefix = prefix,
                          .n_blocks = n_blocks,
                          .n_ranks = n_ranks,
                          .first_cost = first_cost,
                          .last_cost = last_cost,
                          .bound = INFINITY,
                          .best = best};
    fill(&table);
    table.bound = *cell(&table, 0, 0) * (1 + TIE);
    table.squares = true;
    fill(&table);
    walk(&table, owner);
    status = TFR_OK;
out:
    tfr_free(best);
    tfr_free(prefix);
    return status;
}

void tfr_partition_hf(int64_t n_blocks, int n_ranks, int *owner) {
    const int64_t each = (n_blocks + n_ranks - 1) / n_ranks;
    for (int64_t i = 0; i < n_blocks; i++) {
        owner[i] = (int)(i / each);
    }
}

double tfr_partition_bottleneck(const double *block_cost, int64_t n_blocks, double first_cost, double last_cost, int n_ranks,
                                const int *owner) {
    double worst = 0;
    for (int rank = 0; rank < n_ranks; rank++) {
        double cost = rank == 0 ? first_cost : 0;
        for (int64_t i = 0; i < n_blocks; i++) {
            cost += owner[i] == rank ? block_cost[i] : 0;
        }
        if (n_blocks > 0 && owner[n_blocks - 1] == rank) {
            cost += last_cost;
        }
        worst = fmax(worst, cost);
    }
    return worst;
}

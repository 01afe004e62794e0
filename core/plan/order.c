/* order.c - in which order a linear adds its products, once per shape.
 *
 * Deterministic mode wants the same bits for a row whether it comes alone or among hundreds. So the order is
 * decided at TFR_NOMINAL_ROWS rows and TFR_NOMINAL_THREADS threads, a pure function of shape, kernels and
 * machine, and then holds for all row counts. The fastest kernel at many rows decides, unless a single row
 * would have to pay too much for keeping its order.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "plan/problem.h"
#include "plan/select.h"

/* A single row may take this much longer than in the order that suits it best. */
static const double most_slowdown = 2.0;

struct option {
    const struct tfr_kernel *kernel; /* NULL: none */
    struct tfr_order order;
    double time_ns;
    int preference;
};

static int compare_options(const void *left, const void *right) {
    const struct option *a = left, *b = right;
    if (a->preference != b->preference) {
        return b->preference - a->preference;
    }
    if (a->time_ns != b->time_ns) {
        return a->time_ns < b->time_ns ? -1 : 1;
    }
    if (a->kernel->score != b->kernel->score) {
        return b->kernel->score - a->kernel->score;
    }
    return strcmp(a->kernel->name, b->kernel->name);
}

/* Whether a kernel that was free to choose its blocks can keep those that the graph wants, in the kind of order it chose. */
static bool takes_wish(const struct tfr_chooser *chooser, const struct tfr_candidate *candidate, const struct tfr_problem *problem,
                       struct tfr_needs *needs) {
    char reason[96];
    if (problem->attrs.k_block <= 0 || problem->order.kind != TFR_ORDER_ANY) {
        return true;
    }
    struct tfr_problem asked = *problem;
    asked.order = (struct tfr_order){.kind = needs->order.kind, .k_block = problem->attrs.k_block};
    return needs->order.kind != TFR_ORDER_OWN && tfr_candidate_judge(chooser, candidate, &asked, needs, reason, sizeof(reason)) &&
           tfr_order_same(&needs->order, &asked.order, tfr_problem_k(problem));
}

static bool rate(const struct tfr_chooser *chooser, const struct tfr_candidate *candidate, const struct tfr_problem *problem,
                 struct option *option) {
    char reason[96];
    struct tfr_needs needs;
    if (!tfr_candidate_judge(chooser, candidate, problem, &needs, reason, sizeof(reason)) ||
        !takes_wish(chooser, candidate, problem, &needs)) {
        return false;
    }
    const struct tfr_outlook nominal = {.machine = chooser->outlook.machine, .sequences = 1, .nominal = true};
    *option = (struct option){
        .kernel = candidate->kernel,
        .order = needs.order,
        .time_ns = tfr_cost_predict(&nominal, candidate->kernel, problem, &needs.order).time_ns,
        .preference = tfr_registry_preference(chooser->registry, candidate->kernel, candidate->plugin),
    };
    return true;
}

/* The best kernel for this problem, in the order of `wanted` (NULL: in any). */
static struct option best_option(const struct tfr_chooser *chooser, const struct tfr_problem *problem,
                                 const struct tfr_candidate *list, int n, const struct option *wanted) {
    struct option best = {0}, option;
    struct tfr_problem asked = *problem;
    if (wanted != NULL && wanted->order.kind != TFR_ORDER_OWN) {
        asked.order = wanted->order;
    }
    for (int i = 0; i < n; i++) {
        if (!rate(chooser, &list[i], &asked, &option)) {
            continue;
        }
        bool keeps = wanted == NULL || wanted->kernel == option.kernel ||
                     tfr_order_same(&wanted->order, &option.order, tfr_problem_k(problem));
        if (keeps && (best.kernel == NULL || compare_options(&option, &best) < 0)) {
            best = option;
        }
    }
    return best;
}

/* How much longer one row takes in the order of `option`. */
static double slowdown_of(const struct tfr_chooser *chooser, const struct tfr_problem *one_row, const struct tfr_candidate *list,
                          int n, const struct option *option) {
    struct option best = best_option(chooser, one_row, list, n, NULL);
    struct option keeper = best_option(chooser, one_row, list, n, option);
    if (keeper.kernel == NULL || keeper.preference < best.preference) {
        return INFINITY;
    }
    return best.time_ns > 0 ? keeper.time_ns / best.time_ns : 1;
}

static enum tfr_status decide(const struct tfr_chooser *chooser, const struct tfr_problem *problem,
                              const struct tfr_candidate *list, int n, struct option *options, struct tfr_order_entry *entry) {
    const struct tfr_problem many = tfr_problem_resize(problem, TFR_NOMINAL_ROWS, TFR_NOMINAL_THREADS);
    const struct tfr_problem one_row = tfr_problem_resize(problem, 1, TFR_NOMINAL_THREADS);
    int n_options = 0;
    for (int i = 0; i < n; i++) {
        n_options += rate(chooser, &list[i], &many, &options[n_options]);
    }
    if (*chooser->failure != TFR_OK) {
        return *chooser->failure;
    }
    if (n_options == 0) {
        return tfr_raise(TFR_UNSUPPORTED, "no kernel serves linear [%lld, %lld] with %d rows", (long long)entry->k,
                         (long long)entry->n, TFR_NOMINAL_ROWS);
    }
    qsort(options, (size_t)n_options, sizeof(*options), compare_options);
    const struct option *chosen = NULL;
    for (int i = 0; i < n_options && chosen == NULL; i++) {
        double slowdown = slowdown_of(chooser, &one_row, list, n, &options[i]);
        if (options[i].preference > 0 || slowdown <= most_slowdown) {
            chosen = &options[i];
        } else if (entry->passed_over == NULL) {
            entry->passed_over = options[i].kernel;
            entry->slowdown = slowdown;
        }
    }
    if (*chooser->failure != TFR_OK) {
        return *chooser->failure;
    }
    chosen = chosen != NULL ? chosen : &options[0];
    entry->order = chosen->order;
    entry->kernel = chosen->kernel;
    return TFR_OK;
}

static bool look_up(const struct tfr_order_book *book, struct tfr_order_entry *entry) {
    for (int i = 0; book != NULL && i < book->n; i++) {
        const struct tfr_order_entry *known = &book->entry[i];
        if (known->k == entry->k && known->n == entry->n && known->dtype == entry->dtype && known->x_dtype == entry->x_dtype &&
            known->activation == entry->activation && known->transposed == entry->transposed && known->k_block == entry->k_block) {
            *entry = *known;
            return true;
        }
    }
    return false;
}

/* A part of a weight is added as all of it is: the order is that of the whole. */
static struct tfr_problem whole_of(const struct tfr_problem *part) {
    struct tfr_problem whole = *part;
    const int k_at = part->attrs.transposed ? 1 : 0;
    const int64_t k = part->attrs.whole_k > 0 ? part->attrs.whole_k : tfr_problem_k(part);
    const int64_t n = part->attrs.whole_n > 0 ? part->attrs.whole_n : tfr_problem_n(part);
    whole.attrs.whole_k = whole.attrs.whole_n = whole.attrs.n_blocks = 0;
    whole.arg[0].dim[1] = whole.arg[1].dim[k_at] = k;
    whole.arg[1].dim[1 - k_at] = whole.arg[2].dim[0] = whole.arg[3].dim[1] = whole.arg[4].dim[1] = n;
    return whole;
}

/* A kernel's own order is only known to be that of the same columns. */
static enum tfr_status check_part(const struct tfr_problem *part, const struct tfr_order_entry *entry) {
    if (part->attrs.whole_n == 0 || entry->order.kind != TFR_ORDER_OWN) {
        return TFR_OK;
    }
    /* A kernel of ref cannot be banned. */
    const bool may_ban = strstr(entry->kernel->name, ".ref.") == NULL;
    return tfr_raise(
        TFR_UNSUPPORTED,
        "%s adds in an order of its own, so that some columns of [%lld, %lld] need not have the bits that all would have; "
        "give --head first, or choose other kernels with --kernels%s%s",
        entry->kernel->name, (long long)entry->k, (long long)entry->n, may_ban ? "=-" : "", may_ban ? entry->kernel->name : "");
}

enum tfr_status tfr_order_decide(const struct tfr_chooser *chooser, const struct tfr_problem *part, struct tfr_order_entry *entry) {
    const struct tfr_problem whole = whole_of(part), *problem = &whole;
    *entry = (struct tfr_order_entry){
        .k = tfr_problem_k(problem),
        .n = tfr_problem_n(problem),
        .dtype = tfr_problem_dtype(problem),
        .x_dtype = problem->attrs.x_dtype,
        .activation = problem->attrs.activation,
        .transposed = problem->attrs.transposed,
        .k_block = problem->attrs.k_block,
    };
    if (look_up(chooser->orders, entry)) {
        return check_part(part, entry);
    }
    struct tfr_candidate *list = NULL;
    int n;
    TFR_TRY(tfr_candidates_list(chooser->registry, problem, &list, &n));
    struct option *options = tfr_alloc((size_t)n, sizeof(*options));
    enum tfr_status status = options != NULL ? decide(chooser, problem, list, n, options, entry) : TFR_RESOURCE;
    tfr_free(options);
    tfr_free(list);
    /* A full book only means that a shape is decided again, with the same result. */
    struct tfr_order_book *book = chooser->orders;
    if (status == TFR_OK && book != NULL && book->n < (int)TFR_COUNT_OF(book->entry)) {
        book->entry[book->n++] = *entry;
    }
    return status == TFR_OK ? check_part(part, entry) : status;
}

/* Many rows may take this much longer than on f32 weights: less than what a prediction is worth. */
static const double most_slowdown_of_half = 1.05;

static bool look_up_half(const struct tfr_order_book *book, struct tfr_half_entry *entry) {
    for (int i = 0; book != NULL && i < book->n_halves; i++) {
        const struct tfr_half_entry *known = &book->half[i];
        if (known->k == entry->k && known->n == entry->n && known->narrow == entry->narrow &&
            known->activation == entry->activation && known->transposed == entry->transposed && known->k_block == entry->k_block) {
            *entry = *known;
            return true;
        }
    }
    return false;
}

static bool keeps_pace(const struct tfr_chooser *chooser, const struct tfr_problem *wide, enum tfr_dtype narrow,
                       const struct tfr_candidate *list, int n, double slowdown) {
    const struct option wanted = {.order = wide->order};
    const struct tfr_problem half = tfr_problem_half(wide, narrow);
    const struct option whole = best_option(chooser, wide, list, n, &wanted), best = best_option(chooser, &half, list, n, &wanted);
    return best.kernel != NULL && whole.kernel != NULL && best.preference >= whole.preference &&
           best.time_ns <= slowdown * whole.time_ns;
}

static enum tfr_status decide_half(const struct tfr_chooser *chooser, const struct tfr_problem *problem,
                                   const struct tfr_order *order, struct tfr_half_entry *entry) {
    struct tfr_problem many = tfr_problem_resize(problem, TFR_NOMINAL_ROWS, TFR_NOMINAL_THREADS);
    struct tfr_problem one_row = tfr_problem_resize(problem, 1, TFR_NOMINAL_THREADS);
    struct tfr_candidate *list = NULL;
    int n;
    many.order = one_row.order = *order;
    TFR_TRY(tfr_candidates_list(chooser->registry, problem, &list, &n));
    entry->takes = keeps_pace(chooser, &one_row, entry->narrow, list, n, 1) &&
                   keeps_pace(chooser, &many, entry->narrow, list, n, most_slowdown_of_half);
    tfr_free(list);
    return *chooser->failure;
}

enum tfr_status tfr_order_takes_half(const struct tfr_chooser *chooser, const struct tfr_problem *part, enum tfr_dtype narrow,
                                     bool *takes) {
    const struct tfr_problem whole = whole_of(part);
    struct tfr_half_entry entry = {.k = tfr_problem_k(&whole),
                                   .n = tfr_problem_n(&whole),
                                   .narrow = narrow,
                                   .activation = whole.attrs.activation,
                                   .transposed = whole.attrs.transposed,
                                   .k_block = whole.attrs.k_block};
    struct tfr_order_entry decided;
    *takes = false;
    if (!look_up_half(chooser->orders, &entry)) {
        TFR_TRY(tfr_order_decide(chooser, part, &decided));
        if (decided.order.kind == TFR_ORDER_FMA) {
            TFR_TRY(decide_half(chooser, &whole, &decided.order, &entry));
        }
        struct tfr_order_book *book = chooser->orders;
        if (book != NULL && book->n_halves < (int)TFR_COUNT_OF(book->half)) {
            book->half[book->n_halves++] = entry;
        }
    }
    *takes = entry.takes;
    return TFR_OK;
}

static int64_t block_length(const struct tfr_order *order, int64_t k) {
    return order->k_block <= 0 || order->k_block > k ? k : order->k_block;
}

bool tfr_order_same(const struct tfr_order *a, const struct tfr_order *b, int64_t k) {
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case TFR_ORDER_FMA:
    case TFR_ORDER_DP_BF16:
        return block_length(a, k) == block_length(b, k);
    case TFR_ORDER_INT:
        return true;
    case TFR_ORDER_INT_GROUP:
        return a->k_block == b->k_block;
    default: /* OWN, and what a newer minor version may state */
        return false;
    }
}

const char *tfr_order_text(const struct tfr_order *order, char *text, size_t size) {
    static const char *const kinds[] = {[TFR_ORDER_ANY] = "-",   [TFR_ORDER_FMA] = "fma", [TFR_ORDER_DP_BF16] = "dp_bf16",
                                        [TFR_ORDER_OWN] = "own", [TFR_ORDER_INT] = "int", [TFR_ORDER_INT_GROUP] = "int_group"};
    const char *kind = (size_t)order->kind < TFR_COUNT_OF(kinds) ? kinds[order->kind] : "?";
    bool blocked = order->kind == TFR_ORDER_FMA || order->kind == TFR_ORDER_DP_BF16 || order->kind == TFR_ORDER_INT_GROUP;
    if (blocked && order->k_block > 0) {
        snprintf(text, size, "%s %d", kind, (int)order->k_block);
    } else {
        snprintf(text, size, "%s", kind);
    }
    return text;
}

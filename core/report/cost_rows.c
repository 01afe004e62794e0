/* cost_rows.c - the lines of `tfrun cost`: ops with the reference's kernels below them, or modules as PyTorch nests them. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "report/cost_report.h"

const char *tfr_cost_side_name(enum tfr_account_side side) {
    return side == TFR_REFERENCE ? "reference" : "executed";
}

const char *tfr_cost_formula(const struct tfr_cost_report *report, const struct tfr_poly *poly, char *text, size_t size) {
    return report->query->plain_formulas ? tfr_poly_text(poly, text, size) : tfr_poly_factored(poly, text, size);
}

/* Appends a line with its sums, unless both sides have nothing. */
static enum tfr_status add_row(struct tfr_cost_report *report, const struct tfr_cost_row *row) {
    struct tfr_cost_row made = *row;
    for (int side = 0; side < TFR_ACCOUNT_SIDES; side++) {
        made.filter.side = (enum tfr_account_side)side;
        TFR_TRY(tfr_account_sum(report->account, &made.filter, &made.side[side].amount, &made.side[side].n));
    }
    if (made.side[TFR_REFERENCE].n + made.side[TFR_EXECUTED].n == 0 && !made.is_total) {
        return TFR_OK;
    }
    if (report->n_rows == report->row_capacity) {
        const int wanted = report->row_capacity + 64;
        struct tfr_cost_row *grown = tfr_realloc(report->rows, (size_t)wanted, sizeof *grown);
        if (grown == NULL) {
            return TFR_RESOURCE;
        }
        report->rows = grown;
        report->row_capacity = wanted;
    }
    report->rows[report->n_rows++] = made;
    return TFR_OK;
}

static enum tfr_status add_parts(struct tfr_cost_report *report, int op) {
    for (int part = 0; part < TFR_REFERENCE_OP_COUNT; part++) {
        const struct tfr_reference_info *info = tfr_reference_info((enum tfr_reference_op)part);
        struct tfr_cost_row row = {.note = info->text,
                                   .depth = 1,
                                   .copies = 1,
                                   .filter = {.by_op = true, .op = op, .by_reference = true, .reference = part}};
        snprintf(row.name, sizeof row.name, "%s", info->name);
        TFR_TRY(add_row(report, &row));
    }
    return TFR_OK;
}

static enum tfr_status kernel_rows(struct tfr_cost_report *report) {
    for (int op = 0; op < TFR_OP_COUNT; op++) {
        const struct tfr_op_info *info = tfr_op_info((enum tfr_op)op);
        struct tfr_cost_row row = {.note = info->text, .copies = 1, .filter = {.by_op = true, .op = op}};
        snprintf(row.name, sizeof row.name, "%s", info->name);
        TFR_TRY(add_row(report, &row));
        TFR_TRY(add_parts(report, op));
    }
    const struct tfr_reference_info *mean = tfr_reference_info(TFR_REFERENCE_MEAN);
    struct tfr_cost_row row = {.note = mean->text, .copies = 1, .filter = {.by_op = true, .op = TFR_OP_COUNT}};
    snprintf(row.name, sizeof row.name, "%s", mean->name);
    TFR_TRY(add_row(report, &row));
    return add_parts(report, TFR_OP_COUNT);
}

/* Path of a module from those of its ancestors: "transformer.h.N.attn". */
static void module_path(const struct tfr_module_tree *tree, int at, char *path, size_t size) {
    const char *names[8] = {0};
    int depth = tree->items[at].depth;
    for (int i = at; i >= 0 && depth > 0; i--) {
        if (tree->items[i].depth == depth && depth < (int)TFR_COUNT_OF(names)) {
            names[depth--] = tree->items[i].copies > 1 || tree->items[i].name[0] == '\0' ? "N" : tree->items[i].name;
        }
    }
    size_t used = 0;
    path[0] = '\0';
    for (int d = 1; d <= tree->items[at].depth && used < size; d++) {
        used += (size_t)snprintf(path + used, size - used, "%s%s", d > 1 ? "." : "", names[d]);
    }
}

/* Below a module that has others: what is in it and in none of them, so that the rows below add up to its own. */
static enum tfr_status add_itself(struct tfr_cost_report *report, const struct tfr_cost_row *module) {
    struct tfr_cost_row row = *module;
    snprintf(row.name, sizeof row.name, "%s (itself)", module->path);
    row.note = "in no module below";
    row.depth++;
    row.copies = 1;
    row.filter.is_exact = true;
    row.filter.module = row.path;
    return add_row(report, &row);
}

static enum tfr_status module_rows(struct tfr_cost_report *report) {
    const struct tfr_module_tree *tree = &report->tree;
    int skipped = INT32_MAX; /* depth of the list of blocks: what is below it stands one step further left */
    for (int i = 0; i < tree->n; i++) {
        const struct tfr_module *module = &tree->items[i];
        struct tfr_cost_row row = {.note = module->class_name, .depth = module->depth, .copies = module->copies};
        if (strcmp(module->class_name, "ModuleList") == 0) {
            skipped = module->depth;
            continue;
        }
        skipped = module->depth <= skipped ? INT32_MAX : skipped;
        row.depth -= module->depth > skipped;
        module_path(tree, i, row.path, sizeof row.path);
        snprintf(row.name, sizeof row.name, "%s", i > 0 ? row.path : "(model)");
        row.filter = (struct tfr_account_filter){.by_module = i > 0, .module = row.path};
        TFR_TRY(add_row(report, &row));
        if (i > 0 && !module->is_leaf) {
            TFR_TRY(add_itself(report, &row));
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_cost_report_rows(struct tfr_cost_report *report) {
    const struct tfr_cost_row total = {.name = "total", .copies = 1, .is_total = true};
    switch (report->query->level) {
    case TFR_COST_KERNEL:
        TFR_TRY(kernel_rows(report));
        break;
    case TFR_COST_LINE: /* lines_view.c has rows of its own */
        return TFR_OK;
    case TFR_COST_MODULE:
        TFR_TRY(module_rows(report));
        break;
    }
    TFR_TRY(add_row(report, &total));
    for (int i = 0; i < report->n_rows; i++) { /* the list has moved while it grew */
        report->rows[i].filter.module = report->rows[i].path;
    }
    return TFR_OK;
}

/* Messages that a rank posts: of each step, those with logit rows in the steps that have some. */
static tfr_int128 count_messages(const struct tfr_account *account, int rank) {
    tfr_int128 messages = 0;
    for (int i = 0; i < account->n_items; i++) {
        const struct tfr_account_kind *kind = &account->kinds[account->items[i].kind];
        if (account->items[i].rank == rank && kind->op == TFR_OP_SEND_HIDDEN) {
            messages += account->step[tfr_poly_has(&kind->formula.read, TFR_DIM_R) ? TFR_DIM_W : TFR_DIM_U];
        }
    }
    return messages;
}

enum tfr_status tfr_cost_rank(const struct tfr_cost_report *report, int rank, struct tfr_amount *all, struct tfr_amount *sent,
                              tfr_int128 *n_messages) {
    struct tfr_account_filter filter = {.side = TFR_EXECUTED, .by_rank = true, .rank = rank};
    int64_t n;
    TFR_TRY(tfr_account_sum(report->account, &filter, all, &n));
    filter.by_op = true;
    filter.op = TFR_OP_SEND_HIDDEN;
    *n_messages = count_messages(report->account, rank);
    return tfr_account_sum(report->account, &filter, sent, &n);
}

enum tfr_status tfr_cost_rank_row(const struct tfr_cost_report *report, int rank, bool sends, struct tfr_cost_row *row) {
    *row = (struct tfr_cost_row){.copies = 1, .filter = {.side = TFR_EXECUTED, .by_rank = true, .rank = rank}};
    row->filter.by_op = sends;
    row->filter.op = TFR_OP_SEND_HIDDEN;
    snprintf(row->name, sizeof row->name, "rank %d%s", rank, sends ? " sends" : "");
    return tfr_account_sum(report->account, &row->filter, &row->side[TFR_EXECUTED].amount, &row->side[TFR_EXECUTED].n);
}

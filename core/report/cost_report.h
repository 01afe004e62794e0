/* cost_report.h - what the files of `tfrun cost` share: the question settled, its rows, and how they are written. */
#ifndef TFR_REPORT_COST_REPORT_H
#define TFR_REPORT_COST_REPORT_H

#include <stdio.h>

#include "cost/account.h"
#include "model/module_tree.h"
#include "report/dry.h"
#include "report/grid.h"

/* One line: an op, a kernel of the reference that is part of one, a module, or the total. */
struct tfr_cost_row {
    char name[112];   /* "attention", "transformer.h.N.attn", "transformer (itself)" */
    char path[96];    /* of a module: what the filter asks for */
    const char *note; /* class of a module, text of an op */
    int depth;
    int64_t copies; /* blocks that the line stands for */
    bool is_total;
    struct tfr_account_filter filter; /* `side` is set by who asks */
    struct {
        int64_t n; /* kernels; 0: the line has nothing on this side */
        struct tfr_amount amount;
    } side[TFR_ACCOUNT_SIDES];
};

struct tfr_cost_report {
    const struct tfr_cost_query *query;
    struct tfr_config *config;
    struct tfr_dry dry; /* of several ranks */
    struct tfr_sequences *sequences;
    size_t n_sequences;
    int64_t batch;
    enum tfr_dtype dtype;        /* of weights, and of the reference */
    bool has_past;               /* formulas are of cache_len > 0, else of 0 */
    struct tfr_account *account; /* NULL: --level line */
    struct tfr_module_tree tree;
    struct tfr_cost_row *rows;
    int n_rows, row_capacity;
};

/* cost_question.c: the query's numbers with the defaults filled in, checked against the config, and the account of them. */
enum tfr_status tfr_cost_report_open(struct tfr_cost_report *report, const char *path, const struct tfr_override *overrides,
                                     size_t n_overrides, const struct tfr_cost_query *query);
/* For which sequences formulas hold: "cache_len > 0 and seq_len > 1: ...". */
enum { TFR_COST_HOLD_TEXT = 480 };
void tfr_cost_formulas_hold(const struct tfr_cost_report *report, char *text, size_t size);
void tfr_cost_report_close(struct tfr_cost_report *report);

/* cost_rows.c: the lines of the level that was asked for. */
enum tfr_status tfr_cost_report_rows(struct tfr_cost_report *report);
const char *tfr_cost_side_name(enum tfr_account_side side);
/* A formula as it was asked for: as a sum of terms, or with common factors before a bracket. Returns `text`. */
const char *tfr_cost_formula(const struct tfr_cost_report *report, const struct tfr_poly *poly, char *text, size_t size);
/* What one rank does, and what it hands to others. */
enum tfr_status tfr_cost_rank(const struct tfr_cost_report *report, int rank, struct tfr_amount *all, struct tfr_amount *sent,
                              tfr_int128 *n_messages);

/* The same as a line of its own: "rank 2", or what it hands to others, "rank 2 sends". */
enum tfr_status tfr_cost_rank_row(const struct tfr_cost_report *report, int rank, bool sends, struct tfr_cost_row *row);

/* cost_head.c: what stands before a table. */
enum tfr_status tfr_cost_report_head(const struct tfr_cost_report *report, const char *line_end, FILE *stream);
#define TFR_COST_REFERENCE_RELEASE "4.40.2" /* of transformers: whose kernels the reference of kernels and modules is */

/* cost_ranks.c: a table of the shares. */
enum tfr_status tfr_cost_report_ranks(const struct tfr_cost_report *report, enum tfr_grid_form form, FILE *stream);

/* cost_text.c, cost_json.c */
enum tfr_status tfr_cost_report_text(const struct tfr_cost_report *report, FILE *stream);
enum tfr_status tfr_cost_report_json(const struct tfr_cost_report *report, char **text);

/* report_lines.c: `--level line`, in every form. */
enum tfr_status tfr_cost_report_lines(const struct tfr_cost_report *report, char **text);

#endif

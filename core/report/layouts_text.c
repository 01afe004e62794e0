/* layouts_text.c - layouts as a table for people, Markdown or CSV. */
#include "report/layouts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memtext.h"
#include "base/plural.h"
#include "base/status.h"
#include "report/grid.h"

static void put_real(struct tfr_grid *grid, const char *format, double value) {
    char text[48];
    snprintf(text, sizeof text, format, value);
    tfr_grid_put(grid, text);
}

static const char *const goals[] = {[TFR_GOAL_LATENCY] = "time a token", [TFR_GOAL_THROUGHPUT] = "tokens a second"};

/* How much better than one rank, by this goal. */
static double gain(const struct layouts_report *report, const struct tfr_layout_times *times, int goal) {
    return goal == TFR_GOAL_THROUGHPUT ? times->tokens_per_s / report->alone.tokens_per_s
                                       : report->alone.token_ns / times->token_ns;
}

static void put_times(struct tfr_grid *grid, const struct tfr_layout_times *times) {
    put_real(grid, "%.2f", times->first_token_ns / 1e6);
    put_real(grid, "%.3f", times->token_ns / 1e6);
    put_real(grid, "%.1f", times->tokens_per_s);
    tfr_grid_put_count(grid, times->groups);
    put_real(grid, "%.1f", times->messages_a_token);
    put_real(grid, "%.1f", times->bytes_a_token / 1e3);
    put_real(grid, "%.1f", times->most_memory_bytes / 1e6);
    put_real(grid, "%.0f", 100 * times->wait_share);
}

static const char *const columns[] = {"layout",           "blocks",  "first token ms", "a token ms", "tokens/s", "groups",
                                      "messages a token", "kB sent", "MB a rank",      "waits %",    "remark"};

static void put_layout(const struct layouts_report *report, const struct layouts_of_ranks *point, int index, bool marks,
                       struct tfr_grid *grid) {
    const struct tfr_listed_layout *item = &point->list.item[index];
    char text[96];
    snprintf(text, sizeof text, "%s%s", item->name, marks && point->best[report->goal] == index ? " *" : "");
    tfr_grid_put(grid, text);
    tfr_layouts_blocks(item, text, 40);
    tfr_grid_put(grid, text);
    if (item->refusal[0] != '\0') {
        for (int i = 0; i < 8; i++) {
            tfr_grid_put(grid, marks ? "-" : "");
        }
    } else {
        put_times(grid, &point->times[index]);
    }
    tfr_grid_put(grid, item->refusal[0] != '\0' ? item->refusal : item->note);
}

static void put_heads(struct tfr_grid *grid, bool has_ranks) {
    if (has_ranks) {
        tfr_grid_put(grid, "ranks");
    }
    for (size_t i = 0; i < TFR_COUNT_OF(columns); i++) {
        tfr_grid_put(grid, columns[i]);
    }
}

/* One line of one rank to compare with, then the layouts. */
static enum tfr_status write_point(const struct layouts_report *report, enum tfr_grid_form form, FILE *stream) {
    const struct layouts_of_ranks *point = &report->points[0];
    struct tfr_grid grid = {.n_columns = (int)TFR_COUNT_OF(columns), .is_left = 3 | 1 << 10};
    put_heads(&grid, false);
    tfr_grid_rule(&grid);
    if (point->n_ranks > 1) {
        tfr_grid_put(&grid, "one rank");
        tfr_grid_put_count(&grid, report->dry.config->model.n_layer);
        put_times(&grid, &report->alone);
        tfr_grid_put(&grid, "");
    }
    for (int i = 0; i < point->list.n; i++) {
        put_layout(report, point, i, true, &grid);
    }
    const enum tfr_status status = tfr_grid_write(&grid, form, stream);
    tfr_grid_close(&grid);
    return status;
}

/* Each number of ranks by its best layout. */
static enum tfr_status write_sweep(const struct layouts_report *report, enum tfr_grid_form form, FILE *stream) {
    static const char *const heads[] = {"ranks",      "best layout",  "first token ms", "a token ms", "tokens/s",
                                        "x one rank", "efficiency %", "MB a rank",      "waits %"};
    struct tfr_grid grid = {.n_columns = (int)TFR_COUNT_OF(heads), .is_left = 2};
    for (size_t i = 0; i < TFR_COUNT_OF(heads); i++) {
        tfr_grid_put(&grid, heads[i]);
    }
    tfr_grid_rule(&grid);
    for (int i = 0; i < report->n_points; i++) {
        const struct layouts_of_ranks *point = &report->points[i];
        const int best = point->best[report->goal];
        const struct tfr_layout_times *times = &point->times[best];
        const double gained = gain(report, times, report->goal);
        tfr_grid_put_count(&grid, point->n_ranks);
        tfr_grid_put(&grid, point->list.item[best].name);
        put_real(&grid, "%.2f", times->first_token_ns / 1e6);
        put_real(&grid, "%.3f", times->token_ns / 1e6);
        put_real(&grid, "%.1f", times->tokens_per_s);
        put_real(&grid, "%.2f", gained);
        put_real(&grid, "%.0f", 100 * gained / point->n_ranks);
        put_real(&grid, "%.1f", times->most_memory_bytes / 1e6);
        put_real(&grid, "%.0f", 100 * times->wait_share);
    }
    const enum tfr_status status = tfr_grid_write(&grid, form, stream);
    tfr_grid_close(&grid);
    return status;
}

/* Every layout of every number of ranks, for programs. */
static enum tfr_status write_csv(const struct layouts_report *report, FILE *stream) {
    struct tfr_grid grid = {.n_columns = 1 + (int)TFR_COUNT_OF(columns)};
    put_heads(&grid, true);
    for (int i = 0; i < report->n_points; i++) {
        for (int k = 0; k < report->points[i].list.n; k++) {
            char text[16];
            snprintf(text, sizeof text, "%d", report->points[i].n_ranks);
            tfr_grid_put(&grid, text);
            put_layout(report, &report->points[i], k, false, &grid);
        }
    }
    const enum tfr_status status = tfr_grid_write(&grid, TFR_GRID_CSV, stream);
    tfr_grid_close(&grid);
    return status;
}

static void write_load(const struct layouts_report *report, FILE *stream) {
    const struct tfr_layout_load *load = &report->load;
    const int64_t near =
        tfr_layouts_piece(report, &(struct tfr_layout){.stages = 1, .tensor = report->facts.cluster.ranks_per_node});
    fprintf(stream, "first token of a prompt of %lld in pieces of %lld (", (long long)load->prompt, (long long)load->chunk);
    if (near != load->chunk) {
        fprintf(stream, "shards within a node: %lld; ", (long long)near);
    }
    fprintf(stream,
            "one rank: %lld); a token of one stream, and tokens/s of %lld sequence%s, with %lld cached positions\n"
            "logits come to rank 0 whole, as samples, scores and --json want them; of greedy text a split head sends 8 bytes a "
            "share\n\n",
            (long long)report->dry.config->options.runtime_max_rows, (long long)load->sequences, tfr_plural(load->sequences),
            (long long)load->context);
}

static void write_head(const struct layouts_report *report, FILE *stream) {
    const struct tfr_layouts_question *question = report->question;
    const struct tfr_cluster *cluster = &report->facts.cluster;
    fprintf(stream, "%s on ", report->dry.config->path);
    if (question->last_ranks > question->first_ranks) {
        fprintf(stream, "%d to ", question->first_ranks);
    }
    fprintf(stream, "%d rank%s, ", question->last_ranks, tfr_plural(question->last_ranks));
    if (cluster->ranks_per_node == 1) {
        fprintf(stream, "each on a node of its own");
    } else if (cluster->nodes == 1) {
        fprintf(stream, "all on one node (%.3g us, %.3g GB/s)", cluster->shm.alpha_ns / 1e3,
                1 / tfr_link_large_byte_ns(&cluster->shm));
    } else {
        fprintf(stream, "%d on a node (%.3g us, %.3g GB/s)", cluster->ranks_per_node, cluster->shm.alpha_ns / 1e3,
                1 / tfr_link_large_byte_ns(&cluster->shm));
    }
    if (cluster->net.alpha_ns + tfr_link_large_byte_ns(&cluster->net) > 0) {
        fprintf(stream, ", links of %.3g us and %.3g Gbit/s", cluster->net.alpha_ns / 1e3,
                8 / tfr_link_large_byte_ns(&cluster->net));
    }
    fprintf(stream, "\ntimes %s\n", report->calibrated_by);
    write_load(report, stream);
}

/* The goal that was asked for comes first. */
static void write_choice(const struct layouts_report *report, FILE *stream) {
    const struct layouts_of_ranks *point = &report->points[report->n_points - 1];
    for (int i = 0; i < 2; i++) {
        const int goal = i == 0 ? report->goal : 1 - report->goal, best = point->best[goal];
        const struct tfr_listed_layout *item = &point->list.item[best];
        const struct tfr_layout_times *times = &point->times[best];
        fprintf(stream, "\n%s best by %s: %s, %.2f x one rank", i == 0 ? "*" : " ", goals[goal], item->name,
                gain(report, times, goal));
        if (item->flags[0] != '\0') {
            fprintf(stream, " (%s)", item->flags);
        }
    }
    fputc('\n', stream);
}

static enum tfr_status write(const struct layouts_report *report, FILE *stream) {
    const enum tfr_cost_format format = report->question->format;
    const enum tfr_grid_form form = format == TFR_COST_MARKDOWN ? TFR_GRID_MARKDOWN : TFR_GRID_TEXT;
    if (format == TFR_COST_CSV) {
        return write_csv(report, stream);
    }
    write_head(report, stream);
    TFR_TRY(report->n_points > 1 ? write_sweep(report, form, stream) : write_point(report, form, stream));
    write_choice(report, stream);
    return TFR_OK;
}

enum tfr_status tfr_layouts_write(const struct layouts_report *report, char **text) {
    FILE *stream;
    size_t size;
    TFR_TRY(tfr_memtext_open(&stream, text, &size));
    return tfr_memtext_end(stream, text, write(report, stream));
}

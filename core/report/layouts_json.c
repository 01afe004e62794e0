/* layouts_json.c - layouts for programs: everything that the table has, and each rank's share. */
#include "report/layouts.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"

static const char *const goals[] = {[TFR_GOAL_LATENCY] = "latency", [TFR_GOAL_THROUGHPUT] = "throughput"};

static void put_link(struct tfr_json_out *out, const char *key, const struct tfr_link *link) {
    const double byte_ns = tfr_link_large_byte_ns(link);
    if (link->alpha_ns + byte_ns > 0) {
        tfr_json_begin(out, key, '{');
        tfr_json_put_number(out, "alpha_us", link->alpha_ns / 1e3);
        if (byte_ns > 0) {
            tfr_json_put_number(out, "gb_s", 1 / byte_ns);
        }
        tfr_json_end(out, '}');
    }
}

static void put_ranks(struct tfr_json_out *out, const struct tfr_layout_times *times) {
    tfr_json_begin(out, "ranks", '[');
    for (int i = 0; i < times->n_ranks; i++) {
        const struct tfr_layout_rank *rank = &times->rank[i];
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_number(out, "busy_ms", rank->busy_ns / 1e6);
        tfr_json_put_number(out, "wait_share", rank->wait_share);
        tfr_json_put_number(out, "memory_bytes", rank->memory_bytes);
        tfr_json_put_number(out, "messages_a_token", rank->messages_a_token);
        tfr_json_put_number(out, "bytes_a_token", rank->bytes_a_token);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
}

static void put_times(struct tfr_json_out *out, const struct tfr_layout_times *times) {
    tfr_json_put_number(out, "first_token_ms", times->first_token_ns / 1e6);
    tfr_json_put_number(out, "token_ms", times->token_ns / 1e6);
    tfr_json_put_number(out, "tokens_per_s", times->tokens_per_s);
    tfr_json_put_int(out, "groups", times->groups);
    tfr_json_put_number(out, "rows", times->rows);
    tfr_json_put_number(out, "latency_ms", times->latency_ns / 1e6);
    tfr_json_put_number(out, "bottleneck_ms", times->bottleneck_ns / 1e6);
    tfr_json_put_number(out, "messages_a_token", times->messages_a_token);
    tfr_json_put_number(out, "bytes_a_token", times->bytes_a_token);
    tfr_json_put_number(out, "most_memory_bytes", times->most_memory_bytes);
    tfr_json_put_number(out, "wait_share", times->wait_share);
    put_ranks(out, times);
}

static void put_layout(struct tfr_json_out *out, const struct layouts_report *report, const struct layouts_of_ranks *point,
                       int index) {
    static const char *const heads[] = {"first", "last", "split"};
    const struct tfr_listed_layout *item = &point->list.item[index];
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "name", item->name);
    if (item->refusal[0] != '\0') {
        tfr_json_put_text(out, "refused", item->refusal);
        tfr_json_end(out, '}');
        return;
    }
    tfr_json_put_text(out, "flags", item->flags);
    tfr_json_put_bool(out, "can_run", item->can_run);
    tfr_json_put_int(out, "replicas", item->layout.replicas);
    tfr_json_put_int(out, "stages", item->layout.stages);
    tfr_json_put_int(out, "tensor", item->layout.tensor);
    tfr_json_put_text(out, "head", heads[item->layout.head]);
    tfr_json_begin(out, "blocks", '[');
    for (int stage = 0; stage < item->layout.stages; stage++) {
        tfr_json_put_int(out, NULL, item->blocks[stage]);
    }
    tfr_json_end(out, ']');
    tfr_json_put_int(out, "chunk", tfr_layouts_piece(report, &item->layout));
    put_times(out, &point->times[index]);
    tfr_json_end(out, '}');
}

static void put_point(struct tfr_json_out *out, const struct layouts_report *report, const struct layouts_of_ranks *point) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "ranks", point->n_ranks);
    tfr_json_begin(out, "best", '{');
    for (int goal = 0; goal < 2; goal++) {
        tfr_json_put_text(out, goals[goal], point->list.item[point->best[goal]].name);
    }
    tfr_json_end(out, '}');
    tfr_json_begin(out, "layouts", '[');
    for (int i = 0; i < point->list.n; i++) {
        put_layout(out, report, point, i);
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

static void put_question(struct tfr_json_out *out, const struct layouts_report *report) {
    tfr_json_put_text(out, "config", report->dry.config->path);
    tfr_json_put_text(out, "predicted", report->calibrated_by);
    tfr_json_put_text(out, "goal", goals[report->goal]);
    tfr_json_put_int(out, "ranks_per_node", report->facts.cluster.ranks_per_node);
    put_link(out, "net", &report->facts.cluster.net);
    put_link(out, "shm", &report->facts.cluster.shm);
    tfr_json_put_text(out, "logits", "whole"); /* as samples want them; greedy text of a split head sends less */
    tfr_json_put_int(out, "prompt", report->load.prompt);
    tfr_json_put_int(out, "sequences", report->load.sequences);
    tfr_json_put_int(out, "context", report->load.context);
}

enum tfr_status tfr_layouts_write_json(const struct layouts_report *report, char **text) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-layouts-1");
    put_question(&out, report);
    tfr_json_begin(&out, "one_rank", '{');
    put_times(&out, &report->alone);
    tfr_json_end(&out, '}');
    tfr_json_begin(&out, "points", '[');
    for (int i = 0; i < report->n_points; i++) {
        put_point(&out, report, &report->points[i]);
    }
    tfr_json_end(&out, ']');
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

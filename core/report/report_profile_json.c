/* report_profile_json.c - a profile as JSON: roofs, sums of each rank, every node. */
#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "base/tensor.h"
#include "report/report_profile.h"

static const char *const bases[] = {[TFR_BASED_ON_SHAPE] = "shape", [TFR_BASED_ON_KERNEL] = "kernel", [TFR_BASED_ON_ROOF] = "roof"};

static void put_roofs(struct tfr_json_out *out, const struct tfr_roofs *roofs) {
    tfr_json_begin(out, "roofs", '{');
    tfr_json_begin(out, "gflops", '[');
    for (int i = 0; i < roofs->n_flops; i++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_text(out, "dtype", tfr_dtype_name((enum tfr_dtype)roofs->flops[i].dtype));
        tfr_json_put_text(out, "isa", roofs->flops[i].isa != 0 ? tfr_isa_name(roofs->flops[i].isa) : "plain");
        tfr_json_put_number(out, "all_cores", roofs->flops[i].all_cores / 1e9);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    tfr_json_begin(out, "gbytes", '[');
    for (int i = 0; i < roofs->n_bandwidths; i++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_int(out, "bytes", roofs->bandwidth[i].bytes);
        tfr_json_put_number(out, "all_cores", roofs->bandwidth[i].all_cores / 1e9);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

static void put_rank(struct tfr_json_out *out, int rank, const struct tfr_profile_rank *sums) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "rank", rank);
    tfr_json_put_number(out, "step_ns", sums->span_ns);
    tfr_json_put_number(out, "predicted_ns", sums->predicted_ns);
    tfr_json_put_number(out, "tasks_ns", sums->busy_ns);
    tfr_json_put_number(out, "between_ns", sums->between_ns);
    tfr_json_put_number(out, "predicted_between_ns", sums->predicted_between_ns);
    tfr_json_put_number(out, "waited_ns", sums->waited_ns);
    tfr_json_end(out, '}');
}

static void put_node(struct tfr_json_out *out, const struct tfr_profile_node *node) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "name", node->facts.name);
    tfr_json_put_int(out, "rank", node->rank);
    tfr_json_put_text(out, "kernel", node->facts.kernel);
    tfr_json_put_text(out, "shape", node->facts.shape);
    tfr_json_put_int(out, "threads", node->facts.threads);
    tfr_json_put_int(out, "rows", node->facts.rows);
    tfr_json_put_number(out, "flops", node->facts.flops);
    tfr_json_put_number(out, "bytes", node->facts.near_bytes + node->facts.far_bytes);
    tfr_json_put_number(out, "measured_ns", node->ns);
    if (node->facts.is_message) {
        tfr_json_put_number(out, "waited_ns", node->waited_ns);
    } else {
        tfr_json_put_number(out, "predicted_ns", node->predicted_ns);
        tfr_json_put_number(out, "roof_ns", node->roof_ns);
        tfr_json_put_text(out, "bound", node->bound == TFR_BOUND_COMPUTE ? "compute" : "memory");
        tfr_json_put_text(out, "predicted_from", bases[node->base]);
    }
    tfr_json_end(out, '}');
}

/* Of rank 0. */
static void put_counts(struct tfr_json_out *out, const struct tfr_counts *counts) {
    tfr_json_begin(out, "counters", '{');
    for (int c = 0; c < TFR_COUNTER_COUNT; c++) {
        if (counts->has[c]) {
            tfr_json_put_number(out, tfr_counter_name((enum tfr_counter)c), counts->value[c]);
        }
    }
    tfr_json_end(out, '}');
    tfr_json_begin(out, "not_counted_because", '{');
    for (int c = 0; c < TFR_COUNTER_COUNT; c++) {
        if (counts->why_not[c][0] != '\0') {
            tfr_json_put_text(out, tfr_counter_name((enum tfr_counter)c), counts->why_not[c]);
        }
    }
    tfr_json_end(out, '}');
}

static void put_phase(struct tfr_json_out *out, const struct tfr_profile *profile, enum tfr_phase which) {
    const struct tfr_profile_phase *phase = &profile->phase[which];
    tfr_json_begin(out, tfr_phase_name(which), '{');
    tfr_json_put_int(out, "rows", phase->first.rows);
    tfr_json_put_int(out, "sequences", phase->first.sequences);
    tfr_json_put_int(out, "context", phase->first.past);
    tfr_json_put_int(out, "steps", phase->n_steps);
    tfr_json_put_int(out, "repetitions", phase->n_reps);
    tfr_json_begin(out, "ranks", '[');
    for (int rank = 0; rank < profile->n_ranks; rank++) {
        put_rank(out, rank, &phase->ranks[rank]);
    }
    tfr_json_end(out, ']');
    tfr_json_put_number(out, "memory_gbytes", phase->memory_rate / 1e9);
    put_counts(out, &phase->counts);
    tfr_json_begin(out, "nodes", '[');
    for (size_t i = 0; i < profile->n_nodes; i++) {
        if (profile->nodes[i].phase == (int32_t)which) {
            put_node(out, &profile->nodes[i]);
        }
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

enum tfr_status tfr_profile_json(const struct tfr_profile *profile, char **text) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-profile-1");
    tfr_json_put_text(&out, "model", profile->model);
    tfr_json_put_text(&out, "machine", profile->machine);
    tfr_json_put_bool(&out, "is_calibrated", profile->is_calibrated);
    tfr_json_put_text(&out, "calibration", profile->calibrated_by);
    tfr_json_put_text(&out, "doubts", profile->doubts);
    tfr_json_put_text(&out, "no_counters_because", profile->counters_refusal);
    put_roofs(&out, &profile->calibration.roofs);
    for (int phase = 0; phase < TFR_PHASE_COUNT; phase++) {
        if (profile->phase[phase].is_there) {
            put_phase(&out, profile, (enum tfr_phase)phase);
        }
    }
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

/* report_profile.c - a profile for people: tables of nodes, modules and kernels, as text, Markdown or CSV. */
#include <tfrun/profile.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/status.h"
#include "profile/profile_run.h"
#include "report/report_profile.h"

static const char *const grouping_names[] = {[TFR_BY_NODE] = "node", [TFR_BY_MODULE] = "module", [TFR_BY_KERNEL] = "kernel"};

const char *tfr_grouping_name(enum tfr_grouping grouping) {
    return grouping_names[grouping];
}

/* Predicted against measured, in per cent of the measured. */
double tfr_gap_percent(double measured_ns, double predicted_ns) {
    return measured_ns > 0 ? 100 * (predicted_ns - measured_ns) / measured_ns : 0;
}

static double percent(double part, double whole) {
    return whole > 0 ? 100 * part / whole : 0;
}

const char *tfr_bound_name(const struct tfr_profile_group *group) {
    return 2 * group->memory_bound_ns > group->roof_ns ? "memory" : "compute";
}

double tfr_phase_busy_ns(const struct tfr_profile_phase *phase, int n_ranks) {
    double busy = 0;
    for (int rank = 0; rank < n_ranks; rank++) {
        busy += phase->ranks[rank].busy_ns;
    }
    return busy;
}

static void print_head(FILE *out, enum tfr_table_form form, enum tfr_grouping grouping) {
    const char *name = grouping_names[grouping];
    if (form == TFR_TABLE_MD) {
        fprintf(out, "\n| %s | n | measured ms | predicted ms | gap %% | GFLOP/s | GB/s | bound | %% of roof | share %% |\n", name);
        fprintf(out, "|---|--:|--:|--:|--:|--:|--:|---|--:|--:|\n");
    } else if (form == TFR_TABLE_TEXT) {
        fprintf(out, "\n  %-36s %4s %11s %11s %7s %9s %8s  %-7s %6s %6s\n", name, "n", "measured", "predicted", "gap", "GFLOP/s",
                "GB/s", "bound", "roof", "share");
    }
}

/* A name of one's own: a shape that was not calibrated is marked. */
static void print_group(FILE *out, enum tfr_table_form form, const struct tfr_profile_group *group, double busy_ns,
                        const char *phase, enum tfr_grouping grouping) {
    const double ms = group->ns / 1e6, predicted = group->predicted_ns / 1e6;
    const double gap = tfr_gap_percent(group->ns, group->predicted_ns), roof = percent(group->roof_ns, group->ns);
    const double gflops = group->ns > 0 ? group->flops / group->ns : 0, gbs = group->ns > 0 ? group->bytes / group->ns : 0;
    const double share = percent(group->ns, busy_ns);
    const char *mark = group->is_predicted ? "" : "*", *bound = tfr_bound_name(group);
    if (form == TFR_TABLE_TEXT) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", group->name, mark);
        fprintf(out, "  %-36s %4lld %8.4f ms %8.4f ms %+5.0f %% %9.1f %8.1f  %-7s %4.0f %% %4.1f %%\n", name, (long long)group->n,
                ms, predicted, gap, gflops, gbs, bound, roof, share);
    } else if (form == TFR_TABLE_MD) {
        fprintf(out, "| `%s`%s | %lld | %.4f | %.4f | %+.0f | %.1f | %.1f | %s | %.0f | %.1f |\n", group->name,
                mark[0] != '\0' ? " \\*" : "", (long long)group->n, ms, predicted, gap, gflops, gbs, bound, roof, share);
    } else {
        fprintf(out, "%s,%s,%s,%lld,%.6f,%.6f,%.2f,%.3f,%.3f,%s,%.2f,%.2f,%d\n", phase, grouping_names[grouping], group->name,
                (long long)group->n, ms, predicted, gap, gflops, gbs, bound, roof, share, group->is_predicted);
    }
}

static enum tfr_status print_groups(FILE *out, enum tfr_table_form form, const struct tfr_profile *profile, enum tfr_phase phase,
                                    enum tfr_grouping grouping) {
    struct tfr_profile_group *groups;
    size_t n;
    const double busy_ns = tfr_phase_busy_ns(&profile->phase[phase], profile->n_ranks);
    TFR_TRY(tfr_profile_groups(profile, phase, grouping, &groups, &n));
    print_head(out, form, grouping);
    for (size_t i = 0; i < n; i++) {
        print_group(out, form, &groups[i], busy_ns, tfr_phase_name(phase), grouping);
    }
    tfr_free(groups);
    return TFR_OK;
}

static void print_sums(FILE *out, enum tfr_table_form form, const struct tfr_profile *profile,
                       const struct tfr_profile_phase *phase) {
    const struct tfr_profile_rank *first = &phase->ranks[0];
    const double tokens = (double)(phase->n_steps > 1 ? 0 : phase->first.rows);
    const char *line = form == TFR_TABLE_MD ? "\n" : "";
    for (int rank = 0; rank < profile->n_ranks; rank++) {
        const struct tfr_profile_rank *sums = &phase->ranks[rank];
        const double own_ns = sums->span_ns - sums->waited_ns; /* no message is predicted */
        fprintf(out, "%s  rank %d  step %.4f ms", line, rank, sums->span_ns / 1e6);
        if (profile->n_ranks > 1) {
            fprintf(out, ", waiting for messages %.4f ms (%.0f %%), without it %.4f ms", sums->waited_ns / 1e6,
                    percent(sums->waited_ns, sums->span_ns), own_ns / 1e6);
        }
        fprintf(out, ", predicted %.4f ms (%+.1f %%): tasks %.4f, between tasks %.4f (predicted %.4f)\n", sums->predicted_ns / 1e6,
                tfr_gap_percent(own_ns, sums->predicted_ns), sums->busy_ns / 1e6, sums->between_ns / 1e6,
                sums->predicted_between_ns / 1e6);
    }
    if (phase->memory_rate > 0) {
        fprintf(out, "%s  memory gives %.1f GB/s now, %.1f while kernels were calibrated: predictions follow\n", line,
                phase->memory_rate / 1e9, profile->calibration.roofs.memory_rate / 1e9);
    }
    if (tokens > 0 && first->span_ns > 0) {
        fprintf(out, "%s  %.1f tokens a second\n", line, tokens / first->span_ns * 1e9);
    }
}

static void print_counts(FILE *out, const struct tfr_profile *profile, const struct tfr_profile_phase *phase) {
    const struct tfr_counts *counts = &phase->counts;
    const char *of = profile->n_ranks > 1 ? " on rank 0" : "";
    const double span_s = phase->ranks[0].span_ns / 1e9;
    if (profile->counters_refusal[0] != '\0') {
        fprintf(out, "  hardware counters: %s\n", profile->counters_refusal);
        return;
    }
    if (counts->has[TFR_COUNT_CYCLES] && counts->has[TFR_COUNT_INSTRUCTIONS]) {
        fprintf(out, "  counted%s: %.2f G cycles, %.2f G instructions (%.2f a cycle)\n", of, counts->value[TFR_COUNT_CYCLES] / 1e9,
                counts->value[TFR_COUNT_INSTRUCTIONS] / 1e9,
                counts->value[TFR_COUNT_INSTRUCTIONS] / fmax(1, counts->value[TFR_COUNT_CYCLES]));
    }
    if (counts->has[TFR_COUNT_MISSES]) {
        const double bytes = counts->value[TFR_COUNT_MISSES] * 64;
        fprintf(out, "  counted%s: %.2f MB from memory by misses of the last cache level, %.1f GB/s\n", of, bytes / 1e6,
                bytes / span_s / 1e9);
    }
    if (counts->has[TFR_COUNT_FLOPS]) {
        fprintf(out, "  counted%s: %.3f GFLOP\n", of, counts->value[TFR_COUNT_FLOPS] / 1e9);
    }
    for (int c = 0; c < TFR_COUNTER_COUNT; c++) {
        if (counts->why_not[c][0] != '\0') {
            fprintf(out, "  not counted%s: %s: %s\n", of, tfr_counter_name((enum tfr_counter)c), counts->why_not[c]);
        }
    }
}

static void print_title(FILE *out, enum tfr_table_form form, enum tfr_phase which, const struct tfr_profile_phase *phase) {
    const long long each = (long long)(phase->first.rows / phase->first.sequences);
    fprintf(out, "\n%s%s: %lld sequence%s", form == TFR_TABLE_MD ? "## " : "", tfr_phase_name(which),
            (long long)phase->first.sequences, phase->first.sequences == 1 ? "" : "s");
    if (which == TFR_PHASE_DECODE) {
        fprintf(out, " with %lld cached positions, one token each", (long long)phase->first.past);
    } else if (phase->n_steps > 1) {
        fprintf(out, ", %lld steps of up to %lld rows each", (long long)phase->n_steps, each);
    } else {
        fprintf(out, ", %lld tokens each", each);
    }
    fprintf(out, "; middle half of %lld repetitions\n", (long long)phase->n_reps);
}

static enum tfr_status print_phase(FILE *out, enum tfr_table_form form, const struct tfr_profile *profile, enum tfr_phase which) {
    const struct tfr_profile_phase *phase = &profile->phase[which];
    if (form != TFR_TABLE_CSV) {
        print_title(out, form, which, phase);
        print_sums(out, form, profile, phase);
        print_counts(out, profile, phase);
    }
    for (int grouping = 0; grouping < TFR_GROUPING_COUNT; grouping++) {
        TFR_TRY(print_groups(out, form, profile, which, (enum tfr_grouping)grouping));
    }
    return TFR_OK;
}

static void print_start(FILE *out, enum tfr_table_form form, const struct tfr_profile *profile) {
    const char *line = form == TFR_TABLE_MD ? "\n" : "";
    if (form == TFR_TABLE_CSV) {
        fprintf(out, "phase,table,name,n,measured_ms,predicted_ms,gap_percent,gflops,gbytes,bound,roof_percent,share_percent,"
                     "calibrated_shape\n");
        return;
    }
    fprintf(out, "%smodel        %s\n%smachine      %s\n%scalibration  %s\n", form == TFR_TABLE_MD ? "# Profile\n\n" : "",
            profile->model, line, profile->machine, line, profile->calibrated_by);
    if (profile->doubts[0] != '\0') {
        fprintf(out, "%swhich may not hold: %s\n", line, profile->doubts);
    }
}

static bool has_marks(const struct tfr_profile *profile) {
    for (size_t i = 0; i < profile->n_nodes; i++) {
        if (!profile->nodes[i].facts.is_message && profile->nodes[i].base != TFR_BASED_ON_SHAPE) {
            return true;
        }
    }
    return false;
}

static enum tfr_status print_tables(FILE *out, enum tfr_table_form form, const struct tfr_profile *profile) {
    print_start(out, form, profile);
    for (int phase = 0; phase < TFR_PHASE_COUNT; phase++) {
        if (profile->phase[phase].is_there) {
            TFR_TRY(print_phase(out, form, profile, (enum tfr_phase)phase));
        }
    }
    if (form != TFR_TABLE_CSV && has_marks(profile)) {
        fprintf(out, "\n* predicted %s\n",
                profile->is_calibrated ? "from another shape of the kernel: this one was not calibrated"
                                       : "at the roof: there is no calibration");
    }
    return TFR_OK;
}

bool tfr_profile_is_calibrated(const struct tfr_profile *profile) {
    return profile->is_calibrated;
}

enum tfr_status tfr_report_profile(const struct tfr_profile *profile, enum tfr_table_form form, char **text) {
    size_t size;
    FILE *out;
    if (form == TFR_TABLE_JSON) {
        return tfr_profile_json(profile, text);
    }
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    return tfr_memtext_end(out, text, print_tables(out, form, profile));
}

/* report_layouts.c - `tfrun plan CONFIG --ranks N --net A,B | --cluster FILE`: what each layout of N ranks would take. */
#include "report/layouts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "profile/profile_run.h"
#include "rank/stage_costs.h"

/* The system refuses the file, as to another user: `why` says so then. No memory and no descriptors are no such thing. */
static bool is_closed_to_us(const char *file, char *why, size_t size) {
    struct stat facts;
    int error = access(file, R_OK) == 0 && stat(file, &facts) == 0 ? 0 : errno;
    if (error == 0 && !S_ISREG(facts.st_mode)) {
        error = S_ISDIR(facts.st_mode) ? EISDIR : EINVAL;
    }
    if (error == 0 || error == ENOMEM || error == EMFILE || error == ENFILE) {
        return false;
    }
    snprintf(why, size, "%s: %s", file, strerror(error));
    return true;
}

static enum tfr_status read_calibration(const struct tfr_dry *dry, int n_threads, const char *file,
                                        struct tfr_calibration *calibration, bool *found, char *path, size_t size) {
    struct tfr_conditions now;
    char doubts[TFR_DOUBTS_SIZE] = "";
    const enum tfr_status status = tfr_calibration_read(calibration, file);
    if (status == TFR_RESOURCE) {
        return status;
    }
    tfr_conditions_of(dry->registry, dry->machine, dry->config, n_threads, &now);
    *found = status == TFR_OK && tfr_calibration_check(calibration, &now, file, doubts, sizeof doubts) == TFR_OK;
    if (!*found) {
        tfr_calibration_free(calibration);
    }
    snprintf(path, size, *found && doubts[0] != '\0' ? "%s, which may not hold: %s" : "%s", *found ? file : tfr_failure_text(),
             doubts);
    return TFR_OK;
}

enum tfr_status tfr_dry_find_calibration(const struct tfr_dry *dry, int n_threads, struct tfr_calibration *calibration, bool *found,
                                         char *path, size_t size) {
    *found = false;
    path[0] = '\0';
    if (dry->machine->is_described || !tfr_cache_has_folder()) {
        return TFR_OK;
    }
    char *file = tfr_calibration_path(dry->machine->host_name, n_threads);
    enum tfr_status status = file != NULL ? TFR_OK : TFR_RESOURCE;
    if (status == TFR_OK && tfr_path_exists(file) && !is_closed_to_us(file, path, size)) {
        status = read_calibration(dry, n_threads, file, calibration, found, path, size);
    }
    tfr_free(file);
    return status;
}

/* Threads of a rank: the cores are divided among those of a node, as when they run. */
static enum tfr_status choose_threads(struct layouts_report *report) {
    struct tfr_dry *dry = &report->dry;
    const int each = report->facts.cluster.ranks_per_node;
    const int n_local = each < report->question->last_ranks ? each : report->question->last_ranks;
    const int asked = (int)dry->config->options.runtime_threads;
    return tfr_config_blame(dry->config, "runtime.threads",
                            tfr_machine_choose_threads(dry->machine, asked, 0, n_local, &dry->threads));
}

/* The file describes no pair of ranks whose link nobody measured. */
static enum tfr_status check_measured_links(const struct layouts_report *report, const struct tfr_measured_links *links) {
    const struct tfr_cluster *cluster = &report->facts.cluster;
    const bool is_net = cluster->nodes > 1 && links->net_pairs == 0;
    if (is_net || (cluster->ranks_per_node > 1 && links->shm_pairs == 0)) {
        return tfr_raise(
            TFR_RESOURCE,
            "--net calibrated: no links %s were measured, and %s has %d %s; run `tfrun calibrate --net` on such ranks, or "
            "leave --net out and describe the links there",
            is_net ? "between nodes" : "within a node", report->question->cluster,
            is_net ? cluster->nodes : cluster->ranks_per_node, is_net ? "nodes" : "ranks on a node");
    }
    return TFR_OK;
}

/* Links as calibrate --net found them: on the nodes of the file, else between nodes where the job had several, else all ranks are
 * on one. */
static enum tfr_status take_measured_links(struct layouts_report *report) {
    struct tfr_cluster *cluster = &report->facts.cluster;
    struct tfr_calibration calibration = {0};
    char path[sizeof report->calibrated_by / 2];
    const bool has_file = report->question->cluster != NULL;
    if (!has_file) {
        report->facts = tfr_cluster_of_one_node();
    }
    TFR_TRY(choose_threads(report));
    const int n_threads = report->dry.threads.n_threads;
    bool found;
    TFR_TRY(tfr_dry_find_calibration(&report->dry, n_threads, &calibration, &found, path, sizeof path));
    const struct tfr_measured_links links = calibration.links;
    tfr_calibration_free(&calibration);
    if (!found || links.net_pairs + links.shm_pairs == 0) {
        return tfr_raise(
            TFR_RESOURCE,
            "--net calibrated: no calibration of %d thread%s with links between ranks holds here%s%s; run `tfrun calibrate "
            "-t %d`, then `tfrun calibrate --net -t %d` on the ranks, or give --net US,GBIT_S",
            n_threads, n_threads == 1 ? "" : "s", found || *path == '\0' ? "" : ": ", found ? "" : path, n_threads, n_threads);
    }
    cluster->shm = links.shm_pairs > 0 ? links.shm : cluster->shm;
    cluster->net = links.net_pairs > 0 ? links.net : cluster->net;
    TFR_TRY(has_file ? check_measured_links(report, &links) : TFR_OK);
    if (links.asleep && !report->facts.has_speed) {
        return tfr_raise(TFR_RESOURCE,
                         "--net calibrated: these links were measured between ranks that sleep where they compute (--asleep), and "
                         "kernels of this machine do not; run `tfrun calibrate --net -t %d` without it, or give the speed of ranks "
                         "by --cluster FILE",
                         n_threads);
    }
    if (!has_file && links.net_pairs > 0) {
        cluster->nodes = INT_MAX;
        cluster->ranks_per_node = 1;
    }
    return TFR_OK;
}

static enum tfr_status take_cluster(struct layouts_report *report) {
    const struct tfr_layouts_question *question = report->question;
    const bool is_measured = question->net != NULL && strcmp(question->net, "calibrated") == 0;
    if (question->cluster == NULL && is_measured) {
        return take_measured_links(report);
    }
    TFR_TRY(question->cluster != NULL ? tfr_cluster_read(&report->facts, question->cluster, is_measured)
                                      : tfr_cluster_net(&report->facts, question->net));
    const struct tfr_cluster *cluster = &report->facts.cluster;
    const int64_t most = (int64_t)cluster->nodes * cluster->ranks_per_node;
    if (question->last_ranks > most) {
        return tfr_raise(TFR_USAGE, "%d ranks are more than the %d x %d of %s; give fewer ranks, or nodes with more",
                         question->last_ranks, cluster->nodes, cluster->ranks_per_node, question->cluster);
    }
    return is_measured ? take_measured_links(report) : TFR_OK;
}

static enum tfr_status take_load(struct layouts_report *report) {
    const struct tfr_layouts_question *question = report->question;
    const struct tfr_config *config = report->dry.config;
    const int64_t positions = config->model.n_positions;
    if (question->prompt > positions || question->context >= positions) {
        const bool is_prompt = question->prompt > positions;
        return tfr_raise(TFR_USAGE, "--%s %lld: %s has n_positions = %lld; give less", is_prompt ? "prompt-tokens" : "context",
                         (long long)(is_prompt ? question->prompt : question->context), config->path, (long long)positions);
    }
    if (question->sequences > config->options.runtime_max_batch) {
        return tfr_raise(
            TFR_USAGE,
            "--sequences %lld: an engine of %s takes runtime.max_batch = %lld together; give less, or a larger --max-batch",
            (long long)question->sequences, config->path, (long long)config->options.runtime_max_batch);
    }
    report->load = (struct tfr_layout_load){.prompt = question->prompt > 0 ? question->prompt : tfr_common_prompt(config),
                                            .chunk = tfr_common_piece(config),
                                            .sequences = question->sequences,
                                            .context = question->context >= 0 ? question->context
                                                       : positions - 1 < 128  ? positions - 1
                                                                              : 128,
                                            .tokens = config->options.sampling_max_tokens};
    return TFR_OK;
}

static enum tfr_status take_calibration(struct layouts_report *report) {
    const struct tfr_dry *dry = &report->dry;
    const int n_threads = dry->threads.n_threads;
    char path[sizeof report->calibrated_by / 2];
    bool found;
    TFR_TRY(tfr_dry_find_calibration(&report->dry, n_threads, &report->calibration, &found, path, sizeof path));
    if (found) {
        snprintf(report->calibrated_by, sizeof report->calibrated_by, "by %s", path);
    } else {
        tfr_calibration_nominal(&report->calibration, dry->machine, n_threads);
        snprintf(report->calibrated_by, sizeof report->calibrated_by,
                 "by nominal peaks: no calibration of %d thread%s holds here (`tfrun calibrate -t %d`)%s%s", n_threads,
                 n_threads == 1 ? "" : "s", n_threads, *path != '\0' ? ": " : "", path);
    }
    return tfr_dry_find_calibration(&report->dry, dry->machine->n_cores, &report->node, &found, path, sizeof path);
}

/* Where the cluster does not say how fast a rank is, it is this machine with as many threads. */
static enum tfr_status take_times(struct layouts_report *report) {
    const struct tfr_dry *dry = &report->dry;
    report->model = tfr_layout_model_of(dry->config);
    report->goal = (int)dry->config->options.parallel_goal;
    if (report->facts.has_speed) {
        tfr_model_work_of(&report->work, dry->config, &report->facts.speed);
        snprintf(report->calibrated_by, sizeof report->calibrated_by, "by the numbers of %s", report->question->cluster);
        return TFR_OK;
    }
    if (report->question->last_ranks > report->question->first_ranks && report->facts.cluster.ranks_per_node > 1) {
        return tfr_raise(TFR_USAGE,
                         "--sweep: ranks of one node divide its cores, so the time of a rank is another one for each number of "
                         "them; give a --cluster with bandwidth_gbs and gflops of a rank, or --ranks N for each N");
    }
    const bool is_measured = report->question->net != NULL && strcmp(report->question->net, "calibrated") == 0;
    TFR_TRY(is_measured ? TFR_OK : choose_threads(report)); /* measured links are those of ranks with so many threads */
    TFR_TRY(take_calibration(report));
    const struct tfr_planner planner = tfr_dry_planner(&report->dry);
    return tfr_piece_times_open(&report->pieces, &planner, &report->calibration,
                                report->node.roofs.n_threads > 0 ? &report->node.roofs : NULL);
}

static struct tfr_layout_question question_of(const struct layouts_report *report, const struct tfr_layout *layout) {
    return (struct tfr_layout_question){
        .layout = layout,
        .cluster = &report->facts.cluster,
        .model = &report->model,
        .load = &report->load,
        .ns = report->facts.has_speed ? tfr_piece_ns : tfr_piece_times_ns,
        .user = report->facts.has_speed ? (const void *)&report->work : (const void *)&report->pieces,
    };
}

int64_t tfr_layouts_piece(const struct layouts_report *report, const struct tfr_layout *layout) {
    return tfr_layout_piece(report->dry.config, layout->stages, layout->tensor, report->facts.cluster.ranks_per_node);
}

static enum tfr_status predict_point(const struct layouts_report *report, struct layouts_of_ranks *point) {
    const int64_t n_layer = report->dry.config->model.n_layer;
    const struct tfr_layout wish = {.groups = (int)report->dry.config->options.parallel_microbatches};
    struct tfr_layout_question question = question_of(report, &wish);
    struct tfr_layout_load load = report->load;
    TFR_TRY(tfr_layout_list_make(&point->list, &question, n_layer, point->n_ranks));
    question.load = &load;
    point->times = tfr_alloc((size_t)point->list.n, sizeof *point->times);
    if (point->times == NULL) {
        return TFR_RESOURCE;
    }
    for (int i = 0; i < point->list.n; i++) {
        if (point->list.item[i].refusal[0] != '\0') {
            continue;
        }
        load.chunk = tfr_layouts_piece(report, &point->list.item[i].layout);
        question.layout = &point->list.item[i].layout;
        TFR_TRY(tfr_layout_predict(&question, &point->times[i]));
        for (int goal = 0; goal < 2 && point->list.item[i].can_run; goal++) {
            const int best = point->best[goal];
            point->best[goal] = best < 0 || tfr_layout_is_better(goal, &point->times[i], &point->times[best]) ? i : best;
        }
    }
    return TFR_OK;
}

static enum tfr_status predict_alone(struct layouts_report *report) {
    const int blocks = (int)report->dry.config->model.n_layer;
    const struct tfr_layout one = {.replicas = 1, .stages = 1, .tensor = 1, .blocks = &blocks};
    struct tfr_layout_question question = question_of(report, &one);
    struct tfr_layout_load load = report->load;
    load.chunk = report->dry.config->options.runtime_max_rows;
    question.load = &load;
    return tfr_layout_predict(&question, &report->alone);
}

static enum tfr_status predict(struct layouts_report *report) {
    const struct tfr_layouts_question *question = report->question;
    const int n = question->last_ranks - question->first_ranks + 1;
    report->points = tfr_alloc((size_t)n, sizeof *report->points);
    if (report->points == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(predict_alone(report));
    for (int i = 0; i < n; i++) {
        struct layouts_of_ranks *point = &report->points[i];
        point->n_ranks = question->first_ranks + i;
        point->best[0] = point->best[1] = -1;
        report->n_points = i + 1;
        TFR_TRY(predict_point(report, point));
    }
    return report->pieces.status;
}

static void close_report(struct layouts_report *report) {
    for (int i = 0; i < report->n_points; i++) {
        for (int k = 0; report->points[i].times != NULL && k < report->points[i].list.n; k++) {
            tfr_free(report->points[i].times[k].rank);
        }
        tfr_free(report->points[i].times);
        tfr_layout_list_free(&report->points[i].list);
    }
    tfr_free(report->points);
    tfr_free(report->alone.rank);
    tfr_piece_times_close(&report->pieces);
    tfr_calibration_free(&report->calibration);
    tfr_calibration_free(&report->node);
    tfr_dry_close(&report->dry);
}

void tfr_layouts_blocks(const struct tfr_listed_layout *item, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int stage = 0; item->blocks != NULL && stage < item->layout.stages; stage++) {
        int last = stage;
        while (last + 1 < item->layout.stages && item->blocks[last + 1] == item->blocks[stage]) {
            last++;
        }
        const bool folds = last - stage >= 3;
        char word[32];
        snprintf(word, sizeof word, folds ? "%s%dx%d" : "%s%d", stage > 0 ? "," : "",
                 folds ? last - stage + 1 : item->blocks[stage], item->blocks[stage]);
        if (used + strlen(word) + 4 >= size) {
            snprintf(text + used, size - used, ",..");
            return;
        }
        used += (size_t)snprintf(text + used, size - used, "%s", word);
        stage = folds ? last : stage;
    }
}

enum tfr_status tfr_report_layouts(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                   const struct tfr_layouts_question *question, char **text) {
    struct layouts_report *report = tfr_alloc(1, sizeof *report);
    *text = NULL;
    if (report == NULL) {
        return TFR_RESOURCE;
    }
    report->question = question;
    enum tfr_status status = tfr_dry_open(&report->dry, path, overrides, n_overrides, 1);
    status = status == TFR_OK ? take_cluster(report) : status;
    status = status == TFR_OK ? take_load(report) : status;
    status = status == TFR_OK ? take_times(report) : status;
    status = status == TFR_OK ? predict(report) : status;
    if (status == TFR_OK) {
        status = question->format == TFR_COST_JSON ? tfr_layouts_write_json(report, text) : tfr_layouts_write(report, text);
    }
    close_report(report);
    tfr_free(report);
    return status;
}

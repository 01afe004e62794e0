/* bench_predict.c - what the calibration of this host expects of each case: one rank by its tasks, several by their layout. */
#include "base/arena.h"
#include "base/status.h"
#include "predict/cluster_file.h"
#include "profile/profile_run.h"
#include "rank/piece_times.h"
#include "report/layout_facts.h"
#include "report/layouts.h"
#include "study/bench_roof.h"

/* Ranks of one node, or of nodes between which links were measured; false where nothing is known of them. */
static bool take_cluster(struct tfr_cluster_facts *facts, const struct tfr_engine *engine,
                         const struct tfr_calibration *calibration) {
    const struct tfr_measured_links *links = &calibration->links;
    const int local = tfr_comm_local_size(engine->comm), size = tfr_comm_size(engine->comm);
    *facts = tfr_cluster_of_one_node();
    facts->cluster.shm = links->shm_pairs > 0 ? links->shm : facts->cluster.shm;
    facts->cluster.net = links->net;
    facts->cluster.ranks_per_node = local;
    facts->cluster.nodes = (size + local - 1) / local;
    return local == size || links->net_pairs > 0;
}

/* What the cases of a bench have in common. */
struct shape {
    int64_t chunk;       /* rows of a prompt that go in one step */
    int64_t n_positions; /* of a sequence */
};

static enum tfr_status predict_case(struct tfr_bench_figure *figure, struct tfr_layout_question *question,
                                    const struct shape *shape) {
    const struct tfr_bench_case *what = &figure->what;
    const bool is_prompt = what->kind == TFR_BENCH_PREFILL, is_company = what->kind == TFR_BENCH_SEQUENCES;
    if (what->kind == TFR_BENCH_STEPS || what->kind == TFR_BENCH_MIXED || what->kind == TFR_BENCH_CLASS) {
        return TFR_OK; /* the formulas know of sequences that come and go, not of a step alone */
    }
    const struct tfr_layout_load load = {.prompt = is_prompt ? what->n : 1,
                                         .chunk = shape->chunk,
                                         .sequences = is_company ? what->n : 1,
                                         .context = is_company  ? tfr_bench_company_size(shape->n_positions).middle
                                                    : is_prompt ? 0
                                                                : what->n};
    struct tfr_layout_times times = {0};
    question->load = &load;
    TFR_TRY(tfr_layout_predict(question, &times));
    tfr_free(times.rank);
    figure->predicted_s = is_prompt    ? times.first_token_ns / 1e9
                          : is_company ? (double)what->n / times.tokens_per_s
                                       : times.token_ns / 1e9;
    return TFR_OK;
}

static enum tfr_status predict_cases(struct tfr_bench *bench, struct tfr_layout_question *question, const struct shape *shape) {
    for (size_t i = 0; i < bench->n_figures; i++) {
        TFR_TRY(predict_case(&bench->figures[i], question, shape));
    }
    return TFR_OK;
}

/* With the memory that all ranks of a node share, where all its threads were calibrated too. */
static enum tfr_status predict_dry(struct tfr_bench *bench, struct tfr_dry *dry, const struct tfr_calibration *calibration,
                                   struct tfr_layout_question *asked, const struct shape *shape) {
    const struct tfr_planner planner = tfr_dry_planner(dry);
    const struct tfr_layout_model model = tfr_layout_model_of(dry->config);
    struct tfr_piece_times pieces = {0};
    struct tfr_calibration node = {0};
    char path[256];
    bool has_node;
    TFR_TRY(tfr_dry_find_calibration(dry, dry->machine->n_cores, &node, &has_node, path, sizeof path));
    asked->model = &model;
    asked->ns = tfr_piece_times_ns;
    asked->user = &pieces;
    enum tfr_status status = tfr_piece_times_open(&pieces, &planner, calibration, has_node ? &node.roofs : NULL);
    status = status == TFR_OK ? predict_cases(bench, asked, shape) : status;
    status = status == TFR_OK ? pieces.status : status;
    asked->model = NULL;
    asked->user = NULL;
    tfr_piece_times_close(&pieces);
    tfr_calibration_free(&node);
    return status;
}

enum tfr_status tfr_bench_predict_ranks(struct tfr_bench *bench, const struct tfr_engine *engine,
                                        const struct tfr_calibration *calibration, const struct tfr_bench_question *question) {
    struct tfr_cluster_facts facts;
    struct tfr_dry dry;
    int *blocks = tfr_alloc((size_t)engine->placement.stages, sizeof *blocks);
    if (blocks == NULL || !take_cluster(&facts, engine, calibration)) {
        const enum tfr_status status = blocks != NULL ? TFR_OK : TFR_RESOURCE;
        tfr_free(blocks);
        return status;
    }
    const struct tfr_layout layout = tfr_layout_of_engine(engine, blocks);
    const struct shape shape = {.chunk = engine->chunk_rows, .n_positions = tfr_engine_n_positions(engine)};
    struct tfr_layout_question asked = {.layout = &layout, .cluster = &facts.cluster};
    enum tfr_status status = tfr_dry_open(&dry, question->config, question->overrides, question->n_overrides, 1);
    if (status == TFR_OK) {
        dry.threads = engine->threads;
        status = predict_dry(bench, &dry, calibration, &asked, &shape);
    }
    tfr_dry_close(&dry);
    tfr_free(blocks);
    return status;
}

/* piece_times.c - see piece_times.h. */
#include "rank/piece_times.h"

#include <math.h>
#include <string.h>

#include "base/status.h"
#include "predict/predict.h"

enum tfr_status tfr_piece_times_open(struct tfr_piece_times *times, const struct tfr_planner *planner,
                                     const struct tfr_calibration *calibration, const struct tfr_roofs *node) {
    struct tfr_plan *largest;
    *times = (struct tfr_piece_times){.planner = *planner, .calibration = calibration, .node = node};
    times->planner.orders = &times->orders;
    const int64_t most = planner->config->options.runtime_max_rows; /* the largest class fixes the orders, as in an engine */
    TFR_TRY(tfr_plan_step(&times->planner, most, most, &largest));
    tfr_plan_free(largest);
    return TFR_OK;
}

void tfr_piece_times_close(struct tfr_piece_times *times) {
    for (int i = 0; i < times->n_plans; i++) {
        tfr_plan_free(times->plans[i].plan);
    }
    times->n_plans = 0;
}

/* Every row is one of logits: who asks for blocks does not look at the head. */
static const struct tfr_plan *plan_for(struct tfr_piece_times *times, double rows) {
    const int64_t most = times->planner.config->options.runtime_max_rows;
    const int64_t class_rows = tfr_bucket((int64_t)fmin(ceil(rows), (double)most), most);
    for (int i = 0; i < times->n_plans; i++) {
        if (times->plans[i].rows == class_rows) {
            return times->plans[i].plan;
        }
    }
    struct tfr_plan *plan = NULL;
    if (times->status == TFR_OK && times->n_plans < TFR_PIECE_PLANS) {
        times->status = tfr_plan_step(&times->planner, class_rows, class_rows, &plan);
    }
    if (plan != NULL) {
        times->plans[times->n_plans].rows = class_rows;
        times->plans[times->n_plans++].plan = plan;
    }
    return plan;
}

static enum tfr_piece piece_of(const struct tfr_task *task) {
    if (task->layer >= 0) {
        return TFR_PIECE_BLOCK;
    }
    switch ((enum tfr_op)task->problem.op) {
    case TFR_OP_LAYER_NORM:
    case TFR_OP_GATHER_ROWS:
        return TFR_PIECE_NORM;
    case TFR_OP_LINEAR:
        return TFR_PIECE_HEAD;
    default:
        return TFR_PIECE_EMBED;
    }
}

static bool is_divided(const struct tfr_task *task) {
    const int op = task->problem.op;
    return op == TFR_OP_LINEAR || op == TFR_OP_ATTENTION || op == TFR_OP_KV_APPEND;
}

/* Bytes a second of a node's memory for one of `active` ranks, as a share of what a rank alone has. */
static double memory_share(const struct tfr_piece_times *times, double active, double set) {
    const struct tfr_machine *machine = times->planner.machine;
    const double threads = times->planner.n_threads;
    if (active <= 1) {
        return 1;
    }
    if (times->node != NULL) {
        const double together = fmin(threads * active, times->node->n_threads);
        const double alone = tfr_roof_bandwidth(times->node, (int)threads, set);
        return fmin(1, tfr_roof_bandwidth(times->node, (int)together, set) / active / alone);
    }
    const double alone = fmin(threads * machine->bytes_per_core, machine->bytes_total);
    return fmin(1, machine->bytes_total / active / alone);
}

static double task_ns(const struct tfr_piece_times *times, const struct tfr_plan *plan, int index,
                      const struct tfr_piece_question *question) {
    struct tfr_task_facts facts;
    struct tfr_task_prediction predicted;
    const struct tfr_step_facts step = {.rows = (int64_t)ceil(question->rows),
                                        .sequences = (int64_t)fmax(1, question->sequences),
                                        .past = (int64_t)question->past,
                                        .logits = (int64_t)ceil(question->rows)};
    tfr_task_facts_make(&facts, plan, index, &step);
    tfr_predict_task(times->calibration, &facts, &predicted);
    double ns = predicted.ns;
    if (predicted.bound == TFR_BOUND_MEMORY) {
        ns /= memory_share(times, question->active, facts.far_set);
    }
    return is_divided(&plan->tasks[index]) ? ns / fmax(1, question->shares) : ns;
}

/* So many floats once through the memory. */
static double read_ns(const struct tfr_piece_times *times, double rows, int64_t width) {
    const double bytes = (double)width * sizeof(float);
    const double rate = tfr_roof_bandwidth(&times->calibration->roofs, 1, bytes);
    return rate > 0 ? rows * bytes / rate * 1e9 : 0;
}

/* A plan of one rank has no such task. */
static double sum_ns(const struct tfr_piece_times *times, const struct tfr_piece_question *question) {
    const struct tfr_hparams *model = &times->planner.config->model;
    const int64_t rows = (int64_t)ceil(question->rows), most = times->planner.config->options.runtime_max_rows;
    return read_ns(times, question->rows, model->n_head * model->n_embd) / fmax(1, question->shares) +
           tfr_predict_between(times->calibration, tfr_bucket(rows < most ? rows : most, most), rows, 1);
}

static double sum(struct tfr_piece_times *times, const struct tfr_piece_question *question) {
    if (question->piece == TFR_PIECE_SAMPLE) {
        return read_ns(times, question->rows, times->planner.config->model.vocab_size);
    }
    if (question->piece == TFR_PIECE_SUM) {
        return sum_ns(times, question);
    }
    const struct tfr_plan *plan = plan_for(times, question->rows);
    double ns = 0;
    int n_tasks = 0;
    for (int i = 0; plan != NULL && i < plan->n_tasks; i++) {
        const struct tfr_task *task = &plan->tasks[i];
        if (piece_of(task) == question->piece && task->layer <= 0) { /* blocks are alike: the first stands for each */
            ns += task_ns(times, plan, i, question);
            n_tasks++;
        }
    }
    return plan == NULL ? 0 : ns + tfr_predict_between(times->calibration, plan->rows_max, (int64_t)ceil(question->rows), n_tasks);
}

static size_t hash(const struct tfr_piece_question *question) {
    const double mixed =
        question->rows * 31 + question->past * 7 + question->shares * 131 + question->active * 17 + question->sequences * 3;
    return ((size_t)mixed * TFR_N_PIECES + question->piece) % TFR_PIECE_ANSWERS;
}

static bool is_same(const struct tfr_piece_question *a, const struct tfr_piece_question *b) {
    return a->piece == b->piece && a->rows == b->rows && a->sequences == b->sequences && a->past == b->past &&
           a->shares == b->shares && a->active == b->active;
}

double tfr_piece_times_ns(const void *user, const struct tfr_piece_question *question) {
    struct tfr_piece_times *times = (struct tfr_piece_times *)user;
    struct tfr_piece_answer *kept = &times->answers[hash(question)];
    if (kept->ns <= 0 || !is_same(&kept->question, question)) {
        *kept = (struct tfr_piece_answer){.question = *question, .ns = sum(times, question)};
    }
    return kept->ns;
}

static double cached_bytes(const struct tfr_config *config) {
    const struct tfr_kvcache_spec spec = tfr_kv_spec(config, 1);
    return (double)tfr_kvcache_position_bytes(&spec);
}

struct tfr_layout_model tfr_layout_model_of(const struct tfr_config *config) {
    const struct tfr_hparams *model = &config->model;
    const enum tfr_dtype dtype = tfr_packed_dtype(config);
    return (struct tfr_layout_model){
        .has_one_sum = tfr_has_one_sum(&config->options),
        .n_embd = model->n_embd,
        .n_head = model->n_head,
        .vocabulary = model->vocab_size,
        .block_bytes = (double)tfr_packed_bytes(config, 1, 0, dtype),
        .embed_bytes = (double)((model->vocab_size + model->n_positions) * model->n_embd) * sizeof(float),
        .head_bytes = (double)tfr_packed_bytes(config, 0, model->vocab_size, dtype),
        .cached_bytes = cached_bytes(config),
    };
}

void tfr_model_work_of(struct tfr_model_work *work, const struct tfr_config *config, const struct tfr_rank_speed *speed) {
    enum { BLOCK_NODES = 8 }; /* two norms, four linears, appending to the cache, attention */
    const struct tfr_hparams *model = &config->model;
    const enum tfr_dtype dtype = tfr_packed_dtype(config);
    const double width = (double)model->n_embd, block = (double)tfr_packed_bytes(config, 1, 0, TFR_DTYPE_I8),
                 head = (double)model->vocab_size * width;
    *work = (struct tfr_model_work){.speed = *speed};
    work->piece[TFR_PIECE_EMBED] = (struct tfr_piece_work){.bytes_row = 3 * width * sizeof(float), .nodes = 1};
    work->piece[TFR_PIECE_BLOCK] = (struct tfr_piece_work){.bytes = (double)tfr_packed_bytes(config, 1, 0, dtype),
                                                           .bytes_cached = cached_bytes(config),
                                                           .flops_row = 2 * block,
                                                           .flops_cached = 4 * width,
                                                           .nodes = BLOCK_NODES};
    work->piece[TFR_PIECE_NORM] = (struct tfr_piece_work){.bytes_row = 2 * width * sizeof(float), .nodes = 1};
    work->piece[TFR_PIECE_HEAD] = (struct tfr_piece_work){
        .bytes = (double)tfr_packed_bytes(config, 0, model->vocab_size, dtype), .flops_row = 2 * head, .nodes = 1};
    work->piece[TFR_PIECE_SUM] = (struct tfr_piece_work){.bytes_row = (double)model->n_head * width * sizeof(float), .nodes = 1};
    work->piece[TFR_PIECE_SAMPLE] = (struct tfr_piece_work){.bytes_row = (double)model->vocab_size * sizeof(float)};
}

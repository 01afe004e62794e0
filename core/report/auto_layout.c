/* auto_layout.c - see auto_layout.h. */
#include "report/auto_layout.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/plural.h"
#include "base/status.h"
#include "rank/layout_list.h"
#include "rank/stage_costs.h"
#include "report/layout_facts.h"

enum { SEQUENCES = 8, CONTEXT = 128 };

_Static_assert((int)TFR_AIM_LATENCY == (int)TFR_GOAL_LATENCY && (int)TFR_AIM_THROUGHPUT == (int)TFR_GOAL_THROUGHPUT,
               "goals are named alike");

struct chooser {
    const struct tfr_auto_question *question;
    struct tfr_layout_facts facts;
    struct tfr_layout_load load;
    struct tfr_layout_list list;
    struct tfr_layout_times times[TFR_MOST_LAYOUTS];
    char against[TFR_MOST_LAYOUTS][160]; /* the reason for which one is not looked at, or "" */
    int best;
};

/* As many sequences as the config has prompts, or some that a server may have. */
static void take_load(struct chooser *chooser) {
    const struct tfr_config *config = chooser->question->config;
    const struct tfr_options *options = &config->options;
    const int64_t wanted = options->input_prompts.n > 0 ? (int64_t)options->input_prompts.n : SEQUENCES;
    const int64_t positions = config->model.n_positions;
    chooser->load = (struct tfr_layout_load){
        .prompt = tfr_common_prompt(config),
        .chunk = tfr_common_piece(config),
        .sequences = wanted < options->runtime_max_batch ? wanted : options->runtime_max_batch,
        .context = positions - 1 < CONTEXT ? positions - 1 : CONTEXT,
        .tokens = options->sampling_max_tokens,
    };
}

/* What the order of additions by heads, which shards bring along, goes against. */
static const char *against_shards(const struct tfr_config *config) {
    const struct tfr_options *options = &config->options;
    return !options->runtime_deterministic                     ? "runtime.deterministic = false keeps no order of sums"
           : config->model.n_inner % config->model.n_head != 0 ? "n_head does not divide n_inner"
           : config->model.output_attentions                   ? "output_attentions wants weights of all heads"
           : options->runtime_sums == TFR_SUMS_PLAIN && !tfr_config_is_default(config, "runtime.sums") ? "--sums plain"
                                                                                                       : NULL;
}

/* Why a layout is not to be taken, "" where it may be. */
static void weigh_against(const struct tfr_config *config, const struct tfr_listed_layout *item, char *text, size_t size) {
    const struct tfr_layout *layout = &item->layout;
    const struct tfr_options *options = &config->options;
    const char *shards = layout->tensor > 1 ? against_shards(config) : NULL;
    text[0] = '\0';
    if (item->refusal[0] != '\0' || !item->can_run) {
        snprintf(text, size, "%s", item->refusal[0] != '\0' ? item->refusal : item->note);
    } else if (!tfr_config_is_default(config, "parallel.replicas") && layout->replicas != options->parallel_replicas) {
        snprintf(text, size, "--replicas %lld", (long long)options->parallel_replicas);
    } else if (!tfr_config_is_default(config, "parallel.head") && (int)layout->head != (int)options->parallel_head) {
        snprintf(text, size, "--head %s", tfr_choice_name("parallel.head", (int)options->parallel_head));
    } else if (!tfr_config_is_default(config, "parallel.tensor") && layout->tensor != options->parallel_tensor) {
        snprintf(text, size, "--tensor %lld", (long long)options->parallel_tensor);
    } else if (layout->head != TFR_PLACE_FIRST && !tfr_head_has_vocabulary((int)config->model.head)) {
        snprintf(text, size, "%s has no vocabulary to place", tfr_head_class(config->model.head));
    } else if (shards != NULL) {
        snprintf(text, size, "%s", shards);
    }
}

static enum tfr_status predict_all(struct chooser *chooser) {
    const struct tfr_config *config = chooser->question->config;
    const struct tfr_layout wish = {.groups = (int)config->options.parallel_microbatches};
    struct tfr_layout_load load = chooser->load;
    struct tfr_layout_question question = tfr_layout_facts_ask(&chooser->facts, &wish, &load);
    TFR_TRY(tfr_layout_list_make(&chooser->list, &question, config->model.n_layer, chooser->question->n_ranks));
    for (int i = 0; i < chooser->list.n; i++) {
        const struct tfr_listed_layout *item = &chooser->list.item[i];
        weigh_against(config, item, chooser->against[i], sizeof chooser->against[i]);
        if (chooser->against[i][0] == '\0') {
            load.chunk = tfr_layout_piece(config, item->layout.stages, item->layout.tensor, question.cluster->ranks_per_node);
            question.layout = &item->layout;
            TFR_TRY(tfr_layout_predict(&question, &chooser->times[i]));
        }
    }
    return chooser->facts.pieces.status;
}

static int best_of(const struct chooser *chooser) {
    const int goal = (int)chooser->question->config->options.parallel_goal;
    int best = -1;
    for (int i = 0; i < chooser->list.n; i++) {
        const bool may_be = chooser->against[i][0] == '\0';
        best = may_be && (best < 0 || tfr_layout_is_better(goal, &chooser->times[i], &chooser->times[best])) ? i : best;
    }
    return best;
}

/* Whether kernels serve the layout that the options name: some add in an order of their own, which can't be shared. Rank 0 has a
 * part of all that is. */
static enum tfr_status plan_rank_0(const struct tfr_auto_question *question) {
    const struct tfr_config *config = question->config;
    struct tfr_placement placement = {0};
    struct tfr_table_types tables;
    struct tfr_order_book orders = {0};
    const struct tfr_planner planner = {.config = config,
                                        .tables = &tables,
                                        .machine = question->machine,
                                        .registry = question->registry,
                                        .orders = &orders,
                                        .placement = &placement,
                                        .n_threads = question->threads->n_threads,
                                        .context = -1,
                                        .features = {.attention = config->options.runtime_attn}};
    const int64_t rows = config->options.runtime_max_rows;
    struct tfr_plan *plan = NULL;
    TFR_TRY(tfr_model_table_types(config, tfr_table_dtype(config), &tables));
    enum tfr_status status = tfr_engine_place(config, question->machine, question->registry, question->n_ranks, &placement);
    status = status == TFR_OK ? tfr_plan_step(&planner, rows, rows, &plan) : status;
    tfr_plan_free(plan);
    tfr_placement_close(&placement);
    return status;
}

static void take(struct tfr_options *options, const struct tfr_listed_layout *item) {
    options->parallel_split = item->split;
    options->parallel_head = (int)item->layout.head;
    options->parallel_tensor = item->layout.tensor;
    options->parallel_replicas = item->layout.replicas;
}

/* The best one that kernels serve. */
static enum tfr_status take_best(struct chooser *chooser) {
    struct tfr_options *options = &chooser->question->config->options;
    const struct tfr_options given = *options;
    while ((chooser->best = best_of(chooser)) >= 0) {
        take(options, &chooser->list.item[chooser->best]);
        const enum tfr_status status = plan_rank_0(chooser->question);
        if (status == TFR_OK || status == TFR_RESOURCE) {
            return status;
        }
        *options = given;
        snprintf(chooser->against[chooser->best], sizeof chooser->against[0], "%s", tfr_failure_text());
    }
    return tfr_raise(TFR_USAGE,
                     "%s: of the layouts that tfrun.parallel.split = auto compares on %d ranks none goes with the other options "
                     "(%s: %s); leave one of these out, or name a --split",
                     chooser->question->config->path, chooser->question->n_ranks, chooser->list.item[0].name, chooser->against[0]);
}

static void tell_one(const struct chooser *chooser, int i, char *told) {
    const bool by_rate = chooser->question->config->options.parallel_goal == TFR_AIM_THROUGHPUT;
    const struct tfr_listed_layout *item = &chooser->list.item[i];
    const struct tfr_layout_times *times = &chooser->times[i];
    const size_t used = strlen(told);
    const char *between = i == chooser->best ? "" : ", ";
    if (chooser->against[i][0] != '\0') {
        snprintf(told + used, TFR_TOLD_SIZE - used, "%snot %s (%s)", between, item->name, chooser->against[i]);
    } else {
        const double value = by_rate ? times->tokens_per_s : times->token_ns / 1e6;
        snprintf(told + used, TFR_TOLD_SIZE - used, "%s%s %.4g %s, first token %.4g ms", between, item->name, value,
                 by_rate ? "tokens/s" : "ms a token", times->first_token_ns / 1e6);
    }
}

static void tell(const struct chooser *chooser, char *told) {
    const struct tfr_options *options = &chooser->question->config->options;
    const struct tfr_listed_layout *taken = &chooser->list.item[chooser->best];
    snprintf(told, TFR_TOLD_SIZE, "--split auto for %s took %s, predicted by %s for %lld sequence%s: ",
             tfr_choice_name("parallel.goal", (int)options->parallel_goal), taken->flags,
             chooser->facts.is_measured ? "the calibration" : "nominal peaks", (long long)chooser->load.sequences,
             tfr_plural(chooser->load.sequences));
    tell_one(chooser, chooser->best, told);
    snprintf(told + strlen(told), TFR_TOLD_SIZE - strlen(told), "; against");
    for (int i = 0, n = 0; i < chooser->list.n; i++) {
        const size_t used = strlen(told);
        if (i != chooser->best && n++ == 0) {
            tell_one(chooser, i, told);
            memmove(told + used, told + used + 1, strlen(told + used)); /* no comma before the first */
        } else if (i != chooser->best) {
            tell_one(chooser, i, told);
        }
    }
}

static enum tfr_status choose(struct chooser *chooser, char *told) {
    const struct tfr_auto_question *question = chooser->question;
    take_load(chooser);
    TFR_TRY(tfr_layout_facts_open(&chooser->facts, question->config, question->machine, question->registry, question->threads,
                                  question->ranks_per_node));
    TFR_TRY(predict_all(chooser));
    TFR_TRY(take_best(chooser));
    tell(chooser, told);
    return TFR_OK;
}

/* A third of a small model on one of the ranks that share it makes the others wait. */
static enum tfr_status bring_split_head(const struct tfr_auto_question *question) {
    struct tfr_options *options = &question->config->options;
    options->parallel_head = TFR_HEAD_AT_SPLIT;
    const enum tfr_status status = plan_rank_0(question);
    if (status != TFR_OK) {
        options->parallel_head = TFR_HEAD_AT_FIRST;
    }
    return status == TFR_RESOURCE ? status : TFR_OK;
}

enum tfr_status tfr_auto_check(struct tfr_config *config, int n_ranks) {
    struct tfr_options *options = &config->options;
    char said[256];
    tfr_option_said(config, "parallel.goal", tfr_choice_name("parallel.goal", (int)options->parallel_goal), said, sizeof said);
    if (options->parallel_split != TFR_SPLIT_AUTO && !tfr_config_is_default(config, "parallel.goal")) {
        return tfr_config_blame(config, "parallel.goal",
                                tfr_raise(TFR_CONFIG,
                                          "%s: the goal is what tfrun.parallel.split = auto aims at, and the split is %s; give "
                                          "--split auto too, or leave --goal out",
                                          said, tfr_choice_name("parallel.split", (int)options->parallel_split)));
    }
    if (options->parallel_split == TFR_SPLIT_AUTO && config->device_map.n_blocks > 0) {
        return tfr_config_blame(config, "parallel.split",
                                tfr_raise(TFR_CONFIG,
                                          "%s: tfrun.parallel.device_map says which rank has which block, and "
                                          "tfrun.parallel.split = auto chooses; leave one out",
                                          config->path));
    }
    if (n_ranks == 1 && options->parallel_split == TFR_SPLIT_AUTO) {
        options->parallel_split = TFR_SPLIT_BALANCED;
    }
    return TFR_OK;
}

enum tfr_status tfr_auto_layout(const struct tfr_auto_question *question, char *told) {
    struct tfr_options *options = &question->config->options;
    enum tfr_status status = tfr_auto_check(question->config, question->n_ranks);
    told[0] = '\0';
    if (status == TFR_OK && options->parallel_split == TFR_SPLIT_AUTO) {
        struct chooser *chooser = tfr_alloc(1, sizeof *chooser);
        if (chooser == NULL) {
            return TFR_RESOURCE;
        }
        chooser->question = question;
        status = choose(chooser, told);
        for (int i = 0; i < chooser->list.n; i++) {
            tfr_free(chooser->times[i].rank);
        }
        tfr_layout_list_free(&chooser->list);
        tfr_layout_facts_close(&chooser->facts);
        tfr_free(chooser);
    } else if (status == TFR_OK && options->parallel_tensor > 1 && tfr_config_is_default(question->config, "parallel.head") &&
               tfr_head_has_vocabulary((int)question->config->model.head)) {
        status = bring_split_head(question);
    }
    return status;
}

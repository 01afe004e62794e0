/* owners.c - which rank owns which block: the user's device_map, Hugging Face's rule, or the balance of predicted times. */
#include "rank/rank.h"

#include <stdio.h>

#include "base/plural.h"
#include "base/status.h"
#include "mpi/partition.h"
#include "rank/stage_costs.h"
#include "rank/step_run.h"

/* By what stages are to take: see stage_costs.h. A split head weighs on all alike. */
static enum tfr_status split_by_cost(const struct tfr_config *config, const struct tfr_machine *machine,
                                     const struct tfr_registry *registry, int n_stages, int *stage) {
    const int64_t head = config->options.parallel_head;
    struct tfr_stage_costs costs;
    TFR_TRY(tfr_stage_costs_open(&costs, config, machine, registry));
    const double first = costs.first + (head == TFR_HEAD_AT_FIRST ? costs.head : 0);
    const double last = costs.last + (head == TFR_HEAD_AT_LAST ? costs.head : 0);
    const enum tfr_status status = tfr_partition_balanced(costs.block, config->model.n_layer, first, last, n_stages, stage);
    tfr_stage_costs_close(&costs);
    return status;
}

/* "are 4 ranks", or "are 4 ranks in 2 stages" where a device of the map is one. */
static const char *describe_devices(const struct tfr_placement *placement, char *text, size_t size) {
    const int n_ranks = placement->n_ranks;
    const int n = snprintf(text, size, "%s %d rank%s", n_ranks == 1 ? "is" : "are", n_ranks, tfr_plural(n_ranks));
    if (placement->stages < n_ranks && n > 0 && (size_t)n < size) {
        snprintf(text + n, size - (size_t)n, " in %d stage%s (--tensor, --replicas)", placement->stages,
                 tfr_plural(placement->stages));
    }
    return text;
}

static enum tfr_status take_map(const struct tfr_config *config, const struct tfr_placement *placement, int *owner) {
    const struct tfr_device_map *map = &config->device_map;
    const int of_stage = placement->tensor * placement->replicas;
    bool names_first = false;
    char devices[96];
    for (int64_t i = 0; i < map->n_blocks; i++) {
        owner[i] = map->rank_of_block[i];
        names_first |= owner[i] == 0;
        if (owner[i] >= placement->stages) {
            const int64_t least = ((int64_t)owner[i] + 1) * of_stage;
            return tfr_raise(TFR_CONFIG,
                             "%s: tfrun.parallel.device_map gives block %lld to device %d, but there %s; start at "
                             "least %lld (mpirun -n %lld) or change the map",
                             config->path, (long long)i, owner[i], describe_devices(placement, devices, sizeof devices),
                             (long long)least, (long long)least);
        }
    }
    if (!names_first) {
        return tfr_raise(TFR_CONFIG,
                         "%s: tfrun.parallel.device_map has no device 0, which holds the embeddings and lm_head; "
                         "number the devices from 0",
                         config->path);
    }
    return TFR_OK;
}

/* ln_f stands on the last device that has blocks, as Hugging Face's parallelize puts it. */
static int last_owner(const int *owner, int64_t n_layer) {
    int last = 0;
    for (int64_t i = 0; i < n_layer; i++) {
        last = owner[i] > last ? owner[i] : last;
    }
    return last;
}

_Static_assert((int)TFR_PLACE_FIRST == (int)TFR_HEAD_AT_FIRST && (int)TFR_PLACE_LAST == (int)TFR_HEAD_AT_LAST &&
                   (int)TFR_PLACE_SPLIT == (int)TFR_HEAD_AT_SPLIT,
               "placements are named alike");

enum tfr_status tfr_check_head_place(const struct tfr_config *config, int n_ranks) {
    const int place = config->options.parallel_head, head = config->model.head;
    if (n_ranks == 1 || place == TFR_HEAD_AT_FIRST || tfr_head_has_vocabulary(head)) {
        return TFR_OK;
    }
    return tfr_raise(
        TFR_CONFIG,
        "%s: tfrun.parallel.head is %s, but %s has no vocabulary to place: what it has of a head are a few columns, which stay "
        "on rank 0; leave --head out",
        config->path, tfr_choice_name("parallel.head", place), tfr_head_class(head));
}

/* So many columns of f32 are one message, which MPI counts in bytes by an int: rows of it at most. */
static int64_t most_rows(int64_t columns) {
    return INT32_MAX / (columns * (int64_t)sizeof(float));
}

static enum tfr_status check_rows_message(const struct tfr_config *config, const struct tfr_placement *placement) {
    const int64_t columns = config->model.n_embd, rows = most_rows(columns), asked = config->options.runtime_max_rows;
    return asked <= rows || tfr_placement_n_shares(placement) == 1
               ? TFR_OK
               : tfr_raise(TFR_CONFIG,
                           "%s: a rank sends the rows of a step in one message, of %lld columns at most %lld rows, and "
                           "tfrun.runtime.max_rows is %lld; give --max-rows %lld or less",
                           config->path, (long long)columns, (long long)rows, (long long)asked, (long long)rows);
}

static enum tfr_status check_logits_message(const struct tfr_config *config, const struct tfr_placement *placement) {
    int64_t most = 0;
    for (int rank = 1; rank < tfr_placement_n_shares(placement); rank++) {
        int64_t first, n;
        tfr_placement_vocabulary(placement, rank, config->model.vocab_size, &first, &n);
        most = n > most ? n : most;
    }
    const int64_t rows = most > 0 ? most_rows(most) : INT64_MAX, asked = config->options.runtime_max_rows;
    return asked <= rows
               ? TFR_OK
               : tfr_raise(TFR_CONFIG,
                           "%s: with tfrun.parallel.head = %s a rank sends the logits of a step in one message, of %lld columns "
                           "at most %lld rows, and tfrun.runtime.max_rows is %lld; give --max-rows %lld or less, or --head first",
                           config->path, tfr_choice_name("parallel.head", config->options.parallel_head), (long long)most,
                           (long long)rows, (long long)asked, (long long)rows);
}

/* "--tensor 2", or the key of the file. */
static const char *said(const struct tfr_config *config, const char *key, int64_t value, char *text, size_t size) {
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)value);
    return tfr_option_said(config, key, number, text, size);
}

/* Groups of sequences are of one replica. */
static enum tfr_status check_groups(const struct tfr_config *config) {
    const int64_t replicas = config->options.parallel_replicas, groups = config->options.parallel_microbatches;
    char text[256];
    if (replicas * groups <= TFR_ALL_GROUPS) {
        return TFR_OK;
    }
    return tfr_raise(
        TFR_USAGE,
        "%s: so many groups in each of %lld replicas are more than the %d that there may be in all; give --microbatches "
        "%lld or less, or fewer --replicas",
        said(config, "parallel.microbatches", groups, text, sizeof text), (long long)replicas, TFR_ALL_GROUPS,
        (long long)(TFR_ALL_GROUPS / replicas));
}

/* Replicas of stages of `tensor` ranks each. */
static enum tfr_status count_stages(const struct tfr_config *config, int n_ranks, struct tfr_placement *placement) {
    const int tensor = (int)config->options.parallel_tensor, replicas = (int)config->options.parallel_replicas;
    char text[256];
    if (n_ranks % replicas != 0) {
        return tfr_raise(TFR_USAGE,
                         "%s: so many groups have equal numbers of ranks, and %d rank%s cannot be dealt so; start %d or a multiple "
                         "(--ranks %d, or mpirun -n %d), or take another --replicas",
                         said(config, "parallel.replicas", replicas, text, sizeof text), n_ranks, tfr_plural(n_ranks),
                         replicas * tensor, replicas * tensor, replicas * tensor);
    }
    const int of_replica = n_ranks / replicas;
    if (of_replica % tensor != 0) {
        return tfr_raise(
            TFR_USAGE,
            "%s: so many ranks share a stage, and %d rank%s%s %s no whole stages; start %d or a multiple (--ranks %d, or "
            "mpirun -n %d), or take another --tensor",
            said(config, "parallel.tensor", tensor, text, sizeof text), of_replica, tfr_plural(of_replica),
            replicas > 1 ? " of a replica" : "", of_replica == 1 ? "is" : "are", replicas * tensor, replicas * tensor,
            replicas * tensor);
    }
    TFR_TRY(check_groups(config));
    placement->replicas = replicas;
    placement->tensor = tensor;
    placement->stages = of_replica / tensor;
    return TFR_OK;
}

enum tfr_status tfr_engine_place(const struct tfr_config *config, const struct tfr_machine *machine,
                                 const struct tfr_registry *registry, int n_ranks, struct tfr_placement *placement) {
    const int64_t n_layer = config->model.n_layer;
    TFR_TRY(tfr_placement_open(placement, n_layer, n_ranks));
    TFR_TRY(count_stages(config, n_ranks, placement));
    int *stage = placement->stage_of_block;
    if (config->device_map.n_blocks > 0) {
        TFR_TRY(take_map(config, placement, stage));
    } else if (placement->stages > 1 && config->options.parallel_split != TFR_SPLIT_HF) {
        TFR_TRY(split_by_cost(config, machine, registry, placement->stages, stage));
    } else {
        tfr_partition_hf(n_layer, placement->stages, stage);
    }
    placement->head = (enum tfr_head_place)config->options.parallel_head;
    placement->last_stage = last_owner(stage, n_layer);
    TFR_TRY(tfr_check_head_place(config, n_ranks));
    TFR_TRY(check_rows_message(config, placement));
    return check_logits_message(config, placement);
}

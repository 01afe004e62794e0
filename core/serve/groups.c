/* groups.c - forms groups, begins and finishes their rounds: see groups.h. */
#include "serve/groups.h"

#include "base/arena.h"
#include "base/status.h"

static const double as_good = 1.03; /* predicted times that are so near say nothing */

static enum tfr_status open_group(struct tfr_group *group, struct tfr_engine *engine) {
    group->members = tfr_alloc((size_t)engine->max_batch, sizeof(struct tfr_continuation *));
    return group->members != NULL ? tfr_round_open(&group->round, engine) : TFR_RESOURCE;
}

static enum tfr_status predict(struct tfr_groups *groups, const struct tfr_engine *engine) {
    for (int64_t rows = 1; groups->n_sizes < TFR_GROUP_SIZES && rows <= engine->max_rows; rows *= 2) {
        struct tfr_group_time *time = &groups->time[groups->n_sizes++];
        TFR_TRY(tfr_engine_stage_times(engine, rows, &time->all_ns, &time->most_ns));
    }
    return TFR_OK;
}

enum tfr_status tfr_groups_open(struct tfr_groups *groups, struct tfr_engine *engine) {
    const int64_t asked = engine->config->options.parallel_microbatches, stages = engine->placement.stages;
    const int64_t wished = asked > 0 ? asked : stages < TFR_MOST_GROUPS ? stages : TFR_MOST_GROUPS;
    const int64_t replicas = engine->placement.replicas, most = TFR_ALL_GROUPS / replicas, each = wished < most ? wished : most;
    const int64_t n = replicas * each;
    *groups = (struct tfr_groups){
        .group = tfr_alloc((size_t)n, sizeof *groups->group), .of_replica = (int)each, .replicas = (int)replicas};
    enum tfr_status status = groups->group != NULL ? TFR_OK : TFR_RESOURCE;
    if (status == TFR_OK) {
        status = tfr_sampler_open(&groups->sampler, &engine->params->pipeline, 0, engine->config->model.vocab_size);
    }
    status = status == TFR_OK && asked == 0 && each > 1 ? predict(groups, engine) : status;
    while (status == TFR_OK && groups->n < n) {
        status = open_group(&groups->group[groups->n++], engine);
    }
    if (status != TFR_OK) {
        tfr_groups_close(groups);
    }
    return status;
}

void tfr_groups_close(struct tfr_groups *groups) {
    for (int i = 0; i < groups->n; i++) {
        tfr_round_close(&groups->group[i].round);
        tfr_free(groups->group[i].members);
    }
    tfr_sampler_close(&groups->sampler);
    tfr_free(groups->group);
    *groups = (struct tfr_groups){0};
}

static struct tfr_group *free_group(struct tfr_groups *groups, int32_t replica, int most) {
    struct tfr_group *found = NULL;
    int n_begun = 0;
    for (int i = 0; i < groups->n; i++) {
        n_begun += groups->group[i].turn > 0 && groups->group[i].replica == replica;
        found = groups->group[i].turn == 0 ? &groups->group[i] : found;
    }
    return n_begun < most ? found : NULL;
}

/* Those of its replica that come next, as many as make up a share of all their sequences. */
static void form(struct tfr_group *group, struct tfr_continuation *const *list, size_t n, int64_t share) {
    int64_t slots = 0;
    group->n = 0;
    for (size_t i = 0; i < n && slots < share; i++) {
        if (!list[i]->in_group && list[i]->replica == group->replica) {
            slots += tfr_continuation_slots(list[i]);
            list[i]->in_group = true;
            group->members[group->n++] = list[i];
        }
    }
}

/* A group passes all stages, and the longest stage serves all groups. */
static double round_ns(const struct tfr_groups *groups, int n_groups, int64_t slots) {
    const int64_t share = (slots + n_groups - 1) / n_groups;
    int size = 0;
    while (size + 1 < groups->n_sizes && (INT64_C(1) << size) < share) {
        size++;
    }
    const struct tfr_group_time *time = &groups->time[size];
    return time->all_ns > n_groups * time->most_ns ? time->all_ns : n_groups * time->most_ns;
}

int tfr_groups_wanted(const struct tfr_groups *groups, size_t n, int64_t slots) {
    const int most = n < (size_t)groups->of_replica ? (int)n : groups->of_replica;
    double least_ns = 0;
    int wanted = most;
    for (int i = 1; i <= most && groups->n_sizes > 0; i++) {
        const double ns = round_ns(groups, i, slots);
        least_ns = i == 1 || ns < least_ns ? ns : least_ns;
    }
    while (wanted > 1 && groups->n_sizes > 0 && round_ns(groups, wanted, slots) > as_good * least_ns) {
        wanted--;
    }
    return wanted;
}

static void begin_of(struct tfr_groups *groups, int32_t replica, struct tfr_continuation *const *list, size_t n,
                     int64_t (*budget)(void *user, const struct tfr_round_counts *counts), void *user) {
    int64_t slots = 0;
    size_t members = 0;
    for (size_t i = 0; i < n; i++) {
        const bool is_member = list[i]->replica == replica;
        members += is_member;
        slots += is_member ? tfr_continuation_slots(list[i]) : 0;
    }
    const int most = tfr_groups_wanted(groups, members, slots);
    for (struct tfr_group *group; (group = free_group(groups, replica, most)) != NULL;) {
        group->replica = replica;
        form(group, list, n, (slots + most - 1) / most);
        if (group->n == 0) {
            return;
        }
        group->round.budget = budget;
        group->round.budget_user = user;
        group->turn = ++groups->turns;
        tfr_round_begin(&group->round, group->members, group->n, &group->counts);
    }
}

/* Rank 0 computes its part when a step begins, so its own replica comes last. */
void tfr_groups_begin(struct tfr_groups *groups, struct tfr_continuation *const *list, size_t n,
                      int64_t (*budget)(void *user, const struct tfr_round_counts *counts), void *user) {
    for (int32_t replica = groups->replicas - 1; replica >= 0; replica--) {
        begin_of(groups, replica, list, n, budget, user);
    }
}

static struct tfr_group *oldest_group(struct tfr_groups *groups) {
    struct tfr_group *oldest = NULL;
    for (int i = 0; i < groups->n; i++) {
        struct tfr_group *group = &groups->group[i];
        oldest = group->turn > 0 && (oldest == NULL || group->turn < oldest->turn) ? group : oldest;
    }
    return oldest;
}

const struct tfr_round_counts *tfr_groups_finish(struct tfr_groups *groups) {
    struct tfr_group *group = oldest_group(groups);
    if (group == NULL) {
        return NULL;
    }
    tfr_round_finish(&group->round);
    for (size_t i = 0; i < group->n; i++) {
        group->members[i]->in_group = false;
    }
    group->turn = 0;
    return &group->counts;
}

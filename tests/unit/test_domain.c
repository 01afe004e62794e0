/* test_domain.c - ranks and NUMA domains: which cores each takes, where its memory comes from, and that the system is asked for
 * just that. Machines are made up; the calls are counted in place of the system's. */
#include "topo/domain.h"

#include <stdlib.h>

#include "base/status.h"
#include "exec/kvcache.h"
#include "team/team.h"
#include "tfr_test.h"
#include "topo/topo_internal.h"

enum { MAX_CORES = 64, MAX_THREADS = 16 };

/* Cores of each domain in turn, up to a 0; core i is pu i. */
static struct tfr_machine machine_of(struct tfr_core *cores, const int *sizes) {
    struct tfr_machine machine = {.host_name = "node", .cores = cores, .n_packages = 1};
    for (int d = 0; sizes[d] > 0; d++) {
        for (int i = 0; i < sizes[d]; i++) {
            const int at = machine.n_cores++;
            cores[at] = (struct tfr_core){.pu = at, .core = at, .numa = d};
        }
        machine.n_numa++;
    }
    machine.n_pus_online = machine.n_cores;
    return machine;
}

struct chunk_case {
    int sizes[5], n_ranks;
    int n_cores[9]; /* of each rank */
};

static const struct chunk_case chunk_cases[] = {
    {{4, 4}, 1, {8}},          {{4, 4}, 2, {4, 4}},
    {{3, 4}, 2, {3, 4}},       /* without domains the first would take one of the second */
    {{3, 3}, 4, {2, 1, 2, 1}}, /* two in each, where the order of the cores gives 2, 2, 1, 1 */
    {{2, 2, 2, 2}, 2, {4, 4}}, /* two domains each */
    {{4, 3, 4, 3}, 2, {7, 7}}, /* as even, whole domains */
    {{7, 1}, 2, {4, 4}},       /* by domain one rank would be seven times as fast: by cores */
    {{4, 4}, 3, {3, 3, 2}},    /* doctor tells of it */
    {{1, 1}, 4, {1, 1, 1, 1}}, /* more ranks than cores */
    {{8}, 3, {3, 3, 2}},       /* one domain */
};

TFR_TEST(ranks_take_whole_domains_where_they_come_out_even) {
    TFR_UNUSED_STATE;
    for (size_t i = 0; i < TFR_COUNT_OF(chunk_cases); i++) {
        const struct chunk_case *c = &chunk_cases[i];
        struct tfr_core cores[MAX_CORES];
        const struct tfr_machine machine = machine_of(cores, c->sizes);
        int next = 0;
        for (int rank = 0; rank < c->n_ranks; rank++) {
            struct tfr_thread_choice choice;
            assert_ok(tfr_machine_choose_threads(&machine, 0, rank, c->n_ranks, &choice));
            if (choice.n_cores != c->n_cores[rank] || (c->n_ranks <= machine.n_cores && choice.first_core != next)) {
                fail_msg("case %zu, rank %d: %d cores from %d", i, rank, choice.n_cores, choice.first_core);
            }
            next += choice.n_cores;
        }
    }
}

/* What the system was asked for. */
static struct {
    int n_prefer, n_back, n_spread, n_spread_block;
    uint64_t preferred[MAX_THREADS], spread;
    bool is_taken, refuses;
} asked;

static const struct tfr_memory_policy taken = {.mode = 2, .domains = {{1}}}; /* bind, which only others ask for */

static bool count_read(struct tfr_memory_policy *policy) {
    *policy = asked.is_taken ? taken : (struct tfr_memory_policy){.mode = TFR_POLICY_NONE};
    return true;
}

static bool count_write(const struct tfr_memory_policy *policy) {
    if (policy->mode == (asked.is_taken ? taken.mode : TFR_POLICY_NONE)) {
        __atomic_fetch_add(&asked.n_back, 1, __ATOMIC_RELAXED);
        return true;
    }
    if (policy->mode == TFR_POLICY_SPREAD) {
        __atomic_fetch_add(&asked.n_spread, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&asked.spread, policy->domains.word[0], __ATOMIC_RELAXED);
        return !asked.refuses;
    }
    assert_int_equal(policy->mode, TFR_POLICY_PREFER);
    asked.preferred[__atomic_fetch_add(&asked.n_prefer, 1, __ATOMIC_RELAXED)] = policy->domains.word[0];
    return !asked.refuses;
}

static bool count_spread_block(void *data, size_t bytes, const struct tfr_domains *domains) {
    assert_non_null(data);
    assert_true(bytes > 0);
    asked.n_spread_block++;
    asked.spread = domains->word[0];
    return !asked.refuses;
}

static const struct tfr_memory_calls counting = {count_read, count_write, count_spread_block};

struct memory_case {
    const char *name;
    int sizes[5], rank, n_ranks, asked;
    enum tfr_bind bind;
    enum tfr_memory_rule rule;
    enum tfr_memory_way way;
    uint64_t domains; /* as bits */
    const char *words;
};

static const struct memory_case memory_cases[] = {
    {"one domain", {8}, 0, 1, 0, TFR_BIND_COMPACT, TFR_MEMORY_AUTO, TFR_MEMORY_AS_IS, 0, ""},
    {"one domain, asked", {8}, 0, 1, 0, TFR_BIND_COMPACT, TFR_MEMORY_INTERLEAVE, TFR_MEMORY_AS_IS, 0, ""},
    {"a rank a domain", {4, 4}, 1, 2, 0, TFR_BIND_COMPACT, TFR_MEMORY_AUTO, TFR_MEMORY_OWN, 2, "NUMA domain 1"},
    {"one rank", {4, 4}, 0, 1, 0, TFR_BIND_COMPACT, TFR_MEMORY_AUTO, TFR_MEMORY_OWN, 3, "each thread's own NUMA domain: 0 1"},
    {"two domains a rank",
     {2, 2, 2, 2},
     1,
     2,
     0,
     TFR_BIND_COMPACT,
     TFR_MEMORY_LOCAL,
     TFR_MEMORY_OWN,
     12,
     "each thread's own NUMA domain: 2 3"},
    {"two threads next to each other", {4, 4}, 0, 1, 2, TFR_BIND_COMPACT, TFR_MEMORY_AUTO, TFR_MEMORY_OWN, 1, "NUMA domain 0"},
    {"two threads far apart",
     {4, 4},
     0,
     1,
     2,
     TFR_BIND_SCATTER,
     TFR_MEMORY_AUTO,
     TFR_MEMORY_OWN,
     3,
     "each thread's own NUMA domain: 0 1"},
    {"free threads", {4, 4}, 1, 2, 0, TFR_BIND_NONE, TFR_MEMORY_AUTO, TFR_MEMORY_SPREAD, 3, "NUMA domains in turn: 0 1"},
    {"free threads, local",
     {4, 4},
     0,
     1,
     0,
     TFR_BIND_NONE,
     TFR_MEMORY_LOCAL,
     TFR_MEMORY_OWN,
     3,
     "each thread's own NUMA domain: 0 1"},
    {"interleaved by wish",
     {4, 4},
     0,
     1,
     0,
     TFR_BIND_COMPACT,
     TFR_MEMORY_INTERLEAVE,
     TFR_MEMORY_SPREAD,
     3,
     "NUMA domains in turn: 0 1"},
    {"a rank's own, interleaved",
     {2, 2, 2, 2},
     0,
     2,
     0,
     TFR_BIND_COMPACT,
     TFR_MEMORY_INTERLEAVE,
     TFR_MEMORY_SPREAD,
     3,
     "NUMA domains in turn: 0 1"},
    {"nothing", {4, 4}, 0, 1, 0, TFR_BIND_COMPACT, TFR_MEMORY_NONE, TFR_MEMORY_AS_IS, 0, ""},
};

static void open_plan(const struct memory_case *c, struct tfr_memory_plan *plan) {
    struct tfr_core cores[MAX_CORES];
    struct tfr_thread_choice choice;
    const struct tfr_machine machine = machine_of(cores, c->sizes);
    int pus[MAX_THREADS];
    memset(&asked, 0, sizeof asked);
    assert_ok(tfr_machine_choose_threads(&machine, c->asked, c->rank, c->n_ranks, &choice));
    tfr_bind_plan(&machine, &choice, c->bind, pus);
    assert_ok(tfr_memory_open(plan, &machine, &choice, pus, c->rule, &counting));
}

TFR_TEST(memory_comes_from_the_domains_of_the_threads) {
    TFR_UNUSED_STATE;
    for (size_t i = 0; i < TFR_COUNT_OF(memory_cases); i++) {
        const struct memory_case *c = &memory_cases[i];
        struct tfr_memory_plan plan;
        char words[128];
        open_plan(c, &plan);
        tfr_memory_words(&plan, words, sizeof words);
        if (plan.way != c->way || plan.domains.word[0] != c->domains || strcmp(words, c->words) != 0) {
            fail_msg("%s: way %d, domains %llx, \"%s\"", c->name, plan.way, (unsigned long long)plan.domains.word[0], words);
        }
        tfr_memory_close(&plan);
    }
}

/* A case of the table in a team of as many threads, which opens a cache too. */
static void run_case(const char *name, struct tfr_memory_plan *plan, bool refuses, bool is_taken) {
    const struct memory_case *c = memory_cases;
    struct tfr_kvcache cache;
    struct tfr_team *team;
    while (strcmp(c->name, name) != 0) {
        c++;
    }
    open_plan(c, plan);
    asked.refuses = refuses;
    asked.is_taken = is_taken;
    const struct tfr_kvcache_spec spec = {.n_layers = 2, .n_heads = 2, .head_dim = 4, .dtype = TFR_DTYPE_F32, .memory = plan};
    assert_ok(tfr_team_open(&team, plan->n_threads, NULL, true));
    tfr_team_settle(team, plan);
    assert_ok(tfr_kvcache_open(&cache, &spec, 32));
    tfr_kvcache_close(&cache);
    tfr_team_unsettle(team, plan);
    tfr_team_close(team);
}

TFR_TEST(each_thread_asks_once_and_gives_it_back) {
    TFR_UNUSED_STATE;
    struct tfr_memory_plan plan;
    int n_second = 0;
    run_case("one rank", &plan, false, false);
    for (int t = 0; t < 8; t++) {
        assert_true(asked.preferred[t] == 1 || asked.preferred[t] == 2);
        n_second += asked.preferred[t] == 2;
    }
    assert_int_equal(n_second, 4);
    assert_int_equal(asked.n_prefer, 8);
    assert_int_equal(asked.n_back, 8);
    assert_int_equal(asked.n_spread_block, 1); /* keys and values, which no thread has for its own */
    assert_int_equal(asked.spread, 3);
    tfr_memory_close(&plan);
    run_case("interleaved by wish", &plan, true, false); /* refused: nothing happens */
    assert_int_equal(asked.n_spread, 8);
    tfr_memory_close(&plan);
}

TFR_TEST(a_rank_in_one_domain_has_nothing_to_spread_and_one_domain_nothing_to_ask) {
    TFR_UNUSED_STATE;
    struct tfr_memory_plan plan;
    run_case("a rank a domain", &plan, false, false);
    assert_int_equal(asked.n_prefer, 4);
    assert_int_equal(asked.preferred[3], 2);
    assert_int_equal(asked.n_spread_block, 0);
    tfr_memory_close(&plan);
    run_case("free threads, local", &plan, false, true); /* where each runs; what they had comes back */
    assert_int_equal(asked.n_prefer, 8);
    assert_int_equal(asked.preferred[0], 0);
    assert_int_equal(asked.n_back, 8);
    tfr_memory_close(&plan);
    run_case("one domain, asked", &plan, false, false);
    assert_int_equal(asked.n_prefer + asked.n_back + asked.n_spread + asked.n_spread_block, 0);
    tfr_memory_close(&plan);
}

TFR_TEST(a_policy_from_outside_stands_unless_another_is_asked_for) {
    TFR_UNUSED_STATE;
    static const int sizes[] = {2, 2, 0};
    static const int pus[] = {0, 1, 2, 3};
    const struct tfr_thread_choice choice = {.n_threads = 4, .n_cores = 4};
    struct tfr_core cores[MAX_CORES];
    const struct tfr_machine machine = machine_of(cores, sizes);
    struct tfr_memory_plan plan;
    char words[128];
    memset(&asked, 0, sizeof asked);
    asked.is_taken = true;
    assert_ok(tfr_memory_open(&plan, &machine, &choice, pus, TFR_MEMORY_AUTO, &counting));
    assert_int_equal(plan.way, TFR_MEMORY_AS_IS);
    tfr_memory_words(&plan, words, sizeof words);
    assert_string_equal(words, "where the process was told from outside (numactl)");
    tfr_memory_close(&plan);
    assert_ok(tfr_memory_open(&plan, &machine, &choice, pus, TFR_MEMORY_LOCAL, &counting));
    assert_int_equal(plan.way, TFR_MEMORY_OWN);
    tfr_memory_close(&plan);
}

/* hwloc's numbers of domains reach the words. */
TFR_TEST(a_described_machine_has_its_domains) {
    TFR_UNUSED_STATE;
    struct tfr_machine *machine;
    struct tfr_thread_choice choice;
    char words[128];
    if (tfr_topo_described() != NULL) {
        skip();
    }
    setenv("HWLOC_SYNTHETIC", "numa:4 core:3 pu:2", 1);
    if (tfr_topo_described() == NULL) { /* built without hwloc */
        unsetenv("HWLOC_SYNTHETIC");
        skip();
    }
    assert_ok(tfr_machine_read_for_plan(&machine));
    unsetenv("HWLOC_SYNTHETIC");
    assert_int_equal(machine->n_numa, 4);
    assert_ok(tfr_machine_choose_threads(machine, 0, 2, 4, &choice));
    assert_int_equal(choice.first_core, 6);
    assert_ok(tfr_memory_describe(machine, &choice, TFR_BIND_COMPACT, TFR_MEMORY_AUTO, words, sizeof words));
    assert_string_equal(words, "NUMA domain 2");
    assert_ok(tfr_machine_choose_threads(machine, 0, 1, 2, &choice));
    assert_ok(tfr_memory_describe(machine, &choice, TFR_BIND_COMPACT, TFR_MEMORY_AUTO, words, sizeof words));
    assert_string_equal(words, "each thread's own NUMA domain: 2 3");
    tfr_machine_free(machine);
}

/* This system knows the calls: what it was told it says, and what it had it has again. Not where a container forbids them. */
TFR_TEST(this_system_takes_domain_0) {
    TFR_UNUSED_STATE;
    static const int sizes[] = {1, 1, 0}, pus[] = {0};
    const struct tfr_thread_choice choice = {.n_threads = 1, .n_cores = 1};
    struct tfr_core cores[MAX_CORES];
    const struct tfr_machine machine = machine_of(cores, sizes);
    struct tfr_memory_plan plan;
    struct tfr_memory_policy before = {0}, now = {0};
    assert_ok(tfr_memory_open(&plan, &machine, &choice, pus, TFR_MEMORY_LOCAL, NULL));
    if (!plan.calls->read(&before) || !tfr_memory_settle(&plan, 0)) {
        tfr_memory_close(&plan);
        skip();
    }
    assert_true(plan.calls->read(&now));
    assert_int_equal(now.mode, TFR_POLICY_PREFER);
    assert_int_equal(now.domains.word[0], 1);
    tfr_memory_unsettle(&plan, 0);
    assert_true(plan.calls->read(&now));
    assert_int_equal(now.mode, before.mode);
    tfr_memory_close(&plan);
}

TFR_TEST_MAIN(TFR_CASE(ranks_take_whole_domains_where_they_come_out_even), TFR_CASE(memory_comes_from_the_domains_of_the_threads),
              TFR_CASE(each_thread_asks_once_and_gives_it_back),
              TFR_CASE(a_rank_in_one_domain_has_nothing_to_spread_and_one_domain_nothing_to_ask),
              TFR_CASE(a_policy_from_outside_stands_unless_another_is_asked_for), TFR_CASE(a_described_machine_has_its_domains),
              TFR_CASE(this_system_takes_domain_0))

/* test_layout.c - predictions of layouts: a published table of speed-ups, counted by hand, and laws. */
#include "predict/layout.h"

#include <math.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/status.h"
#include "mpi/partition.h"
#include "tfr_test.h"

enum { VOCABULARY = 50257, CONTEXT = 128, MOST_RANKS = 64, MOST_BLOCKS = 48 };

struct setting {
    struct tfr_model_work work;
    struct tfr_layout_model model;
    struct tfr_cluster cluster;
    struct tfr_layout_load load;
    int n_layer, blocks[MOST_RANKS];
};

/* GPT-2 in f32 on ranks of so many bytes and FLOPs a second; a node costs 2 us, a block has eight. */
static struct setting make(int n_layer, int width, double bytes_per_s, double flops_per_s, double alpha_us, double gbit_s) {
    const double weights = 12.0 * width * width + 13.0 * width, head = (double)VOCABULARY * width;
    struct setting setting = {
        .n_layer = n_layer,
        .work = {.speed = {.bytes_per_s = bytes_per_s, .flops_per_s = flops_per_s, .node_ns = 2000}},
        .model = {.n_embd = width,
                  .n_head = width / 64,
                  .vocabulary = VOCABULARY,
                  .block_bytes = 4 * weights,
                  .embed_bytes = 4 * (head + 1024.0 * width),
                  .head_bytes = 4 * head,
                  .cached_bytes = 8.0 * width},
        .cluster = {.nodes = MOST_RANKS, .ranks_per_node = 1, .net = {.alpha_ns = alpha_us * 1e3, .byte_ns = 8 / gbit_s}},
        .load = {.prompt = 1024, .chunk = 128, .sequences = 1, .context = CONTEXT},
    };
    setting.work.piece[TFR_PIECE_BLOCK] = (struct tfr_piece_work){
        .bytes = 4 * weights, .bytes_cached = 8.0 * width, .flops_row = 2 * weights, .flops_cached = 4.0 * width, .nodes = 8};
    setting.work.piece[TFR_PIECE_HEAD] = (struct tfr_piece_work){.bytes = 4 * head, .flops_row = 2 * head};
    setting.work.piece[TFR_PIECE_SUM] = (struct tfr_piece_work){.bytes_row = 4.0 * width * (width / 64), .nodes = 1};
    setting.cluster.shm = setting.cluster.net;
    return setting;
}

static struct tfr_layout_question ask(const struct setting *setting, const struct tfr_layout *layout) {
    return (struct tfr_layout_question){.layout = layout,
                                        .cluster = &setting->cluster,
                                        .model = &setting->model,
                                        .load = &setting->load,
                                        .ns = tfr_piece_ns,
                                        .user = &setting->work};
}

static struct tfr_layout_times predict(const struct setting *setting, const struct tfr_layout *layout) {
    const struct tfr_layout_question question = ask(setting, layout);
    struct tfr_layout_times times;
    assert_ok(tfr_layout_predict(&question, &times));
    return times;
}

/* Blocks as the balanced split deals them when the first rank also carries so many ns. */
static struct tfr_layout pipeline(struct setting *setting, int stages, enum tfr_head_place head) {
    const struct tfr_piece_question one = {.rows = 1, .sequences = 1, .past = CONTEXT, .shares = 1};
    struct tfr_piece_question block = one, first = one;
    double cost[MOST_BLOCKS];
    int owner[MOST_BLOCKS];
    block.piece = TFR_PIECE_BLOCK;
    first.piece = TFR_PIECE_HEAD;
    for (int i = 0; i < setting->n_layer; i++) {
        cost[i] = tfr_piece_ns(&setting->work, &block);
    }
    const double carried = head == TFR_PLACE_FIRST ? tfr_piece_ns(&setting->work, &first) : 0;
    assert_ok(tfr_partition_balanced(cost, setting->n_layer, carried, 0, stages, owner));
    memset(setting->blocks, 0, sizeof setting->blocks);
    for (int i = 0; i < setting->n_layer; i++) {
        setting->blocks[owner[i]]++;
    }
    return (struct tfr_layout){.replicas = 1, .stages = stages, .tensor = 1, .head = head, .blocks = setting->blocks};
}

static struct tfr_layout tensor(struct setting *setting, int shares) {
    setting->blocks[0] = setting->n_layer;
    return (struct tfr_layout){.replicas = 1, .stages = 1, .tensor = shares, .head = TFR_PLACE_SPLIT, .blocks = setting->blocks};
}

static void assert_within(double have, double want, double share, const char *what, int ranks) {
    if (!(fabs(have - want) <= share * want)) {
        fail_msg("%s, %d ranks: %.3f, the table has %.2f", what, ranks, have, want);
    }
}

/* Speed-ups of 1.5 us and 100 Gbit/s and of 25 us and 10 Gbit/s at 2, 4, 8 ranks of 30 GB/s and 80 GFLOP/s: of a full pipeline with
 * the head on rank 0 and with a split one, and of one stream by tensor. The table rounds to three digits; it adds the sums of
 * ranks, where tfrun adds those of heads, so tensor is compared loosely: what tfrun does is in the next table. */
static const struct row {
    int n_layer, width;
    double alpha_us, gbit_s;
    double first[3], split[3], tensor[3];
} table[] = {
    {12, 768, 1.5, 100, {1.91, 3.30, 3.30}, {2.00, 4.00, 6.48}, {1.95, 3.73, 6.77}},
    {12, 768, 25, 10, {1.91, 3.30, 3.30}, {2.00, 4.00, 6.48}, {1.75, 2.88, 3.96}},
    {24, 1024, 1.5, 100, {2.00, 4.00, 6.99}, {2.00, 4.00, 7.99}, {1.96, 3.79, 6.98}},
    {24, 1024, 25, 10, {2.00, 4.00, 6.99}, {2.00, 4.00, 7.99}, {1.78, 2.99, 4.28}},
    {48, 1600, 1.5, 100, {1.98, 3.89, 7.22}, {2.00, 4.00, 8.00}, {1.97, 3.89, 7.47}},
    {48, 1600, 25, 10, {1.98, 3.89, 7.22}, {2.00, 4.00, 8.00}, {1.83, 3.33, 5.39}},
};
static const double tensor_within[] = {0.04, 0.10, 0.30};

static double busiest(struct setting *setting, int ranks, enum tfr_head_place head) {
    const struct tfr_layout layout = pipeline(setting, ranks, head);
    struct tfr_layout_times times = predict(setting, &layout);
    tfr_free(times.rank);
    return times.bottleneck_ns;
}

static double stream_ns(struct setting *setting, int shares) {
    const struct tfr_layout layout = tensor(setting, shares);
    struct tfr_layout_times times = predict(setting, &layout);
    tfr_free(times.rank);
    return times.token_ns;
}

TFR_TEST(speed_ups_of_the_table) {
    TFR_UNUSED_STATE;
    for (size_t i = 0; i < TFR_COUNT_OF(table); i++) {
        const struct row *row = &table[i];
        struct setting setting = make(row->n_layer, row->width, 30e9, 80e9, row->alpha_us, row->gbit_s);
        const double alone = busiest(&setting, 1, TFR_PLACE_FIRST), stream = stream_ns(&setting, 1);
        for (int power = 0; power < 3; power++) {
            const int ranks = 2 << power;
            assert_within(alone / busiest(&setting, ranks, TFR_PLACE_FIRST), row->first[power], 0.01, "head first", ranks);
            assert_within(alone / busiest(&setting, ranks, TFR_PLACE_SPLIT), row->split[power], 0.01, "head split", ranks);
            assert_within(stream / stream_ns(&setting, ranks), row->tensor[power], tensor_within[power], "tensor", ranks);
        }
    }
}

/* What the program itself takes on simulated ranks of 30 GB/s, 80 GFLOP/s and 2 us a node, with split heads: ms of a token behind
 * three, and of the first one of a prompt of 512 in pieces of 64. The commands under "Simulation" in docs/scaling.md make these
 * numbers again (scripts/clock_study --simulated; of 64 ranks scripts/simulate), and its claims are the bounds below. */
static const struct simulated {
    int n_layer, width, ranks_per_node;
    double alpha_us, gbit_s;
    int stages, shares;
    double token_ms, first_ms;
} simulated[] = {
    {12, 768, 1, 25, 10, 1, 2, 9.49, 598.5},   {12, 768, 1, 25, 10, 1, 4, 5.84, 319.3},   {24, 1024, 1, 25, 10, 1, 8, 10.76, 714.0},
    {12, 768, 1, 1.5, 100, 1, 2, 8.61, 593.0}, {12, 768, 1, 1.5, 100, 1, 4, 4.60, 302.1}, {12, 768, 1, 25, 10, 2, 2, 8.24, 379.8},
    {12, 768, 1, 1.5, 100, 2, 2, 7.33, 366.5}, {12, 768, 1, 25, 10, 2, 4, 5.24, 235.2},   {12, 768, 1, 1.5, 100, 2, 4, 3.96, 200.5},
    {12, 768, 1, 25, 10, 4, 2, 7.70, 260.0},   {12, 768, 1, 25, 10, 4, 4, 5.02, 174.8},   {12, 768, 1, 1.5, 100, 4, 4, 3.65, 137.5},
    {64, 768, 4, 25, 10, 16, 4, 18.50, 378.7}, {64, 768, 1, 25, 10, 16, 4, 24.05, 580.1},
};

TFR_TEST(shards_take_what_the_program_takes) {
    TFR_UNUSED_STATE;
    for (size_t i = 0; i < TFR_COUNT_OF(simulated); i++) {
        const struct simulated *row = &simulated[i];
        struct setting setting = make(row->n_layer, row->width, 30e9, 80e9, row->alpha_us, row->gbit_s);
        const struct tfr_layout layout = {
            .replicas = 1, .stages = row->stages, .tensor = row->shares, .head = TFR_PLACE_SPLIT, .blocks = setting.blocks};
        setting.cluster.ranks_per_node = row->ranks_per_node;
        setting.cluster.shm =
            row->ranks_per_node > 1 ? (struct tfr_link){.alpha_ns = 2000, .byte_ns = 1 / 8.0} : setting.cluster.net;
        setting.load = (struct tfr_layout_load){.prompt = 512, .chunk = 64, .sequences = 1, .context = 7};
        for (int stage = 0; stage < row->stages; stage++) {
            setting.blocks[stage] = row->n_layer / row->stages;
        }
        struct tfr_layout_times times = predict(&setting, &layout);
        assert_within(times.token_ns / 1e6, row->token_ms, 0.01, "a token", row->stages * row->shares);
        assert_within(times.first_token_ns / 1e6, row->first_ms, 0.07, "the first token", row->stages * row->shares);
        tfr_free(times.rank);
    }
}

/* And tokens a second of eight sequences in groups, of pipelines. */
static const struct simulated_groups {
    int stages;
    enum tfr_head_place head;
    int groups;
    double tokens_per_s;
} simulated_groups[] = {
    {2, TFR_PLACE_LAST, 2, 454.0},
    {2, TFR_PLACE_SPLIT, 2, 471.7},
    {4, TFR_PLACE_LAST, 2, 442.2},
    {4, TFR_PLACE_FIRST, 2, 452.0},
};

TFR_TEST(rounds_of_groups_take_what_the_program_takes) {
    TFR_UNUSED_STATE;
    for (size_t i = 0; i < TFR_COUNT_OF(simulated_groups); i++) {
        const struct simulated_groups *row = &simulated_groups[i];
        struct setting setting = make(12, 768, 30e9, 80e9, 25, 10);
        struct tfr_layout layout = pipeline(&setting, row->stages, row->head);
        setting.load = (struct tfr_layout_load){.prompt = 512, .chunk = 64, .sequences = 8, .context = 7};
        layout.groups = row->groups;
        for (int stage = 0; stage < row->stages && row->head != TFR_PLACE_LAST; stage++) {
            setting.blocks[stage] = 12 / row->stages;
        }
        if (row->head == TFR_PLACE_LAST) { /* as the balanced split deals them */
            const int two[] = {8, 4}, four[] = {3, 4, 4, 1};
            memcpy(setting.blocks, row->stages == 2 ? two : four, sizeof(int) * (size_t)row->stages);
        }
        struct tfr_layout_times times = predict(&setting, &layout);
        assert_within(times.tokens_per_s, row->tokens_per_s, 0.06, "tokens a second", row->stages);
        tfr_free(times.rank);
    }
}

/* Prefill of 1024 in chunks of 128 on ranks of 200 GB/s and 3 TFLOP/s. */
TFR_TEST(prefill_of_the_table) {
    TFR_UNUSED_STATE;
    static const double want[] = {1.76, 2.83, 3.55};
    struct setting setting = make(12, 768, 200e9, 3e12, 1.5, 100);
    const struct tfr_layout one = pipeline(&setting, 1, TFR_PLACE_SPLIT);
    struct tfr_layout_times alone = predict(&setting, &one);
    for (int power = 0; power < 3; power++) {
        const struct tfr_layout layout = pipeline(&setting, 2 << power, TFR_PLACE_SPLIT);
        struct tfr_layout_times times = predict(&setting, &layout);
        assert_within(alone.first_token_ns / times.first_token_ns, want[power], 0.03, "prefill", 2 << power);
        tfr_free(times.rank);
    }
    tfr_free(alone.rank);
}

/* Equal stages without hops: the textbook's (chunks + stages - 1) * time of a chunk on a stage. */
static double flat_ns(const void *user, const struct tfr_piece_question *question) {
    (void)user;
    return question->piece == TFR_PIECE_BLOCK ? 100 : 0;
}

TFR_TEST(equal_stages_fill_and_drain_as_the_textbook_says) {
    TFR_UNUSED_STATE;
    struct setting setting = make(12, 768, 1e9, 1e9, 0, 1e12);
    struct tfr_layout layout = pipeline(&setting, 4, TFR_PLACE_SPLIT); /* whose blocks are three on each rank */
    struct tfr_layout_question question = ask(&setting, &layout);
    struct tfr_layout_times times;
    setting.cluster.net = setting.cluster.shm = (struct tfr_link){0};
    question.ns = flat_ns;
    layout.head = TFR_PLACE_LAST; /* no stop of its own */
    for (int chunks = 1; chunks <= 9; chunks++) {
        setting.load.prompt = chunks * setting.load.chunk;
        assert_ok(tfr_layout_predict(&question, &times));
        assert_true(fabs(times.first_token_ns - (chunks + 3) * 300) < 1e-6);
        tfr_free(times.rank);
    }
    setting.load.sequences = 4; /* four groups keep four stages busy: no rank waits */
    layout.groups = 4;
    assert_ok(tfr_layout_predict(&question, &times));
    assert_int_equal(times.groups, 4);
    assert_true(fabs(times.round_ns - 1200) < 1e-6 && fabs(times.wait_share) < 1e-9);
    tfr_free(times.rank);
    setting.load.sequences = 1; /* alone, three of four wait */
    assert_ok(tfr_layout_predict(&question, &times));
    assert_true(fabs(times.wait_share - 0.75) < 1e-9);
    tfr_free(times.rank);
}

/* The best number of groups is sought: one that could not be looked at must not make another one the best. */
TFR_TEST(no_memory_does_not_choose_the_groups) {
    TFR_UNUSED_STATE;
    struct setting setting = make(12, 768, 30e9, 80e9, 25, 10);
    const struct tfr_layout layout = pipeline(&setting, 4, TFR_PLACE_SPLIT);
    setting.load.sequences = 16;
    const struct tfr_layout_question question = ask(&setting, &layout);
    const struct tfr_layout_times whole = predict(&setting, &layout);
    enum tfr_status status = TFR_RESOURCE;
    assert_true(whole.groups > 1);
    for (uint64_t i = 1; i < 60 || status != TFR_OK; i++) {
        struct tfr_layout_times times;
        tfr_alloc_fail_after(i);
        status = tfr_layout_predict(&question, &times);
        tfr_alloc_fail_after(0);
        assert_true(status == TFR_OK || status == TFR_RESOURCE);
        if (status == TFR_OK) {
            assert_int_equal(times.groups, whole.groups);
            assert_true(times.round_ns == whole.round_ns && times.first_token_ns == whole.first_token_ns);
            tfr_free(times.rank);
        }
    }
    tfr_free(whole.rank);
}

/* Any ring: a round is no shorter than its latency and than its slowest rank, and one group alone takes its latency. */
TFR_TEST(rounds_are_no_shorter_than_latency_and_bottleneck) {
    TFR_UNUSED_STATE;
    struct setting setting = make(12, 768, 30e9, 80e9, 25, 10);
    setting.load.sequences = 12;
    for (int head = TFR_PLACE_FIRST; head <= TFR_PLACE_SPLIT; head++) {
        struct tfr_layout layout = pipeline(&setting, 4, (enum tfr_head_place)head);
        for (layout.groups = 1; layout.groups <= 12; layout.groups++) {
            struct tfr_layout_times times = predict(&setting, &layout);
            const struct tfr_layout_question question = ask(&setting, &layout);
            const struct tfr_layout_step step = {.replicas = 1,
                                                 .rows = times.rows,
                                                 .sequences = times.rows,
                                                 .past = CONTEXT,
                                                 .logits = times.rows,
                                                 .in_flight = layout.groups};
            assert_true(times.round_ns >= times.latency_ns * (1 - 1e-9));
            assert_true(times.round_ns >= layout.groups * times.bottleneck_ns * (1 - 1e-9));
            assert_true(fabs(tfr_layout_round_ns(&question, &step, 1) - times.latency_ns) <= 1e-9 * times.latency_ns);
            tfr_free(times.rank);
        }
    }
}

TFR_TEST(replicas_multiply_tokens_and_not_speed_of_a_stream) {
    TFR_UNUSED_STATE;
    struct setting setting = make(12, 768, 30e9, 80e9, 1.5, 100);
    setting.load.sequences = 8;
    struct tfr_layout layout = pipeline(&setting, 2, TFR_PLACE_FIRST);
    layout.groups = 2;
    struct tfr_layout_times one = predict(&setting, &layout);
    setting.load.sequences = 24;
    layout.replicas = 3;
    struct tfr_layout_times three = predict(&setting, &layout);
    assert_int_equal(three.n_ranks, 6);
    const double logits_ns = tfr_link_several_ns(&setting.cluster.net, 2, three.rows * VOCABULARY * 4); /* of two, to rank 0 */
    assert_true(three.latency_ns - one.latency_ns > 0 && fabs(three.latency_ns - one.latency_ns - logits_ns) < 1e-3);
    assert_true(three.tokens_per_s <= (3 + 1e-9) * one.tokens_per_s && three.tokens_per_s > 2.8 * one.tokens_per_s);
    assert_true(three.token_ns == one.token_ns && three.most_memory_bytes == one.most_memory_bytes);
    tfr_free(one.rank);
    tfr_free(three.rank);
}

/* Two stages of two shards, one row: rows to the other shard of the first stage, to the next stage from each shard, sums twice a
 * block, the last row from the first shard of the last stage: to rank 0, or to all where the head is split, and logits back from
 * all. */
TFR_TEST(messages_and_memory_counted_by_hand) {
    TFR_UNUSED_STATE;
    struct setting setting = make(12, 768, 30e9, 80e9, 1.5, 100);
    struct tfr_layout layout = pipeline(&setting, 2, TFR_PLACE_FIRST);
    setting.blocks[0] = 4;
    setting.blocks[1] = 8;
    layout.tensor = 2;
    struct tfr_layout_times times = predict(&setting, &layout);
    const double hidden = 768 * 4, sums = hidden * 12 / 2, slice = VOCABULARY * 4 / 4.0;
    assert_true(times.rank[0].messages_a_token == 1 + 1 + 8 && times.rank[0].bytes_a_token == hidden * (1 + 1 + 8));
    assert_true(times.rank[1].messages_a_token == 1 + 8 && times.rank[1].bytes_a_token == hidden + 8 * sums);
    assert_true(times.rank[2].messages_a_token == 16 + 1 && times.rank[3].bytes_a_token == 16 * sums);
    assert_true(times.messages_a_token == 10 + 9 + 17 + 16);
    const double blocks = (4 * setting.model.block_bytes + 4 * (CONTEXT + 1) * setting.model.cached_bytes) / 2;
    assert_true(fabs(times.rank[0].memory_bytes - blocks - setting.model.embed_bytes - setting.model.head_bytes) < 1);
    assert_true(fabs(times.rank[1].memory_bytes - blocks) < 1);
    tfr_free(times.rank);
    layout.head = TFR_PLACE_SPLIT;
    times = predict(&setting, &layout);
    assert_true(times.rank[0].messages_a_token == 10 && times.rank[1].bytes_a_token == hidden + 8 * sums + slice);
    assert_true(times.rank[2].messages_a_token == 16 + 3 + 1 && times.rank[3].bytes_a_token == 16 * sums + slice);
    assert_true(fabs(times.rank[1].memory_bytes - blocks - setting.model.head_bytes / 4) < 1);
    tfr_free(times.rank);
}

/* Points of a link give that link; where small messages are all there is, alpha is about theirs and beta 0. */
TFR_TEST(a_link_is_found_from_its_points) {
    TFR_UNUSED_STATE;
    const struct tfr_link link = {.alpha_ns = 2500, .byte_ns = 0.8};
    struct tfr_link_point points[6];
    for (int i = 0; i < 6; i++) {
        points[i].bytes = pow(16, i);
        points[i].ns = tfr_link_ns(&link, points[i].bytes);
    }
    struct tfr_link found = tfr_link_fit(points, 6);
    assert_true(fabs(found.alpha_ns - 2500) < 1e-6 && fabs(found.byte_ns - 0.8) < 1e-9);
    for (int i = 0; i < 6; i++) {
        points[i].ns = 1000 - i; /* larger ones are no slower */
    }
    found = tfr_link_fit(points, 6);
    assert_true(found.byte_ns == 0 && found.alpha_ns > 990 && found.alpha_ns < 1000);
    for (int i = 0; i < 6; i++) {
        points[i].ns = points[i].bytes; /* and nothing else */
    }
    found = tfr_link_fit(points, 6);
    assert_true(fabs(found.alpha_ns) < 1e-6 && fabs(found.byte_ns - 1) < 1e-9);
}

/* Messages above 48 KiB are told first: to and fro between two who compute they take three looks each, others one. */
TFR_TEST(ways_of_large_messages_are_found) {
    TFR_UNUSED_STATE;
    const double bytes[] = {1, 4096, 16384, 49152, 65536, 262144, 1048576};
    struct tfr_link_point points[TFR_COUNT_OF(bytes)];
    for (size_t i = 0; i < TFR_COUNT_OF(points); i++) {
        const bool is_large = bytes[i] > 50000;
        points[i].bytes = bytes[i];
        points[i].ns = (is_large ? 60e3 : 20e3) + points[i].bytes * (is_large ? 1.0 : 0.5);
        points[i].computing_ns = points[i].ns + (is_large ? 3.1 : 0.9) * TFR_LOOK_NS / 2;
    }
    const struct tfr_link link = tfr_link_fit_ways(points, TFR_COUNT_OF(points));
    assert_true(link.large.above_bytes == 49152 && link.large.ways == 3);
    assert_true(fabs(link.alpha_ns - 20e3) < 1e-3 && fabs(link.byte_ns - 0.5) < 1e-9);
    assert_true(fabs(tfr_link_ns(&link, 196608) - 60e3 - 196608) < 1e-3);
    assert_true(fabs(tfr_link_several_ns(&link, 3, 1000) - 20e3 - 1500) < 1e-3);
    points[5].computing_ns = points[5].ns; /* one that is not is chance, one that is alone too */
    points[3].computing_ns += TFR_LOOK_NS;
    points[4].computing_ns = points[4].ns;
    const struct tfr_link other = tfr_link_fit_ways(points, TFR_COUNT_OF(points)), plain = tfr_link_fit(points, 7);
    assert_true(other.large.above_bytes == 0 && other.alpha_ns == plain.alpha_ns && other.byte_ns == plain.byte_ns);
}

TFR_TEST(ranks_that_come_late_are_more_the_more_they_are) {
    TFR_UNUSED_STATE;
    const struct tfr_late_point points[] = {{2, 40e3}, {4, 50e3}, {8, 60e3}}, down[] = {{2, 30e3}, {4, 10e3}};
    struct tfr_link link = {0};
    tfr_link_fit_late(&link, points, TFR_COUNT_OF(points));
    assert_true(fabs(tfr_link_late_ns(&link, 2) - 40e3) < 1e-3 && fabs(tfr_link_late_ns(&link, 16) - 70e3) < 1e-3);
    assert_true(tfr_link_late_ns(&link, 1) == 0);
    tfr_link_fit_late(&link, down, TFR_COUNT_OF(down)); /* never less */
    assert_true(link.later_ns == 0 && fabs(link.late_ns - 20e3) < 1e-3);
}

/* Messages that are told first make a prompt of shards later, whoever waits or computes; without them nothing changes. */
TFR_TEST(large_messages_that_are_told_first_come_later) {
    TFR_UNUSED_STATE;
    struct setting setting = make(12, 768, 30e9, 80e9, 25, 10);
    const struct tfr_layout layout = tensor(&setting, 4);
    struct tfr_layout_times plain = predict(&setting, &layout);
    setting.cluster.net.large =
        (struct tfr_large_messages){.above_bytes = 65536, .alpha_ns = 25e3, .byte_ns = setting.cluster.net.byte_ns, .ways = 1};
    struct tfr_layout_times same = predict(&setting, &layout);
    setting.cluster.net.large.ways = 3;
    struct tfr_layout_times told = predict(&setting, &layout);
    assert_true(same.first_token_ns == plain.first_token_ns && told.first_token_ns > plain.first_token_ns);
    assert_true(told.token_ns == plain.token_ns);
    setting.cluster.net.late_ns = 10e3;
    setting.cluster.net.later_ns = 5e3;
    struct tfr_layout_times late = predict(&setting, &layout);
    assert_true(fabs(late.token_ns - told.token_ns - 24 * 15e3) < 1);
    tfr_free(plain.rank);
    tfr_free(same.rank);
    tfr_free(told.rank);
    tfr_free(late.rank);
}

TFR_TEST(links_within_a_node_and_between_nodes) {
    TFR_UNUSED_STATE;
    struct setting setting = make(12, 768, 30e9, 80e9, 25, 10);
    struct tfr_layout layout = pipeline(&setting, 4, TFR_PLACE_SPLIT);
    const struct tfr_layout_question question = ask(&setting, &layout);
    setting.cluster.ranks_per_node = 2;
    assert_ptr_equal(tfr_layout_link(&question, 0, 1), &setting.cluster.shm);
    assert_ptr_equal(tfr_layout_link(&question, 1, 2), &setting.cluster.net);
    assert_ptr_equal(tfr_layout_link(&question, -1, -1), &setting.cluster.net);
    layout.stages = 2;
    layout.tensor = 2;
    assert_ptr_equal(tfr_layout_link(&question, 1, 1), &setting.cluster.shm);
    assert_ptr_equal(tfr_layout_link(&question, 0, 1), &setting.cluster.net);
    layout.stages = 1;
    layout.tensor = 3;
    assert_ptr_equal(tfr_layout_link(&question, 0, 0), &setting.cluster.net);
}

/* Ranks of a node that compute at once share its memory; a slow rank slows its stage alone. */
TFR_TEST(shared_memory_and_unequal_ranks) {
    TFR_UNUSED_STATE;
    struct setting setting = make(12, 768, 30e9, 80e9, 1.5, 100);
    const double fast = stream_ns(&setting, 2);
    setting.cluster.ranks_per_node = 2;
    setting.work.speed.node_bytes_per_s = 30e9;
    assert_true(stream_ns(&setting, 2) > 1.5 * fast);
    setting.work.speed.node_bytes_per_s = 0;
    const struct tfr_layout layout = pipeline(&setting, 2, TFR_PLACE_FIRST);
    const double speed[] = {1, 0.5};
    struct tfr_layout_times even = predict(&setting, &layout);
    setting.cluster.speed = speed;
    struct tfr_layout_times uneven = predict(&setting, &layout);
    assert_true(uneven.rank[0].busy_ns == even.rank[0].busy_ns);
    assert_true(fabs(uneven.rank[1].busy_ns - 2 * even.rank[1].busy_ns) < 1e-6 * even.rank[1].busy_ns);
    tfr_free(even.rank);
    tfr_free(uneven.rank);
}

TFR_TEST_MAIN(TFR_CASE(speed_ups_of_the_table), TFR_CASE(shards_take_what_the_program_takes),
              TFR_CASE(rounds_of_groups_take_what_the_program_takes), TFR_CASE(prefill_of_the_table),
              TFR_CASE(equal_stages_fill_and_drain_as_the_textbook_says), TFR_CASE(no_memory_does_not_choose_the_groups),
              TFR_CASE(rounds_are_no_shorter_than_latency_and_bottleneck),
              TFR_CASE(replicas_multiply_tokens_and_not_speed_of_a_stream), TFR_CASE(messages_and_memory_counted_by_hand),
              TFR_CASE(a_link_is_found_from_its_points), TFR_CASE(links_within_a_node_and_between_nodes),
              TFR_CASE(ways_of_large_messages_are_found), TFR_CASE(ranks_that_come_late_are_more_the_more_they_are),
              TFR_CASE(large_messages_that_are_told_first_come_later), TFR_CASE(shared_memory_and_unequal_ranks))

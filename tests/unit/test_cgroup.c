/* test_cgroup.c - control group limits read from made-up trees of version 1, version 2 and mixtures. */
#include "topo/cgroup.h"

#include "base/arena.h"
#include "fake_tree.h"
#include "tfr_test.h"
#include "topo/topo_internal.h"

static const char mount_v2[] = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
static const char mount_v1[] = "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
                               "32 23 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
                               "33 23 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

static struct tfr_cgroup_limits read_tree(struct fake_tree *tree) {
    struct tfr_cgroup_limits limits;
    tfr_cgroup_read(tree->root, &limits);
    fake_tree_close(tree);
    return limits;
}

static void begin(struct fake_tree *tree, const char *groups, const char *mounts) {
    fake_tree_open(tree);
    fake_tree_write(tree, "/proc/self/cgroup", groups);
    fake_tree_write(tree, "/proc/self/mountinfo", mounts);
}

TFR_TEST(nothing_readable_is_no_limit) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    fake_tree_open(&tree);
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_true(limits.quota_cores == 0);
    assert_int_equal(limits.memory_bytes, 0);
    assert_int_equal(tfr_cpus_count(&limits.cpus), 0);
}

TFR_TEST(no_memory_is_not_no_limit) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    struct tfr_cgroup_limits limits;
    begin(&tree, "0::/user.slice/job\n", mount_v2);
    fake_tree_write(&tree, "/sys/fs/cgroup/user.slice/job/cpu.max", "150000 100000\n");
    for (uint64_t i = 1; i <= 2; i++) {
        tfr_alloc_fail_after(i);
        assert_int_equal(tfr_cgroup_read(tree.root, &limits), TFR_RESOURCE);
    }
    tfr_alloc_fail_after(0);
    assert_int_equal(tfr_cgroup_read(tree.root, &limits), TFR_OK);
    assert_true(limits.quota_cores == 1.5);
    fake_tree_close(&tree);
}

TFR_TEST(v2_quota_of_own_group) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    begin(&tree, "0::/user.slice/job\n", mount_v2);
    fake_tree_write(&tree, "/sys/fs/cgroup/user.slice/job/cpu.max", "150000 100000\n");
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_true(limits.quota_cores == 1.5);
}

TFR_TEST(v2_least_quota_of_all_ancestors_wins) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    begin(&tree, "0::/a/b/c\n", mount_v2);
    fake_tree_write(&tree, "/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n");
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_true(limits.quota_cores == 2.0);
}

TFR_TEST(v2_max_is_no_quota) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    begin(&tree, "0::/\n", mount_v2);
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu.max", "max 100000\n");
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_true(limits.quota_cores == 0);
}

TFR_TEST(v2_cpuset_of_own_group_or_nearest_ancestor) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    begin(&tree, "0::/a/b\n", mount_v2);
    fake_tree_write(&tree, "/sys/fs/cgroup/a/cpuset.cpus.effective", "0-3,8\n");
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_int_equal(tfr_cpus_count(&limits.cpus), 5);
    assert_true(tfr_cpus_has(&limits.cpus, 8));
    assert_false(tfr_cpus_has(&limits.cpus, 4));
}

TFR_TEST(v2_memory_left_does_not_count_droppable_cache) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    begin(&tree, "0::/job\n", mount_v2);
    fake_tree_write(&tree, "/sys/fs/cgroup/job/memory.max", "1000000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/job/memory.current", "600000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/job/memory.stat", "anon 100\nfile 500000\ninactive_file 400000\n");
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_int_equal(limits.memory_bytes, 1000000);
    assert_int_equal(limits.memory_left_bytes, 800000);
}

TFR_TEST(v1_quota_cpuset_and_memory) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    begin(&tree, "4:memory:/job\n3:cpuset:/job\n2:cpu,cpuacct:/job\n0::/\n", mount_v1);
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpuset/job/cpuset.cpus", "2-3\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "5000000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "4000000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_true(limits.quota_cores == 2.5);
    assert_int_equal(tfr_cpus_count(&limits.cpus), 2);
    assert_int_equal(limits.memory_bytes, 5000000);
    assert_int_equal(limits.memory_left_bytes, 1000000);
}

TFR_TEST(v1_minus_one_is_no_quota) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    begin(&tree, "2:cpu,cpuacct:/\n", mount_v1);
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_true(limits.quota_cores == 0);
}

TFR_TEST(v1_ancestor_quota_counts) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    begin(&tree, "2:cpu,cpuacct:/pod/box\n", mount_v1);
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us", "50000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu,cpuacct/pod/box/cpu.cfs_quota_us", "-1\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu,cpuacct/pod/box/cpu.cfs_period_us", "100000\n");
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_true(limits.quota_cores == 0.5);
}

TFR_TEST(container_sees_its_group_as_the_mounted_top) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    begin(&tree, "2:cpu,cpuacct:/docker/abc/inner\n",
          "31 23 0:27 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "200000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_true(limits.quota_cores == 2.0);
}

TFR_TEST(group_outside_of_the_mount_is_taken_as_its_top) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    begin(&tree, "0::/../other\n", mount_v2);
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu.max", "400000 100000\n");
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_true(limits.quota_cores == 4.0);
}

TFR_TEST(mixed_system_takes_the_quota_from_v1_and_memory_from_v2) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    begin(&tree, "2:cpu:/x\n0::/x\n",
          "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
          "41 23 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "100000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
    fake_tree_write(&tree, "/sys/fs/cgroup/unified/x/memory.max", "77\n");
    const struct tfr_cgroup_limits limits = read_tree(&tree);
    assert_true(limits.quota_cores == 1.0);
    assert_int_equal(limits.memory_bytes, 77);
    assert_int_equal(limits.memory_left_bytes, 77);
}

TFR_TEST(cpu_lists_are_parsed_strictly) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *list;
        bool fine;
        int n;
    } cases[] = {{"0-3,8,10-11\n", true, 7},
                 {"", true, 0},
                 {"\n", true, 0},
                 {"5", true, 1},
                 {"3-1", false, 0},
                 {"a", false, 0},
                 {"1,,2", false, 0},
                 {"1;2", false, 0},
                 {"-1", false, 0},
                 {"0-99999999", true, TFR_CPUS_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tfr_cpus cpus = {0};
        assert_int_equal(tfr_cpus_parse(&cpus, cases[i].list), cases[i].fine);
        if (cases[i].fine) {
            assert_int_equal(tfr_cpus_count(&cpus), cases[i].n);
        }
    }
}

TFR_TEST_MAIN(TFR_CASE(nothing_readable_is_no_limit), TFR_CASE(no_memory_is_not_no_limit), TFR_CASE(v2_quota_of_own_group),
              TFR_CASE(v2_least_quota_of_all_ancestors_wins), TFR_CASE(v2_max_is_no_quota),
              TFR_CASE(v2_cpuset_of_own_group_or_nearest_ancestor), TFR_CASE(v2_memory_left_does_not_count_droppable_cache),
              TFR_CASE(v1_quota_cpuset_and_memory), TFR_CASE(v1_minus_one_is_no_quota), TFR_CASE(v1_ancestor_quota_counts),
              TFR_CASE(container_sees_its_group_as_the_mounted_top), TFR_CASE(group_outside_of_the_mount_is_taken_as_its_top),
              TFR_CASE(mixed_system_takes_the_quota_from_v1_and_memory_from_v2), TFR_CASE(cpu_lists_are_parsed_strictly))

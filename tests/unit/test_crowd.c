/* test_crowd.c - a team that loses its cores: what a made-up /proc says, and what the team is told to do. */
#include "team/crowd.h"

#include "fake_tree.h"
#include "tfr_test.h"

enum { LOOK_NS = 250000000 };

struct scene {
    struct fake_tree tree;
    struct tfr_crowd crowd;
    uint64_t now_ns, ran_ns, waited_ns;
};

/* Two threads that share the time evenly. */
static void write_times(const struct scene *scene) {
    char text[64];
    snprintf(text, sizeof text, "%llu %llu 7\n", (unsigned long long)scene->ran_ns / 2, (unsigned long long)scene->waited_ns / 2);
    fake_tree_write(&scene->tree, "/proc/self/task/11/schedstat", text);
    fake_tree_write(&scene->tree, "/proc/self/task/12/schedstat", text);
}

static void open_scene(struct scene *scene) {
    *scene = (struct scene){.crowd = {.n_sampled = 2, .thread_id = {11, 12}}, .ran_ns = 4000000, .now_ns = 1000};
    fake_tree_open(&scene->tree);
    write_times(scene);
    tfr_crowd_open(&scene->crowd, scene->tree.root, scene->now_ns);
}

/* Lets one look's time pass in which the threads wait for `percent` of what they could have run. */
static enum tfr_crowd_advice pass(struct scene *scene, int percent) {
    int seen = -1;
    scene->now_ns += LOOK_NS;
    scene->ran_ns += (uint64_t)(100 - percent) * 2000000;
    scene->waited_ns += (uint64_t)percent * 2000000;
    write_times(scene);
    const enum tfr_crowd_advice advice = tfr_crowd_look(&scene->crowd, scene->tree.root, scene->now_ns, &seen);
    assert_int_equal(seen, percent);
    return advice;
}

TFR_TEST(a_team_that_loses_its_cores_twice_is_loosened_and_tightened_when_alone) {
    TFR_UNUSED_STATE;
    struct scene scene;
    open_scene(&scene);
    assert_int_equal(pass(&scene, 0), TFR_CROWD_STAY);
    assert_int_equal(pass(&scene, 50), TFR_CROWD_STAY); /* once may be an accident */
    assert_int_equal(pass(&scene, 3), TFR_CROWD_STAY);
    assert_int_equal(pass(&scene, 50), TFR_CROWD_STAY);
    assert_int_equal(pass(&scene, 20), TFR_CROWD_LOOSEN);
    assert_int_equal(pass(&scene, 90), TFR_CROWD_STAY); /* loose already */
    for (int i = 0; i < 7; i++) {
        assert_int_equal(pass(&scene, 4), TFR_CROWD_STAY);
    }
    assert_int_equal(pass(&scene, 5), TFR_CROWD_STAY); /* not quiet: counting starts again */
    for (int i = 0; i < 7; i++) {
        assert_int_equal(pass(&scene, 0), TFR_CROWD_STAY);
    }
    assert_int_equal(pass(&scene, 0), TFR_CROWD_TIGHTEN);
    assert_int_equal(pass(&scene, 60), TFR_CROWD_STAY);
    assert_int_equal(pass(&scene, 60), TFR_CROWD_LOOSEN);
    for (int i = 0; i < 37; i++) {
        assert_int_equal(pass(&scene, 60), TFR_CROWD_STAY);
    }
    assert_int_equal(pass(&scene, 60), TFR_CROWD_WARN); /* after ten seconds */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(pass(&scene, 60), TFR_CROWD_STAY); /* once */
    }
    fake_tree_close(&scene.tree);
}

TFR_TEST(a_team_that_hardly_runs_tells_nothing) {
    TFR_UNUSED_STATE;
    struct scene scene;
    open_scene(&scene);
    for (int i = 0; i < 20; i++) {
        int percent = -1;
        scene.now_ns += LOOK_NS;
        scene.waited_ns += LOOK_NS / 5;
        write_times(&scene);
        assert_int_equal(tfr_crowd_look(&scene.crowd, scene.tree.root, scene.now_ns, &percent), TFR_CROWD_STAY);
    }
    fake_tree_close(&scene.tree);
}

TFR_TEST(it_looks_four_times_a_second_at_most) {
    TFR_UNUSED_STATE;
    struct scene scene;
    int percent = -1;
    open_scene(&scene);
    scene.waited_ns += 900000000;
    write_times(&scene);
    assert_int_equal(tfr_crowd_look(&scene.crowd, scene.tree.root, scene.now_ns + LOOK_NS - 1, &percent), TFR_CROWD_STAY);
    assert_int_equal(percent, 0);
    tfr_crowd_look(&scene.crowd, scene.tree.root, scene.now_ns + LOOK_NS, &percent);
    assert_int_equal(percent, 100);
    fake_tree_close(&scene.tree);
}

TFR_TEST(without_proc_or_when_threads_change_it_is_silent) {
    TFR_UNUSED_STATE;
    struct scene scene;
    int percent = -1;
    open_scene(&scene);
    scene.ran_ns = 2; /* other threads now: less than before */
    write_times(&scene);
    assert_int_equal(tfr_crowd_look(&scene.crowd, scene.tree.root, scene.now_ns + LOOK_NS, &percent), TFR_CROWD_STAY);
    assert_false(scene.crowd.is_on);
    fake_tree_close(&scene.tree);

    struct tfr_crowd crowd = {.n_sampled = 2, .thread_id = {11, 12}};
    tfr_crowd_open(&crowd, "/nowhere", 0);
    assert_false(crowd.is_on);
    assert_int_equal(tfr_crowd_look(&crowd, "/nowhere", LOOK_NS, &percent), TFR_CROWD_STAY);
}

TFR_TEST_MAIN(TFR_CASE(a_team_that_loses_its_cores_twice_is_loosened_and_tightened_when_alone),
              TFR_CASE(a_team_that_hardly_runs_tells_nothing), TFR_CASE(it_looks_four_times_a_second_at_most),
              TFR_CASE(without_proc_or_when_threads_change_it_is_silent))

/* test_plans.c - which plan an engine gives up when its book is full. */
#include "tfr_test.h"

#include "rank/rank.h"

TFR_TEST(the_one_not_used_for_longest_goes) {
    TFR_UNUSED_STATE;
    struct tfr_shape_plan plans[] = {{.used = 7}, {.used = 3}, {.used = 9}, {.used = 4}};
    assert_int_equal(tfr_plans_oldest(plans, 4), 1);
    plans[1].used = 10;
    assert_int_equal(tfr_plans_oldest(plans, 4), 3);
    assert_int_equal(tfr_plans_oldest(plans, 1), 0);
}

TFR_TEST(shapes_are_rounded_up_to_classes) {
    TFR_UNUSED_STATE;
    assert_int_equal(tfr_bucket(1, 512), 1);
    assert_int_equal(tfr_bucket(17, 512), 32);
    assert_int_equal(tfr_bucket(500, 512), 512);
    assert_int_equal(tfr_bucket(300, 310), 310);
}

TFR_TEST_MAIN(TFR_CASE(the_one_not_used_for_longest_goes), TFR_CASE(shapes_are_rounded_up_to_classes))

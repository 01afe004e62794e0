/* test_roofs.c - bandwidths of teams larger than the smallest working set allows: each size is read by all, at a rate above 0. */
#include "roofs/roofs.h"

#include "base/status.h"
#include "base/tensor.h"
#include "tfr_test.h"

TFR_TEST(every_thread_has_something_to_read) {
    TFR_UNUSED_STATE;
    const struct tfr_machine machine = {.memory_available_bytes = 4 << 20}; /* sizes up to 1 MiB */
    const int n_threads[] = {1, 3, 5, 8};
    for (size_t i = 0; i < TFR_COUNT_OF(n_threads); i++) {
        struct tfr_roofs roofs = {0};
        struct tfr_team *team;
        assert_ok(tfr_team_open(&team, n_threads[i], NULL, true));
        assert_ok(tfr_roofs_bandwidth(&roofs, team, &machine, 1000));
        tfr_team_close(team);
        assert_true(roofs.n_bandwidths >= 5);
        for (int k = 0; k < roofs.n_bandwidths; k++) {
            const struct tfr_bandwidth *at = &roofs.bandwidth[k];
            assert_true(at->one_core > 0 && at->all_cores > 0 && at->bytes <= 1 << 20);
            assert_int_equal(at->bytes % (4096 * n_threads[i]), 0); /* what all of them read together */
            assert_true(k == 0 || at->bytes > roofs.bandwidth[k - 1].bytes);
        }
    }
}

TFR_TEST_MAIN(TFR_CASE(every_thread_has_something_to_read))

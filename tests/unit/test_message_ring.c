/* test_message_ring.c - commands of rank 0 over a back end that is none: how many messages are in flight, whatever the number of
 * ranks. */
#include "job/message.h"

#include "mpi/comm_internal.h"
#include "tfr_test.h"

static bool flies[TFR_COMM_MAX_REQUESTS];
static int n_flying, most_flying;

static bool fake_isend(struct tfr_comm_backend *backend, const void *data, size_t bytes, int peer, int tag,
                       tfr_comm_request *request) {
    (void)backend, (void)data, (void)bytes, (void)peer, (void)tag;
    static int next;
    if (n_flying == TFR_COMM_MAX_REQUESTS) {
        return false;
    }
    while (flies[next]) {
        next = (next + 1) % TFR_COMM_MAX_REQUESTS;
    }
    flies[next] = true;
    *request = next;
    n_flying++;
    most_flying = n_flying > most_flying ? n_flying : most_flying;
    return true;
}

static bool fake_test(struct tfr_comm_backend *backend, tfr_comm_request request, bool *done) {
    (void)backend;
    n_flying -= flies[request];
    flies[request] = false;
    *done = true;
    return true;
}

/* So many commands that are longer than what goes at once; the most messages that were in flight. */
static int command(int n_ranks, int n_commands) {
    struct tfr_comm_backend backend = {.size = n_ranks, .local_size = n_ranks, .isend = fake_isend, .test = fake_test};
    struct tfr_comm comm = {.backend = &backend};
    struct tfr_engine engine = {.comm = &comm, .placement.replicas = 1};
    most_flying = 0;
    assert_ok(tfr_job_open(&engine));
    for (int i = 0; i < n_commands; i++) {
        struct tfr_message *message = tfr_message_new(&engine, TFR_MESSAGE_STEP, 2 * (size_t)TFR_MESSAGE_INLINE);
        assert_non_null(message);
        assert_ok(tfr_message_post(&engine, message));
    }
    tfr_job_close(&engine);
    assert_int_equal(n_flying, 0);
    return most_flying;
}

TFR_TEST(few_ranks_are_told_four_commands_ahead) {
    TFR_UNUSED_STATE;
    assert_int_equal(command(2, 9), 4 * 2);
    assert_int_equal(command(512, 9), 4 * 2 * 511);
}

TFR_TEST(many_ranks_leave_requests_for_the_messages_of_steps) {
    TFR_UNUSED_STATE;
    assert_int_equal(command(513, 9), 2 * 512);
    assert_int_equal(command(1026, 9), 2 * 1025);
    assert_int_equal(command(TFR_COMM_MAX_RANKS, 9), 2 * (TFR_COMM_MAX_RANKS - 1));
}

TFR_TEST_MAIN(TFR_CASE(few_ranks_are_told_four_commands_ahead), TFR_CASE(many_ranks_leave_requests_for_the_messages_of_steps))

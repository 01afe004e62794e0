/* test_comm_faked.c - comm over a back end that is none: the lengths of messages, what another rank answers, limits that are
 * hours away. */
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/status.h"
#include "mpi/comm_internal.h"
#include "tfr_test.h"

enum { MOST = 8 };

static const uint64_t second_ns = 1000000000;

struct message {
    const void *data;
    size_t bytes;
};

static struct message messages[MOST];
static int n_messages;
static int32_t answer; /* the first word of whatever is received */

static bool note(const void *data, size_t bytes, tfr_comm_request *request) {
    assert_true(n_messages < MOST);
    *request = n_messages;
    messages[n_messages++] = (struct message){data, bytes};
    return true;
}

static bool fake_isend(struct tfr_comm_backend *backend, const void *data, size_t bytes, int peer, int tag,
                       tfr_comm_request *request) {
    (void)backend, (void)peer, (void)tag;
    return note(data, bytes, request);
}

static bool fake_irecv(struct tfr_comm_backend *backend, void *data, size_t bytes, int peer, int tag, tfr_comm_request *request) {
    (void)backend, (void)peer;
    if (tag > TFR_COMM_MAX_TAG) { /* of collectives: there is memory behind it */
        memset(data, 0, bytes);
        memcpy(data, &answer, sizeof answer);
    }
    return note(data, bytes, request);
}

static bool fake_test(struct tfr_comm_backend *backend, tfr_comm_request request, bool *done) {
    (void)backend, (void)request;
    *done = true;
    return true;
}

static struct tfr_comm_backend backend = {.size = 2, .local_size = 2, .isend = fake_isend, .irecv = fake_irecv, .test = fake_test};

static struct tfr_comm fake(void) {
    n_messages = 0;
    answer = TFR_OK;
    return (struct tfr_comm){.backend = &backend, .timeout_s = 1, .wait = TFR_COMM_WAIT_SPIN};
}

static void check_piece(int i, const uint8_t *data, size_t bytes) {
    assert_ptr_equal(messages[i].data, data);
    assert_int_equal(messages[i].bytes, bytes);
}

TFR_TEST(long_messages_go_in_pieces) {
    TFR_UNUSED_STATE;
    const size_t piece = TFR_COMM_PIECE_BYTES, bytes = 2 * piece + 17;
    uint8_t *data = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); /* nobody touches it */
    assert_true(data != MAP_FAILED);
    struct tfr_comm comm = fake();
    assert_ok(tfr_comm_send(&comm, data, bytes, 1, 5));
    assert_ok(tfr_comm_recv(&comm, data, bytes, 1, 5));
    assert_int_equal(n_messages, 6);
    for (int i = 0; i < 6; i += 3) {
        check_piece(i, data, piece);
        check_piece(i + 1, data + piece, piece);
        check_piece(i + 2, data + 2 * piece, 17);
    }
    munmap(data, bytes);
}

TFR_TEST(messages_up_to_a_piece_go_whole) {
    TFR_UNUSED_STATE;
    uint8_t byte = 0;
    struct tfr_comm comm = fake();
    assert_ok(tfr_comm_send(&comm, &byte, TFR_COMM_PIECE_BYTES, 1, 5));
    assert_ok(tfr_comm_send(&comm, NULL, 0, 1, 5));
    assert_ok(tfr_comm_recv(&comm, NULL, 0, 1, 5));
    assert_int_equal(n_messages, 3);
    check_piece(0, &byte, TFR_COMM_PIECE_BYTES);
    check_piece(1, NULL, 0);
    check_piece(2, NULL, 0);
}

/* Who fails alone is told from who fails with all others by this count. */
TFR_TEST(failures_that_were_agreed_on_are_counted) {
    TFR_UNUSED_STATE;
    struct tfr_comm comm = fake();
    assert_ok(tfr_comm_agree(&comm, TFR_OK));
    assert_int_equal(tfr_comm_count_agreed(&comm), 0);
    answer = TFR_MODEL;
    assert_int_equal(tfr_comm_agree(&comm, TFR_OK), TFR_MODEL);
    answer = TFR_OK;
    assert_int_equal(tfr_comm_agree(&comm, tfr_raise(TFR_CONFIG, "mine")), TFR_CONFIG);
    assert_int_equal(tfr_comm_count_agreed(&comm), 2);
}

/* What this rank had reserved by then is freed: the sanitizers tell. */
TFR_TEST(places_end_where_another_rank_has_no_memory) {
    TFR_UNUSED_STATE;
    struct tfr_comm comm = fake();
    answer = TFR_RESOURCE;
    assert_int_equal(tfr_comm_learn_places(&comm), TFR_RESOURCE);
    assert_null(comm.places);
}

/* A rank that spins comes to 2^32 looks within a quarter of an hour. */
TFR_TEST(a_wait_that_spins_for_long_has_a_limit_too) {
    TFR_UNUSED_STATE;
    struct tfr_comm comm = fake();
    struct tfr_comm_backend alone = {.size = 1};
    comm.backend = &alone;
    const uint64_t now = tfr_clock_ns();
    struct tfr_backoff backoff = {.start_ns = now - 1001 * second_ns, .last_ns = now, .looked_ns = now, .rounds = UINT32_MAX - 1};
    comm.timeout_s = 2000; /* not yet over */
    assert_ok(tfr_comm_pause(&comm, &backoff, "the moon"));
    assert_ok(tfr_comm_pause(&comm, &backoff, "the moon"));
    comm.timeout_s = 1000;
    assert_refused(tfr_comm_pause(&comm, &backoff, "the moon"), TFR_RUNTIME, "rank 0 waited 1000 s for the moon");
}

TFR_TEST_MAIN(TFR_CASE(long_messages_go_in_pieces), TFR_CASE(messages_up_to_a_piece_go_whole),
              TFR_CASE(failures_that_were_agreed_on_are_counted), TFR_CASE(places_end_where_another_rank_has_no_memory),
              TFR_CASE(a_wait_that_spins_for_long_has_a_limit_too))

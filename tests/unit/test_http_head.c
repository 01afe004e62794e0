/* test_http_head.c - the parser of request heads and chunks on its own: what it reads, and that pieces change nothing. */
#include "app/http/http_chunked.h"
#include "app/http/http_head.h"

#include "tfr_test.h"

static struct tfr_http_limits limits_of_default(void) {
    struct tfr_http_limits limits;
    tfr_http_limits_default(&limits);
    return limits;
}

/* The verdict over a whole text; `bytes` is cut into strings. */
static enum tfr_http_fault parse(char *bytes, struct tfr_head *head) {
    const struct tfr_http_limits limits = limits_of_default();
    struct tfr_head_scan scan = {0};
    size_t end;
    const enum tfr_http_fault fault = tfr_head_scan(&scan, bytes, strlen(bytes), &limits, &end);
    assert_true(fault != TFR_HTTP_FINE || end > 0);
    return fault != TFR_HTTP_FINE ? fault : tfr_head_parse(bytes, end, &limits, head);
}

TFR_TEST(a_head_is_read) {
    TFR_UNUSED_STATE;
    char bytes[] = "\r\nPOST /v1/completions?a=1?b HTTP/1.1\r\nHost: x:80\r\nX-One:\t two words \r\nCONTENT-length: 0012\r\n"
                   "Expect: 100-Continue\r\nX-One: again\r\nConnection: foo ,Close\r\nEmpty:\r\n\r\nbody";
    struct tfr_head head;
    assert_int_equal(parse(bytes, &head), TFR_HTTP_FINE);
    assert_string_equal(head.method, "POST");
    assert_string_equal(head.path, "/v1/completions");
    assert_string_equal(head.query, "a=1?b");
    assert_string_equal(tfr_head_line(&head, "x-one"), "two words");
    assert_string_equal(tfr_head_line(&head, "empty"), "");
    assert_null(tfr_head_line(&head, "X-One"));
    assert_int_equal(head.n_lines, 7);
    assert_true(head.counted && head.length == 12 && !head.chunked && head.minor == 1);
    assert_true(head.close && !head.keep_alive && head.expects_continue);
}

TFR_TEST(pieces_have_the_verdict_of_the_whole) {
    TFR_UNUSED_STATE;
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\nmore", "GET / HTTP/1.1\nHost: x\r\n\r\n", "\r\n\r\n\r\n",
                                        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n"};
    const struct tfr_http_limits limits = limits_of_default();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tfr_head_scan whole = {0}, pieces = {0};
        size_t end, end_in_pieces = 0;
        const enum tfr_http_fault fault = tfr_head_scan(&whole, texts[i], strlen(texts[i]), &limits, &end);
        enum tfr_http_fault again = TFR_HTTP_FINE;
        for (size_t n = 0; n <= strlen(texts[i]) && again == TFR_HTTP_FINE && end_in_pieces == 0; n++) {
            again = tfr_head_scan(&pieces, texts[i], n, &limits, &end_in_pieces);
        }
        assert_int_equal(fault, again);
        assert_int_equal(end, end_in_pieces);
    }
}

TFR_TEST(chunks_come_in_any_pieces) {
    TFR_UNUSED_STATE;
    static const char text[] = "3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\nGET";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct tfr_chunked chunked = {0};
        char body[32] = "";
        size_t at = 0, used, n;
        const char *data;
        while (chunked.state != CHUNK_DONE) {
            const size_t left = sizeof text - 1 - at;
            assert_int_equal(tfr_chunked_feed(&chunked, text + at, left < piece ? left : piece, 13, &used, &data, &n),
                             TFR_HTTP_FINE);
            strncat(body, data, n);
            at += used;
        }
        assert_string_equal(body, "abc0123456789");
        assert_string_equal(text + at, "GET");
    }
    struct tfr_chunked chunked = {0};
    size_t used, n;
    const char *data;
    assert_int_equal(tfr_chunked_feed(&chunked, "e\r\n", 3, 13, &used, &data, &n), TFR_HTTP_BODY_TOO_LARGE);
}

TFR_TEST(hosts_are_compared_without_their_port) {
    TFR_UNUSED_STATE;
    assert_true(tfr_head_host_is("localhost:8080", NULL) && tfr_head_host_is("127.8.9.1", NULL) &&
                tfr_head_host_is("[::1]:1", NULL));
    assert_false(tfr_head_host_is("127.0.0.1.example.org", NULL) || tfr_head_host_is("localhostx", NULL) ||
                 tfr_head_host_is("[::1]x", NULL) || tfr_head_host_is("[::1", NULL) || tfr_head_host_is("127.1:", NULL));
    assert_true(tfr_head_host_is("Node7.example:80", "node7.EXAMPLE"));
    assert_false(tfr_head_host_is("node7", "node7.example") || tfr_head_host_is("node7.example:8x", "node7.example"));
}

TFR_TEST_MAIN(TFR_CASE(a_head_is_read), TFR_CASE(pieces_have_the_verdict_of_the_whole), TFR_CASE(chunks_come_in_any_pieces),
              TFR_CASE(hosts_are_compared_without_their_port))

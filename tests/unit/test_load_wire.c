/* test_load_wire.c - the reader of replies: the same in any portions, and nothing but HTTP/1.1 as it should be. */
#include "app/load/load_reply.h"
#include "app/load/load_wire.h"
#include "tfr_test.h"

struct events {
    char text[512];
    size_t size;
};

static void keep_event(void *user, const char *data, size_t size) {
    struct events *events = user;
    assert_true(events->size + size + 1 < sizeof events->text);
    assert_true(strlen(data) == size);
    memcpy(events->text + events->size, data, size);
    events->size += size;
    events->text[events->size++] = '|';
    events->text[events->size] = '\0';
}

/* All of a reply in portions of n bytes; true if it is a good one. */
static bool feed(struct tfr_load_wire *wire, const char *text, size_t size, size_t n, struct events *events) {
    *events = (struct events){0};
    tfr_load_wire_start(wire, keep_event, events);
    for (size_t at = 0; at < size; at += n) {
        if (!tfr_load_wire_feed(wire, text + at, at + n < size ? n : size - at)) {
            return false;
        }
    }
    return tfr_load_wire_close(wire);
}

#define HEAD   "HTTP/1.1 200 OK\r\n"
#define STREAM HEAD "Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *reply, *body; /* of a stream its events, each with a | behind it */
    bool keeps_alive;
} good[] = {
    {HEAD "Content-Length: 5\r\n\r\nhello", "hello", true},
    {HEAD "content-length:5\r\nConnection: close\r\n\r\nhello", "hello", false},
    {HEAD "Content-Length: 0\r\n\r\n", "", true},
    {"HTTP/1.1 204 No Content\r\n\r\n", "", true},
    {HEAD "\r\nuntil it closes", "until it closes", false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false},
    {HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00B\r\n, ten more!\r\n0\r\n\r\n", "hello, ten more!", true},
    {STREAM "b\r\ndata: one\n\n\r\n0\r\n\r\n", "one|", true},
    {STREAM "3\r\ndat\r\n9\r\na: one\n\nd\r\n8\r\nata: two\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n", "one|two|", true},
    {STREAM "1a\r\n: ping\n\ndata:x\n\nid: 7\n\n\n\n\n\r\n0\r\n\r\n", "x|", true},
};

TFR_TEST(a_reply_is_the_same_in_any_portions) {
    TFR_UNUSED_STATE;
    struct tfr_load_wire wire = {0};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const size_t size = strlen(good[i].reply);
        for (size_t n = 1; n <= size; n++) {
            struct events events;
            if (!feed(&wire, good[i].reply, size, n, &events)) {
                fail_msg("%zu in portions of %zu: %s", i, n, wire.error);
            }
            const char *body = wire.is_stream ? events.text : wire.body.size > 0 ? wire.body.bytes : "";
            assert_string_equal(body, good[i].body);
            assert_int_equal(wire.keeps_alive, good[i].keeps_alive);
        }
    }
    tfr_load_wire_free(&wire);
}

static const struct {
    const char *reply, *words;
} bad[] = {
    {"", "without a reply"},
    {"HTTP/1.1 200 OK\r\n", "inside of the reply"},
    {"HTTP/2 200\r\n\r\n", "not a status line"},
    {"HTTP/1.1 2000 OK\r\n\r\n", "not a status line"},
    {"hello\r\n\r\n", "not a status line"},
    {"HTTP/1.1 100 Continue\r\n\r\n", "interim"},
    {"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "bare line end"},
    {HEAD "Content-Length : 0\r\n\r\n", "not a header line"},
    {HEAD " folded: 0\r\n\r\n", "not a header line"},
    {HEAD "nothing\r\n\r\n", "not a header line"},
    {HEAD "Content-Length: -1\r\n\r\n", "not one whole number"},
    {HEAD "Content-Length: 1\r\nContent-Length: 1\r\n\r\n1", "not one whole number"},
    {HEAD "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "Content-Length and Transfer-Encoding"},
    {HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n", "not one \"chunked\""},
    {HEAD "Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", "not asked for"},
    {HEAD "Content-Length: 4\r\n\r\nhello", "behind the end"},
    {HEAD "Content-Length: 6\r\n\r\nhello", "inside of the reply"},
    {STREAM "x\r\n", "not a hexadecimal number"},
    {STREAM "\r\n", "without a size"},
    {STREAM "1;ext\r\n", "not a hexadecimal number"},
    {STREAM "123456789\r\n", "not a hexadecimal number"},
    {STREAM "5\ndata:", "bare line end"},
    {STREAM "4\r\ndata: one\r\n", "longer than its size"},
    {STREAM "b\r\ndata: one\n\n\r\n0\r\nTrailer: x\r\n\r\n", "trailer"},
    {STREAM "9\r\ndata: one\r\n0\r\n\r\n", "inside of an event"},
    {STREAM "a\r\ndata: one\n\r\n0\r\n\r\n", "inside of an event"},
    {STREAM "16\r\ndata: one\ndata: two\n\n\r\n0\r\n\r\n", "two lines of data"},
    {STREAM "5\r\nwhat\n\r\n", "no line of an event stream"},
};

TFR_TEST(what_is_wrong_is_told_in_any_portions) {
    TFR_UNUSED_STATE;
    struct tfr_load_wire wire = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const size_t size = strlen(bad[i].reply);
        for (size_t n = 1; n <= size + 1; n++) {
            struct events events;
            if (feed(&wire, bad[i].reply, size, n, &events) || strstr(wire.error, bad[i].words) == NULL) {
                fail_msg("%zu in portions of %zu: \"%s\" lacks \"%s\"", i, n, wire.error, bad[i].words);
            }
        }
    }
    tfr_load_wire_free(&wire);
}

TFR_TEST(a_refusal_says_when_to_come_back) {
    TFR_UNUSED_STATE;
    static const char reply[] = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 37\r\n\r\n"
                                "{\"error\":{\"message\":\"queue is full\"}}";
    struct tfr_load_wire wire = {0};
    struct events events;
    char words[100];
    assert_true(feed(&wire, reply, sizeof reply - 1, 1000, &events));
    tfr_load_reply_refusal(wire.body.bytes, wire.body.size, words, sizeof words);
    assert_string_equal(words, "the server says: queue is full");
    assert_int_equal(wire.status, 429);
    assert_int_equal(wire.retry_s, 7);
    tfr_load_wire_free(&wire);
}

#define TOKEN(text) "{\"choices\":[{\"index\":0,\"text\":\"" text "\",\"finish_reason\":null}]}"
#define LAST(text)  "{\"choices\":[{\"index\":0,\"text\":\"" text "\",\"finish_reason\":\"length\"}]}"
#define USAGE(n)    "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":" #n ",\"total_tokens\":9}}"

static const struct {
    const char *events[6];
    int64_t n_tokens; /* -1: refused */
    const char *words;
} streams[] = {
    {{TOKEN("a"), TOKEN("b"), LAST("c"), USAGE(3), "[DONE]"}, 3, NULL},
    {{TOKEN("a"), LAST(""), "[DONE]"}, 1, NULL},                       /* an empty end is no token */
    {{TOKEN("a"), TOKEN(""), LAST("b"), USAGE(5), "[DONE]"}, 5, NULL}, /* the usage knows better */
    {{"{\"choices\":[{\"text\":\"ab\",\"token_ids\":[1,2],\"finish_reason\":\"stop\"}]}", "[DONE]"}, 2, NULL},
    {{TOKEN("a"), "{\"error\":{\"message\":\"it burns\"}}"}, -1, "it burns"},
    {{TOKEN("a"), LAST("b"), TOKEN("c")}, -1, "behind the one with finish_reason"},
    {{LAST("a"), "[DONE]", TOKEN("b")}, -1, "behind [DONE]"},
    {{"{\"choices\":[{\"index\":0}]}"}, -1, "without a text"},
    {{"{\"id\":1}"}, -1, "without choices"},
    {{"{\"choices\":[}"}, -1, "event:1:13"},
    {{"{\"choices\":[],\"usage\":{}}"}, -1, "without completion_tokens"},
};

TFR_TEST(events_are_counted_in_tokens) {
    TFR_UNUSED_STATE;
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct tfr_load_reply reply = {0};
        int64_t n = 0;
        for (int at = 0; at < 6 && streams[i].events[at] != NULL && n >= 0; at++) {
            n = tfr_load_reply_event(&reply, streams[i].events[at], strlen(streams[i].events[at]));
        }
        if (streams[i].words != NULL) {
            assert_int_equal(n, -1);
            if (strstr(reply.error, streams[i].words) == NULL) {
                fail_msg("%zu: \"%s\" lacks \"%s\"", i, reply.error, streams[i].words);
            }
        } else {
            assert_true(n >= 0 && reply.finished && reply.has_ended);
            assert_int_equal(reply.n_tokens, streams[i].n_tokens);
        }
    }
}

TFR_TEST(a_scored_prompt_has_a_number_for_each_token) {
    TFR_UNUSED_STATE;
#define SCORED(numbers)                                                                                                            \
    "{\"choices\":[{\"text\":\"a b\",\"finish_reason\":\"length\",\"logprobs\":{\"token_logprobs\":" numbers                       \
    "}}],\"usage\":{\"completion_tokens\":1}}"
    static const struct {
        const char *body;
        bool good;
    } bodies[] = {{SCORED("[null,-1.5,-2]"), true}, {SCORED("[null,null,-2]"), false}, {SCORED("[-1,-1.5,-2]"), false},
                  {SCORED("null"), false},          {"{\"choices\":[]}", false},       {"<html>", false}};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct tfr_load_reply reply = {0};
        assert_int_equal(tfr_load_reply_whole(&reply, bodies[i].body, strlen(bodies[i].body), true), bodies[i].good);
        assert_int_equal(reply.error[0] == '\0', bodies[i].good);
    }
}

TFR_TEST_MAIN(TFR_CASE(a_reply_is_the_same_in_any_portions), TFR_CASE(what_is_wrong_is_told_in_any_portions),
              TFR_CASE(a_refusal_says_when_to_come_back), TFR_CASE(events_are_counted_in_tokens),
              TFR_CASE(a_scored_prompt_has_a_number_for_each_token))

#!/usr/bin/env python3
"""test_transport.py HTTP_PROBE NAME SOURCE_DIR: the behaviour of the transport, one a case: deadlines, clients that leave, bodies.

`test_transport.py --list` prints the names. Deadlines are made short by flags of the probe.
"""
import json
import random
import socket
import sys
import tempfile
import time

from raw_http import HEALTH, PATIENCE, Probe, case, expect, expect_same, get, main, post


def trickle(client, data, seconds=0.03):
    """Byte by byte until the server answers."""
    for i in range(len(data)):
        client.send(data[i:i + 1])
        if not client.silent(seconds):
            return


# ---- deadlines


@case
def slow_head_has_an_absolute_deadline(program):
    with Probe(program, "--head_s=0.4") as probe, probe.client() as client:
        start = time.monotonic()
        trickle(client, HEALTH * 100)
        expect_same(client.reply().status, 408)
        expect(0.35 < time.monotonic() - start < PATIENCE / 2)
        client.until_closed()


@case
def slow_head_of_a_second_request(program):
    with Probe(program, "--head_s=0.3") as probe, probe.client() as client:
        client.send(HEALTH + HEALTH[:10])
        expect_same((client.reply().status, client.reply().status), (200, 408))


@case
def slow_body_has_an_absolute_deadline(program):
    with Probe(program, "--body_s=0.4", "--min_rate=1") as probe, probe.client() as client:
        start = time.monotonic()
        client.send(post("/echo", 1000))
        trickle(client, b"a" * 1000)
        expect_same(client.reply().status, 408)
        expect(0.35 < time.monotonic() - start < PATIENCE / 2)
        expect_same(probe.line(), "gone /echo SLOW_BODY")  # its head had been shown


@case
def slow_body_has_a_least_rate(program):
    with Probe(program, "--grace_s=0.3", "--min_rate=100000") as probe, probe.client() as client:
        client.send(post("/echo", 1000000) + b"a" * 10000)
        start = time.monotonic()
        expect_same(client.reply().status, 408)  # after 0.3 s and 0.1 s for what came
        expect(0.3 < time.monotonic() - start < PATIENCE / 2)
    with Probe(program, "--grace_s=0.3", "--min_rate=1000") as probe, probe.client() as client:
        client.send(post("/echo", 10))
        for _ in range(10):
            time.sleep(0.02)
            client.send(b"a")
        expect_same(client.reply().body, b"a" * 10)


@case
def idle_connections_are_closed_silently(program):
    with Probe(program, "--idle_s=0.3") as probe, probe.client() as fresh, probe.client() as used:
        used.send(HEALTH)
        expect_same(used.reply().status, 200)
        expect(used.until_closed() > 0.2)
        fresh.until_closed()
        expect_same((used.data, fresh.data), (b"", b""))


@case
def a_request_may_not_take_for_ever(program):
    with Probe(program, "--request_s=0.3") as probe, probe.client() as silent, probe.client() as stream:
        silent.send(get("/never"))
        reply = silent.reply()
        expect_same((reply.status, reply.headers["retry-after"], probe.line()), (503, "1", "gone /never TOOK_TOO_LONG"))
        stream.send(get("/stream?n=100000&ms=10"))
        stream.until_closed()
        expect(b"[DONE]" not in stream.data and not stream.data.endswith(b"0\r\n\r\n"), stream.data[-80:])
        expect_same(probe.line(), "gone /stream TOOK_TOO_LONG")


@case
def what_is_refused_has_not_left(program):
    chunked = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for data, status, fault in (chunked + b"z\r\n", 400, "BAD_CHUNK"), (chunked + b"400\r\n", 413, "BODY_TOO_LARGE"):
        with Probe(program, "--max_body=1000") as probe, probe.client() as client:
            expect_same((client.send(data).reply().status, probe.line()), (status, f"gone /echo {fault}"))


# ---- what one client may hold


def check_shares(program, places, first, last):
    """Clients at 12 places want bodies of more than half of everything, and get a fourth: one that is of another owner finds room."""
    with Probe(program, "--count_loopback=1", "--max_held=4000000", "--linger_s=60") as probe:
        greedy = [probe.client(local=place).send(post("/echo", 200000, first) + b"a" * 199999) for place in places]
        end = time.monotonic() + PATIENCE
        while probe.counts()["NO_MEMORY"] < 7:  # five bodies would be a fourth, without the buffers that they are read into
            expect(time.monotonic() < end, probe.counts())
            time.sleep(0.01)
        counts = probe.counts()
        expect(counts["busy"] > 1 and counts["held"] < 1100000, counts)
        with probe.client(local="127.0.0.3") as other:
            other.send(post("/echo", 200000, last) + b"a" * 200000)
            expect_same(other.reply().body, b"a" * 200000)
        for client in greedy:
            client.socket.close()
        probe.wait_for("busy", 1)
        with probe.client(local="127.0.0.2") as again:
            again.send(post("/echo", 200000, first) + b"a" * 200000)
            expect_same(again.reply().status, 200)


@case
def bodies_of_one_address_leave_room(program):
    check_shares(program, ["127.0.0.2"] * 12, b"", b"")


@case
def bodies_of_one_key_leave_room(program):
    check_shares(program, [f"127.0.1.{i}" for i in range(1, 13)], b"X-Client: 1\r\n", b"X-Client: 2\r\n")


@case
def a_body_without_room_is_refused_before_it_is_sent(program):
    with Probe(program, "--max_held=400000") as probe, probe.client() as client:
        client.send(post("/echo", 300000, b"Expect: 100-continue\r\n"))
        expect_same((client.reply().status, probe.line()), (503, "gone /echo NO_MEMORY"))


@case
def replies_to_one_address_leave_room(program):
    """Whole replies that nobody reads are a fourth of everything at most; others are refused as a whole, not cut."""
    with Probe(program, "--count_loopback=1", "--max_held=8000000") as probe:
        greedy = [probe.client(local="127.0.0.2", receive=4096) for _ in range(12)]
        for client in greedy:
            client.send(get("/big?size=900000"))
        probe.wait_for("NO_MEMORY", 10)
        expect(probe.counts()["held"] <= 2000000, probe.counts())
        with probe.client(local="127.0.0.3") as other:
            expect_same(len(other.send(get("/big?size=1900000")).reply().body), 1900000)
        expect_same(sorted(client.reply().status for client in greedy), [200] * 2 + [503] * 10)


# ---- clients that leave


def leave(client, how):
    if how == "reset":
        client.reset()
    elif how == "half":
        client.socket.shutdown(socket.SHUT_WR)
    else:
        client.socket.close()


def check_leaving(program, request, path, wait=0.05, **keywords):
    """Of each way to leave the application hears at once, and once."""
    for how in "close", "reset", "half":
        with Probe(program, **keywords) as probe, probe.client() as client:
            client.send(request)
            time.sleep(wait)
            leave(client, how)
            start = time.monotonic()
            expect_same(probe.line(), f"gone {path}")
            expect(time.monotonic() - start < PATIENCE / 4, how)
            probe.wait_for("busy", 1)  # the one that asks
            expect_same(probe.counts()["gone"], 1)


@case
def leaving_while_waiting_is_seen(program):
    check_leaving(program, get("/never"), "/never")


@case
def leaving_with_a_request_behind_is_seen(program):
    check_leaving(program, get("/never") + HEALTH * 50, "/never")


@case
def leaving_a_stream_is_seen(program):
    check_leaving(program, get("/stream?n=100000&ms=2"), "/stream")


@case
def leaving_a_silent_stream_is_seen(program):
    check_leaving(program, get("/stream?n=1&ms=60000"), "/stream")


@case
def leaving_inside_a_body_is_seen(program):
    check_leaving(program, post("/echo", 100) + b"half", "/echo")


@case
def leaving_a_unix_socket_is_seen(program):
    with tempfile.TemporaryDirectory() as folder:
        for how in "close", "half":
            with Probe(program, address=f"unix:{folder}/{how}") as probe, probe.client() as client:
                client.send(get("/never"))
                time.sleep(0.05)
                leave(client, how)
                expect_same(probe.line(), "gone /never")


@case
def leaving_after_the_end_is_no_leaving(program):
    with Probe(program) as probe:
        with probe.client() as client:
            client.send(get("/stream?n=2"))
            while b"[DONE]" not in client.data:
                client.read()
        probe.wait_for("open", 1)
        expect_same(probe.counts()["gone"], 0)


@case
def a_half_closed_client_gets_what_is_ready(program):
    for data, n in (HEALTH, 1), (HEALTH * 3, 3), (post("/echo", 3) + b"abc" + HEALTH, 2), (get("/big?size=5000000"), 1):
        with Probe(program) as probe, probe.client() as client:
            client.send(data)
            client.socket.shutdown(socket.SHUT_WR)
            expect_same([client.reply().status for _ in range(n)], [200] * n)
            client.until_closed()


def unread(probe, path):
    """A client that asks and never reads."""
    client = probe.client(receive=4096)
    return client.send(get(path))


@case
def a_client_that_never_reads_is_gone(program):
    with Probe(program, "--write_s=0.4", "--min_rate=1000000000") as probe, unread(probe, "/stream?n=1000000&size=4000&ms=1"):
        expect_same(probe.line(), "gone /stream")
    with Probe(program, "--write_s=0.4", "--min_rate=1000000000") as probe, unread(probe, "/big?size=10000000"):
        probe.wait_for("open", 1)  # its reply had ended: nobody is told
        expect_same(probe.counts()["gone"], 0)


def sip(client):
    """Reads a little now and then until the other side closes; how often."""
    times = 0
    while not client.closed:
        time.sleep(0.01)
        client.data = b""
        times += 1
        try:
            client.closed = not client.socket.recv(4000)
        except ConnectionError:
            client.closed = True
    return times


@case
def a_stream_waits_for_no_trickle(program):
    """Its reader keeps the least rate, by which what waits would grow for ever."""
    flags = ("--write_s=0.5", "--min_rate=1", "--max_output=50000")
    with Probe(program, *flags) as probe, unread(probe, "/stream?n=1000000&size=40000&ms=1") as client:
        sip(client)
        expect_same(probe.line(), "gone /stream")


@case
def a_burst_is_no_slow_reader(program):
    """Far more at once than may wait for long."""
    with Probe(program, "--max_output=50000") as probe, probe.client() as client:
        client.send(get("/stream?n=3&size=2000000&ms=1"))
        expect_same(client.reply().body.count(b"x"), 6000000)


@case
def a_slow_reader_gets_all(program):
    with Probe(program, "--write_s=0.5", "--min_rate=1000") as probe, unread(probe, "/big?size=1000000") as client:
        while len(client.data) < 1000000:
            time.sleep(0.002)
            client.data += client.socket.recv(4000)
        expect_same(len(client.reply().body), 1000000)


@case
def a_large_reply_is_not_held_for_ever(program):
    """Its reader keeps the least rate, by which 10 MB would take hours."""
    with Probe(program, "--reply_s=0.5", "--min_rate=1000") as probe, unread(probe, "/big?size=10000000") as client:
        expect(sip(client) > 5)
        probe.wait_for("open", 1)


@case
def a_reader_that_pauses_gets_its_stream(program):
    with Probe(program) as probe, unread(probe, "/stream?n=300&size=2000&ms=1") as client:
        time.sleep(0.6)
        body = client.reply().body
        expect_same(body, (b"data: " + b"x" * 2000 + b"\n\n") * 300 + b"data: [DONE]\n\n")


@case
def random_leaving_leaves_nothing(program):
    with Probe(program) as probe:
        chance = random.Random(1)
        whole = post("/echo", 300) + b"a" * 300 + get("/stream?n=3&ms=1") + get("/late?ms=2") + HEALTH
        probe.get("/stream?n=1")
        before = probe.counts()
        for _ in range(1500):
            client = probe.client()
            client.send(whole[:chance.randrange(len(whole) + 1)])
            if chance.random() < 0.3 and not client.silent(0.002):
                client.read()
            leave(client, chance.choice(["close", "reset"]))
        probe.wait_for("open", 1)
        after = probe.counts()
        expect_same((after["busy"], after["held"]), (before["busy"], before["held"]))


def last(path):
    return get(path)[:-2] + b"Connection: close\r\n\r\n"


def failures_of(probe):
    """How many allocations have failed, which may be one for this question."""
    for _ in range(2):
        try:
            return json.loads(probe.get("/fail?n=0").body)["failures"]
        except (AssertionError, ConnectionError, KeyError):
            pass
    raise AssertionError("a failure that does not end")


@case
def want_of_memory_ends_one_connection(program):
    """Each allocation of an exchange fails once: it is refused or cut, the server goes on, and holds nothing more than before."""
    for data in (post("/echo", 5000, b"Connection: close\r\n") + b"a" * 5000, last("/stream?n=3&ms=1"), last("/big?size=300000"),
                 HEALTH * 2 + last("/health"), last("/late?ms=5")):
        with Probe(program) as probe:
            probe.get("/health")  # has a buffer from here on
            held = probe.counts()["held"]
            for n in range(1, 100):
                probe.get(f"/fail?n={n}")
                with probe.client(receive=4096) as client:
                    client.send(data).until_closed()
                    expect(client.data[:13] in (b"", b"HTTP/1.1 200 ", b"HTTP/1.1 503 "), client.data[:200])
                if failures_of(probe) < n:  # nothing had need of so many
                    break
                probe.wait_for("busy", 1)
                expect_same((probe.get("/health").status, probe.counts()["held"]), (200, held))
            expect(n > 4, n)


# ---- 100 Continue, and refusals before the body


@case
def continue_is_sent_before_the_body(program):
    with Probe(program) as probe, probe.client() as client:
        client.send(post("/echo", 3, b"Expect: 100-continue\r\n"))
        expect_same(client.reply().status, 100)
        client.send(b"abc")
        expect_same(client.reply().body, b"abc")


@case
def continue_is_not_sent_after_the_body(program):
    with Probe(program) as probe, probe.client() as client:
        client.send(post("/echo", 3, b"Expect: 100-Continue\r\n") + b"abc")
        expect_same(client.reply().body, b"abc")


@case
def continue_is_not_sent_for_what_is_refused(program):
    for request, status in ((post("/echo", 50000000, b"Expect: 100-continue\r\n"), 413), (post("/echo", 3, b"Expect: 200-ok\r\n"), 417),
                            (post("/auth", 3, b"Expect: 100-continue\r\n"), 401)):
        with Probe(program) as probe, probe.client() as client:
            client.send(request)
            reply = client.reply()
            expect_same((reply.status, reply.headers["connection"]), (status, "close"))
            client.until_closed()


@case
def a_reply_to_the_head_spares_the_body(program):
    with Probe(program) as probe, probe.client() as client, probe.client() as known, probe.client() as none:
        client.send(post("/auth", 3000000) + b"a" * 3000000)  # all of it is on its way: the reply must arrive nevertheless
        expect_same((client.reply().status, client.until_closed() < PATIENCE / 2), (401, True))
        known.send(post("/auth", 3, b"Authorization: Bearer ok\r\n") + b"abc")
        expect_same(known.reply().body, b"abc")
        none.send(get("/auth") + HEALTH)  # no body was announced: no reason to close
        expect_same((none.reply().status, none.reply().status), (401, 200))

if __name__ == "__main__":
    sys.exit(main(lambda program, source, folder: program))

#!/usr/bin/env python3
"""test_serve_tasks.py TFRUN NAME SOURCE_DIR: work of `tfrun serve` between two steps, such as embeddings: its share of the time, whose
turn it is, and how it ends.

`test_serve_tasks.py --list` prints the names.
"""
import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import PATIENCE, PROMPT, Setting, read_head, read_until  # noqa: E402

LARGE = [[1] * 512]  # a task as long as the context of the model


def send(server, given, key="none", name="x"):
    """A socket on which embeddings have been asked for."""
    sock, body = server.connect(), json.dumps({"input": given}).encode()
    head = (f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: Bearer {key}\r\nx-request-id: {name}\r\n\r\n")
    sock.sendall(head.encode() + body)
    return sock


def status_of(sock):
    return int(read_head(sock)[0].split()[1])


@case
def texts_have_half_of_the_time(t):
    """A forward pass of 512 rows takes as long as many steps of one row: so many have to come between two of them."""
    n_tasks = 6
    with t.serve("--threads", 1, "--max-batch", 2, "--max-queue-ms", 10**8) as server:
        crowd = {"prompt": [PROMPT] * 200, "max_tokens": 500, "ignore_eos": True, "temperature": 0, "stream": True}
        with server.raw(crowd) as writes:
            read_until(writes, b"data: ")
            before = server.metric("tfrun_steps_total")
            with send(server, LARGE * n_tasks) as asks:
                expect_same(status_of(asks), 200)
            steps = server.metric("tfrun_steps_total") - before
        expect(steps >= 3 * n_tasks, steps)


@case
def keys_take_turns(t):
    """All is there before the server goes on: one task of a key does not wait for thirty of another one."""
    keys, log = t.folder / "keys", t.folder / "access"
    keys.write_text("first-key\nother-key\n")
    keys.chmod(0o600)
    with t.serve("--api-key-file", keys, "--access-log", log, "--access-format", "json") as server:
        server.process.send_signal(signal.SIGSTOP)
        socks = [send(server, [[1] * 128], "first-key", f"first-{i}") for i in range(30)] + [send(server, [[1]], "other-key", "other")]
        server.process.send_signal(signal.SIGCONT)
        expect_same({status_of(sock) for sock in socks}, {200})
        expect_same(server.end(), 0)
        names = [json.loads(line)["id"] for line in log.read_text().splitlines()]
    expect(names.index("other") < 15, names)
    expect_same(sorted(names), sorted([f"first-{i}" for i in range(30)] + ["other"]))


@case
def a_drain_ends_those_that_wait(t):
    with t.serve("--drain", 600, "--threads", 1) as server:
        socks = [send(server, [[1] * 256] * 10) for _ in range(6)]
        until = time.monotonic() + PATIENCE
        while server.metric("tfrun_http_requests_total") < len(socks) + 1:
            expect(time.monotonic() < until)
        server.process.send_signal(signal.SIGTERM)
        expect_same(sorted(status_of(sock) for sock in socks), [200] + [503] * 5)  # the one whose turn it is goes on
        expect_same(server.process.wait(PATIENCE), 0)


@case
def what_takes_too_long_is_ended(t):
    with t.serve("--request-timeout", 1, "--threads", 1) as server:
        reply = server.post({"input": [" the" * 500] * 256}, "/v1/embeddings")
        expect_same((reply.status, reply.json["error"]["code"]), (503, "deadline"))
        until = time.monotonic() + PATIENCE
        while server.post({"input": "x"}, "/v1/embeddings").status != 200:
            expect(time.monotonic() < until)


@case
def too_many_are_refused_before_their_texts_are_split(t):
    """A text that is too long for the context is told so where there is a place, and not read where there is none."""
    n = 40
    with t.serve("--threads", 1, "--max-queue", n) as server:
        socks, until = [send(server, LARGE * n) for _ in range(n + 1)], time.monotonic() + PATIENCE
        while True:
            reply = server.post({"input": " the" * 600}, "/v1/embeddings")
            if reply.status == 429:
                break
            expect_same((reply.status, reply.json["error"]["code"]), (400, "context_length_exceeded"))
            expect(time.monotonic() < until)
        expect_same((reply.json["error"]["code"], reply.headers["retry-after-ms"]), ("queue_full", "1000"))
        for sock in socks:
            sock.close()


if __name__ == "__main__":
    sys.exit(main(Setting))

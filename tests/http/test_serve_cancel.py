#!/usr/bin/env python3
"""test_serve_cancel.py TFRUN NAME SOURCE_DIR: clients that leave `tfrun serve`, in every state that a request can be in.

`test_serve_cancel.py --list` prints the names. What frees the places is read off /metrics: it counts those who left by their state,
and the most steps that any of them kept its sequences.
"""
import json
import pathlib
import re
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import PATIENCE, PROMPT, Setting, read_until  # noqa: E402

SLOTS, MOST_TRIES = 4, 60
# A prompt of 400 tokens takes many small steps. Nothing is kept, so that each prompt is read anew.
FLAGS = ("--max-batch", SLOTS, "--max-rows", SLOTS, "--itl-target", 1, "--no-prefix-cache", "--max-queue", 10**4,
         "--max-queue-ms", 10**8)
WRITING = {"prompt": PROMPT, "max_tokens": 480, "ignore_eos": True, "temperature": 0}
READING = {"prompt": [5 + i * i % 6000 for i in range(400)], "max_tokens": 100, "ignore_eos": True, "temperature": 0}
WAYS = {"streamed": {"stream": True}, "whole": {}, "three": {"n": 3, "temperature": 1, "stream": True},
        "best": {"n": 1, "best_of": 3, "temperature": 1}, "beams": {"num_beams": 3}, "echo": {"echo": True, "logprobs": 2}}


class Books:
    """What /metrics says at one moment."""

    def __init__(self, server):
        text = server.call("GET", "/metrics").body.decode()
        self.values = {name: float(value) for name, value in re.findall(r"^(tfrun_[^ ]+) ([0-9.e+-]+)$", text, re.MULTILINE)}

    def __getitem__(self, name):
        return self.values[f"tfrun_{name}"]

    def left(self, state):
        return self[f'cancelled_total{{state="{state}"}}']

    def idle(self):
        return self["requests_running"] + self["requests_waiting"] + self["waiting_prompt_tokens"] + self["kv_usage_ratio"] == 0


def wait_until(server, truth):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        books = Books(server)
        if truth(books):
            return books
    raise AssertionError(f"never: {books.values}")


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def leave_in(server, state, body, ready, leave=socket.socket.close):
    """Until one has been left in this state: on a fast machine the first may have come further."""
    for _ in range(MOST_TRIES):
        before = wait_until(server, Books.idle)
        sock = server.raw(body)
        wait_until(server, lambda now: ready(before, now))
        leave(sock)
        after = wait_until(server, Books.idle)
        expect(after["cancelled_steps_max"] <= 2, after["cancelled_steps_max"])
        if after.left(state) > before.left(state):
            return
    raise AssertionError(f"{MOST_TRIES} times and never in {state}: {body}")


def has_all_its_slots(server):
    """A request for all of them at once is answered."""
    expect_same(len(server.ask(prompt="x", n=SLOTS, max_tokens=3, ignore_eos=True)["choices"]), SLOTS)
    books = Books(server)
    expect(books.idle() and books["cancelled_steps_max"] <= 2, books.values)


def reads(before, now):
    return now["requests_running"] > 0 and now["batch_rows_total"] > before["batch_rows_total"]


def writes(before, now):
    return now["generation_tokens_total"] > before["generation_tokens_total"]


@case
def while_its_prompt_is_read(t):
    with t.serve(*FLAGS) as server:
        for way in WAYS.values():
            leave_in(server, "prefill", {**READING, **way}, reads)
        leave_in(server, "prefill", READING, reads, leave=reset)
        has_all_its_slots(server)


@case
def while_it_writes(t):
    with t.serve(*FLAGS) as server:
        for name, way in WAYS.items():
            ready = writes if name != "beams" else lambda before, now: now["steps_total"] > before["steps_total"] + 10
            leave_in(server, "decode", {**WRITING, **way}, ready)
        leave_in(server, "decode", {**WRITING, "stream": True}, writes, leave=reset)
        has_all_its_slots(server)


def waits(before, now):
    return now["waiting_prompt_tokens"] >= 400 and before["waiting_prompt_tokens"] < 400


@case
def while_it_waits(t):
    crowd = {**WRITING, "prompt": ["x"] * 200}
    with t.serve(*FLAGS) as server, server.raw(crowd) as others:
        wait_until(server, lambda now: now["requests_running"] == SLOTS)
        for number, way in enumerate(WAYS.values()):
            before = Books(server)
            with server.raw({**READING, **way}):
                wait_until(server, lambda now: waits(before, now))
            after = wait_until(server, lambda now: now.left("waiting") == number + 1)
            expect(after["waiting_prompt_tokens"] < 400 and after["cancelled_steps_max"] <= 2, after.values)
            expect_same(after["requests_running"], SLOTS)
        others.close()
        books = wait_until(server, Books.idle)
        # The prompts of one request go together, whatever state each is in.
        expect(books.left("waiting") > len(WAYS) and books.left("prefill") + books.left("decode") > 0, books.values)
        has_all_its_slots(server)


@case
def beside_one_that_stays(t):
    log = t.folder / "access"
    with t.serve(*FLAGS, "--access-log", log, "--access-format", "json") as server:
        want = server.text(**WRITING)
        with server.raw({**WRITING, "stream": True}) as stays:
            rest = read_until(stays, b"data: ")
            for way in WAYS.values():
                leaving = [server.raw({**body, **way, "prompt": [body["prompt"]] * 60}) for body in (WRITING, READING, READING)]
                read_until(leaving[0], b"data: ") if "stream" in way else Books(server)
                for sock in leaving:
                    sock.close()
            rest += read_until(stays, b"0\r\n\r\n")
        texts = re.findall(rb'"text":("(?:\\.|[^"\\])*")', rest)
        expect_same("".join(json.loads(text) for text in texts), want)
        wait_until(server, Books.idle)
        has_all_its_slots(server)
        server.end()
        statuses = [json.loads(line)["status"] for line in log.read_text().splitlines()]
    expect_same((statuses.count(200), statuses.count(499), len(statuses)), (3, 3 * len(WAYS), 3 + 3 * len(WAYS)))


if __name__ == "__main__":
    sys.exit(main(Setting))

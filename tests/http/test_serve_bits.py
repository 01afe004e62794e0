#!/usr/bin/env python3
"""test_serve_bits.py TFRUN NAME SOURCE_DIR: an answer over HTTP has the same bytes in whatever way a server comes to it.

`test_serve_bits.py --list` prints the names. Every case holds 32 requests (company.py) against what they are alone on a plain
server.
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from company import (NAMES, PLAIN, REQUESTS, alone, bodies_of, expect_equal, ids, joined, send_all, streamed,  # noqa: E402
                     together, with_steps)
from serving import PROMPT, Setting, read_until  # noqa: E402


def ask_alone(t, *flags):
    with t.serve(*PLAIN, "--no-prefix-cache", "--threads", 1, *flags) as server:
        return alone(server)


def whole_of(answer):
    """What joined() makes of the stream of the same answer."""
    told = json.loads(answer)
    return told["choices"], told["usage"]


def expect_streams_equal(have, want, how):
    for name, body, stream, whole in zip(NAMES, REQUESTS, have, want, strict=True):
        if "best_of" in body:
            expect_same((how, name, stream), (how, name, whole))
        else:
            expect_same((how, name, joined(stream)), (how, name, whole_of(whole)))


@case
def among_31_others_and_streamed(t):
    with t.serve(*PLAIN, "--no-prefix-cache", "--threads", 1) as server:
        want, alone_steps = with_steps(server, alone)
        have, steps = with_steps(server, together)
        expect(3 * steps < alone_steps, "they were not together", steps, alone_steps)
        expect_equal(have, want, "all at once")
        expect_streams_equal(alone(server, [streamed(body) for body in REQUESTS]), want, "streamed alone")
        expect_streams_equal(together(server, [streamed(body) for body in REQUESTS]), want, "streamed all at once")
        mixed = together(server, [streamed(body) if at % 3 else body for at, body in enumerate(REQUESTS)])
        expect_same(mixed[0::3], want[0::3])


def cached_tokens(server, body):
    return server.ask(**body)["usage"]["prompt_tokens_details"]["cached_tokens"]


@case
def with_prefixes_kept(t):
    want = ask_alone(t)
    with t.serve(*PLAIN, "--threads", 1) as server:
        expect_equal(together(server), want, "all at once, none kept before")
        found = server.metric("tfrun_prefix_cache_hits_tokens_total")
        expect(found > 500, "beginnings that are alike are read once", found)
        expect_equal(alone(server), want, "kept prefixes, alone")
        expect_equal(together(server), want, "kept prefixes, all at once")
        for name, body in list(zip(NAMES, REQUESTS))[:16]:
            if isinstance(body["prompt"][0], int):
                hits = cached_tokens(server, body)
                expect(hits >= len(body["prompt"]) - 33 and hits > 0, name, hits)
                expect_same((name, cached_tokens(server, {**body, "cache_prompt": False})), (name, 0))
    with t.serve(*PLAIN, "--threads", 1, "--max-slots", 70, "--set", "serve.prefix_block=8") as server:
        for body, first in list(zip(REQUESTS, want))[8:16]:
            expect_same(alone(server, [body, body]), [first, first])


LONG = {"prompt": ids(380, 9), "max_tokens": 1, "temperature": 0, "ignore_eos": True, "logprobs": 2}


def steps_beside_one_that_writes(server):
    """Steps that LONG needs while the budget holds. (The other one may be at its end before LONG comes: then there is none.)"""
    with server.raw({"prompt": PROMPT, "max_tokens": 480, "ignore_eos": True, "stream": True}) as writer:
        read_until(writer, b"data: ")
        [sock] = send_all(server, [LONG])
        before = server.metric("tfrun_steps_total")
        [(status, _)] = bodies_of([sock])
        steps = server.metric("tfrun_steps_total") - before
        expect_same(status, 200)
    return steps


@case
def with_chunks_of_16_to_512(t):
    want = ask_alone(t)
    first = None
    for rows in (16, 64, 512):  # the limit of a step cuts prompts where the target is no limit
        with t.serve(*PLAIN, "--max-rows", rows, "--itl-target", 1e6, "--threads", 1, "--no-prefix-cache") as server:
            expect_equal(together(server), want, f"chunks of {rows} rows")
            answer, steps = with_steps(server, alone, [LONG])
            expect_same((rows, steps), (rows, -(-len(LONG["prompt"]) // rows)))
            first = first or answer
            expect_same(answer, first)


@case
def with_a_budget_that_cuts(t):
    want = ask_alone(t)
    with t.serve(*PLAIN, "--itl-target", 1, "--threads", 1, "--no-prefix-cache") as server:
        expect_equal(together(server), want, "a budget of 1 ms")
        steps = [steps_beside_one_that_writes(server)]
        while steps[-1] < 3 and len(steps) < 20:
            steps.append(steps_beside_one_that_writes(server))
        expect(steps[-1] >= 3, steps)


@case
def with_more_threads(t):
    want = ask_alone(t)
    for threads in (2, 3):
        with t.serve(*PLAIN, "--threads", threads) as server:
            expect_equal(together(server), want, f"{threads} threads")


@case
def in_narrow_types(t):
    narrow = ("--dtype", "bf16", "--kv-dtype", "int8")
    want = ask_alone(t, *narrow)
    with t.serve(*PLAIN, *narrow, "--threads", 2) as server:
        expect_equal(together(server), want, "all at once")
        expect_equal(together(server), want, "kept prefixes, all at once")


if __name__ == "__main__":
    sys.exit(main(Setting))

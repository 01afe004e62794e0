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
from company import NAMES, PLAIN, REQUESTS, alone, expect_equal, joined, streamed, together  # noqa: E402
from serving import Setting  # noqa: E402


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
        steps = [server.metric("tfrun_steps_total")]
        want = alone(server)
        steps.append(server.metric("tfrun_steps_total"))
        have = together(server)
        steps.append(server.metric("tfrun_steps_total"))
        expect(3 * (steps[2] - steps[1]) < steps[1] - steps[0], "they were not together", steps)
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


@case
def with_chunks_of_16_to_512(t):
    want = ask_alone(t)
    # The limit of a step's rows cuts prompts; a target that no step exceeds, or every one, makes the budget as large, or as small.
    for rows, target in ((16, 1e6), (64, 1e6), (512, 1e6), (512, 1)):
        with t.serve(*PLAIN, "--max-rows", rows, "--itl-target", target, "--threads", 1) as server:
            expect_equal(together(server), want, f"chunks of {rows} rows, target {target} ms")
            before = server.metric("tfrun_steps_total")
            expect_equal(alone(server, REQUESTS[7:8]) * 32, want[7:8] * 32, f"chunks of {rows} rows, alone")
            steps = server.metric("tfrun_steps_total") - before
            expect(steps >= 10, steps)


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

#!/usr/bin/env python3
"""test_simulate.py TFRUN NAME SOURCE_DIR BUILD_DIR: ranks that SimGrid simulates (scripts/simulate), against formulas and the real program.

Simulated times depend on no machine, so they are held within a percent. Without SimGrid a case is skipped. `--list` prints the names.
"""
import json
import re
import shutil
import subprocess
import sys

from cases import case, expect, expect_same, main

LAYERS, WIDTH, VOCABULARY = 6, 256, 6144  # configs/demo
BLOCK, HEAD = 4 * 12 * WIDTH * WIDTH, 4 * VOCABULARY * WIDTH


class Box:
    def __init__(self, program, source_dir, folder):
        self.program, self.script, self.build = program, source_dir / "scripts" / "simulate", sys.argv[4]
        self.demo = source_dir / "configs" / "demo"

    def simulate(self, ranks, *arguments, options=(), model=None):
        command = [self.script, "--build", self.build, "--ranks", ranks, *options, "generate", model or self.demo, "--json", *arguments]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        expect(done.returncode == 0, done.stdout[-2000:], done.stderr[-2000:])
        return json.loads(re.search(r"^\{.*\}$", done.stdout, re.M).group())


@case
def results_are_those_of_the_program(box):
    def arguments(kernels):
        return ["-n", 8, "--temperature", 0, "-t", 1, "--kernels", kernels]

    def real(kernels, *layout):
        words = [box.program, "generate", box.demo, "--json", *arguments(kernels), *layout]
        return json.loads(subprocess.run([str(word) for word in words], capture_output=True, text=True).stdout)

    ref, gemv = real("ref"), "gemv,-onednn"
    for ranks in 1, 3, 6:
        expect_same(box.simulate(ranks, *arguments("ref"), options=["--real-kernels"])["logits_digest"], ref["logits_digest"])
    for layout, alone in (["--head", "split"], []), (["--tensor", 4, "--head", "split"], ["--sums", "by-head"]):
        mine = arguments(gemv + ",-clock")  # clock kernels are linked into the simulated program
        have = box.simulate(4, *mine, *layout, options=["--real-kernels"])
        expect_same(have["logits_digest"], real(gemv, *alone)["logits_digest"])


@case
def a_token_takes_its_bytes_and_its_hops(box):
    """A slow network: a token takes the bytes of the model on one rank after the other, and goes once around."""
    gb_s, alpha_ms, tokens = 1, 20, 5
    for ranks in 1, 2, 6:
        stats = box.simulate(ranks, "-n", tokens, "--prompt-ids", "5", options=["--clock", f"{gb_s},1e6,0", "--net", f"{1e3 * alpha_ms},100"])
        computing = (LAYERS * BLOCK + HEAD) / gb_s / 1e6
        hops = ranks * alpha_ms if ranks > 1 else 0
        have = stats["stats"]["decode_ms"] / (tokens - 1)
        expect(0 <= have / (computing + hops) - 1 < 0.05, ranks, have, computing, hops)


@case
def a_message_takes_its_bytes(box):
    """A prompt that goes over one narrow wire: its rows, at the width of the wire."""
    rows, gbit_s = 400, 0.01
    ids = ",".join(["5"] * rows)
    stats = box.simulate(2, "-n", 1, "--max-rows", 512, "--prompt-ids", ids, options=["--clock", "1e6,1e6,0", "--net", f"0,{gbit_s}"])
    least = rows * WIDTH * 4 * 8 / gbit_s / 1e6
    expect(0 <= stats["stats"]["prompt_ms"] / least - 1 < 0.1, stats["stats"], least)


@case
def waits_of_seconds_are_no_failure(box):
    """Steps of seconds, and several pauses in one wait; the time that ranks wait is told as that."""
    ids = ",".join(["5"] * 256)
    stats = box.simulate(4, "-n", 3, "--max-rows", 64, "--prompt-ids", ids, options=["--clock", "0.02,0.05,2"])
    expect(stats["stats"]["prompt_ms"] > 10000, stats["stats"])
    waits, busy = (sum(rank[key] for rank in stats["stats"]["rank_facts"]) for key in ("wait_ms", "busy_ms"))
    total = 4 * (stats["stats"]["prompt_ms"] + stats["stats"]["decode_ms"])
    expect(abs((waits + busy) / total - 1) < 0.02 and waits > 0.3 * total, waits, busy, total)


@case
def groups_of_unlike_sizes_do_not_wait_for_ever(box):
    """Groups of 3, 3 and 2 rows: the logits of a rank are above the usual limit of messages that MPI keeps, and below it, in turn."""
    sequences = ["--prompt-ids", "5,6,7"] * 8
    have = box.simulate(2, "-n", 9, "--head", "split", "--microbatches", 3, *sequences, options=["--shape", "4,64,4,16000"], model="SHAPE")
    expect_same([len(choice["ids"]) for choice in have["choices"]], [9] * 8)


if __name__ == "__main__":
    if not shutil.which("smpirun") and "--list" not in sys.argv:
        print("SimGrid is not installed")
        sys.exit(77)
    sys.exit(main(Box))

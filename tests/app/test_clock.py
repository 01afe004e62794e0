#!/usr/bin/env python3
"""test_clock.py TFRUN NAME SOURCE_DIR PLUGIN: kernels that take the time of a given machine (tests/plugins/clock_plugin.c).

Lower bounds only, computed here from the shape of the demo model: nothing depends on the speed of this machine. `--list` prints the
names of the cases.
"""
import json
import os
import subprocess
import sys

from cases import case, expect, expect_same, main

LAYERS, WIDTH, VOCABULARY, HEADS = 6, 256, 6144, 4  # configs/demo
MATRICES = LAYERS * 12 * WIDTH * WIDTH


class Box:
    def __init__(self, program, source_dir, folder):
        self.program, self.folder, self.plugin = program, folder, sys.argv[4]
        self.demo = source_dir / "configs" / "demo"

    def run(self, *arguments, clock=None):
        environment = dict(os.environ, **({"TFRUN_CLOCK": clock} if clock else {}))
        return subprocess.run([self.program, *map(str, arguments), "--plugin", self.plugin, "--kernels", "clock", "-t", "1", "--no-lossless"],
                              capture_output=True, text=True, env=environment)

    def generate(self, *arguments, clock):
        done = self.run("generate", self.demo, "--json", "--temperature", 0, "--ignore-eos", *arguments, clock=clock)
        expect(done.returncode == 0, done.stderr)
        return json.loads(done.stdout)


@case
def every_op_has_a_clock(box):
    for config in ("--rows", 1), ("--rows", 64), ("--kv-dtype", "int8"), ("--dtype", "bf16"):
        done = box.run("plan", box.demo, "--json", *config)
        expect(done.returncode == 0, done.stderr)
        kernels = {task["kernel"] for task in json.loads(done.stdout)["ranks"][0]["tasks"]}
        expect(all(".clock." in kernel for kernel in kernels), kernels)


@case
def a_plan_has_the_times_of_the_clock(box):
    done = box.run("plan", box.demo, "--json", clock="0.001,1000000,7")
    head = next(task for task in json.loads(done.stdout)["ranks"][0]["tasks"] if task["node"].startswith("lm_head"))
    expected = 4 * WIDTH * VOCABULARY + 4 * (WIDTH + VOCABULARY) + 7
    expect(abs(head["predicted_us"] / expected - 1) < 1e-3, head, expected)


@case
def a_token_takes_its_bytes(box):
    gb_s, tokens = 0.5, 6
    stats = box.generate("-n", tokens, clock=f"{gb_s},1000000,0")["stats"]
    least_ms = (tokens - 1) * 4 * (MATRICES + VOCABULARY * WIDTH) / gb_s / 1e6
    expect(stats["decode_ms"] >= 0.99 * least_ms, stats, least_ms)


@case
def a_prompt_takes_its_flops(box):
    gflop_s, rows = 2, 100
    ids = ",".join(["5"] * rows)
    stats = box.generate("-n", 1, "--prompt-ids", ids, clock=f"1000000,{gflop_s},0")["stats"]
    least_ms = 2 * rows * MATRICES / gflop_s / 1e6
    expect(stats["prompt_ms"] >= 0.99 * least_ms, stats, least_ms)


@case
def keys_are_read_too(box):
    gb_s, rows, tokens = 0.2, 400, 3
    ids = ",".join(["5"] * rows)
    stats = box.generate("-n", tokens, "--prompt-ids", ids, "--kv-capacity", 512, clock=f"{gb_s},1000000,0")["stats"]
    least_ms = (tokens - 1) * 4 * (MATRICES + VOCABULARY * WIDTH + LAYERS * 2 * rows * WIDTH) / gb_s / 1e6
    expect(stats["decode_ms"] >= 0.99 * least_ms, stats, least_ms)


@case
def results_are_those_of_zeros(box):
    one, other = (box.generate("-n", 5, clock=clock) for clock in ("1000,100000,0", "500,50000,1"))
    expect_same(one["logits_digest"], other["logits_digest"])
    expect_same(one["choices"][0]["ids"], [0] * 5)


@case
def a_wrong_machine_is_refused(box):
    for clock in ("fast", "1,2", "0,1,1", "1,1,-1", "1,1,1,1"):
        done = box.run("plan", box.demo, clock=clock)
        expect(done.returncode == 5 and "TFRUN_CLOCK is to be GB_S,GFLOP_S,NODE_US" in done.stderr, clock, done)


if __name__ == "__main__":
    sys.exit(main(Box))

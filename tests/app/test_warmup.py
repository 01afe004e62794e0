#!/usr/bin/env python3
"""Steps that find what they need: test_warmup.py TFRUN NAME SOURCE [MPIEXEC], test_warmup.py --list.

What the log tells is counted: a plan that was made, with its class. No time is looked at. Standard library only.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main

FEW = ["--max-rows", "24", "--max-batch", "4"]  # classes of 1, 2, 4, 8, 16 and 24 rows
PROMPTS = ["-p", "The old sailor looked at the sea", "-p", "It was", "-p", "A whale", "-n", "5", "--ignore-eos"]


class Box:
    def __init__(self, tfrun, source, folder):
        self.tfrun, self.source, self.folder = tfrun, source, folder
        self.demo, self.tests = source / "configs" / "demo", source / "tests" / "model"
        self.mpiexec = sys.argv[4] if len(sys.argv) > 4 else None

    def run(self, *words, start=()):
        """stdout, the classes of plans made before the line of the warm-up, and those made after it"""
        done = subprocess.run(list(map(str, [*start, self.tfrun, *words])), capture_output=True, text=True, timeout=250 * SLOWER)
        expect(done.returncode == 0, done.stderr)
        before, told, after = done.stderr.partition("warmed up in")
        return done.stdout, classes(before), classes(after), told != ""

    def has_nothing_to_make(self, *words, start=()):
        plain, needed, _, told = self.run(*words, "--log", "info", start=start)
        expect(needed and not told, needed)
        warm, _, late, told = self.run(*words, "--warmup", "--log", "info", start=start)
        expect(told and not late, late)
        return plain, warm, needed


def classes(said):
    return [(int(rows), int(logits)) for rows, logits in re.findall(r"(\d+) rows, (\d+) logit rows: ", said)]


def digest(answer):
    return json.loads(answer)["logits_digest"]


@case
def no_step_of_a_run_makes_a_plan(box):
    plain, warm, needed = box.has_nothing_to_make(box.demo, *PROMPTS, *FEW, "--json")
    expect_same(digest(warm), digest(plain))
    expect(len(needed) > 1, needed)


@case
def each_class_is_made_once(box):
    _, made, late, told = box.run(box.demo, *PROMPTS, *FEW, "--warmup", "--log", "debug")
    rows = [1, 2, 4, 8, 16, 24]
    expect_same(sorted(made), sorted((r, k) for r in rows for k in rows if k <= r))
    expect(told and not late, late)


@case
def more_classes_than_places_are_told(box):
    words = [box.demo, "-p", "It was", "-n", "2", "--ignore-eos", "--warmup", "--log", "info", "--max-rows", "16384"]
    done = subprocess.run(list(map(str, [box.tfrun, *words])), capture_output=True, text=True, timeout=250 * SLOWER)
    expect_same(done.returncode, 0)
    n = 22 * 23 // 2 # classes of up to 16384 rows, each with as many classes of logits as it has rows
    expect(f": 240 of {n} plans of classes of steps (the others" in done.stderr, done.stderr)


@case
def other_commands_find_their_plans_too(box):
    for words in (["eval", box.demo, "--data", box.demo / "heldout.txt", "--limit", "60", "--ctx", "40"],
                  ["score", box.demo, "-p", "A whale swam in the sea.", "--per-token"],
                  ["forward", box.tests / "forward" / "base", "--in", box.tests / "forward" / "base" / "request.safetensors",
                   "--out", box.folder / "reply.safetensors", "--force"],
                  ["classify", box.tests / "text" / "single", "--tokenizer", box.tests / "text" / "tokenizer", "-p",
                   "The king went home.", "--labels", "0"]):
        plain, warm, _ = box.has_nothing_to_make(*words, *FEW)
        expect_same(re.sub("time .*", "", warm), re.sub("time .*", "", plain))


@case
def a_config_asks_for_it(box):
    folder = box.folder / "model"
    shutil.copytree(box.demo, folder)
    config = json.loads((folder / "config.json").read_text())
    config.setdefault("tfrun", {}).setdefault("runtime", {})["warmup"] = True
    (folder / "config.json").write_text(json.dumps(config))
    _, _, late, told = box.run(folder, *PROMPTS, *FEW, "--log", "info")
    expect(told and not late, late)


@case
def a_draft_model_is_warm_as_well(box):
    words = [box.demo, "-p", "The old sailor", "-n", "6", "--ignore-eos", "--json", *FEW, "--assistant", box.demo]
    plain, _, _, _ = box.run(*words)
    warm, _, _, _ = box.run(*words, "--warmup")
    expect_same(digest(warm), digest(plain))
    said = subprocess.run([box.tfrun, *map(str, words), "--warmup", "-v"], capture_output=True, text=True, timeout=250 * SLOWER).stderr
    expect_same(said.count("warmed up in"), 2)
    expect(not classes(said.rpartition("warmed up in")[2]), said)


def sizes_of_machine_code(box, n_rows, *words):
    """rows of the primitives that oneDNN writes for a prompt, one for each that it says"""
    prompt = ",".join(str(7 * i % 500) for i in range(n_rows))
    done = subprocess.run([box.tfrun, box.demo, "--prompt-ids", prompt, "-n", "1", "--kernels", "onednn", "-q", *words], timeout=250 * SLOWER,
                          env={**os.environ, "ONEDNN_VERBOSE": "2", "DNNL_VERBOSE": "2"}, capture_output=True, text=True)
    expect_same(done.returncode, 0)
    made = re.findall(r"create:cache_miss,cpu,matmul,.*,(\d+)x\d+:\d+x\d+[:,]", done.stdout + done.stderr)
    if not made: # not there, or built without a voice
        sys.exit(77)
    return sorted(map(int, made))


@case
def machine_code_is_made_for_rows_that_come(box):
    made = sizes_of_machine_code(box, 110) # a plan for up to 128 rows, for which there are eight sizes
    probes = {1, 3, 17} # that ask in which order it adds
    expect_same(set(made) - probes, {112})


@case
def a_warm_up_makes_the_machine_code_of_all_rows(box):
    warm = ["--warmup", "--max-rows", "128"]
    made = sizes_of_machine_code(box, 1, *warm)
    expect({16, 32, 48, 64, 80, 96, 112, 128} <= set(made), made)
    for n_rows in (20, 70, 110): # nothing is left for them
        expect_same(sizes_of_machine_code(box, n_rows, *warm), made)


@case
def ranks_make_their_plans_together(box):
    for words in ([], ["--head", "split"], ["--replicas", "2"]):
        start = [box.mpiexec, "-n", "2"]
        plain, warm, _ = box.has_nothing_to_make(box.demo, *PROMPTS, *FEW, "-t", "1", "--json", *words, start=start)
        expect_same(digest(warm), digest(plain))


@case
def ranks_have_a_place_for_every_class_of_the_default(box):
    """With a split head each class has a plan for its best tokens as well."""
    words = [box.demo, "-p", "It was", "-n", "3", "-t", "1", "--head", "split", "--warmup", "--log", "debug"]
    done = subprocess.run(list(map(str, [box.mpiexec, "-n", "2", box.tfrun, *words])), capture_output=True, text=True, timeout=250 * SLOWER)
    expect_same(done.returncode, 0)
    rows = [1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512]
    pairs = [(r, k) for r in rows for k in rows if k <= r]
    n = len(pairs) + len([k for _, k in pairs if k <= 16]) # max_batch
    expect(f": {n} plans of classes of steps, " in done.stderr, done.stderr[-2000:])
    expect(set(pairs) <= set(classes(done.stderr.partition("warmed up in")[0])), done.stderr[-2000:])


if __name__ == "__main__":
    sys.exit(main(Box))

#!/usr/bin/env python3
"""test_peers.py TFRUN NAME SOURCE_DIR: scripts/compare_peers.py from outside, with peers that are tfrun itself or pretend; what it
refuses, whom it leaves out, what its documents look like."""

import json
import os
import pathlib
import signal
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main

FAKE = pathlib.Path(__file__).with_name("fake_peer.py")
WORKS = "prefill-512,decode-1,decode-16"


class Script:
    def __init__(self, program, source_dir, folder):
        self.program, self.script, self.demo, self.folder = (
            program,
            source_dir / "scripts" / "compare_peers.py",
            source_dir / "configs" / "demo",
            folder,
        )
        self.venvs = folder
        self.environment = {**os.environ, "TFRUN_PROGRAM": str(program)}  # of peers that this test names itself

    def command(self, *words):
        command = [
            sys.executable,
            "-B",
            self.script,
            self.demo,
            "--tfrun",
            self.program,
            *(("--venvs", self.venvs) if self.venvs else ()),
            "--threads",
            1,
            "--rounds",
            1,
            "--repetitions",
            1,
            "--steps",
            2,
            "--work",
            "prefill-512",
            *words,
        ]
        return [str(word) for word in command]

    def run(self, *words, code=0):
        ran = subprocess.run(
            self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240 * SLOWER, check=False,
            env=self.environment, cwd=self.folder,
        )
        expect(ran.returncode == code, words, ran.returncode, ran.stdout, ran.stderr)
        return ran.stdout, ran.stderr


def fake(kind, name):
    return ("--worker", f"{name}={sys.executable} -B {FAKE} {kind}")


def reasons(document):
    return {one["name"]: one["reason"] for one in document["skipped"]}


@case
def a_document_of_all_that_runs(script):
    file = script.folder / "found.json"
    out, err = script.run(
        "--peers", "tfrun/bf16", "--work", WORKS + ",start", *fake("right", "twin/f32"), "--format", "json", "-o", file
    )
    document = json.loads(out)
    expect_same(document, json.loads(file.read_text(encoding="utf-8")))
    expect_same((document["schema"], document["threads"], document["rounds"], document["skipped"]), ("tfrun-peers-1", 1, 1, []))
    names = [f"{one['peer']} {one['precision']}" for one in document["workers"]]
    expect_same(names, ["tfrun f32", "twin f32", "tfrun bf16"])
    for one in document["workers"]:
        figures = ["prefill-512", "decode-1", "decode-16"] + ["start", "peak"] * (one["peer"] == "tfrun")
        expect_same(list(one["figures"]), figures)
        for figure in one["figures"].values():
            expect(0 < figure["least"] <= figure["q1"] <= figure["median"] <= figure["q3"], one["peer"], figure)
        expect_same([one["figures"][name]["samples"] for name in figures[:3]], [1, 2, 1])
        expect(one["agreement"]["is_right"] and one["agreement"]["rows"] == 18, one)  # a prompt, one stream, sixteen
    expect_same([document["workers"][i]["agreement"]["relative"] for i in (0, 1)], [0, 0])  # the bits of one library
    expect_same(
        [(one["class"], one["figure"], one["tfrun"], one["peer"]) for one in document["against"]],
        [("32 bits", name, "f32", "twin f32") for name in ("prefill-512", "decode-1", "decode-16")],
    )
    expect("round 1 of 1 done in" in err, err)


@case
def who_is_wrong_dead_or_missing_is_named_and_left_out(script):
    out, _ = script.run(
        "--peers",
        "tfrun/f32,llama.cpp/q8_0,PyTorch/bf16",
        "--work",
        WORKS,
        *fake("wrong", "liar/f32"),
        *fake("late", "late/bf16"),
        *fake("dies", "mortal/int8"),
        "--worker",
        "nobody/int4=/nowhere/program",
        "--format",
        "json",
    )
    document, found = json.loads(out), reasons(json.loads(out))
    expect_same([one["peer"] for one in document["workers"]], ["tfrun", "mortal"])  # it was right once
    expect_same(list(document["workers"][1]["figures"]), [])
    for name, told in (
        ("liar f32", "wrong logits"),
        ("late bf16", "wrong logits"),
        ("mortal int8", "round 1: ended with 3: out of luck"),
        ("nobody int4", "/nowhere/program can't be started"),
        ("llama.cpp q8_0", "pip install numpy"),
        ("PyTorch bf16", f"scripts/peers/setup {script.folder} torch (pip install torch"),
    ):
        expect(told in found.pop(name), name, document["skipped"])
    expect_same(found, {})


@case
def tables_for_people_and_pages(script):
    """Where no peers are, tfrun's own files are made for the run, and nothing stays where it was called."""
    script.venvs = None
    for form, rule in (("table", "  "), ("md", " | ")):
        words = ("--peers", "tfrun/f32,tfrun/int8,vLLM/bf16", "--rounds", 3, "--minutes", 1e-6, *fake("right", "twin/f32"))
        out, err = script.run(*words, "--format", form)
        expect("no time for round 2" in err, err)
        figures, ratios, conditions, missing = out.strip().split("\n\n")
        expect(
            [line.strip("| ").split(rule)[0].strip() for line in figures.splitlines() if "f32" in line]
            == ["tfrun f32", "twin f32"],
            figures,
        )
        expect("prompt of 512, ms" in figures and "in disguise" in figures and "18" not in figures.splitlines()[0], figures)
        expect("32 bits" in ratios and "twin f32" in ratios, ratios)
        expect("1 thread," in conditions and "; 1 round; " in conditions and "Versions: tfrun: tfrun " in conditions, conditions)
        expect("- vLLM bf16: " in missing, missing)
        expect("no folder 'peers': files that are made are for this run alone" in err and "tfrun int8: making " in err, err)
        expect_same(list(script.folder.iterdir()), [])


def left_by(mark):
    """Processes that have inherited it."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            pass
    return found


@case
def who_is_ended_ends_those_who_are_stopped(script):
    mark = f"TFRUN_TEST_MARK={script.folder}"
    environment = {**script.environment, "TFRUN_TEST_MARK": str(script.folder)}
    words = ("--peers", "tfrun/f32", "--rounds", 100000, *fake("right", "twin/f32"))
    with subprocess.Popen(script.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        said = ""
        while "round 1 of" not in said:
            said = process.stderr.readline()
            expect(said, "it ended before a round did", process.poll())
        expect_same(len(left_by(mark)), 3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60 * SLOWER)
    expect_same((process.returncode, left_by(mark)), (128 + signal.SIGTERM, []))


@case
def nonsense_is_refused_before_the_work(script):
    for words, told in (
        (("--work", "prefill-512,train"), "'train' is none of"),
        (("--peers", "tfrun,ggml"), "'ggml' is none of tfrun, PyTorch"),
        (("--work", "prefill-1000"), "takes 1000 positions, the model has 512"),
        (("--rounds", 0), "no whole number above 0"),
        (("--threads", 4096), "cores that this process may use"),
        (("--worker", "a=true"), "is not NAME/PRECISION=COMMAND"),
        (("--worker", "a/f31=true"), "is not NAME/PRECISION=COMMAND"),
        (("--tfrun", "/nowhere/tfrun"), "no program '/nowhere/tfrun'"),
        (("--output", "/nowhere/found.json"), "there is no folder for /nowhere/found.json"),
        (("--venvs", "/nowhere/peers"), "no folder '/nowhere/peers'; scripts/peers/setup /nowhere/peers makes it"),
    ):
        out, err = script.run(*words, code=2)
        expect(out == "" and told in err.splitlines()[-1], words, err)


if __name__ == "__main__":
    sys.exit(main(Script))

#!/usr/bin/env python3
"""test_inject.py TFRUN NAME SOURCE_DIR INJECT_SO [POINTS]: what comes when memory or a file is refused, at any of the places that ask.

`test_inject.py --list` prints the names. Each case runs one command again and again, each time with another request refused (the
library of tests/support/inject.c), alone or with all after it. Then exit code 0 means the whole right result; any other means a
sentence on stderr, no crash and no half-written file. POINTS requests are tried, spread evenly; 0 tries all (scripts/inject).
"""
import os
import pathlib
import shutil
import subprocess
import sys

from cases import case, expect, main

DEFAULT_POINTS = 12
OWN_WORDS = ("libgomp: Out of memory",)  # of a vendor that ends the process itself


class Box:
    def __init__(self, program, source_dir, folder):
        self.program, self.source, self.folder = str(pathlib.Path(program).resolve()), source_dir.resolve(), folder
        self.library = sys.argv[4] if len(sys.argv) > 4 else ""
        self.points = int(sys.argv[5]) if len(sys.argv) > 5 else DEFAULT_POINTS
        self.golden = self.source / "tests" / "model" / "golden"
        self.demo = self.source / "configs" / "demo"

    def run(self, words, at=0, rest=False):
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        environment = {**os.environ, "LD_PRELOAD": self.library, "TFR_INJECT_AT": str(at), "TFR_INJECT_REST": str(int(rest)),
                       "TFR_INJECT_COUNT": str(self.folder / "count"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, timeout=120, stdin=subprocess.DEVNULL, cwd=out,
                              env=environment)
        files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
        return done, files

    def fault(self, done, files, want, want_files, words_of_report):
        """What is wrong with this end, or None."""
        text = done.stderr.decode(errors="replace")
        if done.returncode == 0:
            if done.stdout != want:
                return f"exit code 0, but the result is {done.stdout[:200]!r}"
            return None if files == want_files else f"exit code 0, but the files are {sorted(files)}"
        if done.returncode < 0 or done.returncode > 6:
            return None if any(words in text for words in OWN_WORDS) else f"exit code {done.returncode}: {text[-300:]}"
        said = [line for line in text.splitlines() if line.startswith("tfrun: ") and not line.startswith("tfrun: warning")]
        if words_of_report and b"refused" in done.stdout:
            said.append("in the report")
        if not said and not any(words in text for words in OWN_WORDS):
            return f"exit code {done.returncode} without a sentence: {text!r}"
        wrong = [name for name, content in files.items() if want_files.get(name) != content]
        return f"exit code {done.returncode}, but there is {wrong}" if wrong else None

    def try_all(self, *words):
        if not self.library or not os.path.exists(self.library):
            print("skipped: no library to preload")
            sys.exit(77)
        done, want_files = self.run(words)
        expect(done.returncode == 0, done.returncode, done.stderr)
        count = int((self.folder / "count").read_text())
        expect(count > 50, count, "requests; the library counts wrongly")
        step = max(1, count // self.points) if self.points > 0 else 1
        faults = []
        for at in range(1 + (step * 7 // 10) % step, count + 1, step):
            for rest in (False, True):
                ended, files = self.run(words, at, rest)
                fault = self.fault(ended, files, done.stdout, want_files, words[0] == "check")
                if fault:
                    faults.append(f"request {at} of {count}{' and all after it' if rest else ''}: {fault}")
        expect(not faults, len(faults), "faults:", "\n".join(faults[:int(os.environ.get("TFR_INJECT_SHOW", "10"))]))


@case
def generate_ids(box):
    box.try_all(box.golden / "base", "--prompt-ids", "1,2,3", "-n", 3, "-q", "-t", 1)


@case
def generate_text(box):
    box.try_all(box.demo, "-p", "Once upon", "-n", 3, "-q", "-t", 1, "--temperature", 0)


@case
def generate_json_into_a_file(box):
    box.try_all(box.golden / "base", "--prompt-ids", "1,2", "--prompt-ids", "5", "-n", 3, "-q", "-t", 1, "-o", "result")


@case
def beams(box):
    box.try_all(box.golden / "base", "--prompt-ids", "1,2,3", "-n", 4, "-q", "-t", 1, "--num-beams", 3, "--num-return-sequences", 2)


@case
def plan(box):
    box.try_all("plan", box.golden / "base", "-t", 1)


@case
def summary(box):
    box.try_all("summary", box.golden / "base", "-t", 1)


@case
def graph(box):
    box.try_all("graph", box.golden / "base", "-t", 1, "--stage", "both", "--ranks", 2, "--critical-path")


@case
def graph_measured(box):
    box.try_all("graph", box.demo, "-t", 1, "--ranks", 3, "--format", "json", "--measured", box.source / "docs" / "examples" / "trace.json")


@case
def forward(box):
    box.try_all("forward", box.source / "tests" / "model" / "forward" / "lm", "--in", box.source / "tests" / "model" / "forward" / "lm" / "request.safetensors", "--out", "result",
                "-t", 1)


@case
def init(box):
    box.try_all("init", box.golden / "base" / "config.json", "-o", "model")


@case
def evaluate(box):
    text = box.folder / "text"
    text.write_text("Once upon a time there was a king.")
    box.try_all("eval", box.demo, "--data", text, "-q", "-t", 1)


@case
def score(box):
    lines = box.folder / "lines"
    lines.write_text('{"context": "Once", "continuation": " upon"}\n{"context": "The", "continuation": " king"}\n')
    box.try_all("score", box.demo, "--pairs", lines, "-q", "-t", 1)


@case
def tokenize(box):
    box.try_all("tokenize", box.demo, "-p", "Once upon a time")


@case
def check(box):
    box.try_all("check", box.golden / "base")


if __name__ == "__main__":
    sys.exit(main(Box))

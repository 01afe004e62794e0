#!/usr/bin/env python3
"""check_score_ranks.py TFRUN MPIEXEC N DEMO: `eval` and `score` on N ranks give the numbers of one process, to the last bit.

Also: an error that rank 0 alone finds ends all ranks with its one line. Python's own library only.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

PAIRS = [("Once upon a", " time there was"), ("", "The king"), ("The queen said to the", " little bird")]
TEMPORAL = ("elapsed_s", "ranks", "threads")


def run(command, stdin=b"", code=0):
    ran = subprocess.run(list(map(str, command)), input=stdin, capture_output=True, timeout=140)
    if (ran.returncode == 0) != (code == 0):
        sys.exit(f"{command}: exit code {ran.returncode}\n{ran.stderr.decode(errors='replace')}")
    return ran


def numbers(text):
    """Every line as JSON; equal numbers were equal doubles, as the shortest digits that read back are printed."""
    lines = [json.loads(line) for line in text.splitlines()]
    return [{key: value for key, value in line.items() if key not in TEMPORAL} for line in lines]


def main():
    tfrun, mpiexec, n_ranks, demo, *options = sys.argv[1:]
    launch = [mpiexec, "-n", n_ranks, tfrun]
    with tempfile.TemporaryDirectory() as folder:
        pairs = pathlib.Path(folder) / "pairs.jsonl"
        pairs.write_text("".join(json.dumps({"context": a, "continuation": b}) + "\n" for a, b in PAIRS))
        bad = pathlib.Path(folder) / "bad.jsonl"
        bad.write_text("{}\n")
        jobs = [["eval", demo, "--data", f"{demo}/heldout.txt", "--limit", 700, "--ctx", 200, "--stride", 90, "--json", "-q"],
                ["score", demo, "-p", "Once upon a time there was a king.", "--per-token", "--json", "-q"],
                ["score", demo, "--pairs", pairs, "-q"]]
        for job in jobs:
            want, have = numbers(run([tfrun, *job]).stdout), numbers(run([*launch, *job, *options]).stdout)
            if have != want:
                sys.exit(f"{job[0]}: {n_ranks} ranks give\n{have}\none process gives\n{want}")
            print(f"{job[0]}: as one process")
        ran = run([*launch, "score", demo, "--pairs", bad], code=4)
        if ran.stderr.decode().count("bad.jsonl line 1") != 1 or ran.stdout:
            sys.exit(f"a bad line is told as\n{ran.stderr.decode()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

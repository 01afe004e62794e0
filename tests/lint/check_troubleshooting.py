#!/usr/bin/env python3
"""Checks docs/troubleshooting.md: it is current, each sentence has a fix, and what the command says is found in it.

Usage: check_troubleshooting.py ROOT TFRUN
"""
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT, TFRUN = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(ROOT / "scripts"))
import gen_troubleshooting  # noqa: E402 from ROOT

# Commands that fail, each by another kind of text: a format, a parameter of a function, a buffer, a table, a program's own.
FAIL = [["nowhere"], ["configs/demo", "--thread", "2"], ["configs/demo", "-t", "0"], ["configs/demo", "--dtype", "f33"], ["plan"],
        ["configs/demo", "--set", "runtime.nothing=1"], ["cost", "configs/demo", "--format", "xml"], ["tokenize", "configs/demo", "--decode", "1,x"],
        ["configs/demo", "--kernels", "nothing"], ["load", "https://localhost"], ["bench", "configs/demo", "--cases", "decode:x"], ["BROKEN"]]


def main():
    table, reader, sentences = gen_troubleshooting.read()
    failures = gen_troubleshooting.wrongs(table, reader, sentences)
    with tempfile.TemporaryDirectory() as folder:
        broken = Path(folder, "config.json")
        broken.write_text('{"model_type": "gpt2",}')
        for command in FAIL:
            words = [str(broken) if word == "BROKEN" else word for word in command]
            run = subprocess.run([TFRUN, *words], cwd=ROOT, capture_output=True, text=True)
            said = run.stderr.splitlines()
            if run.returncode == 0 or not said:
                failures.append(f"tfrun {' '.join(command)} does not fail with a sentence")
                continue
            if not gen_troubleshooting.said_in(sentences, said[0]):
                failures.append(f"tfrun {' '.join(command)} says what the page does not have: {said[0]}")
    print("\n".join(failures))
    sys.exit(1 if failures else 0)


main()

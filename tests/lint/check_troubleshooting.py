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

# Messages and what the first sentence for them must hold: a plural, a cut one, a narrow one before wide ones.
FIND = {"99 ranks share 2 cores: correct, but slower than one rank per core": "share <n cores> core(s)",
        "warning: prompt 1 has 1 token and context is 512 (n_positions): at most 511 new tokens instead of 600": "prompt <index> has",
        "92 ranks without a block, idle: ...; start 7 ranks": "without a block, idle",
        "--set sampling.top_k: \"x\" is not a whole number": "is not <",
        "--format: \"xml\" is none of table, md, json and csv": "is none of <list>",
        "token id 9999 at position 1 of sequence 0 is outside 0..6143 (vocab_size - 1)": "token id <ids> at position"}


def not_found(table, sentences):
    """What the search answers wrongly."""
    for text, wanted in FIND.items():
        found = gen_troubleshooting.said_in(sentences, text) or gen_troubleshooting.nearest(sentences, text)
        if not found or wanted not in found[0].text:
            yield f"\"{text}\" is not found as \"{wanted}\": {found[0].text if found else 'nothing is'}"
    wide = gen_troubleshooting.said_in(sentences, [*FIND][-1])
    if any(sentence.text == "<shown> is outside <min>..<max>" for sentence in wide):
        yield "a wide sentence is told beside a narrow one"
    if not any("ulimit -n" in entry["fix"] for entry in gen_troubleshooting.entries_with(table, "model.safetensors: Too many open files")):
        yield "\"Too many open files\" has no fix"


def main():
    table, reader, sentences = gen_troubleshooting.read()
    failures = [*gen_troubleshooting.wrongs(table, reader, sentences), *not_found(table, sentences)]
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

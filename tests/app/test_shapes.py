#!/usr/bin/env python3
"""Lengths of encoder states and the shapes of a request: test_shapes.py TFRUN NAME SOURCE, test_shapes.py --list.

Laws that need no reference: what is said in fewer elements gives the bits of what is said in full, and states of any length those
of the same states among hidden ones. Standard library only.
"""
import json
import math
import pathlib
import subprocess
import sys

from cases import CASES, SLOWER, case, expect, expect_same, main
from tensors import read_tensors, write_tensors

LENGTHS = (1, 2, 15, 16, 17, 31, 38, 100, 195)
LONGEST = 1000


class Box:
    def __init__(self, tfrun, source, folder):
        self.tfrun, self.source, self.folder = tfrun, source, folder

    def run(self, *words):
        done = subprocess.run([self.tfrun, *map(str, words)], capture_output=True, text=True, timeout=250 * SLOWER)
        expect(done.returncode == 0, words, "failed with", done.returncode, done.stderr)
        return done.stdout

    def forward(self, model, tensors, *flags):
        write_tensors(self.folder / "in.safetensors", tensors)
        self.run("forward", model, "--in", self.folder / "in.safetensors", "--out", self.folder / "out.safetensors", "--force", *flags)
        return read_tensors(self.folder / "out.safetensors")

    def generate(self, model, tensors, *flags):
        write_tensors(self.folder / "in.safetensors", tensors)
        return json.loads(self.run("generate", model, "--prompt-ids", "5,6,7", "-n", 4, "--encoder-states", self.folder / "in.safetensors", "--json", "-q", *flags))

    def cross_model(self):
        """Wide enough for every kernel of matrices and for buffers of more than a page."""
        config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "add_cross_attention": True, "n_embd": 384, "n_head": 6, "n_layer": 2,
                  "n_positions": 64, "vocab_size": 61, "bos_token_id": 60, "eos_token_id": 60}
        (self.folder / "cross.json").write_text(json.dumps(config))
        self.run("init", self.folder / "cross.json", "-o", self.folder / "cross", "--seed", 1)
        return self.folder / "cross", config["n_embd"]


# ---- encoder states of any length

def states(n, width, visible):
    """The first n positions of one long tensor; the mask, where there is one, hides those behind `visible`."""
    out = {"encoder_hidden_states": ("F32", [1, n, width], [math.sin(i * 0.7) for i in range(n * width)])}
    if visible < n:
        out["encoder_attention_mask"] = ("I64", [1, n], [int(e < visible) for e in range(n)])
    return out


def first_positions(tensor, n):
    """[1,H,E,D] without the positions from n on."""
    _, (_, heads, length, width), values = tensor
    return b"".join(values[h * length * width:(h * length + n) * width].tobytes() for h in range(heads))


def forward_lengths(box, dtype):
    model, width = box.cross_model()
    tokens = {"input_ids": ("I64", [1, 3], [5, 6, 7])}
    flags = ("--use-cache", "--output-hidden-states", "--dtype", dtype)
    whole = box.forward(model, {**tokens, **states(LONGEST, width, LONGEST)}, *flags)
    for n in LENGTHS:
        got = box.forward(model, {**tokens, **states(n, width, n)}, *flags)
        hidden = box.forward(model, {**tokens, **states(LONGEST, width, n)}, *flags)
        for name, (_, shape, values) in got.items():
            is_cross = ".cross_" in name
            other = first_positions(hidden[name], n) if is_cross else hidden[name][2].tobytes()
            expect(values.tobytes() == other, name, "of", n, "states has other bits than among hidden ones")
        key = "past_key_values.0.cross_key"  # made of the states alone
        expect(got[key][2].tobytes() == first_positions(whole[key], n), n, "states give other keys than the first of", LONGEST)


def generate_lengths(box, dtype):
    model, width = box.cross_model()
    digests = set()
    for n in (*LENGTHS, LONGEST):
        got = box.generate(model, states(n, width, n), "--dtype", dtype)
        hidden = box.generate(model, states(n + 40, width, n), "--dtype", dtype)
        expect_same(got["logits_digest"], hidden["logits_digest"])
        digests.add(got["logits_digest"])
    expect_same(len(digests), len(LENGTHS) + 1)


for kind in ("f32", "bf16"):
    CASES[f"law_encoder_states_of_any_length_{kind}"] = lambda box, kind=kind: forward_lengths(box, kind)
    CASES[f"law_encoder_states_of_any_length_generate_{kind}"] = lambda box, kind=kind: generate_lengths(box, kind)


@case
def law_encoder_states_of_the_config(box):
    """configs/gpt2-cross-attention.json from init to text, with states of lengths that are no size of a plan."""
    config = json.loads((box.source / "configs" / "gpt2-cross-attention.json").read_text())
    config["tfrun"]["model"]["weights"] = "model.safetensors"
    path = box.folder / "cross.json"
    path.write_text(json.dumps(config))
    box.run("init", path, "-o", box.folder, "--seed", 1, "--force")
    for n in (17, 38, 100):
        got = box.generate(path, states(n, config["n_embd"], n))
        expect_same(got["logits_digest"], box.generate(path, states(n + 27, config["n_embd"], n))["logits_digest"])


if __name__ == "__main__":
    sys.exit(main(Box))

#!/usr/bin/env python3
"""Compare tfrun's logits with transformers' float64 eager attention on the same folder and the same random ids.

    python3 scripts/compare_hf.py CONFIG_DIR --tokens 64 --seed 0 --dtype f32 --tool build/bin/logits_tool

Prints the largest absolute difference, and how often the best token agrees where the reference's two best logits
are more than 0.1 apart. Exit code 6 when a limit is passed (f32 2e-4, bf16 5e-2, or an argmax that differs).
Needs torch and transformers; the tool is built with the tests.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import argtypes

LIMITS = {"f32": 2e-4, "bf16": 5e-2}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config_dir", type=argtypes.holding("config.json"))
    parser.add_argument("--tokens", type=argtypes.at_least_one, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=sorted(LIMITS), default="f32")
    parser.add_argument("--tool", type=argtypes.program, default="build/bin/logits_tool")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="further settings of tfrun")
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "transformers")

import torch  # noqa: E402
from transformers import GPT2Config, GPT2LMHeadModel  # noqa: E402

CLEAR_GAP = 0.1


@torch.no_grad()
def reference_logits(config_dir, ids):
    model = GPT2LMHeadModel.from_pretrained(config_dir, dtype=torch.float64, attn_implementation="eager").eval()
    return model(ids[None]).logits[0]


def tfrun_logits(tool, config_dir, ids, settings):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "logits.f32"
        words = ",".join(str(i) for i in ids.tolist())
        subprocess.run([tool, config_dir, str(out), words, *settings], check=True)
        data = torch.frombuffer(bytearray(out.read_bytes()), dtype=torch.float32)
    return data.view(len(ids), -1).double()


def main(args):
    vocab_size = GPT2Config.from_pretrained(args.config_dir).vocab_size
    ids = torch.randint(0, vocab_size, (args.tokens,), generator=torch.Generator().manual_seed(args.seed))
    want = reference_logits(args.config_dir, ids)
    have = tfrun_logits(args.tool, args.config_dir, ids, [f"runtime.dtype={args.dtype}", *args.set])

    distance = (want - have).abs().max().item()
    best = want.topk(2).values
    clear = (best[:, 0] - best[:, 1]) > CLEAR_GAP
    agree = want.argmax(-1) == have.argmax(-1)
    print(f"{args.dtype}: {len(ids)} tokens, largest logit {want.abs().max():.3f}, "
          f"largest difference {distance:.3g} (limit {LIMITS[args.dtype]:g}), "
          f"same best token {int((agree & clear).sum())} of {int(clear.sum())} clear ones, "
          f"{int(agree.sum())} of {len(ids)} in all")
    passed = distance <= LIMITS[args.dtype] and bool(agree[clear].all())
    return 0 if passed else 6


if __name__ == "__main__":
    sys.exit(main(ARGS))

#!/usr/bin/env python3
"""Compare `tfrun eval` with the same strided evaluation by transformers (eager attention) on the same text.

    python3 scripts/compare_perplexity.py CONFIG_DIR TEXT --ctx 512 --stride 256 --dtype float32 --tfrun build/bin/tfrun

The windows are those of docs/evaluation.md, written here a second time: each token counts once, a window counts what none before it did. Where that
includes the window's first token (stride = ctx), the token before it is fed too. Prints both results; exit code 6 when the perplexities differ in
their first five digits (relative difference above 5e-6) or anything else was counted. Needs torch and transformers.
"""
import argparse
import json
import math
import pathlib
import shutil
import subprocess
import sys
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config_dir")
    parser.add_argument("text")
    parser.add_argument("--ctx", type=int, required=True)
    parser.add_argument("--stride", type=int, required=True)
    parser.add_argument("--limit", type=int, default=0, help="first N tokens only")
    parser.add_argument("--bos", action="store_true")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of transformers")
    parser.add_argument("--tfrun", default="build/bin/tfrun")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="further settings of tfrun")
    args = parser.parse_args()
    for name in ("ctx", "stride"):
        if getattr(args, name) < 1:
            parser.error(f"--{name}: {getattr(args, name)} is no whole number above 0")
    for file in (pathlib.Path(args.config_dir) / "config.json", pathlib.Path(args.text)):
        if not file.is_file():
            parser.error(f"{file}: there is no such file")
    if shutil.which(args.tfrun) is None:
        parser.error(f"--tfrun: there is no program '{args.tfrun}'")
    return args


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "transformers")

import torch  # noqa: E402
from transformers import AutoTokenizer, GPT2LMHeadModel  # noqa: E402

LIMIT = 5e-6


def windows(n, ctx, stride):
    """(from, counted, end) of each window over n tokens."""
    counted, begin = 1, 0
    while True:
        end = min(begin + ctx, n)
        yield min(begin, counted - 1), counted, end
        if end == n:
            return
        counted, begin = end, begin + stride


@torch.no_grad()
def reference(config_dir, ids, ctx, stride, dtype):
    model = GPT2LMHeadModel.from_pretrained(config_dir, dtype=dtype, attn_implementation="eager").eval()
    nll, count, greedy = 0.0, 0, 0
    for first, counted, end in windows(len(ids), ctx, stride):
        logits = model(ids[None, first:end - 1]).logits[0, counted - 1 - first:].double()
        targets = ids[counted:end]
        nll -= logits.log_softmax(-1).gather(1, targets[:, None]).sum().item()
        greedy += int((logits.argmax(-1) == targets).sum())
        count += len(targets)
    return nll / count, count, greedy


def main(args):
    command = [args.tfrun, "eval", args.config_dir, "--data", args.text, "--ctx", str(args.ctx), "--stride", str(args.stride),
               "--limit", str(args.limit), "--json", "-q", *(["--bos"] if args.bos else [])]
    for setting in args.set:
        command += ["--set", setting]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    if done.returncode != 0:
        print(f"compare_perplexity: tfrun eval ended with {done.returncode}; its words stand above", file=sys.stderr)
        return 2
    have = json.loads(done.stdout)

    try:
        text = pathlib.Path(args.text).read_bytes().decode()
    except UnicodeDecodeError as error:
        print(f"compare_perplexity: {args.text} is no UTF-8, which transformers asks for: {error}", file=sys.stderr)
        return 2
    tokenizer = AutoTokenizer.from_pretrained(args.config_dir)
    tokens = tokenizer(text, verbose=False)["input_ids"]
    tokens = tokens[:args.limit] if args.limit else tokens
    ids = torch.tensor(([tokenizer.bos_token_id] if args.bos else []) + tokens)
    start = time.monotonic()
    want, count, greedy = reference(args.config_dir, ids, args.ctx, args.stride, getattr(torch, args.dtype))
    seconds = time.monotonic() - start

    difference = abs(have["perplexity"] / math.exp(want) - 1)
    print(f"transformers {args.dtype}: perplexity {math.exp(want):.9g}, {count} tokens, {greedy} first choices, {seconds:.1f} s")
    print(f"tfrun {have['dtype']}: perplexity {have['perplexity']:.9g}, {have['n_tokens']} tokens, "
          f"{round(have['accuracy'] * have['n_tokens'])} first choices, {have['elapsed_s']:.1f} s")
    print(f"relative difference {difference:.3g}, limit {LIMIT:g}")
    return 0 if difference <= LIMIT and have["n_tokens"] == count else 6


if __name__ == "__main__":
    sys.exit(main(ARGS))

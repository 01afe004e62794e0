#!/usr/bin/env python3
"""gen_cost_book.py - writes docs/cost: the cost of every class line by line, as `tfrun cost --level line --format md` prints it.

--check compares with what is there and writes nothing; exit code 1 where it differs.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys

import argtypes

ROOT = pathlib.Path(__file__).resolve().parent.parent
BOOK = ROOT / "docs" / "cost"
RELEASES = ["4.40.2", "5.24.0"]
GPT2 = "configs/gpt2.json"
CROSS = ["configs/gpt2-cross-attention.json", "--encoder-len", "1"]

# page: config and flags; those after the heads are named as their --class
PAGES = {
    "GPT2LMHeadModel": [GPT2],
    "GPT2DoubleHeadsModel": [GPT2, "--head", "double"],
    "GPT2ForSequenceClassification": [GPT2, "--head", "seq-cls"],
    "GPT2ForTokenClassification": [GPT2, "--head", "token-cls"],
    "GPT2ForQuestionAnswering": [GPT2, "--head", "qa"],
    **{name: [*of, "--class", name] for name, of in {
        "GPT2Model": [GPT2],
        "GPT2Block": [GPT2],
        "GPT2Attention": [GPT2],
        "eager_attention": [GPT2],
        "GPT2Block-cross": CROSS,
        "GPT2Attention-cross": CROSS,
        "eager_attention-cross": CROSS,
        "GPT2Attention-fused": [GPT2],
        "scaled_dot_product_attention": [GPT2, "--attn", "sdpa"],
        "GPT2MLP": [GPT2],
        "GPT2SequenceSummary": [GPT2, "--head", "double"],
        "Conv1D": [GPT2],
        "Linear": [GPT2],
        "Linear-bias": [GPT2],
        "LayerNorm": [GPT2],
        "Embedding": [GPT2],
        "activation": [GPT2],
        "softmax": [GPT2],
    }.items()},
}
NOT_IN = {"4.40.2": ["GPT2Attention-fused", "scaled_dot_product_attention"]}
VARIANTS = {
    "GPT2Block-cross": "GPT2Block with encoder states",
    "GPT2Attention-fused": "GPT2Attention with fused attention (sdpa)",
    "activation": "the activation, here NewGELUActivation",
}


def tfrun(program, *args):
    run = subprocess.run([program, "cost", *args], cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"gen_cost_book.py: tfrun cost {' '.join(args)}: {run.stderr.strip()}")
    return run.stdout


def page(program, release, args):
    """What tfrun prints, and where the pages lie that it names as [page]."""
    text = tfrun(program, *args, "--level", "line", "--release", release, "--form", "symbolic", "--format", "md")
    named = sorted(set(re.findall(r"\[([\w-]+)\]", text)) & set(PAGES))
    return text + ("\n" if named else "") + "".join(f"[{name}]: {name}.md\n" for name in named)


REFERENCE = re.compile(r"(?:([\w ^]+) x )?\$\{([\w.]+)\}\(([^)]*)\)")


def value(polynomial, variables):
    """A polynomial as tfrun prints it, in numbers."""
    text = re.sub(r"\^", "**", polynomial)
    text = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", text)
    return eval(text, {}, dict(variables)) if text else 0  # names and numbers alone: our own program's output


def depth_row(program, release, depth):
    """What is in ops at a depth, which references are left, and the sum of both."""
    found = json.loads(tfrun(program, GPT2, "--level", "line", "--release", release, "--form", "both", "--expand", str(depth),
                             "--format", "json"))
    text, total = found["total"]["formula"]["flops"], int(found["total"]["flops"])
    in_ops = value(REFERENCE.sub("", text).strip(" +"), found["variables"])
    left = {}
    for times, qualified, _ in REFERENCE.findall(text):
        name = qualified.rsplit(".", 1)[1]
        left[name] = left.get(name, 0) + (value(times, found["variables"]) if times else 1)
    names = ", ".join(f"{times} x {name}" if times > 1 else name for name, times in left.items())
    return f"| {depth} | {in_ops:,} | {total - in_ops:,} | {names or 'none'} | {total:,} |", not left


def depths(program, release):
    rows, done = [], False
    while not done:
        row, done = depth_row(program, release, len(rows))
        rows.append(row)
    return rows


def index(program):
    text = """# The cost of the forward, line by line

A page for each class of Hugging Face's GPT-2: where it stands, which lines run in inference, what each line does and costs, and what
the class comes to. References lead from page to page down to the ops of `core/include/tfrun/ops.def`, which holds all formulas.
`tfrun cost CONFIG --level line --form symbolic --format md` prints such a page for any config and path, `--class` with the name of a
page here for any class; [cost-model.md](../cost-model.md) says how the formulas come about and [cost.md](../cost.md) what else
`tfrun cost` answers. Written by `scripts/gen_cost_book.py`; a test keeps it current. Bytes are those of float32.

The book has pages of two releases of transformers, 4.40.2 and 5.24.0: the one that the first analysis was of, and the newest. The program
knows a third, 4.57.6, between them; the book has no pages of it, and the program prints each:

```sh
tfrun cost configs/gpt2.json --level line --release 4.57.6 --form symbolic --format md                      # GPT2LMHeadModel
tfrun cost configs/gpt2.json --level line --release 4.57.6 --form symbolic --format md --class GPT2Block    # any other page below
```

With a config that has reorder_and_upcast_attn there is a page `upcast_attention` too.
"""
    for release in RELEASES:
        text += f"\n## transformers {release}\n\n"
        for name in PAGES:
            if name not in NOT_IN.get(release, []):
                text += f"- [{VARIANTS.get(name, name)}]({release}/{name}.md)\n"
        text += f"""
FLOPs of GPT-2 124M's `GPT2LMHeadModel` with batch_size 1, seq_len 1024, cache_len 0, looked into level by level
(`--expand`): what is told in ops moves from the references to the polynomial, the sum stays.

| depth | FLOPs in ops | FLOPs in references | references left | sum |
|---:|---:|---:|---|---:|
"""
        text += "\n".join(depths(program, release)) + "\n"
    return text


def book(program):
    pages = {BOOK / "README.md": index(program)}
    for release in RELEASES:
        for name, args in PAGES.items():
            if name not in NOT_IN.get(release, []):
                pages[BOOK / release / f"{name}.md"] = page(program, release, args)
    return pages


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("tfrun", type=argtypes.program, nargs="?", default=str(ROOT / "build" / "bin" / "tfrun"), help="the program [build/bin/tfrun]")
    args = parser.parse_args()
    check, program = args.check, str(args.tfrun.resolve())
    pages = book(program)
    there = set(BOOK.rglob("*.md")) if BOOK.exists() else set()
    wrong = [path for path, text in pages.items() if not path.exists() or path.read_text() != text] + sorted(there - set(pages))
    if check and wrong:
        names = "\n  ".join(str(path.relative_to(ROOT)) for path in wrong)
        sys.exit(f"not what tfrun cost prints; run scripts/gen_cost_book.py:\n  {names}")
    for path in () if check else wrong:
        if path in pages:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages[path])
        else:
            path.unlink()


main()

#!/usr/bin/env python3
"""gen_cost_model.py - puts what `tfrun cost` prints into the tables of docs/cost-model.md, between their markers.

--check compares, also the two formulas of the text, and writes nothing; exit code 1 where the page says something else.
"""
import argparse
import json
import pathlib
import subprocess
import sys

import argtypes

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cost-model.md"
SIZES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")


def ask(program, *args):
    ran = subprocess.run([program, "cost", *args, "--format", "json"], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def numbers(side, *keys):
    return " ".join(f"{int(side[key]):,} |" for key in keys) if side else "| " * len(keys)


def kernels(told):
    lines = ["| kernel | reference: FLOPs | of visible pairs | bytes read | bytes written | executed: FLOPs | bytes read | bytes written |",
             "|---|" + "---:|" * 7]
    for row in [*(row for row in told["rows"] if row["depth"] == 0), {"name": "**total**", **told["total"]}]:
        reference = numbers(row.get("reference"), "flops", "flops_visible", "bytes_read", "bytes_written")
        lines.append(f"| {row['name']} | {reference} {numbers(row.get('executed'), 'flops', 'bytes_read', 'bytes_written')}")
    return "\n".join(line.rstrip() for line in lines)


def sizes(program):
    lines = ["| | FLOPs | of matrix products | of visible pairs |", "|---|---:|---:|---:|"]
    for name in SIZES:
        total = ask(program, f"configs/{name}.json", "--level", "line", "--form", "numeric")["total"]
        lines.append(f"| {name} | {numbers(total, 'flops', 'matmul_flops', 'flops_visible')}")
    return "\n".join(lines)


def filled(text, name, table):
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    before, rest = text.split(begin)
    return before + begin + table + end + rest.split(end)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("tfrun", type=argtypes.program, nargs="?", default=str(ROOT / "build" / "bin" / "tfrun"), help="the program [build/bin/tfrun]")
    args = parser.parse_args()
    check, program = args.check, str(args.tfrun.resolve())
    there = PAGE.read_text()
    text = filled(there, "prefill", kernels(ask(program, "configs/gpt2.json")))
    text = filled(text, "decode", kernels(ask(program, "configs/gpt2.json", "--phase", "decode")))
    text = filled(text, "sizes", sizes(program))
    total = ask(program, "configs/gpt2.json", "--level", "line")["total"]
    for formula in (total["formula_down_to_ops"]["flops"], total["flops_visible_formula"]):
        if formula not in there:
            sys.exit(f"docs/cost-model.md does not have the formula {formula}")
    if check and text != there:
        sys.exit("docs/cost-model.md is not what tfrun cost says; run scripts/gen_cost_model.py")
    PAGE.write_text(text) if not check else None


main()

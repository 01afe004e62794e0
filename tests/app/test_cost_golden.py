#!/usr/bin/env python3
"""test_cost_golden.py TFRUN NAME SOURCE_DIR: costs against what PyTorch does (golden/cost_flops.json).

The golden data have each ATen call of forwards of three releases of transformers: calls, FLOPs, bytes read and written, and the FLOPs
of matrix products as PyTorch's own counter has them. `--list` prints the names of the cases. Python's own library only.
"""
import json
import re

from cases import case, expect, expect_same, main

RELEASES = ("4.40.2", "4.57.6", "5.24.0")
TABLE_LINE = re.compile(r'TFR_REFERENCE_OP\((\w+),\s+"(\w+)",\s+"[^"]*", "([^"]*)", "([^"]*)", "([^"]*)"')


class Cost:
    """The command, the op table as text, the golden data, the configs."""

    def __init__(self, program, source_dir, folder):
        self.program, self.source, self.folder = program, source_dir, folder
        golden = source_dir / "tests" / "app" / "golden" / "cost_flops.json"
        self.golden = json.loads(golden.read_text(encoding="utf-8"))
        expect_same(self.golden["columns"], ["calls", "flops", "read", "written"])
        table = (source_dir / "core" / "include" / "tfrun" / "ops.def").read_text(encoding="utf-8")
        self.formulas = {name: formulas for _, name, *formulas in TABLE_LINE.findall(table)}

    def config(self, item):
        fields = json.loads((self.source / "configs" / f"{item['config']}.json").read_text(encoding="utf-8"))
        return {"n_inner": 4 * fields["n_embd"], **fields, **item.get("fields", {})}

    def items(self, release):
        """The language models, whose parts `parts_of` knows."""
        return [item for item in self.golden[release] if item["head"] == "lm" and "fields" not in item]


def value(formula, letters):
    total = 0
    for term in formula.split(" + "):
        product = 1
        for factor in term.split():
            product *= letters[factor] if factor in letters else int(factor)
        total += product
    return total


def parts_of(item, config, release):
    """(op, how often, letters that differ) of each part that this release runs, by its sources."""
    batch, seq, cache, encoder = (item[name] for name in ("batch", "seq", "cache", "encoder"))
    layers, width, is_old = config["n_layer"], config["n_embd"], release.startswith("4.40")
    yield from (("embedding", 1, {}), ("embedding", 1, {"M": seq}), ("add_positions", 1, {}))
    yield "layer_norm", 2 * layers + 1 + (layers if encoder else 0), {}
    for inputs, outputs in ((width, 3 * width), (width, width), (width, config["n_inner"]), (config["n_inner"], width)):
        yield "linear", layers, {"K": inputs, "N": outputs}
    yield "linear", 1, {"K": width, "N": config["vocab_size"], "b": 0}
    yield "activation", layers, {"N": config["n_inner"]}
    yield "add", layers * (3 if encoder else 2), {"N": width}
    if cache:
        yield "cat_cache", layers, {}
    sides = [{}]
    if encoder:
        yield from (("linear", 2 * layers, {"K": width, "N": width}), ("linear", layers, {"M": batch * encoder, "K": width, "N": 2 * width}))
        sides.append({"A": batch * seq * encoder, "X": batch * encoder, "S": encoder})
    for side in sides:
        if item["attn"] == "sdpa":
            yield "sdpa", layers, side
            continue
        masks = (["causal_mask"] if not side and release < "5" else []) + mask_adds(side, is_old, release)
        merge = ["merge_heads"] if seq > 1 else []  # of one row the heads lie side by side already
        yield from ((op, layers, side) for op in ["matmul_qk", "scale", *masks, "softmax", "matmul_pv", *merge])


def mask_adds(side, is_old, release):
    """Release 4.40 adds a mask of the encoder alone, 4.57 both, 5.x that of the tokens alone, if none is given."""
    return ["mask_add"] if (is_old and side) or (release.startswith("4.57")) or (release >= "5" and not side) else []


def expected(cost, item, release):
    """Columns of each op by the formulas of ops.def."""
    config = cost.config(item)
    batch, seq, keys = item["batch"], item["seq"], item["cache"] + item["seq"]
    # gelu_new: eight kernels with 9 FLOPs, two of which have two inputs.
    letters = {"M": batch * seq, "C": config["n_embd"], "H": config["n_head"], "Q": seq, "S": keys, "A": batch * seq * keys,
               "X": batch * keys, "ea": 4, "ew": 4, "ek": 4, "b": 1, "g": 9, "p": 8, "q": 10}
    calls_of = {"activation": 8, "cat_cache": 2}
    sums = {}
    for op, times, own in parts_of(item, config, release):
        counts = [value(formula, {**letters, **own}) for formula in cost.formulas[op]]
        row = sums.setdefault(op, [0, 0, 0, 0])
        for column, count in enumerate([calls_of.get(op, 1), *counts]):
            row[column] += times * count
        if op == "mask_add" and not own:  # these releases make a mask for each query and key, ops.def speaks of one for the keys
            row[2] += times * 4 * (letters["A"] - letters["X"])
    return sums


def reference_ops_of(release):
    """A case: calls, FLOPs and bytes of every op are those of the formulas, to the last one."""
    def check(cost):
        items = cost.items(release)
        expect(len(items) >= 14, len(items))
        for item in items:
            have = {op: counts for op, counts in item["ops"].items() if not op.startswith("other_")}
            want = expected(cost, item, release)
            about = {key: item[key] for key in ("config", "batch", "seq", "cache", "encoder", "attn")}
            for op in sorted({*have, *want}):
                expect(have.get(op) == want.get(op), about, op, "PyTorch has", have.get(op), "ops.def has", want.get(op))
    check.__name__ = "reference_ops_of_" + release.replace(".", "_")
    case(check)


for name in RELEASES:
    reference_ops_of(name)


@case
def what_has_no_name_is_small(cost):
    """Only these do FLOPs or move bytes beside the ops of ops.def; they are told in docs/cost-model.md."""
    known = {"other_index", "other_statistics", "other_mask", "other_sdpa_mask", "other_copy_for_matmul", "other_first_cache", "other_gather",
             "other_clone"}
    for release in RELEASES:
        for item in cost.golden[release]:
            others = {op: counts for op, counts in item["ops"].items() if op.startswith("other_")}
            expect(set(others) <= known, release, item["config"], set(others) - known)
            flops = {op: counts[1] for op, counts in others.items() if counts[1] > 0}
            expect(not flops or flops == {"other_mask": 2 * item["batch"] * item["encoder"]}, release, item["config"], flops)


if __name__ == "__main__":
    raise SystemExit(main(Cost))

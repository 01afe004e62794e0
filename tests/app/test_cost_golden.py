#!/usr/bin/env python3
"""test_cost_golden.py TFRUN NAME SOURCE_DIR: costs against what PyTorch does (golden/cost_flops.json).

The golden data have each ATen call of forwards of three releases of transformers: calls, FLOPs, bytes read and written, and the FLOPs
of matrix products as PyTorch's own counter has them. `--list` prints the names of the cases. Python's own library only.
"""
import json
import re
import subprocess

from cases import SLOWER, case, expect, expect_same, main

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
    config, size = cost.config(item), 4 if item["dtype"] == "f32" else 2
    batch, seq, keys = item["batch"], item["seq"], item["cache"] + item["seq"]
    # gelu_new: eight kernels with 9 FLOPs, two of which have two inputs.
    letters = {"M": batch * seq, "C": config["n_embd"], "H": config["n_head"], "Q": seq, "S": keys, "A": batch * seq * keys,
               "X": batch * keys, "ea": size, "ew": size, "b": 1, "g": 9, "p": 8, "q": 10}
    calls_of = {"activation": 8, "cat_cache": 2}
    sums = {}
    for op, times, own in parts_of(item, config, release):
        counts = [value(formula, {**letters, **own}) for formula in cost.formulas[op]]
        row = sums.setdefault(op, [0, 0, 0, 0])
        for column, count in enumerate([calls_of.get(op, 1), *counts]):
            row[column] += times * count
        if op == "mask_add" and not own:  # these releases make a mask for each query and key, ops.def speaks of one for the keys
            row[2] += times * size * (letters["A"] - letters["X"])
    return sums


def reference_ops_of(release):
    """A case: calls, FLOPs and bytes of every op are those of the formulas, to the last one."""
    def check(cost):
        items = cost.items(release)
        expect(len(items) >= 16, len(items))
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


# What the command's reference is: eager attention, without the mask that release 4.40 makes for encoder states where none is given.
EAGER = "4.40.2"


def about_of(item):
    return {key: item[key] for key in ("config", "batch", "seq", "cache", "encoder", "head", "attn", "dtype", "fields") if key in item}


def ask(cost, item, *flags):
    """What `tfrun cost` says of the same forward, as JSON."""
    path = cost.source / "configs" / f"{item['config']}.json"
    if "fields" in item:
        fields = json.loads(path.read_text(encoding="utf-8"))
        path = cost.folder / "config.json"
        path.write_text(json.dumps({**{key: fields[key] for key in fields if key != "tfrun"}, **item["fields"]}))
    shape = [f"--{flag}={item[flag]}" for flag in ("batch", "seq", "cache", "head", "dtype")]
    encoder = [f"--encoder-len={item['encoder']}"] if item["encoder"] else []
    ran = subprocess.run([cost.program, "cost", path, *shape, *encoder, *flags, "--format", "json"], capture_output=True, timeout=60 * SLOWER)
    expect(ran.returncode == 0, item["config"], ran.stderr.decode())
    return json.loads(ran.stdout)


def numbers(side):
    """FLOPs, bytes read, bytes written; large ones are texts in JSON."""
    return [int(side[key]) for key in ("flops", "bytes_read", "bytes_written")]


def rows_by_op(told):
    rows = {}
    for row in told["rows"]:
        if row["depth"] == 1:
            sums = rows.setdefault(row["name"], [0, 0, 0])
            rows[row["name"]] = [a + b for a, b in zip(sums, numbers(row["reference"]))]
    return {op: sums for op, sums in rows.items() if any(sums)}


def wanted_rows(item):
    want = {op: counts[1:] for op, counts in item["ops"].items() if not op.startswith("other_")}
    if item["encoder"]:
        want.pop("mask_add")
    return want


@case
def kernel_level_is_what_pytorch_runs(cost):
    """FLOPs and bytes of each reference op, to the last one, and their totals: all sizes, caches, cross-attention, heads, odd fields."""
    expect(len(cost.golden[EAGER]) >= 23, len(cost.golden[EAGER]))
    for item in cost.golden[EAGER]:
        told = ask(cost, item)
        have, want = rows_by_op(told), wanted_rows(item)
        for op in sorted({*have, *want}):
            expect(have.get(op) == want.get(op), about_of(item), op, "tfrun has", have.get(op), "PyTorch has", want.get(op))
        flops = sum(counts[0] for counts in want.values())
        expect_same(numbers(told["total"]["reference"])[0], flops)
        if not item["encoder"]:
            expect_same(flops, item["flops"])


def biases_of(cost, item):
    """FLOPs of adding biases in the linears of a language model."""
    config = cost.config(item)
    width, rows, encoder = config["n_embd"], item["batch"] * item["seq"], item["batch"] * item["encoder"]
    per_row = 3 * width + width + config["n_inner"] + width + (2 * width if encoder else 0)
    return config["n_layer"] * (rows * per_row + encoder * 2 * width)


@case
def products_are_those_of_the_flop_counter(cost):
    """All matrix products of the kernel level against FlopCounterMode's total, of both ways of attention and three releases."""
    for release in RELEASES:
        for item in cost.items(release):
            rows = rows_by_op(ask(cost, item))
            have = rows["linear"][0] - biases_of(cost, item) + rows["matmul_qk"][0] + rows["matmul_pv"][0]
            expect(have == item["matmul"]["total"], release, about_of(item), "tfrun has", have, "PyTorch has", item["matmul"]["total"])


@case
def products_of_modules_are_those_of_the_flop_counter(cost):
    """Each linear of the module level, summed over the blocks, without its bias, against FlopCounterMode's modules."""
    for item in cost.items(EAGER):
        told, found = ask(cost, item, "--level", "module"), 0
        config, modules = cost.config(item), item["matmul"]["by_module"]
        for row in told["rows"]:
            name = "GPT2LMHeadModel." + row["name"].replace("h.N", "h.*")
            if row["class"] not in ("Conv1D", "Linear"):
                continue
            of_encoder = name.endswith("crossattention.c_attn")
            blocks = config["n_layer"] if ".h.*" in name else 1
            rows = item["batch"] * (item["encoder"] if of_encoder else item["seq"])
            outputs = {"attn.c_attn": 3, "crossattention.c_attn": 2}.get(".".join(name.split(".")[-2:]), 1) * config["n_embd"]
            outputs = config["n_inner"] if name.endswith("c_fc") else 0 if name.endswith("lm_head") else outputs
            have, want = numbers(row["reference"])[0] - blocks * rows * outputs, modules[name]
            expect(have == want, about_of(item), name, "tfrun has", have, "PyTorch has", want)
            found += 1
        expect_same(found, 8 if item["encoder"] else 5)


def wanted_lines(item, config, release):
    """FLOPs and bytes of all ATen calls, less what line tables leave out (docs/cost.md): strides, statistics, and what makes a mask or adds
    one that only hides is no FLOP and reads nothing of its own."""
    ops, seq = item["ops"], item["seq"]
    sums = [sum(counts[column] for counts in ops.values()) for column in (1, 2, 3)]
    for op, columns in (("mask_add", [0]), ("other_mask", [0, 1]), ("other_sdpa_mask", [1]), ("other_statistics", [2]),
                        ("other_copy_for_matmul", [1, 2]), ("other_index", [1, 2])):
        for column in columns:
            sums[column] -= ops.get(op, [0, 0, 0, 0])[column + 1]
    sums[1] += 8 * seq if release >= "5" else 0  # positions: an arange, to which 5.x adds the length of the cache
    sums[2] += 16 * seq if release >= "5" else 8 * seq
    return sums


def lines_of(release):
    """A case: the totals of the line tables of this release, of both ways of attention."""
    def check(cost):
        for item in cost.items(release):
            if item["dtype"] != "f32" or (item["attn"] == "sdpa" and item["encoder"] and release < "5"):
                continue  # 4.57 looks at the encoder's mask and then drops it: the table has it made all the same
            told = ask(cost, item, "--level", "line", "--release", release, "--attn", item["attn"])
            have, want = numbers(told["total"]), wanted_lines(item, cost.config(item), release)
            expect(have == want, about_of(item), "tfrun has", have, "PyTorch has", want)
    check.__name__ = "lines_of_" + release.replace(".", "_")
    case(check)


for name in RELEASES:
    lines_of(name)


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

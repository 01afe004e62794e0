#!/usr/bin/env python3
"""test_cost_lines.py TFRUN NAME SOURCE_DIR: `tfrun cost --level line` against the first document, against what PyTorch does
(golden/cost_flops.json), against the other levels, and what it refuses.

`--list` prints the names of the cases. Python's own library only.
"""
import csv
import io
import json
import re
import subprocess

from cases import SLOWER, case, expect, expect_same, main

RELEASES = ("4.40.2", "4.57.6", "5.24.0")
GPT2 = "configs/gpt2.json"
MODEL_ARGS = "batch_size, seq_len, hidden_size, num_layers, num_heads, head_dim, intermediate_size, cache_len"


class Lines:
    def __init__(self, program, source_dir, folder):
        self.program, self.source, self.folder = program, source_dir, folder
        golden = source_dir / "tests" / "app" / "golden" / "cost_flops.json"
        self.golden = json.loads(golden.read_text(encoding="utf-8"))

    def run(self, *args):
        return subprocess.run([self.program, "cost", *args], cwd=self.source, capture_output=True, text=True, timeout=120 * SLOWER, check=False)

    def text(self, *args):
        ran = self.run(*args, "--level", "line")
        expect(ran.returncode == 0, args, ran.stderr)
        return ran.stdout

    def json(self, *args):
        return json.loads(self.text(*args, "--format", "json"))

    def refuse(self, code, part, *args):
        ran = self.run(*args)
        expect_same(ran.returncode, code)
        expect(part in ran.stderr and ran.stdout == "", args, ran.stderr)


def totals(told):
    return [int(told["total"][key]) for key in ("flops", "bytes_read", "bytes_written")]


@case
def rows_of_the_first_document(lines):
    told = lines.json(GPT2, "--release", "4.40.2", "--form", "both")
    expect_same([told["class"], told["class_line"], told["first"], told["last"], told["release"]],
                ["transformers.models.gpt2.modeling_gpt2.GPT2LMHeadModel", 1175, 1280, 1351, "4.40.2"])
    model = "${transformers.models.gpt2.modeling_gpt2.GPT2Model}(" + MODEL_ARGS + ")"
    linear = "${torch.nn.modules.linear.Linear}(batch_size, seq_len, hidden_size, vocab_size)"
    rows = [(1303, 1303, "basic", "0"), (1305, 1319, "composite", model), (1320, 1320, "basic", "0"), (1323, 1325, "basic", "0"),
            (1327, 1327, "composite", linear), (1329, 1338, "basic", "0"), (1340, 1342, "basic", "0"), (1344, 1351, "basic", "0")]
    expect_same([(row["first"], row["last"], row["kind"], row["formula"]["flops"]) for row in told["rows"]], rows)
    expect_same([row["formula"] for row in told["rows"] if row["kind"] == "composite"],
                [dict.fromkeys(("flops", "bytes_read", "bytes_written"), text) for text in (model, linear)])
    expect_same([row["first"] for row in told["rows"] if "skipped" in row], [1323, 1329, 1340])
    expect_same(sum(int(row["flops"]) for row in told["rows"]), totals(told)[0])


def shape_of(item):
    flags = [f"--{flag}={item[flag]}" for flag in ("batch", "seq", "cache", "head", "attn")] + ["--dtype", item.get("dtype", "f32")]
    return flags + ([f"--encoder-len={item['encoder']}"] if item["encoder"] else [])


def config_of(lines, item):
    path = lines.source / "configs" / f"{item['config']}.json"
    if "fields" not in item:
        return str(path)
    fields = json.loads(path.read_text(encoding="utf-8"))
    (lines.folder / "config.json").write_text(json.dumps({**{key: fields[key] for key in fields if key != "tfrun"}, **item["fields"]}))
    return str(lines.folder / "config.json")


def ops_of(told, item):
    """FLOPs, bytes read and written by op under PyTorch's names. A mask that only hides is an addition there."""
    ops = {op["name"]: [int(op[key]) for key in ("flops", "bytes_read", "bytes_written")] for op in told["total"]["ops"]}
    if "mask_hide" in ops:
        ops["mask_add"] = ops.pop("mask_hide")
    if item["head"] == "seq-cls":
        ops.pop("gather")  # an index with two lists, among the others there
    return ops


def wanted_ops(item):
    """The same of PyTorch; the copy to an empty cache belongs to the others."""
    ops = {op: counts[1:] for op, counts in item["ops"].items() if not op.startswith("other_")}
    if "other_gather" in item["ops"]:
        ops["gather"] = item["ops"]["other_gather"][1:]
    if "other_clone" in item["ops"]:  # start and end of an answer, each by itself
        ops["copy"] = item["ops"]["other_clone"][1:]
    if "other_first_cache" in item["ops"]:
        ops["cat_cache"] = [a + b for a, b in zip(ops.get("cat_cache", [0, 0, 0]), item["ops"]["other_first_cache"][1:])]
    if "mask_add" in ops:
        ops["mask_add"][0] = 0
    return ops


FREE = [0, 0, 0]
BESIDE = {"arange", "fill", "int_pass"}  # PyTorch's are among the others there; test_cost_golden.py has their bytes
MASKS = ("mask_add", "other_mask")  # making and adding masks that only hide are sums in PyTorch, selecting here


def against_pytorch(release):
    """A case: products to the last FLOP, then FLOPs and bytes of every op, for each forward that was counted in PyTorch."""
    def check(lines):
        expect(len(lines.golden[release]) >= 20, len(lines.golden[release]))
        for item in lines.golden[release]:
            told = lines.json(config_of(lines, item), "--form", "numeric", "--release", release, *shape_of(item))
            about = {key: item[key] for key in item if key not in ("ops", "matmul")}
            expect(int(told["total"]["matmul_flops"]) == item["matmul"]["total"], about, told["total"]["matmul_flops"], item["matmul"])
            have, masks = ops_of(told, item), sum(item["ops"].get(op, [0, 0])[1] for op in MASKS)
            expect(totals(told)[0] == item["flops"] - masks, about, totals(told), item["flops"], masks)
            want = wanted_ops(item)
            for op in {*have, *want} - BESIDE:
                expect(have.get(op, FREE) == want.get(op, FREE), about, op, "tfrun has", have.get(op), "PyTorch has", want.get(op))
            expect(all(have.get(op, FREE)[0] == 0 for op in BESIDE), about, have)
    check.__name__ = "pytorch_of_" + release.replace(".", "_")
    case(check)


for name in RELEASES:
    against_pytorch(name)


ENTRY = re.compile(r'^TFR_(LINES_OF|LINES)\((.*)\)$', re.M)


def entries_of(table):
    """Of a table of lines: name, [line of the class, first, last], rows."""
    found = []
    for kind, args in ENTRY.findall(table):
        words = [word.strip('"') for word in args.split(", ")]
        if kind == "LINES_OF":
            found.append((f"{words[1]}.{words[2]}", [int(word) for word in words[3:]], []))
        else:
            found[-1][2].append((int(words[0]), int(words[1])))
    return found


@case
def every_statement_is_in_one_row(lines):
    """golden/cost_lines.json has the statements of each forward, from the sources, by scripts/check_cost_lines.py."""
    folder = lines.source / "core" / "cost"
    golden = json.loads((lines.source / "tests" / "app" / "golden" / "cost_lines.json").read_text(encoding="utf-8"))
    expect_same(sorted(golden), sorted(path.name for path in folder.glob("lines_*.def")))
    for table, classes in golden.items():
        entries = entries_of((folder / table).read_text(encoding="utf-8"))
        expect_same([name for name, _, _ in entries], list(classes))
        for name, place, rows in entries:
            *want, ranges = classes[name]
            statements = {line for first, last in ranges for line in range(first, last + 1)}
            covered = [line for first, last in rows for line in range(first, last + 1) if line in statements]
            expect_same(place, want)
            expect(sorted(statements) == covered, table, name, statements ^ set(covered))
            expect(all(first in statements and last in statements for first, last in rows), table, name)


@case
def three_levels_have_one_sum(lines):
    """Lines, modules and kernels, with numbers: FLOPs of the reference, all pairs and visible ones."""
    for config in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"):
        for shape in (["--seq", "1024"], ["--seq", "1", "--cache", "1023"], ["--batch", "5", "--seq", "33", "--cache", "7"]):
            told = [lines.json(f"configs/{config}.json", *shape)["total"]]
            for level in ("module", "kernel"):
                ran = lines.run(f"configs/{config}.json", *shape, "--level", level, "--format", "json")
                told.append(json.loads(ran.stdout)["total"]["reference"])
            for key in ("flops", "flops_visible"):
                expect_same(len({int(total[key]) for total in told}), 1)


@case
def three_levels_of_two_heads_have_one_sum(lines):
    """GPT2DoubleHeadsModel with each way to a summary; a mean sums 1024 rows of 768 columns and divides, the other ways copy."""
    fields = json.loads((lines.source / GPT2).read_text(encoding="utf-8"))
    config = lines.folder / "config.json"
    sums = {}
    for way in ("cls_index", "last", "first", "mean"):
        config.write_text(json.dumps({**{key: fields[key] for key in fields if key != "tfrun"}, "summary_type": way}))
        told = [int(lines.json(str(config), "--head", "double", "--release", release)["total"]["flops"]) for release in RELEASES]
        for level in ("module", "kernel"):
            ran = lines.run(str(config), "--head", "double", "--level", level, "--format", "json")
            told.append(int(json.loads(ran.stdout)["total"]["reference"]["flops"]))
        expect(len(set(told)) == 1, way, told)
        sums[way] = told[0]
    expect(sums["cls_index"] == sums["last"] == sums["first"] == sums["mean"] - 1024 * 768 - 768, sums)


@case
def every_depth_has_the_same_numbers(lines):
    sums = {tuple(totals(lines.json(GPT2, "--release", release, "--expand", str(depth)))[:1]) for depth in range(7) for release in RELEASES}
    expect_same(sums, {(293136364544,)})
    expect("${" not in lines.json(GPT2, "--expand", "9")["total"]["formula"]["flops"])


@case
def csv_has_the_numbers_of_json(lines):
    rows = list(csv.DictReader(io.StringIO(lines.text(GPT2, "--format", "csv"))))
    told = lines.json(GPT2)["rows"]
    keys = ("first", "last", "flops", "flops_visible", "bytes_read", "bytes_written")
    expect_same([[row[key] for key in keys] for row in rows[:-1]], [[str(row[key]) for key in keys] for row in told])
    total = lines.json(GPT2)["total"]
    expect_same([rows[-1][key] for key in ("kind", *keys)], ["total", "", "", *(str(total[key]) for key in keys[2:])])
    for key in keys[2:]:
        expect_same(sum(int(row[key]) for row in rows[:-1]), int(rows[-1][key]))


@case
def the_question_is_told(lines):
    """Types, phase and kept rows decide the bytes, so each form says them."""
    cases = ([], "prefill", "all", "f32"), (["--dtype", "bf16", "--phase", "decode", "--logits", "last"], "decode", "last", "bf16")
    for flags, phase, logits, dtype in cases:
        told = lines.json(GPT2, *flags)
        expect_same([told[key] for key in ("config", "phase", "logits", "dtype")], [GPT2, phase, logits, dtype])
        expect(f"tensors of {dtype}\n" in lines.text(GPT2, *flags), dtype)
        expect(f"tensors of {dtype}." in lines.text(GPT2, *flags, "--format", "md"), dtype)
    f32, bf16 = totals(lines.json(GPT2)), totals(lines.json(GPT2, "--dtype", "bf16"))
    expect(f32[0] == bf16[0] and f32[1] > 1.9 * bf16[1], f32, bf16)


@case
def functions_are_called_functions(lines):
    expect("function in lines 55-73" in lines.text(GPT2, "--class", "eager_attention"))
    expect("class in line 76, forward in 146-228" in lines.text(GPT2, "--class", "GPT2Attention"))
    expect_same([lines.json(GPT2, "--class", name)["is_function"] for name in ("softmax", "Conv1D")], [True, False])


@case
def classes_of_many_places_have_formulas(lines):
    for name in ("Linear", "Linear-bias", "Conv1D"):
        told = lines.json(GPT2, "--class", name)
        expect("flops" not in told["total"] and "batch_size seq_len" in told["total"]["formula"]["flops"], told)
        expect("formulas alone: it is called in several places" in lines.text(GPT2, "--class", name))


@case
def only_the_last_logits(lines):
    told = lines.json(GPT2, "--logits", "last")
    expect_same(told["rows"][3]["formula"]["flops"], "${torch.nn.modules.linear.Linear}(batch_size, 1, hidden_size, vocab_size)")
    expect_same(int(told["rows"][3]["flops"]), 2 * 768 * 50257)
    lines.refuse(2, "no logits_to_keep", GPT2, "--level", "line", "--release", "4.40.2", "--logits", "last")


@case
def classes_by_either_name(lines):
    for name in ("GPT2Block", "transformers.models.gpt2.modeling_gpt2.GPT2Block"):
        expect_same(lines.json(GPT2, "--class", name)["class"], "transformers.models.gpt2.modeling_gpt2.GPT2Block")
    expect_same(lines.json(GPT2, "--class", "NewGELUActivation")["class"], "transformers.activations.NewGELUActivation")


@case
def every_page_of_the_book_is_a_class(lines):
    """Its name is what --class takes and what the page is called; the pages it names are there."""
    pages = [page for page in (lines.source / "docs" / "cost").rglob("*.md") if page.name != "README.md"]
    expect(len(pages) > 40, len(pages))
    for page in pages:
        shape = ["configs/gpt2-cross-attention.json", "--encoder-len", "7"] if page.stem.endswith("-cross") else [GPT2]
        text = lines.text(*shape, "--class", page.stem, "--release", page.parent.name, "--form", "symbolic", "--format", "md")
        expect(text.startswith(f"# {page.stem}: "), page, text[:80])
        named = re.findall(r"^\[([\w-]+)\]: ([\w-]+\.md)$", page.read_text(encoding="utf-8"), re.M)
        expect(("See [" in text) == bool(named) and ".md" not in text, page, named)
        expect(all(link == f"{name}.md" and (page.parent / link).exists() for name, link in named), page, named)


@case
def refusals(lines):
    line = ("--level", "line")
    lines.refuse(2, "no table of lines for transformers 4.0; there is one for 4.40.2, 4.57.6, 5.24.0", GPT2, *line, "--release", "4.0")
    lines.refuse(2, "--class GPT3 is none", GPT2, *line, "--class", "GPT3")
    lines.refuse(2, "activation (NewGELUActivation), softmax; GPT2Block-cross", GPT2, *line, "--class", "GPT3")
    lines.refuse(2, "in_features has no one value; give --form symbolic", GPT2, *line, "--class", "Linear", "--form", "numeric")
    for asked in (("--attn", "sdpa"), ("--class", "GPT2Attention-fused")):
        lines.refuse(2, "has no fused attention: ask for its eager one (--attn eager, --class GPT2Attention), or give a newer --release", GPT2,
                     *line, "--release", "4.40.2", *asked)
    lines.refuse(2, "give --level line too", GPT2, "--expand", "1")
    lines.refuse(2, "leave --ranks out", GPT2, *line, "--ranks", "3")
    lines.refuse(2, "sequences that are alike, as a class's formulas have one batch_size", GPT2, *line, "--seq", "5,6")
    lines.refuse(2, "give --encoder-len", GPT2, *line, "--class", "GPT2Attention-cross")
    lines.refuse(2, "give --encoder-len", GPT2, *line, "--class", "GPT2Block-cross")
    lines.refuse(2, "beyond 2^127", GPT2, *line, "--seq", "1000000000000000000", "--batch", "1000000000000", "--any-length")


if __name__ == "__main__":
    raise SystemExit(main(Lines))

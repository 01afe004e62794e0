#!/usr/bin/env python3
"""test_cost.py TFRUN NAME SOURCE_DIR: `tfrun cost` from outside: forms and formats agree, absurd questions are answered or refused.

Sums are checked against formulas written out here, in Python's integers. `--list` prints the names of the cases.
"""
import collections
import csv
import fractions
import io
import itertools
import json
import subprocess
import sys

from cases import case, expect, expect_same, main

LIMIT = 1 << 127


class Box:
    def __init__(self, program, source_dir, folder):
        self.program, self.configs, self.folder = program, source_dir / "configs", folder

    def cost(self, config, *words, code=0):
        path = config if hasattr(config, "parts") else self.configs / f"{config}.json"
        command = [self.program, "cost", str(path), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        expect(done.returncode == code, command, done.returncode, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def json(self, config, *words):
        return json.loads(self.cost(config, *words, "--json"))

    def refused(self, *words, says, config="gpt2", code=2):
        text = self.cost(config, *words, code=code)
        expect(says in text and text.count("\n") == 1, words, text)


def forward_flops(batch, seq, cache, visible, logits, norm_rows):
    """gpt2 by hand: C = 768, F = 3072, L = 12, H = 12, V = 50257."""
    rows = batch * seq
    pairs = batch * (seq * cache + seq * (seq + 1) // 2) if visible else rows * (cache + seq)
    block = rows * (24 * 768 * 768 + 9 * 768 + 9 * 3072 + 2 * 768 + 2 * (7 * 768 + 5)) + pairs * (4 * 768 + 6 * 12)
    return 12 * block + rows * 768 + norm_rows * (7 * 768 + 5) + 2 * logits * 768 * 50257


def check_flops(box, batch, seq, cache, *words):
    total = box.json("gpt2", "--batch", batch, "--seq", seq, "--cache", cache, *words)["total"]
    rows = batch * seq
    expect_same(int(total["reference"]["flops"]), forward_flops(batch, seq, cache, False, rows, rows))
    expect_same(int(total["reference"]["flops_visible"]), forward_flops(batch, seq, cache, True, rows, rows))
    expect_same(int(total["executed"]["flops"]), forward_flops(batch, seq, cache, True, batch, batch))


@case
def sums_by_hand(box):
    for batch, seq, cache in ((1, 1024, 0), (3, 7, 0), (2, 5, 100), (16, 1, 1023)):
        check_flops(box, batch, seq, cache)


@case
def a_sequence_of_a_million_million(box):
    check_flops(box, 1, 10**12, 0, "--any-length")
    report = box.json("gpt2", "--seq", 10**12, "--any-length")
    steps = -(-10**12 // 512)
    expect_same(int(report["step_sums"]["U"]), steps)
    keys = sum(range(512, 10**6 + 1, 512)) + (10**6 if 10**6 % 512 else 0)
    expect_same(int(box.json("gpt2", "--seq", 10**6, "--any-length")["step_sums"]["X"]), keys)


@case
def a_batch_of_a_thousand_million(box):
    check_flops(box, 10**9, 1024, 0)
    check_flops(box, 10**9, 10**9, 0, "--any-length")
    check_flops(box, 10**9, 1, 1023)


@case
def numbers_beyond_double_are_texts(box):
    small, large = (box.json("gpt2", "--batch", n)["total"]["reference"]["flops"] for n in (1, 10**9))
    expect(isinstance(small, int) and isinstance(large, str), small, large)


@case
def sums_beyond_the_limit_are_refused(box):
    box.refused("--batch", 10**12, "--seq", 10**12, "--any-length", says="beyond 2^127, the limit of exact sums")
    box.refused("--batch", 2**63 - 1, "--seq", 2**63 - 1, "--cache", 2**63 - 1, "--any-length", says="beyond 2^127")
    worst = forward_flops(1, 2**55, 0, False, 2**55, 2**55)
    expect(worst < LIMIT, "the case is too large")
    expect_same(int(box.json("gpt2", "--seq", 2**55, "--any-length")["total"]["reference"]["flops"]), worst)


@case
def places_of_the_head_that_cannot_be_are_refused(box):
    for head in ("last", "split"):
        place = ("--set", f"parallel.head={head}", "--ranks", 2)
        for name, model in (("seq-cls", "GPT2ForSequenceClassification"), ("none", "GPT2Model")):
            box.refused(*place, "--head", name, says=f"parallel.head is {head}, but {model} has no vocabulary to place", code=3)
    says = "of 50257 columns at most 10682 rows, and tfrun.runtime.max_rows is 10683; give --max-rows 10682 or less, or --head first"
    box.refused("--set", "parallel.head=last", "--ranks", 2, "--set", "runtime.max_rows=10683", says=says, code=3)
    box.cost("gpt2", "--set", "parallel.head=last", "--ranks", 2, "--set", "runtime.max_rows=10682")
    box.cost("gpt2", "--set", "parallel.head=split", "--ranks", 3, "--set", "runtime.max_rows=10683")
    box.cost("gpt2", "--set", "parallel.head=split", "--head", "seq-cls")  # one rank has all


@case
def shards_are_refused(box):
    for ranks in ((), ("--ranks", 2)):
        box.refused("--set", "parallel.tensor=2", *ranks, says="parallel.tensor is 2, but cost counts the kernels of whole blocks", code=3)


@case
def more_positions_than_the_model_has_are_refused(box):
    says = "is longer than n_positions = 1024"
    box.refused("--seq", 10**12, says=says)
    box.refused("--seq", 1025, says=says)
    box.refused("--cache", 1024, says="cache 1,024 + seq 1 = 1,025 positions is longer than n_positions = 1024")
    box.refused("--cache", 2000, "--seq", 3, says=says)
    box.refused("--phase", "decode", "--cache", 1024, says=says)
    box.refused("--seq", "5,1025", says=says)


@case
def nonsense_is_refused(box):
    for text in ("0", "-3", "x", "", "5,", ",5", "5,,3", "5;3", "1e3", "5.0", "99999999999999999999", " 5"):
        box.refused("--seq", text, says="--seq: ")
    for text in ("+5", " 5", "0", "", "2.5"):
        box.refused("--batch", text, says=f'--batch: "{text}" is not a whole number in 1..2^63 - 1')
    for text in ("-1", "x", "3,", "0x10"):
        box.refused("--cache", text, says="--cache: ")
    box.refused("--seq", "5,6", "--cache", "1,2,3", says="--seq lists 2 sequences and --cache 3")
    box.refused("--seq", "5,6", "--batch", 3, says="--batch 3, but 2 sequences are listed")
    box.refused("--batch", 0, says="--batch")
    box.refused("--ranks", 0, says="--ranks")
    box.refused("--phase", "decode", "--seq", 3, says="leave --seq out")
    expect_same(box.cost("gpt2", "--phase", "decode", "--seq", 1), box.cost("gpt2", "--phase", "decode"))
    box.refused("--encoder-len", 5, says="no cross-attention")
    box.refused("--encoder-len", 0, says="--encoder-len", config="gpt2-cross-attention")
    for flag in ("phase", "level", "form", "logits", "format", "stored"):
        box.refused(f"--{flag}", "nonsense", says=f'--{flag}: "nonsense" is none of')
    box.refused("--head", "nonsense", says='head "nonsense" is none of')
    box.refused("--json", "--format", "csv", says="exclude each other")


@case
def ranks_above_the_blocks_are_idle(box):
    alone, many = (box.json("gpt2", "--max-rows", 1024, *words) for words in ((), ("--ranks", 40)))
    flops = [int(rank["flops"]) for rank in many["ranks"]]
    expect_same(len(flops), 40)
    expect_same(sum(flops), alone["total"]["executed"]["flops"])
    expect(sum(n == 0 for n in flops) == 27, flops)
    sent = sum(int(rank["bytes_sent"]) for rank in many["ranks"])
    hops = sum(rank["messages_sent"] for rank in many["ranks"])
    expect_same(sent, (hops - 1) * 4 * 768 * 1024 + 4 * 768)  # all rows from block to block, the last one back to rank 0


@case
def ranks_without_work_are_counted_not_listed(box):
    text = box.cost("gpt2", "--ranks", 4096)
    expect("4083 of 4096 ranks have nothing to do: there are 12 blocks" in text, text[-400:])
    expect(len(text.splitlines()) < 60, len(text.splitlines()))
    expect("rank 0 has no block: " in box.cost("gpt2", "--ranks", 3), "no reason")
    expect("rank 0 has no block: " not in box.cost("gpt2", "--ranks", 3, "--split", "hf"), "a reason without a cause")


@case
def the_rows_below_a_module_add_up_to_it(box):
    for words in ((), ("--phase", "decode"), ("--head", "double"), ("--seq", "5,17,3", "--cache", "0,12,7")):
        rows = box.json("gpt2", "--level", "module", *words)["rows"][1:]
        for i, row in enumerate(rows):
            below = []
            for other in rows[i + 1:]:
                if other["depth"] <= row["depth"]:
                    break
                below += [other] if other["depth"] == row["depth"] + 1 else []
            for side in ("reference", "executed") if below else ():
                for key in ("n", "flops", "bytes_read", "bytes_written"):
                    expect_same(sum(int(at[side][key]) for at in below if side in at), int(row[side][key]))


@case
def formulas_with_and_without_brackets(box):
    plain, factored = "batch_size seq_len hidden_size + batch_size hidden_size", "batch_size hidden_size (seq_len + 1)"
    config = mean_config(box)
    for words, has in (((), factored), (("--no-factor",), plain), (("--json",), plain), (("--json", "--factor"), factored),
                       (("--format", "csv"), plain), (("--format", "csv", "--factor"), factored)):
        text = box.cost(config, "--head", "double", "--form", "symbolic", *words)
        expect(has in text and (plain if has == factored else factored) not in text, words, text)
    lines = [box.cost("gpt2", "--level", "line", "--expand", 9, *words) for words in ((), ("--factor",), ("--no-factor",))]
    expect(lines[0] == lines[1] != lines[2], "lines are not asked for as they should be")


@case
def flags_that_change_nothing_are_refused(box):
    box.refused("--no-factor", says="--factor is about formulas")
    box.refused("--level", "line", "--form", "numeric", "--expand", 1, says="--expand is about formulas")
    box.refused("--level", "line", "--stored", "f32", says="--stored is about the tables")


@case
def the_reference_has_a_release(box):
    expect("eager attention in transformers 4.40.2" in box.cost("gpt2"), "no release in the head")
    expect_same(box.json("gpt2")["reference_release"], "4.40.2")
    box.refused("--release", "5.24.0", says="give --level line too (kernels and modules stand for 4.40.2)")


@case
def one_flag_for_the_way_of_attention(box):
    text = box.cost("gpt2", "--help")
    expect_same(text.count("--attn "), 1)
    fused, sdpa = (box.cost("gpt2", "--level", "line", "--attn", word) for word in ("fused", "sdpa"))
    expect_same(fused, sdpa)


def mean_config(box):
    fields = json.loads((box.configs / "gpt2.json").read_text(encoding="utf-8"))
    path = box.folder / "mean.json"
    path.write_text(json.dumps({**fields, "summary_type": "mean"}), encoding="utf-8")
    return path


@case
def the_mean_of_a_summary_is_in_every_level(box):
    """C sums for each row and C divisions for each sequence, computed on both sides; line, module and kernel level agree."""
    for batch, seq, cache in ((1, 1024, 0), (3, 7, 5)):
        words = ("--head", "double", "--batch", batch, "--seq", seq, "--cache", cache)
        first, mean = (box.json(config, *words)["total"] for config in ("gpt2", mean_config(box)))
        for side in ("reference", "executed"):
            expect_same(int(mean[side]["flops"]) - int(first[side]["flops"]), 768 * batch * (seq + 1))
            expect_same(int(mean[side]["bytes_read"]) - int(first[side]["bytes_read"]), 4 * 768 * batch * seq)
            expect_same(int(mean[side]["bytes_written"]) - int(first[side]["bytes_written"]), 4 * 768 * batch)
        lines = box.json(mean_config(box), *words, "--level", "line")["total"]
        for key in ("flops", "flops_visible"):
            expect_same(int(lines[key]), int(mean["reference"][key]))
        expect_same(box.json(mean_config(box), *words, "--level", "module")["total"], mean)
    ragged = box.json(mean_config(box), "--head", "double", "--seq", "5,7", "--max-rows", 4)["rows"]
    expect_same([row["executed"]["flops"] for row in ragged if row["name"] == "mean"][0], 768 * (5 + 7 + 2))


@case
def lines_scale_as_their_release_does(box):
    """4.40.2 as the kernels, whose release it is; 5.x once for each score, of 12 blocks and 12 heads."""
    fields, path = json.loads((box.configs / "gpt2.json").read_text(encoding="utf-8")), box.folder / "scales.json"
    for upcast, scaled, by_layer in itertools.product((False, True), repeat=3):
        path.write_text(json.dumps({**fields, "reorder_and_upcast_attn": upcast, "scale_attn_weights": scaled,
                                    "scale_attn_by_inverse_layer_idx": by_layer}), encoding="utf-8")
        kernels = box.json(path, "--seq", 16)["total"]["reference"]["flops"]
        old, new = (box.json(path, "--seq", 16, "--level", "line", "--release", release)["total"]["flops"] for release in ("4.40.2", "5.24.0"))
        scales = 1 if upcast else scaled + by_layer
        expect_same([kernels - old, new - old], [0, (1 - scales) * 12 * 12 * 16 * 16])
        expect_same("it scales once" in box.cost(path, "--seq", 16), scales != 1)


@case
def levels_have_one_total(box):
    for words in ((), ("--phase", "decode"), ("--seq", "5,17,3", "--cache", "0,12,7"), ("--head", "token-cls")):
        kernel, module = (box.json("gpt2", "--level", level, *words) for level in ("kernel", "module"))
        expect_same(kernel["total"], module["total"])
        for side in ("reference", "executed"):
            tops = [row[side] for row in kernel["rows"] if row["depth"] == 0 and side in row]
            for key in ("n", "flops", "bytes_read", "bytes_written"):
                expect_same(sum(int(top[key]) for top in tops), int(kernel["total"][side][key]))
        expect_same(module["rows"][0]["executed"], module["total"]["executed"])


@case
def csv_and_json_agree(box):
    words = ("--level", "module", "--form", "both", "--phase", "decode")
    rows = {(row["name"], side): row[side] for row in box.json("gpt2", *words)["rows"] for side in ("reference", "executed") if side in row}
    table = [row for row in csv.DictReader(io.StringIO(box.cost("gpt2", *words, "--format", "csv"))) if row["name"] != "total"]
    expect_same({(row["name"], row["side"]) for row in table}, set(rows))
    for row in table:
        want = rows[row["name"], row["side"]]
        for key in ("n", "flops", "flops_visible", "bytes_read", "bytes_written"):
            expect_same(row[key], str(want[key]))
        for key, text in want["formula"].items():
            expect_same(row[f"{key}_formula"], text)


def value(text, values):
    """A formula with numbers for its names."""
    terms = []
    for term in text.split(" + "):
        product = 1
        for factor in term.split():
            name, _, power = factor.partition("^")
            product *= values[name] ** int(power or 1) if name in values else fractions.Fraction(factor)
        terms.append(product)
    return sum(terms)


def check_formulas(told, numbers):
    """Each formula that one answer has gives the numbers of another."""
    of = numbers["sequences"][0]
    values = {**numbers["dimensions"], **{name: of[name] for name in ("batch_size", "seq_len", "cache_len")}}
    expect_same([row["name"] for row in told["rows"]], [row["name"] for row in numbers["rows"]])
    for row, want in zip([*told["rows"], told["total"]], [*numbers["rows"], numbers["total"]]):
        for side in ("reference", "executed"):
            for key, text in row.get(side, {}).get("formula", {}).items():
                expect(value(text, values) == want[side][key], row.get("name"), side, key, text, want[side])


@case
def formulas_give_the_numbers(box):
    """Of the shape that was asked about, and of others that they are said to hold for."""
    cases = {"cache_len > 0 and seq_len > 1: ": [(3, 7, 5), (2, 40, 100)], "cache_len > 0 and seq_len = 1: ": [(1, 1, 511), (3, 1, 7)],
             "cache_len = 0 and seq_len > 1: ": [(3, 7, 0), (1, 512, 0)], "cache_len = 0 and seq_len = 1: ": [(1, 1, 0), (4, 1, 0)]}
    words = {begins: [("--batch", batch, "--seq", seq, "--cache", cache) for batch, seq, cache in group] for begins, group in cases.items()}
    for begins, group in words.items():
        for asked in group:
            told = box.json("gpt2-medium", *asked, "--form", "both")
            expect(told["formulas_hold"].startswith(begins), told["formulas_hold"])
            for shape in group:
                check_formulas(told, box.json("gpt2-medium", *shape))
    for level in ("kernel", "module"):  # formulas alone are of the general case, whatever the phase
        for asked, begins in ((("--seq", 9), "cache_len > 0 and seq_len > 1: "), (("--phase", "decode"), "cache_len > 0 and seq_len = 1: ")):
            told = box.json("gpt2-medium", *asked, "--form", "symbolic", "--level", level)
            expect(told["formulas_hold"].startswith(begins), told["formulas_hold"])
            for shape in words[begins]:
                check_formulas(told, box.json("gpt2-medium", *shape, "--level", level))
    expect("\nformulas hold where cache_len = 0 and seq_len > 1: " in box.cost("gpt2", "--form", "both"), "the table does not say so")


def reference_rows(told):
    """(op, kernel, what) -> its number"""
    rows, op = collections.Counter(), None
    for row in told["rows"]:
        op = row["name"] if row["depth"] == 0 else op
        rows.update({(op, row["name"], key): int(row["reference"][key]) for key in ("flops", "flops_visible", "bytes_read", "bytes_written")
                     if "reference" in row})
    return rows


@case
def unequal_sequences_are_calls_of_the_reference(box):
    """Row by row: some copy their cache and some have none, one row's heads lie side by side already."""
    shapes = ((5, 0), (1, 12), (3, 7), (1, 0))
    told = box.json("gpt2", *(f"--{flag}={','.join(str(shape[i]) for shape in shapes)}" for i, flag in enumerate(("seq", "cache"))))
    have, want = reference_rows(told), collections.Counter()
    for seq, cache in shapes:
        want.update(reference_rows(box.json("gpt2", "--seq", seq, "--cache", cache)))
    expect(("kv_append", "cat_cache", "bytes_read") in have and ("attention", "merge_heads", "bytes_read") in have, have)
    expect_same(have, want)


@case
def tables_have_the_type_of_the_checkpoint(box):
    """Where one lies beside the config; else that of --dtype, as in plan and graph."""
    def embed(config, *words):
        return box.json(config, "--seq", 1, *words)["rows"][0]["executed"]["bytes_read"]

    expect_same(embed(box.configs / "demo"), 8 + 2 * 2 * 256)  # its file is bf16
    expect_same(embed(box.configs / "demo", "--stored", "f32"), 8 + 2 * 4 * 256)
    expect_same(embed("gpt2"), 8 + 2 * 4 * 768)
    expect_same(embed("gpt2", "--dtype", "bf16"), 8 + 2 * 2 * 768)


@case
def linears_that_are_finer_count_so(box):
    """runtime.int4_finer: 8 bits and a scale of 4 bytes for each output, in the place of 4 and one of 2 bytes for each 32 inputs."""
    def linears(*words):
        told = box.json("gpt2", "--dtype", "int4", "--seq", 40, *words)
        return next(row["executed"] for row in told["rows"] if row["name"] == "linear")

    def more(inputs, outputs):
        return outputs * (inputs + 4) - outputs * inputs * 9 // 16

    plain = linears()
    for glob, want in (("lm_head.weight", more(768, 50257)), ("h.3.mlp.*", more(768, 3072) + more(3072, 768)),
                       ("h.*.attn.c_attn.weight", 12 * more(768, 2304))):
        finer = linears("--finer", glob)
        expect_same(finer["bytes_read"] - plain["bytes_read"], want)
        expect_same({key: number for key, number in finer.items() if key != "bytes_read"},
                    {key: number for key, number in plain.items() if key != "bytes_read"})
        words = ("--dtype", "int4", "--finer", glob, "--seq", 40, "--form", "both")
        check_formulas(box.json("gpt2", *words), box.json("gpt2", *words))
    expect("some of 8 bits" in box.cost("gpt2", "--dtype", "int4", "--finer", "lm_head.weight"), "the head does not say so")
    box.refused("--dtype", "int4", "--finer", "h.12.*", says="h.12.* names no linear of this model")


@case
def coarse_weights_of_any_width(box):
    """The last byte and the last group of a channel may hold fewer than fit; whole numbers of bytes all the same."""
    fields, path = json.loads((box.configs / "gpt2.json").read_text(encoding="utf-8")), box.folder / "odd.json"
    path.write_text(json.dumps({**fields, "n_embd": 50, "n_head": 5, "n_inner": 101, "n_layer": 2, "vocab_size": 97}), encoding="utf-8")
    shapes = 2 * [(50, 150), (50, 50), (50, 101), (101, 50)] + [(50, 97)]

    def linears(*words):
        told = box.json(path, "--seq", 3, *words)
        return next(row["executed"]["bytes_read"] for row in told["rows"] if row["name"] == "linear")

    for words, group, scale in (([], 32, 2), (["--group", 64], 64, 2), (["--zero-point"], 32, 3), (["--group", 64, "--zero-point"], 64, 3)):
        want = sum(outputs * (-(-inputs // 2) + scale * -(-inputs // group) - 4 * inputs) for inputs, outputs in shapes)
        expect_same(linears("--dtype", "int4", *words) - linears("--dtype", "f32"), want)


@case
def every_form_has_the_ranks(box):
    """Numbers in CSV are those of JSON, formulas give them, and the table has both."""
    words = ("--ranks", 3, "--seq", 40, "--cache", 5, "--form", "both")
    told = box.json("gpt2", *words)
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(box.cost("gpt2", *words, "--format", "csv")))}
    values = {**told["dimensions"], "batch_size": 1, "seq_len": 40, "cache_len": 5}
    for rank in told["ranks"]:
        row = rows[f"rank {rank['rank']}"]
        expect_same(int(rows[f"rank {rank['rank']} sends"]["bytes_read"]), rank["bytes_sent"])
        for key, text in rank["formula"].items():
            expect_same(int(row[key]), int(rank[key]))
            expect_same([row[f"{key}_formula"], value(text, values)], [text, rank[key]])
    table = box.cost("gpt2", "--ranks", 3, "--form", "symbolic", "--seq", 40)
    expect(all(f"\nrank {rank}, executed\n" in table for rank in range(3)) and "\nrank 0 sends, executed\n" in table, table)


@case
def table_and_markdown_have_every_row(box):
    names = [row["name"].split(".")[-1].split(" ")[-1] for row in box.json("gpt2", "--level", "module")["rows"]]
    for form in ("table", "md"):
        text = box.cost("gpt2", "--level", "module", "--format", form)
        for name in names:
            expect(name in text, name, text)
        expect("293,136,364,544" in text and "194,399,607,557" in text, text)
        expect(not any(line.endswith(" ") and form == "table" for line in text.splitlines()), "blanks at a line's end")


@case
def encoder_states_cost_once_or_in_every_call(box):
    words = ("--encoder-len", 77, "--level", "module")
    for phase, is_there in (("prefill", True), ("decode", False)):
        rows = {row["name"]: row for row in box.json("gpt2-cross-attention", "--phase", phase, *words)["rows"]}
        c_attn = rows["transformer.h.N.crossattention.c_attn"]
        expect("reference" in c_attn and ("executed" in c_attn) == is_there, phase, c_attn)
        blocks = c_attn["blocks"] if c_attn["blocks"] > 1 else c_attn["reference"]["n"]
        expect_same(c_attn["reference"]["flops"], blocks * 77 * (2 * 768 * 1536 + 1536))


@case
def heads_differ_in_their_head_alone(box):
    totals = {}
    for head in ("lm", "none", "seq-cls", "token-cls", "qa"):
        totals[head] = int(box.json("gpt2", "--head", head)["total"]["reference"]["flops"])
    expect_same(totals["lm"] - totals["none"], 2 * 1024 * 768 * 50257)
    expect_same(totals["token-cls"] - totals["none"], 1024 * (2 * 768 * 2 + 2))
    expect_same(totals["qa"], totals["token-cls"])
    expect_same(totals["seq-cls"] - totals["none"], 1024 * 2 * 768 * 2)


if __name__ == "__main__":
    sys.exit(main(Box))

#!/usr/bin/env python3
"""`tfrun quantize` from outside: test_quantize.py TFRUN NAME SOURCE [MPIEXEC], test_quantize.py --list.

A folder with coarse weights against a reading of its own (whole numbers times scales, in Python), against the types that round while a
model is opened, and every damage with its sentence. Standard library only.
"""
import array
import json
import math
import re
import shutil
import statistics
import struct
import subprocess
import sys

from cases import CASES, SLOWER, case, expect, expect_same, main
from tensors import read_tensors, write_tensors

PROMPT = ["--prompt-ids", "1,5,22,7,9,3", "-n", "6", "--ignore-eos", "--json", "-q"]
# Inputs of 48 and 72 are no multiples of 32, and 72 of none of 64 either: groups and panels that end early.
SHAPE = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 101, "n_positions": 64, "n_embd": 48, "n_head": 4,
         "n_layer": 2, "n_inner": 72, "bos_token_id": 0, "eos_token_id": 0}
LINEARS = ("c_attn.weight", "c_proj.weight", "c_fc.weight", "lm_head.weight", "q_attn.weight", "score.weight", "classifier.weight",
           "qa_outputs.weight", "summary.weight")
KINDS = {"int8": ["--to", "int8"], "int4": ["--to", "int4"], "int4-64": ["--to", "int4", "--group", "64"],
         "int4-zero": ["--to", "int4", "--zero-point"], "int4-zero-64": ["--to", "int4", "--zero-point", "--group", "64"]}


def floats(dtype, raw):
    """The values of a tensor as Python floats."""
    if dtype in ("F32", "I8"):
        return array.array({"F32": "f", "I8": "b"}[dtype], bytes(raw))
    if dtype == "F16":
        return [value[0] for value in struct.iter_unpack("<e", bytes(raw))]
    if dtype == "BF16":
        return array.array("f", b"".join(b"\0\0" + bytes(raw[i:i + 2]) for i in range(0, len(raw), 2)))
    return list(raw)


def is_linear(name):
    return name.endswith(LINEARS)


class Box:
    def __init__(self, tfrun, source, folder):
        self.tfrun, self.source, self.folder = tfrun, source, folder
        self.mpiexec = sys.argv[4] if len(sys.argv) > 4 else None

    def start(self, *words, ranks=1):
        command = [self.tfrun, *map(str, words)]
        command = [self.mpiexec, "-n", str(ranks), *command] if ranks > 1 else command
        return subprocess.run(command, capture_output=True, text=True, timeout=250 * SLOWER)

    def run(self, *words, ranks=1):
        done = self.start(*words, ranks=ranks)
        expect_same((done.returncode, done.stderr if done.returncode else ""), (0, ""))
        return done.stdout

    def digest(self, model, *words, ranks=1):
        return json.loads(self.run(model, *PROMPT, *words, ranks=ranks))["logits_digest"]

    def model(self, name="model", dtype="f32", **fields):
        config = self.folder / f"{name}.json"
        config.write_text(json.dumps({**SHAPE, **fields}))
        self.run("init", config, "-o", self.folder / name, "--seed", "7", "--dtype", dtype)
        return self.folder / name

    def quantize(self, model, *words, name="coarse"):
        """The folder and what was told of it."""
        folder = self.folder / name
        return folder, json.loads(self.run("quantize", model, *words, "-o", folder, "--json", "-q"))

    def told(self, done, code, *words, lines=1):
        expect(done.returncode == code, f"exit code {done.returncode}, needs {code}: {done.stderr}")
        expect(done.stdout == "" and done.stderr.count("\n") == lines, f"not {lines} lines: {done.stderr}")
        for word in words:
            expect(word in done.stderr, f'"{done.stderr.strip()}" lacks "{word}"')


def read_coarse(tensors, name, group):
    """The numbers that a coarse tensor stands for, [dim[0], dim[1]] as the parameter has them: whole number times scale."""
    dtype, shape, raw = tensors[name]
    scale = floats(*tensors[f"{name}_scale"][::2])
    zero = tensors.get(f"{name}_zero_point")
    along_rows = name.startswith("transformer.h.")  # K is dim 0
    rows, columns = shape
    if dtype == "I8":
        q = floats("I8", raw)
        return shape, [q[r * columns + c] * scale[c if along_rows else r] for r in range(rows) for c in range(columns)]
    k = tensors["#k"][name]
    n = columns if along_rows else rows
    groups, halves = math.ceil(k / group), math.ceil(k / 2)
    values = [0.0] * (k * n)
    for i in range(k):
        for o in range(n):
            byte = raw[i // 2 * n + o] if along_rows else raw[o * halves + i // 2]
            at = i // group * n + o if along_rows else o * groups + i // group
            middle = zero[2][at] if zero else 8
            values[i * n + o if along_rows else o * k + i] = ((byte >> 4 if i % 2 else byte & 15) - middle) * scale[at]
    return ([k, n] if along_rows else [n, k]), values


def read_folder(folder, source):
    """name -> (shape, values) of a coarse folder, all as floats."""
    tensors = read_tensors(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    head = source["transformer.wte.weight"][1]
    tensors["#k"] = {name: (source[name][1] if name in source else head)[0 if name.startswith("transformer.h.") else 1]
                     for name in tensors if is_linear(name)}
    return {name: read_coarse(tensors, name, config.get("group_size")) if is_linear(name) else
            (tensors[name][1], floats(*tensors[name][::2]))
            for name in tensors if name != "#k" and not name.endswith(("_scale", "_zero_point"))}


def law_of_values(box, kind):
    """Rounding errors are those told, and a model of the rounded numbers has the bits of the folder."""
    model = box.model()
    source = read_tensors(model / "model.safetensors")
    folder, told = box.quantize(model, *KINDS[kind])
    values = read_folder(folder, source)
    for tensor in told["tensors"]:
        name = tensor["name"]
        exact = floats(*source[name if name in source else "transformer.wte.weight"][::2])
        off = [a - b for a, b in zip(exact, values[name][1])]
        error = math.sqrt(sum(x * x for x in off) / sum(x * x for x in exact)) if any(exact) else 0
        expect(abs(tensor["error"] - error) <= 1e-9, name, tensor["error"], error)
        expect(abs(tensor["largest"] - max(map(abs, off))) <= 1e-12, name)
        expect(is_linear(name) or tensor["error"] == 0, name)
        expect(not is_linear(name) or 0 < tensor["error"] < (0.012 if kind == "int8" else 0.15), name, tensor["error"])
    plain = box.folder / "plain"
    shutil.copytree(model, plain)
    config = json.loads((plain / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    write_tensors(plain / "model.safetensors",
                  {name: ("F32", shape, array.array("f", numbers).tobytes()) for name, (shape, numbers) in values.items()})
    for dtype in "f32", "bf16":
        expect_same(box.digest(folder, "--dtype", dtype), box.digest(plain, "--dtype", dtype))


for kind in KINDS:
    def law(box, kind=kind):
        law_of_values(box, kind)
    law.__name__ = f"values_of_{kind.replace('-', '_')}"
    case(law)


@case
def a_folder_has_the_bits_of_rounding_while_opening(box):
    for stored in "f32", "bf16":
        model = box.model(stored, stored)
        for kind, words in {**KINDS, "int8w": ["--to", "int8w"], "finer": ["--to", "int4", "--finer", "h.1.*.c_proj.weight", "--finer", "lm_head.*"]}.items():
            folder, _ = box.quantize(model, *words, name=f"{stored}-{kind}")
            expect_same(json.loads((folder / "config.json").read_text())["tfrun"]["runtime"]["dtype"], words[1])
            expect_same(box.digest(folder), box.digest(model, "--dtype", *words[1:]))
            expect(box.digest(folder) != box.digest(model), "it rounds nothing")


@case
def mixed_is_4_bits_with_some_of_8(box):
    model = box.model(n_layer=4)
    folder, told = box.quantize(model, "--to", "mixed")
    finer = json.loads((folder / "config.json").read_text())["tfrun"]["runtime"]["int4_finer"]
    expect_same(finer, ["lm_head.weight", "h.0.*", "h.3.*"])
    for tensor in told["tensors"]:
        ends = tensor["name"] == "lm_head.weight" or ".h.0." in tensor["name"] or ".h.3." in tensor["name"]
        expect_same(tensor["type"], "f32" if not is_linear(tensor["name"]) else "i8_channel" if ends else "i4_group")
    chosen, _ = box.quantize(model, "--to", "mixed", "--finer", "h.2.mlp.c_fc.weight", name="chosen")
    expect_same(json.loads((chosen / "config.json").read_text())["tfrun"]["runtime"]["int4_finer"], ["h.2.mlp.c_fc.weight"])
    for made, words in (folder, finer), (chosen, ["h.2.mlp.c_fc.weight"]):
        flags = [word for glob in words for word in ("--finer", glob)]
        expect_same(box.digest(made), box.digest(model, "--dtype", "int4", *flags))
    box.told(box.start(folder, *PROMPT, "--dtype", "int8"), 2, "--dtype int8 would round weights again that have 4 bits", "int4, or f32")


@case
def summary_counts_each_tensor_by_its_own_type(box):
    model = box.model(n_layer=3, n_embd=64, n_inner=128)  # whole groups, as packed_bytes counts them
    for kind in ["mixed"], ["mixed", "--zero-point", "--group", "64"], ["int4"], ["int8"]:
        folder, told = box.quantize(model, "--to", *kind, name="-".join(kind))
        summary = json.loads(box.start("summary", folder, "--json").stdout)
        expect_same(summary["parameter_bytes"], sum(tensor["bytes"] for tensor in told["tensors"]))
        expect_same(summary["packed_bytes"], sum(tensor["bytes"] for tensor in told["tensors"] if is_linear(tensor["name"])))
        line = next(line for line in box.start("summary", folder).stdout.splitlines() if line.startswith("parameter bytes"))
        expect(("9 of 13 in 8 bits" in line) == (kind[0] == "mixed") and "the rest as f32" in line, line)


@case
def int8_and_int8w_are_the_same_tensors(box):
    model = box.model()
    a, _ = box.quantize(model, "--to", "int8", name="a")
    b, _ = box.quantize(model, "--to", "int8w", name="b")
    expect((a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes())


def with_outliers(box, model, name):
    """A copy whose ln_1 and ln_2 have some large channels, which the rows behind them give back."""
    folder = box.folder / name
    shutil.copytree(model, folder)
    tensors = read_tensors(folder / "model.safetensors")
    for linear in [key for key in tensors if key.endswith(("c_attn.weight", "c_fc.weight"))]:
        scale_rows(tensors, linear, [2.0 ** (6 * (k % 11 == 3) - 3 * (k % 17 == 5)) for k in range(tensors[linear][1][0])])
    write_tensors(folder / "model.safetensors", tensors)
    return folder


def norms_of(linear):
    front = linear.rsplit(".", 3)[0]
    return [f"{front}.{'ln_1' if linear.endswith('c_attn.weight') else 'ln_2'}.{part}" for part in ("weight", "bias")]


def scale_rows(tensors, linear, factors):
    """Channels of the norm times, rows of the linear divided by `factors`; both in F32 then."""
    for name, of in [(linear, lambda i: 1 / factors[i // tensors[linear][1][1]])] + [(name, lambda i: factors[i]) for name in norms_of(linear)]:
        dtype, shape, raw = tensors[name]
        tensors[name] = ("F32", shape, array.array("f", (x * of(i) for i, x in enumerate(floats(dtype, raw)))).tobytes())


def smoothing(tensors, linear, strength):
    """The factors that docs/quantize.md defines."""
    rows, columns = tensors[linear][1]
    weight, bias = (floats(*tensors[name][::2]) for name in norms_of(linear))
    values = floats(*tensors[linear][::2])
    logs = [strength * math.log2(max(abs(weight[k]) + abs(bias[k]), 1e-6)) -
            (1 - strength) * math.log2(max(1e-6, *map(abs, values[k * columns:(k + 1) * columns]))) for k in range(rows)]
    return [2.0 ** -round(x - sum(logs) / rows) for x in logs]


@case
def smoothing_is_what_rows_and_norms_say(box):
    """--smooth gives the bits of a model that was smoothed here by the definition; in f32 neither has any effect."""
    for stored in "f32", "bf16":
        model = with_outliers(box, box.model(stored, stored), f"{stored}-outliers")
        smoothed = box.folder / f"{stored}-smoothed"
        shutil.copytree(model, smoothed)
        tensors = read_tensors(smoothed / "model.safetensors")
        for linear in [key for key in tensors if key.endswith(("c_attn.weight", "c_fc.weight"))]:
            scale_rows(tensors, linear, smoothing(tensors, linear, 0.75))
        write_tensors(smoothed / "model.safetensors", tensors)
        expect_same(box.digest(smoothed), box.digest(model))
        for kind, words in {**KINDS, "mixed": ["--to", "mixed"]}.items():
            folder, told = box.quantize(model, *words, "--smooth", "0.75", name=f"{stored}-{kind}")
            other, _ = box.quantize(smoothed, *words, name=f"{stored}-{kind}-other")
            a, b = (read_tensors(path / "model.safetensors") for path in (folder, other))
            expect_same({name: (dtype, shape, bytes(raw)) for name, (dtype, shape, raw) in a.items()},
                        {name: (dtype, shape, bytes(raw)) for name, (dtype, shape, raw) in b.items()})
            expect_same(json.loads((folder / "config.json").read_text())["quantization_config"]["smooth"], 0.75)
            expect_same(box.digest(folder), box.digest(other))
            expect_same(told["bytes"], sum(len(bytes(raw)) for _, _, raw in a.values()))
    for value, word in ("0", "not a number above 0"), ("nan", "not a number"), ("0.5x", "not a number"), ("1.5", "at most 1"):
        box.told(box.start("quantize", model, "--to", "int8", "--smooth", value, "-o", box.folder / "none", "-q"), 2, word)


@case
def heads_of_every_class(box):
    """Tied, untied, none, and those with a few columns."""
    for head, fields in {"GPT2LMHeadModel": {"tie_word_embeddings": False}, "GPT2Model": {}, "GPT2DoubleHeadsModel": {},
                         "GPT2ForSequenceClassification": {"num_labels": 3}, "GPT2ForTokenClassification": {"num_labels": 5},
                         "GPT2ForQuestionAnswering": {}}.items():
        model = box.model(head, architectures=[head], pad_token_id=1, add_cross_attention=head == "GPT2Model", **fields)
        folder, told = box.quantize(model, "--to", "int8", name=f"{head}-8")
        source = read_tensors(model / "model.safetensors")
        stored = read_tensors(folder / "model.safetensors")
        coarse = [name for name in stored if f"{name}_scale" in stored]
        expect_same(sorted(coarse), sorted(t["name"] for t in told["tensors"] if t["type"] == "i8_channel"))
        expect(all(name in coarse for name in source if is_linear(name)), coarse)
        report = json.loads(box.run("check", folder, "--json"))
        expect_same(report["counts"]["refused"], 0)
        reply = box.folder / f"{head}.safetensors"
        request = box.folder / "in.safetensors"
        write_tensors(request, {"input_ids": ("I64", [1, 4], [3, 9, 27, 81])})
        box.run("forward", folder, "--in", request, "--out", reply)
        expect(len(read_tensors(reply)) > 0)


@case
def an_adapter_is_merged(box):
    golden = box.source / "tests" / "model" / "golden" / "lora"
    model, adapter = golden / "models" / "f32", golden / "all"
    folder, _ = box.quantize(model, "--to", "int8", "--adapter", adapter)
    expect_same(box.digest(folder), box.digest(model, "--adapter", adapter, "--dtype", "int8"))
    box.told(box.start(folder, *PROMPT, "--adapter", adapter), 4, "can't be merged into coarse weights", "tfrun quantize MODEL --adapter")
    done = box.start("check", folder, "--adapter", adapter, "--json")
    refused = [line for line in json.loads(done.stdout)["other"] if line["status"] == "refused"]
    expect_same((done.returncode, [line["name"] for line in refused]), (4, ["adapter"]))
    expect("can't be merged into coarse weights" in refused[0]["reason"], refused)


@case
def shards_and_prefixes_make_the_same_folder(box):
    model = box.model()
    whole, _ = box.quantize(model, "--to", "int4", name="whole")
    tensors = read_tensors(model / "model.safetensors")
    parts = box.folder / "parts"
    shutil.copytree(model, parts)
    (parts / "model.safetensors").unlink()
    names = sorted(tensors)
    places = {f"wrapped.{name}": f"part-{i % 3}.safetensors" for i, name in enumerate(names)}
    for shard in set(places.values()):
        write_tensors(parts / shard, {name: tensors[name[len("wrapped."):]] for name in places if places[name] == shard})
    (parts / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    folder, _ = box.quantize(parts, "--to", "int4", "--tensor-prefix", "wrapped.", name="sharded")
    expect((folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes())
    expect_same(box.digest(folder), box.digest(whole))


@case
def bytes_told_are_those_of_the_file(box):
    folder, told = box.quantize(box.model(), "--to", "int4", "--zero-point")
    data = (folder / "model.safetensors").read_bytes()
    expect_same(told["bytes"], len(data) - 8 - int.from_bytes(data[:8], "little"))
    expect_same(told["bytes"], sum(t["bytes"] for t in told["tensors"]))
    expect_same(told["bytes_before"], sum(t["bytes_before"] for t in told["tensors"]))


@case
def perplexity_is_that_of_eval(box):
    demo, text = box.source / "configs" / "demo", box.folder / "text.txt"
    text.write_text((demo / "heldout.txt").read_text()[:4000])
    folder, told = box.quantize(demo, "--to", "int8", "--data", text, "--ctx", "128")
    measure = ["--data", text, "--ctx", "128", "--json", "-q"]
    evaluated = [json.loads(box.run("eval", model, *measure)) for model in (demo, folder)]
    before, after = (one["perplexity"] for one in evaluated)
    expect_same((told["perplexity"]["before"], told["perplexity"]["after"]), (before, after))
    expect_same([told["perplexity"][f"{side}_error"] for side in ("before", "after")], [one["perplexity_error"] for one in evaluated])
    lost = [one["logprob"] - other["logprob"] for one, other in zip(*(json.loads(box.run(
        "score", model, "-f", text, "--ctx", "128", "--per-token", "--json", "-q"))["tokens"] for model in (demo, folder)))]
    expect_same(len(lost), told["perplexity"]["n_tokens"])
    error = 100 * after / before * statistics.stdev(lost) / len(lost) ** 0.5  # of the same numbers in another order of adding
    expect(abs(told["perplexity"]["worse_percent_error"] / error - 1) < 1e-6 and error < evaluated[0]["perplexity_error"], told["perplexity"], error)
    expect_same([told["perplexity"][f"{side}_{what}"] for side in ("before", "after") for what in ("dtype", "kv_dtype")],
                ["f32", "f32", "int8", "bf16"])
    piped = subprocess.run([box.tfrun, "quantize", demo, "--to", "int8", "--data", "-", "--ctx", "128", "-o", box.folder / "piped", "--json", "-q"],
                           capture_output=True, text=True, timeout=250 * SLOWER, input=text.read_text())
    expect_same(json.loads(piped.stdout)["perplexity"], told["perplexity"])
    expect(abs(told["perplexity"]["worse_percent"] - 100 * (after / before - 1)) < 1e-9)
    text.write_text(text.read_text()[:300])
    shown = box.run("quantize", demo, "--to", "int8", "--data", text, "--ctx", "128", "--dtype", "bf16", "--kv-dtype", "f16", "-o", box.folder / "shown", "-q")
    expect(re.search(r"perplexity [\d.]+ \+- [\d.]+ \(bf16, kv f16\) before, [\d.]+ \+- [\d.]+ \(int8, kv f16\) after: [+-][\d.]+ % \+- [\d.]+ \(", shown), shown)
    config = json.loads((folder / "config.json").read_text())
    source = json.loads((demo / "config.json").read_text())
    expect_same({**config["tfrun"]["sampling"]}, source["tfrun"]["sampling"])
    expect_same(config["tfrun"]["model"], {"name": "demo"})
    shown = box.start("quantize", demo, "--to", "int8", "-o", box.folder / "again", "-q")
    expect(shown.returncode == 0 and "lm_head.weight" in shown.stdout and "together" in shown.stdout, shown.stdout)


@case
def a_config_that_says_int4_in_vain_is_told(box):
    model = box.model()
    path = model / "config.json"
    config = json.loads(path.read_text())

    def warned(flags=(), **runtime):
        path.write_text(json.dumps({**config, "tfrun": {"runtime": runtime}}))
        done = box.start(model, *PROMPT[:-1], *flags)
        expect_same(done.returncode, 0)
        return [line for line in done.stderr.splitlines() if "int4" in line]

    told = warned(dtype="int8", int4_group=64, int4_finer=["h.0.*"])
    expect_same(len(told), 1)
    expect("runtime.int4_group, runtime.int4_finer have no effect: runtime.dtype is not int4 but int8" in told[0] and "config.json: " in told[0], told)
    expect_same(len(warned(int4_zero_point=True)), 1)
    expect_same(warned(dtype="int8", int4_group=32, int4_zero_point=False, int4_finer=[]), [])  # as without them
    expect_same(warned(dtype="int4", int4_group=32, int4_zero_point=True), [])
    expect_same(warned(["--dtype", "int8"], dtype="int4", int4_zero_point=True), [])  # the file is right for its own type
    path.write_text(json.dumps(config))
    folder, _ = box.quantize(model, "--to", "int4", "--zero-point")
    expect("int4_zero" not in box.start(folder, *PROMPT[:-1], "--dtype", "f32").stderr)


@case
def other_methods_are_refused(box):
    model = box.model()
    path = model / "config.json"
    config = json.loads(path.read_text())
    for value, code, word in (({"quant_method": "gptq", "bits": 4}, 4, "quant_method gptq is not supported"),
                              ({"bits": 4}, 4, "quant_method missing"),
                              ("gptq", 3, "quantization_config"),
                              ({"quant_method": "tfrun"}, 4, "quantization_config.version is not 1"),
                              ({"quant_method": "tfrun", "version": 2}, 4, "quantization_config.version is not 1"),
                              ({"quant_method": "tfrun", "version": 1, "weights": "int5"}, 3, "weights is none of int8"),
                              ({"quant_method": "tfrun", "version": 1, "weights": "int4", "group_size": 48}, 3, "group_size is neither 32 nor 64"),
                              ({"quant_method": "tfrun", "version": 1, "weights": "int4", "zero_point": 1}, 3, "quantization_config.zero_point"),
                              ({"quant_method": "tfrun", "version": 1, "weights": "int4", "act_order": True}, 4, "act_order is unknown")):
        path.write_text(json.dumps({**config, "quantization_config": value}))
        box.told(box.start(model, *PROMPT), code, "config.json:1:", word)


@case
def damaged_folders_are_refused(box):
    model = box.model()
    name = "transformer.h.1.mlp.c_fc.weight"
    whole, _ = box.quantize(model, "--to", "int4", "--zero-point")

    def damage(change, *words, code=4, flags=(), lines=1):
        folder = box.folder / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        tensors = read_tensors(folder / "model.safetensors")
        change(tensors)
        write_tensors(folder / "model.safetensors", tensors)
        box.told(box.start(folder, *PROMPT, *flags), code, "model.safetensors", *words, lines=lines)
        return folder

    def put(end, dtype=None, shape=None, raw=None):
        def change(tensors):
            old = tensors[name + end]
            tensors[name + end] = (dtype or old[0], shape or old[1], raw if raw is not None else old[2])
        return change

    damage(lambda tensors: tensors.pop(f"{name}_scale"), name, "has no", "_scale", "quantise the model again")
    damage(lambda tensors: tensors.pop(f"{name}_zero_point"), name, "has no", "_zero_point")
    damage(lambda tensors: tensors.__setitem__(name, ("F32", [48, 72], bytes(4 * 48 * 72))), f"{name}_scale has no whole numbers",
           lines=2)
    damage(put("_scale", shape=[1, 144]), f"{name}_scale", "[1, 144]", "[2, 72]")
    damage(put("", shape=[12, 144]), name, "U8 [12, 144] but the config asks for U8 [24, 72]")
    damage(put("_scale", raw=struct.pack("<144e", *[math.nan] * 144)), f"{name}_scale holds nan at element 0")
    damage(put("_zero_point", raw=bytes([8] * 143 + [16])), f"{name}_zero_point holds 16 at element 143")
    damage(lambda tensors: tensors.__setitem__("transformer.wpe.weight", ("U8", [64, 48], bytes(64 * 48))), "wpe.weight has dtype U8")
    path = whole / "config.json"
    path.write_text(path.read_text().replace('"zero_point": true', '"zero_point": false'))
    box.told(box.start(whole, *PROMPT), 4, "_zero_point stands where the config says that there are no zero points", lines=9)
    whole, _ = box.quantize(model, "--to", "int8", name="eight")
    low = bytes([0x80]) + bytes(48 * 72 - 1)
    for flags in (["--check-weights"], [], ["--dtype", "int8w"]):
        damage(put("", raw=low), name, "holds -128 at element 0", "quantise the model again", flags=flags)
    damage(lambda tensors: tensors.pop("transformer.wte.weight"), "tensor transformer.wte.weight [101, 48] is missing")


@case
def what_cannot_be_written_leaves_nothing(box):
    model = box.model()
    bad = box.folder / "bad"
    shutil.copytree(model, bad)
    tensors = read_tensors(bad / "model.safetensors")
    dtype, shape, values = tensors["transformer.h.1.mlp.c_proj.weight"]
    values[5] = math.inf
    write_tensors(bad / "model.safetensors", tensors)
    out = box.folder / "out"
    box.told(box.start("quantize", bad, "--to", "int8", "-o", out, "-q"), 4, "h.1.mlp.c_proj.weight, output 5", "--check-weights")
    expect_same(list(out.iterdir()), [])
    coarse, _ = box.quantize(model, "--to", "int8")
    before = {path.name: path.read_bytes() for path in coarse.iterdir()}
    box.told(box.start("quantize", bad, "--to", "int4", "-o", coarse, "--force", "-q"), 4, "h.1.mlp.c_proj.weight")
    expect_same({path.name: path.read_bytes() for path in coarse.iterdir()}, before)
    box.told(box.start("quantize", model, "--to", "int4", "-o", coarse, "-q"), 2, "already holds a model", "--force")
    box.told(box.start("quantize", coarse, "--to", "int4", "-o", out, "-q"), 4, "coarse already")
    box.told(box.start("quantize", model, "--to", "int4", "-o", model, "--force", "-q"), 2, "folder of the model itself")
    box.told(box.start("quantize", model, "-o", out), 2, "by --to: int8 (inputs rounded too); int8w (", "; mixed (")
    box.told(box.start("quantize", model, "--to", "int3", "-o", out), 2, '"int3" is none of')
    for word, said in (("Q4_0", "mixed; int4 has weights of 4 bits"), ("INT8", 'mixed; did you mean "int8"?'), ("bf16", "run the model with --dtype bf16"),
                       ("float16", "run the model with --dtype bf16"), ("w8a8", "mixed; it is called int8 here"), ("gguf", "mixed\n")):
        box.told(box.start("quantize", model, "--to", word, "-o", out), 2, f'--to: "{word}" is none of int8, int8w, int4, mixed', said)
    box.told(box.start("quantize", model, "--to", "int8", "--group", "64", "-o", out), 2, "one scale for each output")
    box.told(box.start("quantize", model, "--to", "int4", "--group", "48", "-o", out), 2, "48")
    box.told(box.start("quantize", model, "--to", "int4"), 2, "-o DIR")
    box.told(box.start("quantize", coarse, "--to", "int8w", "--group", "64", "-o", out, "-q"), 4, "coarse already")
    box.told(box.start("quantize", model, "--to", "int8", "-o", out, "--data", box.folder / "none"), 5, "none", "No such file")
    box.told(box.start("quantize", model, "--to", "int8", "-o", out, "--smooth", "1.5"), 2, '--smooth: "1.5"', "at most 1")
    for words in (["--ctx", "16"], ["--dtype", "int4"], ["--set", "eval.ctx=16"], ["--threads", "2"], ["--kernels", "ref"],
                  ["--set", "tfrun.runtime.max_rows=8"], ["--warmup"]):
        box.told(box.start("quantize", model, "--to", "int8", *words, "-o", out), 2, *words[:1], "without --data")
    for kind in "int4", "mixed":
        done = box.start("quantize", model, "--to", kind, "--finer", "lm_head.*", "--finer", "nosuch.*", "-o", out)
        box.told(done, 2, "--finer nosuch.* names no linear", "h.0.attn.c_attn.weight to h.1.mlp.c_proj.weight")
    expect_same(list(out.iterdir()), [])
    box.run("quantize", model, "--to", "int4", "-o", coarse, "--force", "-q")
    expect_same(json.loads((coarse / "config.json").read_text())["quantization_config"]["weights"], "int4")


@case
def a_text_that_cannot_be_measured_leaves_no_folder(box):
    demo, text, out = box.source / "configs" / "demo", box.folder / "text.txt", box.folder / "out"
    text.write_text((demo / "heldout.txt").read_text()[:300])

    def refused(code, *words, model=demo, data=text, to="int8", said, lines=1):
        box.told(box.start("quantize", model, "--to", to, "-o", out, "-q", "--data", data, *words), code, said, lines=lines)
        expect(not out.exists(), words)

    refused(5, data=box.folder / "none", said="No such file")
    refused(5, model=box.model(), said="no tokenizer")
    refused(2, "--ctx", "100000", said="more than the model's n_positions = 512")
    refused(2, "--trace", box.folder / "trace.json", said="--trace has no effect on `tfrun quantize`")
    refused(2, "--dtype", "f16", said="is not one of")
    refused(2, to="int3", said='"int3" is none of')
    text.write_text("")
    refused(4, said="the text has 0 tokens")
    text.write_text((demo / "heldout.txt").read_text()[:300])
    box.run("quantize", demo, "--to", "int8", "--data", text, "--lossless", "-o", out, "-q")  # of f32, which the folder has not
    trusted, unmeasured = box.folder / "trusted", box.folder / "unmeasured"
    shutil.copytree(demo, trusted)
    config = json.loads((trusted / "config.json").read_text())
    (trusted / "config.json").write_text(json.dumps({**config, "tfrun": {**config["tfrun"], "output": {"force": True}}}))
    done = box.start("quantize", trusted, "--trust", trusted, "--to", "int4", "--data", text, "-o", unmeasured, "-q")
    box.told(done, 3, "--trust DIR", "unmeasured is written and whole; only its perplexity was not measured", lines=2)
    box.digest(unmeasured, "--trust", unmeasured)


@case
def options_that_no_weight_would_follow_are_refused(box):
    model = box.model()
    eight, _ = box.quantize(model, "--to", "int8", name="eight")
    zero, _ = box.quantize(model, "--to", "int4", "--zero-point", "--group", "64", name="zero")
    for folder, words, *said in (
            (model, ["--zero-point"], "--zero-point does nothing", "--dtype int4"),
            (model, ["--dtype", "int8", "--group", "64"], "--group 64 does nothing", "--dtype int4"),
            (model, ["--finer", "lm_head.weight"], "--finer does nothing"),
            (model, ["--dtype", "int4", "--finer", "nosuch"], "--finer nosuch names no linear"),
            (model, ["--lossless", "--no-deterministic"], "--lossless does nothing", "--deterministic"),
            (model, ["--lossless", "--dtype", "bf16"], "--lossless does nothing", "--dtype f32"),
            (eight, ["--group", "64"], "--group 64 does nothing", "quantization_config"),
            (zero, ["--group", "32"], "--group 32 does nothing", "quantization_config"),
            (zero, ["--no-zero-point"], "--no-zero-point does nothing", "quantization_config"),
            (zero, ["--finer", "lm_head.weight"], "--finer does nothing", "quantization_config")):
        box.told(box.start(folder, *PROMPT, *words), 2, *said)
    digest = box.digest(zero)
    expect_same(box.digest(zero, "--group", "64", "--zero-point"), digest)  # as they are stored
    expect_same(box.digest(model, "--no-lossless", "--no-zero-point", "--group", "32"), box.digest(model))
    expect_same(box.digest(model, "--no-lossless", "--dtype", "bf16"), box.digest(model, "--dtype", "bf16"))  # asks for what is so anyway


@case
def a_file_may_hold_settings_of_several_types(box):
    model = box.model()
    config = json.loads((model / "config.json").read_text())
    config["tfrun"] = {"version": 1, "runtime": {"int4_group": "64", "int4_finer": ["nosuch"]}}
    (model / "config.json").write_text(json.dumps(config))
    box.digest(model)
    checked = json.loads(box.run("check", model, "--json"))
    verdicts = {option["name"]: option["status"] for option in checked["options"]}
    expect_same([verdicts["runtime.int4_" + name] for name in ("group", "zero_point", "finer")], ["no effect"] * 3)
    box.told(box.start(model, *PROMPT, "--dtype", "int4"), 3, "tfrun.runtime.int4_finer = nosuch names no linear")
    expect_same(box.start("check", model, "--dtype", "int4").returncode, 3)
    box.quantize(model, "--to", "int8")


@case
def ranks_have_the_bits_of_one(box):
    if box.mpiexec is None:
        return
    model = box.model()
    folder, _ = box.quantize(model, "--to", "int8")
    alone = box.digest(folder)
    expect_same(box.digest(folder, ranks=2), alone)
    expect_same(box.digest(folder, "--head", "split", ranks=2), alone)
    expect_same(box.digest(folder, "--dtype", "f32", "--tensor", "2", ranks=2), box.digest(folder, "--dtype", "f32", "--sums", "by-head"))


if __name__ == "__main__":
    sys.exit(main(Box))

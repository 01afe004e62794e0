#!/usr/bin/env python3
"""test_check.py TFRUN NAME SOURCE_DIR: `tfrun check` from outside, one behaviour a case.

`test_check.py --list` prints the names. Python's own library only.
"""
import json
import re
import shutil
import struct
import subprocess
import sys
import time

from cases import SLOWER, case, expect, expect_same, main

STATUSES = {"honoured", "no effect", "refused"}


def read_tensors(path):
    """Header and data of a safetensors file."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8:8 + size]), content[8 + size:]


def write_tensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class Check:
    """The command, and a folder with a copy of a small model to spoil."""

    def __init__(self, program, source_dir, folder):
        self.program, self.source, self.folder = program, source_dir, folder
        self.golden = source_dir / "tests" / "model" / "golden"

    def run(self, *arguments, code=0):
        ran = subprocess.run([self.program, "check", *map(str, arguments)], capture_output=True, timeout=60 * SLOWER)
        if ran.returncode != code:
            raise AssertionError(f"exit code {ran.returncode}, expected {code}: {ran.stdout.decode()[-600:]}"
                                 f"{ran.stderr.decode()}")
        return ran.stdout.decode()

    def json(self, *arguments, code=0):
        report = json.loads(self.run(*arguments, "--json", code=code))
        expect_same(report["schema"], "tfrun-check-1")
        for part in ("fields", "options", "tensors", "other"):
            for line in report[part]:
                expect(line["status"] in STATUSES, line)
                expect(line["status"] != "refused" or line["reason"], "no reason", line)
        return report

    def copy(self, name):
        folder = self.folder / name
        shutil.copytree(self.golden / name, folder)
        return folder

    def config(self, **members):
        """A config file of a good model with these members besides."""
        config = {"model_type": "gpt2", "n_embd": 48, "n_head": 4, "n_layer": 2, "vocab_size": 61, **members}
        path = self.folder / "config.json"
        path.write_text(json.dumps(config))
        return path

    def field_names(self):
        text = (self.source / "core" / "config" / "model_fields.def").read_text()
        return re.findall(r"^TFR_FIELD\((\w+),", text, re.MULTILINE)

    def option_names(self):
        text = (self.source / "core" / "config" / "config.def").read_text()
        return re.findall(r'^TFR_OPTION\(\w+,\s*"([^"]+)"', text, re.MULTILINE)


def refused(lines):
    return {line["name"]: line["reason"] for line in lines if line["status"] == "refused"}


def by_name(lines):
    return {line["name"]: line for line in lines}


@case
def gpt2_is_clean(check):
    for path in sorted((check.source / "configs").glob("*gpt2*.json")):
        report = check.json(path)
        expect_same(report["counts"]["refused"], 0)
        expect_same(by_name(report["other"])["checkpoint"]["status"], "no effect")


@case
def every_field_of_the_table_appears_once(check):
    names = check.field_names()
    expect(len(names) > 50, names)
    expect_same([line["name"] for line in check.json(check.config())["fields"]], names)
    text = check.run(check.config())
    for name in names:
        expect(re.search(rf"^  (honoured |no effect)  {name} ", text, re.MULTILINE), "no line of", name)


@case
def every_option_appears_once(check):
    names = [line["name"] for line in check.json(check.config())["options"]]
    expect_same(sorted(names), sorted(check.option_names() + ["parallel.device_map"]))


@case
def values_and_sources(check):
    path = check.config(hidden_size=48, n_embd=48, resid_pdrop=0.25, torch_dtype="float16", rope_theta=[1, {"a": None}],
                        tfrun={"runtime": {"threads": 2}, "parallel": {"device_map": {"0": [0], "1": [1]}}})
    report = check.json(path, "--max-rows", 8)
    fields, options = by_name(report["fields"]), by_name(report["options"])

    def part(line, *names):
        return [line[name] for name in names]
    expect_same(part(fields["n_embd"], "value", "source", "status"), [48, "file", "honoured"])
    expect_same(part(fields["n_positions"], "value", "source", "status"), [1024, "default", "honoured"])
    expect_same(part(fields["n_inner"], "value", "source"), [None, "default"])
    expect_same(part(fields["resid_pdrop"], "value", "source", "status"), [0.25, "file", "no effect"])
    expect_same(part(fields["dtype"], "value", "source"), ["float16", "file"])
    expect_same(part(fields["n_ctx"], "value", "source"), [None, "absent"])
    expect_same(part(fields["rope_theta"], "value", "status"), [[1, {"a": None}], "no effect"])
    expect("outside the vocabulary" in fields["eos_token_id"]["reason"], fields["eos_token_id"])
    expect_same(part(options["runtime.threads"], "value", "source", "status"), [2, "file", "honoured"])
    expect_same(part(options["runtime.max_rows"], "value", "source"), [8, "--max-rows"])
    expect_same(part(options["runtime.dtype"], "value", "source"), ["f32", "default"])
    expect_same(options["parallel.device_map"]["value"], [0, 1])


# A value of each field that is refused, and the exit code.
REFUSED = {
    "model_type": ("bert", 4),
    "architectures": (["BertModel"], 4),
    "vocab_size": (0, 3),
    "n_positions": ("many", 3),
    "n_embd": (50, 3),
    "n_layer": (2.5, 3),
    "n_head": (5, 3),
    "n_inner": (-1, 3),
    "activation_function": ("prelu", 4),
    "resid_pdrop": (7, 3),
    "embd_pdrop": ("a", 3),
    "attn_pdrop": (-1, 3),
    "layer_norm_epsilon": (None, 3),
    "initializer_range": (True, 3),
    "scale_attn_weights": (1, 3),
    "scale_attn_by_inverse_layer_idx": ("yes", 3),
    "reorder_and_upcast_attn": (0, 3),
    "tie_word_embeddings": ("no", 3),
    "use_cache": (2, 3),
    "bos_token_id": ("x", 3),
    "eos_token_id": (1.5, 3),
    "pad_token_id": (-7, 3),
    "is_encoder_decoder": (True, 4),
    "pruned_heads": ({"0": [1]}, 4),
    "quantization_config": ({"bits": 4}, 4),
}


@case
def each_refused_field_is_named(check):
    for name, (value, code) in REFUSED.items():
        report = check.json(check.config(**{name: value}), code=code)
        lines = refused(report["fields"])
        blamed = {"n_embd": {"n_embd", "n_head"}}.get(name, {name})  # 50 wide with 4 heads: either
        expect(len(lines) == 1 and set(lines) <= blamed, name, lines)
        expect_same(report["counts"]["refused"], 1)
        expect_same(len(report["fields"]), len(check.field_names()))
        expect_same(by_name(report["fields"])[name]["value"], value)
        ran = subprocess.run([check.program, "config", check.folder / "config.json"], capture_output=True)
        expect_same(ran.returncode, code)


OTHER_VALUES = {str: "other", bool: True, int: 7, float: 0.5, type(None): 3, dict: {"a": 1}}


@case
def fields_without_effect_change_no_bit(check):
    """Every such field at once, each with a value that is not its default."""
    text = (check.source / "core" / "config" / "model_fields.def").read_text()
    page = (check.source / "docs" / "fields.md").read_text()
    names = [name for name in re.findall(r"^TFR_FIELD\((\w+),.*NO_EFFECT", text, re.MULTILINE) if name != "initializer_range"]
    folder = check.copy("base")
    config = json.loads((folder / "config.json").read_text())
    defaults = dict(re.findall(r"^\| `(\w+)`[^|]*\| `([^`]*)` \|", page, re.MULTILINE))

    def digest():
        ran = subprocess.run([check.program, folder, "--prompt-ids", "1,2,3,4,5", "-n", "4", "--json", "-q"], capture_output=True)
        expect_same(ran.stderr, b"")
        return json.loads(ran.stdout)["logits_digest"]

    before = digest()
    for name in names:
        default = json.loads(defaults.get(name, "null"))
        config[name] = (not default) if isinstance(default, bool) else OTHER_VALUES[type(default)]
    expect(len(names) > 25, names)
    (folder / "config.json").write_text(json.dumps(config))
    expect_same(digest(), before)


@case
def all_refusals_are_in_one_report(check):
    path = check.config(n_head=5, activation_function="gelo", pruned_heads={"0": [1]},
                        tfrun={"sampling": {"top_p": 2, "top_q": 1}, "runtime": 7})
    report = check.json(path, "--threads", "-3", "--set", "runtime.dtype=f8", code=3)
    expect_same(set(refused(report["fields"])), {"n_head", "activation_function", "pruned_heads"})
    options = refused(report["options"])
    expect_same(set(options), {"sampling.top_p", "sampling.top_q", "runtime", "runtime.threads", "runtime.dtype"})
    expect("unknown key" in options["sampling.top_q"], options)
    expect_same([by_name(report["options"])[name]["value"] for name in ("sampling.top_q", "runtime")], [1, 7])
    lines = by_name(report["options"])
    expect_same([lines[name]["value"] for name in ("sampling.top_p", "runtime.threads", "runtime.dtype")],
                [2, "-3", "f8"])
    expect_same(report["counts"]["refused"], 8)
    report = check.json(check.config(), "--set", "runtime.dtype=f8", "--set", "runtime.isa=mmx", code=2)
    options = refused(report["options"])
    expect("f8" in options["runtime.dtype"] and "mmx" in options["runtime.isa"], options)


@case
def a_config_of_a_megabyte_costs_no_square(check):
    """Each complaint, and each unknown key, is placed in the text: by a walk from its beginning that took an hour."""
    many = {f"key{i}": [i, i, i] for i in range(40000)}
    report = check.json(check.config(many=many, pruned_heads={"0": [1]}, **many), code=4)
    expect_same(set(refused(report["fields"])), {"pruned_heads"})
    expect_same(sum(line["name"] in many for line in report["fields"] + report["other"]), len(many))


@case
def many_complaints_cost_no_square(check):
    """Each complaint finds its value in the text, and each value its complaints: by walks over all of them that took minutes."""
    many = {f"key{i}": i for i in range(40000)}
    wrong = {"0": ["first"] + ["block"] * 40000}
    report = check.json(check.config(tfrun={"runtime": {"threads": "few"}, "parallel": {"device_map": wrong}, **many}), code=3)
    reasons = refused(report["options"])
    expect_same(set(reasons), {"runtime.threads", "parallel.device_map", *many})
    expect("did you mean" not in reasons["key39999"] and "first" in reasons["parallel.device_map"], reasons["key39999"])


@case
def an_unknown_flag_key_is_refused(check):
    report = check.json(check.config(), "--set", "runtime.thread=3", code=2)
    expect("runtime.threads" in refused(report["other"])["command line"], report["other"])


@case
def tensors_of_a_good_checkpoint(check):
    report = check.json(check.golden / "base")
    header, _ = read_tensors(check.golden / "base" / "model.safetensors")
    tensors = by_name(report["tensors"])
    for name, entry in header.items():
        if name != "__metadata__":
            line = tensors[name]
            expect_same((line["dtype"], line["shape"], line["kind"], line["status"]),
                        (entry["dtype"], entry["shape"], "parameter", "honoured"))
    expect_same(tensors["lm_head.weight"]["kind"], "tied")
    expect_same(report["counts"]["refused"], 0)


@case
def every_golden_model_is_clean(check):
    for folder in sorted(check.golden.iterdir()):
        if (folder / "config.json").exists():
            expect_same(check.json(folder, "--trust", check.golden.parent)["counts"]["refused"], 0)


@case
def mask_buffers_are_skipped(check):
    for name in ("buffers", "buffers_bare"):
        lines = [line for line in check.json(check.golden / name)["tensors"] if line["kind"] == "mask buffer"]
        expect(lines and all(line["status"] == "no effect" for line in lines), lines)


@case
def an_unknown_tensor_is_refused(check):
    folder = check.copy("base")
    header, data = read_tensors(folder / "model.safetensors")
    header["transformer.h.0.attn.rotary"] = {"dtype": "F32", "shape": [2], "data_offsets": [len(data), len(data) + 8]}
    write_tensors(folder / "model.safetensors", header, data + bytes(8))
    report = check.json(folder, code=4)
    expect_same(set(refused(report["tensors"])), {"transformer.h.0.attn.rotary"})
    expect_same(by_name(report["tensors"])["transformer.h.0.attn.rotary"]["kind"], "unknown")


@case
def a_missing_tensor_is_refused(check):
    folder = check.copy("base")
    header, data = read_tensors(folder / "model.safetensors")
    gone = max((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"][1])
    data = data[:header.pop(gone)["data_offsets"][0]]
    write_tensors(folder / "model.safetensors", header, data)
    report = check.json(folder, code=4)
    expect_same(set(refused(report["tensors"])), {gone})
    expect_same(by_name(report["tensors"])[gone]["kind"], "missing")


@case
def a_wrong_shape_is_refused(check):
    folder = check.copy("base")
    config = json.loads((folder / "config.json").read_text())
    config["vocab_size"] -= 1
    (folder / "config.json").write_text(json.dumps(config))
    lines = refused(check.json(folder, code=4)["tensors"])
    expect_same(list(lines), ["transformer.wte.weight"])
    expect("has shape" in lines["transformer.wte.weight"], lines)


@case
def a_damaged_checkpoint_is_refused(check):
    folder = check.copy("base")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    report = check.json(folder, code=4)
    expect("checkpoint" in refused(report["other"]), report["other"])
    expect_same(len(report["fields"]), len(check.field_names()))


@case
def a_pickle_alone_is_refused(check):
    (check.folder / "pytorch_model.bin").write_bytes(b"PK")
    expect("checkpoint" in refused(check.json(check.config(), code=4)["other"]), "a pickle")


@case
def a_refused_config_shows_its_tensors(check):
    folder = check.copy("base")
    config = json.loads((folder / "config.json").read_text())
    config["pruned_heads"] = {"0": [1]}
    (folder / "config.json").write_text(json.dumps(config))
    report = check.json(folder, code=4)
    expect(len(report["tensors"]) > 10 and not refused(report["tensors"]), report["tensors"])


@case
def no_file_or_no_json_is_an_error(check):
    check.run(check.folder / "none.json", code=5)
    (check.folder / "config.json").write_text("[1]")
    check.run(check.folder / "config.json", code=3)
    (check.folder / "config.json").write_text("{")
    check.run(check.folder / "config.json", code=3)


@case
def a_large_checkpoint_costs_its_header(check):
    """512 MB of holes in a file: only the header is looked at."""
    folder = check.folder / "large"
    folder.mkdir()
    shutil.copy(check.config(n_embd=4096, n_layer=2, n_inner=4096, vocab_size=5000), folder)
    header, at, C = {}, 0, 4096
    shapes = {"wte.weight": [5000, C], "wpe.weight": [1024, C], "ln_f.weight": [C], "ln_f.bias": [C]}
    for i in range(2):
        for name, shape in (("ln_1.weight", [C]), ("ln_1.bias", [C]), ("attn.c_attn.weight", [C, 3 * C]),
                            ("attn.c_attn.bias", [3 * C]), ("attn.c_proj.weight", [C, C]), ("attn.c_proj.bias", [C]),
                            ("ln_2.weight", [C]), ("ln_2.bias", [C]), ("mlp.c_fc.weight", [C, C]),
                            ("mlp.c_fc.bias", [C]), ("mlp.c_proj.weight", [C, C]), ("mlp.c_proj.bias", [C])):
            shapes[f"h.{i}.{name}"] = shape
    for name, shape in shapes.items():
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    path = folder / "model.safetensors"
    write_tensors(path, header, b"")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + at)
    expect(at > 500e6, at)
    start = time.monotonic()
    expect_same(check.json(folder, "--trust", check.golden.parent)["counts"]["refused"], 0)
    expect(time.monotonic() - start < 2, time.monotonic() - start, "s")


if __name__ == "__main__":
    sys.exit(main(Check))

#!/usr/bin/env python3
"""test_summary.py TFRUN NAME SOURCE_DIR: `tfrun summary` against what PyTorch and torchinfo show (golden/summary.json).

`test_summary.py --list` prints the names. Python's own library only.
"""
import hashlib
import json
import subprocess

from cases import SLOWER, case, expect, expect_same, main

HEADS = ("lm", "none", "double", "seq-cls", "token-cls", "qa")


class Summary:
    """The command, and the golden data."""

    def __init__(self, program, source_dir, folder):
        self.program, self.source, self.folder = program, source_dir, folder
        self.golden = json.loads((source_dir / "tests" / "app" / "golden" / "summary.json").read_text(encoding="utf-8"))

    def run(self, *arguments, code=0):
        ran = subprocess.run([self.program, "summary", *map(str, arguments)], capture_output=True, timeout=60 * SLOWER)
        if ran.returncode != code:
            raise AssertionError(f"exit code {ran.returncode}, expected {code}: {ran.stdout.decode()[-600:]}{ran.stderr.decode()}")
        return ran.stdout.decode() if code == 0 else ran.stderr.decode()

    def write(self, **fields):
        path = self.folder / "config.json"
        path.write_text(json.dumps({"model_type": "gpt2", **self.golden["small"], **fields}))
        return path

    def config_of(self, item):
        return self.source / "configs" / item["config"] if "config" in item else self.write(**item["fields"])

    def check(self, item):
        """One case of the golden data: the print, the tables, both sums."""
        about = [self.config_of(item), "--head", item["head"], f"--cross-attention={str(item['cross_attention']).lower()}"]
        compare(self.run(*about, "--only", "print", "--torch", self.golden["torch"]), item["print"], item)
        for depth, table in item["tables"].items():
            compare(self.run(*about, "--only", "table", "--depth", depth), table, item)
        told = json.loads(self.run(*about, "--json"))
        expect_same((told["parameters"], told["parameters_torchinfo"]), (item["parameters"], item["torchinfo"]))
        expect_same(told["head"], item["head"])


def compare(have, want, item):
    have = have.removesuffix("\n")
    same = "sha256:" + hashlib.sha256(have.encode()).hexdigest() == want if want.startswith("sha256:") else have == want
    expect(same, {key: item[key] for key in ("config", "fields", "head", "cross_attention") if key in item}, f"\n{have}\nis not\n{want}")


def golden_of(config):
    """A case that checks all of the golden data of this config."""
    def check_all(summary):
        items = [item for item in summary.golden["cases"] if item.get("config") == f"{config}.json"]
        expect_same({(item["head"], item["cross_attention"]) for item in items},
                    {(head, cross) for head in HEADS for cross in (False, True)})
        for item in items:
            summary.check(item)
    check_all.__name__ = "golden_" + config.replace("-", "_")
    case(check_all)


for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "gpt2-cross-attention"):
    golden_of(name)


@case
def golden_odd_configs(summary):
    items = [item for item in summary.golden["cases"] if "fields" in item]
    expect(len(items) > 50, len(items))
    for item in items:
        summary.check(item)


@case
def token_classification_of_gpt2(summary):
    """The numbers and the print of the document that this began with; its PyTorch shows no bias of a LayerNorm."""
    about = summary.source / "configs" / "gpt2.json", "--head", "token-cls"
    table = summary.run(*about, "--only", "table").splitlines()
    counts = [line.split()[-1] for line in table if "─" in line and not line.endswith("--")]
    expect_same(counts, ["38,597,376", "786,432"] + ["7,087,872"] * 12 + ["1,536", "1,538"])
    expect_same(table[-4:-1], ["Total params: 124,441,346", "Trainable params: 124,441,346", "Non-trainable params: 0"])
    (newer,) = (item["print"] for item in summary.golden["cases"]
                if item.get("config") == "gpt2.json" and item["head"] == "token-cls" and not item["cross_attention"])
    older = newer.replace("elementwise_affine=True, bias=True", "elementwise_affine=True")
    for version in ([], ["--torch", "2.11"], ["--torch", "1.13.1"], ["--torch=2.11.0+cpu"]):
        compare(summary.run(*about, "--only", "print", *version), older, {})
    for version in ("2.12", "2.13.0+cpu", "3.0"):
        compare(summary.run(*about, "--only", "print", "--torch", version), newer, {})


@case
def activations_print_as_their_classes(summary):
    """All of the newest registry, two of which the release of the other golden data lacks."""
    golden = json.loads((summary.source / "tests" / "app" / "golden" / "cost_flops.json").read_text(encoding="utf-8"))["activations"]
    expect_same(len(golden), 22)
    for name, (module, *_) in golden.items():
        expect(f"(act): {module}\n" in summary.run(summary.write(activation_function=name), "--only", "print"), name, module)


@case
def the_head_is_the_architecture(summary):
    for word, name in (("lm", "GPT2LMHeadModel"), ("none", "GPT2Model"), ("double", "GPT2DoubleHeadsModel"),
                       ("seq-cls", "GPT2ForSequenceClassification"), ("token-cls", "GPT2ForTokenClassification"),
                       ("qa", "GPT2ForQuestionAnswering")):
        told = json.loads(summary.run(summary.write(architectures=[name]), "--format", "json"))
        expect_same((told["head"], told["class"]), (word, name))
    crossed = summary.write(add_cross_attention=True)
    expect("crossattention" in summary.run(crossed), "the config's add_cross_attention is not followed")
    expect("crossattention" not in summary.run(crossed, "--no-cross-attention"), "--no-cross-attention is not followed")


@case
def labels_survive_another_head(summary):
    """GPT2DoubleHeadsModel has one label whatever the file says; the other classes of the same file have the file's."""
    of_double = summary.write(architectures=["GPT2DoubleHeadsModel"], num_labels=7)
    expect("out_features=7" in summary.run(of_double, "--head", "token-cls", "--only", "print"))
    expect("out_features=1, bias=True" in summary.run(of_double, "--only", "print"))


@case
def memory_of_gpt2(summary):
    config = summary.source / "configs" / "gpt2.json"
    told = json.loads(summary.run(config, "--json", "--seq", 64))
    blocks, vocabulary = 12 * 12 * 768 * 768, 50257 * 768
    expect_same(told["parameters"], 124439808)
    expect_same(told["parameters_torchinfo"], 124439808 + vocabulary)
    expect_same((told["parameter_bytes"], told["packed_bytes"]), (4 * 124439808, 4 * (blocks + vocabulary)))
    expect_same(told["kv_position_bytes"], 73728)
    expect_same((told["step_rows"], told["step_logits"]), (64, 1))
    expect_same([told[key] for key in ("num_layers", "num_heads", "hidden_size", "intermediate_size", "n_positions", "vocab_size")],
                [12, 12, 768, 3072, 1024, 50257])  # the names that `cost` gives them
    head = summary.run(config).splitlines()[0]
    expect("inner width 3,072, 1,024 positions, vocabulary of 50,257" in head, head)
    half = json.loads(summary.run(config, "--json", "--dtype", "bf16", "--kv-dtype", "int8"))
    expect_same((half["parameter_bytes"], half["packed_bytes"]), (2 * 124439808, 2 * (blocks + vocabulary)))
    expect_same(half["kv_position_bytes"], 2 * 12 * 12 * (64 + 4))
    expect_same(json.loads(summary.run(summary.source / "configs" / "gpt2-xl.json", "--json"))["kv_position_bytes"], 614400)


@case
def activations_are_those_of_the_step(summary):
    """At least the rows that any plan keeps at once: the residual and the inner rows of the MLP. What is cut grows no more."""
    config = summary.source / "configs" / "gpt2.json"
    bytes_of = {}
    for batch, seq, rows in ((1, 1, 1), (1, 64, 64), (4, 16, 64), (2, 1024, 512), (512, 1024, 512)):
        told = json.loads(summary.run(config, "--json", "--batch", batch, "--seq", seq))
        expect_same(told["step_rows"], rows)
        expect(4 * rows * (768 + 3072) <= told["activation_bytes"] <= 4 * rows * (3 * 768 + 2 * 3072) + (1 << 20), told)
        bytes_of[batch, seq] = told["activation_bytes"]
    expect(bytes_of[1, 1] < bytes_of[1, 64] < bytes_of[2, 1024], bytes_of)


@case
def models_of_any_size(summary):
    """More blocks take no more room for activations, and as many as are allowed are answered at once."""
    bytes_of = {layers: json.loads(summary.run(summary.write(n_layer=layers), "--json"))["activation_bytes"] for layers in (2, 3, 12, 63, 64, 65)}
    expect_same(len(set(bytes_of.values())), 1)
    huge = {"n_layer": 1 << 16, "n_embd": 1 << 13, "n_inner": 1 << 15, "vocab_size": 1 << 24, "n_head": 1}
    told = json.loads(summary.run(summary.write(**huge), "--json"))
    width, inner, layers = huge["n_embd"], huge["n_inner"], huge["n_layer"]
    block = 4 * width * width + 2 * width * inner + 3 * width + width + inner + width + 4 * width
    expect_same(told["parameters"], layers * block + (huge["vocab_size"] + summary.golden["small"]["n_positions"] + 2) * width)
    expect_same(told["parameter_bytes"], 4 * told["parameters"])


@case
def one_sentence_for_each_wrong_question(summary):
    config = summary.write()
    for flags, words in ((["--head", "lmm"], 'head "lmm" is none of'), (["--seq", "33"], "longer than n_positions = 32"),
                         (["--seq", "1000000000000"], "longer than n_positions = 32"),
                         (["--depth", "-1"], "--depth"), (["--only", "facts"], "neither print nor table"),
                         (["--format", "xml"], "neither text nor json"), (["--torch", "new"], "no version of PyTorch"),
                         (["--torch", "2"], "no version of PyTorch"), (["--json", "--only", "table"], "leave one of the two out"),
                         (["--json", "--depth", "1"], "--depth changes nothing in JSON"),
                         (["--json", "--format", "text"], "give one"), (["--only", "print", "--seq", "5"], "--seq changes nothing"),
                         (["--only", "table", "--torch", "2.12"], "--torch changes nothing"), (["--batch", "0"], "--batch"), (["--max-tokens", "3"], "summary")):
        error = summary.run(config, *flags, code=2)
        expect(words in error and error.count("\n") == 1, flags, error)
    for fields, head, words in (({"classifier_dropout": 1.5}, "token-cls", "classifier_dropout = 1.5 is outside 0..1"),
                                ({"hidden_dropout": "no"}, "token-cls", "hidden_dropout is no number"),
                                ({"summary_first_dropout": None}, "double", "summary_first_dropout is no number")):
        error = summary.run(summary.write(**fields), "--head", head, code=3)
        expect(words in error and error.count("\n") == 1, fields, error)
        summary.run(summary.write(**fields), "--head", "lm")


if __name__ == "__main__":
    raise SystemExit(main(Summary))

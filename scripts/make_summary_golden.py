#!/usr/bin/env python3
"""Write what PyTorch and torchinfo show of GPT-2 models: the golden data of `tfrun summary`.

    python3 scripts/make_summary_golden.py -o tests/app/golden/summary.json

Models of transformers 4.57 are made on the meta device: no weights. A case names a config (a file of configs/, or fields), a head, and
whether it has cross-attention; it has print(model), and torchinfo's table for some depths. Cases of the large configs have SHA-256
digests in place of texts. PyTorch shows the bias of a LayerNorm since 2.12; the texts are those of such a one.
Needs torch 2.12 or newer, transformers 4.57 and torchinfo.
"""
import argparse
import hashlib
import json
import pathlib

import argtypes


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", required=True, type=argtypes.writable)
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "torchinfo", "transformers")

import torch  # noqa: E402
import torchinfo  # noqa: E402
import transformers  # noqa: E402

CLASSES = {"lm": "GPT2LMHeadModel", "none": "GPT2Model", "double": "GPT2DoubleHeadsModel",
           "seq-cls": "GPT2ForSequenceClassification", "token-cls": "GPT2ForTokenClassification",
           "qa": "GPT2ForQuestionAnswering"}
CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"
SMALL = {"n_embd": 24, "n_head": 3, "n_layer": 2, "vocab_size": 61, "n_positions": 32}
# Each beside SMALL; transformers 4.57 knows every activation but hardswish and sqrtsoftplus.
ODD = [
    {"n_inner": 50}, {"n_layer": 1}, {"n_layer": 11}, {"layer_norm_epsilon": 1e-6}, {"layer_norm_epsilon": 1},
    {"layer_norm_epsilon": 0.00012345678901234567}, {"layer_norm_epsilon": 0.3}, {"resid_pdrop": 0.0}, {"resid_pdrop": 0},
    {"embd_pdrop": 1, "attn_pdrop": 1.0, "resid_pdrop": 0.0001}, {"attn_pdrop": 1e-05}, {"embd_pdrop": 0.25, "attn_pdrop": 1 / 3},
    {"num_labels": 5}, {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}},
    {"tie_word_embeddings": False}, {"classifier_dropout": 0.5}, {"hidden_dropout": 0.2},
    {"classifier_dropout": None, "hidden_dropout": 0}, {"summary_use_proj": False}, {"summary_proj_to_labels": False},
    {"summary_activation": "tanh"}, {"summary_activation": "leaky_relu", "summary_first_dropout": 0},
    {"summary_first_dropout": 0.05, "summary_last_dropout": 0.7}, {"summary_last_dropout": -1},
    {"n_embd": 1200, "n_head": 1, "vocab_size": 900000}, {"vocab_size": 1, "n_positions": 1},
] + [{"activation_function": name} for name in (
    "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu", "gelu_python", "gelu_10", "quick_gelu", "relu", "relu2",
    "relu6", "leaky_relu", "silu", "swish", "tanh", "sigmoid", "linear", "mish", "laplace")]
HEADS_OF_ODD = {"num_labels": ("token-cls", "seq-cls", "qa", "double"), "id2label": ("token-cls", "seq-cls", "double"),
                "tie_word_embeddings": ("lm", "double"), "classifier_dropout": ("token-cls",), "hidden_dropout": ("token-cls",)}


def make(fields, head, cross):
    config = transformers.GPT2Config.from_dict({**fields, "add_cross_attention": cross})
    with torch.device("meta"):
        model = getattr(transformers, CLASSES[head])(config)
    model.tie_weights()
    return model


def digest(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def case_of(about, fields, head, cross, depths, whole):
    model = make(fields, head, cross)
    keep = (lambda text: text) if whole else digest
    tables = {str(depth): torchinfo.summary(model, depth=depth, verbose=0) for depth in depths}
    return {**about, "head": head, "cross_attention": cross,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "torchinfo": next(iter(tables.values())).total_params,
            "print": keep(repr(model)), "tables": {depth: keep(str(table)) for depth, table in tables.items()}}


def all_cases():
    for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "gpt2-cross-attention"):
        fields = json.loads((CONFIGS / f"{name}.json").read_text())
        fields.pop("tfrun", None)
        for head in CLASSES:
            for cross in (False, True):
                is_shown = name == "gpt2" and not cross or name == "gpt2-cross-attention" and cross and head == "none"
                yield case_of({"config": f"{name}.json"}, fields, head, cross, (3,), is_shown)
    for odd in ODD:
        heads = next((HEADS_OF_ODD[field] for field in odd if field in HEADS_OF_ODD), None)
        heads = heads or (("double",) if any(field.startswith("summary") for field in odd) else ("lm",))
        for head in heads:
            yield case_of({"fields": odd}, {**SMALL, **odd}, head, False, (3,), False)
    for head in CLASSES:
        yield case_of({"fields": {}}, SMALL, head, True, (0, 1, 2, 3, 4, 5, 9), False)


def main(args):
    golden = {"torch": torch.__version__, "transformers": transformers.__version__, "torchinfo": torchinfo.__version__,
              "small": SMALL, "cases": list(all_cases())}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(ARGS)

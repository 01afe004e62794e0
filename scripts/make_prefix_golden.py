#!/usr/bin/env python3
"""Writes tests/model/golden/prefix: a tiny random GPT-2, adapters that PEFT saved, and what PEFT computes with them in float64.

Needs torch, transformers, peft and safetensors. A case is a folder with adapter/ (or prefix.safetensors),
request.safetensors, expected.safetensors and case.json: the config beside it, the flags of `tfrun forward`, and for language models a
prompt with PEFT's greedy continuation. The prompt encoder is random and then saved; the expected values come from the adapter
loaded again, as a user would.
"""
import argparse
import json
import pathlib

import argtypes

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=argtypes.makeable, nargs="?", default=ROOT / "tests" / "model" / "golden" / "prefix")
    return parser.parse_args()


ARGS = arguments()  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "peft", "safetensors", "transformers")

import torch  # noqa: E402
from peft import PeftModel, PrefixTuningConfig, get_peft_model  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import (GPT2Config, GPT2ForQuestionAnswering, GPT2ForSequenceClassification, GPT2ForTokenClassification,  # noqa: E402
                          GPT2LMHeadModel)

OUT = ARGS.folder
TOKENS, ROWS, LENGTH, NEW = 5, 3, 7, 12
CLASSES = {"lm": (GPT2LMHeadModel, "CAUSAL_LM"), "sequence": (GPT2ForSequenceClassification, "SEQ_CLS"),
           "token": (GPT2ForTokenClassification, "TOKEN_CLS"), "qa": (GPT2ForQuestionAnswering, "QUESTION_ANS")}
FIELDS = {"model_type": "gpt2", "vocab_size": 61, "n_positions": 40, "n_embd": 12, "n_layer": 3, "n_head": 3, "bos_token_id": 1,
          "eos_token_id": 60, "pad_token_id": 0}
# name, class, projection, dtype of the file, mask of the request, flags of `tfrun forward`
CASES = [
    ("lm", "lm", False, torch.float32, None, ["--use-cache", "--output-attentions", "--output-hidden-states"]),
    ("lm_projected", "lm", True, torch.float32, "left", []),
    ("lm_left_padded", "lm", False, torch.float32, "left", []),
    ("lm_f16", "lm", False, torch.float16, "holes", []),
    ("lm_bf16", "lm", True, torch.bfloat16, None, []),
    ("lm_file", "lm", False, torch.float32, "left", []),
    ("sequence", "sequence", False, torch.float32, "right", []),
    ("sequence_projected", "sequence", True, torch.float32, "right", []),
    ("token", "token", True, torch.float32, "left", []),
    ("qa", "qa", False, torch.float32, "left", []),
]


def base_model(kind, weights):
    config = GPT2Config(**FIELDS, attn_implementation="eager", num_labels=2 if kind == "qa" else 3)
    model = CLASSES[kind][0](config)
    if weights is not None:
        model.transformer.load_state_dict(weights)
    return model.eval()


def write_model():
    torch.manual_seed(1)
    model = base_model("lm", None)
    for name, p in model.named_parameters():
        torch.nn.init.normal_(p, 1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.8)
    folder = OUT / "model"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({f"transformer.{n}": t.contiguous() for n, t in model.transformer.state_dict().items()}, folder / "model.safetensors",
              {"format": "pt"})
    for kind, (cls, _) in CLASSES.items():
        fields = {"architectures": [cls.__name__], **FIELDS, **({} if kind == "lm" else {"num_labels": 2 if kind == "qa" else 3})}
        name = "config.json" if kind == "lm" else f"{kind}.json"
        (folder / name).write_text(json.dumps(fields, indent=1) + "\n")
    return model.transformer.state_dict()


def save_adapter(kind, projection, dtype, weights, folder):
    peft = get_peft_model(base_model(kind, weights), PrefixTuningConfig(
        task_type=CLASSES[kind][1], num_virtual_tokens=TOKENS, prefix_projection=projection, encoder_hidden_size=9))
    for name, p in peft.named_parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, 0.0, 0.7)
    peft.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_model.safetensors"
    save_file({n: t.to(dtype).contiguous() for n, t in load_file(path).items()}, path, {"format": "pt"})


def make_mask(kind):
    mask = torch.ones(ROWS, LENGTH, dtype=torch.long)
    for row in range(ROWS):
        if kind == "left":
            mask[row, :row * 2] = 0
        elif kind == "right":
            mask[row, LENGTH - row * 2:] = 0
        else:
            mask[row, row + 1] = 0
    return mask


def run(peft, inputs, flags):
    with torch.no_grad():
        out = peft(**inputs, use_cache="--use-cache" in flags, output_attentions="--output-attentions" in flags,
                   output_hidden_states="--output-hidden-states" in flags)
    names = ("logits", "start_logits", "end_logits")
    got = {name: out[name] for name in names if out.get(name) is not None}
    for name in ("attentions", "hidden_states"):
        got.update({f"{name}.{i}": t for i, t in enumerate(out.get(name) or ())})
    if "--use-cache" in flags:
        for i, (key, value) in enumerate(out.past_key_values.to_legacy_cache()):
            got.update({f"past_key_values.{i}.key": key, f"past_key_values.{i}.value": value})
    return {name: t.to(torch.float32).contiguous() for name, t in got.items()}


def hide_masked(got, mask, kind):
    """What a masked query gives is no result: NaN is not compared."""
    for name, t in got.items():
        for row in range(ROWS):
            hidden = mask[row] == 0
            if kind != "sequence" and t.dim() > 1 and t.shape[1] == LENGTH:
                t[row, hidden] = float("nan")


def write_case(index, name, kind, projection, dtype, mask_kind, flags, weights):
    torch.manual_seed(100 + index)
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    save_adapter(kind, projection, dtype, weights, folder / "adapter")
    peft = PeftModel.from_pretrained(base_model(kind, weights).double(), folder / "adapter").double().eval()
    inputs = {"input_ids": torch.randint(2, 60, (ROWS, LENGTH))}
    if mask_kind is not None:
        inputs["attention_mask"] = make_mask(mask_kind)
        inputs["input_ids"][inputs["attention_mask"] == 0] = FIELDS["pad_token_id"]
    expected = run(peft, inputs, flags)
    if mask_kind is not None:
        hide_masked(expected, inputs["attention_mask"], kind)
    case = {"config": "config.json" if kind == "lm" else f"{kind}.json", "prefix": "adapter", "flags": flags}
    if kind == "lm":
        prompt = torch.randint(2, 60, (1, 6))
        ids = peft.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW, do_sample=False,
                            eos_token_id=None)
        case.update(prompt=prompt[0].tolist(), ids=ids[0, 6:].tolist())
    if name == "lm_file":
        prefix = peft.get_prompt(1)
        layers = prefix.to_legacy_cache() if hasattr(prefix, "to_legacy_cache") else prefix
        save_file({f"past_key_values.{i}.{part}": t.to(torch.float32).detach().contiguous()
                   for i, pair in enumerate(layers) for part, t in zip(("key", "value"), pair)}, folder / "prefix.safetensors")
        for file in (folder / "adapter").iterdir():
            file.unlink()
        (folder / "adapter").rmdir()
        case["prefix"] = "prefix.safetensors"
    save_file({n: t.contiguous() for n, t in inputs.items()}, folder / "request.safetensors")
    save_file(expected, folder / "expected.safetensors")
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    print(name, {n: tuple(t.shape) for n, t in expected.items()}, case.get("ids"))


def main():
    weights = write_model()
    for index, case in enumerate(CASES):
        write_case(index, *case, weights)


if __name__ == "__main__":
    main()

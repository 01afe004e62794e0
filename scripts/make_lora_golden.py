#!/usr/bin/env python3
"""Writes tests/model/golden/lora: small random GPT-2 models, LoRA adapters that PEFT saved, and what PEFT computes with them.

Needs torch, transformers, peft and safetensors. A case is a folder with the adapter; cases.json names its
model and holds one request and what PEFT answers from the adapter loaded again, not merged: logits in float64 for models in float32,
and for those in bfloat16 and float16 the logits in float64 of the weights that PEFT's merge gives (rounded to the model's type).
"""
import argparse
import json
import pathlib
import shutil

import argtypes

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=argtypes.makeable, nargs="?", default=ROOT / "tests" / "model" / "golden" / "lora")
    return parser.parse_args()


ARGS = arguments()  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "peft", "safetensors", "transformers")

import torch  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel  # noqa: E402

OUT = ARGS.folder
FIELDS = {"model_type": "gpt2", "vocab_size": 23, "n_positions": 12, "n_embd": 8, "n_layer": 2, "n_head": 2, "bos_token_id": 0,
          "eos_token_id": 0, "pad_token_id": 0}
IDS = [[1, 5, 22, 7, 3, 14], [9, 2, 2, 17, 11, 20]]
ALL = ["c_attn", "c_proj", "c_fc"]
# name, model, arguments of LoraConfig, how the adapter is saved
CASES = [
    ("attention", "f32", {"r": 2, "target_modules": ["c_attn"]}, {}),
    ("all", "f32", {"r": 4, "lora_alpha": 16, "target_modules": ALL}, {}),
    ("bin", "f32", {"r": 4, "lora_alpha": 16, "target_modules": ALL}, {"safe_serialization": False}),
    ("rslora", "f32", {"r": 3, "lora_alpha": 5, "target_modules": ALL, "use_rslora": True}, {}),
    ("patterns", "f32", {"r": 2, "target_modules": r".*\.(attn|mlp)\.c_(attn|proj)",
                         "rank_pattern": {"attn.c_attn": 3, r"h\.\d+\.mlp\.c_proj": 5}, "alpha_pattern": {"h.1.attn.c_proj": 32}}, {}),
    ("layers", "f32", {"r": 2, "target_modules": ALL, "layers_to_transform": [1], "exclude_modules": ["c_fc"]}, {}),
    ("embedding", "f32", {"r": 2, "lora_alpha": 6, "target_modules": ["wte", "wpe", "c_attn"]}, {}),
    ("head", "f32", {"r": 2, "lora_alpha": 6, "target_modules": ["lm_head", "c_fc"]}, {}),
    ("head_untied", "untied", {"r": 2, "lora_alpha": 6, "target_modules": ["lm_head", "wte"]}, {}),
    ("saved_head", "f32", {"r": 2, "target_modules": ["c_attn"], "modules_to_save": ["lm_head"]}, {}),
    ("saved_embedding", "f32", {"r": 2, "target_modules": ["c_attn"], "modules_to_save": ["wte", "ln_f"]}, {}),
    ("bias_all", "f32", {"r": 2, "target_modules": ["c_attn"], "bias": "all"}, {}),
    ("bias_only", "f32", {"r": 2, "target_modules": ["c_proj"], "bias": "lora_only"}, {}),
    ("lora_bias", "f32", {"r": 2, "lora_alpha": 6, "target_modules": ALL, "lora_bias": True}, {}),
    ("half_adapter", "f32", {"r": 2, "target_modules": ALL}, {"dtype": torch.bfloat16}),
    ("bf16", "bf16", {"r": 4, "lora_alpha": 16, "target_modules": [*ALL, "wte"], "modules_to_save": ["ln_f"]}, {}),
    ("f16", "f16", {"r": 4, "lora_alpha": 16, "target_modules": ALL}, {}),
    ("f64", "f64", {"r": 4, "lora_alpha": 16, "target_modules": ALL}, {}),
    ("classes", "classes", {"r": 2, "target_modules": ["c_attn"], "task_type": "SEQ_CLS"}, {}),
    ("classes_new_head", "classes_new_head", {"r": 2, "target_modules": ["c_attn"], "task_type": "SEQ_CLS"}, {}),
]
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f64": torch.float64}


def make_model(kind):
    torch.manual_seed(5)
    is_lm = not kind.startswith("classes")
    fields = dict(FIELDS, tie_word_embeddings=kind != "untied") if is_lm else dict(FIELDS, num_labels=3)
    model = (GPT2LMHeadModel if is_lm else GPT2ForSequenceClassification)(GPT2Config(**fields, attn_implementation="eager"))
    for name, p in model.named_parameters():
        torch.nn.init.normal_(p, 1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.4)
    return model.to(DTYPES.get(kind, torch.float32)).eval()


def write_model(kind):
    model = make_model(kind)
    folder = OUT / "models" / kind
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"architectures": [type(model).__name__], **FIELDS}
    fields.update({"tie_word_embeddings": False} if kind == "untied" else {} if kind in DTYPES or kind == "f32" else {"num_labels": 3})
    (folder / "config.json").write_text(json.dumps(fields, indent=1) + "\n")
    skip = {"score.weight"} if kind == "classes_new_head" else {"lm_head.weight"} if kind != "untied" else set()
    save_file({n: t.contiguous().clone() for n, t in model.state_dict().items() if n not in skip}, folder / "model.safetensors",
              {"format": "pt"})


def save_adapter(kind, arguments, how, folder):
    how = dict(how)
    dtype = how.pop("dtype", None)
    peft = get_peft_model(make_model(kind), LoraConfig(**arguments))
    for name, p in peft.named_parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, 1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.3)
    peft.save_pretrained(folder, **how)
    (folder / "README.md").unlink()
    if dtype is not None:
        path = folder / "adapter_model.safetensors"
        save_file({n: t.to(dtype).contiguous() for n, t in load_file(path).items()}, path, {"format": "pt"})


def answer(kind, folder):
    """Not merged for float32, so that the sums are those of a user; float64 shows what is right."""
    if kind in ("bf16", "f16"):
        model = PeftModel.from_pretrained(make_model(kind), folder).eval()
        tied = model.base_model.model.lm_head.weight.data.clone()  # a merge in place would change it with wte
        merged = model.merge_and_unload()
        merged.lm_head.weight = torch.nn.Parameter(tied)
        merged = merged.double()
    else:
        merged = PeftModel.from_pretrained(make_model(kind), folder).double().eval()
    with torch.no_grad():
        return merged(input_ids=torch.tensor(IDS)).logits


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    cases = {}
    for index, (name, kind, arguments, how) in enumerate(CASES):
        if not (OUT / "models" / kind).exists():
            write_model(kind)
        torch.manual_seed(100 + index)
        save_adapter(kind, arguments, how, OUT / name)
        logits = answer(kind, OUT / name)
        plain = make_model(kind).double()(input_ids=torch.tensor(IDS)).logits
        cases[name] = {"model": kind, "changes": round(float((logits - plain).abs().max()), 3),
                       "logits": [round(x, 7) for x in logits.reshape(-1).tolist()]}
        print(name, cases[name]["changes"], tuple(logits.shape))
    (OUT / "cases.json").write_text(json.dumps({"ids": IDS, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()

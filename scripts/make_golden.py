#!/usr/bin/env python3
"""Write the golden checkpoints: tiny random GPT-2 models and what transformers computes with them.

    python3 scripts/make_golden.py -o tests/model/golden [--only CASE]

Each case is a folder: config.json, the checkpoint (some share one), and golden.safetensors with `input_ids`
(I32 [S]) and `logits` (F32 [S, V]). The reference is GPT2LMHeadModel of transformers 4.57 with eager attention in
float64, on the weights as they are stored: they are rounded to the stored type first. No parameter is left at 0 or
1, so that a bias or scale that is not applied shows. golden.json lists the cases, which seed made each, and the
versions. Needs torch, transformers and safetensors.

Not covered by transformers' own code, stated here:
 - reorder_and_upcast_attn forces float32 scores in transformers; the reference leaves it off: the same function.
 - hardswish and sqrtsoftplus are in the newest registry only; they are added to this one by their formulas.
"""
import argparse
import json
import shutil

import argtypes


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--out", required=True, type=argtypes.makeable, help="folder that holds the cases")
    parser.add_argument("--only", help="make one case")
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("safetensors", "torch", "transformers")

import safetensors  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import GPT2Config, GPT2LMHeadModel  # noqa: E402
from transformers.activations import ACT2FN  # noqa: E402

TINY = {"n_embd": 20, "n_head": 4, "n_layer": 2, "n_inner": None, "vocab_size": 61, "n_positions": 32}
STORED = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
ACTIVATIONS = [
    "relu", "silu", "gelu", "tanh", "gelu_new",  # what GPT2Config documents; the rest is the registry
    "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate", "gelu_fast", "gelu_python", "gelu_10", "quick_gelu",
    "swish", "sigmoid", "linear", "mish", "laplace", "relu2", "relu6", "leaky_relu", "hardswish", "sqrtsoftplus",
]


class SqrtSoftplus(torch.nn.Module):
    """sqrt(softplus(x)), of the newest registry."""

    def forward(self, x):
        return torch.sqrt(torch.nn.functional.softplus(x))


ACT2FN.setdefault("hardswish", torch.nn.Hardswish)
ACT2FN.setdefault("sqrtsoftplus", SqrtSoftplus)


def case(about, tokens=24, store="f32", prefix=True, buffers=False, shards=0, fc_std=0.2, weights_of=None, **config):
    """One case. `config` are fields of GPT2Config that differ from TINY; `weights_of` names the case it shares with."""
    return {"about": about, "tokens": tokens, "store": store, "prefix": prefix, "buffers": buffers,
            "shards": shards, "fc_std": fc_std, "weights_of": weights_of, "config": {**TINY, **config}}


def all_cases():
    cases = {
        "base": case("widths of whole vectors, nothing special", n_embd=32),
        "inner": case("n_inner that is not 4 * n_embd", n_inner=36),
        "scale_none": case("scale_attn_weights false", scale_attn_weights=False),
        "upcast": case("reorder_and_upcast_attn", reorder_and_upcast_attn=True, weights_of="scale_none",
                       scale_attn_by_inverse_layer_idx=True),
        "epsilon": case("layer_norm_epsilon 1e-3", layer_norm_epsilon=1e-3, weights_of="scale_none"),
        "scale_layer": case("scale_attn_by_inverse_layer_idx", scale_attn_by_inverse_layer_idx=True, n_layer=3),
        "scale_both": case("scores scaled by the layer alone", scale_attn_weights=False, n_layer=3,
                           scale_attn_by_inverse_layer_idx=True, weights_of="scale_layer"),
        "untied": case("lm_head.weight of its own", tie_word_embeddings=False),
        "bare": case("names without the prefix transformer.", prefix=False),
        "buffers": case("mask buffers of old files", buffers=True),
        "buffers_bare": case("mask buffers and bare names, as in the file of gpt2", buffers=True, prefix=False),
        "sharded": case("three shards and an index", shards=3),
        "f16": case("weights stored in f16", store="f16"),
        "bf16": case("weights stored in bf16", store="bf16"),
        "heads_25": case("25 heads of 2, as many as gpt2-xl has", n_embd=50, n_head=25, n_inner=24, store="bf16"),
        "layers_5": case("5 blocks: no number of ranks divides them", n_layer=5, store="bf16"),
        "last_position": case("all 33 positions used, an odd number", tokens=33, n_positions=33),
        "vocab_65": case("one more token than a whole tile", vocab_size=65, n_embd=32, store="f16"),
        "one_head": case("one head of 20, one block", n_head=1, n_layer=1),
        "one_token": case("a sequence of one token", tokens=1, n_embd=16, n_layer=1),
        "mixed": case("inner width, both scales, untied, sharded, f16 and bare names at once", n_embd=36, n_head=3,
                      n_inner=50, n_layer=3, scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False,
                      shards=2, store="f16", prefix=False, activation_function="silu", layer_norm_epsilon=1e-4),
    }
    for name in ACTIVATIONS:
        # Wide inputs, so that clips at 6 and 10 are reached. All share the weights of the first.
        cases[f"act_{name}"] = case(f"activation_function {name}", tokens=16, fc_std=0.9, activation_function=name,
                                    weights_of=None if name == ACTIVATIONS[0] else f"act_{ACTIVATIONS[0]}")
    return cases


def fill(model, spec, generator):
    """Random values everywhere, then rounded to the stored type."""
    for name, parameter in model.named_parameters():
        std = spec["fc_std"] if "c_fc.weight" in name else 0.2
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        if ".ln_" in name or "ln_f" in name:
            values = values * 0.2 + (1.0 if name.endswith("weight") else 0.1)
        elif name.endswith("wte.weight") or name.endswith("lm_head.weight"):
            values = values * 0.4
        else:
            values = values * std
        with torch.no_grad():
            parameter.copy_(values.to(STORED[spec["store"]]).double())


def tensors_to_store(model, spec):
    """Name -> tensor as the file has it."""
    config, dtype = spec["config"], STORED[spec["store"]]
    tensors = {}
    for name, parameter in model.named_parameters():
        stored = name if spec["prefix"] else name.removeprefix("transformer.")
        tensors[stored] = parameter.detach().to(dtype).contiguous()
    for layer in range(config["n_layer"] if spec["buffers"] else 0):
        prefix = f"{'transformer.' if spec['prefix'] else ''}h.{layer}.attn."
        n = config["n_positions"]
        triangle = torch.tril(torch.ones(1, 1, n, n))
        tensors[prefix + "bias"] = triangle if spec["prefix"] else triangle.to(torch.uint8)
        tensors[prefix + "masked_bias"] = torch.tensor(-1e4)
    return tensors


def save_sharded(folder, tensors, n_shards):
    names = list(tensors)
    weight_map = {}
    for i in range(n_shards):
        file = f"model-{i + 1:05}-of-{n_shards:05}.safetensors"
        mine = names[i::n_shards]
        save_file({name: tensors[name] for name in mine}, folder / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in mine})
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def config_text(spec):
    """The config.json of a case: only what differs from GPT2Config, as a person would write it."""
    fields = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "bos_token_id": 0, "eos_token_id": 0,
              **spec["config"]}
    if spec["weights_of"] is not None:
        fields["tfrun"] = {"version": 1, "model": {"weights": f"../{spec['weights_of']}/model.safetensors"}}
    return json.dumps(fields, indent=1) + "\n"


def reference_model(spec, seed):
    fields = {**spec["config"], "reorder_and_upcast_attn": False}
    config = GPT2Config(**fields, attn_implementation="eager", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    model = GPT2LMHeadModel(config).double().eval()
    fill(model, spec, torch.Generator().manual_seed(seed))
    return model


@torch.no_grad()
def make_case(folder, spec, seed):
    """Writes one case; returns the largest logit, which the tolerance of the test has to do with."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = reference_model(spec, seed)
    (folder / "config.json").write_text(config_text(spec))
    if spec["weights_of"] is None:
        tensors = tensors_to_store(model, spec)
        if spec["shards"] > 0:
            save_sharded(folder, tensors, spec["shards"])
        else:
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    generator = torch.Generator().manual_seed(seed + 1)
    ids = torch.randint(0, spec["config"]["vocab_size"], (spec["tokens"],), generator=generator)
    ids[-1] = spec["config"]["vocab_size"] - 1  # the last row of the vocabulary is used
    logits = model(ids[None]).logits[0]
    assert logits.isfinite().all()
    save_file({"input_ids": ids.to(torch.int32), "logits": logits.float()}, folder / "golden.safetensors")
    return logits.abs().max().item()


def main(args):
    cases = all_cases()
    # Cases that share a checkpoint share its seed.
    seeds = {name: 1000 + i for i, name in enumerate(cases)}
    manifest = {"made_by": "scripts/make_golden.py", "torch": torch.__version__.split("+")[0],
                "transformers": transformers.__version__, "safetensors": safetensors.__version__, "cases": []}
    for name, spec in cases.items():
        seed = seeds[spec["weights_of"] or name]
        if args.only in (None, name):
            largest = make_case(args.out / name, spec, seed)
            print(f"{name:24} largest logit {largest:7.3f}  {spec['about']}")
        manifest["cases"].append({"name": name, "seed": seed, "about": spec["about"]})
    (args.out / "golden.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main(ARGS)

#!/usr/bin/env python3
"""Writes tests/model/golden/bin: small random GPT-2 checkpoints, each as safetensors (a twin) and in the forms that torch.save gives.

Needs torch and safetensors. FOLDER/DTYPE is a twin; FOLDER/cases/NAME holds pytorch_model.bin, or shards
of it, that must compute what the twin named in FOLDER/cases.json computes, bit for bit.
"""
import argparse
import io
import json
import pathlib
from collections import OrderedDict

import argtypes

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=argtypes.makeable, nargs="?", default=ROOT / "tests" / "model" / "golden" / "bin")
    return parser.parse_args()


ARGS = arguments()  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "safetensors")

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

OUT = ARGS.folder
C, V, N, LAYERS = 8, 23, 12, 1
CONFIG = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": V, "n_positions": N, "n_embd": C, "n_layer": LAYERS,
          "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
STREAM = {"_use_new_zipfile_serialization": False}


def make_weights():
    shapes = {"wte.weight": (V, C), "wpe.weight": (N, C)}
    for i in range(LAYERS):
        for name, shape in (("ln_1.weight", (C,)), ("ln_1.bias", (C,)), ("attn.c_attn.weight", (C, 3 * C)), ("attn.c_attn.bias", (3 * C,)),
                            ("attn.c_proj.weight", (C, C)), ("attn.c_proj.bias", (C,)), ("ln_2.weight", (C,)), ("ln_2.bias", (C,)),
                            ("mlp.c_fc.weight", (C, 4 * C)), ("mlp.c_fc.bias", (4 * C,)), ("mlp.c_proj.weight", (4 * C, C)),
                            ("mlp.c_proj.bias", (C,))):
            shapes[f"h.{i}.{name}"] = shape
    shapes["ln_f.weight"] = shapes["ln_f.bias"] = (C,)
    torch.manual_seed(7)
    return OrderedDict(("transformer." + name, torch.randn(shape) * 0.4) for name, shape in shapes.items())


def cast(weights, dtype):
    return OrderedDict((name, t.to(dtype)) for name, t in weights.items())


def tied(weights):
    """As state_dict() of a tied model: two names, one storage."""
    return OrderedDict(weights, **{"lm_head.weight": weights["transformer.wte.weight"]})


def bare(weights):
    """As the first checkpoints of GPT-2: no "transformer.", masks among the weights."""
    out = OrderedDict((name.removeprefix("transformer."), t) for name, t in weights.items())
    for i in range(LAYERS):
        out[f"h.{i}.attn.bias"] = torch.tril(torch.ones(N, N, dtype=torch.uint8)).view(1, 1, N, N)
        out[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    return out


def parameters(weights):
    return OrderedDict((name, torch.nn.Parameter(t)) for name, t in weights.items())


def transposed(weights):
    """The same numbers, seen through strides that are not dense."""
    return OrderedDict((name, t.t().contiguous().t() if t.dim() == 2 else t) for name, t in weights.items())


def sliced(weights):
    """All tensors in one storage, one behind the other."""
    whole = torch.cat([torch.zeros(3)] + [t.reshape(-1) for t in weights.values()] + [torch.zeros(5)])
    out, at = OrderedDict(), 3
    for name, t in weights.items():
        out[name] = whole[at:at + t.numel()].view(t.shape)
        at += t.numel()
    return out


def with_metadata(weights):
    out = OrderedDict(weights)
    out._metadata = OrderedDict([("", {"version": 1}), ("transformer", {"version": 1})])
    return out


def save(weights, folder, **how):
    torch.save(weights, folder / "pytorch_model.bin", **how)


def save_archive(weights, folder):
    """Through a buffer: the entries then stand under "archive", not under the name of the file."""
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    (folder / "pytorch_model.bin").write_bytes(buffer.getvalue())


def save_shards(weights, folder):
    """The first shard in today's layout, the second in the old one."""
    names = list(weights)
    parts = {"pytorch_model-00001-of-00002.bin": names[:9], "pytorch_model-00002-of-00002.bin": names[9:]}
    for (file, part), how in zip(parts.items(), ({}, STREAM)):
        torch.save(OrderedDict((name, weights[name].clone()) for name in part), folder / file, **how)
    index = {"metadata": {"total_size": sum(t.numel() * t.element_size() for t in weights.values())},
             "weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")


def main():
    weights = make_weights()
    twins = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64}
    for name, dtype in twins.items():
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
        save_file(cast(weights, dtype), folder / "model.safetensors", {"format": "pt"})
    cases = {}

    def write(name, twin, tensors, saver=save, **how):
        folder = OUT / "cases" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
        saver(tensors, folder, **how)
        cases[name] = twin

    for twin, dtype in twins.items():
        write(f"zip_{twin}", twin, with_metadata(cast(weights, dtype)))
        write(f"stream_{twin}", twin, with_metadata(cast(weights, dtype)), **STREAM)
    write("zip_archive", "f32", weights, save_archive)
    write("zip_tied", "f32", tied(weights))
    write("zip_tied_bf16", "bf16", tied(cast(weights, torch.bfloat16)))
    write("stream_tied", "f32", tied(weights), **STREAM)
    write("zip_bare", "f32", bare(weights))
    write("stream_bare", "f32", bare(weights), **STREAM)
    write("zip_parameters", "f32", parameters(weights))
    write("stream_parameters", "f32", parameters(weights), **STREAM)
    write("zip_transposed", "f32", transposed(weights))
    write("zip_sliced", "f32", sliced(weights))
    write("stream_sliced", "f32", sliced(weights), **STREAM)
    write("zip_protocol_4", "f32", weights, pickle_protocol=4)
    write("stream_protocol_4", "f32", weights, pickle_protocol=4, **STREAM)
    write("zip_protocol_5", "f32", weights, pickle_protocol=5)
    write("zip_dict", "f32", dict(weights))
    write("shards", "f32", weights, save_shards)
    (OUT / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()

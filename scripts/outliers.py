#!/usr/bin/env python3
"""Outliers of activations, added to a model or smoothed away, without changing what it computes.

    scripts/outliers.py MODEL -o DIR --add 64 [--channels 4]     # some inputs of each c_attn and c_fc grow 64 times
    scripts/outliers.py MODEL -o DIR --smooth 0.5                # inputs and weights get alike: what --add did is undone

Both multiply elements of ln_1 and ln_2 (weight and bias) by powers of two and divide the rows of c_attn and c_fc that meet them by
the same. Products of f32 by powers of two are exact, so the f32 model gives the same bits; only types that round rows of inputs with one scale
(--dtype int8) or in groups (int4) see a difference. Trained models have such channels: this makes one to measure on in seconds.

--smooth A divides input j by 2^round(log2(x_j^A / w_j^(1 - A))), x_j = |weight| + |bias| of the norm, which is how large the input
gets (a normed element has variance 1), w_j the largest weight of its row; the mean of the logarithms is taken off. No text is needed.

Needs numpy. Reads and writes model.safetensors (F32, BF16); config and tokenizer are copied.
"""
import argparse
import json
import shutil

import argtypes


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=argtypes.holding("config.json", "model.safetensors"))
    parser.add_argument("-o", "--output", type=argtypes.makeable, required=True)
    parser.add_argument("--add", type=int, metavar="F", help="a power of two")
    parser.add_argument("--channels", type=argtypes.at_least_one, default=4)
    parser.add_argument("--smooth", type=float, metavar="A")
    args = parser.parse_args()
    if (args.add is None) == (args.smooth is None):
        parser.error("give --add or --smooth")
    if args.add is not None and (args.add < 1 or args.add & (args.add - 1)):
        parser.error("--add takes a power of two")
    return args


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("numpy")

import numpy as np  # noqa: E402


def read(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            raw = data[8 + size + begin:8 + size + end]
            if entry["dtype"] == "BF16":
                values = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
            elif entry["dtype"] == "F32":
                values = np.frombuffer(raw, np.float32)
            else:
                raise SystemExit(f"{path}: {name} is {entry['dtype']}, neither F32 nor BF16")
            tensors[name] = (entry["dtype"], values.reshape(entry["shape"]).copy())
    return tensors


def write(path, tensors):
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, values) in tensors.items():
        raw = values.astype(np.float32)
        raw = (raw.view(np.uint32) >> 16).astype(np.uint16).tobytes() if dtype == "BF16" else raw.tobytes()  # exact: powers of two
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def smoothing(norm, weight, alpha):
    x = np.maximum(np.abs(norm[0]) + np.abs(norm[1]), 1e-6)
    w = np.maximum(np.abs(weight).max(axis=1), 1e-6)
    logs = alpha * np.log2(x) - (1 - alpha) * np.log2(w)
    return np.exp2(-np.round(logs - logs.mean()))


def main(args):
    shutil.copytree(args.model, args.output)
    path = args.output / "model.safetensors"
    tensors = read(path)
    draw = np.random.default_rng(1)
    for name in tensors:
        if name.endswith((".attn.c_attn.weight", ".mlp.c_fc.weight")):
            front, _, rest = name.partition(".attn." if ".attn." in name else ".mlp.")
            norm = [tensors[f"{front}.{'ln_1' if rest.startswith('c_attn') else 'ln_2'}.{part}"][1] for part in ("weight", "bias")]
            weight = tensors[name][1]
            if args.smooth is not None:
                factor = smoothing(norm, weight, args.smooth)
            else:
                factor = np.ones(len(weight))
                factor[draw.choice(len(weight), args.channels, replace=False)] = args.add
            for values in norm:
                values *= factor.astype(np.float32)
            weight /= factor[:, None].astype(np.float32)
    write(path, tensors)


if __name__ == "__main__":
    main(ARGS)

#!/usr/bin/env python3
"""Reads damaged pytorch_model.bin files with tfrun's reader and with torch, and compares what both accept, byte for byte.

Needs torch. A file that tfrun reads and torch refuses is listed with torch's reason; one that both read must give the same tensors.
"""
import argparse
import collections
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import argtypes


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=argtypes.program, metavar="MUTATE_TORCH", help="build/bin/mutate_torch, best of a build with sanitizers")
    parser.add_argument("count", nargs="?", default="10000", help="damaged files [10000]")
    parser.add_argument("seed", nargs="?", default="1")
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch")

import torch  # noqa: E402

CASES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "model" / "golden" / "bin" / "cases"
DTYPES = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16", torch.int64: "i64",
          torch.int32: "i32", torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8", torch.bool: "bool"}


def fnv(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001b3) & 0xffffffffffffffff
    return f"{value:016x}"


def described(tensor):
    tensor = tensor.detach().contiguous()
    data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return DTYPES[tensor.dtype], str(list(tensor.shape)), fnv(data)


def has_folder(path):
    """An entry marked as a folder: torch takes memory for it and reads nothing into it."""
    return zipfile.is_zipfile(path) and any(entry.external_attr & 0x10 for entry in zipfile.ZipFile(path).infolist())


def main(args):
    files = sorted(map(str, CASES.glob("*/*.bin")))
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([args.program, args.count, args.seed, folder, *files], capture_output=True, text=True)
        print(done.stderr.strip())
        if done.returncode != 0:
            return 1
        ours = collections.defaultdict(dict)
        for line in done.stdout.splitlines():
            number, name, *rest = line.split("\t")
            ours[number][name] = tuple(rest)
        same, refused, unset, wrong = 0, collections.Counter(), [], []
        for number, tensors in ours.items():
            try:  # not weights_only, which knows no protocol above 2: our reader has seen that nothing else is called
                theirs = torch.load(f"{folder}/{number}.bin", map_location="cpu", weights_only=False)
            except Exception as reason:
                refused[(str(reason) or type(reason).__name__).splitlines()[0][:110]] += 1
                continue
            if {name: described(t) for name, t in theirs.items()} == tensors:
                same += 1
            else:
                (unset if has_folder(f"{folder}/{number}.bin") else wrong).append(number)
    print(f"{len(ours)} read: {same} as torch reads them, {sum(refused.values())} that torch refuses, {len(unset)} of which torch "
          f"leaves a tensor unset, {len(wrong)} otherwise {wrong[:9]}")
    for reason, n in refused.most_common():
        print(f"  {n} {reason}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(ARGS))

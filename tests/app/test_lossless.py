#!/usr/bin/env python3
"""f32 weights in 16 bits where that is exact: test_lossless.py TFRUN NAME SOURCE [MPIEXEC], test_lossless.py --list.

The bits are those of weights packed in f32, which --no-lossless asks for. Standard library only.
"""
import array
import json
import pathlib
import shutil
import struct
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main
from tensors import read_tensors, write_tensors

PROMPT = ["--prompt-ids", ",".join(str(7 * i % 2000 + 1) for i in range(70)), "-n", "6", "--ignore-eos", "--json"]
MARK = ", exact"


def widen(raw):
    """bf16 bytes as f32 values"""
    wide = bytearray(2 * len(raw))
    wide[2::4], wide[3::4] = raw[0::2], raw[1::2]
    return array.array("f", bytes(wide))


class Box:
    def __init__(self, tfrun, source, folder):
        self.tfrun, self.folder = tfrun, folder / "model"
        self.demo = pathlib.Path(source) / "configs" / "demo"  # stored in bf16
        self.mpiexec = sys.argv[4] if len(sys.argv) > 4 else None
        shutil.copytree(self.demo, self.folder)

    def start(self, *words):
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=250 * SLOWER)
        expect(done.returncode == 0, done.stderr)
        return done

    def digest(self, folder, *words):
        return json.loads(self.start(self.tfrun, folder, *PROMPT, "-q", *words).stdout)["logits_digest"]

    def plan(self, folder, *words):
        return self.start(self.tfrun, "plan", folder, *words).stdout

    def packed_bytes(self, folder, *words):
        return json.loads(self.plan(folder, "--json", *words))["ranks"][0]["packed_bytes"]

    def write(self, change):
        """The demo model with each tensor changed."""
        tensors = read_tensors(self.demo / "model.safetensors")
        write_tensors(self.folder / "model.safetensors", {name: change(name, *t) for name, t in tensors.items()})


def in_f32(name, dtype, shape, raw):
    expect_same(dtype, "BF16")
    return ("F32", shape, widen(raw))


def in_f16(name, dtype, shape, raw):
    values = widen(raw)
    values[len(values) // 2] = 1 + 2 ** -10  # which bf16 does not hold
    return ("F16", shape, struct.pack(f"<{len(values)}e", *values))


@case
def a_checkpoint_in_bf16_has_the_bits_of_f32(box):
    expect(MARK in box.plan(box.demo), "no linear is marked")
    expect_same(box.digest(box.demo), box.digest(box.demo, "--no-lossless"))


@case
def packed_weights_take_half_of_the_bytes(box):
    whole, half = box.packed_bytes(box.demo, "--no-lossless"), box.packed_bytes(box.demo)
    expect(2 * half <= whole * 1.01, half, whole)  # K is padded to 32 where 16 would do


@case
def f32_values_that_bf16_holds_are_found(box):
    box.write(in_f32)
    expect(MARK in box.plan(box.folder), "no linear is marked")
    expect_same(box.digest(box.folder), box.digest(box.demo))


@case
def a_checkpoint_in_f16_has_the_bits_of_f32(box):
    box.write(in_f16)
    plan = box.plan(box.folder)
    expect(MARK in plan and "linear.f16." in plan, plan)
    expect_same(box.digest(box.folder), box.digest(box.folder, "--no-lossless"))


@case
def f32_values_that_f16_holds_are_found(box):
    box.write(in_f16)
    stored = box.digest(box.folder)

    def widened(name, dtype, shape, raw):
        _, _, half = in_f16(name, dtype, shape, raw)
        return ("F32", shape, array.array("f", struct.unpack(f"<{len(half) // 2}e", half)))
    box.write(widened)
    expect("linear.f16." in box.plan(box.folder), "no linear takes f16")
    expect_same(box.digest(box.folder), stored)


@case
def one_value_that_is_not_exact_keeps_its_weight_in_f32(box):
    def spoil(name, dtype, shape, raw):
        dtype, shape, values = in_f32(name, dtype, shape, raw)
        if name.endswith("h.2.mlp.c_fc.weight"):
            values[len(values) - 5] = 1 / 3
        return (dtype, shape, values)
    box.write(spoil)
    said = box.start(box.tfrun, box.folder, *PROMPT, "-v").stderr
    expect("24 of 25 weights of linears are packed in 16 bits" in said and "h.2.mlp.c_fc in 32" in said, said)
    expect_same(box.digest(box.folder), box.digest(box.folder, "--no-lossless"))
    expect(box.digest(box.folder) != box.digest(box.demo), "the value has no effect")


@case
def every_instruction_set_has_the_bits_of_its_f32(box):
    has = json.loads(box.start(box.tfrun, "topology", "--json").stdout)["isa"]
    for isa in ["plain", *({"avx2", "avx512", "neon"} & set(has))]:
        expect_same(box.digest(box.demo, "--isa", isa), box.digest(box.demo, "--isa", isa, "--no-lossless"))


@case
def an_instruction_set_that_the_cpu_lacks_is_refused(box):
    has = json.loads(box.start(box.tfrun, "topology", "--json").stdout)["isa"]
    for isa in {"avx2", "avx512", "avx512_bf16", "neon"} - set(has):
        for command in ([], ["plan"]):
            done = subprocess.run([box.tfrun, *command, box.demo, *([] if command else PROMPT), "--isa", isa], capture_output=True, text=True, timeout=250 * SLOWER)
            expect_same((done.returncode, done.stdout), (2, ""))
            expect(f"--isa {isa}: this CPU lacks it; it can run auto, plain" in done.stderr and done.stderr.count("\n") == 1, done.stderr)


@case
def kernels_that_the_user_bans_or_prefers_are_not_brought_in(box):
    for kernels in ("-gemv", "onednn", "ref"):
        expect_same(box.digest(box.demo, "--kernels=" + kernels), box.digest(box.demo, "--kernels=" + kernels, "--no-lossless"))


@case
def bf16_and_the_free_mode_are_as_they_were(box):
    for words in (["--dtype", "bf16"], ["--no-deterministic"]):
        expect(MARK not in box.plan(box.demo, *words), "a linear is marked")
        expect_same(box.digest(box.demo, *words), box.digest(box.demo, *words, "--no-lossless"))


@case
def ranks_and_shards_give_the_same_bits(box):
    if not box.mpiexec:
        sys.exit(77)
    for n, *words in (("2", "--sums", "by-head"), ("2", "--tensor", "2")):
        done = box.start(box.mpiexec, "-n", n, box.tfrun, box.demo, *PROMPT, "-q", "-t", "1", *words)
        expect_same(json.loads(done.stdout)["logits_digest"], box.digest(box.demo, "--sums", "by-head", "--no-lossless"))


if __name__ == "__main__":
    sys.exit(main(Box))

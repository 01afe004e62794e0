#!/usr/bin/env python3
"""test_count.py TFRUN NAME SOURCE_DIR COUNT_RUN PLUGIN COUNT_SENDS|- [MPIEXEC]: what kernels that count do, against what `tfrun cost` foretells.

The counting plugin counts each operation and each element where it is done or touched; a run fills caches and then feeds one batch.
The sums over all processes must be the executed column, op by op, to the last FLOP and byte. On ranks a library between tfrun and MPI
counts the messages of the graph. `--list` prints the names of the cases.
"""
import json
import os
import shutil
import subprocess
import sys

from cases import CASES, case, expect, expect_same, main

BASE = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 3, "n_head": 3, "n_embd": 24, "n_inner": 40,
        "n_positions": 64, "vocab_size": 61, "activation_function": "gelu_new"}
CROSS = {"add_cross_attention": True}
MESSAGES = ("send_hidden", "recv_hidden")

# The counting kernel tells of no order of sums, so that a share of the columns is refused where bits are promised.
SPLIT = {"head": "split", "deterministic": "false", "fields": {"vocab_size": 331}}
# name: new positions, cached positions, and what is special: ranks, dtype, kv_dtype, max_rows, encoder_len, logits, fields of the config
SHAPES = {
    "one_token": ([1], [0], {}),
    "prompt": ([17], [0], {}),
    "prompt_all_logits": ([17], [0], {"logits": "all"}),
    "ragged": ([5, 17, 3], [0, 0, 0], {}),
    "ragged_with_caches": ([5, 17, 3], [0, 12, 7], {}),
    "decode": ([1], [9], {}),
    "decode_ragged": ([1, 1, 1, 1], [3, 20, 11, 1], {}),
    "decode_and_prefill_together": ([1, 1, 8, 1], [12, 5, 0, 63], {}),
    "cut": ([30], [0], {"max_rows": 8}),
    "cut_ragged": ([5, 17, 3], [2, 0, 9], {"max_rows": 8}),
    "cut_to_single_rows": ([4, 2], [1, 3], {"max_rows": 1}),
    "cut_all_logits": ([20, 3], [0, 5], {"max_rows": 6, "logits": "all"}),
    "no_bias_of_size": ([6, 4], [0, 2], {"fields": {"n_embd": 10, "n_head": 5, "n_inner": None, "vocab_size": 13}}),
    "bf16": ([17], [0], {"dtype": "bf16"}),
    "bf16_ragged": ([5, 17, 3], [0, 12, 7], {"dtype": "bf16"}),
    "bf16_decode": ([1, 1], [31, 4], {"dtype": "bf16"}),
    "int8": ([6, 2], [3, 9], {"kv_dtype": "int8"}),
    "f16": ([6, 2], [3, 9], {"kv_dtype": "f16"}),
    "bf16_kv_f32_decode": ([1, 1], [13, 2], {"kv_dtype": "f32", "dtype": "bf16"}),
    "int8_bf16_decode": ([1, 1], [13, 2], {"kv_dtype": "int8", "dtype": "bf16"}),
    "int8_cut": ([19], [4], {"kv_dtype": "int8", "max_rows": 7}),
    "cross": ([5], [0], {"encoder_len": 7, "fields": CROSS}),
    "cross_ragged": ([5, 9], [0, 0], {"encoder_len": 7, "fields": CROSS}),
    "cross_decode_int8": ([1, 1], [4, 2], {"encoder_len": 7, "fields": CROSS, "kv_dtype": "int8"}),
    "cross_cut": ([9], [0], {"encoder_len": 11, "fields": CROSS, "max_rows": 4}),
    "ranks_prompt": ([17], [0], {"ranks": 3}),
    "ranks_ragged": ([5, 17, 3], [0, 12, 7], {"ranks": 3}),
    "ranks_decode_bf16": ([1, 1], [31, 4], {"ranks": 3, "dtype": "bf16"}),
    "ranks_cut_int8": ([19, 2], [4, 0], {"ranks": 3, "kv_dtype": "int8", "max_rows": 7}),
    "ranks_cross": ([5, 9], [0, 0], {"ranks": 3, "encoder_len": 7, "fields": CROSS}),
    "ranks_head_last": ([17, 3], [0, 4], {"ranks": 3, "head": "last"}),
    "ranks_head_split": ([17, 3], [0, 4], {"ranks": 3, **SPLIT}),
    "ranks_head_split_cut": ([19, 2], [4, 0], {"ranks": 2, "dtype": "bf16", "max_rows": 7, "logits": "all", **SPLIT}),
    "ranks_five_blocks": ([6, 1], [0, 9], {"ranks": 3, "fields": {"n_layer": 5}}),
}
ACTIVATIONS = ("gelu", "gelu_10", "quick_gelu", "relu", "relu2", "relu6", "leaky_relu", "silu", "tanh", "sigmoid", "linear", "mish",
               "laplace", "hardswish", "sqrtsoftplus")


class Box:
    def __init__(self, program, source_dir, folder):
        self.program, self.folder = program, folder
        self.count_run, self.plugin, self.count_sends = sys.argv[4:7]
        self.mpiexec = sys.argv[7] if len(sys.argv) > 7 else None

    def run(self, *command, **environment):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env={**os.environ, **environment},
                              check=False)
        expect(done.returncode == 0, command, done.stderr)
        return done.stdout

    def model(self, shape):
        config = self.folder / "config.json"
        config.write_text(json.dumps({**BASE, **shape.get("fields", {})}), encoding="utf-8")
        shutil.rmtree(self.folder / "model", ignore_errors=True)
        self.run(self.program, "init", config, "-o", self.folder / "model", "--seed", "1", "--dtype", shape.get("dtype", "f32"))
        return self.folder / "model"


def options(shape):
    """Options of the config, as key and value."""
    given = {key: shape[key] for key in ("dtype", "kv_dtype", "max_rows", "deterministic") if key in shape}
    places = [("parallel.head", shape["head"])] if "head" in shape else []
    return [(f"runtime.{key}", value) for key, value in given.items()] + places


def foretold(box, model, shape, seq, cache, logits, phase):
    """{op: (FLOPs, bytes read, bytes written)} of a step, and of each rank its FLOPs, messages and their bytes."""
    words = ["--phase", phase, "--cache", ",".join(map(str, cache)), "--logits", logits, "--ranks", shape.get("ranks", 1)]
    words += ["--seq", ",".join(map(str, seq))] if phase == "prefill" else []
    words += ["--encoder-len", shape["encoder_len"]] if "encoder_len" in shape else []
    for key, value in options(shape):
        words += ["--set", f"{key}={value}"]
    report = json.loads(box.run(box.program, "cost", model, "--json", "--stored", shape.get("dtype", "f32"), *words))
    rows = [row for row in report["rows"] if row["depth"] == 0 and "executed" in row]
    ops = {row["name"]: tuple(int(row["executed"][key]) for key in ("flops", "bytes_read", "bytes_written")) for row in rows}
    return ops, [tuple(int(rank[key]) for key in ("flops", "messages_sent", "bytes_sent")) for rank in report["ranks"]]


def add_up(parts):
    total = {}
    for ops in parts:
        for op, numbers in ops.items():
            total[op] = tuple(a + b for a, b in zip(total.get(op, (0, 0, 0)), numbers))
    return {op: numbers for op, numbers in total.items() if op not in MESSAGES and any(numbers)}


def counted(box, model, shape, seq, cache):
    """What the kernels of each process did, a list of {op: (FLOPs, bytes read, bytes written)}, and the (messages, bytes) it sent."""
    folder = box.folder / "counts"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    preload = ["env", f"LD_PRELOAD={box.count_sends}"] if box.count_sends != "-" else []
    launch = [box.mpiexec, "-n", shape["ranks"], *preload] if "ranks" in shape else []
    width = {**BASE, **shape.get("fields", {})}["n_embd"]
    words = [f"{key}={value}" for key, value in options(shape)] + [f"plugins={box.plugin}", "runtime.kernels=counting"]
    box.run(*launch, box.count_run, model, shape.get("logits", "last"), shape.get("encoder_len", 0), ",".join(map(str, seq)),
            ",".join(map(str, cache)), *words, TFR_COUNT_FOLDER=str(folder), COUNT_WIDTH=str(width))
    tables, sends = [], []
    for path in folder.iterdir():
        if path.suffix == ".sends":
            sends.append(tuple(map(int, path.read_text(encoding="utf-8").split())))
            continue
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        tables.append({op: (int(flops), int(read), int(written)) for op, _, flops, read, written in lines})
    expect_same(len(tables), shape.get("ranks", 1))
    return tables, sends


def check(box, seq, cache, shape):
    if "ranks" in shape and not box.mpiexec:
        print("built without MPI")
        sys.exit(77)
    model = box.model(shape)
    fills = [n for n in cache if n > 0]
    is_decode = "encoder_len" in shape and bool(fills)  # the encoder's part belongs to the fill, so it must not come twice
    steps = []
    if fills:
        steps.append(foretold(box, model, shape, fills, [0] * len(fills), "none", "prefill"))
    steps.append(foretold(box, model, shape, seq, cache, shape.get("logits", "last"), "decode" if is_decode else "prefill"))
    have, sends = counted(box, model, shape, seq, cache)
    expect_same(add_up(have), add_up([ops for ops, _ in steps]))
    ranks = [tuple(map(sum, zip(*rank))) for rank in zip(*(ranks for _, ranks in steps))]
    expect_same(sorted(sum(flops for flops, _, _ in ops.values()) for ops in have), sorted(flops for flops, _, _ in ranks))
    if box.count_sends != "-":
        expect_same(sorted(sends), sorted(rank[1:] for rank in ranks if rank[1] > 0))


for shape_name, (new, old, what) in SHAPES.items():
    CASES[shape_name] = lambda box, new=new, old=old, what=what: check(box, new, old, what)

@case
def activations(box):
    for name in ACTIVATIONS:
        check(box, [3, 2], [0, 4], {"fields": {"activation_function": name, "n_layer": 1}})


if __name__ == "__main__":
    sys.exit(main(Box))

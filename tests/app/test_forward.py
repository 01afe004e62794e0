#!/usr/bin/env python3
"""`tfrun forward` from outside: test_forward.py TFRUN NAME SOURCE [MPIEXEC], test_forward.py --list.

Golden cases (tests/model/forward, written by scripts/compare_forward.py from transformers in float64; NaN elements are not compared),
laws that need no reference (what must not change a bit), and every refused input with its sentence. Standard library only.
"""
import array
import json
import math
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

from tensors import read_tensors, write_tensors

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "model" / "forward"
TOLERANCE = 3e-5  # as tests/model/test_golden.c: float32 against float64
cases = {}


def case(function):
    cases[function.__name__] = function
    return function


def ids(*rows):
    return "I64", [len(rows), len(rows[0])], [i for row in rows for i in row]


class Box:
    """A model of the golden cases and a folder for requests and replies."""

    def __init__(self, tfrun, mpiexec, folder):
        self.tfrun, self.mpiexec, self.folder = tfrun, mpiexec, pathlib.Path(folder)

    def start(self, model, tensors, *flags, ranks=1):
        if isinstance(tensors, dict):
            write_tensors(self.folder / "in.safetensors", tensors)
            tensors = self.folder / "in.safetensors"
        command = [self.tfrun, "forward", str(GOLDEN / model), "--in", str(tensors), "--out", str(self.folder / "out.safetensors"), "--force", *flags]
        if ranks > 1:
            command = [self.mpiexec, "-n", str(ranks), *command]
        return subprocess.run(command, capture_output=True, text=True)

    def run(self, model, tensors, *flags, ranks=1):
        if "--use-cache" not in flags and "--no-use-cache" not in flags:
            flags = ("--no-use-cache", *flags)
        done = self.start(model, tensors, *flags, ranks=ranks)
        if done.returncode != 0:
            sys.exit(f"tfrun forward failed: {done.stderr}")
        return read_tensors(self.folder / "out.safetensors")


def check(condition, text):
    if not condition:
        sys.exit(text)


def compare(got, expected, tolerance=TOLERANCE):
    check(set(got) == set(expected), f"outputs {sorted(set(got) ^ set(expected))} are missing or too many")
    for name, (_, shape, want) in expected.items():
        check(got[name][1] == shape, f"{name} has shape {got[name][1]}, needs {shape}")
        worst = max((abs(a - b) for a, b in zip(got[name][2], want) if not math.isnan(b)), default=0.0)
        check(worst <= tolerance, f"{name} differs by {worst}")


def golden(box, name, *more, ranks=1, tolerance=TOLERANCE):
    folder = GOLDEN / name
    flags = json.loads((folder / "case.json").read_text())["flags"]
    got = box.run(name, folder / "request.safetensors", *flags, *more, ranks=ranks)
    compare(got, read_tensors(folder / "expected.safetensors"), tolerance)
    return got


def bits(tensors):
    return {name: bytes(values) for name, (_, _, values) in tensors.items()}


def same(a, b, what):
    for name in a:
        check(bytes(a[name][2]) == bytes(b[name][2]), f"{name} has other bits {what}")


def rows_of(tensor, b):
    """Row b of a tensor [B, ...] as a list of rows of its last dim."""
    _, shape, values = tensor
    size, width = math.prod(shape[1:]), shape[-1]
    row = values[b * size:(b + 1) * size]
    return [bytes(row[i:i + width]) for i in range(0, size, width)]


# ---- laws

LM = "lm_use_cache"
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]


INT8 = ("--kv-dtype", "int8")

# What the kernels and their rounding depend on; a row keeps its bits within each of them.
MODES = {"f32": [], "bf16": ["--dtype", "bf16"], "eager": ["--attn", "eager"], "f16": ["--kv-dtype", "f16"], "int8": INT8, "four_threads": ["--threads", "4"]}


def left_padding(box, flags):
    plain = rows_of(box.run(LM, {"input_ids": ids(TOKENS)}, *flags)["logits"], 0)
    for n in range(8):
        request = {"input_ids": ids([7] * n + TOKENS, TOKENS + [7] * n), "attention_mask": ids([0] * n + [1] * 8, [1] * 8 + [0] * n)}
        logits = box.run(LM, request, "--auto-positions", *flags)["logits"]
        check(rows_of(logits, 0)[n:] == plain, f"{n} pads on the left change bits")
        check(rows_of(logits, 1)[:8] == plain, f"{n} pads on the right change bits")


def splits(box, flags):
    whole = box.run(LM, {"input_ids": ids(TOKENS)}, "--use-cache", *flags)
    for at in range(1, 8):
        first = box.run(LM, {"input_ids": ids(TOKENS[:at])}, "--use-cache", *flags)
        rest = {name: t for name, t in first.items() if name.startswith("past_")}
        second = box.run(LM, {"input_ids": ids(TOKENS[at:]), **rest}, "--use-cache", *flags)
        check(rows_of(first["logits"], 0) + rows_of(second["logits"], 0) == rows_of(whole["logits"], 0), f"cut after {at} changes bits")
        same({k: v for k, v in second.items() if k != "logits"}, whole, f"in the cache after a cut at {at}")


for mode, mode_flags in MODES.items():
    cases[f"law_left_padding_changes_no_bit_{mode}"] = lambda box, flags=mode_flags: left_padding(box, flags)
    cases[f"law_split_at_every_position_{mode}"] = lambda box, flags=mode_flags: splits(box, flags)


@case
def law_company_and_steps(box):
    other = [8, 8, 1, 0, 2, 2, 3, 4]
    alone = rows_of(box.run(LM, {"input_ids": ids(TOKENS)})["logits"], 0)
    for order in ([TOKENS, other], [other, TOKENS], [other, other, TOKENS]):
        for size in (1, 3, 512):
            got = box.run(LM, {"input_ids": ids(*order)}, "--set", f"runtime.max_rows={size}", "--set", "runtime.max_batch=2")
            check(rows_of(got["logits"], order.index(TOKENS)) == alone, f"company of {len(order)} with steps of {size} changes bits")


@case
def law_int8_cache_is_stored_and_loaded_unchanged(box):
    whole = box.run(LM, {"input_ids": ids(TOKENS)}, "--use-cache", *INT8)
    again = box.run(LM, {"input_ids": ids(TOKENS[-1:]), **{name: cut_last(t) for name, t in whole.items() if name.startswith("past_")}},
                    "--use-cache", *INT8)
    check(rows_of(again["logits"], 0) == rows_of(whole["logits"], 0)[-1:], "a cache given back changes bits")
    same({k: v for k, v in again.items() if k != "logits"}, whole, "after a cache went out and in")
    plain = box.run(LM, {"input_ids": ids(TOKENS)}, "--use-cache")
    for name, (_, shape, values) in whole.items():
        vectors = rows_of(("F32", [1, math.prod(shape) // shape[-1], shape[-1]], values), 0)
        if name == "past_key_values.0.key":  # nothing has been rounded before it
            for have, want in zip(vectors, rows_of(("F32", [1, math.prod(shape) // shape[-1], shape[-1]], plain[name][2]), 0)):
                have, want = array.array("f", have), array.array("f", want)
                largest = max(map(abs, want))
                check(all(abs(a - b) <= largest / 253.9 for a, b in zip(have, want)), f"{name} is off by more than half a step")
                steps = [x / max(map(abs, have)) * 127 for x in have]
                check(all(abs(x - round(x)) < 1e-4 for x in steps), f"{name} is not a whole number of steps")


def cut_last(tensor):
    """[B,H,P,D] without the last position."""
    dtype, (b, h, n, d), values = tensor
    return dtype, [b, h, n - 1, d], [x for i in range(b * h) for x in values[i * n * d:(i * n + n - 1) * d]]


@case
def law_int8_is_near_f32(box):
    every(box, *INT8, tolerance=0.2)  # as INT8_TOLERANCE of tests/model/test_golden.c


@case
def law_int8_cross_cache_is_given_back(box):
    tensors = read_tensors(GOLDEN / "lm_cross" / "request.safetensors")
    whole = box.run("lm_cross", tensors, "--use-cache", *INT8)
    given = {k: v for k, v in whole.items() if "cross_" in k and k.startswith("past_")}
    check(bool(given), "no cross cache came out")
    request = {"input_ids": tensors["input_ids"], **given, **{k: v for k, v in tensors.items() if k == "encoder_attention_mask"}}
    same(box.run("lm_cross", request, "--use-cache", *INT8), whole, "from a cross cache given back")


@case
def law_static_caches_change_no_bit(box):
    for name in ("lm_use_cache", "lm_past_mask_left", "lm_cross_past", "base_cross_attentions", "mix_03", "mix_11"):
        same(golden(box, name, "--kv-cache", "static"), golden(box, name), "with a static cache")


@case
def refused_beyond_the_capacity(box):
    c = config_of(LM)
    words = "5 before and 2 new ones make 7 positions", "holds 6 (tfrun.runtime.kv_capacity)", "raise --kv-capacity"
    for how in ("growing", "static"):
        refused(box, LM, {"input_ids": ids([1, 2]), **past(c, 1, 5)}, *words, flags=("--kv-capacity", "6", "--kv-cache", how))
    box.run(LM, {"input_ids": ids([1, 2]), **past(c, 1, 5)}, "--kv-capacity", "7")


@case
def law_keep_is_a_slice(box):
    whole = rows_of(box.run(LM, {"input_ids": ids(TOKENS)})["logits"], 0)
    for keep in range(1, 10):
        got = rows_of(box.run(LM, {"input_ids": ids(TOKENS)}, "--logits-to-keep", str(keep))["logits"], 0)
        check(got == whole[-keep:], f"the last {keep} logits differ from the slice")


@case
def law_options_change_no_bit_of_logits(box):
    request = {"input_ids": ids(TOKENS)}
    plain = box.run(LM, request, "--attn", "eager")["logits"]
    full = box.run(LM, request, "--attn", "eager", "--use-cache", "--output-hidden-states", "--output-attentions")["logits"]
    check(bytes(plain[2]) == bytes(full[2]), "asking for more outputs changes the logits")


@case
def law_zero_head_mask_is_no_attention(box):
    n_head = json.loads((GOLDEN / LM / "config.json").read_text())["n_head"]
    request = {"input_ids": ids(TOKENS), "head_mask": ("F32", [n_head], [1.0] * n_head)}
    ones = box.run(LM, request)["logits"]
    check(bytes(ones[2]) == bytes(box.run(LM, {"input_ids": ids(TOKENS)}, "--attn", "eager")["logits"][2]), "a head mask of ones is not neutral")


@case
def law_a_summary_without_projection_is_the_pooled_row(box):
    folder = box.folder / "double"
    shutil.copytree(GOLDEN / LM, folder)
    config = {**config_of(LM), "architectures": ["GPT2DoubleHeadsModel"], "summary_use_proj": False, "summary_type": "first"}
    (folder / "config.json").write_text(json.dumps(config))
    reply = box.run(folder, {"input_ids": ids([1, 2, 3], [4, 5, 6])}, "--output-hidden-states")
    last, (_, shape, pooled) = reply[f"hidden_states.{config['n_layer']}"], reply["mc_logits"]
    check(shape == [2, config["n_embd"]], f"mc_logits has shape {shape}")
    for b in range(2):
        start = b * 3 * config["n_embd"]
        check(pooled[b * config["n_embd"]:(b + 1) * config["n_embd"]] == last[2][start:start + config["n_embd"]], f"row {b}")


@case
def law_nan_is_never_hidden(box):
    """A NaN is in every row that sees it and in no other, whatever kernel serves."""
    c = config_of(LM)
    for first in (0, 1):  # 0: no key of the first row is a number
        values = [0.25] * (4 * c["n_embd"])
        values[first * c["n_embd"] + 1] = math.nan
        for flags in (["--attn", "eager", "--output-attentions"], ["--attn", "fused"], ["--kernels", "ref"], INT8):
            _, (_, n, width), logits = box.run(LM, {"inputs_embeds": ("F32", [1, 4, c["n_embd"]], values)}, *flags)["logits"]
            for t in range(n):
                n_nan = sum(map(math.isnan, logits[t * width:(t + 1) * width]))
                check(n_nan == (width if t >= first else 0), f"row {t} has {n_nan} NaN of {width} with {flags}")


@case
def law_rows_without_keys_give_zeros(box):
    width = config_of(LM)["vocab_size"]
    request = {"input_ids": ids([1, 2, 3]), "attention_mask": ids([0, 0, 1])}
    logits = box.run(LM, request, "--use-cache")
    check(not any(logits["logits"][2][:2 * width]) and any(logits["logits"][2][2 * width:]), "rows that see nothing are not zero")
    check(not any(rows_of(logits["past_key_values.0.key"], 0)[0]), "a masked token left a key")
    hidden = ("F32", [1, 1, 3, 3], [-math.inf] * 3 + [0.0, -math.inf, -math.inf] + [0.0] * 3)
    got = box.run(LM, {"input_ids": ids([1, 2, 3]), "attention_mask": hidden}, "--output-attentions")
    for name, (_, _, values) in got.items():
        check(all(map(math.isfinite, values)), f"{name} is not finite where a row sees nothing")
    check(not any(got["attentions.0"][2][:3]), "weights of a row that sees nothing are not zero")


@case
def law_mask_of_ones_and_causal_mask_are_neutral(box):
    plain = box.run(LM, {"input_ids": ids(TOKENS)}, "--attn", "eager")
    n = len(TOKENS)
    causal = ("BOOL", [1, 1, n, n], [int(j <= i) for i in range(n) for j in range(n)])
    same(plain, box.run(LM, {"input_ids": ids(TOKENS), "attention_mask": causal}), "with a causal mask of rank 4")
    fused = box.run(LM, {"input_ids": ids(TOKENS)})
    same(fused, box.run(LM, {"input_ids": ids(TOKENS), "attention_mask": ids([1] * n)}), "with a mask of ones")
    compare(plain, fused, 1e-5)


@case
def law_embeds_of_tokens_are_tokens(box):
    _, shape, table = read_tensors(GOLDEN / LM / "model.safetensors")["transformer.wte.weight"]
    rows = [x for i in TOKENS for x in table[i * shape[1]:(i + 1) * shape[1]]]
    embeds = box.run(LM, {"inputs_embeds": ("F32", [1, len(TOKENS), shape[1]], rows)})
    same(box.run(LM, {"input_ids": ids(TOKENS)}), embeds, "from inputs_embeds")


def every(box, *more, tolerance=TOLERANCE):
    for name in golden_names():
        golden(box, name, *more, tolerance=tolerance)


@case
def law_reference_kernels(box):
    every(box, "--kernels", "ref")


@case
def law_plain_instruction_set(box):
    every(box, "--isa", "plain")


@case
def law_bits_of_three_threads(box):
    for name in golden_names():
        if "mix" in name:
            same(golden(box, name, "--threads", "1"), golden(box, name, "--threads", "3"), "with three threads")


@case
def law_ranks(box):
    if not box.mpiexec:
        sys.exit(77)
    for name in ("lm_use_cache", "lm_attentions", "lm_hidden_states", "lm_past_mask_left", "lm_cross_head_mask", "lm_cross_past",
                 "base_cross_attentions", "double_choices_mc_labels_labels", "lm_past_mask4", "qa_span", "mix_03", "mix_11", "mix_17"):
        alone = golden(box, name)
        for ranks in (2, 3):
            same(golden(box, name, ranks=ranks), alone, f"on {ranks} ranks")
        same(golden(box, name, "--replicas", "2", ranks=2), alone, "on 2 replicas")
    for name in ("lm_use_cache", "lm_cross_past", "lm_past_mask4"):
        alone = golden(box, name, *INT8, tolerance=0.2)
        for ranks in (2, 3):
            same(golden(box, name, *INT8, "--kv-cache", "static", ranks=ranks, tolerance=0.2), alone, f"with int8 caches on {ranks} ranks")


@case
def law_ranks_more_tokens_than_positions(box):
    """Positions that begin again: a row may be longer than the model's n_positions, on any number of ranks."""
    if not box.mpiexec:
        sys.exit(77)
    n = config_of(LM)["n_positions"] + 8
    request = {"input_ids": ids([1 + i % 7 for i in range(n)]), "position_ids": ids([i % 8 for i in range(n)])}
    for flags in ((), ("--packed",)):
        alone = box.run(LM, request, *flags)
        for ranks in (2, 3):
            same(box.run(LM, request, *flags, ranks=ranks), alone, f"on {ranks} ranks with {flags}")


# ---- refusals: model, request, words of the sentence

def refused(box, model, tensors, *words, flags=()):
    done = box.start(model, tensors, *flags)
    check(done.returncode == 2, f"exit code {done.returncode}, needs 2: {done.stderr}")
    check(done.stderr.startswith("tfrun: ") and done.stderr.count("\n") == 1, f"not one line: {done.stderr}")
    for word in words:
        check(word in done.stderr, f'"{done.stderr.strip()}" lacks "{word}"')
    check(not (box.folder / "out.safetensors").exists(), "a reply was written")


def floats(*shape):
    return "F32", list(shape), [0.5] * math.prod(shape)


def config_of(model):
    return json.loads((GOLDEN / model / "config.json").read_text())


REFUSALS = {
    "both_inputs": lambda c: ({"input_ids": ids([1]), "inputs_embeds": floats(1, 1, c["n_embd"])}, "both input_ids and inputs_embeds"),
    "no_input": lambda c: ({"attention_mask": ids([1])}, "neither input_ids nor inputs_embeds"),
    "empty_input": lambda c: ({"input_ids": ("I64", [1, 0], [])}, "is empty"),
    "token_outside": lambda c: ({"input_ids": ids([1, 2], [3, c["vocab_size"]])}, f"input_ids: {c['vocab_size']} at row 1, column 1", "vocab_size"),
    "token_negative": lambda c: ({"input_ids": ids([-1])}, "input_ids: -1 at row 0, column 0"),
    "float_ids": lambda c: ({"input_ids": floats(1, 2)}, "input_ids is F32", "I64 or I32"),
    "position_outside": lambda c: ({"input_ids": ids([1, 2]), "position_ids": ids([0, c["n_positions"]])},
                                   f"position_ids: {c['n_positions']} at row 0, column 1", "n_positions"),
    "too_long": lambda c: ({"input_ids": ids([1] * (c["n_positions"] + 1))}, f"position {c['n_positions']} at row 0", "n_positions"),
    "mask_too_long": lambda c: ({"input_ids": ids([1, 2]), "attention_mask": ids([1, 1, 1])}, "attention_mask has shape [1, 3], needs [1, 2]"),
    "mask_without_past": lambda c: ({"input_ids": ids([1, 2]), "attention_mask": ids([1, 1]), **past(c, 1, 3)},
                                    "attention_mask covers 2 tokens, but 3 are cached", "all 5"),
    "mask_of_twos": lambda c: ({"input_ids": ids([1, 2]), "attention_mask": ids([1, 2])}, "2 at row 0, column 1 is neither 0 nor 1"),
    "mask4_heads": lambda c: ({"input_ids": ids([1, 2]), "attention_mask": floats(1, 7, 2, 2)}, "7 heads"),
    "token_type_outside": lambda c: ({"input_ids": ids([1]), "token_type_ids": ids([c["vocab_size"]])}, "token_type_ids", "vocab_size"),
    "head_mask_shape": lambda c: ({"input_ids": ids([1]), "head_mask": floats(c["n_head"] + 1)}, "head_mask has shape"),
    "cross_without_layers": lambda c: ({"input_ids": ids([1]), "encoder_hidden_states": floats(1, 2, c["n_embd"])},
                                       "no cross-attention (add_cross_attention)"),
    "encoder_mask_alone": lambda c: ({"input_ids": ids([1]), "encoder_attention_mask": ids([1])}, "without encoder_hidden_states"),
    "past_incomplete": lambda c: ({"input_ids": ids([1]), **{k: v for k, v in past(c, 1, 3).items() if "0.key" in k}}, "incomplete"),
    "past_wrong_rows": lambda c: ({"input_ids": ids([1]), **past(c, 2, 3)}, "past_key_values.0.key has shape [2,"),
    "unknown_input": lambda c: ({"input_ids": ids([1]), "attention_masks": ids([1])}, "attention_masks is not an input", "did you mean attention_mask?"),
    "past_of_no_block": lambda c: ({"input_ids": ids([1]), "past_key_values.9.key": floats(1)}, "past_key_values.9.key is not an input"),
    "labels_shape": lambda c: ({"input_ids": ids([1, 2]), "labels": ids([1])}, "labels has shape [1, 1], needs [1, 2]"),
    "labels_transposed": lambda c: ({"input_ids": ids([1], [2]), "labels": ids([1, 2])}, "labels has shape [1, 2], needs [2, 1]"),
    "padded_past_name": lambda c: ({"input_ids": ids([1]), "past_key_values.00.key": floats(1)}, "past_key_values.00.key is not an input"),
    "mask_of_nan": lambda c: ({"input_ids": ids([1]), "attention_mask": ("F32", [1, 1, 1, 1], [math.nan])}, "attention_mask: element 0 is nan"),
    "head_mask_of_twos": lambda c: ({"input_ids": ids([1]), "head_mask": ("I64", [c["n_head"]], [2] * c["n_head"])}, "head_mask: 2 at row 0",
                                    "give other numbers as a float type"),
    "mask4_of_whole_numbers": lambda c: ({"input_ids": ids([1, 2]), "attention_mask": ("I64", [1, 1, 1, 2], [0, -9])},
                                         "attention_mask: -9 at row 0, column 1", "give other numbers as a float type"),
    "labels_outside": lambda c: ({"input_ids": ids([1, 2]), "labels": ids([1, c["vocab_size"]])}, "labels:", "not -100"),
    "keep_outside": lambda c: ({"input_ids": ids([1, 2]), "logits_to_keep": ("I64", [1], [2])}, "logits_to_keep: element 0"),
    "labels_with_keep": lambda c: ({"input_ids": ids([1, 2]), "labels": ids([1, 1]), "logits_to_keep": ("I64", [1], [1])}, "leave logits_to_keep out"),
    "mc_labels_of_lm": lambda c: ({"input_ids": ids([1, 2]), "mc_labels": ("I64", [1], [0])}, "mc_labels is given, but the head"),
}


def numbers(*shape):
    return "I64", list(shape), [1] * math.prod(shape)


def cross(c, E=3):
    return {"input_ids": ids([1, 2]), "encoder_hidden_states": floats(1, E, c["n_embd"])}


def n_labels(c):
    return len(c.get("id2label", "12"))


# Of other models than LM, and with flags: model, flags, request, words.
MORE_REFUSALS = {
    "ids_of_rank_4": (LM, (), lambda c: {"input_ids": numbers(1, 1, 1, 2)}, "input_ids has shape [1, 1, 1, 2]", "[B, S]"),
    "choices_of_a_classifier": ("sequence", (), lambda c: {"input_ids": numbers(1, 2, 2)}, "input_ids has shape [1, 2, 2], needs [B, S]"),
    "embeds_width": (LM, (), lambda c: {"inputs_embeds": floats(1, 2, c["n_embd"] + 1)}, "inputs_embeds has shape"),
    "positions_shape": (LM, (), lambda c: {"input_ids": ids([1, 2]), "position_ids": ids([0, 1, 2])}, "position_ids has shape [1, 3], needs [1, 2]"),
    "positions_of_other_rows": (LM, (), lambda c: {"input_ids": ids([1, 2]), "position_ids": ids([0, 1], [0, 1])}, "position_ids has shape [2, 2], needs [1, 2]"),
    "positions_in_one_dim": (LM, (), lambda c: {"input_ids": ids([1, 2], [3, 4]), "position_ids": numbers(4)}, "position_ids has shape [4], needs [2, 2]"),
    "one_position_of_packed_rows": (LM, ("--no-use-cache",), lambda c: {"input_ids": ids([1, 2]), "position_ids": ids([0])},
                                    "position_ids has shape [1, 1], needs [1, 2]"),
    "position_negative": (LM, (), lambda c: {"input_ids": ids([1]), "position_ids": ids([-1])}, "position_ids: -1 at row 0, column 0"),
    "token_types_shape": (LM, (), lambda c: {"input_ids": ids([1, 2]), "token_type_ids": ids([0])}, "token_type_ids has shape [1, 1], needs [1, 2]"),
    "head_mask_rank": (LM, (), lambda c: {"input_ids": ids([1]), "head_mask": floats(1, 1, 1)}, "head_mask has shape [1, 1, 1]"),
    "mask_rank_3": (LM, (), lambda c: {"input_ids": ids([1, 2]), "attention_mask": numbers(1, 2, 2)}, "attention_mask has shape [1, 2, 2], needs [1, 2]"),
    "mask_of_one_row": (LM, (), lambda c: {"input_ids": ids([1, 2], [3, 4]), "attention_mask": ids([1, 1])}, "attention_mask has shape [1, 2], needs [2, 2]"),
    "mask4_keys": (LM, (), lambda c: {"input_ids": ids([1, 2]), "attention_mask": floats(1, 1, 2, 4)}, "attention_mask has shape [1, 1, 2, 4], needs [any, any, 2, 2]"),
    "token_types_transposed": (LM, (), lambda c: {"input_ids": ids([1, 2], [3, 4], [5, 6]), "token_type_ids": numbers(2, 3)},
                               "token_type_ids has shape [2, 3], needs [3, 2]"),
    "mask_rows": (LM, (), lambda c: {"input_ids": ids([1, 2]), "attention_mask": numbers(2, 2)}, "attention_mask has shape [2, 2], needs [1, 2]"),
    "encoder_width": ("lm_cross", (), lambda c: {"input_ids": ids([1]), "encoder_hidden_states": floats(1, 2, c["n_embd"] + 1)},
                      "encoder_hidden_states has shape"),
    "encoder_rows": ("lm_cross", (), lambda c: {"input_ids": ids([1]), "encoder_hidden_states": floats(2, 2, c["n_embd"])},
                     "encoder_hidden_states has shape [2, 2,", "needs [1, any,"),
    "encoder_mask_length": ("lm_cross", (), lambda c: {**cross(c), "encoder_attention_mask": numbers(1, 2)},
                            "encoder_attention_mask has shape [1, 2], needs [1, 3]"),
    "encoder_mask_rank_4": ("lm_cross", (), lambda c: {**cross(c), "encoder_attention_mask": numbers(1, 1, 2, 4)},
                            "encoder_attention_mask has shape [1, 1, 2, 4], needs [1, 1, 2, 3]"),
    "encoder_mask_of_heads": ("lm_cross", (), lambda c: {**cross(c), "encoder_attention_mask": floats(1, 2, 2, 3)},
                              "encoder_attention_mask has shape [1, 2, 2, 3], needs [1, 1, 2, 3]"),
    "encoder_mask_of_nan": ("lm_cross", (), lambda c: {**cross(c), "encoder_attention_mask": ("F32", [1, 1, 1, 3], [0, 0, math.inf])},
                            "encoder_attention_mask: element 2 is inf"),
    "encoder_states_of_no_position": ("lm_cross", (), lambda c: cross(c, 0), "encoder_hidden_states is empty: 1 rows of 0 positions"),
    "encoder_states_of_rank_2": ("lm_cross", (), lambda c: {"input_ids": ids([1, 2]), "encoder_hidden_states": floats(3, c["n_embd"])},
                                 "encoder_hidden_states has shape [3,", "needs [1, any,"),
    "encoder_mask_rank_1": ("lm_cross", (), lambda c: {**cross(c), "encoder_attention_mask": numbers(3)},
                            "encoder_attention_mask has shape [3], needs"),
    "cross_past_without_layers": (LM, (), lambda c: {"input_ids": ids([1]), **{k.replace("key", "cross_key", 2).replace("past_cross_key", "past_key"): v
                                                                             for k, v in past(c, 1, 3).items() if k.endswith("key")}},
                                  "cross_key is given, but the model has no cross-attention"),
    "auto_positions_of_an_additive_mask": (LM, ("--auto-positions",), lambda c: {"input_ids": ids([1]), "attention_mask": floats(1, 1, 1, 1)},
                                           "this one has rank 4"),
    "auto_positions_beside_positions": (LM, ("--auto-positions",), lambda c: {"input_ids": ids([1]), "position_ids": ids([0])}, "choose one"),
    "packed_without_positions": (LM, ("--packed",), lambda c: {"input_ids": ids([1, 2])}, "told apart by position_ids, which are not given"),
    "packed_with_mask": (LM, ("--packed",), lambda c: {"input_ids": ids([1, 2]), "position_ids": ids([0, 0]), "attention_mask": ids([1, 1])},
                         "packed sequences take no attention_mask"),
    "packed_with_past": (LM, ("--packed",), lambda c: {"input_ids": ids([1]), "position_ids": ids([0]), **past(c, 1, 2)},
                         "packed sequences take no past_key_values"),
    "keep_of_a_classifier": ("token", ("--logits-to-keep", "1"), lambda c: {"input_ids": ids([1, 2])}, "only GPT2LMHeadModel takes it"),
    "keep_twice": (LM, ("--logits-to-keep", "1"), lambda c: {"input_ids": ids([1, 2]), "logits_to_keep": ("I64", [1], [0])},
                   "both as a tensor and as a number"),
    "labels_of_the_bare_model": ("base", (), lambda c: {"input_ids": ids([1]), "labels": ids([1])}, "labels is given, but the head"),
    "sequence_labels_shape": ("sequence_labels", (), lambda c: {"input_ids": ids([1]), "labels": numbers(2)}, "labels has shape [2], needs [1]"),
    "sequence_labels_outside": ("sequence_labels", (), lambda c: {"input_ids": ids([1]), "labels": ("I64", [1], [n_labels(c)])},
                                "labels:", "at element 0 is outside"),
    "multi_labels_shape": ("sequence_labels_multi_label", (), lambda c: {"input_ids": ids([1]), "labels": floats(1, 1)},
                           "labels has shape [1, 1], needs [1, "),
    "labels_in_one_dim": (LM, (), lambda c: {"input_ids": ids([1, 2], [3, 4]), "labels": numbers(4)}, "labels has shape [4], needs [2, 2]"),
    "labels_in_a_column": (LM, (), lambda c: {"input_ids": ids([1, 2]), "labels": numbers(1, 2, 1)}, "labels has shape [1, 2, 1], needs [1, 2]"),
    "keep_flags_shape": (LM, (), lambda c: {"input_ids": ids([1, 2]), "logits_to_keep": ("BOOL", [3], [1, 0, 1])}, "logits_to_keep has shape [3], needs [2]"),
    "mc_labels_of_rows": ("double_mc_ids", (), lambda c: {"input_ids": ids([1, 2], [3, 4]), "mc_labels": ("I64", [2], [0, 0])},
                          "mc_labels has shape [2], needs [1]"),
    "token_labels_outside": ("token_labels", (), lambda c: {"input_ids": ids([1]), "labels": ids([n_labels(c)])}, "labels:", "not -100"),
    "one_end_of_a_span": ("qa", (), lambda c: {"input_ids": ids([1, 2]), "start_positions": numbers(1)}, "without end_positions", "needs both"),
    "span_shape": ("qa", (), lambda c: {"input_ids": ids([1, 2]), "start_positions": numbers(2), "end_positions": numbers(2)},
                   "start_positions has shape [2], needs [1]"),
    "span_of_lm": (LM, (), lambda c: {"input_ids": ids([1]), "start_positions": numbers(1), "end_positions": numbers(1)}, "start_positions is given, but the head"),
    "mc_ids_shape": ("double_mc_ids", (), lambda c: {"input_ids": ids([1, 2]), "mc_token_ids": numbers(3)}, "mc_token_ids has shape [3], needs [1]"),
    "mc_ids_of_another_summary": ("double", (), lambda c: {"input_ids": ids([1, 2]), "mc_token_ids": numbers(1)}, "summary_type of the config is not cls_index"),
    "mc_id_outside": ("double_mc_ids", (), lambda c: {"input_ids": ids([1, 2]), "mc_token_ids": ("I64", [1, 1], [2])}, "mc_token_ids: 2"),
    "mc_labels_shape": ("double_choices_mc_labels_labels", (), lambda c: {"input_ids": numbers(1, 2, 2), "mc_labels": numbers(2)},
                        "mc_labels has shape [2], needs [1]"),
    "mc_label_outside": ("double_choices_mc_labels_labels", (), lambda c: {"input_ids": numbers(1, 2, 2), "mc_labels": ("I64", [1], [2])},
                         "mc_labels: 2"),
    "other_out_dtype": (LM, ("--out-dtype", "f64"), lambda c: {"input_ids": ids([1])}, '--out-dtype: "f64" is not one of f32, f16, bf16'),
    "other_switch_value": (LM, ("--use-cache=maybe",), lambda c: {"input_ids": ids([1])}, "--use-cache is true or false"),
}


def warned(box, model, tensors, *words, flags=()):
    done = box.start(model, tensors, *flags)
    check(done.returncode == 0, f"exit code {done.returncode}: {done.stderr}")
    for word in words:
        check(word in done.stderr, f'"{done.stderr.strip()}" lacks "{word}"')
    return done


def silent(box, model, tensors, *flags):
    done = box.start(model, tensors, *flags)
    check(done.returncode == 0 and done.stderr == "", f"exit code {done.returncode}, stderr {done.stderr}")


@case
def warned_of_padding_without_a_mask(box):
    pad = config_of(LM)["pad_token_id"]
    words = f"row 1 begins or ends with pad_token_id {pad} and there is no attention_mask"
    for row in ([pad, 1, 2], [1, 2, pad]):
        warned(box, LM, {"input_ids": ids([1, 2, 3], row)}, words)
        silent(box, LM, {"input_ids": ids([1, 2, 3], row), "attention_mask": ids([1] * 3, [1] * 3)})
    silent(box, LM, {"input_ids": ids([1, pad, 3])})


@case
def warned_of_embeds_of_a_classifier(box):
    warned(box, "sequence", {"inputs_embeds": floats(2, 3, config_of("sequence")["n_embd"])}, "inputs_embeds show no padding: the last position")


@case
def warned_of_labels_that_name_no_target(box):
    warned(box, LM, {"input_ids": ids([1, 2]), "labels": ids([-100, -100])}, "no label counts", "the loss is NaN")


@case
def warned_of_positions_that_restart(box):
    request = {"input_ids": ids([1, 2, 3], [1, 2, 3]), "position_ids": ids([0, 1, 2], [0, 1, 0])}
    warned(box, LM, request, "position_ids of row 1 do not go on by one at column 2", "--packed")
    silent(box, LM, request, "--packed")
    silent(box, LM, request, "--no-packed")
    silent(box, LM, request, "--no-use-cache")
    silent(box, LM, {**request, "attention_mask": ids([1] * 3, [1] * 3)})
    silent(box, LM, {"input_ids": ids([1, 2, 3]), "position_ids": ids([4, 5, 6])})
    column = {"input_ids": ids([1, 2, 3]), "position_ids": ("I64", [1, 1], [4])}  # which --packed refuses
    warned(box, LM, column, "position_ids of row 0 do not go on by one at column 1", "have one position; give one for each")


# ---- packed sequences, defaults of the config, types of the results

@case
def law_packed_sequences_are_alone(box):
    """Three sequences in a row give what each gives alone (another order of addition: not to the bit); company changes no bit."""
    parts = [([3, 1, 4], 0), ([1, 5], 0), ([9, 2, 6], 4)]
    row, positions = [i for part, _ in parts for i in part], [p for part, first in parts for p in range(first, first + len(part))]
    packed = {"input_ids": ids(row), "position_ids": ids(positions)}
    got = box.run(LM, packed, "--packed", "--attn", "eager")
    rows = array.array("f", b"".join(rows_of(got["logits"], 0)))
    want = array.array("f")
    for part, first in parts:
        alone = box.run(LM, {"input_ids": ids(part), "position_ids": ids(list(range(first, first + len(part))))}, "--attn", "eager")
        want += alone["logits"][2]
    worst = max(abs(a - b) for a, b in zip(rows, want))
    check(worst <= 1e-5, f"a packed sequence differs from itself alone by {worst}")
    check(bytes(box.run(LM, packed, "--no-packed")["logits"][2]) != bytes(got["logits"][2]), "without --packed nothing changes")
    same(box.run(LM, packed, "--attn", "eager"), got, "where nothing is cached")
    two = box.run(LM, {"input_ids": ids(row[::-1], row), "position_ids": ids([0, 1, 0, 1, 2, 3, 4, 5], positions)}, "--packed", "--attn", "eager",
                  "--set", "runtime.max_rows=3")
    check(rows_of(two["logits"], 1) == rows_of(got["logits"], 0), "company or steps change a packed row")


@case
def law_only_rows_without_cache_and_mask_are_packed(box):
    """Positions that begin again make sequences where transformers makes them, and nowhere else."""
    request = {"input_ids": ids(TOKENS), "position_ids": ids([0, 1, 2, 0, 1, 2, 3, 0])}
    mask = {"attention_mask": ids([1] * 8)}
    eager = ("--attn", "eager")
    one, several = (box.run(LM, request, *eager, flag)["logits"] for flag in ("--no-packed", "--packed"))
    for what, more, flags, want in (("nothing is cached", {}, ("--no-use-cache",), several), ("the cache is asked for", {}, ("--use-cache",), one),
                                    ("the config has a cache", {}, ("--use-cache=true",), one), ("there is a mask", mask, (), one)):
        check(bytes(box.run(LM, {**request, **more}, *eager, *flags)["logits"][2]) == bytes(want[2]), f"other bits where {what}")
    c = config_of(LM)
    empty = {k: (t, [b, h, 0, d], []) for k, (t, (b, h, _, d), _) in past(c, 1, 1).items()}
    check(bytes(box.run(LM, {**request, **empty}, *eager)["logits"][2]) == bytes(one[2]), "a cache of no tokens is a cache")


@case
def law_positions_that_go_on_are_not_packed(box):
    request = {"input_ids": ids(TOKENS), "position_ids": ids(list(range(8)))}
    same(box.run(LM, request, "--packed", "--attn", "eager"), box.run(LM, request, "--attn", "eager"), "with --packed")


@case
def law_ragged_leaves_masked_tokens_out(box):
    request = {"input_ids": ids([7, 7] + TOKENS, TOKENS + [7, 7]), "attention_mask": ids([0, 0] + [1] * 8, [1] * 8 + [0, 0])}
    full, ragged = box.run(LM, request), box.run(LM, request, "--ragged")
    check(rows_of(ragged["logits"], 1)[:8] == rows_of(full["logits"], 1)[:8], "--ragged changes visible tokens")
    check(rows_of(ragged["logits"], 0)[2:] == rows_of(full["logits"], 0)[2:], "--ragged changes visible tokens")
    check(any(b"".join(rows_of(full["logits"], 1)[8:])) and not any(b"".join(rows_of(ragged["logits"], 1)[8:])), "masked tokens are computed")


@case
def law_ragged_classifies_the_last_visible_token(box):
    model = without_pad(box)
    alone = box.run(model, {"input_ids": ids([1, 2, 3])})["logits"][2]
    both = box.run(model, {"input_ids": ids([1, 2, 3, 0], [1, 2, 3, 4]), "attention_mask": ids([1, 1, 1, 0], [1] * 4)}, "--ragged")["logits"]
    check(bytes(both[2][:both[1][1]]) == bytes(alone), "the last visible token is not the one that is classified")


@case
def config_defaults_of_the_outputs(box):
    model = box.folder / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes((GOLDEN / LM / "model.safetensors").read_bytes())
    config = config_of(LM)
    request = {"input_ids": ids([1, 2])}

    def kinds(*flags, **fields):
        (model / "config.json").write_text(json.dumps({**config, **fields}))
        done = box.start(model, request, *flags)
        check(done.returncode == 0, done.stderr)
        return {name.split(".")[0] for name in read_tensors(box.folder / "out.safetensors")}

    del config["use_cache"]
    check(kinds() == {"logits", "past_key_values"}, "use_cache is true where the config says nothing, as in its class")
    check(kinds(use_cache=False) == {"logits"}, "use_cache = false is passed over")
    check(kinds("--use-cache", use_cache=False) == {"logits", "past_key_values"}, "--use-cache does not beat the config")
    for flag in ("--no-use-cache", "--use-cache=false"):
        check(kinds(flag) == {"logits"}, f"{flag} does not beat the config")
    for field, kind in (("output_attentions", "attentions"), ("output_hidden_states", "hidden_states")):
        flag = field.replace("_", "-")
        check(kinds("--no-use-cache", **{field: True}) == {"logits", kind}, f"{field} = true is passed over")
        for off in (f"--no-{flag}", f"--{flag}=false"):
            check(kinds("--no-use-cache", off, **{field: True}) == {"logits"}, f"{off} does not beat the config")
        check(kinds("--no-use-cache", f"--{flag}=true") == {"logits", kind}, f"--{flag}=true does nothing")


@case
def law_encoder_masks_of_all_ranks_say_the_same(box):
    tensors = read_tensors(GOLDEN / "lm_cross_mask3" / "request.safetensors")
    _, (B, S, E), flags = tensors["encoder_attention_mask"]
    added = [0.0 if f else -math.inf for f in flags]
    want = box.run("lm_cross_mask3", tensors)
    for shape, dtype, values in (([B, 1, S, E], "F32", added), ([B, 1, S, E], "BOOL", flags), ([B, S, E], "U8", flags)):
        same(box.run("lm_cross_mask3", {**tensors, "encoder_attention_mask": (dtype, shape, values)}), want, f"from {dtype} of rank {len(shape)}")


@case
def law_cross_keys_of_no_position_are_hidden_ones(box):
    c = config_of("lm_cross_past")
    tokens = {"input_ids": ids(TOKENS[:4])}
    none = {k.replace("key", "cross_key", 2).replace("past_cross_key", "past_key").replace(".value", ".cross_value"): (t, [b, h, 0, d], [])
            for k, (t, (b, h, _, d), _) in past(c, 1, 1).items()}
    hidden = {"encoder_hidden_states": floats(1, 3, c["n_embd"]), "encoder_attention_mask": ids([0, 0, 0])}
    same(box.run("lm_cross_past", {**tokens, **none}), box.run("lm_cross_past", {**tokens, **hidden}), "without any position")


def cross_entropy(logits, label):
    top = max(logits)
    return top + math.log(math.fsum(math.exp(x - top) for x in logits)) - logits[label]


@case
def law_losses_of_large_logits(box):
    """The loss is the float64 function of the logits that come with it, also where they are large and the loss is small beside them."""
    for name, scale in (("lm_labels", 1000.0), ("lm_labels", 30.0), ("token_labels", 1000.0), ("sequence_labels", 1000.0)):
        model = shutil.copytree(GOLDEN / name, box.folder / f"{name}_{scale}")
        tensors = read_tensors(model / "model.safetensors")
        for key in [k for k in tensors if "ln_f.weight" in k]:
            tensors[key] = ("F32", tensors[key][1], [scale * x for x in tensors[key][2]])
        write_tensors(model / "model.safetensors", tensors)
        request = read_tensors(model / "request.safetensors")
        _, shape, logits = box.run(model, request)["logits"]
        rows = [list(logits[i:i + shape[-1]]) for i in range(0, len(logits), shape[-1])]
        best = [row.index(max(row)) for row in rows]
        if name == "lm_labels":  # of the token before
            best = [best[i - 1] for i in range(len(best))]
        request["labels"] = ("I64", request["labels"][1], [b if i % 3 else given for i, (b, given) in enumerate(zip(best, request["labels"][2]))])
        got = box.run(model, request)["loss"][2][0]
        S = shape[1] if name == "lm_labels" else 0
        pairs = [(row, request["labels"][2][i + 1] if S and (i + 1) % S else -100 if S else request["labels"][2][i]) for i, row in enumerate(rows)]
        losses = [cross_entropy(row, label) for row, label in pairs if label != -100]
        want = math.fsum(losses) / len(losses)
        check(max(map(abs, logits)) > 0.2 * scale and abs(got - want) <= 2e-7 * want, f"{name} times {scale}: the loss is {got}, needs {want}")


def nearest_even(bits, low):
    """The bits of a float without the `low` lowest, rounded to nearest even."""
    half = 1 << (low - 1)
    return (bits + half - 1 + (bits >> low & 1)) >> low


@case
def out_dtype_rounds_to_nearest_even(box):
    request = {"input_ids": ids(TOKENS)}
    flags = ("--use-cache", "--output-hidden-states", "--output-attentions", "--dtype", "f32")
    whole = box.run(LM, request, *flags)
    bf16, f16 = (box.run(LM, request, *flags, "--out-dtype", t) for t in ("bf16", "f16"))
    same(whole, box.run(LM, request, *flags, "--out-dtype", "f32"), "with --out-dtype f32")
    for name, (_, shape, values) in whole.items():
        check(bf16[name][:2] == ("BF16", shape) and f16[name][:2] == ("F16", shape), f"{name} has type {bf16[name][0]}, {f16[name][0]}")
        bits = array.array("I", values.tobytes())
        check(list(array.array("H", bf16[name][2])) == [nearest_even(b, 16) for b in bits], f"{name} is not rounded to bf16")
        check(bytes(f16[name][2]) == struct.pack(f"<{len(values)}e", *values), f"{name} is not rounded to f16")


def past(c, rows, n):
    shape = (rows, c["n_head"], n, c["n_embd"] // c["n_head"])
    return {f"past_key_values.{i}.{kind}": floats(*shape) for i in range(c["n_layer"]) for kind in ("key", "value")}


def without_pad(box):
    model = box.folder / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes((GOLDEN / "sequence" / "model.safetensors").read_bytes())
    (model / "config.json").write_text(json.dumps({**config_of("sequence"), "pad_token_id": None}))
    return model


@case
def refused_sequence_rows_without_pad(box):
    refused(box, without_pad(box), {"input_ids": ids([1], [2])}, "2 rows for sequence classification", "pad_token_id")


@case
def refused_fused_attention_with_weights(box):
    done = box.start(LM, {"input_ids": ids([1])}, "--attn", "fused", "--output-attentions")
    check(done.returncode == 4, f"exit code {done.returncode}: {done.stderr}")
    check("attention weights" in done.stderr and "fused attention was asked for" in done.stderr, done.stderr)


@case
def refused_labels_of_several_summaries(box):
    model = box.folder / "model"
    model.mkdir()
    tensors = read_tensors(GOLDEN / "double" / "model.safetensors")
    config = {**config_of("double"), "summary_use_proj": False}
    write_tensors(model / "model.safetensors", {k: v for k, v in tensors.items() if "summary" not in k})
    (model / "config.json").write_text(json.dumps(config))
    refused(box, model, {"input_ids": ids([1, 2]), "mc_labels": numbers(1)}, "mc_labels are given", f"gives {config['n_embd']} numbers for a choice")


@case
def head_may_be_missing(box):
    model = box.folder / "model"
    model.mkdir()
    tensors = read_tensors(GOLDEN / "sequence" / "model.safetensors")
    del tensors["score.weight"]
    write_tensors(model / "model.safetensors", tensors)
    (model / "config.json").write_text(json.dumps(config_of("sequence")))
    done = box.start(model, {"input_ids": ids([1])})
    check(done.returncode == 4 and "score.weight" in done.stderr and "--allow-missing-head" in done.stderr, done.stderr)
    got = box.run(model, {"input_ids": ids([1])}, "--allow-missing-head")
    check(set(got) == {"last_hidden_state"}, f"outputs are {sorted(got)}")


def golden_names():
    return sorted(p.name for p in GOLDEN.iterdir() if (p / "case.json").exists())


def all_names():
    return [f"golden_{n}" for n in golden_names()] + list(cases) + [f"refused_{n}" for n in [*REFUSALS, *MORE_REFUSALS]]


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(all_names()))
        return
    tfrun, name = sys.argv[1:3]
    mpiexec = sys.argv[4] if len(sys.argv) > 4 else None
    with tempfile.TemporaryDirectory() as folder:
        box = Box(tfrun, mpiexec, folder)
        if name in cases:
            cases[name](box)
        elif name.startswith("golden_"):
            golden(box, name[7:])
        elif name[8:] in MORE_REFUSALS:
            model, flags, request, *words = MORE_REFUSALS[name[8:]]
            refused(box, model, request(config_of(model)), *words, flags=flags)
        else:
            request, *words = REFUSALS[name[8:]](config_of(LM))
            refused(box, LM, request, *words)


if __name__ == "__main__":
    main()

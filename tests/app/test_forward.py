#!/usr/bin/env python3
"""`tfrun forward` from outside: test_forward.py TFRUN NAME SOURCE [MPIEXEC], test_forward.py --list.

Golden cases (tests/model/forward, written by scripts/compare_forward.py from transformers in float64; NaN elements are not compared),
laws that need no reference (what must not change a bit), and every refused input with its sentence. Standard library only.
"""
import array
import json
import math
import pathlib
import subprocess
import sys
import tempfile

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "model" / "forward"
TOLERANCE = 3e-5  # as tests/model/test_golden.c: float32 against float64
CODES = {"F32": "f", "I64": "q", "I32": "i", "U8": "B", "BOOL": "B"}
cases = {}


def case(function):
    cases[function.__name__] = function
    return function


def read_tensors(path):
    """name -> (dtype, shape, values)"""
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    out = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            raw = data[8 + size + begin:8 + size + end]
            values = array.array(CODES[entry["dtype"]], raw) if entry["dtype"] in CODES else raw
            out[name] = (entry["dtype"], entry["shape"], values)
    return out


def write_tensors(path, tensors):
    header, body = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        raw = array.array(CODES[dtype], values).tobytes() if not isinstance(values, bytes) else values
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(len(text).to_bytes(8, "little") + text + body)


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
        command = [self.tfrun, "forward", str(GOLDEN / model), "--in", str(tensors), "--out", str(self.folder / "out.safetensors"), *flags]
        if ranks > 1:
            command = [self.mpiexec, "-n", str(ranks), *command]
        return subprocess.run(command, capture_output=True, text=True)

    def run(self, model, tensors, *flags, ranks=1):
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


@case
def law_left_padding_changes_no_bit(box):
    plain = rows_of(box.run(LM, {"input_ids": ids(TOKENS)})["logits"], 0)
    for n in range(8):
        request = {"input_ids": ids([7] * n + TOKENS, TOKENS + [7] * n), "attention_mask": ids([0] * n + [1] * 8, [1] * 8 + [0] * n)}
        logits = box.run(LM, request, "--auto-positions")["logits"]
        check(rows_of(logits, 0)[n:] == plain, f"{n} pads on the left change bits")
        check(rows_of(logits, 1)[:8] == plain, f"{n} pads on the right change bits")


@case
def law_split_at_every_position(box):
    whole = box.run(LM, {"input_ids": ids(TOKENS)}, "--use-cache")
    for at in range(1, 8):
        first = box.run(LM, {"input_ids": ids(TOKENS[:at])}, "--use-cache")
        rest = {name: t for name, t in first.items() if name.startswith("past_")}
        second = box.run(LM, {"input_ids": ids(TOKENS[at:]), **rest}, "--use-cache")
        check(rows_of(first["logits"], 0) + rows_of(second["logits"], 0) == rows_of(whole["logits"], 0), f"cut after {at} changes bits")
        same({k: v for k, v in second.items() if k != "logits"}, whole, f"in the cache after a cut at {at}")


@case
def law_company_and_steps(box):
    other = [8, 8, 1, 0, 2, 2, 3, 4]
    alone = rows_of(box.run(LM, {"input_ids": ids(TOKENS)})["logits"], 0)
    for order in ([TOKENS, other], [other, TOKENS], [other, other, TOKENS]):
        for size in (1, 3, 512):
            got = box.run(LM, {"input_ids": ids(*order)}, "--set", f"runtime.max_rows={size}", "--set", "runtime.max_batch=2")
            check(rows_of(got["logits"], order.index(TOKENS)) == alone, f"company of {len(order)} with steps of {size} changes bits")


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
    "labels_shape": lambda c: ({"input_ids": ids([1, 2]), "labels": ids([1])}, "labels has 1 elements, needs 2"),
    "labels_outside": lambda c: ({"input_ids": ids([1, 2]), "labels": ids([1, c["vocab_size"]])}, "labels:", "not -100"),
    "keep_outside": lambda c: ({"input_ids": ids([1, 2]), "logits_to_keep": ("I64", [1], [2])}, "logits_to_keep: element 0"),
    "labels_with_keep": lambda c: ({"input_ids": ids([1, 2]), "labels": ids([1, 1]), "logits_to_keep": ("I64", [1], [1])}, "leave logits_to_keep out"),
    "mc_labels_of_lm": lambda c: ({"input_ids": ids([1, 2]), "mc_labels": ("I64", [1], [0])}, "mc_labels is given, but the head"),
}


def past(c, rows, n):
    shape = (rows, c["n_head"], n, c["n_embd"] // c["n_head"])
    return {f"past_key_values.{i}.{kind}": floats(*shape) for i in range(c["n_layer"]) for kind in ("key", "value")}


@case
def refused_sequence_rows_without_pad(box):
    model = box.folder / "model"
    model.mkdir()
    source = GOLDEN / "sequence"
    (model / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes())
    config = config_of("sequence")
    config["pad_token_id"] = None
    (model / "config.json").write_text(json.dumps(config))
    refused(box, model, {"input_ids": ids([1], [2])}, "2 rows for sequence classification", "pad_token_id")


@case
def refused_fused_attention_with_weights(box):
    done = box.start(LM, {"input_ids": ids([1])}, "--attn", "fused", "--output-attentions")
    check(done.returncode == 4, f"exit code {done.returncode}: {done.stderr}")
    check("attention weights" in done.stderr and "fused attention was asked for" in done.stderr, done.stderr)


@case
def refused_positions_twice(box):
    refused(box, LM, {"input_ids": ids([1]), "position_ids": ids([0])}, "choose one", flags=("--auto-positions",))


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
    return [f"golden_{n}" for n in golden_names()] + list(cases) + [f"refused_{n}" for n in REFUSALS]


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
        else:
            request, *words = REFUSALS[name[8:]](config_of(LM))
            refused(box, LM, request, *words)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""test_errors.py TFRUN NAME SOURCE_DIR [BAD_ABI_PLUGIN]: one bad input, told in one line.

Each case builds its input in a temporary folder from a tiny golden checkpoint or the demo model, runs tfrun,
and expects: the exit code, nothing on stdout, one line on stderr that begins with "tfrun: " and holds the given
words (the thing and the fix); one line per fault where there are several. `test_errors.py --list` prints the
names. Python's own library only.
"""
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

from cases import SLOWER

RUNTIME, USAGE, CONFIG, MODEL, RESOURCE, CHECK = 1, 2, 3, 4, 5, 6
IDS = ["--prompt-ids", "1,2,3", "-n", "2"]
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


class Box:
    """A temporary folder that holds a copy of the smallest golden case, and ways to spoil it."""

    def __init__(self, folder, source_dir, plugin):
        self.folder, self.plugin = folder, plugin
        self.demo = source_dir / "configs" / "demo"
        self.model = folder / "model"
        shutil.copytree(source_dir / "tests" / "model" / "golden" / "one_head", self.model)
        self.weights = self.model / "model.safetensors"
        self.config = self.model / "config.json"

    def set_config(self, **fields):
        config = json.loads(self.config.read_text())
        config.update(fields)
        self.config.write_text(json.dumps(config, indent=1))

    def read_header(self):
        data = self.weights.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        return json.loads(data[8:8 + length]), data[8 + length:]

    def write(self, header, body):
        text = json.dumps(header).encode()
        self.weights.write_bytes(struct.pack("<Q", len(text)) + text + body)

    def change_tensor(self, name, **fields):
        header, body = self.read_header()
        header[name].update(fields)
        self.write(header, body)

    def copy_demo(self):
        target = self.folder / "demo"
        target.mkdir()
        for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
            if (self.demo / file).exists():
                shutil.copy(self.demo / file, target)
        return target


def wrong(arguments, code, *words, lines=1):
    return [str(a) for a in arguments], code, words, lines


# ---- the checkpoint


@case
def missing_config(box):
    return wrong([box.folder / "nowhere.json", *IDS], RESOURCE, "nowhere.json", "no such file", "model folder")


@case
def missing_weights(box):
    box.weights.unlink()
    return wrong([box.model, *IDS], RESOURCE, "no model.safetensors, pytorch_model.bin", "tfrun init")


@case
def weights_of_tensorflow_only(box):
    box.weights.rename(box.model / "tf_model.h5")
    return wrong([box.model, *IDS], MODEL, "only tf_model.h5", "save_pretrained")


@case
def empty_weights(box):
    box.weights.write_bytes(b"")
    return wrong([box.model, *IDS], MODEL, "model.safetensors", "0 bytes are too few")


@case
def weights_without_tensors(box):
    box.write({}, b"")
    return wrong([box.model, *IDS], MODEL, "transformer.wte.weight [61, 20] is missing", lines=16)


@case
def truncated_data(box):
    box.weights.write_bytes(box.weights.read_bytes()[:-100])
    return wrong([box.model, *IDS], MODEL, "model.safetensors", "truncated")


@case
def truncated_header(box):
    box.weights.write_bytes(box.weights.read_bytes()[:200])
    return wrong([box.model, *IDS], MODEL, "model.safetensors", "truncated")


@case
def header_too_long(box):
    box.weights.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    return wrong([box.model, *IDS], MODEL, "model.safetensors", "limit")


@case
def header_not_json(box):
    text = b'{"a": ]'
    box.weights.write_bytes(struct.pack("<Q", len(text)) + text)
    return wrong([box.model, *IDS], MODEL, "model.safetensors", ":1:7")


@case
def overlapping_tensors(box):
    header, body = box.read_header()
    names = sorted((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"][0])
    begin, end = header[names[1]]["data_offsets"]
    header[names[1]]["data_offsets"] = [begin - 4, end - 4]
    box.write(header, body)
    return wrong([box.model, *IDS], MODEL, names[1], "overlap")


@case
def hole_between_tensors(box):
    header, body = box.read_header()
    names = sorted((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"][0])
    at = header[names[1]]["data_offsets"][0]
    for name in names[1:]:
        header[name]["data_offsets"] = [offset + 4 for offset in header[name]["data_offsets"]]
    box.write(header, body[:at] + b"\0\0\0\0" + body[at:])
    return wrong([box.model, *IDS], MODEL, names[1], "belong to no tensor")


@case
def size_and_shape_differ(box):
    box.change_tensor("transformer.ln_f.weight", shape=[21])
    return wrong([box.model, *IDS], MODEL, "transformer.ln_f.weight", "bytes")


@case
def wrong_shape(box):
    box.change_tensor("transformer.h.0.attn.c_attn.weight", shape=[60, 20])
    return wrong([box.model, *IDS], MODEL, "transformer.h.0.attn.c_attn.weight", "[60, 20]", "[20, 60]")


@case
def wrong_dtype(box):
    box.change_tensor("transformer.ln_f.weight", dtype="I32")
    return wrong([box.model, *IDS], MODEL, "transformer.ln_f.weight", "I32", "F32, F16, BF16")


@case
def unknown_dtype(box):
    box.change_tensor("transformer.ln_f.weight", dtype="F7")
    return wrong([box.model, *IDS], MODEL, "transformer.ln_f.weight", "F7")


@case
def missing_tensor(box):
    header, body = box.read_header()
    header["transformer.ln_g.weight"] = header.pop("transformer.ln_f.weight")
    box.write(header, body)
    return wrong([box.model, *IDS], MODEL, "transformer.ln_g.weight is unknown",
                 "transformer.ln_f.weight [20] is missing", lines=2)


@case
def tensors_of_another_model(box):
    box.set_config(n_layer=2)
    return wrong([box.model, *IDS], MODEL, "transformer.h.1.ln_1.weight [20] is missing", lines=12)


@case
def n_positions_mismatch(box):
    box.set_config(n_positions=31)
    return wrong([box.model, *IDS], MODEL, "transformer.wpe.weight", "[32, 20]", "[31, 20]")


@case
def untied_without_head(box):
    box.set_config(tie_word_embeddings=False)
    return wrong([box.model, *IDS], MODEL, "lm_head.weight", "missing", "tie_word_embeddings")


@case
def nan_in_weights(box):
    header, body = box.read_header()
    at = header["transformer.ln_f.bias"]["data_offsets"][0]
    box.write(header, body[:at] + struct.pack("<f", float("nan")) + body[at + 4:])
    return wrong([box.model, *IDS, "--check-weights"], MODEL, "transformer.ln_f.bias", "NaN")


@case
def nan_in_logits(box):
    header, body = box.read_header()
    at = header["transformer.ln_f.bias"]["data_offsets"][0]
    box.write(header, body[:at] + struct.pack("<f", float("nan")) + body[at + 4:])
    return wrong([box.model, *IDS], CHECK, "NaN", "--check-weights")


def shard(box, name):
    header, body = box.read_header()
    index = {"weight_map": {n: name for n in header if n != "__metadata__"}}
    box.weights.rename(box.model / "part-1.safetensors")
    (box.model / "model.safetensors.index.json").write_text(json.dumps(index))


@case
def missing_shard(box):
    shard(box, "part-2.safetensors")
    return wrong([box.model, *IDS], RESOURCE, "part-2.safetensors", "is not there")


@case
def shard_outside_the_folder(box):
    shard(box, "../part-1.safetensors")
    return wrong([box.model, *IDS], MODEL, "../part-1.safetensors", "plain file name")


# ---- the config


@case
def bad_json(box):
    box.config.write_text('{\n  "model_type": "gpt2",\n  "n_layer": 2,,\n}\n')
    return wrong([box.config, *IDS], CONFIG, "config.json:3:16")


@case
def duplicate_key(box):
    box.config.write_text('{\n  "model_type": "gpt2",\n  "n_layer": 2,\n  "n_layer": 3\n}\n')
    return wrong([box.config, *IDS], CONFIG, "config.json:4:3", "n_layer", "duplicate", "3:3")


@case
def unknown_activation(box):
    box.set_config(activation_function="gelu_neu")
    return wrong([box.model, *IDS], CONFIG, "config.json:", "gelu_neu", '"gelu_new"')


@case
def bad_words_outside_the_vocabulary(box):
    return wrong([box.model, *IDS, "--bad-words", "[[1], [99]]"], USAGE, "sampling.bad_words_ids", "token 99")


@case
def many_greedy_sequences(box):
    return wrong([box.model, *IDS, "--num-return-sequences", "2"], USAGE, "num_return_sequences = 2", "num_beams")


@case
def generation_setting_that_is_not_built(box):
    (box.model / "generation_config.json").write_text('{"penalty_alpha": 0.5}')
    return wrong([box.model, *IDS], MODEL, "generation_config.json:1:", "penalty_alpha")


@case
def text_of_a_model_that_is_not_causal(box):
    box.set_config(is_causal=False)
    return wrong([box.model, *IDS], MODEL, "is_causal = false", "tfrun forward")


@case
def existing_output_of_forward(box):
    reply = box.folder / "reply.safetensors"
    reply.write_text("mine")
    return wrong(["forward", box.model, "--in", box.folder / "none", "--out", reply], USAGE, "reply.safetensors", "--force")


@case
def sampling_filter_without_sampling(box):
    return wrong([box.model, *IDS, "--top-p", "0.9"], USAGE, "--top-p does nothing without sampling", "--temperature 1")


@case
def empty_stop_text(box):
    return wrong([box.model, *IDS, "--stop", ""], USAGE, "--stop", "empty item")


@case
def infinite_scores(box):
    return wrong([box.model, *IDS, "--temperature", "1e-45"], CHECK, "infinity", "raise sampling.temperature")


@case
def beams_that_cannot_differ(box):
    return wrong([box.model, "--prompt-ids", "1", "-n", "1", "--num-beams", "2", "--num-return-sequences", "2", "--forced-eos",
                  "0"], CONFIG, "beams found 1 of 2 sequences", "num_return_sequences")


@case
def bans_of_every_token(box):
    return wrong([box.model, *IDS, "--set", f"sampling.suppress_tokens={list(range(61))}"], CONFIG, "no token is left for",
                 "none gets past sampling.suppress_tokens")


@case
def stdout_as_an_output_file(box):
    return wrong([box.model, *IDS, "-o", "-"], USAGE, "- is no file to write", "stdout")


@case
def reply_over_its_request(box):
    request = box.folder / "request.safetensors"
    shutil.copy(box.weights, request)
    return wrong(["forward", box.model, "--in", request, "--out", request, "--force"], USAGE, "both the request", "another file")


@case
def two_texts_to_score(box):
    return wrong(["score", box.demo, "-p", "a", "-p", "b"], USAGE, "--prompt is given 2 times")


@case
def misspelt_command(box):
    return wrong(["genrate", box.demo], USAGE, "did you mean generate?")


@case
def nothing_to_classify(box):
    (box.folder / "empty").write_text("")
    return wrong(["classify", box.demo.parents[1] / "tests" / "model" / "text" / "single", "-f", box.folder / "empty",
                  "--trust", box.demo.parents[1]], USAGE,
                 "no text to classify")


@case
def text_options_beside_pairs(box):
    return wrong(["score", box.demo, "--pairs", "pairs.jsonl", "--ctx", "4"], USAGE, "--ctx", "--pairs")


@case
def decode_and_count(box):
    return wrong(["tokenize", box.demo, "-p", "1", "--decode", "--count"], USAGE, "--decode", "--count")


@case
def count_and_pieces(box):
    return wrong(["tokenize", box.demo, "-p", "1", "--count", "--pieces"], USAGE, "--count", "--pieces")


@case
def two_texts_to_tokenize(box):
    return wrong(["tokenize", box.demo, "-p", "1", "-f", "x"], USAGE, "--prompt and --file")


@case
def prompt_as_long_as_max_length(box):
    return wrong([box.model, *IDS[:2], "--max-length", "1"], USAGE, "sampling.max_length is 1", "--max-tokens")


@case
def heads_do_not_divide(box):
    box.set_config(n_head=3)
    return wrong([box.model, *IDS], CONFIG, "config.json:", "n_embd = 20", "n_head = 3")


@case
def summary_by_attention(box):
    box.set_config(architectures=["GPT2DoubleHeadsModel"], summary_type="attn")
    return wrong([box.model, *IDS], MODEL, "config.json:", 'summary_type = "attn" is not supported', "cls_index")


@case
def other_model_type(box):
    box.set_config(model_type="bert")
    return wrong([box.model, *IDS], MODEL, "bert", "gpt2")


@case
def cross_attention(box):
    box.set_config(add_cross_attention=True)
    return wrong([box.model, *IDS], MODEL, "crossattention.c_attn.weight", "is missing", lines=8)


@case
def unknown_option_key(box):
    box.set_config(tfrun={"runtime": {"thread": 2}})
    return wrong([box.model, *IDS], CONFIG, "config.json:", "tfrun.runtime.thread", '"threads"')


@case
def option_out_of_range(box):
    box.set_config(tfrun={"sampling": {"top_p": 1.4}})
    return wrong([box.model, *IDS], CONFIG, "config.json:", "tfrun.sampling.top_p = 1.4", "0..1")


@case
def option_of_wrong_type(box):
    box.set_config(tfrun={"sampling": {"max_tokens": "many"}})
    return wrong([box.model, *IDS], CONFIG, "config.json:", "tfrun.sampling.max_tokens")


@case
def unknown_choice(box):
    return wrong([box.model, *IDS, "--dtype", "f64"], USAGE, "--dtype", "f64", "f32", "bf16")


@case
def override_out_of_range(box):
    return wrong([box.model, *IDS, "--top-p", "2"], USAGE, "--top-p", "2", "0..1")


@case
def override_not_a_number(box):
    return wrong([box.model, "--prompt-ids", "1", "-n", "many"], USAGE, "-n", "many")


@case
def set_unknown_key(box):
    return wrong([box.model, *IDS, "--set", "runtime.thread=2"], USAGE, "runtime.thread", "runtime.threads")


@case
def device_map_misses_a_block(box):
    box.set_config(n_layer=2, tfrun={"parallel": {"device_map": {"0": [0]}}})
    return wrong([box.model, *IDS], CONFIG, "config.json:", "device_map", "1")


@case
def device_map_names_a_block_twice(box):
    box.set_config(tfrun={"parallel": {"device_map": {"0": [0], "1": [0]}}})
    return wrong([box.model, *IDS], CONFIG, "config.json:", "device_map", "0")


@case
def device_map_without_ranks(box):
    box.set_config(tfrun={"parallel": {"device_map": {"1": [0]}}})
    return wrong([box.model, *IDS], CONFIG, "device_map", "there is 1 rank;", "mpirun -n 2")


def wide(box):
    path = box.folder / "wide.json"
    path.write_text(json.dumps({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 2, "n_head": 16, "n_embd": 16384,
                                "vocab_size": 20000}))
    return path


@case
def rows_of_a_message_above_2_gib(box):
    return wrong(["plan", wide(box), "--ranks", "2", "--max-rows", "32768"], CONFIG, "of 16384 columns at most 32767 rows", "--max-rows 32767 or less")


@case
def logits_of_a_message_above_2_gib(box):
    return wrong(["plan", wide(box), "--ranks", "2", "--max-rows", "32767", "--head", "last"], CONFIG, "of 20000 columns at most 26843 rows",
                 "--head first")


@case
def device_map_of_more_devices_than_stages(box):
    box.set_config(tfrun={"parallel": {"device_map": {"2": [0]}}})
    return wrong(["plan", box.model, "--ranks", "4", "--replicas", "2"], CONFIG, "to device 2", "there are 4 ranks in 2 stages (--tensor, --replicas)",
                 "mpirun -n 6")


# ---- input and output


@case
def token_id_out_of_range(box):
    return wrong([box.model, "--prompt-ids", "1,61", "-n", "2"], USAGE, "61", "0..60")


@case
def token_id_not_a_number(box):
    return wrong([box.model, "--prompt-ids", "1,x"], USAGE, "--prompt-ids", "x")


@case
def prompt_too_long(box):
    ids = ",".join(["1"] * 33)
    return wrong([box.model, "--prompt-ids", ids, "-n", "2"], USAGE, "33", "32", "--truncate")


@case
def text_prompt_too_long(box):
    return wrong([box.demo, "-p", "a b c " * 400, "-n", "2"], USAGE, "512", "--truncate")


@case
def prompt_file_missing(box):
    return wrong([box.demo, "-f", box.folder / "none.txt"], RESOURCE, "none.txt", "No such file")


@case
def no_tokenizer(box):
    return wrong([box.model, "-p", "hello"], RESOURCE, "tokenizer.json", "vocab.json", "merges.txt")


@case
def broken_tokenizer(box):
    demo = box.copy_demo()
    text = (demo / "tokenizer.json").read_text()
    (demo / "tokenizer.json").write_text(text[:1000])
    return wrong(["tokenize", demo, "-p", "hello"], MODEL, "tokenizer.json:")


@case
def merge_of_unknown_token(box):
    demo = box.copy_demo()
    (demo / "tokenizer.json").unlink()
    lines = (demo / "merges.txt").read_text().splitlines()
    lines.insert(5, "zzq qqz")
    (demo / "merges.txt").write_text("\n".join(lines) + "\n")
    return wrong(["tokenize", demo, "-p", "hello"], MODEL, "merges.txt:6", "zzq", "not in the vocabulary")


@case
def unwritable_output(box):
    out = box.folder / "none" / "out.txt"
    return wrong([box.model, *IDS, "-o", out], RESOURCE, "none/out.txt", "not writable")


@case
def output_is_a_folder(box):
    return wrong([box.model, *IDS, "-o", box.folder], RESOURCE, "is a folder")


@case
def output_exists(box):
    (box.folder / "out.txt").write_text("precious")
    return wrong([box.model, *IDS, "-o", box.folder / "out.txt"], USAGE, "out.txt", "--force")


@case
def init_over_a_model(box):
    return wrong(["init", box.config, "-o", box.model], USAGE, "already holds a model", "--force")


@case
def init_without_folder(box):
    return wrong(["init", box.config], USAGE, "-o DIR")


@case
def decode_of_text(box):
    return wrong(["tokenize", box.demo, "--decode", "-p", "1 two"], USAGE, "two", "ids")


# ---- plugins


@case
def plugin_of_wrong_abi(box):
    if not box.plugin:
        raise SystemExit("this case needs the path of the bad_abi plugin")
    return wrong([box.model, *IDS, "--plugin", box.plugin], RESOURCE, pathlib.Path(box.plugin).name, "ABI")


@case
def missing_plugin(box):
    return wrong([box.model, *IDS, "--plugin", box.folder / "none.so"], RESOURCE, "none.so")


@case
def plugin_is_no_library(box):
    (box.folder / "text.so").write_text("not a library")
    return wrong([box.model, *IDS, "--plugin", box.folder / "text.so"], RESOURCE, "text.so")


@case
def the_last_kernels_banned(box):
    return wrong([box.model, *IDS, "--kernels", "-ref"], USAGE, "ref cannot be banned", "fallback")


@case
def one_of_the_last_kernels_banned(box):
    return wrong([box.model, *IDS, "--kernels", "gemv,-linear.f32.ref"], USAGE, "-linear.f32.ref", "ref cannot be banned", "fallback")


# ---- the command line


@case
def unknown_flag(box):
    return wrong([box.model, "--treads", "2"], USAGE, "--treads", "--threads")


@case
def flag_without_value(box):
    return wrong([box.model, "--threads"], USAGE, "--threads", "needs a value")


@case
def option_for_a_number(box):
    return wrong(["quantize", box.model, "--to", "int8", "--smooth", "-o", "out"], USAGE, '--smooth: "-o" is not a number but an option')


@case
def option_for_the_number_of_an_option(box):
    return wrong([box.model, "-n", "--prompt=x"], USAGE, '-n: "--prompt=x" is not a number but an option', "give -n its number")


@case
def negative_number(box):
    return wrong([box.model, *IDS, "--threads", "-1"], USAGE, '--threads', "-1 is")


@case
def missing_operand(box):
    return wrong(["generate"], USAGE, "a config", "--help")


@case
def too_many_operands(box):
    return wrong([box.model, "once", "upon"], USAGE, "once", "quote")


@case
def new_tokens_beyond_the_capacity(box):
    return wrong([box.model, "--prompt-ids", "1,2,3", "-n", "6", "--kv-capacity", "8"], USAGE, "3 before and 6 new ones",
                 "9 positions", "holds 8 (tfrun.runtime.kv_capacity)", "ask for fewer new tokens, or raise --kv-capacity")


@case
def static_beyond_the_capacity(box):
    return wrong([box.model, "--prompt-ids", "1,2,3", "-n", "6", "--kv-capacity", "8", "--kv-cache", "static"], USAGE, "9 positions")


@case
def prompt_beyond_the_capacity(box):
    return wrong([box.model, "--prompt-ids", "1,2,3,4", "-n", "1", "--kv-capacity", "4"], USAGE, "prompt has 4 tokens",
                 "context is 4 (tfrun.runtime.kv_capacity)", "--truncate")


@case
def capacity_beyond_the_positions(box):
    n = json.loads(box.config.read_text())["n_positions"]
    return wrong([box.model, *IDS, "--kv-capacity", str(n + 1)], USAGE, f"kv_capacity = {n + 1}", f"n_positions = {n}", "at most that")


@case
def unknown_cache_type(box):
    return wrong([box.model, *IDS, "--kv-dtype", "f64"], USAGE, "--kv-dtype", "f64", "auto|f32|bf16|f16|int8")


@case
def window_beyond_the_capacity(box):
    return wrong(["eval", box.demo, "--data", box.demo / "heldout.txt", "--kv-capacity", "64", "--ctx", "65"], USAGE,
                 "eval.ctx = 65", "tfrun.runtime.kv_capacity = 64")


@case
def plan_with_bad_rows(box):
    return wrong(["plan", box.config, "--rows", "0"], USAGE, "--rows", "0")


def check(arguments, code, words, n_lines, tfrun):
    ran = subprocess.run([tfrun, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=120 * SLOWER)
    error = ran.stderr.decode(errors="replace")
    lines = error.splitlines()
    faults = [f"lacks \"{word}\"" for word in words if word not in error]
    if ran.returncode != code:
        faults.append(f"exit code {ran.returncode}, expected {code}")
    if ran.stdout:
        faults.append(f"stdout is not empty: {ran.stdout[:200]!r}")
    if len(lines) != n_lines or not all(line.startswith("tfrun: ") for line in lines):
        faults.append(f"not {n_lines} line(s) that begin with tfrun:")
    print(error, end="")
    return faults


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return 0
    tfrun, name, source_dir = sys.argv[1:4]
    plugin = sys.argv[4] if len(sys.argv) > 4 else None
    with tempfile.TemporaryDirectory() as folder:
        box = Box(pathlib.Path(folder), pathlib.Path(source_dir), plugin)
        faults = check(*CASES[name](box), tfrun)
    for fault in faults:
        print(f"{name}: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

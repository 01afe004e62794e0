#!/usr/bin/env python3
"""Checkpoints as people have them: test_checkpoint.py TFRUN NAME SOURCE [MPIEXEC], test_checkpoint.py --list.

Extra tensors and the flag that lets them pass, prefixes of wrappers, indexes that say too much, matrices stored twice, ranks that opened
different weights. The right answer is that of the checkpoint without its oddity. Standard library only.
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

TWIN = pathlib.Path(__file__).resolve().parent.parent / "model" / "golden" / "bin"
BY_RANK = pathlib.Path(__file__).resolve().parents[1] / "mpi" / "by_rank.sh"
PROMPT = ["--prompt-ids", "1,2,3,20", "-n", "6", "--ignore-eos", "--json", "-q"]


class Box:
    def __init__(self, tfrun, source, folder):
        self.tfrun, self.folder = tfrun, folder / "model"
        self.mpiexec = sys.argv[4] if len(sys.argv) > 4 else None
        shutil.copytree(TWIN / "f32", self.folder)
        self.file = self.folder / "model.safetensors"
        self.tensors = read_tensors(self.file)

    def start(self, *words):
        return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=250 * SLOWER)

    def write(self, **more):
        write_tensors(self.file, {**self.tensors, **{name.replace("__", "."): t for name, t in more.items()}})

    def digest(self, *words, folder=None):
        done = self.start(self.tfrun, folder or self.folder, *PROMPT, *words)
        expect(done.returncode == 0, done.stderr)
        return json.loads(done.stdout)["logits_digest"]

    def same_as_before(self, *words):
        expect_same(self.digest(*words), self.digest(folder=TWIN / "f32"))

    def refused(self, code, *words, flags=(), lines=1):
        done = self.start(self.tfrun, self.folder, *PROMPT, *flags)
        expect(done.returncode == code, f"exit code {done.returncode}, needs {code}: {done.stderr}")
        expect(done.stdout == "" and done.stderr.count("\n") == lines, f"not {lines} lines: {done.stderr}")
        for word in words:
            expect(word in done.stderr, f'"{done.stderr.strip()}" lacks "{word}"')

    def found(self, name, *words):
        done = self.start(self.tfrun, "check", self.folder, "--json", *words)
        report = json.loads(done.stdout)
        return next((f for f in report["tensors"] + report["other"] if f["name"] == name), None)

    def configure(self, **fields):
        path = self.folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


SMALL = ("F32", [2, 8], [0.5] * 16)


@case
def a_head_of_another_class_is_told_with_the_flag(box):
    box.write(score__weight=SMALL)
    box.refused(4, "score.weight is unknown", "GPT2ForSequenceClassification", "--ignore-tensors 'score.*'")
    box.same_as_before("--ignore-tensors", "score.*")
    expect_same(box.found("score.weight", "--ignore-tensors", "score.*")["status"], "no effect")
    expect_same(box.found("score.weight")["status"], "refused")


@case
def a_value_head_passes_with_the_flag(box):
    box.write(v_head__summary__weight=("F32", [1, 8], [0.5] * 8), v_head__summary__bias=("F32", [1], [0.5]))
    box.refused(4, "v_head.summary.weight is unknown", "--ignore-tensors 'v_head.*'", lines=2)
    box.same_as_before("--ignore-tensors", "v_head.*")
    box.same_as_before("--ignore-tensors", "v_head.summary.weight", "--ignore-tensors", "*.bias")


@case
def the_config_may_name_what_to_ignore(box):
    box.write(classifier__weight=SMALL)
    box.configure(tfrun={"model": {"ignore_tensors": ["classifier.*"]}})
    box.same_as_before()


@case
def blocks_beyond_the_last_pass_with_the_flag(box):
    box.write(**{"transformer.h.1.ln_1.weight": ("F32", [8], [1.0] * 8)})
    box.refused(4, "is of block 1, but the config says n_layer = 1")
    box.same_as_before("--ignore-tensors", "transformer.h.1.*")


@case
def a_parameter_is_never_ignored(box):
    box.same_as_before("--ignore-tensors", "*")
    del box.tensors["transformer.ln_f.bias"]
    box.write()
    box.refused(4, "transformer.ln_f.bias [8] is missing", flags=["--ignore-tensors", "*"])


@case
def a_pattern_without_a_tensor_is_told(box):
    done = box.start(box.tfrun, box.folder, *PROMPT[:-1], "--ignore-tensors", "scroe.*")
    expect(done.returncode == 0 and "scroe.* matches no tensor that could be ignored" in done.stderr, done.stderr)


@case
def rotary_buffers_are_skipped(box):
    box.write(**{"transformer.h.0.attn.rotary_emb.inv_freq": ("F32", [2], [1.0, 0.5])})
    box.same_as_before()
    expect_same(box.found("transformer.h.0.attn.rotary_emb.inv_freq")["status"], "no effect")


@case
def prefixes_of_wrappers_get_one_line(box):
    for front, word in (("module.", "torch.nn.DataParallel"), ("_orig_mod.", "torch.compile"), ("base_model.model.", "PEFT"),
                        ("_orig_mod.module.", "a wrapper")):
        write_tensors(box.file, {front + name: t for name, t in box.tensors.items()})
        box.refused(4, f'the names of all 16 tensors begin with "{front}"', word, f"--tensor-prefix {front}")
        box.same_as_before("--tensor-prefix", front)
        expect(f'begin with "{front}"' in box.found("checkpoint")["reason"] or box.found("checkpoint")["status"] == "honoured", front)


@case
def prefixes_before_bare_names(box):
    write_tensors(box.file, {"module." + name.removeprefix("transformer."): t for name, t in box.tensors.items()})
    box.refused(4, '"module."')
    box.same_as_before("--tensor-prefix", "module.")


@case
def a_prefix_must_stand_before_all(box):
    box.refused(4, "does not begin with \"module.\"", flags=["--tensor-prefix", "module."])


@case
def an_adapter_that_was_never_merged_is_told(box):
    tensors = {"base_model.model." + name: t for name, t in box.tensors.items()}
    tensors["base_model.model.transformer.h.0.attn.c_attn.lora_A.default.weight"] = SMALL
    tensors["base_model.model.transformer.h.0.attn.c_attn.lora_B.default.weight"] = ("F32", [24, 2], [0.5] * 48)
    write_tensors(box.file, tensors)
    box.refused(4, "an adapter that was never merged (2 tensors like", "merge_and_unload()")


def shard(box, change=lambda weight_map: weight_map):
    box.file.rename(box.folder / "one.safetensors")
    weight_map = change({name: "one.safetensors" for name in box.tensors})
    (box.folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@case
def an_index_may_name_what_no_shard_has(box):
    shard(box, lambda weight_map: {**weight_map, "lm_head.weight": "one.safetensors", "transformer.h.0.attn.bias": "one.safetensors"})
    box.same_as_before()
    expect_same(box.found("transformer.h.0.attn.bias")["kind"], "index")


@case
def an_index_does_not_replace_a_tensor(box):
    del box.tensors["transformer.ln_f.bias"]
    box.write()
    shard(box, lambda weight_map: {**weight_map, "transformer.ln_f.bias": "one.safetensors"})
    box.refused(4, "transformer.ln_f.bias [8] is missing")


@case
def an_index_may_name_few(box):
    """transformers loads every shard whole."""
    shard(box, lambda weight_map: dict(list(weight_map.items())[:3]))
    box.same_as_before()


@case
def a_tied_head_of_another_type(box):
    """The same numbers in two types are one matrix; others are not, and releases of transformers choose differently."""
    _, shape, values = box.tensors["transformer.wte.weight"]
    rounded = array.array("f", [struct.unpack("e", struct.pack("e", v))[0] for v in values])
    half = b"".join(struct.pack("e", v) for v in values)
    box.write(lm_head__weight=("F16", shape, half))
    box.refused(4, "lm_head.weight (F16) differs from transformer.wte.weight (F32)", "--ignore-tensors lm_head.weight")
    box.same_as_before("--ignore-tensors", "lm_head.weight")
    box.tensors["transformer.wte.weight"] = ("F32", shape, rounded)
    box.write()
    want = box.digest()
    box.write(lm_head__weight=("F16", shape, half))
    expect_same(box.digest(), want)


@case
def metadata_may_be_null(box):
    data = box.file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.dumps({"__metadata__": None, **{k: v for k, v in json.loads(data[8:8 + size]).items() if k != "__metadata__"}}).encode()
    box.file.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size:])
    box.same_as_before()


@case
def a_pointer_of_git_lfs_is_told(box):
    box.file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 19592\n")
    box.refused(4, "git-lfs pointer", "git lfs pull")


def two_ranks(box, first, second):
    if box.mpiexec is None:
        sys.exit(77)
    return box.start(box.mpiexec, "-n", "2", BY_RANK, box.tfrun, first, *PROMPT, "OTHERS", box.tfrun, second, *PROMPT)


@case
def ranks_with_other_weights_are_told(box):
    """One bit of one number in the middle of the largest tensor."""
    other = box.folder.parent / "other"
    shutil.copytree(box.folder, other)
    data = bytearray((other / "model.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    (other / "model.safetensors").write_bytes(data)
    done = two_ranks(box, box.folder, other)
    expect(done.returncode == 2 and done.stdout == "", done.returncode, done.stderr)
    expect("rank 1 opened other weights (" in done.stderr and "other/model.safetensors) than rank 0 (" in done.stderr, done.stderr)


@case
def ranks_with_equal_copies_run(box):
    """A copy, and the same tensors in other forms of files."""
    want = box.digest()
    for other in (TWIN / "f32", TWIN / "cases" / "stream_f32"):
        done = two_ranks(box, box.folder, other)
        expect(done.returncode == 0, done.stderr)
        expect_same(json.loads(done.stdout)["logits_digest"], want)


@case
def ranks_with_another_adapter_are_told(box):
    if box.mpiexec is None:
        sys.exit(77)
    lora = TWIN.parent / "lora"
    words = [lora / "models" / "f32", *PROMPT, "--adapter"]
    done = box.start(box.mpiexec, "-n", "2", BY_RANK, box.tfrun, *words, lora / "all", "OTHERS", box.tfrun, *words, lora / "rslora")
    expect(done.returncode == 2 and "rank 1 opened other weights" in done.stderr, done.stderr)


if __name__ == "__main__":
    sys.exit(main(Box))

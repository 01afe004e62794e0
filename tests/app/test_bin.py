#!/usr/bin/env python3
"""pytorch_model.bin from outside: test_bin.py TFRUN NAME SOURCE, test_bin.py --list.

Golden cases (tests/model/golden/bin, written by scripts/make_bin_golden.py with torch): a folder in any form of torch.save gives the
digest of its safetensors twin. Beside them every refused file with its sentence. Standard library only.
"""
import json
import pathlib
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile

from cases import CASES, SLOWER, case, expect, expect_same, main

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "model" / "golden" / "bin"
TWINS = json.loads((GOLDEN / "cases.json").read_text())
PROMPT = ["--prompt-ids", "1,2,3,20", "-n", "6", "--ignore-eos", "--json", "-q"]


class Box:
    def __init__(self, tfrun, source, folder):
        self.tfrun, self.folder = tfrun, folder / "model"
        self.folder.mkdir()
        shutil.copy(GOLDEN / "f32" / "config.json", self.folder)
        self.file = self.folder / "pytorch_model.bin"

    def start(self, *words):
        return subprocess.run([self.tfrun, *map(str, words)], capture_output=True, text=True, timeout=250 * SLOWER)

    def answer(self, folder, *words):
        done = self.start(folder, *PROMPT, *words)
        expect(done.returncode == 0, done.stderr)
        reply = json.loads(done.stdout)
        return reply["logits_digest"], reply["choices"][0]["ids"]

    def refused(self, code, *words):
        done = self.start(self.folder, *PROMPT)
        expect(done.returncode == code, f"exit code {done.returncode}, needs {code}: {done.stderr}")
        expect(done.stdout == "" and done.stderr.count("\n") == 1, f"not one line: {done.stderr}")
        for word in words:
            expect(word in done.stderr, f'"{done.stderr.strip()}" lacks "{word}"')

    def archive(self, source="zip_f32", method=zipfile.ZIP_STORED, **changed):
        """A copy of a golden archive; changed: entry behind the prefix to a function of its bytes, which may give None: left out."""
        with zipfile.ZipFile(GOLDEN / "cases" / source / "pytorch_model.bin") as old, zipfile.ZipFile(self.file, "w", method) as new:
            for entry in old.infolist():
                data = old.read(entry)
                change = changed.get(entry.filename.split("/", 1)[1])
                data = change(data) if change else data
                if data is not None:
                    new.writestr(entry.filename, data)

    def pickled(self, change):
        self.archive(**{"data.pkl": change})


def same_as_twin(name):
    def run(box):
        expect_same(box.answer(GOLDEN / "cases" / name), box.answer(GOLDEN / TWINS[name]))
    return run


for name in TWINS:
    CASES[f"golden_{name}"] = same_as_twin(name)


@case
def safetensors_go_first(box):
    shutil.copy(GOLDEN / "f16" / "model.safetensors", box.folder)
    box.file.write_text("not read")
    expect_same(box.answer(box.folder), box.answer(GOLDEN / "f16"))
    found = {f["name"]: f for f in json.loads(box.start("check", box.folder, "--json").stdout)["other"]}
    expect(found["checkpoint"]["reason"].endswith("/model.safetensors"), found)
    expect_same(found["pytorch_model.bin"]["status"], "no effect")


@case
def a_file_that_cannot_be_looked_at_is_told_as_such(box):
    """A link to itself: the system can't say whether there is a file of weights; the answer does not depend on it."""
    shutil.copy(GOLDEN / "f16" / "model.safetensors", box.folder)
    box.file.unlink(missing_ok=True)
    box.file.symlink_to(box.file.name)
    expect_same(box.answer(box.folder), box.answer(GOLDEN / "f16"))
    found = {f["name"]: f for f in json.loads(box.start("check", box.folder, "--json").stdout)["other"]}
    expect_same([found["pytorch_model.bin"][key] for key in ("status", "reason")],
                ["no effect", "can't be looked at: Too many levels of symbolic links; other weights go first"])


@case
def check_names_the_file_that_was_read(box):
    found = json.loads(box.start("check", GOLDEN / "cases" / "shards", "--json").stdout)
    expect(any(f["name"] == "checkpoint" and f["reason"].endswith("/pytorch_model.bin.index.json") for f in found["other"]), found)
    expect_same(sum(t["kind"] == "parameter" for t in found["tensors"]), 16)


@case
def weights_name_any_file(box):
    bin = GOLDEN / "cases" / "stream_tied" / "pytorch_model.bin"
    expect_same(box.answer(GOLDEN / "f16", "--weights", bin), box.answer(GOLDEN / "f32"))


@case
def check_weights_reads_views(box):
    expect_same(box.answer(GOLDEN / "cases" / "zip_transposed", "--check-weights"), box.answer(GOLDEN / "f32"))


@case
def refused_name_is_told(box):
    box.pickled(lambda data: data.replace(b"ccollections\nOrderedDict", b"cposix\nsystem"))
    box.refused(4, "pytorch_model.bin: the pickle asks for posix.system", "save_pretrained")


@case
def refused_name_on_the_stack_is_told(box):
    box.archive("zip_protocol_4", **{"data.pkl": lambda data: data.replace(b"\x8c\x0bcollections", b"\x8c\x0bcollektions")})
    box.refused(4, "the pickle asks for collektions.OrderedDict")


@case
def refused_name_does_not_reach_the_terminal_raw(box):
    box.pickled(lambda data: data.replace(b"ccollections\nOrderedDict", b"c\x1b[31mos\nsystem\x07"))
    box.refused(4, "asks for ?[31mos.system?")


@case
def refused_opcode_is_told(box):
    box.pickled(lambda data: data.replace(b")R", b")\x81", 1))
    box.refused(4, "the pickle uses NEWOBJ at byte ")


@case
def refused_call_is_told(box):
    box.pickled(lambda data: data.replace(b"ctorch\nFloatStorage", b"ctorch._utils\n_rebuild_parameter"))
    box.refused(4, "a storage is not described by type, key, device and size")


@case
def refused_storage_type_is_told(box):
    box.pickled(lambda data: data.replace(b"FloatStorage", b"ComplexFloatStorage"))
    box.refused(4, "the pickle asks for torch.ComplexFloatStorage")


@case
def refused_missing_storage(box):
    box.archive(**{"data/3": lambda data: None})
    box.refused(4, "storage 3 is not in the archive")


@case
def refused_short_storage(box):
    box.archive(**{"data/3": lambda data: data[:-4]})
    box.refused(4, "storage 3 has ")


@case
def refused_byte_order(box):
    box.archive(byteorder=lambda data: b"big")
    box.refused(4, "another byte order")


@case
def old_archives_say_no_byte_order(box):
    box.archive(byteorder=lambda data: None)
    expect_same(box.answer(box.folder), box.answer(GOLDEN / "f32"))


@case
def refused_compressed_archive(box):
    box.archive(method=zipfile.ZIP_DEFLATED)
    box.refused(4, "is compressed or encrypted")


@case
def refused_program(box):
    box.archive(**{".data/serialization_id": lambda data: data})
    with zipfile.ZipFile(box.file, "a") as archive:
        archive.writestr("pytorch_model/constants.pkl", b"x")
    box.refused(4, "this is a TorchScript program")


@case
def refused_archive_of_others(box):
    with zipfile.ZipFile(box.file, "w") as archive:
        archive.writestr("word/document.xml", b"<x/>")
    box.refused(4, "without word/data.pkl")


@case
def refused_truncated_archive(box):
    box.file.write_bytes((GOLDEN / "cases" / "zip_f32" / "pytorch_model.bin").read_bytes()[:-100])
    box.refused(4, "a damaged zip archive")


def stream(*objects):
    """The old layout, with our own objects; no tensor in them."""
    front = (0x1950a86a20f9469cfc6c, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    return b"".join(pickle.dumps(o, 2) for o in (*front, *objects))


@case
def refused_truncated_stream(box):
    box.file.write_bytes((GOLDEN / "cases" / "stream_f32" / "pytorch_model.bin").read_bytes()[:-100])
    box.refused(4, "the file ends within its storages")


@case
def refused_tail_of_a_stream(box):
    box.file.write_bytes((GOLDEN / "cases" / "stream_f32" / "pytorch_model.bin").read_bytes() + b"more")
    box.refused(4, "4 bytes after the last storage")


@case
def refused_training_checkpoint(box):
    box.file.write_bytes(stream({"epoch": 3, "state_dict": {}}, []))
    box.refused(4, 'a training checkpoint with the weights under "state_dict"')


@case
def refused_entry_that_is_no_tensor(box):
    box.file.write_bytes(stream({"transformer.wte.weight": 3}, []))
    box.refused(4, "transformer.wte.weight of the state dict is no tensor")


@case
def refused_other_object(box):
    box.file.write_bytes(stream([1, 2], []))
    box.refused(4, "holds no state dict")


@case
def refused_other_pickle(box):
    box.file.write_bytes(pickle.dumps({"a": 1}, 2))
    box.refused(4, "a pickle that torch.save did not write")


@case
def refused_object_that_runs_code(box):
    class Evil:
        def __reduce__(self):
            return (exec, ("open('/tmp/never', 'w')",))
    box.file.write_bytes(pickle.dumps(Evil(), 2))
    box.refused(4, "the pickle asks for __builtin__.exec")


@case
def refused_other_file(box):
    box.file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    box.refused(4, "git-lfs pointer")
    box.file.write_text("<!DOCTYPE html><html></html>")
    box.refused(4, "pytorch_model.bin: neither an archive nor a pickle of torch.save")
    box.file.write_bytes(b"")
    box.refused(4, "neither an archive nor a pickle")


@case
def refused_missing_shard(box):
    shutil.copytree(GOLDEN / "cases" / "shards", box.folder, dirs_exist_ok=True)
    (box.folder / "pytorch_model-00002-of-00002.bin").unlink()
    box.refused(5, "pytorch_model-00002-of-00002.bin is not there")


@case
def refused_tensor_beyond_its_storage(box):
    """The first tensor of the file is wte: 23 x 8 at offset 0 of a storage of its own."""
    box.pickled(lambda data: data.replace(b"K\x00K\x17K\x08\x86", b"K\x01K\x17K\x08\x86", 1))
    box.refused(4, "transformer.wte.weight reaches beyond the 184 elements of its storage")


@case
def refused_wrong_shape(box):
    """23 x 8 becomes 8 x 23 of the same bytes."""
    box.pickled(lambda data: data.replace(b"K\x17K\x08\x86", b"K\x08K\x17\x86", 1))
    box.refused(4, "transformer.wte.weight has shape [8, 23] but the config says [23, 8]")


@case
def refused_views_that_repeat(box):
    """A stride of 0 over 2,000,000,000 rows: little in the file, much in memory."""
    wide = b"J" + struct.pack("<i", 2000000000)
    box.pickled(lambda data: data.replace(b"K\x17K\x08\x86", wide + b"K\x08\x86", 1).replace(b"K\x08K\x01\x86", b"K\x00K\x01\x86", 1))
    box.refused(4, "transformer.wte.weight is a view that repeats")


@case
def other_forms_have_their_sentences(box):
    box.refused(5, "no model.safetensors, pytorch_model.bin or index")
    for name, word in (("rust_model.ot", "rust-bert"), ("model.onnx", "ONNX"), ("flax_model.msgpack", "from_flax=True"),
                       ("tf_model.h5", "from_tf=True"), ("model.Q4_K_M.gguf", "GGUF")):
        (box.folder / name).write_bytes(b"x")
        box.refused(4, word)
        (box.folder / name).unlink()
    (box.folder / "model.onnx").write_bytes(b"x")
    done = box.start(GOLDEN / "f32", *PROMPT, "--weights", box.folder / "model.onnx")
    expect(done.returncode == 4, done.stderr)
    (box.folder / "x.gguf").write_bytes(b"GGUF\3\0\0\0\0\0\0\0")
    done = box.start(GOLDEN / "f32", *PROMPT, "--weights", box.folder / "x.gguf")
    expect(done.returncode == 4 and "a GGUF file of llama.cpp" in done.stderr, done.stderr)


if __name__ == "__main__":
    sys.exit(main(Box))

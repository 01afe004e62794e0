#!/usr/bin/env python3
"""Files of packed weights: test_packs.py TFRUN NAME SOURCE [MPIEXEC], test_packs.py --list.

The answer is always that of a run without such a file. Standard library only.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "model" / "golden"
PROMPT = ["--prompt-ids", "1,2,3,20", "-n", "6", "--ignore-eos", "--json"]


class Box:
    def __init__(self, tfrun, source, folder):
        self.tfrun, self.folder, self.packs = tfrun, folder / "model", folder / "packs"
        self.mpiexec = sys.argv[4] if len(sys.argv) > 4 else None
        shutil.copytree(GOLDEN / "base", self.folder)

    def start(self, *words, code=0):
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=250 * SLOWER)
        expect(done.returncode == code, f"exit code {done.returncode}, needs {code}: {done.stderr}")
        return done

    def run(self, *words):
        """digest and what was said, with the files of the packs folder"""
        done = self.start(self.tfrun, self.folder, *PROMPT, "--pack-cache", self.packs, *words)
        return json.loads(done.stdout)["logits_digest"], done.stderr

    def plain(self, *words):
        return json.loads(self.start(self.tfrun, self.folder, *PROMPT, *words).stdout)["logits_digest"]

    def files(self):
        return sorted(self.packs.iterdir())

    def file(self):
        expect(len(self.files()) == 1, self.files())
        return self.files()[0]

    def change(self, at, value=None):
        """Another byte in the file."""
        data = bytearray(self.file().read_bytes())
        data[at] = value if value is not None else data[at] ^ 1
        self.file().write_bytes(data)

    def told_and_made_anew(self, *words):
        digest, said = self.run()
        expect_same(digest, self.plain())
        for word in words:
            expect(word in said, f'"{said.strip()}" lacks "{word}"')
        made = self.file().stat().st_ino
        digest, said = self.run("-v")
        expect_same(digest, self.plain())
        expect("packed weights come from" in said and "is not used" not in said, said)
        expect_same(self.file().stat().st_ino, made)


@case
def a_folder_has_a_name(box):
    for name, words in (("", "the path is empty"), ("none", "leave it out to keep no packed weights"), ("off", "is ./off")):
        said = box.start(box.tfrun, box.folder, *PROMPT, "--pack-cache", name, code=2).stderr
        expect(words in said and said.count("\n") == 1, said)


@case
def the_second_start_maps_what_the_first_one_wrote(box):
    want = box.plain()
    digest, said = box.run("-v")
    expect_same(digest, want)
    expect("packed weights come from" not in said, said)
    before = box.file().stat()
    digest, said = box.run("-v")
    expect_same(digest, want)
    expect("packed weights come from" in said, said)
    expect_same((box.file().stat().st_ino, box.file().stat().st_mtime_ns), (before.st_ino, before.st_mtime_ns))


@case
def auto_is_beside_the_model(box):
    box.start(box.tfrun, box.folder, *PROMPT, "--pack-cache", "auto")
    expect_same(len(list(box.folder.glob("tfrun-*.packs"))), 1)
    said = box.start(box.tfrun, box.folder, *PROMPT, "--pack-cache", "auto", "-v").stderr
    expect("packed weights come from" in said, said)


@case
def another_type_is_added_to_the_file(box):
    types = (["--dtype", "f32", "--no-lossless"], ["--dtype", "bf16"])
    for words in types:
        expect_same(box.run(*words)[0], box.plain(*words))
    whole = box.file().stat()
    for words in types:
        expect_same(box.run(*words)[0], box.plain(*words))
        expect_same(box.file().stat().st_ino, whole.st_ino)
    for _ in range(2):
        digest, said = box.run("--isa", "plain")
        expect_same(digest, box.plain("--isa", "plain"))
        expect(len(box.files()) == 2 and "is not used" not in said, said)


@case
def a_checkpoint_that_was_written_anew_is_seen(box):
    box.run()
    weights = box.folder / "model.safetensors"
    facts, data = weights.stat(), bytearray(weights.read_bytes())
    data[-3] ^= 0x40
    weights.write_bytes(data)
    os.utime(weights, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # of the same size, and as if of the same time
    box.told_and_made_anew("is not used: it was made of another checkpoint")


@case
def a_damaged_file_is_told_and_made_anew(box):
    box.run()
    size = box.file().stat().st_size
    box.change(0)
    box.told_and_made_anew("is not used: it is no file of packed weights")
    box.change(size - 4096)  # the last weight begins a page
    box.told_and_made_anew("is not used: a weight in it is damaged")
    head = box.file().read_bytes()[:4096]
    box.change(head.rindex(b"panel64"))
    box.told_and_made_anew("is not used: its table is damaged")
    box.file().write_bytes(box.file().read_bytes()[:-100])
    box.told_and_made_anew("is not used: it is cut short")
    box.file().write_bytes(b"short")
    box.told_and_made_anew("is not used: it is cut short")


@case
def a_file_that_others_may_write_is_not_used(box):
    box.run()
    os.chmod(box.file(), 0o666)
    box.told_and_made_anew("is not used: others may write it")


@case
def a_link_of_its_name_is_not_followed(box):
    """A model's folder may bring one: what it points at is the user's."""
    precious = box.folder.parent / "precious"
    for words in ["--pack-cache", "auto"], ["--pack-cache", box.packs]:
        box.start(box.tfrun, box.folder, *PROMPT, *words)
        file = next((box.folder if "auto" in words else box.packs).glob("tfrun-*.packs"))
        file.unlink()
        precious.write_bytes(b"precious")
        file.symlink_to(precious)
        said = box.start(box.tfrun, box.folder, *PROMPT, *words).stderr
        expect("is not used: it is cut short" in said, said)
        expect_same((precious.read_bytes(), file.is_symlink(), file.is_file()), (b"precious", False, True))


@case
def who_may_not_read_the_weights_may_not_read_the_file(box):
    os.chmod(box.folder / "model.safetensors", 0o600)
    box.run()
    expect_same(box.file().stat().st_mode & 0o777, 0o600)


@case
def a_folder_that_cannot_be_is_told(box):
    done = box.start(box.tfrun, box.folder, *PROMPT, "--pack-cache", box.folder / "config.json" / "x", code=5)
    expect("cannot make this folder" in done.stderr, done.stderr)


@case
def it_does_not_go_with_an_adapter(box):
    model, adapter = GOLDEN / "lora" / "models" / "f32", GOLDEN / "lora" / "all"
    done = box.start(box.tfrun, model, "--adapter", adapter, *PROMPT, "--pack-cache", box.packs, code=2)
    expect("--pack-cache" in done.stderr and "adapter" in done.stderr, done.stderr)


@case
def a_config_may_not_ask_for_it(box):
    path = box.folder / "config.json"
    config = json.loads(path.read_text())
    config.setdefault("tfrun", {}).setdefault("runtime", {})["pack_cache"] = str(box.packs)
    path.write_text(json.dumps(config))
    done = box.start(box.tfrun, box.folder, *PROMPT, code=3)
    expect("--pack-cache" in done.stderr, done.stderr)
    expect(not box.packs.exists(), "it was made all the same")


@case
def a_large_table_is_never_in_memory_beside_its_packed_form(box):
    """120,000 tokens more, of 256 values each: 31 MB packed in 8 bits, 123 MB in the file. Counted against a small vocabulary, so
    that what the process takes otherwise does not matter."""
    peak = {}
    for n_tokens in (1000, 121000):
        config = {"model_type": "gpt2", "vocab_size": n_tokens, "n_embd": 256, "n_layer": 1, "n_head": 4, "n_positions": 64,
                  "bos_token_id": 0, "eos_token_id": 0}
        source, folder = box.folder.parent / f"{n_tokens}.json", box.folder.parent / f"model-{n_tokens}"
        source.write_text(json.dumps(config))
        box.start(box.tfrun, "init", source, "-o", folder, "--seed", "1")
        shutil.copy(source, folder / "config.json")
        done = box.start(box.tfrun, folder, "--dtype", "int8", *PROMPT)
        peak[n_tokens] = json.loads(done.stdout)["stats"]["peak_memory_bytes"]
    more = peak[121000] - peak[1000]
    expect(31e6 * 0.9 < more < (31 + 41) * 1e6, more)  # a third of the table at most


@case
def each_rank_has_its_part_and_replicas_share_theirs(box):
    if not box.mpiexec:
        sys.exit(77)
    for n, files, *words in ((2, 2, "--split", "balanced"), (2, 1, "--replicas", "2"), (2, 2, "--tensor", "2")):
        shutil.rmtree(box.packs, ignore_errors=True)
        want = box.plain("--sums", "by-head") if "--tensor" in words else box.plain()
        for _ in range(2):
            done = box.start(box.mpiexec, "-n", n, box.tfrun, box.folder, *PROMPT, "-t", "1", "--pack-cache", box.packs, *words)
            expect_same(json.loads(done.stdout)["logits_digest"], want)
            expect("is not used" not in done.stderr, done.stderr)
            expect_same(len(box.files()), files)


if __name__ == "__main__":
    sys.exit(main(Box))

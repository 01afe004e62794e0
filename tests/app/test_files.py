#!/usr/bin/env python3
"""test_files.py TFRUN NAME SOURCE_DIR: the text files of a model folder, as people have them.

golden_*: what both lines of transformers saved (tests/model/files, by scripts/make_files_golden.py) gives what they make of it; where
they differ the newer one counts. The others: a file in some form, and what comes of it. `--list` prints the names.
"""
import json
import pathlib
import shutil
import subprocess
import sys

from cases import CASES, SLOWER, case, expect, expect_same, main

FILES = pathlib.Path(__file__).resolve().parent.parent / "model" / "files"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 9\n"


class Files:
    """The command, and folders to spoil."""

    def __init__(self, program, source_dir, folder):
        self.program, self.source, self.folder = program, source_dir, folder
        self.golden = json.loads((FILES / "golden.json").read_text())

    def run(self, *arguments, code=0):
        ran = subprocess.run([self.program, *map(str, arguments)], capture_output=True, timeout=60 * SLOWER)
        expect(ran.returncode == code, arguments, ran.returncode, ran.stdout[-300:], ran.stderr)
        self.errors = ran.stderr.decode()
        return ran.stdout.decode()

    def ids(self, folder, text):
        return [int(word) for word in self.run("tokenize", folder, "-p", text).split()]

    def text(self, folder, ids):
        return self.run("tokenize", "--decode", folder, "-p", " ".join(map(str, ids)))

    def generate(self, folder, *arguments):
        return json.loads(self.run(folder, "--json", *arguments))["choices"]

    def refused(self, words, *arguments, code):
        self.run(*arguments, code=code)
        expect(words in self.errors, self.errors, "lacks", words)

    def check(self, folder, code=0):
        report = json.loads(self.run("check", folder, "--json", code=code))
        return {(line["name"], line["source"]): line for part in ("fields", "options", "tokenizer") for line in report[part]}

    def model(self, name="lm_4"):
        """A folder of a model with its tokenizer, put together."""
        made = self.folder / name
        shutil.copytree(FILES / f"model_{name}", made)
        kind, tokenizer = (made / "kind").read_text().split()
        shutil.copy(FILES / "weights" / f"{kind}.safetensors", made / "model.safetensors")
        for path in (FILES / tokenizer).iterdir():
            if path.name != "config.json":
                shutil.copy(path, made)
        return made

    def change(self, folder, name, **members):
        """Members of a JSON file set; None takes one out."""
        path = folder / name
        content = json.loads(path.read_text()) if path.exists() else {}
        content.update(members)
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def add_golden_case(name):
    def run(files):
        both = files.golden["cases"][name]
        expected = both["4"] if "error" in both["5"] else both["5"]
        folder = files.model(name[len("model_"):]) if name.startswith("model_") else FILES / name
        files.run("check", folder) if name.startswith("model_") else None
        if "generated" in expected:
            more = ["-n", "4"] if "generation" not in name else []
            choice, = files.generate(folder, "--prompt-ids", ",".join(map(str, expected["prompt"])), *more)
            expect_same(choice["ids"], expected["generated"])
        elif "labels" in expected:
            for text, (label, score) in zip(files.golden["texts"], expected["labels"]):
                have, value = files.run("classify", folder, "-p", text).strip("\n").split("\t")
                expect(have == label and abs(float(value) - score) < 2e-5, have, value, "is not", label, score)
        else:
            for text, ids, back in zip(files.golden["texts"], expected["ids"], expected["texts"]):
                expect_same(files.ids(folder, text), ids)
                expect_same(files.text(folder, ids), back)
            expect_same(files.text(folder, [256, 4000, 258]), expected["beyond"])
    CASES[f"golden_{name}"] = run


for path in sorted(FILES.iterdir()):
    if path.is_dir() and path.name != "weights":
        add_golden_case(path.name)


@case
def ids_without_a_token_give_no_text(files):
    """A model of more rows than its tokenizer has tokens: what it generates comes in any case."""
    folder = files.folder / "rows"
    config = files.folder / "config.json"
    config.write_text(json.dumps({"model_type": "gpt2", "vocab_size": 320, "n_positions": 32, "n_embd": 4, "n_layer": 1, "n_head": 1,
                                  "initializer_range": 0.5, "architectures": ["GPT2LMHeadModel"]}))
    files.run("init", config, "-o", folder, "--seed", "1")
    shutil.copy(FILES / "plain_4" / "tokenizer.json", folder)
    for seed in range(1, 5):
        choice, = files.generate(folder, "-p", "the old", "-n", "12", "--temperature", "1", "--seed", seed)
        expect_same(len(choice["ids"]), 12)
        expect_same(choice["text"], files.text(folder, choice["ids"]).rstrip("\n") or choice["text"])
    both = files.generate(folder, "-p", "a", "-p", "b", "-n", "2", "--forced-eos", "300")
    expect_same([choice["ids"][-1] for choice in both], [300, 300])
    ended, = files.generate(folder, "-p", "a", "-n", "2", "--eos", "300", "--forced-eos", "300")
    expect_same(ended["finish_reason"], "eos")
    suppress = f"sampling.suppress_tokens={list(range(263))}"
    beams = files.generate(folder, "-p", "a", "-n", "3", "--num-beams", "2", "--set", suppress)
    expect(all(token >= 263 for token in beams[0]["ids"]) and beams[0]["text"] == "", beams)
    plain = files.run(folder, "-p", "a", "-n", "3", "--set", suppress)
    expect_same(plain.strip("\n"), "a")  # the prompt alone
    expect_same(files.text(folder, [257, 300]), "the")
    files.run("score", folder, "--json", "-p", "the old")
    files.refused("token", folder, "--prompt-ids", "5,400", code=2)


@case
def added_tokens_that_the_model_lacks_are_refused_in_a_prompt_alone(files):
    folder = files.model("pad_not_resized_4")
    expect_same(files.ids(folder, "[PAD]"), [263])
    files.refused("263", folder, "-p", "the [PAD]", "-n", "2", code=2)
    expect_same(len(files.generate(folder, "-p", "the old", "-n", "2")[0]["ids"]), 2)


@case
def line_ends_and_byte_order_marks(files):
    """The same ids and the same text from files with other line ends and a mark at their start."""
    folder = files.model()
    expected = files.generate(folder, "-p", "the old", "-n", "4")
    for path in folder.iterdir():
        if path.suffix == ".json":
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    expect_same(files.generate(folder, "-p", "the old", "-n", "4"), expected)
    files.run("check", folder)


@case
def pointers_of_git_lfs(files):
    for name, code in (("config.json", 3), ("generation_config.json", 3), ("tokenizer.json", 4), ("tokenizer_config.json", 4)):
        folder = files.model()
        (folder / name).write_text(POINTER)
        files.refused("git lfs pull", folder, "-p", "the old", "-n", "1", code=code)
        shutil.rmtree(folder)


@case
def words_of_python_without_effect(files):
    folder = files.model()
    expected = files.generate(folder, "-p", "the old", "-n", "4")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.rstrip()[:-1] + ', "best_loss": Infinity, "scores": [NaN, -Infinity]}')
    expect_same(files.generate(folder, "-p", "the old", "-n", "4"), expected)
    line = files.check(folder)["best_loss", "file"]
    expect(line["status"] == "no effect" and line["value"] == "Infinity", line)


@case
def words_of_python_that_would_count(files):
    folder = files.model()
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"layer_norm_epsilon": 1e-05', '"layer_norm_epsilon": NaN'))
    files.refused("layer_norm_epsilon = NaN (JSON has none, Python writes it)", folder, "-p", "a", "-n", "1", code=3)
    (folder / "config.json").write_text(config)
    (folder / "generation_config.json").write_text('{"temperature": Infinity}')
    files.refused("temperature = Infinity (JSON has none, Python writes it)", folder, "-p", "a", "-n", "1", code=3)


LEFTOVERS = {
    "empty_lists": {"suppress_tokens": [], "begin_suppress_tokens": [], "forced_eos_token_id": [], "bad_words_ids": [],
                    "sequence_bias": [], "stop_strings": [], "forced_bos_token_id": []},
    "empty_objects": {"sequence_bias": {}, "watermarking_config": {}},
    "no_end": {"eos_token_id": -1},
    "no_end_list": {"eos_token_id": []},
    "ends_that_cannot_come": {"eos_token_id": [300, -1, 400]},
    "suppressed_that_cannot_come": {"suppress_tokens": [300, -1], "begin_suppress_tokens": [263]},
    "bos_that_cannot_come": {"bos_token_id": 300, "pad_token_id": -1},
    "lengths_below_zero": {"no_repeat_ngram_size": -1, "min_new_tokens": -1, "min_length": -1},
    "floats": {"top_k": 50.0, "max_new_tokens": 4.0, "num_beams": 1.0, "eos_token_id": 262.0},
    "sampling_off": {"do_sample": False, "temperature": 0.7, "top_k": 10, "top_p": 0.8, "typical_p": 1.0},
    "of_a_call": {"return_dict_in_generate": True, "output_scores": True, "use_cache": False, "cache_implementation": "static",
                  "max_length": 40, "diversity_penalty": 0.5, "low_memory": True, "length_penalty": 2.0},
}


@case
def settings_of_the_last_call(files):
    """transformers 4.57 and 5.24 give the same ids with each of these files (measured; where it has an error, as for an empty
    sequence_bias, nothing is asked for all the same)."""
    folder = files.model()
    expected = files.golden["cases"]["model_lm_4"]["5"]["generated"]
    for name, settings in LEFTOVERS.items():
        (folder / "generation_config.json").write_text(json.dumps(settings))
        choice, = files.generate(folder, "--prompt-ids", "256,261,32", "-n", "4")
        expect(choice["ids"] == expected, name, choice["ids"])
        files.run("check", folder)


@case
def suppressed_tokens_beside_ones_that_cannot_come(files):
    folder = files.model()
    (folder / "generation_config.json").write_text(json.dumps({"suppress_tokens": [300, 99, -1]}))
    other, = files.generate(folder, "--prompt-ids", "256,261,32", "-n", "4", "--set", "sampling.suppress_tokens=[99]")
    choice, = files.generate(folder, "--prompt-ids", "256,261,32", "-n", "4")
    expect(99 not in choice["ids"] and choice["ids"] == other["ids"], choice, other)


@case
def end_tokens_of_the_config(files):
    """Of a list in config.json those count that the vocabulary has."""
    folder = files.model()
    (folder / "generation_config.json").unlink()
    for eos, n in (([300, 244], 2), ([-1, 300], 4), ([], 4), (244.0, 2), (-1, 4)):
        files.change(folder, "config.json", eos_token_id=eos)
        choice, = files.generate(folder, "--prompt-ids", "256,261,32", "-n", "4")
        expect_same(len(choice["ids"]), n)


@case
def sizes_written_as_floats(files):
    """transformers takes them in no release; the sentence doesn't say that 1 is no whole number."""
    folder = files.model()
    files.change(folder, "config.json", n_head=1.0)
    files.refused("n_head is written as a float", folder, "-p", "a", "-n", "1", code=3)
    expect("write 1 without the point" in files.errors, files.errors)


@case
def check_says_what_has_no_effect(files):
    folder = files.model()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": []}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    files.change(folder, "tokenizer_config.json", clean_up_tokenization_spaces=True, errors="strict", add_bos_token=True)
    lines = files.check(folder)
    for name in ("truncation", "normalizer"):
        expect_same(lines[name, "tokenizer.json"]["status"], "no effect")
    for name in ("clean_up_tokenization_spaces", "errors", "add_bos_token"):
        expect_same(lines[name, "tokenizer_config.json"]["status"], "no effect")
    expect_same(lines["eos_token", "tokenizer_config.json"]["reason"], "special, id 262")
    files.change(folder, "tokenizer_config.json", tokenizer_class="LlamaTokenizerFast")
    lines = files.check(folder, code=4)
    expect("LlamaTokenizerFast" in lines["tokenizer", "files"]["reason"], lines)


@case
def clean_up_is_said_once_and_not_done(files):
    folder = files.model()
    files.change(folder, "tokenizer_config.json", clean_up_tokenization_spaces=True)
    ids = files.ids(folder, "it 's , you know .")
    expect("clean_up_tokenization_spaces" in files.errors and files.errors.count("\n") == 1, files.errors)
    expect_same(files.text(folder, ids), "it 's , you know .")


@case
def a_tokenizer_of_another_model_is_refused(files):
    folder = files.model()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"].update({f"more{i}": 263 + i for i in range(9)})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    files.refused("own tokenizer", folder, "-p", "a", "-n", "1", code=4)
    expect(files.check(folder, code=4)["tokenizer", "files"]["status"] == "refused")


if __name__ == "__main__":
    sys.exit(main(Files))

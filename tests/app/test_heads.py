#!/usr/bin/env python3
"""`tfrun classify` and `tfrun generate --encoder-states` from outside: test_heads.py TFRUN NAME SOURCE [MPIEXEC], test_heads.py --list.

References are transformers' (tests/model/text, written by scripts/make_text_golden.py): labels and scores of its pipelines, ids of its
generate. Beside them laws that need no reference, and refused inputs with their sentences. Standard library only.
"""
import json
import math
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

from cases import CASES, SLOWER, case
from tensors import read_tensors, write_tensors

TEXT = pathlib.Path(__file__).resolve().parent.parent / "model" / "text"
GOLDEN = json.loads((TEXT / "golden.json").read_text())


def check(condition, *text):
    if not condition:
        sys.exit(" ".join(map(str, text)))


class Box:
    def __init__(self, tfrun, mpiexec, folder):
        self.tfrun, self.mpiexec, self.folder = tfrun, mpiexec, pathlib.Path(folder)

    def start(self, *words, stdin="", ranks=1):
        command = [self.tfrun, *map(str, words), "--trust", str(TEXT), "--trust", str(self.folder)]  # their tokenizer is next door
        if ranks > 1:
            command = [self.mpiexec, "-n", str(ranks), *command]
        return subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=250 * SLOWER)

    def run(self, *words, stdin="", ranks=1):
        done = self.start(*words, stdin=stdin, ranks=ranks)
        check(done.returncode == 0, words, "failed:", done.stderr.decode())
        return done.stdout.decode()

    def classify(self, model, *words, stdin, ranks=1):
        text = self.run("classify", TEXT / model, "--json", "--labels", 0, *words, stdin=stdin, ranks=ranks)
        return [json.loads(line) for line in text.splitlines()]

    def generate(self, states, prompts, *words, ranks=1, model=TEXT / "cross"):
        words = [w for p in prompts for w in ("--set", f"input.prompts={p}")] + [str(w) for w in words]
        if states is not None:
            words += ["--encoder-states", TEXT / "cross" / states]
        return json.loads(self.run("generate", model, "--json", "-q", *words, ranks=ranks))

    def write(self, **tensors):
        """name=(dtype, shape, values) into a safetensors file."""
        path = self.folder / "states.safetensors"
        write_tensors(path, tensors)
        return path

    def refused(self, code, words, *command, stdin=""):
        done = self.start(*command, stdin=stdin)
        message = done.stderr.decode()
        check(done.returncode == code, f"exit code {done.returncode}, expected {code}: {message}")
        check(done.stdout == b"" and message.startswith("tfrun: ") and message.count("\n") == 1, "not one line:", message)
        for word in words:
            check(word in message, message, "lacks", word)


# ---- encoder states

def flags_of(settings):
    names = {"max_new_tokens": "max_tokens"}
    return [w for key, value in settings.items() for w in ("--set", f"sampling.{names.get(key, key)}={value}")]


def ids_of(result):
    return [choice["ids"] for choice in result["choices"]]


def same_run(a, b, what):
    check(ids_of(a) == ids_of(b) and a["logits_digest"] == b["logits_digest"], "other bits", what)


@case
def encoder_golden(box):
    for golden in GOLDEN["generate"]:
        got = ids_of(box.generate(golden["states"], golden["prompts"], *flags_of(golden["settings"])))
        check(got == golden["ids"], golden["states"], golden["settings"], "gives", got, "not", golden["ids"])


@case
def encoder_states_matter(box):
    """Rows, the mask and the states themselves change what comes: the golden ids could otherwise hold without them."""
    runs = [g["ids"] for g in GOLDEN["generate"] if g["settings"] == {"max_new_tokens": 12}]
    check(len({json.dumps(ids) for ids in runs}) == 4, "two of", runs, "are equal")


@case
def encoder_company_changes_no_bit(box):
    prompts = GOLDEN["generate"][0]["prompts"]
    together = ids_of(box.generate("masked.safetensors", prompts, "-n", 12))
    small = ids_of(box.generate("masked.safetensors", prompts, "-n", 12, "--max-rows", 2, "--max-batch", 2))
    check(together == small, "steps of two rows give other ids")
    states, mask = (read_tensors(TEXT / "cross" / "masked.safetensors")[k] for k in ("encoder_hidden_states", "encoder_attention_mask"))
    n, C = states[1][1:]
    for i, prompt in enumerate(prompts):
        kept = [e for e in range(n) if mask[2][i * n + e]]
        values = [x for e in kept for x in states[2][(i * n + e) * C:(i * n + e + 1) * C]]
        path = box.write(encoder_hidden_states=("F32", [len(kept), C], values))
        alone = box.generate(path, [prompt], "-n", 12)
        check(ids_of(alone) == [together[i]], "prompt", i, "alone, without its hidden positions, gives other ids")
        whole = box.generate(path, [prompt], "-n", 12, "--max-rows", 1)
        same_run(alone, whole, "with steps of one row")


@case
def encoder_samples_are_those_of_one_prompt(box):
    """Several samples share one cross cache: each is what the same seed gives whatever their number."""
    draw = ["-n", 10, "--do-sample", "true", "--temperature", 1.5, "--seed", 7]
    many = ids_of(box.generate("one.safetensors", ["The king"], *draw, "--num-return-sequences", 3))
    check(many[0] == ids_of(box.generate("one.safetensors", ["The king"], *draw))[0], "the first of three samples is another one")
    check(len({tuple(ids) for ids in many}) == 3, "samples repeat", many)
    short = ids_of(box.generate("one.safetensors", ["t"], *draw, "--num-return-sequences", 2))  # a prompt of one token
    check(short[0] == ids_of(box.generate("one.safetensors", ["t"], *draw))[0], "with a prompt of one token it is another one")


@case
def encoder_prompt_lookup_is_lossless(box):
    for prompt in GOLDEN["generate"][0]["prompts"]:
        plain = ids_of(box.generate("one.safetensors", [prompt], "-n", 30))
        check(ids_of(box.generate("one.safetensors", [prompt], "-n", 30, "--prompt-lookup", 4)) == plain, "lookup changes", prompt)


@case
def encoder_key_of_the_config(box):
    model = shutil.copytree(TEXT, box.folder / "text") / "cross"
    config = json.loads((model / "config.json").read_text())
    config["tfrun"]["input"] = {"encoder_states": "one.safetensors"}
    (model / "config.json").write_text(json.dumps(config))
    same_run(box.generate(None, ["The king"], "-n", 12, model=model), box.generate("one.safetensors", ["The king"], "-n", 12), "by the key")
    sentence = ["input.encoder_states is for generate", "leave it out"]
    box.refused(2, sentence, "score", model, "-p", "The king", "-q")
    box.refused(2, sentence, "eval", model, "--data", "-", "-q", stdin="The king went home.")


@case
def encoder_flag_of_other_commands(box):
    for command in ("eval", "score", "forward", "classify"):
        box.refused(2, ["--encoder-states has no effect on `tfrun " + command], command, TEXT / "cross", "--encoder-states", "x")
        box.refused(2, ["--cache-save has no effect on `tfrun " + command], command, TEXT / "cross", "--cache-save", "x")


@case
def encoder_refusals(box):
    def refused(words, **tensors):
        box.refused(2, words, "generate", TEXT / "cross", "-p", "a", "-n", 2, "--encoder-states", box.write(**tensors), "-q")
    some = lambda *shape: ("F32", list(shape), [.5] * math.prod(shape))
    ones = lambda *shape: ("I64", list(shape), [1] * math.prod(shape))
    refused(["states.safetensors: encoder_hidden_states has 2 rows for 1 prompts"], encoder_hidden_states=some(2, 3, 12))
    refused(["encoder_hidden_states has shape [1, 3, 11], needs [any, any, 12]"], encoder_hidden_states=some(1, 3, 11))
    refused(["encoder_hidden_states has shape [12]"], encoder_hidden_states=some(12))
    refused(["encoder_hidden_states is empty"], encoder_hidden_states=some(1, 0, 12))
    refused(["encoder_hidden_states is missing"], encoder_attention_mask=ones(1, 3))
    refused(["encoder_attention_mask has shape [1, 4], needs [1, 3]"], encoder_hidden_states=some(1, 3, 12), encoder_attention_mask=ones(1, 4))
    refused(["2 at row 0, column 0 is neither 0 nor 1"], encoder_hidden_states=some(1, 1, 12), encoder_attention_mask=("I64", [1, 1], [2]))
    refused(["encoder_states is not known here"], encoder_states=some(1, 3, 12))
    path = box.write(encoder_hidden_states=some(1, 3, 20))
    box.refused(2, ["input.encoder_states is given", "no cross-attention (add_cross_attention)"], "generate", TEXT.parent / "golden" / "one_head", "--prompt-ids", "1", "-n", "2",
                "--encoder-states", path, "-q")
    box.refused(5, ["nowhere.safetensors"], "generate", TEXT / "cross", "-p", "a", "--encoder-states", box.folder / "nowhere.safetensors", "-q")


@case
def generate_warns_of_padding_on_the_right(box):
    def stderr(*words, pad):
        config["pad_token_id"] = pad
        (model / "config.json").write_text(json.dumps(config))
        done = box.start("generate", model, "-n", 1, *words)
        check(done.returncode == 0, done.stderr.decode())
        return done.stderr.decode()
    model = shutil.copytree(TEXT, box.folder / "text") / "cross"
    config = json.loads((model / "config.json").read_text())
    warning = "prompt 1 ends in pad_token_id 9 and the text goes on after it; leave padding out"
    check(warning in stderr("--prompt-ids", "1,2,9", pad=9), "no warning")
    for words, pad in ((("--prompt-ids", "1,9,2"), 9), (("--prompt-ids", "1,2,9"), None), (("--prompt-ids", "9"), 9)):
        check("pad_token_id" not in stderr(*words, pad=pad), "a warning for", words)


@case
def encoder_ranks(box):
    if not box.mpiexec:
        sys.exit(77)
    prompts = GOLDEN["generate"][0]["prompts"]
    for words in (["-n", 12], ["-n", 12, "--num-beams", 3], ["-n", 8, "--num-return-sequences", 2, "--do-sample", "true", "--seed", 3]):
        alone = box.generate("masked.safetensors", prompts, *words)
        for ranks in (2, 3):
            same_run(box.generate("masked.safetensors", prompts, *words, ranks=ranks), alone, f"on {ranks} ranks with {words}")
    lookup = ["-n", 20, "--prompt-lookup", 4]
    same_run(box.generate("one.safetensors", ["The king"], *lookup, ranks=3), box.generate("one.safetensors", ["The king"], *lookup), "with lookup")


@case
def encoder_shape_of_the_config(box):
    """configs/gpt2-cross-attention.json from init to text, on one, two and three ranks."""
    if not box.mpiexec:
        sys.exit(77)
    config = json.loads((TEXT.parent.parent.parent / "configs" / "gpt2-cross-attention.json").read_text())
    config["tfrun"]["model"]["weights"] = "model.safetensors"
    path = box.folder / "cross.json"
    path.write_text(json.dumps(config))
    box.run("init", path, "-o", box.folder, "--seed", 1, "--force")
    states = box.write(encoder_hidden_states=("F32", [1, 4, 768], [math.sin(i) for i in range(4 * 768)]))
    words = ["generate", path, "--json", "-q", "--prompt-ids", "5,6,7,8", "-n", 6]
    with_states = [*words, "--encoder-states", states]
    alone = json.loads(box.run(*with_states))
    check(alone["logits_digest"] != json.loads(box.run(*words))["logits_digest"], "the states change nothing")
    for ranks in (2, 3):
        same_run(json.loads(box.run(*with_states, ranks=ranks)), alone, f"on {ranks} ranks")


# ---- classify

def near(a, b):
    return math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-5)


def golden_classes(box, model):
    texts = GOLDEN["texts"]
    got = box.classify(model, stdin="\n".join(texts) + "\n")
    check(len(got) == len(texts), "lines are missing")
    for line, text, want in zip(got, texts, GOLDEN["classify"][model]):
        check(line["schema"] == "tfrun-classify-1" and line["text"] == text, line)
        check([x["label"] for x in line["labels"]] == [x["label"] for x in want], text, line["labels"], want)
        check(all(near(a["score"], b["score"]) for a, b in zip(line["labels"], want)), text, line["labels"], want)
        check(line["label"] == want[0]["label"] and line["score"] == line["labels"][0]["score"], line)


for kind in ("single", "multi", "regression", "inferred"):
    CASES[f"classify_golden_{kind}"] = lambda box, kind=kind: golden_classes(box, kind)


@case
def classify_golden_tokens(box):
    for line, text, want in zip(box.classify("tokens", stdin="\n".join(GOLDEN["texts"])), GOLDEN["texts"], GOLDEN["classify"]["tokens"]):
        check(len(line["tokens"]) == len(want) == line["n_tokens"], text, "has", len(line["tokens"]), "tokens, needs", len(want))
        for token, expected in zip(line["tokens"], want):
            check(token["label"] == expected["label"] and near(token["score"], expected["score"]), text, token, expected)
            check(not text.isascii() or token["text"].strip() == text[expected["start"]:expected["end"]].strip(), token, expected)


@case
def classify_company_changes_no_bit(box):
    texts = GOLDEN["texts"]
    for model in ("single", "tokens"):
        alone = [box.classify(model, "-p", text, stdin="")[0] for text in texts]
        for words in ([], ["--max-batch", 2], ["--max-rows", 3], ["--threads", 1]):
            check(box.classify(model, *words, stdin="\n".join(texts)) == alone, model, "with", words, "gives other bits than alone")
        check(box.classify(model, stdin="\n".join(reversed(texts))) == alone[::-1], model, "in another order gives other bits")


@case
def classify_pads_of_the_text_itself(box):
    """With a pad id the label is that of the last token that is no pad, also where the text ends in one; company shows no pads."""
    model = shutil.copytree(TEXT, box.folder / "text") / "single"
    config = json.loads((model / "config.json").read_text())
    config["pad_token_id"] = config["eos_token_id"]
    (model / "config.json").write_text(json.dumps(config))
    lines = ["a<|endoftext|>", "a", "the the the"]
    got = [json.loads(line) for line in box.run("classify", model, "--json", stdin="\n".join(lines)).splitlines()]
    check(got[0]["score"] == got[1]["score"] and got[0]["n_tokens"] == 2, got[:2])
    alone = [json.loads(box.run("classify", model, "--json", "-p", line)) for line in lines]
    check(got == alone, "company changes a text that holds pads")


@case
def classify_forms(box):
    file = box.folder / "lines.txt"
    file.write_bytes(b"a\r\nthe the the")
    out = box.run("classify", TEXT / "single", "-f", file)
    check(box.run("classify", TEXT / "single", "-p", "a", "-p", "the the the") == out, "lines and several -p differ")
    check([len(line.split("\t")) for line in out.splitlines()] == [2, 2], out)
    check(box.run("classify", TEXT / "single", stdin="a\nthe the the\n") == out, "a file and stdin differ")
    three = box.run("classify", TEXT / "single", "-p", "a", "--labels", 2).strip().split("\t")
    check(len(three) == 4 and {three[0], three[2]} < {"bad", "fair", "good"} and float(three[1]) > float(three[3]), three)
    tokens = box.run("classify", TEXT / "tokens", stdin="a\nthe the the").splitlines()
    check(tokens[0].split("\t")[0] == '"a"' and tokens[1] == "" and len(tokens) == 6, tokens)
    result = box.folder / "labels.txt"
    box.run("classify", TEXT / "single", "-f", file, "-o", result)
    check(result.read_text() == out, "the file differs from stdout")
    check("--labels K" in box.run("classify", "--help") and "classify" in box.run("--help"), "--help")


@case
def classify_truncates(box):
    long = "the " * 80
    box.refused(2, ["text 2 has", "context is 64", "--truncate left|right"], "classify", TEXT / "single", stdin="a\n" + long)
    for side, rest in (("left", " the" * 63 + " "), ("right", "the" + " the" * 62)):
        got = [json.loads(box.run("classify", TEXT / "single", "--json", *words)) for words in (["--truncate", side, "-p", long], ["-p", rest])]
        check(got[0]["n_tokens"] == got[1]["n_tokens"] == 64 and got[0]["labels"] == got[1]["labels"], side, got)
    short = json.loads(box.run("classify", TEXT / "single", "--json", "--truncate", "left", "--kv-capacity", 16, "-p", long))
    check(short["n_tokens"] == 16, short)
    box.refused(2, ["context is 16 (tfrun.runtime.kv_capacity)"], "classify", TEXT / "single", "--kv-capacity", 16, "-p", long)


@case
def classify_refusals(box):
    fix = ["gives no labels", "GPT2ForSequenceClassification", "GPT2ForTokenClassification", "tfrun forward"]
    box.refused(4, fix, "classify", TEXT / "cross", "-p", "a")
    box.refused(4, fix, "classify", TEXT.parent / "forward" / "qa", "-p", "a")
    box.refused(2, ["text 2 is empty"], "classify", TEXT / "single", stdin="a\n\nb")
    box.refused(2, ["--labels", "-1"], "classify", TEXT / "single", "-p", "a", "--labels", "-1")
    box.refused(2, ["--temperature has no effect on `tfrun classify`"], "classify", TEXT / "single", "-p", "a", "--temperature", 1)
    model = shutil.copytree(TEXT, box.folder / "text") / "single"
    config = json.loads((model / "config.json").read_text())
    for labels in ({"0": "a", "1": "b", "3": "c"}, {"0": "a", "1": 2, "2": "c"}):
        (model / "config.json").write_text(json.dumps({**config, "id2label": labels}))
        box.refused(3, ["config.json:", 'id2label does not map "0" to "2" to texts'], "classify", model, "-p", "a")
    del config["id2label"]
    (model / "config.json").write_text(json.dumps({**config, "num_labels": 3}))
    check(box.run("classify", model, "-p", "a").startswith("LABEL_"), "labels without names have no names")


def nan_model(box, name):
    model = shutil.copytree(TEXT / name, box.folder / name)
    data = bytearray((model / "model.safetensors").read_bytes())
    size = struct.unpack("<Q", data[:8])[0]
    tensor = next(value for key, value in json.loads(data[8:8 + size]).items() if key.endswith("ln_f.weight"))
    at = 8 + size + tensor["data_offsets"][0]
    data[at:at + 4] = struct.pack("<f", math.nan)
    (model / "model.safetensors").write_bytes(data)
    return "classify", model, "--tokenizer", TEXT / "tokenizer", "--max-batch", 1


@case
def classify_of_nan(box):
    for name in ("single", "tokens", "regression"):
        box.refused(6, ["the logits of text 1 hold NaN", "--check-weights"], *nan_model(box, name), stdin="a\nthe the\n")


@case
def classify_ranks(box):
    if not box.mpiexec:
        sys.exit(77)
    for model in ("multi", "tokens"):
        alone = box.classify(model, stdin="\n".join(GOLDEN["texts"]))
        check(box.classify(model, stdin="\n".join(GOLDEN["texts"]), ranks=2) == alone, model, "differs on two ranks")
    done = box.start(*nan_model(box, "single"), stdin="a\nthe the\n", ranks=2)
    check(done.stdout == b"" and b"the logits of text 1 hold NaN" in done.stderr and done.returncode == 6, done)


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return
    tfrun, name = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder:
        CASES[name](Box(tfrun, sys.argv[4] if len(sys.argv) > 4 else None, folder))


if __name__ == "__main__":
    main()

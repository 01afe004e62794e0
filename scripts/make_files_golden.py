#!/usr/bin/env python3
"""Writes tests/model/files: folders as transformers saves them, and what transformers makes of them.

    PYTHON_4 scripts/make_files_golden.py write      # with transformers 4.57
    PYTHON_5 scripts/make_files_golden.py write      # with transformers 5.x
    PYTHON_4 scripts/make_files_golden.py read       # each line reads what both lines wrote
    PYTHON_5 scripts/make_files_golden.py read

Every folder is as save_pretrained left it, but for vocab.json and merges.txt beside a tokenizer.json, which nobody reads, and
for the weights: those of a kind are the same in all folders and stand once, in
weights/. golden.json holds for each folder the ids of some texts, the texts of these ids, and where there are weights what
generate and the pipeline give. A line that can't load a folder has the error's name there.
"""

import argparse
import json
import os
import pathlib
import shutil


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("write", "read"))
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "transformers", "tokenizers")

os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: E402
import transformers  # noqa: E402
from tokenizers import AddedToken, ByteLevelBPETokenizer, Tokenizer, decoders, models, pre_tokenizers  # noqa: E402
from transformers import (AutoTokenizer, GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel, GPT2TokenizerFast,  # noqa: E402
                          PreTrainedTokenizerFast)

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "model" / "files"
LINE = transformers.__version__.split(".")[0]
EOT = "<|endoftext|>"
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("o", "l"), ("ol", "d"), ("Ġ", "old")]
TEXTS = ["the old man", " the old man's <X>hat [PAD] .", "Hello , world ! do n't " + EOT + "e\u0301 \u4f60  zebra <Y>x\n\n", "",
         "a \u00a0\u3000<X> \n[PAD] \t <X>[PAD]  zebra\u2003the<X> zebra  <X>"]
PROMPT = [256, 261, 32]


def alphabet():
    """Byte to character, as GPT-2 spells bytes."""
    same = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in same]
    return {b: chr(b) if b in same else chr(256 + moved.index(b)) for b in range(256)}


def vocabulary():
    vocab = {char: byte for byte, char in alphabet().items()}
    for left, right in MERGES:
        vocab[left + right] = len(vocab)
    vocab[EOT] = len(vocab)
    return vocab


def plain_files(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary(), ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES))
    return str(folder / "vocab.json"), str(folder / "merges.txt")


def fast(**settings):
    scratch = ROOT / "scratch"
    plain_files(scratch)
    tokenizer = GPT2TokenizerFast.from_pretrained(str(scratch), **settings)
    shutil.rmtree(scratch)
    return tokenizer


def with_pad(tokenizer):
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    return tokenizer


def with_specials():
    tokenizer = with_pad(fast())
    tokenizer.add_special_tokens({"additional_special_tokens": ["<X>", "<Y>"]} if LINE == "4" else
                                 {"extra_special_tokens": ["<X>", "<Y>"]})
    tokenizer.add_tokens(["zebra"])
    return tokenizer


def strips():
    tokenizer = fast()
    tokenizer.add_special_tokens({"mask_token": AddedToken("<X>", lstrip=True, normalized=False, special=True),
                                  "sep_token": AddedToken("[PAD]", rstrip=True, normalized=False, special=True)})
    tokenizer.add_tokens([AddedToken("zebra", lstrip=True, rstrip=True)])
    return tokenizer


def after_a_call():
    tokenizer = fast()
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer(["the", "the old man"], padding=True, truncation=True, max_length=8)
    return tokenizer


def slow():
    from transformers import GPT2Tokenizer
    scratch = ROOT / "scratch"
    vocab, merges = plain_files(scratch)
    tokenizer = GPT2Tokenizer(vocab, merges)
    shutil.rmtree(scratch)
    return with_pad(tokenizer)


def backend():
    raw = Tokenizer(models.BPE(vocab=vocabulary(), merges=MERGES))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=EOT, pad_token="[PAD]")


def trained():
    """As a tutorial trains one: bytes that the text lacks have no token."""
    raw = ByteLevelBPETokenizer()
    raw.train_from_iterator(["the old man's hat , do n't worry ! Hello world"] * 3, vocab_size=300, min_frequency=2,
                            special_tokens=[EOT, "[PAD]"])
    raw = raw._tokenizer
    vocab = json.loads(raw.to_str())["model"]["vocab"]
    keep = [t for t in vocab if len(t) > 1 or t in set("theoldman'sHwry,!") | {"Ġ"}]
    fewer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(keep)}, merges=[]))
    fewer.pre_tokenizer, fewer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=fewer, eos_token=EOT)


TOKENIZERS = {
    "plain": fast,
    "pad": lambda: with_pad(fast()),
    "specials": with_specials,
    "strips": strips,
    "after_a_call": after_a_call,
    "prefix_space": lambda: fast(add_prefix_space=True),
    "clean_up": lambda: fast(clean_up_tokenization_spaces=True),
    "split_special": lambda: fast(split_special_tokens=True),
    "backend": backend,
    "few_bytes": trained,
}


def config(**settings):
    return GPT2Config(vocab_size=263, n_positions=32, n_embd=4, n_layer=1, n_head=1, bos_token_id=262, eos_token_id=262,
                      initializer_range=0.5, **settings)


def generation(model):
    """A generation config as calls leave it: settings of all kinds that change nothing in a greedy run of 6 tokens."""
    model.generation_config.max_new_tokens = 6
    model.generation_config.pad_token_id = 262
    model.generation_config.suppress_tokens = []
    model.generation_config.begin_suppress_tokens = []
    model.generation_config.eos_token_id = [262, 300]
    model.generation_config.return_dict_in_generate = True
    return model


def lm(**settings):
    torch.manual_seed(6)
    return GPT2LMHeadModel(config(**settings))


def resized():
    model = lm()
    torch.manual_seed(6)
    model.resize_token_embeddings(264)
    return model


def labelled():
    torch.manual_seed(7)
    names = {0: "bad", 1: "good", 2: "no idea"}
    return GPT2ForSequenceClassification(config(id2label=names, label2id={v: k for k, v in names.items()}, pad_token_id=262,
                                                problem_type="single_label_classification"))


MODELS = {"lm": (lm, "plain"), "generation": (lambda: generation(lm()), "plain"), "pad_not_resized": (lm, "pad"),
          "resized": (resized, "pad"), "labels": (labelled, "after_a_call")}


def keep_weights(folder, kind):
    """Weights stand once; both lines must make the same ones."""
    (ROOT / "weights").mkdir(exist_ok=True)
    one = ROOT / "weights" / f"{kind}.safetensors"
    made = folder / "model.safetensors"
    if one.exists():
        from safetensors.torch import load_file
        old, new = load_file(one), load_file(made)
        assert old.keys() == new.keys() and all(torch.equal(old[k], new[k]) for k in old), f"{made} is not {one}"
        made.unlink()
    else:
        made.rename(one)


def write():
    for name, make in TOKENIZERS.items():
        folder = ROOT / f"{name}_{LINE}"
        shutil.rmtree(folder, ignore_errors=True)
        make().save_pretrained(folder)
        for unread in ("vocab.json", "merges.txt"):  # beside a tokenizer.json
            (folder / unread).unlink(missing_ok=True)
        (folder / "config.json").write_text('{"model_type": "gpt2"}\n')
    if LINE == "4":
        folder = ROOT / "slow_4"
        shutil.rmtree(folder, ignore_errors=True)
        slow().save_pretrained(folder)
        (folder / "config.json").write_text('{"model_type": "gpt2"}\n')
    kinds = {"lm": "lm", "generation": "lm", "pad_not_resized": "lm", "resized": "resized", "labels": "labels"}
    for name, (make, tokenizer) in MODELS.items():
        folder = ROOT / f"model_{name}_{LINE}"
        shutil.rmtree(folder, ignore_errors=True)
        make().save_pretrained(folder)
        keep_weights(folder, kinds[name])
        (folder / "kind").write_text(f"{kinds[name]} {tokenizer}_{LINE}\n")


def texts_of(folder):
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]
    return {"ids": ids, "texts": [tokenizer.decode(row) for row in ids],
            "beyond": tokenizer.decode([256, 4000, 258])}


def model_of(folder):
    kind, tokenizer = (folder / "kind").read_text().split()
    weights = folder / "model.safetensors"
    shutil.copy(ROOT / "weights" / f"{kind}.safetensors", weights)
    try:
        if kind == "labels":
            model = GPT2ForSequenceClassification.from_pretrained(str(folder))
            classify = transformers.pipeline("text-classification", model=model,
                                             tokenizer=AutoTokenizer.from_pretrained(str(ROOT / tokenizer)))
            return {"labels": [[best["label"], round(best["score"], 5)] for best in classify(TEXTS[:2])]}
        model = GPT2LMHeadModel.from_pretrained(str(folder))
        more = {} if model.generation_config.max_new_tokens else {"max_new_tokens": 4}
        out = model.generate(torch.tensor([PROMPT]), attention_mask=torch.ones(1, len(PROMPT), dtype=torch.int64),
                             return_dict_in_generate=False, **more)
        return {"prompt": PROMPT, "generated": out[0, len(PROMPT):].tolist()}
    finally:
        weights.unlink()


def read():
    path = ROOT / "golden.json"
    golden = json.loads(path.read_text()) if path.exists() else {}
    golden["texts"] = TEXTS
    golden.setdefault("cases", {})
    for folder in sorted(p for p in ROOT.iterdir() if p.is_dir() and p.name != "weights"):
        case = golden["cases"].setdefault(folder.name, {})
        try:
            case[LINE] = model_of(folder) if folder.name.startswith("model_") else texts_of(folder)
        except Exception as error:  # noqa: BLE001: whatever it is, this line can't load the folder
            case[LINE] = {"error": type(error).__name__}
    golden["cases"] = {name: case for name, case in golden["cases"].items() if (ROOT / name).is_dir()}
    path.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    {"write": write, "read": read}[ARGS.step]()

#!/usr/bin/env python3
"""Random added tokens, flags and texts through tfrun's tokenizer and Hugging Face `tokenizers`: every difference is printed.

Tokens are short and long, hold each other and blanks of all kinds; texts are random or made of the
tokens. What makes `tokenizers` itself panic (a token inside the blanks that another took along) is counted and passed over.
"""

import argparse
import copy
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

import argtypes


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=argtypes.holding("bin/tokenize_driver"), help="folder that has bin/tokenize_driver")
    parser.add_argument("rounds", type=argtypes.at_least_one, nargs="?", default=300, help="random tokenizers [300]")
    parser.add_argument("seed", type=int, nargs="?", default=1)
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("tokenizers")

from tokenizers import Tokenizer  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASE = ROOT / "tests" / "model" / "files" / "plain_5" / "tokenizer.json"
LETTERS = "ab <\n\u00e9\u3000"


def random_tokenizer(rng, base):
    tokenizer = copy.deepcopy(base)
    contents = []
    for _ in range(rng.randint(1, 12)):
        content = "".join(rng.choice(LETTERS) for _ in range(rng.randint(1, rng.choice([2, 4, 90]))))
        if content in contents or content in tokenizer["model"]["vocab"]:
            continue
        special = rng.random() < 0.5
        tokenizer["added_tokens"].append({
            "id": 263 + len(contents), "content": content, "single_word": False, "lstrip": rng.random() < 0.3,
            "rstrip": rng.random() < 0.3, "normalized": special if rng.random() < 0.3 else not special, "special": special})
        contents.append(content)
    tokenizer["pre_tokenizer"]["add_prefix_space"] = rng.random() < 0.3
    return tokenizer, contents


def random_texts(rng, contents):
    texts = ["".join(rng.choice(LETTERS + "the ") for _ in range(rng.randint(0, 60))) for _ in range(6)]
    parts = [*contents, "a", " ", "b", "the old"]
    return texts + ["".join(rng.choice(parts) for _ in range(rng.randint(1, 10))) for _ in range(6)]


def ours(driver, path, texts, plain):
    requests = b"".join(b"e" + struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    answer = subprocess.run([driver, path] + ["plain"] * plain, input=requests, stdout=subprocess.PIPE, check=True).stdout
    at, rows = 0, []
    for _ in texts:
        (size,) = struct.unpack_from("<I", answer, at)
        rows.append(list(struct.unpack_from(f"<{size // 4}i", answer, at + 4)))
        at += 4 + size
    return rows


def main(args):
    driver = args.build / "bin" / "tokenize_driver"
    rng, base = random.Random(args.seed), json.loads(BASE.read_text())
    compared = panics = faults = 0
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tokenizer.json"
        for _ in range(args.rounds):
            tokenizer, contents = random_tokenizer(rng, base)
            path.write_text(json.dumps(tokenizer))
            reference = Tokenizer.from_file(str(path))
            texts = random_texts(rng, contents)
            for plain in (False, True):
                reference.encode_special_tokens = plain
                for text, have in zip(texts, ours(driver, path, texts, plain)):
                    try:
                        want = reference.encode(text).ids
                    except BaseException:  # noqa: BLE001: a panic of Rust's is no Exception
                        panics += 1
                        continue
                    compared += 1
                    if have != want:
                        faults += 1
                        print(repr(text), tokenizer["added_tokens"][1:], have, "is not", want, sep="\n  ")
    print(f"{compared} texts compared, {faults} differ; tokenizers itself failed on {panics}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(ARGS))

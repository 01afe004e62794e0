#!/usr/bin/env python3
"""Compares the tokenizer with Hugging Face `tokenizers`, id by id.

    scripts/check_tokenizer.py build/bin/tokenize_driver configs/tokenizer/gpt2 --books DIR --seed 1 --random 100000

The folder holds vocab.json and merges.txt. Compared: every file of DIR; every Unicode code point alone and as
"a" + c + "b"; random strings; decoding of random ids (whole characters and not, special tokens kept and skipped);
and, with folders made on the fly, tokenizer.json in both spellings of merges, add_prefix_space, added tokens, and
special tokens as plain text. Prints one line a part and ends with status 1 if anything differs.
"""

import argparse
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
    parser.add_argument("program", type=argtypes.program, help="tests' tokenize_driver")
    parser.add_argument("folder", type=argtypes.holding("vocab.json", "merges.txt"), help="vocab.json and merges.txt of GPT-2")
    parser.add_argument("--books", type=argtypes.folder, help="folder of text files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=100000, help="number of random strings")
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("tokenizers")

from tokenizers import AddedToken, Tokenizer, __version__, decoders, models, pre_tokenizers  # noqa: E402

EOT = "<|endoftext|>"
SCRIPTS = [(0x20, 0x7F), (0xA0, 0x180), (0x370, 0x400), (0x400, 0x500), (0x590, 0x600), (0x600, 0x700),
           (0x900, 0x980), (0xE00, 0xE80), (0x1100, 0x1200), (0x2000, 0x2070), (0x2070, 0x20D0), (0x2150, 0x2190),
           (0x3000, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xFB00, 0xFE00), (0x1D400, 0x1D800),
           (0x1F300, 0x1F700), (0x10000, 0x10FFFF)]
BLANKS = [" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u0085", "\u2028", "\u3000", "\u200b", "\ufeff",
          "\x1c", "\x1f", "\u180e", "\u202f"]
BITS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'", "''", "'l", "'r", "’s", "don't", "we'll've", "0", "42",
        "²", "½", "x1y2", "e\u0301", "\u0301", "!", "...", "<|", EOT, EOT[:-1], "The", "the", "hello", "\ufffd"]


class Driver:
    """The program under test as a child with pipes."""

    def __init__(self, program, folder, *mode):
        self.child = subprocess.Popen([program, str(folder), *mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, kind, body):
        self.child.stdin.write(kind + struct.pack("=I", len(body)) + body)
        self.child.stdin.flush()
        header = self.child.stdout.read(4)
        if len(header) != 4:
            sys.exit("check_tokenizer.py: the driver ended early")
        return self.child.stdout.read(struct.unpack("=I", header)[0])

    def encode(self, text):
        answer = self.ask(b"e", text.encode())
        return list(struct.unpack(f"={len(answer) // 4}i", answer))

    def decode(self, ids):
        return self.ask(b"d", struct.pack(f"={len(ids)}i", *ids)).decode()

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def gpt2(folder, add_prefix_space=False):
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([EOT])
    return tokenizer


def random_text(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(64)).decode(errors="replace")
    if kind == 1:
        low, high = rng.choice(SCRIPTS)
        text = "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(40)))
        return text.encode(errors="replace").decode()
    parts = []
    for _ in range(rng.randrange(1, 14)):
        pick = rng.randrange(4)
        if pick == 0:
            parts.append(rng.choice(BLANKS))
        elif pick == 1:
            parts.append(rng.choice(BITS))
        elif pick == 2 or kind == 2:
            parts.append("".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCDE") for _ in range(rng.randrange(1, 9))))
        else:
            low, high = rng.choice(SCRIPTS)
            point = rng.randrange(low, high)
            parts.append("\ufffd" if 0xD800 <= point < 0xE000 else chr(point) * rng.randrange(1, 4))
    return "".join(parts) * (20 if rng.random() < 0.01 else 1)


class Report:
    def __init__(self):
        self.failed = 0

    def compare(self, name, cases, ours, theirs):
        n = bad = 0
        for case in cases:
            n += 1
            mine, reference = ours(case), theirs(case)
            if mine != reference:
                bad += 1
                if bad <= 3:
                    print(f"  {name}: {case!r:.200}\n    ours   {mine!r:.200}\n    theirs {reference!r:.200}")
        print(f"{name}: {n} compared, {bad} differ", flush=True)
        self.failed += bad


def code_points():
    return [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def check_plain(report, args):
    reference, driver = gpt2(args.folder), Driver(args.program, args.folder)
    theirs = lambda text: reference.encode(text).ids
    if args.books is not None:
        books = sorted(path for path in args.books.iterdir() if path.is_file())
        texts = [path.read_bytes().decode(errors="replace") for path in books]
        report.compare(f"books ({sum(len(t.encode()) for t in texts)} bytes)", texts, driver.encode, theirs)
        report.compare("books decoded", texts, lambda t: driver.decode(driver.encode(t)), lambda t: t)
    report.compare("code points alone", code_points(), driver.encode, theirs)
    report.compare("code points between letters", ["a" + c + "b" for c in code_points()], driver.encode, theirs)
    report.compare("code points after a space and a number", [" " + c + "1" + c for c in code_points()],
                   driver.encode, theirs)
    rng = random.Random(args.seed)
    report.compare(f"random strings, seed {args.seed}", (random_text(rng) for _ in range(args.random)),
                   driver.encode, theirs)
    check_long(report, driver, theirs, rng)
    check_decode(report, args, reference, driver)
    driver.close()


def check_long(report, driver, theirs, rng):
    letters = "etaoinshrdlu"
    texts = ["".join(rng.choice(letters) for _ in range(n)) for n in (47, 48, 49, 50, 1000, 20000) for _ in range(20)]
    texts += [c * n for c in "a !\n0é漢" for n in (1, 2, 3, 48, 49, 97, 5000)]
    report.compare("long pieces", texts, driver.encode, theirs)


def check_decode(report, args, reference, driver):
    rng = random.Random(args.seed + 1)
    n_ids = reference.get_vocab_size()
    raw = [reference.token_to_id(t) for t in pre_tokenizers.ByteLevel.alphabet()]
    cases = []
    for _ in range(args.random // 5):
        pool = raw if rng.random() < 0.5 else range(n_ids)
        cases.append([rng.choice(pool) if rng.random() > 0.05 else n_ids - 1 for _ in range(rng.randrange(20))])
    report.compare("random ids decoded", cases, driver.decode,
                   lambda ids: reference.decode(ids, skip_special_tokens=False))
    skipping = Driver(args.program, args.folder, "plain")
    report.compare("random ids decoded, special skipped", cases, skipping.decode,
                   lambda ids: reference.decode(ids, skip_special_tokens=True))
    skipping.close()


def variants(folder):
    """Name, tokenizer, whether merges are written in the old way."""
    for prefix in (False, True):
        for old in (False, True):
            yield f"tokenizer.json, prefix space {prefix}, old merges {old}", gpt2(folder, prefix), old
    added = gpt2(folder)
    added.add_tokens([AddedToken("<tag>", normalized=True), AddedToken("<tag>x", normalized=False), "ab", "abc", "é!",
                      AddedToken("the", normalized=False)])
    added.add_special_tokens(["<|end", "<pad>", "<pad><pad>"])
    yield "tokenizer.json, added tokens", added, False


def check_variants(report, args):
    for name, reference, old in variants(args.folder):
        with tempfile.TemporaryDirectory() as folder:
            data = json.loads(reference.to_str())
            if old:
                data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
            (pathlib.Path(folder) / "tokenizer.json").write_text(json.dumps(data))
            for mode in ((), ("plain",)):
                reference.encode_special_tokens = bool(mode)
                rng = random.Random(args.seed + 2)
                words = ["<tag>", "x", "ab", "abc", "é!", "the", "<|end", "<pad>", EOT, " "]
                texts = [random_text(rng) + "".join(rng.choices(words, k=6)) + random_text(rng)
                         for _ in range(args.random // 50)] + ["", " ", "a", EOT, "a" + EOT]
                driver = Driver(args.program, folder, *mode)
                report.compare(name + (", special as text" if mode else ""), texts, driver.encode,
                               lambda text: reference.encode(text).ids)
                driver.close()


def main(args):
    print(f"tokenizers {__version__}")
    report = Report()
    check_plain(report, args)
    check_variants(report, args)
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main(ARGS)

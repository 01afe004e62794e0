#!/usr/bin/env python3
"""Writes tests/model/golden/tokenizer_cases.json: tricky strings with the ids of Hugging Face `tokenizers`.

`encode` holds texts and ids (special tokens parsed; `plain` where the ids differ when they are text), `decode` ids and
texts, among them ids that end inside a character. No text holds U+0000, which our JSON reader refuses.
"""

import argparse
import json
import pathlib
import random

import argtypes

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=argtypes.holding("vocab.json", "merges.txt"), nargs="?", default=str(ROOT / "configs" / "tokenizer" / "gpt2"),
                        help="vocab.json and merges.txt [configs/tokenizer/gpt2]")
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from check_tokenizer import BITS, BLANKS, EOT, SCRIPTS, gpt2, random_text  # noqa: E402

TEXTS = [
    "", " ", "  ", "Hello, world!", "It's they're I'll we'd you've I'm can't", "IT'S 'S 's", "x'sy", "''s", " 's", "!'s",
    "a  b", "a   b", "a \n b", "a\n\n\nb", "line\r\nline", "\tindent", "trailing  ", "  leading", "\n", "\n ", " \n",
    "a\u00a0b", "a\u00a0 b", "a\u0085b", "a\u2028b", "a\u3000\u3000b", "a\u200bb", "\ufeffa", "a\x1cb\x1fc", "a\u180eb",
    "e\u0301te\u0301", "नमस्ते दुनिया", "สวัสดี", "日本語のテキスト", "한국어", "العربية", "עברית", "Ünïcödé", "ǅ ǈ", "ªº",
    "x² ½ Ⅻ ①", "٣٤٥", "12345 6 7.8e-9", "3rd 4th", "a1b2", "_under_score", "snake_case CamelCase", "👋🏽 👨‍👩‍👧 🇩🇪", "🤷",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛", "\U000e0001tag", "\U0010ffff", "\ufffd\ufffd", "\u1c89\ua7cb\U00010d40", "http://a.b/c?d=e&f#g",
    "for (int i = 0; i < n; i++) { a[i] += 1; }", '{"key": [1, 2]}', "don’t", "“quoted”", "a—b", "…",
    "$5.00 £3 €2", "%" * 30,
    "ab" * 100, "a" * 47, "a" * 48, "a" * 49, "a" * 50, " " * 60, "\n" * 49, "!" * 200,
    "antidisestablishmentarianism" * 4,
    EOT, EOT + EOT, "a" + EOT + "b", " " + EOT + " ", "<|endoftext|", "<|endoftext|>>", "<" + EOT, "a  " + EOT + "  b",
]
DECODED = [[], [50256], [447], [447, 247], [447, 50256, 247], [247], [247, 247], [172, 253, 97], [172, 253],
           [97, 253, 172, 33],
           [220, 50256, 220], [15496, 11, 995, 0]]


def encode_case(tokenizer, text):
    tokenizer.encode_special_tokens = False
    case = {"text": text, "ids": tokenizer.encode(text).ids}
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text).ids
    return case if plain == case["ids"] else {**case, "plain": plain}


def main(args):
    tokenizer = gpt2(args.folder)
    rng = random.Random(1)
    texts = list(TEXTS) + ["a" + blank + "b" for blank in BLANKS] + BITS + ["a" + chr(low) + "b" for low, _ in SCRIPTS]
    while len(texts) < 400:
        text = random_text(rng)
        if "\0" not in text:
            texts.append(text)
    decoded = DECODED + [[rng.randrange(94, 256) for _ in range(12)] for _ in range(60)]
    lines = ['{"encode": [']
    lines.append(",\n".join(json.dumps(encode_case(tokenizer, text), separators=(",", ":")) for text in texts))
    lines.append('],\n"decode": [')
    lines.append(",\n".join(json.dumps({"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False),
                                        "skipped": tokenizer.decode(ids, skip_special_tokens=True)},
                                       separators=(",", ":")) for ids in decoded if "\0" not in tokenizer.decode(ids)))
    lines.append("]}")
    (ROOT / "tests" / "model" / "golden" / "tokenizer_cases.json").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(ARGS)

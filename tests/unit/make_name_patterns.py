#!/usr/bin/env python3
"""Write tests/unit/name_patterns.txt: patterns, a name, and whether Python's re says that all of it, its end or a middle matches.

    tests/unit/make_name_patterns.py > tests/unit/name_patterns.txt

A line is pattern, name and a word of three signs, between tabs: y or n for each part; xxx where re takes the pattern for none.
Those that tfrun does not know are left out: test_name_pattern.c has them.
"""
import random
import re
import warnings

NAMES = ["transformer.h.0.attn.c_attn", "transformer.h.11.mlp.c_proj", "h.1.attn.c_proj", "c_attn", "lm_head", "a.b", "ab-1]", "a", ""]
FIXED = [r"c_attn", r".*", r"h\.\d+\.(attn|mlp)\.c_\w+", r"^transformer\.h\.[0-4]\.attn\.c_attn$", r"(transformer\.)?h\.(0|1)+\.(attn|mlp)\.c_(attn|proj)",
         r"((attn|mlp)\.)*c_attn", r"([a-z]+\.|[0-9]+\.)+c_\w+", r"(?:attn|mlp)\.c_(?:attn|proj)", r".*?\.c_\w+?", r"h.1", r"attn", r"[^.]+", r"c_[[:alpha:]]+",
         r"ab-1\]", r"[]ab1-]+", r"[^]]+", r"[a\-\]b1]+", r"[\w.]+", r"[\d]", r"()*", r"(|a)+", r"a||b", r"a$", r"^a", r"a^b", r"(^a|b$)", r"(a", r"a)", r"*a",
         r"a|*", r"[a", r"[", r"[b-a]", r"[\d-z]", r"[a-\w]", "\\", "[\\", r"^*", r"(.*)*", r"((a*)*)*b", r"(a|b|ab)*", r"\_\-\.", r"}", r"]", r"(.*a)?.b"]
PIECES = ["a", "b", ".", r"\.", r"\d", r"\w", "[ab]", "[^.]", "[a-h]", "c_attn", "h", "attn", "(a|b)", "(?:c_|h)", "^", "$", "[]a.]", "lm", "_", "1"]


def random_pattern(r, depth=0):
    text = ""
    for _ in range(r.randint(1, 4)):
        piece = f"({random_pattern(r, depth + 1)})" if depth < 3 and r.random() < 0.25 else r.choice(PIECES)
        text += piece + (r.choice(["*", "+", "?", "*?", "+?"]) if r.random() < 0.35 and piece not in "^$" else "") + ("|" if r.random() < 0.15 else "")
    return text


def verdict(pattern, name):
    try:
        return "".join("ny"[re.fullmatch(text, name) is not None] for text in (pattern, rf"(.*\.)?({pattern})", rf"(.*\.)?({pattern})(\..*)?"))
    except re.error:
        return "xxx"


def main():
    warnings.simplefilter("ignore")
    r = random.Random(11)
    for pattern in FIXED + [random_pattern(r) for _ in range(1500)]:
        for name in NAMES if pattern in FIXED else r.sample(NAMES, 2):
            if name:
                print(pattern, name, verdict(pattern, name), sep="\t")


if __name__ == "__main__":
    main()

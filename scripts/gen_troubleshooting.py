#!/usr/bin/env python3
"""Write docs/troubleshooting.md: every sentence that tfrun says on failure or as a warning, with its cause and fix.

    scripts/gen_troubleshooting.py             writes it
    scripts/gen_troubleshooting.py --check     exits 1 if it is not what would be written, or if a sentence has no fix
    scripts/gen_troubleshooting.py TEXT        finds the sentence that TEXT is, with its cause and fix

The sentences are read from the C sources (scripts/messages.py). docs/troubleshooting.toml gives areas, and entries with cause and fix. A
sentence needs an entry that matches it, or it names the fix itself (NAMES_FIX).
"""
import argparse
import re
import sys
import tomllib
from fnmatch import fnmatch

from gen_config_doc import read_rows, value_of
from messages import ROOT, Reader, Sentence, own_words

TABLE, PAGE = ROOT / "docs" / "troubleshooting.toml", ROOT / "docs" / "troubleshooting.md"
VERBS = ("give leave take say write save use run ask choose name shorten fetch build rebuild convert correct mend put merge try start add set "
         "raise lower open quantise install load allow look pass export unset describe stop make come send close spread number point list "
         "change chmod quote set shorten trust").split()
# What makes a sentence name its own fix: an order behind a stop, the value or the range that is taken, the word that was meant.
NAMES_FIX = re.compile(
    rf"[;:,(] ?(?:or |then )?(?:{'|'.join(VERBS)})\b|did you mean|did_you_mean|\bdocs/\w+\.md|^(?:give|say|the command comes first)\b"
    r"|--[a-z-]+ (?:names|allows|leaves|finds|takes)| must be |is (?:outside|not in) <?\d*|is (?:none|not one|neither) |1 to <|at most"
    r"|; (?:only|known are|it is|`tfrun|it needs|needs|they have)|the (?:limit|most) is|`tfrun [a-z]+`|is not a (?:whole )?number|is not a list|is not A\.\.B"
    r"|takes (?:no|one|KEY)|one \w+ is enough| needs? (?:a value|at least|1 or|one)|is true or false|: it is one of")
ENDINGS = {"goes on": "", "part": "", "warning": "warning", "error of a library": "error", "of what failed": "as what failed",
           "a failed request": "a failed request"}

# What findings.def has for what differs.
PLACES = {"%n": "<ranks>", "%m": "<ranks that fit>", "%c": "<cores>", "%i": "<interface>", "%%": "%"}
# Words that do not tell one sentence from another.
COMMON = set("is not no one of an the it its or and to be in on at as by for with are has did you mean give than that there here".split())
SYSTEM_WORDS = re.compile(r"`([A-Z][a-z]+(?: [a-z]+)+)`")


class Table:
    def __init__(self):
        with open(TABLE, "rb") as file:
            table = tomllib.load(file)
        self.areas, self.entries = table["area"], table["entry"]
        self.used = [0] * len(self.entries)

    def entry_of(self, sentence):
        for number, entry in enumerate(self.entries):
            if fits(entry, sentence):
                self.used[number] += 1
                return number
        return None

    def area_of(self, sentence):
        for area in self.areas:
            if any(fnmatch(sentence.path, glob) for glob in area["files"]):
                return area["name"]
        return None


def fits(entry, sentence):
    """A text of `also`; or `files` and `texts` both, where both are given."""
    if any(re.search(text, sentence.text) for text in entry.get("also", ())):
        return True
    in_file = "files" not in entry or any(fnmatch(sentence.path, glob) for glob in entry["files"])
    return in_file and ("texts" not in entry or any(re.search(text, sentence.text) for text in entry["texts"]))


def statuses():
    """Exit codes by status, and HTTP's status by error."""
    types = (ROOT / "core/include/tfrun/types.h").read_text()
    codes = {f"TFR_{name}": int(code) for name, code in re.findall(r'X\((\w+), (\d+), "', types)}
    errors = read_rows(ROOT / "core/app/http/errors.def", "TFR_ERROR", ("name", "status", "type", "code", "text"))
    return codes, {f"TFR_ERROR_{row['name']}": row["status"] for row in errors}


def from_tables():
    """Sentences that stand in tables."""
    for row in read_rows(ROOT / "core/app/http/errors.def", "TFR_ERROR", ("name", "status", "type", "code", "text")):
        yield Sentence(value_of(row["text"]), "core/app/http/errors.def", row["name"], 0, {f"TFR_ERROR_{row['name']}"})
    for row in read_rows(ROOT / "core/app/http/http_faults.def", "TFR_HTTP_FAULT", ("name", "status", "code", "text")):
        yield Sentence(value_of(row["text"].removesuffix(")")), "core/app/http/http_faults.def", row["name"], 0, {f"HTTP {row['status']}"})
    for row in read_rows(ROOT / "parallel/topo/findings.def", "TFR_FINDING", ("NAME", "name", "at_start", "fix")):
        yield Sentence(f"fix: {re.sub('%.', lambda place: PLACES[place[0]], value_of(row['fix']))}", "parallel/topo/findings.def", row["NAME"], 0, {"warning"})


def ending(sentence, codes, errors):
    """How it ends, in words: "exit 3", "HTTP 400", "warning"."""
    words = set()
    for end in sentence.ends:
        if end in codes:
            words.add(f"exit {codes[end]}")
        elif end in errors:
            words.add(f"HTTP {errors[end]}")
        elif end != "TFR_STATUS_COUNT":
            words.add(ENDINGS.get(end, end))
    return ", ".join(sorted(words - {""}))


def code(text):
    """As a code span, whatever backticks are in it."""
    text = text.replace("\n", " ")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def told(words):
    return [text for text in words if len(own_words(text)) >= 2 and len(text.split()) >= 3]


def lines_of(sentences, codes, errors):
    """Alike sentences once; a hole's words below where they are sentences themselves."""
    lines = {}
    for sentence in sentences:
        end = ending(sentence, codes, errors)
        line = f"- {code(sentence.text)}" + (f" ({end})" if end else "")
        words = lines.setdefault(line, {})
        for name, texts in sentence.words.items():
            if told(texts):
                words.setdefault(name, []).extend(text for text in told(texts) if text not in words.get(name, []))
    for line in sorted(lines, key=lambda line: re.sub(r"<[^>]*>|[^a-z]", "", line.lower())):
        yield line
        for name, texts in lines[line].items():
            yield f"  - {code(f'<{name}>')}: " + ", ".join(code(text.strip()) for text in texts)


HEAD = """# Troubleshooting

Written by `scripts/gen_troubleshooting.py` from the sentences in the sources and from `docs/troubleshooting.toml`, where causes and fixes
stand; do not edit. `lint.troubleshooting` fails where a sentence of the sources has no fix.

Look for the words of the message: `<angle brackets>` stand for what differs from case to case. Search for some that do not, with cause and fix above them;
or, where the sources are, let the whole message be found:

```sh
grep -n "there is no such file" PREFIX/share/doc/tfrun/docs/troubleshooting.md
scripts/gen_troubleshooting.py "configs/nowhere: there is no such file; give a config.json or a model folder"
```

A message goes to stderr and begins with `tfrun: `. It names what is wrong (file, key, value, limit), and most name the fix; those stand in the
lists "The message names the fix". Some are put together: a line may be a place (`FILE:LINE:COLUMN:`) or a rank, and then one of
the sentences below. Behind each sentence stands how the command ends.

| Exit code | Means |
|---:|---|
"""


def exit_rows():
    types = (ROOT / "core/include/tfrun/types.h").read_text()
    by_code = {}
    for _, number, text in re.findall(r'X\((\w+), (\d+), "([^"]*)"\)', types):
        by_code.setdefault(int(number), []).append(text)
    return "".join(f"| {number} | {'; '.join(texts)} |\n" for number, texts in sorted(by_code.items()))


TAIL = """
"as what failed" is the exit code of what the message is about: 2 for the command line, 3 for a config, 4 for a model, 5 for what is missing.
`warning` and `error` go to stderr and the work goes on, or ends by the error that follows.
"""


def page(table, sentences):
    codes, errors = statuses()
    text = HEAD + exit_rows() + TAIL
    for area in table.areas:
        parts = []
        for number, entry in enumerate(table.entries):
            if entry["area"] == area["name"]:
                own = [sentence for sentence in sentences if sentence.entry == number]
                parts.append(f"### {entry['title']}\n\nCause: {entry['cause'].strip()}\n\nFix: {entry['fix'].strip()}\n\n" +
                             "\n".join(lines_of(own, codes, errors)))
        rest = [sentence for sentence in sentences if sentence.entry is None and table.area_of(sentence) == area["name"]]
        if rest:
            parts.append(f"### The message names the fix: {area['name'].lower()}\n\n" + "\n".join(lines_of(rest, codes, errors)))
        text += f"\n## {area['name']}\n\n" + "\n\n".join(parts) + "\n"
    return text


def complaints(table, sentences):
    for sentence in sentences:
        if sentence.entry is None and not NAMES_FIX.search(sentence.text):
            yield (f"{sentence.path}:{sentence.line}: \"{sentence.text}\" names no fix: say it in the sentence, or give cause and fix in "
                   "docs/troubleshooting.toml")
        if sentence.entry is None and table.area_of(sentence) is None:
            yield f"{sentence.path}: docs/troubleshooting.toml has no area for it"
    for number, entry in enumerate(table.entries):
        if not table.used[number]:
            yield f"docs/troubleshooting.toml: \"{entry['title']}\" matches no sentence: take it out"
        if entry["area"] not in {area["name"] for area in table.areas}:
            yield f"docs/troubleshooting.toml: there is no area \"{entry['area']}\""


def stripped(text):
    return text.strip().removeprefix("tfrun: ").strip()


def literal(sentence):
    return re.sub(r"<[^>]*>", "", sentence.text)


def telling(text):
    """Its words without those that are in every second sentence, in the singular."""
    return {word.rstrip("s") for word in set(re.findall(r"[a-z]{2,}", text.lower())) - COMMON}


def pattern_of(sentence):
    escaped = re.sub(r"[.^$*+?{}\[\]|()\\]", r"\\\g<0>", sentence.text)
    return re.sub(r"<[^>]*>", ".*?", escaped.replace(r"\(s\)", r"(?:s|\(s\))?"))


def said_in(sentences, text):
    """The sentences that a message can be, those with most words of their own first. Such as "<x> is not <y>" count only where no better one is."""
    text = stripped(text)
    found = [sentence for sentence in sentences if len(own_words(sentence.text)) >= 2 and re.search(pattern_of(sentence), text)]
    tells = {id(sentence): len(telling(literal(sentence))) for sentence in found}
    found.sort(key=lambda sentence: (min(tells[id(sentence)], 2), len(literal(sentence))), reverse=True)
    if not found:
        return []
    best, length = tells[id(found[0])], len(literal(found[0]))
    if best >= 2:
        return [sentence for sentence in found if tells[id(sentence)] >= 2]
    return [sentence for sentence in found if tells[id(sentence)] == best and len(literal(sentence)) >= 0.8 * length]


def nearest(sentences, text):
    """Sentences that hold a text which is cut short, or share most of their telling words with one that is not quite what tfrun says."""
    held = [sentence for sentence in sentences if len(stripped(text)) > 3 and stripped(text).lower() in sentence.text.lower()]
    asked, near = telling(stripped(text)), []
    for sentence in sentences:
        own = telling(literal(sentence))
        common = asked & own
        if len(common) >= 3 and len(common) >= 0.75 * min(len(asked), len(own)):
            near.append((len(common) / len(asked | own), sentence))
    return held or [sentence for _, sentence in sorted(near, key=lambda pair: -pair[0])]


def entries_with(table, text):
    """Entries that have the text, or the system's words in it ("Too many open files"), in their cause or fix."""
    text = stripped(text).lower()
    found = [entry for entry in table.entries if text in f"{entry['title']}\n{entry['cause']}\n{entry['fix']}".lower()]
    quoted = [entry for entry in table.entries if any(words.lower() in text for words in SYSTEM_WORDS.findall(entry["cause"]))]
    return quoted or found


def advice(entry):
    return f"    cause: {entry['cause'].strip()}\n    fix: {entry['fix'].strip()}"


def show(table, sentence):
    end = ending(sentence, *statuses())
    print(f"{sentence.text}\n    said by {sentence.function}, {sentence.path}" + (f"; {end}" if end else ""))
    if sentence.entry is not None:
        print(advice(table.entries[sentence.entry]))
    else:
        print("    fix: as it says")


def look_up(table, sentences, text):
    """Prints what is known of a message; what stands in the way of knowing it, or None."""
    found = said_in(sentences, text)
    entries = [] if found else entries_with(table, text)
    for entry in entries[:3]:
        print(f"{entry['title']}\n{advice(entry)}")
    if not found and not entries:
        found = nearest(sentences, text)
        if found:
            print("no sentence is exactly this; nearest:")
    for sentence in found[:3]:
        show(table, sentence)
    return None if found or entries else f"no sentence of tfrun is like that: {text}"


def read():
    table, reader = Table(), Reader()
    sentences = [*reader.sentences(), *from_tables()]
    for sentence in sentences:
        sentence.entry = table.entry_of(sentence)
    return table, reader, sentences


def wrongs(table, reader, sentences):
    """What --check complains of."""
    wrong = [*reader.unknown_printers(), *complaints(table, sentences)]
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page(table, sentences):
        wrong.append("docs/troubleshooting.md is not what the sources say; run scripts/gen_troubleshooting.py")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", nargs="?", help="a message to look for")
    parser.add_argument("--check", action="store_true", help="compare only")
    arguments = parser.parse_args()
    table, reader, sentences = read()
    if arguments.text:
        sys.exit(look_up(table, sentences, arguments.text))
    if not arguments.check:
        PAGE.write_text(page(table, sentences), encoding="utf-8")
    wrong = wrongs(table, reader, sentences)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()

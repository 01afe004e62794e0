"""make_variants.py - inputs that differ from a committed one in one member: make_variants.py FOLDER [TARGET...] writes FOLDER/TARGET/*.

Of every JSON document in the corpus, alone or a part of an input of several files, each member is left out once and has each of a
few other values, wherever it stands first. Readers refuse most of them: that is what a guided run takes long to find. What reaches
something new, `scripts/fuzz merge` keeps (FOLDER is build-fuzz/kept then).
"""
import copy
import hashlib
import json
import pathlib
import re
import sys

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
OTHERS = [None, True, False, -1, 0, 2, 64, 1.5, 1e300, "", "x", "x" * 600, "a\nb", [], ["x"], [1], {}, {"x": 1}]
ABSENT = object()


def documents(data):
    """(bytes before, document, bytes behind) of each in the input."""
    pieces = re.split(rb"(?m)^(=== [^\n]*\n)", data)
    at = 0
    for piece in pieces:
        try:
            document = json.loads(piece)
        except ValueError:
            document = None
        if isinstance(document, (dict, list)):
            yield data[:at], document, data[at + len(piece):]
        at += len(piece)


def places(node, path=()):
    for key in list(node) if isinstance(node, dict) else range(min(len(node), 64)):
        yield path + (key,)
        if isinstance(node[key], (dict, list)):
            yield from places(node[key], path + (key,))


def changed(document, path, value):
    made = copy.deepcopy(document)
    node = made
    for key in path[:-1]:
        node = node[key]
    if value is ABSENT:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return made


def write(folder, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("variant-" + hashlib.sha1(data).hexdigest())).write_bytes(data)


def variants(target, folder, most_bytes=24000, most_places=400):
    seen, count = set(), 0
    for path in sorted((CORPUS / target).iterdir(), key=lambda path: path.stat().st_size):
        data = path.read_bytes()
        if len(data) > most_bytes:
            continue
        for before, document, behind in documents(data):
            for place in places(document):
                sign = re.sub(rb"\W", b"", before[-60:]), tuple("#" if isinstance(key, int) else key for key in place)
                if sign in seen or len(seen) >= most_places:
                    continue
                seen.add(sign)
                for value in [ABSENT, *OTHERS]:
                    write(folder / target, before + json.dumps(changed(document, place, value)).encode() + (b"\n" if behind else b"") + behind)
                    count += 1
    print(f"{target}: {count} variants of {len(seen)} members")


if __name__ == "__main__":
    for name in sys.argv[2:] or [path.name for path in sorted(CORPUS.iterdir())]:
        variants(name, pathlib.Path(sys.argv[1]))

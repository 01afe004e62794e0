#!/usr/bin/env python3
"""Write docs/config.md, the table of docs/security.md and configs/schema.json from core/config/config.def.

    scripts/gen_config_doc.py           writes all three
    scripts/gen_config_doc.py --check   exits 1 if one is not what would be written

The table is the only source: every option of tfrun stands in it once.
"""
import argparse
import ast
import json
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join(ROOT, "core", "config", "config.def")
FIELDS = ("member", "key", "type", "trust", "default", "min", "max", "choices", "flag", "short", "operand", "help")
LIST_FLAGS = {"LIST": " (repeatable)"}


def split_arguments(text):
    """Arguments of one macro call, cut at commas outside of string and character literals."""
    return [part.strip() for part in re.findall(r'(?:"(?:\\.|[^"\\])*"|\'[^\']*\'|[^,"\'])+', text)]


def value_of(text):
    if text in ("NULL", "0"):
        return None
    if text.startswith('"'):
        return ast.literal_eval(text)
    if text.startswith("'"):
        return text[1:-1]
    return text


def read_rows(table, macro, columns):
    """The arguments of every line MACRO(...) of a table, by column, as they are written."""
    with open(table, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            found = re.match(rf"{macro}\((.*)\)\s*$", line)
            if not found:
                continue
            parts = split_arguments(found.group(1))
            if len(parts) != len(columns):
                sys.exit(f"{table}:{number}: {len(parts)} arguments, expected {len(columns)}")
            yield dict(zip(columns, parts))


def read_table():
    options = []
    for row in read_rows(TABLE, "TFR_OPTION", FIELDS):
        option = {name: value_of(part) for name, part in row.items()}
        option["min"], option["max"] = float(row["min"]), float(row["max"])
        options.append(option)
    return sorted(options, key=lambda option: "." in option["key"])  # top level first, otherwise as in the table


def plain(number):
    return int(number) if number == int(number) else number


def shown(number):
    short = f"{number:g}"
    return short if abs(number) >= 1e6 and float(short) == number else str(plain(number))


def default_value(option):
    text = option["default"]
    if option["type"] == "LIST":
        return []
    if text is None:
        return None
    if option["type"] == "BOOL":
        return text == "true"
    if option["type"] in ("INT", "REAL"):
        return plain(float(text))
    return text


def value_schema(option):
    kind = option["type"]
    bounds = {"minimum": plain(option["min"]), "maximum": plain(option["max"])}
    if kind == "BOOL":
        return {"type": "boolean"}
    if kind == "INT":
        return {"type": "integer", **bounds}
    if kind == "REAL":
        return {"type": "number", **bounds}
    if kind == "CHOICE":
        names = option["choices"].split("|")
        return {"enum": names + [name == "true" for name in names if name in ("true", "false")] + [int(name) for name in names if name.isdigit()]}
    if kind == "COUNT":
        return {"anyOf": [{"type": "integer", **bounds}, {"const": "auto"}]}
    if kind == "SEED":
        return {"anyOf": [{"type": "integer", **bounds}, {"type": "null"}]}
    if kind == "LIST":
        items = {"type": "array", "items": {"type": "string"}}
        if option["max"] > 0:
            items["maxItems"] = plain(option["max"])
        return {"anyOf": [items, {"type": "string"}, {"type": "null"}]}
    if kind == "JSON":
        return {}
    if kind == "PATH":
        return {"type": ["string", "null"], "minLength": 1}
    return {"type": ["string", "null"]}


DEVICE_MAP = {
    "description": "blocks of each rank, in the form of Hugging Face's parallelize: {\"0\": [0, 1], \"1\": [2, 3]}",
    "type": ["object", "null"],
    "patternProperties": {"^(0|[1-9][0-9]*)$": {"type": "array", "items": {"type": "integer", "minimum": 0},
                                                "minItems": 1}},
    "additionalProperties": False,
}


def schema(options):
    top = {"type": "object", "additionalProperties": False, "properties": {}}
    for option in options:
        if option["trust"] == "USER":
            continue
        place = top["properties"]
        *sections, name = option["key"].split(".")
        for section in sections:
            place = place.setdefault(section, {"type": "object", "additionalProperties": False,
                                               "properties": {}})["properties"]
        place[name] = {"description": option["help"], **value_schema(option), "default": default_value(option)}
    top["properties"]["parallel"]["properties"]["device_map"] = DEVICE_MAP
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tfrun config: a Hugging Face config.json of a GPT-2 model with the key \"tfrun\"",
        "type": "object",
        "properties": {"tfrun": top},
    }
    return json.dumps(document, indent=2) + "\n"


VALUE_WORDS = {"BOOL": "true, false", "TEXT": "text", "PATH": "path", "LIST": "list of texts", "JSON": "JSON"}


def values(option):
    kind = option["type"]
    if kind in VALUE_WORDS:
        return VALUE_WORDS[kind]
    if kind == "CHOICE":
        return ", ".join(f"`{name}`" for name in option["choices"].split("|"))
    if option["min"] == option["max"]:
        return shown(option["min"])
    span = f"{shown(option['min'])} to {shown(option['max'])}"
    return {"COUNT": f"`auto` or {span}", "SEED": f"null or {span}"}.get(kind, span)


def flags(option):
    if option["flag"] is None:
        return ""
    short = f"`-{option['short']}`, " if option["short"] else ""
    operand = f" {option['operand']}" if option["operand"] else ""
    return f"{short}`--{option['flag']}{operand}`{LIST_FLAGS.get(option['type'], '')}"


def default_text(option):
    value = default_value(option)
    return "" if value is None or value == [] else f"`{json.dumps(value)}`"


HEAD = """# Config reference

Written by `scripts/gen_config_doc.py` from `core/config/config.def`; do not edit.

A config is the `config.json` of a Hugging Face GPT-2 model, untouched, plus one key, `tfrun`. `tfrun CONFIG` runs what it
says; a model folder stands for the `config.json` in it. Every key below has three sources, in rising order: the default, the
file, the command line (`--flag` or `--set section.key=value`); some the command line alone may say, which is in the table of what a
folder is trusted with.

- A key under `tfrun` that is not listed here is an error; unknown keys beside it are left to Hugging Face.
- All problems are reported at once, each as `file:line:column: key = value`: what is wrong.
- A relative path in the file starts from the folder of the file; on the command line, from the current folder. `-` is stdin
  for `input.file` and `eval.data`; results go to stdout where no output is named.
- Where the value may be null, null means the default.
- On the command line true and false are also `on`, `off`, `1`, `0`; the first value of a list replaces the list of the
  file, further ones are appended; the source of the prompt given there replaces the one in the file.
- The fields of the model itself (`n_layer`, ...) cannot be overridden.
- A file may be somebody else's: it reads in its own folder only, writes nothing and loads no code, unless the command line
  says so ([security.md](security.md))."""

DEVICE_MAP_TEXT = """
`parallel.device_map` has Hugging Face's own form: an object of rank to list of blocks, as in
`{"0": [0, 1, 2], "1": [3, 4, 5]}`. Rank r runs the blocks listed under r. Blocks named twice, blocks left out and blocks
that the model does not have are errors, reported in this order. Without it the blocks are split by `parallel.split`."""


SECURITY = os.path.join(ROOT, "docs", "security.md")
TRUST_BEGIN, TRUST_END = "<!-- from core/config/config.def -->\n", "<!-- end -->\n"
TRUST_WORDS = {
    "FREE": "as the config says",
    "READS": "inside its own folder; elsewhere with the flag, or in a trusted folder",
    "WRITES": "only with the flag, or where the folder of the config is trusted",
    "LOADS": "from a trusted folder or one of TFRUN_PLUGIN_PATH; elsewhere with the flag",
    "ADMITS": "only with the flag, or where the folder of the config is trusted",
    "COUNTS": "up to the processors of the machine, or 64; more with the flag, or where its folder is trusted",
    "USER": "never: the command line alone says it",
}


def trust_table(options):
    lines = ["| Key | Flag | A config may say it |\n|---|---|---|"]
    for option in options:
        if option["trust"] != "FREE":
            lines.append(f"| `{option['key']}` | {flags(option)} | {TRUST_WORDS[option['trust']]} |")
    lines.append(f"| all others | | {TRUST_WORDS['FREE']} |")
    return "\n".join(lines) + "\n"


def security_page(options):
    """docs/security.md with the table of today between its marks."""
    with open(SECURITY, encoding="utf-8") as file:
        before, rest = file.read().split(TRUST_BEGIN)
    return before + TRUST_BEGIN + trust_table(options) + TRUST_END + rest.split(TRUST_END)[1]


def document(options):
    lines = [HEAD]
    section = None
    for option in options:
        first = option["key"].split(".")[0] if "." in option["key"] else ""
        if first != section or section is None:
            if section == "parallel":
                lines.append(DEVICE_MAP_TEXT)
            section = first
            lines.append(f"\n## {f'`{section}`' if section else 'Top level'}\n")
            lines.append("| Key | Values | Default | Flag | Meaning |\n|---|---|---|---|---|")
        cells = [f"`{option['key']}`", values(option), default_text(option), flags(option), option["help"]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    options = read_table()
    stale = []
    for name, text in (("docs/config.md", document(options)), ("docs/security.md", security_page(options)),
                       ("configs/schema.json", schema(options))):
        path = os.path.join(ROOT, name)
        try:
            with open(path, encoding="utf-8") as file:
                is_same = file.read() == text
        except FileNotFoundError:
            is_same = False
        if is_same:
            continue
        stale.append(name)
        if not check:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            print(f"wrote {name}")
    if check and stale:
        sys.exit(f"{', '.join(stale)}: not what config.def says; run scripts/gen_config_doc.py")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Write docs/fields.md from core/config/model_fields.def.

    scripts/gen_fields_doc.py           writes the file
    scripts/gen_fields_doc.py --check   exits 1 if it is not what would be written

The table is the only list of the fields: the reader, `tfrun check` and this page come from it.
"""
import argparse
import ast
import os
import sys

from gen_config_doc import read_rows

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join(ROOT, "core", "config", "model_fields.def")
PAGE = os.path.join(ROOT, "docs", "fields.md")
COLUMNS = ("name", "alias", "kind", "member", "min", "max", "default", "effect", "refused_if", "why", "meaning", "tests")
CONDITIONS = {"NEVER": "", "IF_TRUE": "true", "IF_FALSE": "false", "IF_NOT_EMPTY": "any entry"}

HEAD = """# Fields of config.json

Written by `scripts/gen_fields_doc.py` from `core/config/model_fields.def`; do not edit.

Every field of a GPT-2 `config.json` and what becomes of it. `tfrun check CONFIG` says the same of one file, with its
values, its options under `tfrun` and its tensors, and ends with an exit code that is not 0 if anything is refused.

- **honoured**: the numbers follow it. **no effect**: legal, read by nobody here, changes no number of a forward pass.
- A value of the wrong type or out of range is refused too (exit code 3); so is an architecture or an activation that
  tfrun does not run (exit code 4). "Refused" names the legal values that are, and why.
- A key that is not listed is one that GPT-2 does not have: no effect.

| Field | Default | Status | Meaning | Refused | Tests |
|---|---|---|---|---|---|
"""


def text_of(argument):
    return None if argument == "NULL" else ast.literal_eval(argument)


def read_table():
    fields = list(read_rows(TABLE, "TFR_FIELD", COLUMNS))
    for field in fields:
        field.update({name: text_of(field[name]) for name in ("alias", "default", "why", "meaning", "tests")})
    return fields


def row(field):
    name = f"`{field['name']}`" + (f", `{field['alias']}`" if field["alias"] else "")
    default = f"`{field['default']}`" if field["default"] else ""
    status = {"HONOURED": "honoured", "NO_EFFECT": "no effect"}[field["effect"]]
    condition = CONDITIONS[field["refused_if"]]
    cells = (name, default, status, field["meaning"], f"{condition}: {field['why']}" if condition else "",
             ", ".join(f"`{test}`" for test in field["tests"].split()))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    text = HEAD + "".join(row(field) for field in read_table())
    if parser.parse_args().check:
        with open(PAGE, encoding="utf-8") as file:
            if file.read() != text:
                sys.exit("docs/fields.md is not what the table says; run scripts/gen_fields_doc.py")
        return
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Write the tables of docs/serving.md from the tables of the server: routes, fields, errors.

    scripts/gen_serving_doc.py           writes what stands between the marks of each table
    scripts/gen_serving_doc.py --check   exits 1 if it is not what would be written
"""
import argparse
import ast
import os
import re
import sys

from gen_config_doc import read_rows

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HTTP = os.path.join(ROOT, "core", "app", "http")
PAGE = os.path.join(ROOT, "docs", "serving.md")
OTHERS = ("tokenize", "detokenize", "embedding", "classify", "chat")  # tables of fields beside that of completions
TYPES = {"BOOL": "true, false", "INT": "whole number", "REAL": "number", "TEXT": "text", "TEXTS": "text, list of texts", "IDS": "list of ids",
         "MAP": "object of numbers", "OBJECT": "object", "ANY": "see right", "FIXED": "not served"}


def read(table, macro, columns):
    for row in read_rows(os.path.join(HTTP, table), macro, columns):
        yield {name: None if cell == "NULL" else ast.literal_eval(cell) if cell.startswith('"') else cell for name, cell in row.items()}


def line(*cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def head(*names):
    return line(*names) + "|" + "---|" * len(names) + "\n"


def code(text):
    return f"`{text}`" if text else ""


def routes():
    yield head("Route", "Key", "While loading or draining", "What it does")
    for row in read("routes.def", "TFR_ROUTE", ("method", "path", "name", "access", "time", "log", "help")):
        key = "asked for" if row["access"] == "KEYED" else ""
        yield line(code(f"{row['method']} {row['path']}"), key, "answers" if row["time"] == "ALWAYS" else "503", row["help"])


def fields(table):
    yield head("Field", "Type", "Default", "Range", "Meaning")
    for row in read(table, "TFR_FIELD", ("name", "type", "default", "min", "max", "setting", "help")):
        least, most = float(row["min"]), float(row["max"])
        span = f"{least:g} to {most:g}" if least != most else ""
        yield line(code(row["name"]), TYPES[row["type"]], code(row["default"]), span, row["help"])


def metrics():
    path = "metrics.def"
    yield head("Metric", "Kind", "Under vLLM's name", "Labels", "What it is")
    for row in read(path, "TFR_METRIC", ("name", "kind", "vllm", "value", "help")):
        yield line(code(row["name"]), row["kind"].lower(), code(row["vllm"]), "", row["help"])
    for row in read(path, "TFR_METRIC_FAMILY", ("name", "kind", "vllm", "writer", "labels", "help")):
        yield line(code(row["name"]), row["kind"].lower(), code(row["vllm"]), row["labels"], row["help"])
    for row in read(path, "TFR_METRIC_HISTOGRAM", ("member", "name", "vllm", "buckets", "help")):
        yield line(code(row["name"]), "histogram", code(row["vllm"]), "", row["help"])


def errors():
    yield head("Status", "`type`", "`code`", "When")
    for row in read("errors.def", "TFR_ERROR", ("name", "status", "type", "code", "text")):
        yield line(row["status"], code(row["type"]), code(row["code"]), row["text"])


def written(page):
    tables = [("routes", routes), ("fields", lambda: fields("completion_fields.def")), ("errors", errors), ("metrics", metrics)]
    tables += [(f"fields of {name}", lambda name=name: fields(f"{name}_fields.def")) for name in OTHERS]
    for name, rows in tables:
        begin, end = f"<!-- {name}: scripts/gen_serving_doc.py -->\n", f"<!-- end of {name} -->\n"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(page):
            sys.exit(f"{PAGE}: there are no marks of the table {name}")
        page = pattern.sub(lambda _, text=begin + "".join(rows()) + end: text, page)
    return page


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    wanted = written(page)
    if check and page != wanted:
        print(f"{PAGE} is not current; run scripts/gen_serving_doc.py")
        return 1
    if not check:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())

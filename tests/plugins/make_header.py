#!/usr/bin/env python3
"""make_header.py older|grown HEADER OUT: the plugin header as an older or a newer minor version of the ABI would have it.

older: the last members of some records are not there yet, and the minor version is 0. grown: every record that one side reads of
the other has a member more at its end, and the minor version is one higher. Plugins built against both must run in this host.
"""
import pathlib
import re
import sys

GROWN = ["tfr_attrs", "tfr_needs", "tfr_cost", "tfr_batch_seq", "tfr_batch", "tfr_run_args", "tfr_run_ctx", "tfr_kernel", "tfr_host",
         "tfr_plugin"]
# Members that only a newer header has, per record: the last ones.
OLDER = {"tfr_kernel": ["warm", "pack_coarse", "release"], "tfr_run_args": ["lane"], "tfr_run_ctx": ["reason_size", "reason", "progress"],
         "tfr_kv": ["k_pair"], "tfr_attrs": ["x_dtype", "whole_k", "n_blocks", "k_block", "attention"],
         "tfr_needs": ["scratch_per_thread_bytes"]}


def body_of(text, record):
    """Where the members of a record begin and end."""
    begin = re.search(rf"^struct {record} \{{\n", text, re.M).end()
    depth, at = 1, begin
    while depth > 0:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return begin, at - 1


def with_minor(text, minor):
    """minor: a function of the number that stands there."""
    return re.sub(r"(#define TFR_PLUGIN_ABI_MINOR) (\d+)", lambda m: f"{m[1]} {minor(int(m[2]))}", text)


def grow(text):
    for record in GROWN:
        _, end = body_of(text, record)
        text = text[:end] + "    int64_t later; /* of a newer minor version */\n" + text[end:]
    return with_minor(text, lambda minor: minor + 1)


def shrink(text):
    for record, members in OLDER.items():
        begin, end = body_of(text, record)
        body = re.sub(r"/\*.*?\*/", "", text[begin:end], flags=re.S)
        for member in members:
            declarations = re.findall(r"[^;{}]*;", body)
            last = declarations[-1]
            if not re.search(rf"\b{member}\b", last):
                sys.exit(f"make_header.py: the last member of {record} is {last.strip()}, not {member}: a newer minor only appends")
            body = body[:body.rindex(last)]
        text = text[:begin] + body + "\n" + text[end:]
    return with_minor(text, lambda minor: 0)


def main():
    kind, header, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    text = header.read_text(encoding="utf-8")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(grow(text) if kind == "grown" else shrink(text), encoding="utf-8")


if __name__ == "__main__":
    main()

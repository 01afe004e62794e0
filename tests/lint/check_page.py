#!/usr/bin/env python3
"""Checks the page at /: its size, that nothing in it asks another host or makes markup of text, that its sources are short, and
that what is compiled in is what was joined, with the hashes of its policy.

Usage: check_page.py SOURCE_DIR BUILD_DIR
"""
import base64
import hashlib
import re
import sys
from pathlib import Path

MOST_BYTES, MOST_LINES, MOST_COLUMNS, MOST_FUNCTION_LINES = 100_000, 400, 132, 60
NAMESPACE = "http://www.w3.org/2000/svg"
FORBIDDEN = {
    r"\b(?:inner|outer)HTML\b|insertAdjacentHTML|document\.write|\bsrcdoc\b|createContextualFragment|DOMParser":
        "markup out of text",
    r"\beval\s*\(|new Function|setTimeout\(\s*['\"`]|javascript:|\son[a-z]+=[\"']": "script out of text",
    r"//[a-z0-9-]+\.[a-z]{2,}|\bimport\b\s*[('\"{*]|@import|\burl\(|<script[^>]+src|<(?:iframe|object|embed|base)\b":
        "an address outside",
    r"\bstyle=[\"']|setAttribute\(\s*'style'": "a style in markup, which the policy refuses",
    r"console\.|debugger": "what was left of a search for faults",
}


def source_errors(path):
    text = path.read_text(encoding="utf-8")
    rows = text.splitlines()
    if path.suffix in (".js", ".css") and not text.startswith(f"/* {path.name} - "):
        yield "begins with its name and what it is for"
    if len(rows) > MOST_LINES:
        yield f"{len(rows)} lines, at most {MOST_LINES}"
    start = 0
    for number, row in enumerate(rows, 1):
        if len(row) > MOST_COLUMNS or "\t" in row or row != row.rstrip() or not row.isascii():
            yield f"line {number}: over {MOST_COLUMNS} columns, a tab, blanks at the end or a sign that is not ASCII"
        if re.match(r"(async )?function ", row):
            start = number
        elif row == "}" and start and number - start >= MOST_FUNCTION_LINES:
            yield f"line {start}: a function of {number - start + 1} lines"


def page_errors(page):
    if len(page) > MOST_BYTES:
        yield f"{len(page)} bytes, at most {MOST_BYTES}"
    text = page.decode().replace(NAMESPACE, "")
    for pattern, what in FORBIDDEN.items():
        for found in re.finditer(pattern, text):
            yield f"{what}: ...{text[max(0, found.start() - 40):found.end() + 20]}..."
    ids = re.findall(r'\bid="([^"]+)"', text)
    yield from (f"two elements with the id {name}" for name in set(ids) if ids.count(name) > 1)
    asked = set(re.findall(r"byId\('([^']+)'\)", text)) | set(re.findall(r'\bfor="([^"]+)"', text))
    yield from (f"no element has the id {name}" for name in asked - set(ids))


def policy_errors(page, source):
    array = source.split("html[] = {")[1].split("};")[0]
    if bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2}),", array)) != page:
        yield "the array is not the page"
    policy = "".join(re.findall(r'"([^"]*)"', source.split(".policy =")[1]))
    for tag in ("script", "style"):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", page.decode(), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        if len(inside) != 1 or f"{tag}-src 'sha256-{digest}';" not in policy:
            yield f"the policy does not name the hash of the one <{tag}>"
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "connect-src 'self'",
                 "require-trusted-types-for 'script'"):
        if rule not in policy:
            yield f"the policy lacks {rule}"
    if "unsafe" in policy or "*" in policy:
        yield "the policy is open"


def main():
    folder = Path(sys.argv[1]) / "core" / "app" / "http" / "page"
    built = Path(sys.argv[2]) / "core" / "app" / "http" / "page"
    page = (built / "page.html").read_bytes()
    sources = [path for path in sorted(folder.iterdir()) if path.suffix in (".js", ".css", ".html")]
    errors = [f"{path.name}: {error}" for path in sources for error in source_errors(path)]
    errors += [f"the page: {error}" for error in (*page_errors(page), *policy_errors(page, (built / "page_data.c").read_text()))]
    print("\n".join(errors) if errors else f"the page: {len(page)} bytes")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""check_test_names.py SOURCE BUILD: every test that a page of docs/ names is one that ctest has.

A name stands in backticks: `law.split.*`, with * for any part and T for a dtype; on docs/semantics.md and docs/fields.md also without
"forward." (`golden_lm`). Prints each name that no test answers to.
"""
import fnmatch
import pathlib
import re
import subprocess
import sys

SHORT_FORMS = re.compile(r"(golden|law|refused)_\w+\*?$")
FILES = re.compile(r".*\.(c|h|py|md|def|json|txt)$")


def ctest_names(build):
    listing = subprocess.run(["ctest", "-N"], cwd=build, capture_output=True, text=True, check=True).stdout
    return re.findall(r"Test +#\d+: (\S+)", listing)


def named_tests(page, prefixes):
    """(line number, pattern) of everything in backticks that looks like a test's name."""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        for token in re.findall(r"`([^`\s]+)`", line):
            if FILES.match(token):
                continue
            if SHORT_FORMS.match(token):
                yield number, "forward." + token
            elif re.match(r"\w+\.[\w.*]+$", token) and token.split(".")[0] in prefixes:
                yield number, re.sub(r"(?<=[._])T(?=\.)", "*", token)


def main():
    source, build = map(pathlib.Path, sys.argv[1:3])
    tests = ctest_names(build)
    prefixes = {name.split(".")[0] for name in tests}
    count, faults = 0, []
    for page in sorted((source / "docs").rglob("*.md")):
        for number, pattern in named_tests(page, prefixes):
            count += 1
            if not fnmatch.filter(tests, pattern):
                faults.append(f"{page.relative_to(source)}:{number}: no test is named {pattern}")
    print("\n".join(faults) or f"{count} names, each of a test")
    return 1 if faults or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

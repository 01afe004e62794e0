"""What the tests from outside share: a list of cases by name, expectations, and a main that runs one of them."""
import os
import pathlib
import sys
import tempfile

CASES = {}
# What multiplies the seconds after which a test gives up; CMake sets it for builds under sanitizers and for those that are told to be slow.
SLOWER = int(os.environ.get("TFRUN_TEST_PATIENCE", "1"))


def case(function):
    CASES[function.__name__] = function
    return function


def expect(truth, *what):
    if not truth:
        raise AssertionError(" ".join(map(repr, what)))


def expect_same(have, want):
    expect(have == want, have, "is not", want)


def main(make):
    """`--list` prints the names; `PROGRAM NAME SOURCE_DIR` runs that case on make(PROGRAM, SOURCE_DIR, an empty folder)."""
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
        return 0
    program, name, source_dir = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as folder:
        try:
            CASES[name](make(program, pathlib.Path(source_dir), pathlib.Path(folder)))
        except AssertionError as failure:
            print(f"{name}: {failure}")
            return 1
    return 0

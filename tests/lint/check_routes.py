#!/usr/bin/env python3
"""check_routes.py SOURCE: every path of core/app/http/routes.def is asked for, by its name in quotes, in a test of tests/http."""
import pathlib
import re
import sys


def main():
    source = pathlib.Path(sys.argv[1])
    paths = re.findall(r'^TFR_ROUTE\(\w+, *"([^"]+)"', (source / "core/app/http/routes.def").read_text(), re.MULTILINE)
    tests = "\n".join(file.read_text() for file in sorted((source / "tests/http").glob("test_*.py")))
    missing = [path for path in paths if not re.search(rf'["\']{re.escape(path.rstrip("*"))}["\'?{{]', tests)]
    if len(paths) < 10:
        print(f"routes.def: {len(paths)} routes were read; is the pattern still right?")
        return 1
    for path in missing:
        print(f"routes.def: no test in tests/http asks for {path}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

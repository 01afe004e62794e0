"""packages.py: need("torch", ...) before such imports: where a package is missing a program says so and ends with 2, without a traceback."""
import importlib.util
import pathlib
import sys


def need(*names):
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        program = pathlib.Path(sys.argv[0]).name
        print(f"{program}: Python's package{'s' * (len(missing) > 1)} {', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing; "
              f"pip install {' '.join(missing)}", file=sys.stderr)
        sys.exit(2)

#!/usr/bin/env python3
"""check_cost_lines.py - holds the tables of lines (core/cost/lines_*.def) against the sources that they speak of.

RELEASE is a release of transformers, FOLDER what `pip download --no-deps` and unzip left: it has transformers/ in it, the first one
torch/ of the release that lines_torch.def names. Checked: every class and function stands where the table says, and
every statement of each forward belongs to exactly one row. Prints a line for each table; exit code 1 where anything differs.
--golden writes tests/app/golden/cost_lines.json, from which a test checks the same without the sources: for each table and entry the
line of the class, the first and last of the function, and the lines of its statements as ranges.
"""
import argparse
import ast
import json
import pathlib
import re
import sys

TABLES = pathlib.Path(__file__).resolve().parent.parent / "core" / "cost"
GOLDEN = TABLES.parent.parent / "tests" / "app" / "golden" / "cost_lines.json"
ENTRY = re.compile(r'^TFR_(LINES_OF|LINES_ACT|LINES)\((.*)\)$', re.M)


def find(tree, names):
    """The node of a dotted name in a module, and of the class around it."""
    node, holder = tree, None
    for name in names:
        found = [n for n in node.body if isinstance(n, (ast.ClassDef, ast.FunctionDef)) and n.name == name]
        if not found:
            return None, None
        holder, node = node, found[0]
    return node, holder


def forward_of(tree, cls):
    """Its forward, or that of the class in the same file that it inherits from."""
    for node in cls.body:
        if isinstance(node, ast.FunctionDef) and node.name == "forward":
            return node
    return forward_of(tree, find(tree, [cls.bases[0].id])[0])


def code_lines(source, function):
    """Numbers of the lines of its statements: neither blank, nor a comment, nor the docstring."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    text = source.split("\n")
    lines = range(body[0].lineno, function.end_lineno + 1)
    return [n for n in lines if text[n - 1].strip() and not text[n - 1].strip().startswith("#")]


def ranges(lines):
    """[1, 2, 3, 7] as [[1, 3], [7, 7]]."""
    found = []
    for line in lines:
        if found and found[-1][1] == line - 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    return found


class Checker:
    def __init__(self, root, torch_root):
        self.golden = {}
        self.root, self.torch_root, self.problems, self.rows, self.classes = root, torch_root, [], 0, 0
        self.open = None  # name, code lines, covered lines of the class under way

    def close(self):
        if self.open:
            name, code, covered = self.open
            double = sorted({n for n in covered if covered.count(n) > 1})
            for what, lines in (("in no row", set(code) - set(covered)), ("in two rows", double)):
                if lines:
                    self.problems.append(f"{name}: {what}: {sorted(lines)}")
        self.open = None

    def place(self, module, name, class_line):
        """The function whose lines count, after its class was found where it should be."""
        root = self.torch_root if module.startswith("torch.") else self.root
        text = (root / (module.replace(".", "/") + ".py")).read_text()
        tree = ast.parse(text)
        node, holder = find(tree, name.split("."))
        if node is None:
            self.problems.append(f"{name}: not in {module}")
            return text, None
        stands = node if isinstance(node, ast.ClassDef) or not isinstance(holder, ast.ClassDef) else holder
        if stands.lineno != class_line:
            self.problems.append(f"{name}: the class stands in line {stands.lineno}, not {class_line}")
        return text, forward_of(tree, node) if isinstance(node, ast.ClassDef) else node

    def lines_of(self, args):
        self.close()
        _, module, name, class_line, first, last = args
        text, function = self.place(module, name, int(class_line))
        if function is None:
            return
        if (function.lineno, function.end_lineno) != (int(first), int(last)):
            self.problems.append(f"{name}: lines {function.lineno}-{function.end_lineno}, not {first}-{last}")
        self.open = (name, code_lines(text, function), [])
        self.golden[f"{module}.{name}"] = [int(class_line), int(first), int(last), ranges(self.open[1])]
        self.classes += 1

    def lines(self, args):
        first, last, _ = int(args[0]), int(args[1]), args[2]
        self.rows += 1
        if self.open:
            name, code, covered = self.open
            inside = [n for n in code if first <= n <= last]
            if not inside or inside[0] != first or inside[-1] != last or (covered and first <= covered[-1]):
                self.problems.append(f"{name}: row {first}-{last} begins or ends where no statement does, or is out of order")
            covered.extend(inside)

    def lines_act(self, args):
        self.close()
        _, module, name, class_line, forward, first, last = args
        text, function = self.place(module, name, int(class_line))
        if function is None:
            return
        code = code_lines(text, function)
        if (function.lineno, code[0], code[-1]) != (int(forward), int(first), int(last)):
            self.problems.append(f"{name}: {function.lineno}, {code[0]}-{code[-1]}, not {forward}, {first}-{last}")
        self.classes += 1

    def table(self, path):
        for kind, args in ENTRY.findall(path.read_text()):
            words = [word.strip().strip('"') for word in args.split(", ")]
            {"LINES_OF": self.lines_of, "LINES": self.lines, "LINES_ACT": self.lines_act}[kind](words)
        self.close()


def table_of(release):
    return TABLES / f"lines_{release.replace('.', '_')}.def"


def releases():
    return sorted(path.stem.removeprefix("lines_").replace("_", ".") for path in TABLES.glob("lines_*.def"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("folders", nargs="+", metavar="RELEASE=FOLDER", help="the first is torch=FOLDER")
    args = parser.parse_args()
    golden = {} if args.golden else None
    folders = [(release, pathlib.Path(folder)) for release, _, folder in (arg.partition("=") for arg in args.folders)]
    if folders[0][0] != "torch":
        parser.error("the first folder is torch=FOLDER")
    for release, folder in folders:
        if not table_of(release).exists():
            parser.error(f"{release}: there is no {table_of(release)}; known: {', '.join(releases())}")
        if not folder.is_dir():
            parser.error(f"{release}={folder}: there is no such folder")
    failed = False
    for release, folder in folders:
        table = table_of(release)
        checker = Checker(folder, folders[0][1])
        checker.table(table)
        if golden is not None:
            golden[table.name] = checker.golden
        print(f"{table.name}: {checker.classes} classes and functions, {checker.rows} rows, {len(checker.problems)} problems")
        print("".join(f"  {problem}\n" for problem in checker.problems), end="")
        failed |= bool(checker.problems)
    if golden and not failed:
        text = ",\n".join(f'"{table}": {{\n' + ",\n".join(f'"{name}": {json.dumps(at)}' for name, at in entries.items()) + "}"
                          for table, entries in golden.items())
        GOLDEN.write_text("{" + text + "}\n")
    sys.exit(failed)


main()

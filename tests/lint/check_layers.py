#!/usr/bin/env python3
"""Checks the shape of the sources: include arrows and circles, size budget, header comments, forbidden calls, top-level entries.

Usage: check_layers.py ROOT [--picture]
"""
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

# Which layer roots a folder may include, beside its own and <tfrun/...>. "" in a value set would be everything.
BASE = {"base"}
PARALLEL = {"topo", "team", "mpi", "roofs"}
STAGES = BASE | {"config", "model", "graph", "cost", "plan", "predict", "exec"} | PARALLEL
# What stands above exec: each line may see the lines before it, folders of one line do not see each other.
ABOVE_EXEC = [{"rank", "picture"}, {"job"}, {"step"}, {"session"}, {"generation", "scoring", "forward", "profile"}, {"report", "serve"},
              {"study"}, {"engine"}]
MAY_INCLUDE = {
    "core/base": set(),
    "core/config": BASE,
    "core/model": BASE | {"config"},
    "core/graph": BASE | {"model"},
    "core/cost": BASE | {"graph", "model"},
    "core/plan": BASE | {"graph", "model", "topo", "team"},  # model: struct tfr_weight alone, through the graph's values
    "core/predict": BASE | {"graph", "plan", "model", "topo", "team", "roofs"},
    "core/exec": BASE | {"plan"} | PARALLEL,
    "core/app": {"app"},
    "core/app/help": BASE | {"app"},  # strict JSON
    "core/app/load": BASE | {"app"},  # strict JSON, random numbers, the clock
    "core/app/http": BASE | {"app"},  # strict JSON, UTF-8, the clock and the log of a server
    "parallel/topo": BASE,
    "parallel/team": BASE | {"topo"},
    "parallel/mpi": BASE,
    "parallel/roofs": BASE | {"topo", "team"},
    "plugins/common": set(),
}
seen = STAGES
for line in ABOVE_EXEC:
    MAY_INCLUDE.update({f"core/{folder}": seen for folder in line})
    seen = seen | line
PLUGIN_MAY_INCLUDE = {"common"}
# Vendor headers and the only places that may see them.
VENDOR = {
    "mpi.h": ("parallel/mpi/comm_mpi.c", "parallel/mpi/comm_simulated.c"),
    "hwloc.h": "parallel/topo/topo_hwloc.c",
    "omp.h": ("parallel/team/team_omp.c", "plugins/onednn/", "tests/"),
    "cjson/cJSON.h": ("core/base/json",),
    "zip.h": "core/model/torch_zip.c",
    "histedit.h": "core/app/repl/repl_edit.c",
    "dnnl.h": ("plugins/onednn/", "tests/bench/"),
    "oneapi/dnnl/dnnl.h": ("plugins/onednn/", "tests/bench/"),
}
# Plugins may use one host library of ours that knows only bits: the CPU probe.
EXTRA = {("parallel/topo", "common/isa.h"), ("core/plan", "common/plugins_static.h")}

MOST_LINES, MEDIAN_LINES, MOST_COLUMNS, MOST_FUNCTION_LINES = 400, 150, 132, 60
TOP_LEVEL = re.compile(r"CMakeLists\.txt|core|plugins|parallel|configs|scripts|tests|docs|README\.md|LICENSE|CHANGELOG\.md|"
                       r"CONTRIBUTING\.md|\..*|build.*")
GENERATED = {"core/model/unicode_tables.c"}
FORBIDDEN = re.compile(r"\b(printf|exit|abort|malloc|calloc|realloc|strcpy|strcat|sprintf|gets)\s*\(")
MAY_ALLOCATE = ("core/base/arena.c", "core/app/")


def stage_of(path):
    return "/".join(path.split("/")[:2])


def folder_of(path):
    """The folder whose arrows a file has: two parts of its path, or three where those have a line of their own."""
    parts = path.split("/")
    return "/".join(parts[:3]) if "/".join(parts[:3]) in MAY_INCLUDE else stage_of(path)


def include_errors(path, text):
    folder = folder_of(path)
    for number, line in enumerate(text.splitlines(), 1):
        quoted = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        angled = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
        if angled:
            places = VENDOR.get(angled.group(1))
            places = (places,) if isinstance(places, str) else places
            if places and not path.startswith(tuple(places)):
                yield f"{path}:{number}: <{angled.group(1)}> belongs in {' or '.join(places)}"
            continue
        if not quoted or path.startswith("tests/"):
            continue
        name = quoted.group(1)
        root = name.split("/")[0] if "/" in name else ""
        if root in ("", folder.split("/")[1]) or (folder, name) in EXTRA:
            continue
        allowed = MAY_INCLUDE.get(folder, PLUGIN_MAY_INCLUDE if path.startswith("plugins/") else set())
        if root not in allowed:
            yield f"{path}:{number}: {folder} may not include \"{name}\""


def forbidden_errors(path, text):
    if not path.startswith(("core/", "parallel/")) or path.startswith(MAY_ALLOCATE):
        return
    for number, line in enumerate(text.splitlines(), 1):
        code = re.sub(r'"(\\.|[^"\\])*"', '""', line).split("/*")[0].split("//")[0]
        found = FORBIDDEN.search(code)
        if found and not line.lstrip().startswith("*"):
            yield f"{path}:{number}: {found.group(1)}() is not for library code"


def size_errors(sizes):
    for path, n in sizes.items():
        if n > MOST_LINES:
            yield f"{path}: {n} lines, at most {MOST_LINES}"
    median = statistics.median(sizes.values())
    if median > MEDIAN_LINES:
        yield f"median file has {median} lines, at most {MEDIAN_LINES}"


def function_errors(path, text):
    """A function begins with a line in the first column that ends in `{` after its arguments, and ends with a brace there."""
    start = None
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("}"):
            if start is not None and number - start + 1 > MOST_FUNCTION_LINES:
                yield f"{path}:{start}: a function of {number - start + 1} lines, at most {MOST_FUNCTION_LINES}"
            start = None
        elif start is None and line.endswith(") {") and not line.startswith(("struct", "#")):
            start = number


def header_errors(path, text):
    name = path.rsplit("/", 1)[1]
    if not text.startswith(f"/* {name} - "):
        yield f"{path}:1: begins with /* {name} - and what the file is for */"


def circles(included):
    """Groups of files that include each other, over {file: files}; Tarjan's way, without recursion limits to fear."""
    index, low, stack, found = {}, {}, [], []

    def visit(file):
        index[file] = low[file] = len(index)
        stack.append(file)
        for other in sorted(included.get(file, ())):
            if other not in index:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], index[other])
        if low[file] == index[file]:
            group = stack[stack.index(file):]
            del stack[stack.index(file):]
            if len(group) > 1:
                found.append(group)

    for file in sorted(included):
        if file not in index:
            visit(file)
    return found


def includes_of(root, path, text):
    """Files of the tree that a file includes, beside it or by folder."""
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.MULTILINE):
        for top in ("core", "parallel", "plugins", str(Path(path).parent)):
            if (root / top / name).exists():
                yield f"{top}/{name}"
                break


def picture(included):
    """The folders and their arrows as a Mermaid graph, without arrows that follow from others."""
    arrows = {}
    for file, others in included.items():
        for other in others:
            a, b = stage_of(file), stage_of(other)
            if a != b and a.startswith("core/") and b.startswith("core/"):
                arrows.setdefault(a, set()).add(b)

    def reaches(start, end, without):
        """Whether there is a way from one folder to another that does not begin with the arrow `without`."""
        seen, todo = set(), [other for other in arrows.get(start, ()) if (start, other) != without]
        while todo:
            folder = todo.pop()
            if folder not in seen:
                seen.add(folder)
                todo += arrows.get(folder, ())
        return end in seen

    yield "graph TD"
    for a in sorted(arrows):
        for b in sorted(arrows[a]):
            if not reaches(a, b, (a, b)):
                yield f"  {a.split('/')[1]} --> {b.split('/')[1]}"


def picture_errors(root, included):
    page = root / "docs" / "architecture.md"
    if "\n".join(picture(included)) not in page.read_text(encoding="utf-8"):
        yield "docs/architecture.md: the graph of folders is not current; print it with tests/lint/check_layers.py ROOT --picture"


def main():
    root = Path(sys.argv[1])
    git = shutil.which("git")
    listed = subprocess.run([git, "-C", str(root), "ls-files"], capture_output=True, text=True, check=False).stdout if git else ""
    tracked = {line.split("/")[0] for line in listed.splitlines()}  # none in an unpacked archive, or without git
    errors = [f"{name}: not one of the agreed top-level entries" for name in sorted(tracked)
              if not TOP_LEVEL.fullmatch(name)]
    sizes, names, included = {}, {}, {}
    for top in ("core", "parallel", "plugins"):
        for file in sorted((root / top).rglob("*.[ch]")):
            path = file.relative_to(root).as_posix()
            text = file.read_text(encoding="utf-8")
            if path not in GENERATED:
                sizes[path] = text.count("\n")
                errors += [f"{path}:{i}: {len(line)} columns, at most {MOST_COLUMNS}"
                           for i, line in enumerate(text.splitlines(), 1) if len(line) > MOST_COLUMNS]
            if file.name in names:
                errors.append(f"{path}: same file name as {names[file.name]}")
            names[file.name] = path
            included[path] = set(includes_of(root, path, text))
            errors += header_errors(path, text)
            errors += function_errors(path, text)
            errors += include_errors(path, text)
            errors += forbidden_errors(path, text)
    errors += size_errors(sizes)
    errors += [f"these files include each other: {', '.join(group)}" for group in circles(included)]
    if "--picture" in sys.argv:
        print("\n".join(picture(included)))
        return
    errors += picture_errors(root, included)
    for error in errors:
        print(error)
    print(f"{len(sizes)} files, {sum(sizes.values())} lines, median {statistics.median(sizes.values())}: {len(errors)} errors")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()

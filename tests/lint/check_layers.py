#!/usr/bin/env python3
"""Checks the shape of the sources: include arrows, size budget, forbidden calls, top-level entries. Usage: check_layers.py ROOT"""
import re
import statistics
import subprocess
import sys
from pathlib import Path

# Which layer roots a folder may include, beside its own and <tfrun/...>. "" in a value set would be everything.
BASE = {"base"}
PARALLEL = {"topo", "team", "mpi"}
ABOVE_EXEC = {"rank", "job", "step", "session", "generation", "scoring", "forward", "report", "serve", "engine"}
MAY_INCLUDE = {
    "core/base": set(),
    "core/config": BASE,
    "core/model": BASE | {"config"},
    "core/graph": BASE | {"model"},
    "core/plan": BASE | {"graph", "model", "topo", "team"},  # model: struct tfr_weight alone, through the graph's values
    "core/exec": BASE | {"plan"} | PARALLEL,
    # Until rank.h is taken apart, the folders above exec may see one another.
    **{f"core/{folder}": BASE | {"config", "model", "graph", "plan", "exec"} | PARALLEL | ABOVE_EXEC for folder in ABOVE_EXEC},
    "core/app": {"app"},
    "parallel/topo": BASE,
    "parallel/team": BASE | {"topo"},
    "parallel/mpi": BASE,
    "plugins/common": set(),
}
PLUGIN_MAY_INCLUDE = {"common"}
# Vendor headers and the only places that may see them.
VENDOR = {
    "mpi.h": "parallel/mpi/comm_mpi.c",
    "hwloc.h": "parallel/topo/topo_hwloc.c",
    "omp.h": ("parallel/team/team_omp.c", "plugins/onednn/", "tests/"),
    "cjson/cJSON.h": ("core/base/json",),
    "zip.h": "core/model/torch_zip.c",
    "dnnl.h": ("plugins/onednn/", "tests/bench/"),
    "oneapi/dnnl/dnnl.h": ("plugins/onednn/", "tests/bench/"),
}
# Plugins may use one host library of ours that knows only bits: the CPU probe.
EXTRA = {("parallel/topo", "common/isa.h"), ("core/plan", "common/plugins_static.h")}

MOST_LINES, P90_LINES, MEDIAN_LINES, MOST_COLUMNS = 600, 400, 200, 132
TOP_LEVEL = re.compile(r"CMakeLists\.txt|core|plugins|parallel|configs|scripts|tests|docs|README\.md|LICENSE|CHANGELOG\.md|"
                       r"CONTRIBUTING\.md|\..*|build.*")
GENERATED = {"core/model/unicode_tables.c"}
FORBIDDEN = re.compile(r"\b(printf|exit|abort|malloc|calloc|realloc|strcpy|strcat|sprintf|gets)\s*\(")
MAY_ALLOCATE = ("core/base/arena.c", "core/app/")


def folder_of(path):
    parts = path.split("/")
    return "/".join(parts[:2])


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
    counts = sorted(sizes.values())
    p90 = counts[len(counts) * 9 // 10]
    if statistics.median(counts) > MEDIAN_LINES:
        yield f"median file has {statistics.median(counts)} lines, at most {MEDIAN_LINES}"
    if p90 > P90_LINES:
        yield f"90 % of the files should have at most {P90_LINES} lines, now {p90}"


def main():
    root = Path(sys.argv[1])
    listed = subprocess.run(["git", "-C", str(root), "ls-files"], capture_output=True, text=True, check=False).stdout
    tracked = {line.split("/")[0] for line in listed.splitlines()}  # none in an unpacked archive
    errors = [f"{name}: not one of the agreed top-level entries" for name in sorted(tracked)
              if not TOP_LEVEL.fullmatch(name)]
    sizes, names = {}, {}
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
            errors += include_errors(path, text)
            errors += forbidden_errors(path, text)
    errors += size_errors(sizes)
    for error in errors:
        print(error)
    print(f"{len(sizes)} files, {sum(sizes.values())} lines, median {statistics.median(sizes.values())}: {len(errors)} errors")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()

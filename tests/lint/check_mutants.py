#!/usr/bin/env python3
"""check_mutants.py ROOT: what tests/mutants.toml leaves out as a prefetch does nothing else, and code that does more is found out."""
import importlib.machinery
import importlib.util
import sys
import tomllib
from pathlib import Path

# Bodies of `void tile_prefetch(struct tile_prefetch *p, float *sum, const int n)`, and what is said of them.
ALONE = ("__builtin_prefetch(p->at, 0, 3);", "for (int i = 0; i < n; i++) { __builtin_prefetch(p->at + i * 64, 0, 3); } p->at += n * 64;",
         "const int64_t a = n / 2, b = n; p->line[a] = b; tile_prefetch(p, sum, n - 1);")
MORE = {"sum[0] = 1;": "changes sum", "*sum = 1;": "changes sum", "p->at += 64; sum[n] += 2;": "changes sum", "counter++;": "changes counter",
        "++counter;": "changes counter", "total = n;": "changes total", "tile_step(sum);": "calls tile_step", "float *q = sum; q[1] = 2;": "changes q",
        "return n + 1;": "gives back", "far_prefetch(sum);": "calls far_prefetch, which is not in this file",
        "bad_prefetch(sum);": "calls bad_prefetch, which changes sum"}
BAD = "static void bad_prefetch(float *sum) { sum[0] = 1; }"
STATEMENTS = {"__builtin_prefetch(o + r, 1, 3);": True, "struct tile_prefetch p = tile_prefetch_of(kind, t);": True, "tile_prefetch(&p, true);": True,
              "x = tile_prefetch_sum(t) + 1;": False, "if (n > 1) tile_prefetch(&p, true);": False, "sum[r] += prefetched[r];": False,
              "const int ahead = prefetch_distance(n);": False, "__builtin_prefetch(at++, 0, 3);": False, "tile_prefetch(&p, next(t));": False,
              "__builtin_prefetch(at + sizeof(float), 0, 3);": True}


def load(path):
    loader = importlib.machinery.SourceFileLoader(path.name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(path.name, loader))
    loader.exec_module(module)
    return module


def faults_of_rules(mutate, hints):
    for body in (*ALONE, *MORE):
        text = f"{BAD} static void tile_prefetch(struct tile_prefetch *p, float *sum, const int n) {{ {body} }}"
        (_, function) = mutate.Source("made up", text).functions
        said, wanted = hints.what_else(function), MORE.get(body)
        if (said is None) != (wanted is None) or (wanted and not said.startswith(wanted)):
            yield f"of `{body}` is said: {said}; wanted: {wanted}"
    for statement, wanted in STATEMENTS.items():
        body = mutate.Source("made up", f"void f(void) {{ {statement} }}").functions[0].body
        if hints.is_prefetch(hints.statement_at(body, 0)[0]) != wanted:
            yield f"`{statement}` is {'no' if wanted else 'a'} prefetch"


def faults_of_table(mutate, table):
    paths = {entry["path"] for entry in table["file"]}
    for hint in table["hint"]:
        if hint["file"] not in paths:
            yield f"tests/mutants.toml: a [[hint]] of {hint['file']}, which is no [[file]]"
            continue
        mutants = mutate.mutants_of(hint["file"])
        fault = mutate.fault_of(hint, [mutant for mutant in mutants if mutate.hides(hint, mutant)])
        if fault:
            yield f"tests/mutants.toml: [[hint]] {hint.get('function') or hint.get('line')} of {hint['file']}: {fault}"


def main():
    scripts = Path(sys.argv[1]).resolve() / "scripts"
    sys.path.insert(0, str(scripts))
    sys.dont_write_bytecode = True
    mutate, hints = load(scripts / "mutate"), load(scripts / "mutant_hints.py")
    table = tomllib.loads(mutate.TABLE.read_text(encoding="utf-8"))
    faults = [*faults_of_rules(mutate, hints), *faults_of_table(mutate, table)]
    print("\n".join(faults) or "what is left out as a prefetch is one")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

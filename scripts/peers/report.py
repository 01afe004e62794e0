"""report.py: what scripts/compare_peers.py found, as a JSON document ("tfrun-peers-1") and as tables."""

import json
import pathlib
import platform
import statistics

from peers import CLASSES

FIGURES = {
    "prefill-512": ("prompt of 512, ms", 0),
    "prefill-1000": ("prompt of 1000, ms", 0),
    "decode-1": ("one stream at 128, ms a step", 2),
    "decode-16": ("16 streams at 128, ms a step", 1),
    "start": ("start to first token, s", 2),
    "peak": ("peak of the start, MB", 0),
}
ISA = "avx2 fma avx512f avx512_vnni avx_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_int8 asimddp bf16 i8mm".split()


def machine():
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    facts = {line.split(":")[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return {
        "cpu": facts.get("model name", platform.machine()),
        "family": facts.get("cpu family"),
        "model": facts.get("model"),
        "isa": [name for name in ISA if name in flags],
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def spread(samples):
    ordered = sorted(samples)
    quarters = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
    return {
        "median": statistics.median(ordered),
        "q1": quarters[0],
        "q3": quarters[2],
        "least": ordered[0],
        "samples": len(ordered),
    }


def described(worker):
    figures = {
        name: {**spread([sample for one in rounds for sample in one]), "rounds": rounds} for name, rounds in worker.samples.items()
    }
    return {
        "peer": worker.peer,
        "precision": worker.precision,
        "class": CLASSES[worker.precision],
        "notes": worker.loaded.get("notes", ""),
        "versions": worker.loaded.get("versions", {}),
        "agreement": worker.agreement,
        "figures": figures,
    }


def best(members, name):
    """Of those that have a figure at all, the one with the least median."""
    there = [member for member in members if name in member["figures"]]
    return min(there, key=lambda member: member["figures"][name]["median"], default=None)


def against(members):
    """In each class, figure by figure: the best of tfrun's beside the best peer, round by round."""
    found = []
    for group in dict.fromkeys(member["class"] for member in members):
        ours = [member for member in members if member["class"] == group and member["peer"] == "tfrun"]
        theirs = [member for member in members if member["class"] == group and member["peer"] != "tfrun"]
        for name in FIGURES:
            own, other = best(ours, name), best(theirs, name)
            if own and other:
                pairs = zip(own["figures"][name]["rounds"], other["figures"][name]["rounds"])
                ratios = [statistics.median(b) / statistics.median(a) for a, b in pairs]
                found.append(
                    {
                        "class": group,
                        "figure": name,
                        "tfrun": own["precision"],
                        "peer": f"{other['peer']} {other['precision']}",
                        "ratio": statistics.median(ratios),
                        "least": min(ratios),
                        "most": max(ratios),
                    }
                )
    return found


def document(workers, options, load):
    members = sorted((described(worker) for worker in workers), key=lambda one: list(CLASSES.values()).index(one["class"]))
    return {
        "schema": "tfrun-peers-1",
        "machine": machine(),
        "threads": options.threads,
        "model": options.model.name,
        "rounds": options.rounds,
        "load_average": load,
        "workers": members,
        "against": against(members),
        "skipped": [{"name": name, "reason": reason} for name, reason in options.skipped],
    }


def agreement_text(found):
    return (
        f"logits off by {found['max_abs']:.2g} at most, {100 * found['relative']:.2g} % of their spread "
        f"(limit {100 * found['limit']:g} %); "
        f"first choice the same in {found['argmax_equal']} of {found['rows']}"
    )


def cell(member, name):
    figure = member["figures"].get(name)
    digits = FIGURES[name][1]
    return f"{figure['median']:.{digits}f} ({figure['q1']:.{digits}f} to {figure['q3']:.{digits}f})" if figure else "-"


def figures_table(doc):
    names = [name for name in FIGURES if any(name in member["figures"] for member in doc["workers"])]
    rows = [["", *(FIGURES[name][0] for name in names), "logits off by, first choice the same", "notes"]]
    for member in doc["workers"]:
        agreed = member["agreement"]
        logits = f"{100 * agreed['relative']:.2g} %, {agreed['argmax_equal']} of {agreed['rows']}"
        rows.append([f"{member['peer']} {member['precision']}", *(cell(member, name) for name in names), logits, member["notes"]])
    return rows


def against_table(doc):
    rows = [["", "figure", "tfrun", "best peer", "peer / tfrun", "range of rounds"]]
    for one in doc["against"]:
        rows.append(
            [
                one["class"],
                FIGURES[one["figure"]][0],
                one["tfrun"],
                one["peer"],
                f"{one['ratio']:.2f}",
                f"{one['least']:.2f} to {one['most']:.2f}",
            ]
        )
    return rows


def laid_out(rows, form):
    """Columns that begin with a number stand to the right."""
    if form == "md":
        rule = ["---:" if i and all(row[i][:1].isdigit() or row[i] == "-" for row in rows[1:]) else "---" for i in range(len(rows[0]))]
        return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows)


def conditions(doc):
    facts, seen = doc["machine"], {}
    for member in doc["workers"]:
        seen.setdefault(member["peer"], {}).update(member["versions"])
    versions = "; ".join(
        f"{peer}: " + ", ".join(f"{name} {version}" for name, version in found.items()) for peer, found in seen.items()
    )
    threads, (before, after) = doc["threads"], doc["load_average"]
    return [
        f"{facts['cpu']}, family {facts['family']}, model {facts['model']} ({', '.join(facts['isa'])}), {threads} thread{'s' * (threads > 1)}, "
        f"Linux {facts['kernel']}; load average {before:.1f} before, {after:.1f} after; {doc['rounds']} round{'s' * (doc['rounds'] > 1)}; median (quartiles).",
        f"Versions: {versions}.",
    ]


def text(doc, form):
    if form == "json":
        return json.dumps(doc, indent=1)
    parts = [laid_out(figures_table(doc), form), "\n".join(conditions(doc))]
    if doc["against"]:
        parts.insert(1, laid_out(against_table(doc), form))
    if doc["skipped"]:
        parts.append("Left out:\n" + "\n".join(f"- {one['name']}: {one['reason']}" for one in doc["skipped"]))
    return "\n\n".join(parts)

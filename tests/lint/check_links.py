#!/usr/bin/env python3
"""check_links.py [--links] ROOT: what the documents point at exists - relative links, and in backticks paths of the repository and
commands of tfrun.

With --links the links alone: of installed documents, where the sources are not."""
import re
import sys
from pathlib import Path

TOP = {"core", "plugins", "parallel", "configs", "scripts", "tests", "docs"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
# A word behind `tfrun` is a command unless it looks like a path or a model's name (gpt2, configs/demo), or goes on with a message (is, of).
CALL = re.compile(r"(?:\S*/)?tfrun (?!(?:is|of) )([a-z]+)(?= |$)")


def documents(root):
    names = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "plugins/README.md"]
    return [root / name for name in names if (root / name).exists()] + sorted((root / "docs").rglob("*.md"))


def without_blocks(text):
    """Fenced blocks become empty lines, so that line numbers stay."""
    return re.sub(r"^```.*?^```", lambda block: "\n" * block.group().count("\n"), text, flags=re.M | re.S)


def anchors(path):
    """GitHub's anchors of the headings of a page."""
    heads = re.findall(r"^#+ +(.*?) *$", without_blocks(path.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def link_fault(root, page, target):
    if re.match(r"[a-z]+:", target):
        return None
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.is_relative_to(root.resolve()) or not path.exists():
        return f"link to {target}, which is not there"
    if anchor and anchor not in anchors(path):
        return f"link to {target}: no such heading"
    return None


def path_fault(root, word):
    """A word such as `core/plan/plan.c` or `tests/kernels/cases/`; wild cards, commands and placeholders are no paths."""
    if not re.fullmatch(r"[\w.\-/]+(:\d+)?", word) or word.split("/")[0] not in TOP or "/" not in word:
        return None
    return None if (root / word.split(":")[0]).exists() else f"`{word}`, which is not there"


def commands(root):
    """Names of the commands, from the tables of core/app."""
    tables = "".join(path.read_text(encoding="utf-8") for path in (root / "core/app").rglob("*.c"))
    return {"help", *re.findall(r"^const struct tfr_command tfr_cmd_\w+ = \{\s*\.name = \"(\w+)\"", tables, re.M)}


def command_fault(known, word):
    call = CALL.match(word)
    return f"`{word}`: tfrun has no command {call[1]}" if call and call[1] not in known else None


def main():
    root, links_alone = Path(sys.argv[-1]), "--links" in sys.argv[1:-1]
    known = set() if links_alone else commands(root)
    n, errors = 0, []
    for page in documents(root):
        for number, line in enumerate(without_blocks(page.read_text(encoding="utf-8")).splitlines(), 1):
            faults = [link_fault(root, page, target) for target in LINK.findall(line)]
            words = [] if links_alone else CODE.findall(line)
            faults += [path_fault(root, word) for word in words] + [command_fault(known, word) for word in words]
            n += len(faults)
            errors += [f"{page.relative_to(root)}:{number}: {fault}" for fault in faults if fault]
    print("\n".join(errors + [f"{n} links and names, {len(errors)} errors"]))
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()

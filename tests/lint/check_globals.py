#!/usr/bin/env python3
"""check_globals.py LIBRARY CMAKE_CACHE: variables of libtfrun.so that are written while it runs, each with the reason why processes may share one value.

Ranks can be threads or actors of one process (SimGrid's SMPI), and engines may share one: what belongs to a rank or an engine stands in its records.
Constant tables, also those with pointers, and variables of threads don't count. Exit code 77: there is no readelf, or a
sanitizer has variables of its own.
"""
import re
import shutil
import subprocess
import sys

# name: why one for the process is right
KNOWN = {
    "cancel_requested": "set by a signal, which is for the process",
    "has_left": "the launcher ends the process: set by a signal",
    "ended": "children are ended with the process",
    "temporaries": "files that a signal removes",
    "serial": "numbers of temporary files, which differ",
    "callback": "where the log of the process goes",
    "callback_user": "where the log of the process goes",
    "level_now": "how much the log of the process tells",
    "fail_countdown": "tests of lacking memory",
    "table": "the table of ops, read from its text once",
    "table_once": "the table of ops, read from its text once",
    "references": "the table of reference ops, read from its text once",
    "references_once": "the table of reference ops, read from its text once",
    "self": "the back end of one process",
    "spare": "the communicator of a rank without memory for its own: MPI is open once in a process",
    "hosts": "facts of the machine that plugins ask for",
    "once": "the JSON library is told once where its memory comes from",
    "word": "of the job that the process is of; handlers of signals ask for it",
    "took": "measured overheads of the team that one thread drives",
}


def writable_sections(library):
    text = subprocess.run(["readelf", "-SW", library], capture_output=True, text=True, check=True).stdout
    return {number for number, name in re.findall(r"\[ *(\d+)\] (\S+)", text) if name in (".data", ".bss")}


def main():
    library, cache = sys.argv[1:3]
    if not shutil.which("readelf") or re.search(r"^TFRUN_SANITIZE:STRING=.", open(cache, encoding="utf-8").read(), re.M):
        return 77
    sections = writable_sections(library)
    text = subprocess.run(["readelf", "-sW", library], capture_output=True, text=True, check=True).stdout
    found = set()
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 8 and parts[3] == "OBJECT" and parts[6] in sections:
            found.add(parts[7].split("@")[0].split(".")[0])
    found = {name for name in found if not name.startswith(("_", "completed"))}
    strange = sorted(found - KNOWN.keys())
    for name in strange:
        print(f"{library}: {name} is written while it runs: put it into a record, or say in check_globals.py why one is enough")
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Write manual pages and completions of bash, zsh and fish from what `tfrun help --json` says: man1, man5 and completions below a folder.

    scripts/gen_manual.py -o FOLDER [EMULATOR] build/bin/tfrun

The build does it after each change of the program (scripts/packaging/CMakeLists.txt), so there is nothing to keep current by hand.
The pages have no date, so that the same program gives the same bytes.
"""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys

import argtypes

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "packaging"))
import completions  # noqa: E402

ENVIRONMENT = {
    "TFRUN_PLUGIN_PATH": "folders with plugins of your own, separated by colons, beside those that came with tfrun",
    "TFRUN_COMM_BACKEND": "the file of another transport between ranks, which is code that is loaded in place of comm_mpi.so",
    "TFRUN_API_KEYS": "keys that requests to `tfrun serve` must give, separated by commas, where --api-key-file names none",
    "XDG_CACHE_HOME": "calibrations, measured step costs and packed weights are kept in its folder tfrun; default: ~/.cache",
    "XDG_STATE_HOME": "lines that were typed in `repl` are kept in its folder tfrun; default: ~/.local/state",
    "TMPDIR": "where `profile` and `bench` put a checkpoint of random weights for a config that has none",
}
INTERRUPTED = "128 + n: ended by signal n; under a launcher its own code has the last word."


def roff(text):
    """Text of a paragraph: nothing in it is a request, and `words` are bold."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text)
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.splitlines())


def head(title, section, version, line):
    return [f'.\\" Written by gen_manual.py from `tfrun help --json`.\n.TH {title.upper()} {section} "" "tfrun {version}" "tfrun manual"',
            ".SH NAME", f"{roff(title)} \\- {roff(line)}"]


def section(name, *paragraphs):
    lines = [f".SH {name}"]
    for at, text in enumerate(paragraphs):
        lines += [".PP"] * (at > 0) + [roff(text)]
    return lines


def entry(names, operand, text):
    shown = ", ".join(f"\\fB{roff(name)}\\fR" for name in names)
    return [".TP", shown + (f" \\fI{roff(operand)}\\fR" if operand else ""), roff(text)]


def flag_entry(flag):
    names = [f"-{flag['short']}"] * bool(flag["short"]) + [f"--{flag['name']}"]
    names += [f"--{flag['also']}"] * bool(flag["also"]) + [f"--no-{flag['name']}"] * flag["switch"]
    return entry(names, flag["operand"], flag["help"] + ".")


def values(option):
    said = ""
    if option["choices"]:
        said += " One of " + ", ".join(option["choices"]) + "."
    elif option["max"] > option["min"] and option["type"] != "LIST":
        said += f" {'`auto`, or ' if option['type'] == 'COUNT' else ''}{option['min']:.10g} to {option['max']:.10g}."
    return said + (f" Default: {option['default']}." if option["default"] is not None else "")


def option_entry(option):
    names = [f"-{option['short']}"] * bool(option["short"]) + [f"--{option['flag']}"]
    names += [f"--no-{option['flag']}"] * (option["type"] == "BOOL")
    return entry(names, option["operand"], option["help"] + "." + values(option))


def exit_status(told):
    lines = [".SH EXIT STATUS"]
    for code in sorted(told["exit_codes"], key=lambda code: code["code"]):
        if code["code"] < 128:
            lines += entry([str(code["code"])], None, "; ".join(kind["meaning"] for kind in code["kinds"]) + ".")
    return lines + [".PP", roff(INTERRUPTED)]


def command_page(told, command, options):
    name = command["name"]
    lines = head(f"tfrun-{name}", 1, told["version"], command["help"])
    words = roff(" ".join(word for word in (command["operands"], "[OPTIONS]") if word))
    lines += [".SH SYNOPSIS", f"\\fBtfrun {name}\\fR {words}"]
    if name == "generate":
        lines += [".br", f"\\fBtfrun\\fR {words}"]
    what = ["CONFIG is a Hugging Face config.json with an optional key \"tfrun\", or a model folder."] * ("CONFIG" in command["operands"])
    lines += section("DESCRIPTION", command["help"][0].upper() + command["help"][1:] + ".",
                     *what, "Results go to stdout, everything else to stderr.")
    lines += [".SH OPTIONS"]
    for flag in command["flags"]:
        lines += flag_entry(flag)
    lines += entry(["-h", "--help"], None, "the options, on stdout.")
    if command["options"]:
        lines += [".SH OPTIONS OF THE CONFIG", roff("Each is a key under \"tfrun\" of the config too (`tfrun-config`(5)). The last of two "
                                                    "counts, lists grow.")]
        for key in command["options"]:
            lines += option_entry(options[key])
        lines += entry(["--set"], "KEY=VALUE", "any key under \"tfrun\", such as runtime.dtype=bf16; may be given several times.")
    return lines + exit_status(told) + section("SEE ALSO", "`tfrun`(1), `tfrun-config`(5)")


def main_page(told):
    lines = head("tfrun", 1, told["version"], "runs GPT-2 models on CPUs")
    lines += [".SH SYNOPSIS", "\\fBtfrun\\fR CONFIG [OPTIONS]", ".br", "\\fBtfrun\\fR COMMAND ... [OPTIONS]", ".br",
              "\\fBtfrun\\fR CONFIG \\fB\\-\\-ranks\\fR \\fIN\\fR [OPTIONS]"]
    lines += section("DESCRIPTION", "tfrun takes the folder of a Hugging Face GPT-2 model as it is and runs it on the threads of this machine "
                     "or, under MPI, on several ranks. Its answers have the same bits for any number of threads and ranks.",
                     "Without a command it does what `tfrun generate` does: CONFIG is a config.json with an optional key \"tfrun\", or "
                     "a model folder.")
    lines += [".SH COMMANDS"]
    for command in told["commands"]:
        lines += entry([f"tfrun-{command['name']}"], None, command["help"] + ".")
        lines[-2] += "(1)"
    lines += entry(["tfrun help"], "COMMAND", "usage and options of a command; `tfrun help --json` has those of all as one document.")
    lines += entry(["tfrun --version"], None, "the version.")
    lines += [".SH ENVIRONMENT"]
    for name, text in ENVIRONMENT.items():
        lines += entry([name], None, text + ".")
    return lines + exit_status(told) + section("SEE ALSO", "`tfrun-config`(5), `tfrun-generate`(1), `mpirun`(1)")


def config_page(told):
    lines = head("tfrun-config", 5, told["version"], "keys under \"tfrun\" of a config")
    lines += section("DESCRIPTION", "A config is the config.json of a Hugging Face GPT-2 model, untouched, plus one key, \"tfrun\", an object "
                     "of the sections below. A value comes from the default, from the file, or from the command line; the last one counts.",
                     "A key that is not listed here is an error. `tfrun check CONFIG` tells of each what it does, `tfrun config CONFIG` prints "
                     "the values that count.")
    group = None
    for option in sorted(told["options"], key=lambda option: "." in option["key"]):
        first = option["key"].split(".")[0] if "." in option["key"] else "top level"
        if first != group:
            group = first
            lines += [f".SH {roff(group.upper())}"]
        flag = f" Flag: --{option['flag']}." if option["flag"] else ""
        lines += entry([option["key"]], option["type"].lower(), option["help"] + "." + values(option) + flag)
    return lines + section("SEE ALSO", "`tfrun`(1), `tfrun-check`(1)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", metavar="FOLDER", required=True, type=argtypes.makeable)
    parser.add_argument("program", nargs=argparse.REMAINDER, help="tfrun, perhaps behind an emulator and its options")
    given = parser.parse_args()
    if not given.program:
        parser.error("it needs the path of a tfrun")
    if not shutil.which(given.program[0]):
        parser.error(f"there is no program {given.program[0]!r}; build it, or say where it is")
    told = json.loads(subprocess.run([*given.program, "help", "--json"], capture_output=True, text=True, check=True).stdout)
    options = {option["key"]: option for option in told["options"]}
    files = {"man1/tfrun.1": main_page(told), "man5/tfrun-config.5": config_page(told)}
    files.update({f"man1/tfrun-{command['name']}.1": command_page(told, command, options) for command in told["commands"]})
    for name, text in completions.all_shells(told, options).items():
        files[f"completions/{name}"] = text
    for name, lines in files.items():
        path = given.o / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""test_manual.py TFRUN NAME SOURCE BUILD: manual pages, completions and the document that they are made from, against `--help`.

Python's own library only; exit code 77 where a shell or a reader of manual pages is missing, or where the build made no manual.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main

SKIPPED = 77


class Manual:
    def __init__(self, tfrun, source_dir, folder):
        self.tfrun, self.source, self.folder = tfrun, source_dir, folder
        self.root = pathlib.Path(sys.argv[4]) / "scripts" / "packaging"
        self.pages = self.root / "manual"

    def text(self, *words, tool=None):
        tool = tool or self.tfrun
        if shutil.which(str(tool)) is None or (tool != self.tfrun and not self.pages.exists()):
            sys.exit(SKIPPED)
        ran = subprocess.run([str(tool), *map(str, words)], capture_output=True, text=True, timeout=60 * SLOWER)
        expect(ran.returncode == 0, ran.returncode, ran.stdout[-2000:], ran.stderr[-2000:])
        return ran.stdout

    def told(self):
        return json.loads(self.text("help", "--json"))

    def page(self, name):
        if not self.pages.exists():
            sys.exit(SKIPPED)
        text = (self.pages / name).read_text(encoding="utf-8")
        return re.sub(r"\\f[BIR]|\\&", "", text).replace("\\-", "-").replace("\\e", "\\")


def flags_in(text):
    return set(re.findall(r"--[a-z][a-z0-9-]*", text))


@case
def document_has_the_commands_and_flags_of_help(manual):
    told = manual.told()
    expect_same(told["schema"], "tfrun-help-1")
    flag_of = {option["key"]: option["flag"] for option in told["options"]}
    for command in told["commands"]:
        text = manual.text(command["name"], "--help")
        expect(f"Usage: tfrun {command['name']}" in text and command["help"] in text, text[:200])
        left = set(re.findall(r"^ {2,6}(?:-\w, )?--([a-z0-9-]+)", text, re.M)) - {"set", "help"}
        expect_same({flag["name"] for flag in command["flags"]} | {flag_of[key] for key in command["options"]}, left)


@case
def document_has_lists_where_values_are_many(manual):
    told = manual.told()
    choices = {option["key"]: option["choices"] for option in told["options"]}
    expect_same(choices["runtime.kv_cache"], ["growing", "static"])
    expect_same(choices["runtime.threads"], None)
    for key, names in choices.items():
        expect(names is None or names and not any("|" in name or not name for name in names), key, names)
    codes = [code["code"] for code in told["exit_codes"]]
    expect_same(len(set(codes)), len(codes))
    [model] = [code["kinds"] for code in told["exit_codes"] if code["code"] == 4]
    expect_same([kind["name"] for kind in model], ["MODEL", "UNSUPPORTED"])
    expect(all(kind["meaning"] for code in told["exit_codes"] for kind in code["kinds"]), told["exit_codes"])


@case
def help_on_no_command_is_refused(manual):
    ran = subprocess.run([manual.tfrun, "help", "plna"], capture_output=True, text=True, timeout=60 * SLOWER)
    expect_same((ran.returncode, ran.stdout), (2, ""))
    expect('"plna" is no command; did you mean plan?' in ran.stderr, ran.stderr)


@case
def every_command_has_a_page_with_its_flags(manual):
    for command in manual.told()["commands"]:
        page = manual.page(f"man1/tfrun-{command['name']}.1")
        for flag in flags_in("\n".join(line[:33] for line in manual.text(command["name"], "--help").splitlines())):
            expect(flag in page, flag, "is not in the page of", command["name"])
        expect(f"tfrun-{command['name']}(1)" in manual.page("man1/tfrun.1"), command["name"])


@case
def page_of_the_config_has_every_key(manual):
    page = manual.page("man5/tfrun-config.5")
    for option in manual.told()["options"]:
        expect(re.search(rf"^{re.escape(option['key'])} ", page, re.M), option["key"], "has no entry")


@case
def every_variable_of_ours_is_in_the_manual(manual):
    page = manual.page("man1/tfrun.1")
    used = set()
    for root in ("core", "parallel", "plugins"):
        for path in (manual.source / root).rglob("*.c"):
            used |= set(re.findall(r"\"(TFRUN_[A-Z_]+)\"", path.read_text(encoding="utf-8")))
    expect(len(used) > 1, used)
    for name in used - {"TFRUN_COMM_BACKEND"}:  # of tests
        expect(name in page, name)


@case
def pages_are_well_formed(manual):
    pages = sorted(manual.pages.glob("man?/*")) if manual.pages.exists() else sys.exit(SKIPPED)
    if shutil.which("mandoc") is None:
        sys.exit(SKIPPED)
    said = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *pages], capture_output=True, text=True, timeout=60 * SLOWER).stdout
    wrong = [line for line in said.splitlines() if "missing date" not in line]  # a date would be another with each build
    expect(not wrong, wrong[:5])


@case
def unit_of_the_serving_page_is_the_installed_one(manual):
    page = (manual.source / "docs" / "serving.md").read_text(encoding="utf-8")
    unit = (manual.source / "scripts" / "packaging" / "tfrun@.service.in").read_text(encoding="utf-8")
    expect_same(re.search(r"^```ini\n(.*?)^```", page, re.M | re.S)[1], unit.replace("@CMAKE_INSTALL_FULL_BINDIR@", "/usr/local/bin"))


@case
def bash_completes(manual):
    script = manual.pages / "completions" / "tfrun.bash"
    for words, wanted in COMPLETED:
        said = manual.text("-c", f'. "{script}"; COMP_WORDS=({" ".join(words)} "$1"); COMP_CWORD={len(words)}; _tfrun; echo "${{COMPREPLY[@]}}"',
                           "bash", wanted[0], tool="bash")
        expect(set(wanted[1]) <= set(said.split()), words, wanted, said)


@case
def bash_offers_a_file_with_a_blank_whole(manual):
    script = manual.pages / "completions" / "tfrun.bash"
    for name in ("my model.json", "my other model.json"):
        (manual.folder / name).touch()
    for words in (["tfrun"], ["tfrun", "plan"], ["tfrun", "plan", "--file"]):
        given = f'cd "{manual.folder}"; . "{script}"; COMP_WORDS=({" ".join(words)} my); COMP_CWORD={len(words)}; _tfrun; '
        expect_same(sorted(manual.text("-c", given + 'printf "%s\\n" "${COMPREPLY[@]}"', tool="bash").splitlines()),
                    ["my model.json", "my other model.json"])


@case
def fish_completes(manual):
    script = manual.pages / "completions" / "tfrun.fish"
    for words, wanted in COMPLETED:
        line = " ".join([word for word in words if word != "="] + [wanted[0]]).replace(" = ", "=")
        said = manual.text("--no-config", "-c", f'source "{script}"; complete -C "{line}"', tool="fish")
        expect(set(wanted[1]) <= {shown.split("\t")[0] for shown in said.splitlines()}, line, said)


@case
def zsh_completes(manual):
    """Zsh in a terminal of its own (zpty), whose compadd tells what it was given and what of it fits."""
    folder = manual.pages / "completions"
    script = manual.folder / "zsh"
    script.write_text(ZSH)
    for words, wanted in COMPLETED:
        line = " ".join(word for word in words if word != "=")
        said = manual.text("-f", script, folder, f"{line} {wanted[0]}", tool="zsh")
        expect(set(wanted[1]) <= set(re.findall(r"[^\s<>]+", said[said.index("READY\n"):])), line, wanted, said)


# (words before, (what is typed of the next one, some that are offered))
COMPLETED = [
    (["tfrun"], ("", ["generate", "plan", "serve"])),
    (["tfrun"], ("qu", ["quantize"])),
    (["tfrun", "help"], ("", ["serve", "--json"])),
    (["tfrun", "help"], ("se", ["serve"])),
    (["tfrun", "plan"], ("--exp", ["--explain"])),
    (["tfrun", "plan", "--format"], ("", ["table", "md", "json", "csv"])),
    (["tfrun", "configs"], ("--num-b", ["--num-beams"])),
    (["tfrun", "configs", "--dtype"], ("in", ["int8", "int8w", "int4"])),
    (["tfrun", "eval", "model", "--no-deter"], ("", [])),
    (["tfrun", "summary", "model"], ("--no-cross", ["--no-cross-attention"])),
]

ZSH = r"""
zmodload zsh/zpty zsh/zselect
zpty -b shell zsh -f -i
until_word() {
    local line
    repeat 300; do
        while zpty -r -t shell line; do
            print -rn -- $line
            [[ $line == *$1* ]] && return
        done
        zselect -t 5
    done
}
zpty -w shell "PROMPT=; stty -echo; print FIR''ST"
until_word FIRST
zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; bindkey '^I' complete-word
compadd() { builtin compadd -A found \"\$@\"; print -rl -- \"<\${^found}>\"; builtin compadd \"\$@\" }; print REA''DY"
until_word READY
zpty -w -n shell "$2"$'\t'
zpty -w -n shell $'\x15'"print DO''NE"$'\n'
until_word DONE
zpty -d shell
"""


if __name__ == "__main__":
    sys.exit(main(Manual))

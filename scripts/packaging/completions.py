"""Completions of bash, zsh and fish from the document of `tfrun help --json`; scripts/gen_manual.py writes them."""
import re

FILE_OPERANDS = re.compile(r"FILES?|DIR|PATH|CONFIG")
# A help text that begins with its values, perhaps behind a condition: "with --net: table, md, json or csv [table]".
VALUES_FIRST = re.compile(r"(?:with [^:]*: )?((?:[\w.-]+, )+[\w.-]+,? or [\w.-]+|[\w.-]+,? or [\w.-]+)(?= alone|$|[ ]?[\[(:;])")


def first_values(text):
    inside = re.search(r"\((\w+(?:\|\w+)+)\)", text)
    if inside:
        return inside[1].split("|")
    found = VALUES_FIRST.match(re.sub(r" \([^)]*\)", "", text))
    return re.findall(r"[\w.-]+", re.sub(r",? or ", " ", found[1])) if found else []


def words_of(command, options):
    """(long name, letter, operand, values, help) of all that a command takes."""
    for flag in command["flags"]:
        yield flag["name"], flag["short"], flag["operand"], first_values(flag["help"]) if flag["operand"] else [], flag["help"]
        if flag["also"]:
            yield flag["also"], None, flag["operand"], [], flag["help"]
        if flag["switch"]:
            yield "no-" + flag["name"], None, None, [], "not: " + flag["help"]
    for option in map(options.get, command["options"]):
        values = option["choices"] or (["auto"] if option["type"] == "COUNT" else [])
        yield option["flag"], option["short"], option["operand"], values, option["help"]
        if option["type"] == "BOOL":
            yield "no-" + option["flag"], None, None, [], "not: " + option["help"]
    if command["options"]:
        yield "set", None, "KEY=VALUE", [], "any key under \"tfrun\""
    yield "help", "h", None, [], "the options"


def short(text):
    """A line for a menu: the first clause."""
    return re.split(r"; |: | \(", text)[0][:90]


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


# ---- bash: compgen alone, so that it works without bash-completion too

BASH_END = r"""
_tfrun_files() { # each is a line: its name may have blanks
    local IFS=$'\n'
    COMPREPLY+=($(compgen -f -- "$1"))
}
_tfrun() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
    local commands=$(_tfrun_commands)
    COMPREPLY=()
    if [ "$command" = help ] && [ "$COMP_CWORD" -gt 1 ]; then
        [ "$COMP_CWORD" -gt 2 ] || COMPREPLY=($(compgen -W "$commands --json" -- "$current"))
        return
    fi
    case " $commands " in *" $command "*) ;; *) command=generate ;; esac
    if [ "$current" = "=" ]; then
        current=
    elif [ "$before" = "=" ]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    fi
    local values=$(_tfrun_values "$command" "$before")
    if [ "$values" = "<file>" ]; then
        _tfrun_files "$current"
    elif [ "$values" = "<text>" ]; then
        return
    elif [ -n "$values" ]; then
        COMPREPLY=($(compgen -W "$values" -- "$current"))
    elif [ "${current#-}" != "$current" ]; then
        COMPREPLY=($(compgen -W "$(_tfrun_flags "$command")" -- "$current"))
    elif [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W "$commands help --version --help" -- "$current"))
        _tfrun_files "$current"
    else
        _tfrun_files "$current"
    fi
}
complete -o filenames -F _tfrun tfrun"""


def bash_values(values, operand):
    return " ".join(values) or ("<file>" if FILE_OPERANDS.fullmatch(operand) else "<text>")


def bash(told, options):
    names = [command["name"] for command in told["commands"]]
    lines = ["# Completion of tfrun for bash, written by gen_manual.py.", "_tfrun_commands() {", f"    echo {quote(' '.join(names))}", "}",
             "_tfrun_flags() {", "    case $1 in"]
    values = []
    for command in told["commands"]:
        flags = []
        for name, letter, operand, choices, _ in words_of(command, options):
            flags += [f"--{name}"] + [f"-{letter}"] * bool(letter)
            if operand:
                spelt = f"'{command['name']} --{name}'" + (f" | '{command['name']} -{letter}'" if letter else "")
                values.append(f"    {spelt}) echo {quote(bash_values(choices, operand))} ;;")
        lines.append(f"    {command['name']}) echo {quote(' '.join(flags))} ;;")
    return lines + ["    esac", "}", "_tfrun_values() {", "    case \"$1 $2\" in", *values, "    esac", "}"] + BASH_END.splitlines()


# ---- zsh


def zsh_text(text):
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


def zsh_specs(command, options):
    for name, letter, operand, choices, text in words_of(command, options):
        action = f":{zsh_text(operand)}:" if operand else ""
        if choices:
            action += "(" + " ".join(choices) + ")"
        elif operand and FILE_OPERANDS.fullmatch(operand):
            action += "_files"
        for spelt in [f"--{name}{'=' if operand else ''}"] + [f"-{letter}{'+' if operand else ''}"] * bool(letter):
            yield quote(f"*{spelt}[{zsh_text(short(text))}]{action}")


ZSH_END = r"""
    if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then
        _describe -t commands command commands
        _files
        return
    fi
    if (( CURRENT > 2 )) && [[ $words[2] == help ]]; then
        (( CURRENT > 3 )) || compadd -- ${commands%%:*} --json
        return
    fi
    local command=generate
    if (( CURRENT > 2 )) && [[ -n ${(M)commands:#${words[2]}:*} ]]; then
        command=$words[2]
        words=("$words[1]" "${(@)words[3,-1]}")
        (( CURRENT-- ))
    fi
    _tfrun_$command
}
if [[ $funcstack[1] == _tfrun ]]; then
    _tfrun "$@"
else
    compdef _tfrun tfrun
fi"""


def zsh(told, options):
    lines = ["#compdef tfrun", "# Completion of tfrun for zsh, written by gen_manual.py."]
    for command in told["commands"]:
        lines += [f"_tfrun_{command['name']}() {{", "    _arguments -s \\"]
        lines += [f"        {spec} \\" for spec in zsh_specs(command, options)] + ["        '*:file:_files'", "}"]
    lines += ["_tfrun() {", "    local -a commands=("]
    lines += ["        " + quote(f"{command['name']}:{short(command['help'])}") for command in told["commands"]] + ["    )"]
    return lines + ZSH_END.strip("\n").splitlines()


# ---- fish

FISH_END = r"""
function __tfrun_command
    set -l words (commandline -opc)
    if set -q words[2]; and contains -- $words[2] $__tfrun_commands
        echo $words[2]
    else
        echo generate
    end
end
function __tfrun_help
    set -l words (commandline -opc)
    test "$words[2]" = help
end
function __tfrun_in
    not __tfrun_help; and contains -- (__tfrun_command) $argv
end
function __tfrun_first
    test (count (commandline -opc)) -eq 1
end"""


def fish_quote(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish(told, options):
    lines = ["# Completion of tfrun for fish, written by gen_manual.py.",
             "set -g __tfrun_commands " + " ".join(command["name"] for command in told["commands"]), *FISH_END.strip("\n").splitlines()]
    for command in told["commands"]:
        lines.append(f"complete -c tfrun -n __tfrun_first -a {command['name']} -d {fish_quote(short(command['help']))}")
    lines.append("complete -c tfrun -f -n '__tfrun_help; and test (count (commandline -opc)) -eq 2' -a '--json '(string join ' ' $__tfrun_commands)")
    lines += ["complete -c tfrun -n __tfrun_first -a help -d 'the options of a command'", "complete -c tfrun -f -n __tfrun_help"]
    owners = {}
    for command in told["commands"]:
        for name, letter, operand, choices, text in words_of(command, options):
            owners.setdefault((name, letter, operand, tuple(choices), short(text)), []).append(command["name"])
    for (name, letter, operand, choices, text), commands in owners.items():
        words = [f"complete -c tfrun -n '__tfrun_in {' '.join(commands)}' -l {name}"] + [f"-s {letter}"] * bool(letter)
        if operand:
            words.append(f"-x -a {fish_quote(' '.join(choices))}" if choices else "-r -F" if FILE_OPERANDS.fullmatch(operand) else "-x")
        lines.append(" ".join(words + [f"-d {fish_quote(text)}"]))
    return lines


def all_shells(told, options):
    return {"tfrun.bash": bash(told, options), "_tfrun": zsh(told, options), "tfrun.fish": fish(told, options)}

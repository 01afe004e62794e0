"""Finds the sentences that tfrun says on failure or as a warning, in the text of its C sources.

A sentence is the format string of a call of a speaking function (SPEAKS below). A "%s" in it that is a parameter of
the function around the call is followed to that function's callers, whose words go into the hole. What can't be read from the
text stays a hole under the name of its C expression: "<path>: tensor <name> is missing".
"""
import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

from c_sources import CLOSING, OPENING, Source, calls_of, past_closing, split_at, ternary, unwrapped

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("core", "parallel", "plugins")

# Functions that say something, in all files or in one: the argument that is the format, counted from 0, and what tells how the
# command ends: "status N", "http N", "level N": argument N is the status, the entry of errors.def, the level of the log;
# anything else is the answer itself.
SPEAKS = {
    "tfr_raise": (1, "status 0"),
    "tfr_raise_prefix": (1, "of what failed"),
    "tfr_complaints_add": (4, "status 1"),
    "tfr_config_complain": (3, "status 2"),
    "tfr_json_refuse": (2, "of what failed"),
    "tfr_cli_usage": (0, "TFR_USAGE"),
    "tfr_cli_tell": (0, "goes on"),
    "tfr_server_tell": (0, "goes on"),
    "tfr_refuse": (3, "http 1"),
    "tfr_reply_error": (3, "http 1"),
    "tfr_log": (2, "level 0"),
    "tfr_tokenizer_raise_at": (2, "TFR_MODEL"),
    "tfr_tokenizer_warn_at": (4, "warning"),
    "tfr_load_run_fail": (3, "a failed request"),
    "core/app/load/load_wire.c:fail": (1, "a failed request"),
    "core/app/load/load_reply.c:fail": (1, "a failed request"),
    "core/config/config_values.c:wrong": (2, "part"),
    "snprintf": (2, "part"),
}
# What is written into a buffer of one of these names, or into one that the same function hands to a function that speaks, is said by somebody.
BUFFERS = {"error", "why", "reason", "sentence", "fault"}
BUFFERS_OF = {"parallel/topo/doctor.c": {"what", "fix"}, "parallel/topo/choice.c": {"text"}}
# Members of structs that hold whole sentences, wherever they are set.
MEMBERS = {"missing", "failed", "fix"}
SPEAKERS = re.compile(r"complain|warn|refuse|raise|fail|tfr_cli_usage|tfr_log$|wrong")
# Functions with a format that say nothing of a failure. A new function with TFR_PRINTF belongs to one of the two.
SILENT = {"tfr_format", "tfr_results_print", "put_bytes", "tfr_topo_slurp", "tfr_topo_number"}
PRINTS = re.compile(r"^[a-z][\w \t]*[ *](\w+)\([^;{]*?\)\s*TFR_PRINTF\(", re.M)
SPEC = re.compile(r"%(?:(%)|[-+ #0]*(\*|\d+)?(?:\.(\*|\d+))?(?:hh|h|ll|l|z|j|t)?([diouxXeEfgGcsp]))")
MOST_DEPTH, MOST_WORDS, MOST_CALLS, MOST_ENDS = 5, 60, 9, 2
UNKNOWN = "of what failed"
# What has no text beside the names of other files says nothing; half of the sources of kernels are so.
TEXTS = re.compile(r'^(?!\s*#\s*include|\s*#error).*"', re.M)


@dataclass
class Sentence:
    """`text` has holes in <angle brackets>; `words` are what a hole can be, where the sources tell."""
    text: str
    path: str
    function: str
    line: int
    ends: set
    words: dict = field(default_factory=dict)
    entry: int = None


def hole_name(tokens):
    """A name for a value: the last name of its expression that is no call and no index."""
    tokens = unwrapped(tokens)
    if not tokens:
        return "..."
    if tokens[0].kind == "name" and len(tokens) > 1 and tokens[1].is_sign("(") and past_closing(tokens, 1) == len(tokens):
        called = tokens[0].text
        if called == "strerror":
            return "why the system refused"
        inside = [token.text for token in tokens[2:-1] if token.kind == "name"]
        return re.sub(r"^tfr_", "", called).replace("_", " ") if not inside or called.endswith("_name") else inside[-1].replace("_", " ")
    branches = ternary(tokens)
    if branches:
        return next((name for name in map(hole_name, branches) if name != "..."), "...")
    names, depth = [], 0
    for token in tokens:
        if token.kind == "sign":
            depth += (token.text in OPENING) - (token.text in CLOSING)
        elif token.kind == "name" and depth == 0 and token.text not in ("long", "int", "size_t", "double", "NULL"):
            names.append(token.text)
    return names[-1].replace("_", " ") if names else "..."


def assigned_to(name, function):
    """The expressions that the variable is set to."""
    tokens = function.body
    for i in range(len(tokens) - 1):
        is_member = i > 0 and tokens[i - 1].text in ("->", ".")
        if tokens[i].kind == "name" and tokens[i].text == name and tokens[i + 1].is_sign("=") and not is_member:
            yield split_at(split_at(tokens[i + 2:], ";")[0], ",")[0]


class Reader:
    def __init__(self, root=ROOT):
        self.sources, self.functions, self.macros, self.callers, self.members = [], {}, {}, {}, {}
        for folder in FOLDERS:
            for path in sorted((root / folder).rglob("*.[ch]")):
                text = path.read_text(encoding="utf-8")
                if TEXTS.search(text):
                    self.add(Source(path.relative_to(root).as_posix(), text))
        for source in self.sources:
            for function in source.functions:
                for call in calls_of(function):
                    self.callers.setdefault(call.name, []).append(call)
                self.read_members(function)

    def add(self, source):
        self.sources.append(source)
        if source.path.endswith(".h"):
            self.macros.update(source.macros)
        for function in source.functions:
            self.functions.setdefault(function.name, []).append(function)

    def read_members(self, function):
        """What members of MEMBERS are set to: .name = ..., or a->name = ..."""
        tokens = function.body
        for i in range(1, len(tokens) - 1):
            if tokens[i].text in MEMBERS and tokens[i - 1].text in (".", "->") and tokens[i + 1].is_sign("="):
                value = split_at(split_at(split_at(tokens[i + 2:], ";")[0], ",")[0], "}")[0]
                self.members.setdefault(tokens[i].text, []).append((function, value))

    def called(self, name, source):
        """The functions that `name` means in `source`."""
        named = self.functions.get(name, [])
        own = [function for function in named if function.source is source]
        return own or [function for function in named if not function.is_static or function.source.path.endswith(".h")]

    def callers_of(self, function):
        found = self.callers.get(function.name, [])
        return [call for call in found if function in self.called(function.name, call.function.source)]

    def unknown_printers(self):
        """Functions that take a format and stand neither in SPEAKS nor in SILENT."""
        known = {name.split(":")[-1] for name in SPEAKS} | SILENT
        for source in self.sources:
            for name in PRINTS.findall((ROOT / source.path).read_text(encoding="utf-8")):
                if name not in known:
                    yield f"{source.path}: {name} takes a format: scripts/messages.py must know whether it says what failed"

    # values: lists of texts, or None where they can't be read

    def literal(self, tokens, source):
        text = ""
        for token in tokens:
            if token.kind == "string":
                text += ast.literal_eval(token.text)
            elif token.kind == "name" and re.match(r"PRI[diuxX]\d+$", token.text):
                text += token.text[3].lower()
            elif token.kind == "name" and token.text in source.macros:
                text += self.literal(source.macros[token.text], source) or ""
            elif token.kind == "name" and token.text in self.macros:
                text += self.literal(self.macros[token.text], source) or ""
            else:
                return None
        return text if tokens else None

    def texts(self, tokens, function, depth=0):
        """What the expression can be, as a list of texts; None if unknown."""
        tokens = unwrapped(tokens)
        if depth > MOST_DEPTH or not tokens:
            return None
        plain = self.literal(tokens, function.source)
        if plain is not None:
            return [plain]
        branches = ternary(tokens)
        if branches:
            return self.union([self.texts(part, function, depth + 1) for part in branches], True)
        if tokens[0].kind != "name":
            return None
        if len(tokens) > 1 and tokens[1].is_sign("(") and past_closing(tokens, 1) == len(tokens):
            return self.returned(tokens[0].text, function, depth)
        if len(tokens) > 1 and tokens[1].is_sign("["):
            return self.from_table(tokens[0].text, function, depth)
        if len(tokens) == 3 and tokens[1].text in ("->", ".") and tokens[2].text in MEMBERS:
            return self.union([self.texts(value, owner, depth + 1) for owner, value in self.members.get(tokens[2].text, [])], True)
        if len(tokens) == 1:
            return self.assigned(tokens[0].text, function, depth)
        return None

    @staticmethod
    def union(lists, may_lack=False):
        found = []
        for texts in lists:
            if texts is None and not may_lack:
                return None
            found += [text for text in texts or [] if text not in found]
        return found if found and len(found) <= MOST_WORDS else None

    def returned(self, name, function, depth):
        lists = []
        for called in self.called(name, function.source):
            tokens = called.body
            for i, token in enumerate(tokens):
                if token.kind == "name" and token.text == "return":
                    lists.append(self.texts(split_at(tokens[i + 1:], ";")[0], called, depth + 1))
        return self.union(lists, True) if lists else None

    def from_table(self, name, function, depth):
        tables = function.source.tables.get(name)
        if not tables:
            return None
        found = []
        for inside in tables:
            for part in split_at(inside, ","):
                text = self.literal([t for t in part if not t.is_sign("{") and not t.is_sign("}")] if len(part) < 9 else part,
                                    function.source)
                value = split_at(part, "=")
                if text is None and len(value) == 2:
                    text = self.literal(value[1], function.source)
                if text is None:
                    continue
                found.append(text)
        return found if found and len(found) <= MOST_WORDS else None

    def assigned(self, name, function, depth):
        if name in function.parameters:
            return None
        lists = [self.texts(value, function, depth + 1) for value in assigned_to(name, function)]
        return self.union(lists, True) if lists else None

    # sentences

    def sentences(self):
        found = []
        for source in self.sources:
            for function in source.functions:
                for call in calls_of(function):
                    found += self.said_by(call)
        return found

    def said_by(self, call):
        place = SPEAKS.get(f"{call.function.source.path}:{call.name}") or SPEAKS.get(call.name)
        arguments = call.arguments
        if call.name == "fprintf" and arguments[0] and arguments[0][0].text == "stderr":
            place = (1, "goes on")
        if place is None or len(arguments) <= place[0]:
            return []
        if call.function.name == call.name or (call.name == "snprintf" and not self.is_said(call)):
            return []
        formats = self.texts(arguments[place[0]], call.function)
        if formats is None:
            return []
        ends = self.ends(place[1], arguments, call.function)
        if not ends:
            return []
        found = []
        for form in formats:
            if call.name == "fprintf" and not form.startswith("tfrun: "):
                continue
            made = self.filled(form, arguments[place[0] + 1:], call, ends)
            found += [sentence for sentence in made if ends != {"part"} or len(own_words(sentence.text)) >= 2 and len(sentence.text.split()) >= 3]
        return found

    @staticmethod
    def is_said(call):
        """True if what snprintf writes here is part of a message."""
        names = [token.text for token in split_at(call.arguments[0], "+")[0] if token.kind == "name"]
        if not names:
            return False
        return names[-1] in BUFFERS | BUFFERS_OF.get(call.function.source.path, set()) or any(SPEAKERS.search(other.name) and [[t.text for t in a] for a in other.arguments].count(names[-1:])
                                           for other in calls_of(call.function))

    def ends(self, how, arguments, function):
        kind, _, number = how.partition(" ")
        if kind not in ("status", "http", "level") or not number.isdigit():
            return {how}
        tokens = arguments[int(number)]
        names = {token.text for token in tokens if token.kind == "name" and re.match(r"TFR_[A-Z]", token.text)}
        if kind == "level":
            return {"error of a library" if name == "TFR_LOG_ERROR" else "warning" for name in names & {"TFR_LOG_ERROR", "TFR_LOG_WARN"}}
        if not names and kind == "status":
            names = self.statuses(tokens, function) - {"TFR_OK"}
        return names if 0 < len(names) <= MOST_ENDS else {UNKNOWN}

    def statuses(self, tokens, function, depth=0):
        """What the expression of a status can be: the names in it, and in what is assigned, handed over or returned; UNKNOWN beside
        those where the sources don't tell."""
        branches = ternary(tokens)
        if branches:
            return self.statuses(branches[0], function, depth) | self.statuses(branches[1], function, depth)
        tokens = unwrapped(tokens)
        if depth > MOST_CALLS or not tokens or tokens[0].kind != "name":
            return {UNKNOWN}
        name = tokens[0].text
        if len(tokens) == 1 and re.match(r"TFR_[A-Z]", name):
            return {name}
        if len(tokens) == 1 and name in function.parameters:
            place = function.parameters.index(name)
            callers = [call for call in self.callers_of(function) if place < len(call.arguments)]
            return self.any_status((call.arguments[place], call.function) for call in callers) if callers else {UNKNOWN}
        if len(tokens) == 1:
            values = list(assigned_to(name, function))
            return self.any_status(((value, function) for value in values), depth) if values else {UNKNOWN}
        if tokens[1].is_sign("(") and past_closing(tokens, 1) == len(tokens):
            return self.returned_statuses(name, tokens, function, depth)
        return {UNKNOWN}

    def any_status(self, values, depth=0):
        return set().union(*(self.statuses(value, function, depth + 1) for value, function in values))

    def returned_statuses(self, name, tokens, function, depth):
        if name in SPEAKS and SPEAKS[name][1] == "status 0":
            return self.statuses(split_at(tokens[2:-1], ",")[0], function, depth + 1)
        found = set()
        for called in self.called(name, function.source):
            values = [(split_at(called.body[i + 1:], ";")[0], called) for i, token in enumerate(called.body) if token.text == "return"]
            values += [(call.arguments[0], called) for call in calls_of(called) if call.name == "TFR_TRY"]
            found |= self.any_status(values, depth)
        return found or {UNKNOWN}

    def filled(self, form, values, call, ends):
        """The sentence of a format, or several where other words than its own are all it has."""
        text, words, last, value, wrapper = "", {}, 0, 0, {}
        for spec in SPEC.finditer(form):
            text += form[last:spec.start()]
            last = spec.end()
            if spec.group(1):
                text += "%"
                continue
            value += (spec.group(2) == "*") + (spec.group(3) == "*")
            tokens = values[value] if value < len(values) else []
            value += 1
            name = hole_name(tokens)
            if spec.group(4) in "diouxXeEfgG":
                name = name if not re.fullmatch(r"[a-z]|\.\.\.", name) else "number"
            elif name == "...":
                name = "text"
            texts = self.texts(tokens, call.function) if spec.group(4) == "s" else None
            if texts is None and spec.group(4) == "s":
                texts = self.from_callers(tokens, call.function)
            if texts and set(texts) == {"", "s"}:
                text += "(s)"
                continue
            optional = texts and len(texts) == 2 and "" in texts and len(tokens) > 1 and max(texts, key=len).strip("<> ")
            if optional:
                text += f"<{optional}>"
                continue
            while name in words and words[name] != texts:
                name += "'"
            words[name] = texts
            text += f"<{name}>"
        text += form[last:]
        sentence = Sentence(text.removeprefix("tfrun: ").strip(), call.function.source.path, call.function.name, call.line, ends,
                            {name: texts for name, texts in words.items() if texts})
        return expanded(sentence)

    def from_callers(self, tokens, function, depth=0):
        tokens = unwrapped(tokens)
        if len(tokens) != 1 or tokens[0].text not in function.parameters or depth > MOST_DEPTH:
            return None
        place = function.parameters.index(tokens[0].text)
        lists = []
        for call in self.callers_of(function):
            if place < len(call.arguments):
                lists.append(self.texts(call.arguments[place], call.function) or
                             self.from_callers(call.arguments[place], call.function, depth + 1))
        return self.union(lists, True) if lists else None


def own_words(text):
    return re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^>]*>", "", text))


def expanded(sentence):
    if len(own_words(sentence.text)) >= 2:
        return [sentence]
    longest = max(sentence.words, key=lambda name: sum(map(len, sentence.words[name])), default=None)
    if longest is None:
        return [sentence] if own_words(sentence.text) else []
    rest = {name: texts for name, texts in sentence.words.items() if name != longest}
    return [Sentence(sentence.text.replace(f"<{longest}>", text), sentence.path, sentence.function, sentence.line, sentence.ends, rest)
            for text in sentence.words[longest] if text]

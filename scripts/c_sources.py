"""C sources read as far as scripts need them: tokens, functions with their parameters and calls, arrays of texts."""
import re
from dataclasses import dataclass

TOKEN = re.compile(r"""
    (?P<comment>/\*.*?\*/|//[^\n]*)
  | (?P<string>"(?:\\.|[^"\\\n])*")
  | (?P<char>'(?:\\.|[^'\\\n])*')
  | (?P<directive>^[ \t]*\#(?:\\\n|[^\n])*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
  | (?P<sign>->|\+\+|--|<<=|>>=|\.\.\.|[-+*/%&|^<>=!]=|&&|\|\||<<|>>|[^\s\w])
""", re.X | re.S | re.M)
OPENING, CLOSING = set("([{"), set(")]}")
NOT_CALLS = {"if", "for", "while", "switch", "return", "sizeof", "_Alignof", "do", "else", "case"}


@dataclass
class Token:
    kind: str
    text: str
    line: int
    at: int  # where it begins in the text

    def is_sign(self, text):
        return self.kind == "sign" and self.text == text


@dataclass
class Function:
    name: str
    source: "Source"
    parameters: list
    body: list
    is_static: bool
    head: list  # what stands before the body
    calls: list = None


@dataclass
class Call:
    name: str
    arguments: list
    function: Function
    line: int


class Source:
    def __init__(self, path, text):
        self.path, self.tokens = path, tokens_of(text)
        self.macros = {}
        self.functions = []
        self.tables = {}
        self.read_macros()
        self.tokens = [token for token in self.tokens if token.kind != "directive"]
        self.read_functions()
        self.read_tables()

    def read_macros(self):
        for token in self.tokens:
            found = token.kind == "directive" and re.match(r"\s*#\s*define\s+(\w+)\s+(\".*\")\s*(?:/\*.*)?$", token.text.replace("\\\n", " "), re.S)
            if found:
                self.macros[found.group(1)] = [t for t in tokens_of(found.group(2))]

    def read_functions(self):
        at, start = 0, 0
        while at < len(self.tokens):
            token = self.tokens[at]
            if token.is_sign(";"):
                start = at + 1
            if not token.is_sign("{"):
                at += 1
                continue
            end = past_closing(self.tokens, at)
            head = self.tokens[start:at]
            function = self.function_of(head, self.tokens[at + 1:end - 1])
            if function:
                self.functions.append(function)
                start = end
            at = end

    def function_of(self, head, body):
        if not head or not head[-1].is_sign(")") or any(t.is_sign("=") for t in head):
            return None
        for i, token in enumerate(head[:-1]):
            if token.kind == "name" and head[i + 1].is_sign("(") and past_closing(head, i + 1) == len(head):
                parameters = [parameter_name(part) for part in split_at(head[i + 2:-1], ",")]
                return Function(token.text, self, parameters, body, any(t.text == "static" for t in head[:i]), head)
        return None

    def read_tables(self):
        """Arrays of texts, wherever they stand: name[...] = {...}."""
        tokens = self.tokens
        for i in range(len(tokens) - 3):
            if tokens[i].kind == "name" and tokens[i + 1].is_sign("["):
                after = past_closing(tokens, i + 1)
                while after < len(tokens) and tokens[after].is_sign("["):
                    after = past_closing(tokens, after)
                if after + 1 < len(tokens) and tokens[after].is_sign("=") and tokens[after + 1].is_sign("{"):
                    inside = tokens[after + 2:past_closing(tokens, after + 1) - 1]
                    self.tables.setdefault(tokens[i].text, []).append(inside)
                elif after + 1 < len(tokens) and tokens[after].is_sign("=") and tokens[after + 1].kind == "string":
                    self.macros[tokens[i].text] = split_at(tokens[after + 1:], ";")[0]


def tokens_of(text):
    found, line, last = [], 1, 0
    for match in TOKEN.finditer(text):
        line += text.count("\n", last, match.start())
        last = match.start()
        if match.lastgroup != "comment":
            found.append(Token(match.lastgroup, match.group(), line, match.start()))
    return found


def past_closing(tokens, at):
    """The index after the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(tokens)):
        if tokens[i].kind == "sign":
            depth += (tokens[i].text in OPENING) - (tokens[i].text in CLOSING)
            if depth == 0:
                return i + 1
    return len(tokens)


def split_at(tokens, sign):
    """`tokens` cut at `sign` outside of brackets."""
    parts, depth = [[]], 0
    for token in tokens:
        if token.kind == "sign":
            depth += (token.text in OPENING) - (token.text in CLOSING)
            if token.text == sign and depth == 0:
                parts.append([])
                continue
        parts[-1].append(token)
    return parts


def parameter_name(tokens):
    names = [token.text for token in split_at(tokens, "[")[0] if token.kind == "name"]
    return names[-1] if names else ""


def unwrapped(tokens):
    """Without brackets around all of it and without casts before it."""
    while tokens and tokens[0].is_sign("("):
        end = past_closing(tokens, 0)
        if end == len(tokens):
            tokens = tokens[1:-1]
        elif tokens[end].kind in ("name", "string") or tokens[end].is_sign("("):
            tokens = tokens[end:]
        else:
            break
    return tokens


def ternary(tokens):
    """The two values of `a ? b : c`, or None."""
    parts = split_at(tokens, "?")
    if len(parts) < 2:
        return None
    rest = tokens[len(parts[0]) + 1:]
    depth, pending = 0, 0
    for i, token in enumerate(rest):
        if token.kind != "sign":
            continue
        depth += (token.text in OPENING) - (token.text in CLOSING)
        if depth == 0 and token.text == "?":
            pending += 1
        elif depth == 0 and token.text == ":":
            if pending == 0:
                return rest[:i], rest[i + 1:]
            pending -= 1
    return None


def calls_of(function):
    if function.calls is None:
        function.calls = []
        tokens = function.body
        for i in range(len(tokens) - 1):
            if tokens[i].kind == "name" and tokens[i + 1].is_sign("(") and tokens[i].text not in NOT_CALLS:
                inside = tokens[i + 2:past_closing(tokens, i + 1) - 1]
                function.calls.append(Call(tokens[i].text, split_at(inside, ",") if inside else [], function, tokens[i].line))
    return function.calls

"""Code that can change nothing but what is prefetched, so that no test can see it changed: told by what the statement or the function does,
whatever its name is. For scripts/mutate."""
import re

from c_sources import calls_of, past_closing, split_at

PREFETCH, BUILTIN = re.compile(r"prefetch"), re.compile(r"(__builtin|_mm)_prefetch$")
STORES = {"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>=", "++", "--"}


def text_of(tokens):
    return " ".join(token.text for token in tokens)


def statement_at(body, i):
    """The tokens around number i up to the next ; or brace on either side, and the place of the first."""
    first, last = i, i
    while first > 0 and body[first - 1].text not in (";", "{", "}"):
        first -= 1
    while last < len(body) and body[last].text not in (";", "{", "}"):
        last += 1
    return body[first:last], first


def is_call_of_prefetch(tokens):
    """With arguments that change nothing and call nothing else."""
    is_call = len(tokens) > 2 and tokens[0].kind == "name" and PREFETCH.search(tokens[0].text) is not None and tokens[1].is_sign("(") and \
        past_closing(tokens, 1) == len(tokens)
    stores = [token for token in tokens if token.kind == "sign" and token.text in STORES]
    calls = [token for token, after in zip(tokens, tokens[1:]) if token.kind == "name" and token.text != "sizeof" and after.is_sign("(")]
    return is_call and not stores and all(PREFETCH.search(token.text) for token in calls)


def is_prefetch(statement):
    """A call that prefetches and nothing else, or a variable of a prefetch's own type that is made by one."""
    parts = split_at(statement, "=")
    is_variable = len(parts) == 2 and any(PREFETCH.search(token.text) for token in parts[0][:-1]) and is_call_of_prefetch(parts[1])
    return is_call_of_prefetch(statement) or is_variable


def is_declaration(statement):
    words = statement[2:] if len(statement) > 2 and statement[0].text == "for" else statement
    return len(words) > 1 and words[0].kind == "name" and words[0].text != "return" and (words[1].kind == "name" or words[1].is_sign("*"))


def target_of(body, i):
    """What the store at number i changes: (name, by way of a pointer or an index); (None, ...) of a field in braces."""
    j, is_through = i - 1, False
    if body[i].text in ("++", "--") and (i == 0 or body[j].kind != "name" and not body[j].is_sign("]")):
        return body[i + 1].text, not (i + 2 < len(body) and body[i + 2].text in (";", ")", ","))
    while True:
        while body[j].is_sign("]"):
            depth, is_through = 0, True
            while depth > 0 or body[j].is_sign("]"):
                depth += body[j].is_sign("]") - body[j].is_sign("[")
                j -= 1
                if depth == 0:
                    break
        if body[j].kind != "name":
            return None, is_through
        if j == 0 or body[j - 1].text not in (".", "->"):
            break
        is_through |= body[j - 1].is_sign("->")
        j -= 2
    is_star = j > 0 and body[j - 1].is_sign("*") and (j == 1 or body[j - 2].text in (";", "{", "}", "(", "*"))
    return body[j].text, is_through or is_star


def names_of_hints(tokens):
    """Variables of a prefetch's own type: `struct tile_prefetch *p`."""
    return {tokens[i + 1 + tokens[i + 1].is_sign("*")].text for i in range(len(tokens) - 2) if PREFETCH.search(tokens[i].text) and
            tokens[i + 1 + tokens[i + 1].is_sign("*")].kind == "name"}


def what_calls_do(calls, source, looked_at=()):
    """The first of calls that does more than prefetch, whatever its name: of the compiler, or of a function of this source."""
    for call in calls:
        if not PREFETCH.search(call):
            return f"calls {call}"
        if BUILTIN.match(call) or call in looked_at:
            continue
        called = [function for function in source.functions if function.name == call]
        if not called:
            return f"calls {call}, which is not in this file"
        more = what_else(called[0], (*looked_at, call))
        if more:
            return f"calls {call}, which {more}"
    return None


def what_else(function, looked_at=()):
    """The first thing that a function does beside prefetching and working out what to prefetch; None: there is none."""
    body, head = function.body, function.head
    hints, own = names_of_hints(head + body), set(function.parameters)
    more = what_calls_do([call.name for call in calls_of(function)], function.source, (*looked_at, function.name))
    if more:
        return more
    name_at = next(i for i, token in enumerate(head) if token.text == function.name)
    for i, token in enumerate(body):
        statement, first = statement_at(body, i)
        if token.text == "return" and not body[i + 1].is_sign(";") and not any(PREFETCH.search(word.text) for word in head[:name_at]):
            return f"gives back a value: {text_of(statement)}"
        if token.kind != "sign" or token.text not in STORES:
            continue
        name, is_through = target_of(body, i)
        if name is None or name in hints:
            continue
        if is_declaration(statement) and not is_through:
            own.add(name)
        elif is_through or name not in own:
            return f"changes {name}: {text_of(statement)}"
    return None

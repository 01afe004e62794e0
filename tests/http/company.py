"""32 requests of eight kinds, asked one after the other or all at once, whole or streamed; of an answer that is kept which may not
depend on how it was asked."""
import http.client
import os
import re
import signal

from serving import split_events

# Room for all their sequences at once, and no refusal however slow the machine is; steps as they come, prefixes never kept.
PLAIN = ("--max-batch", 64, "--max-slots", 128, "--max-queue-ms", 10**8, "--request-timeout", 0, "--access-format", "off")
TEXTS = ("Once upon a time there was", "The little dog ran", "In the garden", "\"No!\" she said. \"You")
VOLATILE = re.compile(rb'"(?:id":"[^"]*"|created":\d+|cached_tokens":\d+|timings":\{[^}]*\})')


def ids(n, variant, alike=0):
    """Token ids of the demo model; the first `alike` are those of every variant."""
    return [5 + (31 * i * i + 7 * i + (0 if i < alike else 1009 * variant)) % 6000 for i in range(n)]


def kinds(v):
    """A request of each kind, by name."""
    return {
        "greedy": {"prompt": TEXTS[v], "temperature": 0, "max_tokens": 24, "logprobs": 2},
        "drawn": {"prompt": TEXTS[v], "temperature": 1.1, "top_p": 0.95, "seed": v, "presence_penalty": 0.5,
                  "frequency_penalty": 0.3, "repetition_penalty": 1.2, "max_tokens": 24 - v, "logprobs": 5},
        "three": {"prompt": ids(70, v, alike=64), "seed": 7 + v, "n": 3, "max_tokens": 15, "logprobs": 0},
        "best": {"prompt": TEXTS[v], "seed": 11 + v, "best_of": 4, "n": 2, "max_tokens": 9, "logprobs": 1},
        "beams": {"prompt": [TEXTS[v], "He"][:1 + v % 2], "num_beams": 3, "n": 2, "temperature": 0, "max_tokens": 12},
        "scored": {"prompt": ids(140 + 3 * v, v, alike=100), "echo": True, "logprobs": 5, "max_tokens": v % 2, "temperature": 0},
        "stopped": {"prompt": TEXTS[v], "temperature": 0.9, "seed": 3 + v, "logit_bias": {"13": 3, "262": -100},
                    "stop": [" to", "."], "max_tokens": 40, "logprobs": 3, "ignore_eos": False},
        "long": {"prompt": ids(380 - 37 * v, v, alike=200), "temperature": 0, "max_tokens": 10 + v, "logprobs": 2},
    }


# Neighbours are of different kinds; the long ones' prompts are read while those before them write.
REQUESTS = [{"ignore_eos": True, "return_token_ids": True, **body} for v in range(4) for body in kinds(v).values()]
NAMES = [f"{name} {v}" for v in range(4) for name in kinds(v)]


def settled(status, body):
    """The very bytes of an answer, but for what is of one asking."""
    if status != 200:
        raise AssertionError(f"{status} {body}")
    return VOLATILE.sub(b'"of":"one asking"', body)


def joined(body):
    """Of a stream: each choice as a whole answer has it, and the usage."""
    choices, usage = {}, None
    for event in split_events(body):
        usage = event.get("usage", usage)
        for part in event["choices"]:
            add(choices.setdefault(part["index"], {}), part)
    return [choices[index] for index in sorted(choices)], usage


def add(whole, part):
    for key, value in part.items():
        if key == "logprobs" and value is not None and whole.get(key) is not None:
            for name in value:
                whole[key][name] += value[name]
        elif key in ("text", "token_ids") and key in whole:
            whole[key] += value
        elif value is not None or key not in whole:
            whole[key] = value


def alone(server, requests=None):
    """Each asked when the one before has been answered."""
    replies = [server.post(body) for body in requests or REQUESTS]
    return [settled(reply.status, reply.body) for reply in replies]


def streamed(body):
    """As a stream, where the kind can be one."""
    return body if "best_of" in body else {**body, "stream": True, "stream_options": {"include_usage": True}}


def bodies_of(sockets):
    for sock in sockets:
        reply = http.client.HTTPResponse(sock, method="POST")
        reply.begin()
        yield reply.status, reply.read()
        sock.close()


def send_all(server, requests, processes=()):
    """A socket each: the server (these of it) stands still until everything has been sent."""
    for process in processes or [server.process.pid]:
        os.kill(process, signal.SIGSTOP)
    sockets = [server.raw(body) for body in requests]
    for process in processes or [server.process.pid]:
        os.kill(process, signal.SIGCONT)
    return sockets


def together(server, requests=None, processes=()):
    """All at once."""
    return [settled(*reply) for reply in bodies_of(send_all(server, requests or REQUESTS, processes))]


def with_steps(server, ask, *more):
    """What ask(server, ...) gives, and how many steps it took."""
    before = server.metric("tfrun_steps_total")
    answers = ask(server, *more)
    return answers, server.metric("tfrun_steps_total") - before


def expect_equal(have, want, how):
    different = [name for name, one, other in zip(NAMES, have, want, strict=True) if one != other]
    if different:
        at = NAMES.index(different[0])
        raise AssertionError(f"{how}: {different} are not what they are alone; {have[at]} is not {want[at]}")

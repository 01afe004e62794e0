#!/usr/bin/env python3
"""test_serve_texts.py TFRUN NAME SOURCE_DIR: scores, choices, stop texts, characters in pieces, real clients' requests, cancelling.

`test_serve_texts.py --list` prints the names.
"""
import json
import pathlib
import select
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import PATIENCE, PROMPT, Setting, read_until, split_events  # noqa: E402


@case
def scores_are_those_of_tfrun_score(t):
    with t.serve() as server:
        for text in ("The old sailor looked at the sea", "It was a dark night and", "caf\u00e9 \U0001f40d na\u00efve", "the the the the"):
            ids = t.ids(text)
            tokens = json.loads(t.run("score", t.demo, "-p", text, "--json", "--per-token"))["tokens"]
            for new in (1, 0):
                choice = server.ask(prompt=[ids], echo=True, logprobs=1, temperature=0, seed=1234, max_tokens=new)["choices"][0]
                logprobs = choice["logprobs"]
                expect_same([len(values) for values in logprobs.values()], [len(ids) + new] * 4)
                expect_same((logprobs["token_logprobs"][0], logprobs["top_logprobs"][0]), (None, None))
                expect_same(logprobs["token_logprobs"][1:len(ids)], [token["logprob"] for token in tokens])
                for token, top, name in zip(tokens, logprobs["top_logprobs"][1:], logprobs["tokens"][1:]):
                    expect_same((top[name], max(top.values())), (token["logprob"], token["best_logprob"]))
                    expect_same(len(top), 1 if token["is_greedy"] else 2)
                expect(choice["text"].startswith(text))
                starts = [choice["text"].find(name, at) for name, at in zip(logprobs["tokens"], logprobs["text_offset"])
                          if not name.startswith("bytes:")]
                expect_same(starts, [at for name, at in zip(logprobs["tokens"], logprobs["text_offset"]) if not name.startswith("bytes:")])


@case
def an_end_of_text_has_its_entry(t):
    """Also where it is hidden: a harness takes all entries but the last for the prompt's."""
    end = t.ids("<|endoftext|>")[0]
    with t.serve() as server:
        asked = {"prompt": PROMPT, "max_tokens": 5, "temperature": 0, "logit_bias": {str(end): 100}, "logprobs": 1, "return_token_ids": True}
        for echo in (False, True):
            choice = server.ask(**asked, echo=echo)["choices"][0]
            expect_same((choice["text"], choice["finish_reason"]), (PROMPT if echo else "", "stop"))
            expect_same((choice["logprobs"]["tokens"][-1], choice["token_ids"]), ("<|endoftext|>", [end]))
            expect_same(len(choice["logprobs"]["tokens"]), 1 + echo * len(t.ids(PROMPT)))
        expect_same(len(server.ask(**asked, ignore_eos=True)["choices"][0]["token_ids"]), 5)
        expect_same(len(server.ask(**asked, min_tokens=3)["choices"][0]["token_ids"]), 4)


@case
def names_of_tokens_are_unique(t):
    with t.serve() as server:
        choice = server.ask(prompt="\U0001f40d\u00e9\U0001f600", echo=True, logprobs=5, max_tokens=0)["choices"][0]
        names = [name for name in choice["logprobs"]["tokens"] if name.startswith("bytes:")]
        data = b"".join(bytes(int(part, 16) for part in name[6:].split("\\x")[1:]) if name.startswith("bytes:") else name.encode()
                        for name in choice["logprobs"]["tokens"])
        expect_same((choice["text"], data.decode()), ("\U0001f40d\u00e9\U0001f600", choice["text"]))
        expect(len(names) >= 4, choice)
        expect_same(choice["logprobs"]["text_offset"][-1], 2)
        for top in choice["logprobs"]["top_logprobs"][1:]:
            expect(len(top) in (5, 6) and all(isinstance(value, float) for value in top.values()), top)
        by_id = server.ask(prompt="\u00e9", echo=True, logprobs=0, max_tokens=0, return_tokens_as_token_ids=True)["choices"][0]
        expect_same(by_id["logprobs"]["tokens"], [f"token_id:{id}" for id in t.ids("\u00e9")])


@case
def choices_are_what_their_seeds_make_them(t):
    asked = {"prompt": PROMPT, "max_tokens": 8, "seed": 11, "temperature": 1.2}
    with t.serve() as server:
        one, three = server.text(**asked), [choice["text"] for choice in server.ask(**asked, n=3)["choices"]]
        expect_same((three[0], len(set(three))), (one, 3))
        expect(len({server.text(prompt=PROMPT, max_tokens=8) for _ in range(4)}) > 1)  # a seed of the config is not theirs
        ranked = server.ask(**asked, n=2, best_of=6, logprobs=0)
        means = [sum(choice["logprobs"]["token_logprobs"]) / len(choice["logprobs"]["tokens"]) for choice in ranked["choices"]]
        everything = server.ask(**asked, n=6, logprobs=0)["choices"]
        best = sorted((sum(choice["logprobs"]["token_logprobs"]) / len(choice["logprobs"]["tokens"]) for choice in everything), reverse=True)
        expect_same((means, ranked["usage"]["completion_tokens"]), (best[:2], 48))
        expect_same([choice["index"] for choice in ranked["choices"]], [0, 1])
        expect(server.ask(**asked, n=2, best_of=6)["choices"][0]["logprobs"] is None)
        server.refused(400, "best_of", "at least n", **asked, n=3, best_of=2)
        server.refused(400, "best_of", "stream", **asked, n=1, best_of=2, stream=True)
        greedy = server.ask(prompt=PROMPT, max_tokens=4, temperature=0, n=3)
        expect_same((len({choice["text"] for choice in greedy["choices"]}), greedy["usage"]["completion_tokens"]), (1, 12))
        expect_same(server.text(prompt=PROMPT, max_tokens=8, top_p=0), server.text(prompt=PROMPT, max_tokens=8, temperature=0))
        expect_same(server.text(prompt=PROMPT, max_tokens=8, temperature=1e-40), server.text(prompt=PROMPT, max_tokens=8, temperature=0))
        for penalty in (-1, 10):
            expect_same(server.ask(prompt=PROMPT, max_tokens=40, num_beams=3, length_penalty=penalty)["choices"][0]["index"], 0)
        expect_same(server.text(prompt=PROMPT, max_tokens=8, top_k=1), server.text(prompt=PROMPT, max_tokens=8, temperature=0))
        words = ("-p", PROMPT, "-n", 6, "--num-beams", 4, "--temperature", 0, "--no-echo", "-q")
        expect_same(server.text(prompt=PROMPT, max_tokens=6, use_beam_search=True, num_beams=4), t.run(t.demo, *words).decode()[:-1])
        two = server.ask(prompt=PROMPT, max_tokens=6, use_beam_search=True, n=2, best_of=4)["choices"]
        expect_same(two[0]["text"], server.text(prompt=PROMPT, max_tokens=6, num_beams=4))


@case
def stop_texts_lie_across_tokens(t):
    with t.serve() as server:
        text = server.text(prompt=PROMPT, max_tokens=40, temperature=0)
        asked = {"prompt": PROMPT, "max_tokens": 40, "temperature": 0}
        for start, end in ((0, 1), (1, 4), (3, 12), (7, 9), (10, 30)):
            stop = text[start:end]
            for given in (stop, ["nothing of it", stop]):
                choice = server.ask(**asked, stop=given)["choices"][0]
                expect_same((choice["text"], choice["finish_reason"]), (text[:text.index(stop)], "stop"))
            parts = [event["choices"][0] for event in server.events(**asked, stop=stop)]
            expect_same("".join(part["text"] for part in parts), text[:text.index(stop)])
        expect_same(server.text(**asked, stop=text + "."), text)
        expect_same(server.text(**asked, stop=["<|endoftext|>"] + ["x" * 1024] * 63), text)
        server.refused(400, "stop", "at most 64", **asked, stop=["x"] * 65)
        for wrong in ("", "x" * 1025, ["a", ""]):
            server.refused(400, "stop", "1 to 1024", **asked, stop=wrong)
        ids = server.ask(**asked, return_token_ids=True)["choices"][0]["token_ids"]
        choice = server.ask(**asked, stop_token_ids=[ids[5]], return_token_ids=True, ignore_eos=True)["choices"][0]
        at = ids.index(ids[5])
        expect_same((choice["token_ids"], choice["finish_reason"]), (ids[:at + 1], "stop"))
        expect_same(choice["text"], server.text(prompt=PROMPT, max_tokens=at, temperature=0) if at else "")


@case
def characters_come_whole(t):
    """A snake of several tokens: told with its last one."""
    snake = t.ids("\U0001f40d")
    expect(len(set(snake)) == len(snake) > 1, snake)
    forced = {"prompt": PROMPT, "temperature": 0, "ignore_eos": True}
    with t.serve() as server:
        bias = {str(id): 100 for id in snake}
        whole = server.ask(**forced, max_tokens=12, logit_bias=bias, logprobs=0)["choices"][0]
        events = server.events(**forced, max_tokens=12, logit_bias=bias, logprobs=0)
        parts = [event["choices"][0] for event in events]
        expect_same((len(parts), "".join(part["text"] for part in parts)), (12, whole["text"]))
        for part in parts:
            expect(part["text"] or part["logprobs"] is None or part["finish_reason"], part)
        expect("\ufffd" in whole["text"] and len(whole["logprobs"]["tokens"]) == 12, whole)
        # each of its tokens once, in their order
        ordered = {**forced, "max_tokens": len(snake), "no_repeat_ngram_size": 1,
                   "logit_bias": {str(id): 100 - 25 * i for i, id in enumerate(snake)}}
        expect_same(server.text(**ordered), "\U0001f40d")
        expect_same([event["choices"][0]["text"] for event in server.events(**ordered)], [""] * (len(snake) - 1) + ["\U0001f40d"])


@case
def offsets_go_on_behind_a_cut_character(t):
    cut = t.ids(PROMPT) + t.ids("\U0001f40d")[:-1]
    with t.serve() as server:
        choice = server.ask(prompt=cut, echo=True, logprobs=0, max_tokens=12, temperature=0, ignore_eos=True)["choices"][0]
        entries = list(zip(choice["logprobs"]["tokens"], choice["logprobs"]["text_offset"]))
        told = [(name, at) for name, at in entries[len(cut):] if not name.startswith("bytes:") and name != "<|endoftext|>"]
        expect(len(told) > 2 and choice["text"].startswith(PROMPT + "\ufffd"), choice)
        for name, at in told:
            expect_same((at, choice["text"][at:at + len(name)]), (at, name))


SHAPES = {"/v1/completions": ("choices", "usage"), "/v1/chat/completions": ("choices", "usage"), "/v1/models": ("data",), "/health": ("status",)}


@case
def requests_of_real_clients(t):
    """What they sent, byte for byte but for the name of the model; each gets what its client reads."""
    folder = t.source_dir / "tests" / "http" / "clients"
    seen = 0
    flags = ("--tokenizer", t.source_dir / "configs" / "tokenizer" / "gpt2", "--alias", "gpt2", "--chat", "plain")
    with t.serve(*flags, model=t.tiny_gpt2()) as server:
        for file in sorted(folder.glob("*/*.req")):
            head, _, body = file.read_bytes().partition(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
            headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:] if not line.lower().startswith(b"host"))
            reply = server.call(method, path, body or None, headers)
            fields = json.loads(body) if body else {}
            want = 404 if fields.get("model") in ("nosuch", "busy") else 200
            expect_same((str(file), reply.status, reply.body if reply.status != want else b""), (str(file), want, b""))
            if fields.get("stream"):
                events = split_events(reply.body)
                usage = (fields.get("stream_options") or {}).get("include_usage", False)
                expect_same((str(file), [len(event["choices"]) for event in events[-1:]], "usage" in events[-1]), (str(file), [1 - usage], usage))
            elif want == 200:
                expect(all(key in reply.json for key in SHAPES[path]), file, reply.body)
            seen += 1
    expect(seen >= 20, seen)


def wait_until(truth):
    until = time.monotonic() + PATIENCE
    while not truth() and time.monotonic() < until:
        time.sleep(0.005)
    return truth()


@case
def a_client_that_leaves_frees_its_place(t):
    """In every state: waiting, reading the prompt, writing; streamed or not. One place, so the next one shows that it is free."""
    log = t.folder / "access"
    long = {"prompt": [7] * 200, "max_tokens": 300, "ignore_eos": True, "temperature": 0}
    with t.serve("--max-batch", 1, "--access-log", log, "--max-rows", 16) as server:
        left = 0
        for stream in (False, True):
            for pause in (0, 0.002, 0.02, 0.2):
                with server.raw(long, stream=stream), server.raw(long, stream=stream):
                    time.sleep(pause)
                left += 2
                # one that was whole before its client left is none, on a fast machine
                expect(wait_until(lambda: log.read_text().count(" 499 ") + log.read_text().count(" output=300 ") == left), log.read_text())
                expect_same(server.ask(prompt="x", max_tokens=1)["usage"]["completion_tokens"], 1)
                expect(server.metric("tfrun_cancelled_steps_max") <= 2, "steps from a leave to a free place")
        cancelled = [line for line in log.read_text().splitlines() if " 499 " in line]
        expect(len(cancelled) > left / 2 and all("finish=cancelled" in line for line in cancelled), log.read_text())


def refuse_behind(running, first, second, server):
    """Two that wait behind one that runs, and then nine more: whether these were refused while the two had nothing yet."""
    read_until(running, b"data: ")
    while server.call("GET", "/tfrun/v1/info").json["serving"]["waiting"] != 2:
        if select.select([first], [], [], 0.001)[0]:
            return False
    for _ in range(9):
        reply = server.post({"prompt": "x", "max_tokens": 1})
        if reply.status == 200:
            return False
        expect_same((reply.status, reply.json["error"]["code"]), (429, "queue_full"))
        expect(1 <= int(reply.headers["retry-after"]) <= 120 and int(reply.headers["retry-after-ms"]) > 0, reply.headers)
    return select.select([first, second], [], [], 0)[0] == []


@case
def a_full_queue_refuses_at_once(t):
    """The one that runs may be at its end before that, where this program hardly runs."""
    long = {"prompt": PROMPT, "max_tokens": 400, "ignore_eos": True, "temperature": 0}
    for _ in range(10):
        with t.serve("--max-batch", 1, "--max-queue", 2) as server:
            with server.raw(long, stream=True) as running, server.raw(long) as first, server.raw(long) as second:
                if refuse_behind(running, first, second, server):
                    return
    raise AssertionError("ten times those that wait had an answer before others were refused")


def refuse_unread(running, first, server):
    """Whether a text that is one token too long was refused for the full queue: nobody split it."""
    read_until(running, b"data: ")
    while not select.select([first], [], [], 0.001)[0]:
        reply = server.post({"prompt": " the" * 600, "max_tokens": 1})
        if reply.status == 429:
            expect(reply.json["error"]["code"] == "queue_full" and "retry-after-ms" in reply.headers, reply.headers)
            return True
        expect_same((reply.status, reply.json["error"]["code"]), (400, "context_length_exceeded"))
    return False


@case
def a_full_queue_refuses_before_it_splits(t):
    long = {"prompt": PROMPT, "max_tokens": 400, "ignore_eos": True, "temperature": 0}
    for _ in range(10):
        with t.serve("--max-batch", 1, "--max-queue", 2) as server:
            with server.raw(long, stream=True) as running, server.raw(long) as first, server.raw(long):
                if refuse_unread(running, first, server):
                    return
    raise AssertionError("ten times those that wait had an answer before a text that is too long was refused unread")


if __name__ == "__main__":
    sys.exit(main(Setting))

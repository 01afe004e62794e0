#!/usr/bin/env python3
"""test_serve_large.py TFRUN NAME SOURCE_DIR: texts, answers and lists as large as they may be stop nobody, and bodies may come late.

`test_serve_large.py --list` prints the names. Times are of processors.
"""
import json
import pathlib
import random
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import ENOUGH, PATIENCE, Setting, read_head, read_until  # noqa: E402

MOST = 4194304 - 200  # bytes of a text in the largest body
CUT = {"truncate_prompt_tokens": 10, "max_tokens": 1, "return_token_ids": True}


def processor_time(process):
    """Nanoseconds that the process had of processors so far: what else the machine does is not in it."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir())


def least_of(times, process, ask):
    """The least processor time that the process takes for it."""
    least = float("inf")
    for _ in range(times):
        start = processor_time(process)
        ask()
        least = min(least, processor_time(process) - start)
    return least


@case
def what_can_not_fit_is_not_split(t):
    """The metrics count the bytes that are split: none of what is refused, of what is cut no more than the context could hold."""
    text = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=MOST))
    with t.serve("--chat", "plain") as server:
        for body, path in (({"prompt": text}, "/v1/completions"), ({"messages": [{"role": "user", "content": text}]}, "/v1/chat/completions")):
            reply = server.post(body, path)
            expect_same((reply.status, reply.json["error"]["code"]), (400, "context_length_exceeded"))
        expect_same(server.metric("tfrun_split_bytes_total"), 0)
        reply = server.post({"prompt": text, **CUT})
        expect_same((reply.status, reply.json["usage"]["prompt_tokens"]), (200, 10))
        expect(10 <= server.metric("tfrun_split_bytes_total") < MOST / 10, server.metric("tfrun_split_bytes_total"))


@case
def of_a_list_no_more_is_split_than_is_wanted(t):
    """The metrics count the bytes; a list as large as a body may be costs others no second."""
    tokenizer = t.source_dir / "configs" / "tokenizer" / "gpt2"
    letters, words = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=16000)), "some words " * 1454
    with t.serve("--tokenizer", tokenizer, model=t.tiny_gpt2()) as server:
        for given, text, said in (({"n": 16}, words, "4096 texts"),
                                         ({"max_tokens": 1000, "logprobs": 5}, words, "at least 1792000 entries"),
                                         ({}, words, "to be split; at most 2097152 are taken at once: ask in parts"),
                                         (CUT, letters, "prompt have 4096000 bytes to be split")):
            server.refused(400, "prompt", said, prompt=[text] * 256, **given)
        server.refused(400, "input", "input have 4094464 bytes to be split", path="/v1/embeddings", input=[words] * 256)
        error = server.refused(400, "prompt", "shorten it", prompt=["x", letters * 10])
        expect_same((error["code"], server.metric("tfrun_split_bytes_total")), ("context_length_exceeded", 0))
        usage = server.ask(prompt=[words] * 256, **CUT)["usage"]
        expect_same(usage["prompt_tokens"], 2560)
        split, longest = server.metric("tfrun_split_bytes_total"), 128  # bytes of the longest token of GPT-2
        expect(split <= 256 * (11 * longest + 8), split)
        expect_same(server.post({"prompt": "four"}, "/tokenize").status, 200)
        expect_same(server.metric("tfrun_split_bytes_total"), split + 4)


@case
def the_end_of_a_text_is_the_end_of_all_of_it(t):
    """Wherever tokens part, and where they don't: the last tokens are those of the text. So of few tokens, and of many."""
    draw = random.Random(1)
    starts = ("word " * 20000, "line\n" * 20000, "a " + "漢字文本的了在" * 2000,
              *("".join(draw.choices(signs, k=30000)) for signs in ("漢字文本的了在", "aábcçdeéfgh", "a \n.'s1")))
    with t.serve() as server:
        for start in starts:
            for end in ("", " and so on", "\nx", "。"):
                whole = server.post({"prompt": start + end}, "/tokenize").json["tokens"]
                for keeps in (10, 300):
                    asked = {**CUT, "truncate_prompt_tokens": keeps}
                    given = server.ask(prompt=start + end, **asked)["choices"][0]["prompt_token_ids"]
                    expect_same((start[:9], end, given), (start[:9], end, whole[-keeps:]))


@case
def an_answer_in_one_burst_reaches_its_reader(t):
    """Events of 16 texts come at once, more than may wait for long."""
    large = {"prompt": [5] * 490, "echo": True, "logprobs": 20, "return_token_ids": True, "n": 16, "max_tokens": 1, "temperature": 0}
    with t.serve() as server:
        reply = server.post({**large, "stream": True})
        expect(reply.status == 200 and len(reply.body) > 5000000, len(reply.body))
        expect_same((reply.body.count(b'data: {"id"'), reply.body[-14:]), (32, b"data: [DONE]\n\n"))


@case
def a_list_of_long_texts_costs_no_walk_over_the_vocabulary(t):
    tokenizer = t.source_dir / "configs" / "tokenizer" / "gpt2"
    with t.serve("--tokenizer", tokenizer, model=t.tiny_gpt2()) as server:
        def refused(size):
            reply = server.post({"prompt": [("some words " * 100)[:size]] * 256, "echo": True, "logprobs": 20, "max_tokens": 1})
            expect_same((reply.status, "entries" in reply.json["error"]["message"]), (400, True))
        few = least_of(5, server.process, lambda: refused(1024))
        more = least_of(5, server.process, lambda: refused(1030))
        expect(more < 2 * few, few, more)


@case
def a_body_that_ends_after_the_signal_begins_nothing(t):
    bodies = {"/v1/completions": {"prompt": "x"}, "/v1/embeddings": {"input": "x"}, "/tokenize": {"prompt": "x"}}
    slow = {"prompt": [[5] * 500] * 3, "echo": True, "logprobs": 20, "max_tokens": 1}
    with t.serve("--drain", ENOUGH) as server, server.raw(slow, receive=4096) as reader:
        expect(reader.recv(16).startswith(b"HTTP/1.1 200 "))
        socks = {path: server.connect() for path in bodies}
        for path, sock in socks.items():
            sock.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
                         f"Content-Length: {len(json.dumps(bodies[path]))}\r\n\r\n".encode())
            expect(read_head(sock)[0].startswith(b"HTTP/1.1 100 "))
        server.process.send_signal(signal.SIGTERM)
        while server.call("GET", "/health").status == 200:
            pass
        for path, sock in socks.items():
            sock.sendall(json.dumps(bodies[path]).encode())
            data = read_until(sock, b"}}")
            expect(data.startswith(b"HTTP/1.1 503 ") and b'"code":"draining"' in data, path, data)
            sock.close()
        while reader.recv(1 << 20):
            pass
        expect_same(server.process.wait(PATIENCE), 0)


if __name__ == "__main__":
    sys.exit(main(Setting))

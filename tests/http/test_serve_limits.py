#!/usr/bin/env python3
"""test_serve_limits.py TFRUN NAME SOURCE_DIR: what `tfrun serve` takes from whom: keys, sizes, times, queues, and the end of it.

`test_serve_limits.py --list` prints the names.
"""
import http.client
import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import ENOUGH, PATIENCE, PROMPT, Setting, read_head, read_until, table  # noqa: E402

LONG = {"prompt": PROMPT, "max_tokens": 500, "ignore_eos": True, "temperature": 1}


def write_keys(t, *keys):
    path = t.folder / "keys"
    path.write_text("\n".join(keys))
    path.chmod(0o600)
    return path


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@case
def keys_are_asked_for_where_the_table_says(t):
    columns = ("method", "path", "name", "access", "time", "log", "help")
    routes = table(t.source_dir, "core/app/http/routes.def", "TFR_ROUTE", columns)
    expect({route["access"] for route in routes} == {"OPEN", "KEYED"})
    with t.serve("--api-key-file", write_keys(t, "sk-the-key")) as server:
        for route in routes:
            path = route["path"].replace("*", "demo")
            reply = server.call(route["method"], path, "{}" if route["method"] == "POST" else None)
            expect_same((path, reply.status == 401), (path, route["access"] == "KEYED"))
            expect_same((path, server.call("OPTIONS", path).status), (path, 204))


@case
def a_body_is_asked_for_once_its_head_is_good(t):
    """100 Continue: not for a stranger, nor for too much, nor for what nobody knows."""
    start = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    body = json.dumps({"prompt": "x", "max_tokens": 1}).encode()
    good = f"{start}Authorization: Bearer sk-the-key\r\n"
    with t.serve("--api-key-file", write_keys(t, "sk-the-key"), "--max-body", 2000) as server:
        for head, status in ((f"{start}Content-Length: 9\r\nExpect: 100-continue", 401), (f"{good}Content-Length: 2001\r\nExpect: 100-continue", 413),
                             (f"{good}Content-Length: 9\r\nExpect: more", 417), (f"{good}Content-Length: {len(body)}\r\nExpect: 100-continue", 100)):
            with server.connect() as sock:
                sock.sendall(head.encode() + b"\r\n\r\n")
                said, _ = read_head(sock)
                expect(said.startswith(f"HTTP/1.1 {status} ".encode()), head, said)
                if status == 100:
                    sock.sendall(body)
                    expect(read_head(sock)[0].startswith(b"HTTP/1.1 200 "))
                else:
                    expect(b"Connection: close" in said, said)
        with server.connect() as sock:
            sock.sendall(good.encode() + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            expect(read_head(sock)[0].startswith(b"HTTP/1.1 200 "))


@case
def bodies_of_one_key_are_not_all_of_them(t):
    """It may hold 64 MiB: 17 bodies of 4 MiB that end in nothing are too many, while another key's is taken."""
    size, body = 4 << 20, json.dumps({"prompt": "x", "max_tokens": 1}).encode()

    def begin(server, key):
        sock = server.connect()
        sock.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n"
                     f"Authorization: Bearer {key}\r\nExpect: 100-continue\r\n\r\n".encode())
        return sock, read_head(sock)[0].split()[1]
    with t.serve("--api-key-file", write_keys(t, "sk-key-one", "sk-key-two")) as server:
        held, status = [], b"100"
        while status == b"100" and len(held) < 33:
            sock, status = begin(server, "sk-key-one")
            if status == b"100":
                sock.sendall(b" " * (size - 1))
            held.append(sock)
        expect_same((status, 15 <= len(held) <= 18), (b"503", True))
        sock, status = begin(server, "sk-key-two")
        sock.sendall(body + b" " * (size - len(body)))
        expect(read_head(sock)[0].startswith(b"HTTP/1.1 200 "))
        for other in (*held, sock):
            other.close()


@case
def what_the_transport_answers_is_logged_as_that(t):
    log, start = t.folder / "access", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with t.serve("--access-log", log, "--access-format", "json", "--max-body", 1024) as server:
        for chunk, status in (b"z\r\n", 400), (b"401\r\n", 413):
            with server.connect() as sock:
                sock.sendall(start + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
                expect(read_head(sock)[0].startswith(b"HTTP/1.1 %d " % status))
        text = server.call("GET", "/metrics").body.decode()
        expect('code="400"' in text and 'code="413"' in text and 'code="499"' not in text, text)
        expect_same(server.end(), 0)
    expect_same([json.loads(line)["status"] for line in log.read_text().splitlines()], [400, 413])


@case
def cached_prefixes_are_a_keys_own(t):
    prompt = {"prompt": [9] * 200, "max_tokens": 1}

    def cached(server, key, **more):
        reply = server.post({**prompt, **more}, headers=bearer(key))
        return reply.json["usage"]["prompt_tokens_details"]["cached_tokens"]
    keys = write_keys(t, "sk-key-one", "sk-key-two")
    with t.serve("--api-key-file", keys) as server:
        expect_same([cached(server, key) > 0 for key in ("sk-key-one", "sk-key-two", "sk-key-one")], [False, False, True])
        expect_same([cached(server, "sk-key-one", cache_salt="s") > 0 for _ in range(2)], [False, True])
    with t.serve("--api-key-file", keys, "--share-prefix", "all") as server:
        expect_same([cached(server, key) > 0 for key in ("sk-key-one", "sk-key-two")], [False, True])


@case
def texts_and_lists_have_limits(t):
    many, path = list(range(1, 1026)), {"path": "/tokenize"}
    with t.serve("--max-reply", 20000) as server:
        for name, value in (("stop_token_ids", many), ("suppress_tokens", many), ("logit_bias", {str(id): 1 for id in many})):
            server.refused(400, name, "at most 1024", prompt="x", **{name: value})
            few = value[1:] if isinstance(value, list) else dict(list(value.items())[1:])
            expect_same((name, server.post({"prompt": "x", "max_tokens": 1, name: few}).status), (name, 200))
        error = server.refused(400, "prompt", "at most", "shorten it", prompt="a " * 100000)
        expect_same(error["code"], "context_length_exceeded")
        server.refused(400, "prompt", "prompt[1] has 600", prompt=[[1], [2] * 600], max_tokens=1)
        server.refused(400, "prompt", "256 are taken at once", prompt=["x"] * 257)
        server.refused(400, "prompt", "bytes; at most 262144", **path, prompt="a" * 262145)
        server.refused(400, None, "at most 20000 are sent whole", prompt=[5] * 400, echo=True, logprobs=5, max_tokens=1)
        expect(len(server.events(prompt=[5] * 400, echo=True, logprobs=5, max_tokens=1)) > 1)
        server.refused(400, None, "at most 20000 are sent whole", **path, prompt="a b" * 5000)
        expect_same(server.post({"temperature": 0}).status, 200)
        for body in ('{"temperature": 1e999}', '{"n": 1e400}'):
            expect_same((body, server.post(body).status), (body, 400))
    tokenizer = t.source_dir / "configs" / "tokenizer" / "gpt2"
    with t.serve("--tokenizer", tokenizer, model=t.tiny_gpt2()) as server:
        tokens = server.post({"prompt": "-" * 6400}, "/tokenize").json["tokens"]
        expect(len(tokens) < 110, len(tokens))
        path = {"path": "/detokenize"}
        server.refused(400, "tokens", "at most 1048576", **path, tokens=tokens[:1] * ((1 << 20) // 60))
        expect_same(len(server.post({"tokens": tokens[:1] * 1000}, "/detokenize").json["content"]) >= 1000 * 60, True)


def crowd(server, n):
    """Requests that hold all places for long: with --max-batch 16."""
    return [server.raw(LONG, n=16) for _ in range(n)]


@case
def a_silent_stream_is_pinged(t):
    """It waits behind others, on a machine of any speed: they are left once it was told so."""
    with t.serve("--max-batch", 16, "--ping", 1, "--max-queue-ms", 600000) as server: # however slow it finds itself
        others = crowd(server, 20)
        with server.raw({**LONG, "max_tokens": 9}, stream=True) as sock:
            head, rest = read_head(sock)
            expect(b" 200 " in head, head)
            rest += read_until(sock, b": ping\n\n") if b": ping\n\n" not in rest else b""
            for other in others:
                other.close()
            rest += read_until(sock, b"0\r\n\r\n")
        expect(rest.count(b'data: {"id"') == 9 and b"data: [DONE]" in rest, rest[:200])


@case
def a_request_has_its_time(t):
    with t.serve("--max-batch", 16, "--request-timeout", 1, "--max-queue-ms", 600000) as server:
        others = crowd(server, 20)
        with server.raw(LONG) as whole, server.raw(LONG, stream=True) as stream:
            head, body = read_head(whole)
            expect(head.startswith(b"HTTP/1.1 503 ") and b"Retry-After: " in head, head)
            body = body if body.endswith(b"}}") else body + read_until(whole, b"}}")
            expect(b'"code":"deadline"' in body and b"took longer than 1 s" in body, body)
            rest = read_until(stream, b"0\r\n\r\n")
            expect(b" 200 OK" in rest and b'"code":"deadline"' in rest and rest.count(b"data: [DONE]") == 1, rest[-300:])
        for other in others:
            other.close()
        expect_same(server.ask(prompt="x", max_tokens=1)["usage"]["completion_tokens"], 1)


def wait_for(server, state, truth):
    until = time.monotonic() + PATIENCE
    while not truth(server.metric(f"tfrun_requests_{state}")):
        expect(time.monotonic() < until, state)


def rejected(server, reason):
    return server.metric('tfrun_rejected_total{reason="%s"}' % reason)


@case
def refusals_tell_when_to_come_again(t):
    """By what runs and waits, not by how short those before were; one call is one refusal."""
    with t.serve("--max-batch", 16, "--max-queue", 40, "--max-queue-ms", 1000000) as server:
        for _ in range(20):
            server.ask(prompt="x", max_tokens=1)
        waits = []
        for most in (100, 500):
            with server.raw({**LONG, "prompt": [PROMPT] * 40, "n": 16, "max_tokens": most}):  # a queue that is empty takes anything
                wait_for(server, "running", lambda n: n > 0)
                before = rejected(server, "queue_full")
                reply = server.post({"prompt": ["x"] * 40, "max_tokens": 1})
                expect_same((reply.status, rejected(server, "queue_full")), (429, before + 1))
                expect("requests wait, 40 may" in reply.json["error"]["message"], reply.body)
                expect(0 < int(reply.headers["retry-after-ms"]) <= 120000, reply.headers)
                waits.append(server.metric("tfrun_estimated_wait_seconds"))
            wait_for(server, "waiting", lambda n: n == 0)
            wait_for(server, "running", lambda n: n == 0)
        expect(waits[1] > waits[0], waits)


@case
def prompt_tokens_that_wait_have_a_limit(t):
    with t.serve("--max-batch", 1, "--max-queue-tokens", 300, "--max-queue-ms", 1000000) as server:
        with server.raw({**LONG, "prompt": [5] * 10}, stream=True) as running, server.raw({**LONG, "prompt": [5] * 10}):
            read_until(running, b"data: ")
            wait_for(server, "waiting", lambda n: n == 1)
            reply = server.post({"prompt": [6] * 400, "max_tokens": 1})
        expect_same((reply.status, "serve.max_queue_tokens" in reply.json["error"]["message"]), (429, True))


@case
def a_pad_at_the_end_is_not_worth_a_line(t):
    model = t.folder / "padded"
    model.mkdir()
    for file in t.demo.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "pad_token_id": config["eos_token_id"]}))
    with t.serve("--access-format", "off", model=model) as server:
        said = len(server.lines())
        for _ in range(3):
            server.ask(prompt=[5, config["eos_token_id"]], max_tokens=1)
        expect_same(len(server.lines()), said)


@case
def a_drain_is_told_to_whoever_asks(t):
    """A reader that takes its time keeps the server there."""
    with t.serve("--drain", ENOUGH) as server:
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        kept.request("GET", "/health")
        expect_same(kept.getresponse().read(), b'{"status":"ok"}')
        with server.raw({"prompt": [[5] * 500] * 3, "echo": True, "logprobs": 20, "max_tokens": 1}, receive=4096) as slow:
            expect(slow.recv(16).startswith(b"HTTP/1.1 200 "))
            server.process.send_signal(signal.SIGTERM)
            while (reply := server.call("GET", "/health")).status == 200:
                pass
            expect_same((reply.status, reply.json, reply.headers["connection"]), (503, {"status": "draining"}, "close"))
            kept.request("GET", "/health")
            expect_same(kept.getresponse().status, 503)
            for method, path, body in (("POST", "/v1/completions", {"prompt": "x"}), ("GET", "/v1/models", None), ("POST", "/tokenize", {"prompt": "x"})):
                reply = server.call(method, path, body)
                expect_same((path, reply.status, reply.json["error"]["code"]), (path, 503, "draining"))
                expect(int(reply.headers["retry-after"]) > 0 and reply.headers["connection"] == "close", reply.headers)
            while slow.recv(1 << 20):
                pass
        expect_same(server.process.wait(PATIENCE), 0)
        try:
            server.call("GET", "/health")
            expect(False, "the port is open")
        except ConnectionRefusedError:
            pass


if __name__ == "__main__":
    sys.exit(main(Setting))

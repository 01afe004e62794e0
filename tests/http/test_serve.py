#!/usr/bin/env python3
"""test_serve.py TFRUN NAME SOURCE_DIR: `tfrun serve` from outside, on the demo model: starting, ending, routes, keys, logs.

`test_serve.py --list` prints the names.
"""
import fcntl
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import ENOUGH, PATIENCE, Server, Setting, read_head, read_until, table  # noqa: E402

LONG = {"prompt": "Once upon a time", "ignore_eos": True, "temperature": 0}


def fails(t, code, words, *flags, env=None):
    """A server that does not start: its exit code, one sentence, nothing on stdout."""
    with t.serve(*flags, env=env, wait=False) as server:
        expect_same(server.process.wait(PATIENCE), code)
        expect(words in server.lines()[-1] and len(server.lines()) == 1, server.lines())
        expect_same(server.process.stdout.read(), b"")


@case
def start_line_health_and_models(t):
    with t.serve("--alias", "gpt2", "--max-batch", 3) as server:
        expect("serving demo at http://127.0.0.1:" in server.start_line(), server.lines())
        expect(": 3 slots x 512 positions, 0.0" in server.start_line() and "no keys, prefix cache on" in server.start_line())
        for path in ("/health", "/v1/health", "/ping", "/livez", "/readyz"):
            reply = server.call("GET", path)
            expect_same((reply.status, reply.json), (200, {"status": "ok"}))
        models = server.call("GET", "/v1/models").json
        expect_same([model["id"] for model in models["data"]], ["demo", "gpt2"])
        expect_same(models["data"][0]["max_model_len"], 512)
        for path in ("gpt2", "gp%742"):
            expect_same(server.call("GET", f"/v1/models/{path}").json["id"], "gpt2")
        expect_same(server.call("GET", "/v1/models/other").json["error"]["code"], "model_not_found")
        expect_same(server.ask(prompt="x", model="gpt2", max_tokens=1)["model"], "demo")
        expect_same(server.end(), 0)
        expect_same(server.process.stdout.read(), b"")


@case
def health_says_loading_until_the_model_is_there(t):
    with t.serve("--port", find_port(), wait=False) as server:
        server.port = int(server.process.args[-1])
        said = []
        until = time.monotonic() + PATIENCE
        while said[-1:] != [(200, "ok")] and time.monotonic() < until:
            try:
                reply = server.call("GET", "/health")
                said.append((reply.status, reply.json["status"]))
                if said[-1][0] == 503:
                    refused = server.post({"prompt": "x"})
                    expect(refused.status == 200 or refused.json["error"]["code"] == "loading", refused.body)
            except ConnectionRefusedError:
                time.sleep(0.002)
        expect_same(said[-1], (200, "ok"))
        expect((503, "loading") in said, said)


def end_while_loading(t, number, env=None):
    """A server that gets a signal as soon as it answers says either that it was ended before the model was loaded, and with what code, or that it
    serves it; never both. Of its end nothing follows but warnings of what it was doing."""
    with t.serve("--port", find_port(), wait=False, env=env) as server:
        server.port = int(server.process.args[-1])
        until = time.monotonic() + PATIENCE
        metrics = ""
        while not metrics and time.monotonic() < until:
            try:
                metrics = server.call("GET", "/metrics").body.decode()
            except ConnectionRefusedError:
                time.sleep(0.002)
        code = server.end(number)
        isa = re.search('^tfrun_build_info{.*isa="([^"]*)"', metrics, re.M)
        expect(isa and isa.group(1), "no instruction set while loading", metrics[:400])
        lines = [line for line in server.lines() if not line.startswith("tfrun: warning: ")]
        was_ready = any(line.startswith("tfrun: serving ") for line in lines)
        expect_same(code, 0 if was_ready else 128 + number)
        expect(was_ready or lines[-1] == f"tfrun: ended by signal {int(number)}, before the model was loaded", lines)


@case
def a_signal_while_loading_is_told(t):
    for number in signal.SIGTERM, signal.SIGINT:
        end_while_loading(t, number)


@case
def a_signal_while_loading_has_the_last_word(t):
    """Where the end takes as long as under a sanitizer, and the model is loaded meanwhile."""
    late_exit = pathlib.Path(t.program).resolve().parents[1] / "tests" / "support" / "late_exit.so"
    if not late_exit.exists():
        print("skipped: no library to preload")
        sys.exit(77)
    end_while_loading(t, signal.SIGTERM, {"LD_PRELOAD": str(late_exit)})


@case
def every_route_has_its_methods(t):
    columns = ("method", "path", "name", "access", "time", "log", "help")
    routes = table(t.source_dir, "core/app/http/routes.def", "TFR_ROUTE", columns)
    expect(len(routes) > 6)
    with t.serve() as server:
        for route in routes:
            path = route["path"].replace("*", "demo")
            other = "POST" if route["method"] == "GET" else "GET"
            if other not in [row["method"] for row in routes if row["path"] == route["path"]]:
                reply = server.call(other, path, "{}")
                expect_same((path, reply.status), (path, 405))
                expect(route["method"] in reply.headers["allow"], reply.headers)
            expect_same(server.call("OPTIONS", path).status, 204)
            if route["method"] == "GET":
                head = server.call("HEAD", path)
                expect_same((head.status, head.body), (server.call("GET", path).status, b""))
        missing = server.call("GET", "/v1/../etc/passwd")
        expect_same((missing.status, missing.json["error"]["type"]), (404, "not_found_error"))
        expect_same(server.call("POST", "/v1/completions", "{}", {"Content-Type": "text/plain"}).status, 415)
        expect_same(server.call("POST", "/v1/completions", "{}", {"Content-Type": "application/json; charset=utf-8"}).status, 200)
        site = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        expect_same(server.post({"prompt": "x"}, headers=site).status, 403)


@case
def pages_of_listed_origins_may_ask(t):
    with t.serve("--cors-origin", "https://lab.example") as server:
        expect(": 32 slots x 512 positions" in server.start_line(), server.lines())
        site = {"Sec-Fetch-Site": "cross-site", "Origin": "https://lab.example"}
        reply = server.post({"prompt": "x", "max_tokens": 1}, headers=site)
        expect_same((reply.status, reply.headers["access-control-allow-origin"]), (200, "https://lab.example"))
        flight = server.call("OPTIONS", "/v1/completions", headers=site)
        expect("authorization" in flight.headers["access-control-allow-headers"])
        other = server.call("GET", "/v1/models", headers={"Origin": "https://evil.example"})
        expect("access-control-allow-origin" not in other.headers, other.headers)


@case
def keys_from_file_and_environment(t):
    keys = t.folder / "keys"
    keys.write_text("# of the lab\nsk-first-key\n\n  sk-second-key \n")
    keys.chmod(0o600)
    with t.serve("--api-key-file", keys, env={"TFRUN_API_KEYS": "sk-third-key"}) as server:
        expect("3 keys" in server.start_line(), server.lines())
        expect_same(server.call("GET", "/health").status, 200)
        for given in (None, "Bearer ", "Bearer sk-first-ke", "Bearer sk-first-key2", "Basic sk-first-key", "sk-first-key"):
            reply = server.call("GET", "/v1/models", headers={"Authorization": given} if given else {})
            expect_same((given, reply.status, reply.headers["www-authenticate"]), (given, 401, "Bearer"))
            expect_same(reply.json["error"]["code"], "invalid_api_key")
            said = ("give a key" if given is None else "not one of this server's" if given.startswith("Bearer sk") else "gives no key")
            expect(said in reply.json["error"]["message"], given, reply.body)
        for given in ("sk-first-key", "sk-second-key", "sk-third-key"):
            reply = server.post({"prompt": "x", "max_tokens": 1}, headers={"Authorization": f"Bearer {given}"})
            expect_same(reply.status, 200)
        expect_same(server.end(), 0)
        expect(not any("sk-" in line for line in server.lines()), server.lines())
    fails(t, 5, "there is no key in it", "--api-key-file", write(t.folder / "none", "# nothing\n"))
    fails(t, 5, "give 8 to 255", "--api-key-file", write(t.folder / "short", "abc\n"))
    fails(t, 5, "can't be read", "--api-key-file", t.folder / "missing")


def write(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


def find_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@case
def names_of_a_stranger_do_not_steer_the_terminal(t):
    """The model's name and the keys' file are the config's words, and so is an address that is none."""
    wild = "n\x1b]0;t\x07\ntfrun: all is well\x9b2J\u202e"
    model = t.folder / "model"
    shutil.copytree(t.source_dir / "configs" / "demo", model)
    config = json.loads((model / "config.json").read_text())
    (model / wild).write_text("sk-first-key\n")
    (model / wild).chmod(0o644)
    said = []
    for serve in {"api_key_file": wild}, {"api_key_file": "not " + wild}, {"host": wild}:
        config["tfrun"] = {"model": {"name": wild}, "serve": serve}
        (model / "config.json").write_text(json.dumps(config))
        with Server(t.program, model, t.folder, "--trust", model, wait=False) as server:
            until = time.monotonic() + PATIENCE
            while "listening at" not in server.log.read_text() and server.process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            said.append(server.log.read_text())
    for text, words in zip(said, ("others may read the keys", "can't be read", "there is no such host")):
        expect(words in text or (words[0] == "t" and "is no address" in text), words, text)
        expect(not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]|^tfrun: all", text, re.M), text)
    expect("loading n?]0;t??tfrun: all is well" in said[0], said[0])
    config["tfrun"] = {"model": {"name": "\x1b\n" + "é" * 200}}
    (model / "config.json").write_text(json.dumps(config))
    with Server(t.program, model, t.folder, "--metrics-compat", "vllm") as server:
        for line in server.call("GET", "/metrics").body.decode().splitlines():
            expect(re.fullmatch(r'# .*|[a-z0-9_:]+(\{([a-z_]+="([^"\\\x00-\x1f\x7f]|\\.)*",?)+\})? [0-9.e+-]+', line), line)


@case
def what_does_not_start_says_why(t):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        fails(t, 5, "port", "--port", busy.getsockname()[1])
    fails(t, 2, "give --api-key-file FILE", "--host", "0.0.0.0")
    fails(t, 5, "serve.access_log", "--access-log", t.folder / "no" / "such" / "folder")
    fails(t, 2, "--port", "--port", "70000")
    with t.serve("--host", "0.0.0.0", "--open") as server:
        expect_same(server.call("GET", "/health").status, 200)


@case
def a_socket_of_the_file_system(t):
    path = t.folder / "s"
    with t.serve("--listen", f"unix:{path}", wait=False) as server:
        until = time.monotonic() + PATIENCE
        while "serving" not in server.log.read_text() and time.monotonic() < until:
            time.sleep(0.01)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            head, _ = read_head(sock)
            expect(head.startswith(b"HTTP/1.1 200 "), head)
        expect_same(server.end(), 0)
    expect(not path.exists())


@case
def the_access_log_has_a_line_a_request(t):
    log = t.folder / "access"
    with t.serve("--access-log", log, "--access-format", "json") as server:
        server.call("GET", "/health")
        server.post({"prompt": "a secret", "max_tokens": 2, "n": 2}, headers={"x-request-id": "mine-1"})
        server.post({"prompt": "x", "max_tokens": -1}, headers={"x-request-id": "not plain"})
        server.call("GET", "/%22%5Cnothing")
        server.events(prompt="Once", max_tokens=2, temperature=0)
        for path, body in (("/v1/embeddings", {"input": [[1, 2, 3], [4]]}), ("/detokenize", {"tokens": [1, 2, 3, 4]})):
            expect_same(server.post(body, path).status, 200)
        counted = server.post({"prompt": "a secret"}, "/tokenize").json["count"]
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        expect_same([line["status"] for line in lines], [200, 400, 404, 200, 200, 200, 200])
        expect_same([line.get("prompt_tokens") for line in lines[1:3] + lines[4:]], [None, None, 4, 4, counted])
        expect(not any("output_tokens" in line for line in lines[4:]), lines)
        expect_same((lines[0]["id"], lines[0]["output_tokens"], lines[0]["choices"], lines[0]["finish"]), ("mine-1", 4, 2, "length"))
        expect(lines[1]["id"].startswith("req-"), lines[1])
        expect("secret" not in log.read_text())
    with t.serve("--log-prompts") as server:
        server.post({"prompt": "a\nsecret", "max_tokens": 1})
        line = server.lines()[-1]
        expect(line.endswith(' text="a\\nsecret"') and line.count(" prompt=") == 1, line)
        quiet = len(server.lines())
        time.sleep(1.2)
        expect_same(len(server.lines()), quiet)
    with t.serve("--access-log", "/dev/full") as server:
        for _ in range(3):
            expect_same(server.post({"prompt": "x", "max_tokens": 1}).status, 200)
        expect_same(len([line for line in server.lines() if "the access log can't be written" in line]), 1)


def end_while_one_runs(t, number):
    """A signal while one request runs and another waits: the code of the other one's answer. 200: the first was at its end."""
    with t.serve("--max-batch", 1, "--drain", ENOUGH) as server:
        with server.raw(LONG, max_tokens=500, stream=True) as running, server.raw(LONG, max_tokens=1) as waiting:
            rest = read_until(running, b"data: ")
            until = time.monotonic() + PATIENCE
            while server.call("GET", "/tfrun/v1/info").json["serving"]["waiting"] == 0 and time.monotonic() < until:
                if select.select([waiting], [], [], 0.001)[0]:
                    return 200
            server.process.send_signal(number)
            code = int(read_head(waiting)[0].split()[1])
            rest += read_until(running, b"0\r\n\r\n")
            expect_same(rest.count(b'data: {"id"'), 500)
            expect(b"data: [DONE]" in rest and b'"error"' not in rest)
        expect_same(server.process.wait(PATIENCE), 0)
        return code


@case
def sigterm_lets_running_requests_end(t):
    for number in (signal.SIGTERM, signal.SIGINT):
        codes = [200]
        while codes[-1] == 200 and len(codes) < 10:
            codes.append(end_while_one_runs(t, number))
        expect_same(codes[-1], 503)


@case
def a_drain_that_is_over_ends_streams_with_an_error(t):
    """And the log tells what came until then; nothing of one that never ran but its prompt."""
    log, asked = t.folder / "access", {**LONG, "max_tokens": 500, "stream": True}
    with t.serve("--drain", 0, "--max-batch", 1, "--access-log", log, "--access-format", "json") as server, server.raw(asked) as runs:
        begun = read_until(runs, b"data: ")
        with server.raw(asked, request_id="waits") as waits:
            read_until(waits, b"\r\n\r\n")
            server.process.send_signal(signal.SIGTERM)
            rests = [begun + read_until(runs, b"0\r\n\r\n"), read_until(waits, b"0\r\n\r\n")]
        for rest in rests:
            expect(b'"code":"draining"' in rest and rest.count(b"data: [DONE]") == 1, rest[-300:])
        expect_same(server.process.wait(PATIENCE), 0)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ran, waited = sorted(lines, key=lambda line: line["id"] == "waits")
    prompt = len(t.ids(LONG["prompt"]))
    expect_same([(line["status"], line["finish"], line["prompt_tokens"]) for line in lines], [(503, "error", prompt)] * 2)
    expect(0 <= ran["queue_ms"] < ran["ttft_ms"] < ran["ms"] and ran["output_tokens"] >= rests[0].count(b'data: {"id"'), ran)
    expect(waited["output_tokens"] == 0 and "queue_ms" not in waited and "ttft_ms" not in waited, waited)


def read_slowly(sock):
    """All until the server closes, and first nothing."""
    time.sleep(1)
    data = b""
    while True:
        more = sock.recv(1 << 20)
        data += more
        if not more:
            return data


@case
def a_drain_waits_for_readers(t):
    large = {"prompt": [[5] * 500] * 3, "echo": True, "logprobs": 20, "max_tokens": 1}
    for stream in (False, True):
        with t.serve("--drain", ENOUGH) as server, server.raw(large, receive=4096, stream=stream) as sock:
            until = time.monotonic() + PATIENCE
            while server.call("GET", "/tfrun/v1/info").json["serving"]["generation_tokens"] < 3 and time.monotonic() < until:
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            head, body = read_slowly(sock).split(b"\r\n\r\n", 1)
            expect(len(body) > 200000, len(body))
            if stream:
                expect(body.endswith(b"\r\n0\r\n\r\n") and b"data: [DONE]" in body[-100:], body[-100:])
            else:
                expect_same(f"Content-Length: {len(body)}" in head.decode(), True)
            expect_same(server.process.wait(PATIENCE), 0)


@case
def a_drain_does_not_wait_for_bodies(t):
    with t.serve("--drain", 0) as server, server.connect() as body, server.connect() as head:
        body.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 90\r\n"
                     b"Expect: 100-continue\r\n\r\n")
        expect_same(read_until(body, b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")  # the head is read
        body.sendall(b"{")
        head.sendall(b"POST /v1/comp")
        server.process.send_signal(signal.SIGTERM)
        data = read_until(body, b"}}")
        expect(data.startswith(b"HTTP/1.1 503 ") and b'"code":"draining"' in data, data)
        expect_same(server.process.wait(PATIENCE), 0)


@case
def a_get_takes_no_body(t):
    with t.serve() as server:
        for path in (b"/health", b"/v1/models", b"/"):
            for how in (b"Content-Length: 4194304", b"Transfer-Encoding: chunked"):
                with server.connect() as sock:
                    sock.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + how + b"\r\n\r\n")
                    head, _ = read_head(sock)
                    expect(head.startswith(b"HTTP/1.1 413 "), head)
        expect_same(server.call("GET", "/health", headers={"Content-Length": "0"}).status, 200)


@case
def what_a_browser_has_is_not_sent_again(t):
    with t.serve() as server:
        for path in ("/", "/offline.js"):
            first = server.call("GET", path)
            tag = first.headers["etag"]
            for known, status in ((tag, 304), (f'"other", W/{tag}', 304), ('"other"', 200)):
                reply = server.call("GET", path, headers={"If-None-Match": known})
                expect_same((path, known, reply.status, reply.body), (path, known, status, first.body if status == 200 else b""))
                expect_same((reply.headers["etag"], reply.headers["cache-control"]), (tag, "no-cache"))


@case
def a_second_signal_ends_at_once(t):
    with t.serve() as server, server.raw(LONG, max_tokens=500, stream=True) as sock:
        read_until(sock, b"data: ")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        expect_same(server.end(signal.SIGINT), 128 + signal.SIGINT)


@case
def a_closed_terminal_ends_nothing(t):
    with t.serve() as server:
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        expect_same((server.call("GET", "/health").status, server.end()), (200, 0))


def all_of(pipe):
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 1 << 20).decode()
    except BlockingIOError:
        return ""


@case
def a_log_that_nobody_reads_stops_nothing(t):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, 1031, 4096)  # F_SETPIPE_SZ
    with t.serve("--port", find_port(), wait=False, stderr=writer) as server:
        server.port = int(server.process.args[-1])
        until = time.monotonic() + PATIENCE
        said = ""
        while "serving" not in said and time.monotonic() < until:
            time.sleep(0.01)
            said += all_of(reader)
        for i in range(60):
            expect_same(server.call("GET", f"/{i}-" + "x" * 180).status, 404)
        said = all_of(reader)
        expect("/0-" in said and "/59-" not in said, said[-300:])
        expect_same(server.call("GET", "/back").status, 404)
        said = all_of(reader)
        expect("/back" in said and "lines of the access log are lost" in said, said)
        expect(os.get_blocking(writer), "the pipe of others is theirs")
        for i in range(60):
            server.call("GET", f"/{i}-" + "x" * 180)
        expect_same(server.end(), 0)  # which says something too
    os.close(reader)
    os.close(writer)


@case
def the_log_counts_what_a_client_that_left_has_got(t):
    log = t.folder / "access"
    with t.serve("--access-log", log, "--access-format", "json") as server:
        with server.raw(LONG, max_tokens=400, stream=True) as sock:
            rest = b""
            while rest.count(b"data: ") < 20:
                rest += sock.recv(65536)
        until = time.monotonic() + PATIENCE
        while not log.read_text().endswith("\n") and time.monotonic() < until:
            time.sleep(0.01)
        line = json.loads(log.read_text())
        made = server.call("GET", "/tfrun/v1/info").json["serving"]["generation_tokens"]
        expect_same(line["status"], 499)
        expect(0 <= line["queue_ms"] < line["ttft_ms"] < line["ms"], line)
        expect_same([server.metric(f"tfrun_{name}_seconds_count") for name in ("ttft", "queue", "prefill", "decode")], [1, 1, 1, 0])
        expect(20 <= line["output_tokens"] <= made <= line["output_tokens"] + 4, line, made)


def nan_model(t, source=None, end="wpe.weight", row=40):
    """The demo model with NaN where position 40 is embedded: what stays before it is sound."""
    model, source = t.folder / "nan", source or t.demo
    model.mkdir()
    for file in source.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    data = bytearray((model / "model.safetensors").read_bytes())
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    tensor = next(value for name, value in header.items() if name.endswith(end))
    width = {"F32": 4, "F16": 2, "BF16": 2}[tensor["dtype"]]
    at = 8 + size + tensor["data_offsets"][0] + row * tensor["shape"][-1] * width
    data[at:at + width] = b"\xff" * width
    (model / "model.safetensors").write_bytes(data)
    return model


@case
def nan_ends_its_own_request_alone(t):
    with t.serve(model=nan_model(t)) as server:
        good = server.text(prompt="Once upon a time", max_tokens=20, temperature=0)
        with server.raw(LONG, max_tokens=30, stream=True) as sock:
            reply = server.post({**LONG, "max_tokens": 60})
            expect_same((reply.status, reply.headers["x-should-retry"]), (500, "false"))
            expect_same(reply.json["error"]["type"], "server_error")
            expect("NaN" in reply.json["error"]["message"] and "/" not in reply.json["error"]["message"], reply.body)
            rest = read_until(sock, b"0\r\n\r\n")
            expect_same(rest.count(b'data: {"id"'), 30)
        for most in (0, 1):
            reply = server.post({"prompt": [5] * 60, "echo": True, "logprobs": 0, "max_tokens": most})
            expect_same((reply.status, reply.headers.get("x-should-retry")), (500, "false"))
        stream = server.post({**LONG, "max_tokens": 60, "stream": True})
        expect(b'data: {"error":{' in stream.body and stream.body.endswith(b"data: [DONE]\n\n"), stream.body[-300:])
        expect_same(server.text(prompt="Once upon a time", max_tokens=20, temperature=0), good)
        sound = server.post({"input": [[5] * 30]}, "/v1/embeddings").json
        reply = server.post({"input": [[5] * 30, [5] * 60]}, "/v1/embeddings")
        nan_is_told(server, reply, "hidden states of input 1")
        expect_same(server.post({"input": [[5] * 30]}, "/v1/embeddings").json, sound)


def nan_is_told(server, reply, *words):
    said = reply.json["error"]
    expect_same((reply.status, reply.headers.get("x-should-retry"), reply.headers.get("retry-after"), said["type"]),
                (500, "false", None, "server_error"))
    for word in (*words, "NaN", "--check-weights"):
        expect(word in said["message"] and any(word in line for line in server.lines()), word, said, server.lines())


@case
def nan_among_labels_is_told(t):
    model = nan_model(t, t.source_dir / "tests/model/text/single", "ln_f.weight", 0)
    with t.serve("--tokenizer", t.source_dir / "tests/model/text/tokenizer", model=model) as server:
        for path, words in (("/classify", "logits of text 1"), ("/v1/embeddings", "hidden states of input 0")):
            nan_is_told(server, server.post({"input": [[1, 2, 3]]}, path), words)
        expect_same((server.call("GET", "/health").status, server.end()), (200, 0))


if __name__ == "__main__":
    sys.exit(main(Setting))

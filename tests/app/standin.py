"""A server that speaks the completions route as far as `tfrun load` uses it, and misbehaves where it is told to.

It says nothing true: tokens are numbers and byte 0. But when it says them is known, how many requests it had at a time, and what was in
them. `standin.py PORT` is such a server of its own, until it is ended.
"""
import json
import socket
import sys
import threading
import time

MODES = ("good", "no_done", "no_reason", "bad_chunk", "cut", "too_few", "error_event", "not_json", "html", "error_400", "whole",
         "close_quietly", "refuse_second", "refuse_all", "stops_early", "no_usage", "hangs", "half_closes", "steers")
STEERING = "\x1b]0;t\x07\ntfrun: all is well\x9b2J\u202e"  # what a terminal obeys, and a line that looks like tfrun's own


class StandIn:
    def __init__(self, mode="good", first_s=0.02, gap_s=0.005, key=None, family=socket.AF_INET, path=None, port=0):
        assert mode in MODES
        self.mode, self.first_s, self.gap_s, self.key = mode, first_s, gap_s, key
        self.lock = threading.Lock()
        self.requests, self.bodies, self.arrived, self.closed_early = 0, [], [], 0
        self.at_once = self.most_at_once = self.connections = 0
        self.listener = socket.socket(family)
        self.listener.bind(path if path else ("127.0.0.1", port))
        self.listener.listen(128)
        self.url = f"unix:{path}" if path else "http://127.0.0.1:%d" % self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            if connection.family == socket.AF_INET:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
            threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection):
        with connection, connection.makefile("rb") as lines:
            try:
                while self.answer(connection, lines):
                    pass
            except OSError:
                with self.lock:
                    self.closed_early += 1

    def answer(self, connection, lines):
        """One request; False to close the connection."""
        start = lines.readline().decode()
        if not start:
            return False
        fields = {}
        while (line := lines.readline().decode().strip()):
            name, value = line.split(":", 1)
            fields[name.lower()] = value.strip()
        body = lines.read(int(fields.get("content-length", 0)))
        if self.key and fields.get("authorization") != f"Bearer {self.key}":
            return self.reply(connection, 401, {"error": {"message": "no key"}})
        path = start.split()[1]
        if path == "/health":
            return self.reply(connection, 200, {"status": "ok"})
        if path == "/v1/models":
            name = STEERING + "m" * 600 if self.mode == "steers" else "stand-in"
            return self.reply(connection, 200, {"object": "list", "data": [{"id": name, "max_model_len": 1024}]})
        if path != "/v1/completions":
            return self.reply(connection, 404, {"error": {"message": "no such route"}})
        return self.complete(connection, json.loads(body))

    def reply(self, connection, status, answer, extra=""):
        body = json.dumps(answer).encode()
        connection.sendall(f"HTTP/1.1 {status} Words\r\nContent-Type: application/json\r\n{extra}"
                           f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return "close" not in extra

    def complete(self, connection, body):
        with self.lock:
            self.requests += 1
            number = self.requests
            self.arrived.append(time.monotonic())
            self.bodies.append(body)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.mode == "refuse_all" or (self.mode == "refuse_second" and number % 2 == 0):
                return self.reply(connection, 429, {"error": {"message": "queue is full"}}, "Retry-After: 1\r\n")
            if self.mode == "steers":
                return self.reply(connection, 400, {"error": {"message": STEERING}})
            if self.mode == "error_400":
                return self.reply(connection, 400, {"error": {"message": "it has no taste"}})
            if not body.get("stream"):
                return self.whole(connection, body)
            return self.stream(connection, body)
        finally:
            with self.lock:
                self.at_once -= 1

    def whole(self, connection, body):
        time.sleep(self.first_s)
        choice = {"index": 0, "text": "x\0", "finish_reason": "length"}
        if body.get("echo"):
            n = len(body["prompt"])
            choice["logprobs"] = {"token_logprobs": [None] + [-1.5] * n, "tokens": ["x"] * (n + 1)}
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": body["max_tokens"]}
        return self.reply(connection, 200, {"choices": [choice], "usage": usage})

    def stream(self, connection, body):
        n, gone = body["max_tokens"], False
        if self.mode == "whole":
            return self.whole(connection, body)
        if self.mode == "html":
            return self.reply(connection, 200, "<html>")
        n -= self.mode == "too_few" or 3 * (self.mode == "stops_early")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(n):
            time.sleep(self.gap_s if i else self.first_s)
            reason = None if i + 1 < n or self.mode == "no_reason" else "stop" if self.mode == "stops_early" else "length"
            event = {"choices": [{"index": 0, "text": f" {i}\0", "finish_reason": reason}]}
            if i == 1 and self.mode == "error_event":
                event = {"error": {"message": "the engine is out of oil"}}
            if i == 1 and self.mode == "cut":
                return False
            if i == 1 and self.mode == "hangs":
                return connection.recv(1) != b""  # until the client has had enough
            self.chunk(connection, "{" if i == 1 and self.mode == "not_json" else json.dumps(event))
        usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": n, "total_tokens": n + 1}}
        if self.mode != "no_usage":
            self.chunk(connection, json.dumps(usage))
        if self.mode != "no_done":
            self.chunk(connection, "[DONE]")
        if self.mode == "half_closes":
            return self.end_with_fin(connection)
        connection.sendall(b"0\r\n\r\n")
        return not gone and self.mode != "close_quietly"

    def end_with_fin(self, connection):
        """The end of the reply and of the connection in one packet; what the client sends then is read, and nothing says so."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        connection.sendall(b"0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(10)
        while connection.recv(65536):
            pass
        return False

    def chunk(self, connection, data):
        event = f"data: {data}\n\n".encode()
        size = len(event) - (self.mode == "bad_chunk")
        connection.sendall(b"%x\r\n" % size + event + b"\r\n")


if __name__ == "__main__":
    StandIn(port=int(sys.argv[1])).accept()

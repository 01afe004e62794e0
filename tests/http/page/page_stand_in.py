"""page_stand_in.py - a server that answers the page as `tfrun serve` does, with made-up tokens, and does on request what a real one
does seldom: breaks off, refuses, cuts characters, sends markup.

A word with the blank before it is a token; its id is where it came first. What is generated is SCRIPT, which a test sets.
"""
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse

POSITIONS = 1024
INFO = {"version": "0", "model": "stand-in", "class": "GPT2LMHeadModel", "dtype": "bf16", "isa": "avx512", "threads": 2, "ranks": 1, "profile": False,
        "n_positions": POSITIONS, "vocab_size": 50257, "max_logprobs": 20, "max_n": 16, "tokenizer": True,
        "serving": {"waiting": 3, "estimated_wait_s": 1.5}}


# What graphviz writes, and what nobody should.
PICTURE = b"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9"
onload="document.title='owned'">
<style>text { fill: rgb(1, 2, 3) }</style><script>document.title = 'owned'</script><image href="http://198.51.100.1/x.png"/>
<g id="n1"><a xlink:title="attention: 2 MFLOP" xlink:href="javascript:document.title=1"><rect width="3" height="3"
style="fill: #123456" onclick="document.title='owned'"/><text>attn</text></a></g><foreignObject><b>x</b></foreignObject></svg>"""


class StandIn(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, page, policy, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.page, self.policy, self.info = page, policy, dict(INFO)
        self.worker, self.pictures, self.refuse_page, self.lets_page = None, {}, None, threading.Event()
        self.lets_page.set()
        self.n_metrics, self.lets_metrics = 0, threading.Event()
        self.lets_metrics.set()
        self.connections = set()
        self.words, self.requests, self.gone = {}, [], threading.Event()
        self.script = [" and", " then", " the", " sea", " was", " calm", "."]  # what it says, over and over
        self.delay, self.refuse, self.key, self.break_after, self.fault, self.dribble = 0.01, None, None, None, None, False
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self):
        """As a process ends: connections that browsers keep end too."""
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the browser was first
                pass

    def id_of(self, word):
        return self.words.setdefault(word, 100 + len(self.words))


def words_of(text):
    return re.findall(r" ?[^\s]+|\s", text)


def bytes_of(piece):
    return bytes.fromhex(piece[6:].replace("\\x", "")) if piece.startswith("bytes:") else piece.encode()


def likely(index):
    """A log-probability that goes up and down, so that every colour is seen."""
    return -(0.05 + (index * 7 % 11) ** 2 / 12)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self):
        self.server.connections.discard(self.connection)
        super().finish()

    def reply(self, status, body, kind="application/json", headers=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def refused(self, status, message, headers=()):
        self.reply(status, {"error": {"message": message, "type": "x", "param": None, "code": None}}, headers=headers)

    def allowed(self):
        key = self.server.key
        if key is None or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        self.refused(401, "give it as Authorization: Bearer KEY.")
        return False

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        if path == "/":
            self.server.lets_page.wait(60)
        if path == "/" and self.server.refuse_page:
            return self.reply(self.server.refuse_page, b"bad gateway", "text/plain")
        if path == "/":
            return self.reply(200, self.server.page, "text/html; charset=utf-8", [("Content-Security-Policy", self.server.policy)])
        if path == "/offline.js" and self.server.worker:
            return self.reply(200, self.server.worker, "text/javascript")
        if not self.allowed():
            return None
        if path == "/tfrun/v1/info":
            return self.reply(200, self.server.info)
        if path == "/metrics":
            self.server.n_metrics += 1
            self.server.lets_metrics.wait(60)
            return self.reply(200, b"tfrun_requests_running 1\ntfrun_kv_usage_ratio 0.25\n", "text/plain; version=0.0.4")
        if path == "/tfrun/v1/graph.svg":
            return self.reply(200, PICTURE, "image/svg+xml")
        if path in self.server.pictures:
            return self.reply(200, *self.server.pictures[path])
        return self.refused(404, "no such route")

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, request))
        if not self.allowed():
            return None
        if self.path == "/tokenize":
            pieces = words_of(request["prompt"])
            ids = list(map(self.server.id_of, pieces))
            return self.reply(200, {"tokens": ids, "count": len(ids), "max_model_len": POSITIONS, "token_strs": pieces})
        if self.server.refuse:
            return self.refused(*self.server.refuse)
        return self.streamed(request) if request.get("stream") else self.echoed(request)

    def logprobs(self, pieces, first, echo=False):
        lps = [None if echo and i == 0 else likely(first + i) for i in range(len(pieces))]
        others = {" other": -1.5, "bytes:\\xF0\\x9F": -2.5, "7": -3.0, "\n": -4.0}
        tops = [None if lp is None else {piece: lp} | others for piece, lp in zip(pieces, lps)]
        ranks = [None if lp is None else 1 + (first + i) * 37 % 5000 if (first + i) % 3 else 1 for i, lp in enumerate(lps)]
        ids = [None if top is None else {piece: self.server.id_of(piece) for piece in top} for top in tops]
        return {"tokens": pieces, "token_logprobs": lps, "top_logprobs": tops, "top_token_ids": ids, "token_ranks": ranks,
                "text_offset": [0] * len(pieces)}

    def echoed(self, request):
        pieces = words_of(request["prompt"])
        choice = {"index": 0, "text": request["prompt"], "finish_reason": "length", "logprobs": self.logprobs(pieces, 0, True),
                  "prompt_token_ids": list(map(self.server.id_of, pieces)), "token_ids": []}
        self.reply(200, {"choices": [choice], "usage": {"prompt_tokens": len(pieces), "completion_tokens": 0}})

    def events(self, request):
        """Objects of a stream: each token of each choice in turn, held back until its character is whole."""
        prompt = request["prompt"]
        ids = prompt if isinstance(prompt, list) else [self.server.id_of(word) for word in words_of(prompt)]
        n, length, held = request.get("n", 1), request.get("max_tokens", 16), {}
        for at in range(length):
            for index in range(n):
                piece = self.server.script[(at + index) % len(self.server.script)]
                held.setdefault(index, []).append(piece)
                raw = b"".join(map(bytes_of, held[index]))
                try:
                    text = raw.decode()
                except UnicodeDecodeError as fault:
                    if "end of data" in fault.reason and at < length - 1:
                        continue
                    text = raw.decode(errors="replace")
                pieces, held[index] = held[index], []
                choice = {"index": index, "text": text, "logprobs": self.logprobs(pieces, at),
                          "token_ids": list(map(self.server.id_of, pieces)),
                          "finish_reason": "length" if at == length - 1 else None}
                yield {"choices": [choice | ({"prompt_token_ids": ids} if at == 0 else {})]}
        usage = {"prompt_tokens": len(ids), "completion_tokens": length * n,
                 "prompt_tokens_details": {"cached_tokens": len(ids) // 2}}
        yield {"choices": [], "usage": usage, "timings": {"queue_ms": 1.5, "prompt_ms": 20.0}}

    def streamed(self, request):
        server = self.server
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for sent, event in enumerate(self.events(request)):
                if sent == server.break_after:
                    return
                if server.fault and sent == 3:
                    event = {"error": {"message": server.fault}}
                self.send(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n")
                time.sleep(server.delay)
            self.send(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            server.gone.set()

    def send(self, data):
        """In one piece, or so that every character of several bytes is cut in two."""
        for block in re.findall(rb"[^\xc0-\xff]*[\xc0-\xff]?", data) if self.server.dribble else [data]:
            self.wfile.write(block)
            self.wfile.flush()
            time.sleep(0.02 if self.server.dribble else 0)

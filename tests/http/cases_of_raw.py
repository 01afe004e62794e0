"""The table of raw requests: what is sent, the statuses that must come back, and whether the server closes after them."""

JSON = b'{"max_tokens":1,"prompt":"x"}'
SIZE = len(JSON)
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (SIZE, JSON)
COUNTED = b"Content-Length: %d\r\n" % SIZE
CODED = b"Transfer-Encoding: chunked\r\n"
HOST = b"Host: 127.0.0.1\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


class Row:
    """`closes`: by itself after the replies; otherwise the connection stays open for more."""

    def __init__(self, name, data, *statuses, closes=None, method="GET", body=None, bytewise=False):
        self.name, self.data, self.statuses, self.method, self.body, self.bytewise = (name, data, list(statuses), method, body,
                                                                                      bytewise)
        self.closes = statuses[-1] >= 400 if closes is None else closes


def post(headers, body, line=b"POST /echo HTTP/1.1"):
    return line + b"\r\n" + HOST + b"Content-Type: application/json\r\n" + headers + b"\r\n" + body


def get(headers=b"Host: x\r\n", line=b"GET /health HTTP/1.1"):
    return line + b"\r\n" + headers + b"\r\n"


def chunked(body):
    return post(CODED, body)


def old(headers=b"", path=b"/health"):
    return get(headers, line=b"GET " + path + b" HTTP/1.0")


GROUPS = {
    "lengths": [
        Row("post", post(COUNTED, JSON), 200, body=JSON),
        Row("leading zeros", post(b"Content-Length: 00%d\r\n" % SIZE, JSON), 200, body=JSON),
        Row("nothing", post(b"Content-Length: 0\r\n", b""), 200, body=b""),
        Row("both lengths", post(COUNTED + CODED, CHUNKS), 400),
        Row("both the other way", post(CODED + b"Content-Length: 4\r\n", b"0\r\n\r\n" + HEALTH), 400),
        Row("both on GET", get(b"Host: x\r\nContent-Length: 0\r\n" + CODED) + b"0\r\n\r\n", 400),
        Row("twice the same", post(COUNTED + COUNTED, JSON), 400),
        Row("twice", post(COUNTED + b"Content-Length: 5\r\n", JSON), 400),
        Row("plus", post(b"Content-Length: +%d\r\n" % SIZE, JSON), 400),
        Row("hexadecimal", post(b"Content-Length: 0x1d\r\n", JSON), 400),
        Row("list", post(b"Content-Length: %d, %d\r\n" % (SIZE, SIZE), JSON), 400),
        Row("empty", post(b"Content-Length:\r\n", JSON), 400),
        Row("negative", post(b"Content-Length: -1\r\n", JSON), 400),
        Row("blank inside", post(b"Content-Length: 2 9\r\n", JSON), 400),
        Row("fraction", post(b"Content-Length: 29.0\r\n", JSON), 400),
        Row("more than any number", post(b"Content-Length: 99999999999999999999999\r\n", JSON), 413),
        Row("2^64 + 29", post(b"Content-Length: 18446744073709551645\r\n", JSON), 413),
        Row("5 MB announced", post(b"Content-Length: 5242880\r\n", b""), 413),
        Row("one byte too many", post(b"Content-Length: 4194305\r\n", b""), 413),
        Row("exactly 4 MiB", post(b"Content-Length: 4194304\r\n", b"a" * 4194304), 200, body=b"a" * 4194304),
        Row("POST without", post(b"", b""), 411),
        Row("PUT without", post(b"", b"", line=b"PUT /echo HTTP/1.1"), 411),
        Row("GET with a body", get(b"Host: x\r\nContent-Length: 5\r\n") + b"hello" + HEALTH, 200, 200),
        Row("underscore is another header", post(COUNTED + b"Content_Length: 5\r\n", JSON), 200, body=JSON),
    ],
    "codings": [
        Row("chunked", chunked(CHUNKS), 200, body=JSON),
        Row("chunked in capitals", post(b"Transfer-Encoding: Chunked\r\n", CHUNKS), 200, body=JSON),
        Row("gzip, chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", CHUNKS), 400),
        Row("chunked, chunked", post(b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS), 400),
        Row("chunked with a parameter", post(b"Transfer-Encoding: chunked;a=b\r\n", CHUNKS), 400),
        Row("xchunked", post(b"Transfer-Encoding: xchunked\r\n", CHUNKS), 400),
        Row("identity", post(b"Transfer-Encoding: identity\r\n", CHUNKS), 400),
        Row("empty", post(b"Transfer-Encoding:\r\n", CHUNKS), 400),
        Row("twice", post(CODED + CODED, CHUNKS), 400),
        Row("vertical tab", post(b"Transfer-Encoding: \x0bchunked\r\n", CHUNKS), 400),
        Row("HTTP/1.0", post(CODED, CHUNKS, line=b"POST /echo HTTP/1.0"), 400),
    ],
    "chunks": [
        Row("three", chunked(b"2\r\nab\r\nA\r\n0123456789\r\n0001\r\nc\r\n0\r\n\r\n"), 200, body=b"ab0123456789c"),
        Row("none", chunked(b"0\r\n\r\n"), 200, body=b""),
        Row("then another request", chunked(CHUNKS) + HEALTH, 200, 200),
        Row("LF after the size", chunked(b"%x\n%s\r\n0\r\n\r\n" % (SIZE, JSON)), 400),
        Row("CR CR LF after the size", chunked(b"%x\r\r\n%s\r\n0\r\n\r\n" % (SIZE, JSON)), 400),
        Row("LF in an extension", chunked(b"%x;a\nb\r\n%s\r\n0\r\n\r\n" % (SIZE, JSON)), 400),
        Row("extension", chunked(b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (SIZE, JSON)), 400),
        Row("0x", chunked(b"0x%x\r\n%s\r\n0\r\n\r\n" % (SIZE, JSON)), 400),
        Row("-1", chunked(b"-1\r\n%s\r\n0\r\n\r\n" % JSON), 400),
        Row("blank before", chunked(b" %x\r\n%s\r\n0\r\n\r\n" % (SIZE, JSON)), 400),
        Row("blank behind", chunked(b"%x \r\n%s\r\n0\r\n\r\n" % (SIZE, JSON)), 400),
        Row("no size", chunked(b"\r\n%s\r\n0\r\n\r\n" % JSON), 400),
        Row("more than any number", chunked(b"ffffffffffffffffff\r\n%s\r\n0\r\n\r\n" % JSON), 400),
        Row("2^64 - 1", chunked(b"ffffffffffffffff\r\n%s\r\n0\r\n\r\n" % JSON), 413),
        Row("data longer than its size", chunked(b"%x\r\n%sXX0\r\n\r\n" % (SIZE, JSON)), 400),
        Row("LF after the data", chunked(b"%x\r\n%s\n0\r\n\r\n" % (SIZE, JSON)), 400),
        Row("LF at the end", chunked(b"%x\r\n%s\r\n0\r\n\n" % (SIZE, JSON)), 400),
        Row("trailer", chunked(b"%x\r\n%s\r\n0\r\nX: y\r\n\r\n" % (SIZE, JSON)), 400),
        Row("5 MB", chunked(b"500000\r\n" + b"a" * 0x500000 + b"\r\n0\r\n\r\n"), 413),
        Row("5 MB in small ones", chunked((b"1000\r\n" + b"a" * 0x1000 + b"\r\n") * 1280 + b"0\r\n\r\n"), 413),
    ],
    "lines": [
        Row("folded", get(b"Host: x\r\nX-A: b\r\n c\r\n"), 400),
        Row("folded by a tab", get(b"Host: x\r\nX-A: b\r\n\tc\r\n"), 400),
        Row("first one folded", get(b" Host: x\r\nHost: x\r\n"), 400),
        Row("blank before the colon", post(b"Content-Length : %d\r\n" % SIZE, JSON), 400),
        Row("tab before the colon", post(b"Content-Length\t: %d\r\n" % SIZE, JSON), 400),
        Row("no colon", get(b"Host: x\r\nNoColonHere\r\n"), 400),
        Row("no name", get(b"Host: x\r\n: v\r\n"), 400),
        Row("quote in a name", get(b"Host: x\r\nX\"A: v\r\n"), 400),
        Row("blanks around a value", post(b"Content-Length: \t %d \t\r\n" % SIZE, JSON), 200, body=JSON),
        Row("UTF-8 in a value", get("Host: x\r\nX-A: ä\r\n".encode()), 200),
        Row("no Host", get(b""), 400),
        Row("two Hosts", get(b"Host: x\r\nHost: x\r\n"), 400),
        Row("empty Host", get(b"Host:\r\n"), 400),
        Row("Host with a path", get(b"Host: x/y\r\n"), 400),
        Row("Host with a user", get(b"Host: a@x\r\n"), 400),
        Row("Host of several", get(b"Host: x, y\r\n"), 400),
        Row("no Host in HTTP/1.0", old(), 200, closes=True),
    ],
    "controls": [
        Row("LF alone", b"GET /health HTTP/1.1\nHost: x\n\n", 400),
        Row("LF alone once", b"GET /health HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400),
        Row("LF alone at the end", b"GET /health HTTP/1.1\r\nHost: x\r\n\n", 400),
        Row("CR alone in a value", get(b"Host: x\r\nX: a\rb\r\n"), 400),
        Row("CR CR LF", get(b"Host: x\r\nX: a\r\r\n"), 400),
        Row("NUL in a value", get(b"Host: x\r\nX: a\0b\r\n"), 400),
        Row("NUL in a name", get(b"Host: x\r\nX\0: ab\r\n"), 400),
        Row("NUL in the path", get(line=b"GET /hea\0lth HTTP/1.1"), 400),
        Row("DEL in a value", get(b"Host: x\r\nX: a\x7fb\r\n"), 400),
        Row("control in the path", get(line=b"GET /hea\x01lth HTTP/1.1"), 400),
        Row("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)), 400),
    ],
    "request_line": [
        Row("blank in the path", get(line=b"GET /health x HTTP/1.1"), 400),
        Row("two blanks", get(line=b"GET  /health HTTP/1.1"), 400),
        Row("blank at the end", get(line=b"GET /health HTTP/1.1 "), 400),
        Row("tabs for blanks", get(line=b"GET\t/health\tHTTP/1.1"), 400),
        Row("blank before the method", get(line=b" GET /health HTTP/1.1"), 400),
        Row("no method", get(line=b"/health HTTP/1.1"), 400),
        Row("HTTP/0.9", b"GET /health\r\n\r\n", 400),
        Row("http/1.1", get(line=b"GET /health http/1.1"), 400),
        Row("HTTP/1.10", get(line=b"GET /health HTTP/1.10"), 400),
        Row("HTTP/1.9", get(line=b"GET /health HTTP/1.9"), 505),
        Row("HTTP/2.0", get(line=b"GET /health HTTP/2.0"), 505),
        Row("opening of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        Row("whole URI", get(line=b"GET http://x/health HTTP/1.1"), 400),
        Row("CONNECT", get(line=b"CONNECT x:80 HTTP/1.1"), 400),
        Row("no slash", get(line=b"GET health HTTP/1.1"), 400),
        Row("fragment", get(line=b"GET /health#a HTTP/1.1"), 400),
        Row("UTF-8 in the path", get(line="GET /ä HTTP/1.1".encode()), 400),
        Row("asterisk of GET", get(line=b"GET * HTTP/1.1"), 400),
        Row("asterisk of OPTIONS", get(line=b"OPTIONS * HTTP/1.1"), 404, closes=False),
        Row("empty lines before", b"\r\n\r\n" + HEALTH, 200),
        Row("query", get(line=b"GET /health?a=b&c=%20 HTTP/1.1"), 200),
        Row("HEAD", get(line=b"HEAD /health HTTP/1.1"), 200, method="HEAD"),
        Row("HEAD of a stream", get(line=b"HEAD /stream HTTP/1.1"), 200, method="HEAD"),
        Row("no content", get(line=b"OPTIONS /none HTTP/1.1"), 204),
    ],
    "limits": [
        Row("40 KB in one line", get(b"Host: x\r\nX: " + b"a" * 40000 + b"\r\n"), 431),
        Row("400 KB in one line", get(b"Host: x\r\nX: " + b"a" * 400000 + b"\r\n"), 431),
        Row("30 KB in one line", get(b"Host: x\r\nX: " + b"a" * 30000 + b"\r\n"), 200),
        Row("300 lines", get(b"Host: x\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(300))), 431),
        Row("65 lines", get(b"Host: x\r\n" + b"X: y\r\n" * 64), 431),
        Row("64 lines", get(b"Host: x\r\n" + b"X: y\r\n" * 63), 200),
        Row("empty lines for ever", b"\r\n" * 20000, 431),
        Row("10 KB of path", get(line=b"GET /health?" + b"a" * 10000 + b" HTTP/1.1"), 414),
        Row("400 KB of path", get(line=b"GET /health?" + b"a" * 400000 + b" HTTP/1.1"), 414),
        Row("8192 bytes of path", get(line=b"GET /health?" + b"a" * 8184 + b" HTTP/1.1"), 200),
        Row("8193 bytes of path", get(line=b"GET /health?" + b"a" * 8185 + b" HTTP/1.1"), 414),
    ],
    "pipelined": [
        Row("three GET", HEALTH * 3, 200, 200, 200),
        Row("three hundred GET", HEALTH * 300, *[200] * 300),
        Row("POST and GET", post(COUNTED, JSON) + HEALTH, 200, 200, body=JSON),
        Row("stream and GET", get(line=b"GET /stream?n=3 HTTP/1.1") + HEALTH, 200, 200,
            body=(b"data: " + b"x" * 20 + b"\n\n") * 3 + b"data: [DONE]\n\n"),
        Row("late and GET", get(line=b"GET /late?ms=30 HTTP/1.1") + HEALTH, 200, 200, body=b'{"late":true}'),
        Row("close and GET", get(b"Host: x\r\nConnection: close\r\n") + HEALTH, 200, closes=True),
        Row("close among others", get(b"Host: x\r\nConnection: te, Close\r\n") + HEALTH, 200, closes=True),
        Row("refused and GET", get(b"") + HEALTH, 400),
        Row("2 MB replies and GET", get(line=b"GET /big?size=2000000 HTTP/1.1") * 2 + HEALTH, 200, 200, 200),
    ],
    "http10": [
        Row("GET", old(b"Host: x\r\n"), 200, closes=True),
        Row("GET and another", old(b"Host: x\r\n") + HEALTH, 200, closes=True),
        Row("kept alive", old(b"Connection: keep-alive\r\n") + HEALTH, 200, 200),
        Row("POST", post(COUNTED, JSON, line=b"POST /echo HTTP/1.0"), 200, closes=True, body=JSON),
        Row("stream", old(path=b"/stream?n=2&size=1"), 200, closes=True, body=b"data: x\n\ndata: x\n\ndata: [DONE]\n\n"),
        Row("stream kept alive", old(b"Connection: keep-alive\r\n", b"/stream?n=1&size=1"), 200, closes=True,
            body=b"data: x\n\ndata: [DONE]\n\n"),
        Row("100-continue is ignored", post(COUNTED + b"Expect: 100-continue\r\n", JSON, line=b"POST /echo HTTP/1.0"), 200,
            closes=True, body=JSON),
    ],
    "bytewise": [
        Row("counted", post(COUNTED, JSON), 200, body=JSON, bytewise=True),
        Row("chunked", chunked(CHUNKS), 200, body=JSON, bytewise=True),
        Row("three GET", HEALTH * 3, 200, 200, 200, bytewise=True),
        Row("both lengths", post(COUNTED + CODED, b""), 400, bytewise=True),
    ],
}

#!/usr/bin/env python3
"""test_openapi.py TFRUN NAME SOURCE_DIR: /openapi.json says what the server takes: its schemas are held against requests of real
clients and against wrong ones, by a reader of schemas of this file's own.

`test_openapi.py --list` prints the names.
"""
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import Setting, table  # noqa: E402

COLUMNS = ("method", "path", "name", "access", "time", "log", "help")
KINDS = {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}


def is_kind(value, kind):
    if kind in ("number", "integer"):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and (kind == "number" or value == int(value))
    return isinstance(value, KINDS[kind])


def fits(schema, value):
    """JSON Schema 2020-12, as far as the document has it."""
    known = {"type", "anyOf", "items", "properties", "additionalProperties", "minimum", "maximum", "required", "default", "description",
             "deprecated"}
    expect(set(schema) <= known, schema)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    good = not kinds or any(is_kind(value, kind) for kind in kinds)
    good &= not schema.get("anyOf") or any(fits(one, value) for one in schema["anyOf"])
    if good and is_kind(value, "number"):
        good &= schema.get("minimum", value) <= value <= schema.get("maximum", value)
    if good and isinstance(value, list) and "items" in schema:
        good &= all(fits(schema["items"], item) for item in value)
    if good and isinstance(value, dict):
        good &= all(name in value for name in schema.get("required", []))
        for name, item in value.items():
            good &= fits(schema.get("properties", {}).get(name, schema.get("additionalProperties", {})), item)
    return good


def schema_of(document, path):
    return document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]


def client_requests(t):
    """(path, body) of every POST that real clients sent."""
    for file in sorted((t.source_dir / "tests" / "http" / "clients").glob("*/*.req")):
        head, _, body = file.read_bytes().partition(b"\r\n\r\n")
        found = re.match(rb"POST ([^ ?]+)", head)
        if found:
            if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
                body = b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n(?=[0-9a-f]+\r\n)", body, re.DOTALL))
            yield found.group(1).decode(), json.loads(body)


@case
def the_document_has_every_route(t):
    rows = table(t.source_dir, "core/app/http/routes.def", "TFR_ROUTE", COLUMNS)
    with t.serve() as server:
        document = server.call("GET", "/openapi.json").json
        expect_same(document["openapi"], "3.1.0")
        said = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
        expect_same(said, {(row["method"], row["path"].replace("*", "{id}")) for row in rows})
        for row in rows:
            operation = document["paths"][row["path"].replace("*", "{id}")][row["method"].lower()]
            expect_same((operation["summary"], operation["security"]), (row["help"], [{"key": []}] if row["access"] == "KEYED" else []))
            expect_same("requestBody" in operation, row["method"] == "POST")
        error = server.call("GET", "/nowhere").json
        expect(fits(document["components"]["schemas"]["Error"], error), error)


@case
def requests_of_real_clients_fit(t):
    with t.serve("--chat", "plain", "--alias", "gpt2") as server:
        document, n, n_chat = server.call("GET", "/openapi.json").json, 0, 0
        for path, body in client_requests(t):
            if path in document["paths"]:
                expect(fits(schema_of(document, path), body), path, body)
                n += 1
            if path == "/v1/chat/completions":
                reply = server.post(body, path)
                expect(reply.status == 200 and (not body.get("stream") or reply.body.endswith(b"data: [DONE]\n\n")), path, reply.body)
                n_chat += 1
        expect(n_chat > 1)
        expect(n > 20, n)


def wrong_values(schema):
    """Values that a schema refuses: of other types, beyond its limits."""
    for value in (True, 1.5, "x", [1.5], {"x": "y"}, schema.get("minimum", 0) - 1, schema.get("maximum", 0) + 1):
        if not fits(schema, value):
            yield value


@case
def what_does_not_fit_is_refused(t):
    messages = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    good = {"/v1/completions": {"prompt": "x", "max_tokens": 1}, "/v1/chat/completions": messages, "/v1/embeddings": {"input": "x"},
            "/tokenize": {"prompt": "x"}, "/detokenize": {"tokens": [1]}, "/classify": {"input": "x"}}
    with t.serve("--chat", "plain") as server:
        document, n = server.call("GET", "/openapi.json").json, 0
        expect_same({path for path, row in document["paths"].items() if "post" in row}, set(good))
        for path, body in good.items():
            if path != "/classify":
                expect_same((path, server.post(body, path).status), (path, 200))
            for name, schema in schema_of(document, path)["properties"].items():
                for value in wrong_values(schema):
                    reply = server.post({**body, name: value}, path)
                    said = (path, name, value, reply.status, reply.json.get("error", {}).get("param"))
                    expect_same(said, (path, name, value, 400, name))
                    n += 1
                null = server.post({**body, name: None}, path)
                expect(path == "/classify" or name in body or null.status == 200, path, name, null.body)
        expect(n > 300, n)


def replies_of(document, method, path):
    return document["paths"][path][method.lower()]["responses"]


def said_of(document, method, path, reply):
    """Whether the document has such a reply: status, type, and what is in it."""
    said = replies_of(document, method, path).get(str(reply.status), {})
    kind = reply.headers.get("content-type", "").split(";")[0]
    if not kind:
        return bool(said) and "content" not in said and not reply.body
    schema = said.get("content", {}).get(kind, {}).get("schema")
    return schema is not None and fits(schema, reply.json if kind == "application/json" else reply.body.decode())


ASKED = (("/v1/completions", {"prompt": ["x", "y"], "max_tokens": 1, "n": 2, "echo": True, "logprobs": 2}),
         ("/v1/completions", {"prompt": "x", "max_tokens": 1, "stream": True}),
         ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}),
         ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "stream": True}),
         ("/v1/embeddings", {"input": ["x", "y"]}), ("/v1/embeddings", {"input": "x", "encoding_format": "base64"}),
         ("/tokenize", {"prompt": "x y", "return_token_strs": True}), ("/detokenize", {"tokens": [1, 2]}))


@case
def answers_are_as_the_document_says(t):
    with t.serve("--chat", "plain", "--profile") as server:
        document = server.call("GET", "/openapi.json").json
        for path, operations in document["paths"].items():
            for method in operations:
                good = [status for status in replies_of(document, method, path) if status[0] == "2"]
                expect_same((path, len(good)), (path, 1))
            if "get" in operations:
                reply = server.call("GET", path.replace("{id}", "demo"))
                expect(reply.status == 404 and path.endswith(".svg") or said_of(document, "GET", path, reply), path, reply.status)
        for path, body in ASKED:
            expect(said_of(document, "POST", path, server.post(body, path)), path, body)
        answer = server.ask(prompt="x", max_tokens=1)
        schema = replies_of(document, "POST", "/v1/completions")["200"]["content"]["application/json"]["schema"]
        expect(not fits(schema, {**answer, "usage": None}) and not fits(schema, {**answer, "choices": [{}]}), schema)


if __name__ == "__main__":
    sys.exit(main(Setting))

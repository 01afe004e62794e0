#!/usr/bin/env python3
"""test_notebook.py TFRUN NAME SOURCE_DIR: the page in a headless Chromium on `tfrun serve` itself, with the bundled model: what a
person does, and what the server makes of it. Skipped where there is no Chromium.

`test_notebook.py --list` prints the names. Python's own library only.
"""
import base64
import hashlib
import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "app"), str(HERE.parent)]
from cases import SLOWER, case, expect, expect_same, main  # noqa: E402
from chromium import CONTROL, SHIFT, find  # noqa: E402
from notebook import PROMPT, Notebook  # noqa: E402
from page_terms import AWAY, IDLE, NOTICE, READY, SKIPPED, TEXT  # noqa: E402
from serving import Server  # noqa: E402

WITHOUT_A_BROWSER = ["it_comes_with_its_policy_and_without_a_key", "ranks_and_ids_stand_beside_log_probabilities"]


@case
def it_comes_with_its_policy_and_without_a_key(make):
    with Server(make.program, make.demo, make.folder, env={"TFRUN_API_KEYS": "secret-of-eight"}) as server:
        reply = server.call("GET", "/")
        expect_same((reply.status, reply.headers["content-type"]), (200, "text/html; charset=utf-8"))
        expect(b"<title>tfrun</title>" in reply.body and b"@SCRIPT@" not in reply.body, reply.body[:300])
        wanted = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "x-frame-options": "DENY",
                  "cache-control": "no-cache"}
        expect_same({name: reply.headers.get(name) for name in wanted}, wanted)
        for tag in ("script", "style"):
            inside = re.search(rf"<{tag}>(.*)</{tag}>".encode(), reply.body, re.DOTALL)[1]
            digest = base64.b64encode(hashlib.sha256(inside).digest()).decode()
            expect(f"{tag}-src 'sha256-{digest}';" in reply.headers["content-security-policy"], tag)
        head = server.call("HEAD", "/")
        expect_same((head.status, head.body, head.headers["content-length"]), (200, b"", str(len(reply.body))))
        expect_same(server.call("POST", "/", {}).status, 405)
    with Server(make.program, make.demo, make.folder, "--set", "serve.ui=false") as server:
        expect_same((server.call("GET", "/").status, server.call("GET", "/offline.js").status), (404, 404))


@case
def ranks_and_ids_stand_beside_log_probabilities(make):
    """Greedy tokens have rank 1; a rank within the alternatives is the place there; the ids are those of the tokens."""
    with Server(make.program, make.demo, make.folder) as server:
        given = {"prompt": PROMPT, "max_tokens": 6, "temperature": 0, "logprobs": 5, "echo": True}
        choice = server.ask(**given, return_token_ids=True)["choices"][0]
        told, ids = choice["logprobs"], choice["prompt_token_ids"] + choice["token_ids"]
        expect_same((told["token_ranks"][0], told["top_token_ids"][0]), (None, None))
        expect_same(told["token_ranks"][-6:], [1] * 6)
        for i, rank in enumerate(told["token_ranks"][1:], 1):
            top, token = told["top_logprobs"][i], told["tokens"][i]
            expect_same(list(top), list(told["top_token_ids"][i]))
            expect_same(told["top_token_ids"][i][token], ids[i])
            best = sorted(top, key=top.get, reverse=True)
            expect(best.index(token) + 1 == min(rank, 6), token, rank, top)
        plain = server.ask(**given)["choices"][0]["logprobs"]
        expect_same(sorted(plain), ["text_offset", "token_logprobs", "tokens", "top_logprobs"])


def write_long(book):
    """A long continuation is under way."""
    book.set(max_tokens=450)
    book.page.click("#text")
    book.page.type(PROMPT)
    book.page.key("Enter", CONTROL)
    book.page.until(f"{TEXT}.length > {len(PROMPT) + 20}")


@case
def stop_frees_the_slot_at_once(make):
    with make as book:
        page, server = book.page, book.server
        write_long(book)
        page.key("Escape")
        page.until(IDLE)
        text = page.js(TEXT)
        book.comes_to('tfrun_cancelled_total{state="decode"}', 1)
        book.comes_to("tfrun_requests_running", 0)
        expect(server.metric("tfrun_cancelled_steps_max") <= 2, server.metric("tfrun_cancelled_steps_max"))
        expect(server.metric("tfrun_generation_tokens_total") < 440, server.metric("tfrun_generation_tokens_total"))
        expect(text.startswith(PROMPT) and page.js("document.getElementById('fact-finish').textContent") == "stopped", text)
        expect_same(page.js(TEXT), text)
        page.key("z", CONTROL)
        expect_same(page.js(TEXT), PROMPT)


@case
def what_is_shown_is_what_the_model_says(make):
    """The greedy text is that of `tfrun generate`, the score that of `tfrun score`; a branch is the continuation of its ids."""
    with make as book:
        page, server = book.page, book.server
        book.set(max_tokens=12, temperature=0)
        page.click("#text")
        page.type(PROMPT)
        text = book.go_on()
        command = [book.program, book.demo, "-p", PROMPT, "-n", "12", "--temperature", "0", "--json"]
        expect_same(text, PROMPT + json.loads(run(command))["choices"][0]["text"])
        page.hover("#mirror span:nth-of-type(3)")
        page.until("!document.getElementById('card').hidden")
        rows = page.js("[...document.querySelectorAll('#card .alternative')].map(row => [row.querySelector('.id').textContent,"
                       "row.querySelector('.p').textContent, row.className])")
        expect_same(rows[0][2], "alternative chosen")  # greedy
        before = server.post({"prompt": PROMPT}, "/tokenize").json["tokens"]
        made = server.ask(prompt=PROMPT, max_tokens=2, temperature=0, return_token_ids=True)
        branch = before + made["choices"][0]["token_ids"] + [int(rows[1][0])]
        branched = book.run(lambda: page.click("#card li:nth-of-type(2) button"))
        wanted = server.text(prompt=branch, max_tokens=12, temperature=0)
        known = server.post({"tokens": branch}, "/detokenize").json["prompt"]
        expect_same(branched, known + wanted)
        page.click("#score")
        page.until("!document.getElementById('score-result').hidden")
        sums = page.js("document.getElementById('score-sums').innerText")
        told = json.loads(run([book.program, "score", book.demo, "-p", branched, "--json"]))
        bits = -told["logprob"] / math.log(2)
        for label, wanted in (("log-prob", told["logprob"]), ("perplexity", told["perplexity"]), ("bits per byte", bits / told["n_bytes"]),
                              ("bits per token", bits / told["n_tokens"])):
            shown = float(re.search(rf"{label}\s*(-?[\d.]+)", sums)[1])  # with three digits at least
            expect(math.isclose(shown, wanted, rel_tol=6e-3), label, shown, wanted)
        expect(f"log-prob\n{told['logprob']:.3f}" in sums, sums, told)
        page.click("#undo")
        expect_same(page.js(TEXT), text)


def run(command, env=None):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True, timeout=300 * SLOWER,
                          env={**os.environ, **(env or {})}).stdout


CHECKS = {"continue": True, "again": True, "score": True, "stop": True, "undo": False, "copy-curl": False, "copy-link": False}


@case
def the_server_goes_and_comes_back(make):
    """Away: what came is kept, what needs the server is off, all else works, also behind a reload; and then it goes on."""
    with make as book:
        page, port = book.page, book.server.port
        page.until("!!navigator.serviceWorker.controller")
        page.until("caches.match('/').then(Boolean)")
        book.set(temperature=0.5)
        write_long(book)
        expect_same(page.js(IDLE), False)  # it streams
        book.server.end(signal.SIGKILL)
        expect(page.until(AWAY, 60).startswith(f"The server is away: nothing answers at 127.0.0.1:{port}."), page.js(AWAY))
        page.until(IDLE)
        text = page.js(TEXT)
        expect(text.startswith(PROMPT) and len(text) > len(PROMPT), text)
        expect_same(page.js(f"Object.fromEntries({list(CHECKS)}.map(id => [id, document.getElementById(id).disabled]))"), CHECKS)
        alone(book, text)
        page.reload()
        page.until(AWAY)
        expect_same((page.js(TEXT), page.js("document.getElementById('set-temperature').value")), (text, "0.5"))
        alone(book, text)
        book.serve("--port", port)
        page.until(READY, 60)
        expect_same((page.js(TEXT), page.js(AWAY), page.js(NOTICE)), (text, "", False))
        book.set(max_tokens=3)
        page.click("#text")
        longer = book.go_on()
        expect(longer.startswith(text) and longer != text, longer)
        page.reload()
        page.until(READY)
        expect_same(page.js(TEXT), longer)
        page.click("#undo")
        expect_same(page.js(TEXT), text)
        page.click("#undo")
        expect_same(page.js(TEXT), PROMPT)


def alone(book, text):
    """Editing, undoing, looking at tokens: nothing of that asks the server; a branch would, and does nothing."""
    page = book.page
    page.click("#text")
    page.key("End", CONTROL)
    page.type("!")
    expect_same(page.js(TEXT), text + "!")
    page.key("z", CONTROL)
    expect_same(page.js(TEXT), text)
    page.hover("#mirror span:nth-of-type(2)")
    page.until("!document.getElementById('card').hidden")
    expect("log-prob" in page.js("document.getElementById('card').innerText"), "no card")
    page.click("#card li:nth-of-type(2) button")
    page.key("Enter", CONTROL)
    expect_same((page.js(TEXT), page.js(IDLE)), (text, True))
    page.hover("h1")
    page.until("document.getElementById('card').hidden")


@case
def all_goes_by_keyboard(make):
    with make as book:
        page = book.page
        for _ in range(12):  # from the top of the page to the text
            page.key("Tab")
            if page.js("document.activeElement.id") == "text":
                break
        page.type(PROMPT)
        text = book.go_on()
        expect(text.startswith(PROMPT) and text != PROMPT, text)
        page.key("F2")
        page.until("document.activeElement.classList.contains('alternative')")
        page.key("ArrowLeft")
        page.key("ArrowDown")
        branched = book.run(lambda: page.key("Enter"))
        expect_same((branched == text, page.js("document.activeElement.id")), (False, "text"))
        page.key("z", CONTROL)
        expect_same(page.js(TEXT), text)
        page.key("z", CONTROL | SHIFT)
        expect_same(page.js(TEXT), branched)
        book.set(max_tokens=250)
        page.js("document.getElementById('continue').focus()")
        page.key("Enter")
        page.until(f"document.activeElement.id === 'stop' && {TEXT}.length > {len(branched)}")  # the focus is not lost
        page.key("Enter")
        page.until(IDLE)
        expect_same(page.js("document.activeElement.id"), "continue")
        book.comes_to("tfrun_requests_running", 0)


@case
def the_machine_is_shown(make):
    with make as book:
        page, server = book.page, book.server
        page.click("#machine > summary")
        page.until("document.querySelectorAll('.tile').length === 6")
        book.set(max_tokens=120, n=4)
        page.click("#text")
        page.type(PROMPT)
        page.key("Enter", CONTROL)
        page.until("[...document.querySelectorAll('.tile')].some(tile => /tokens.s/.test(tile.textContent) &&"
                   "Number(tile.children[1].textContent) > 0)")
        page.until(IDLE)
        page.until("document.querySelectorAll('#timeline rect.tick').length >= 120")
        expect_same(page.js("document.querySelectorAll('.variant').length"), 4)
        expect("--profile" in page.js("document.getElementById('measure-note').textContent"), "how to get the rest is not said")
        if shutil.which("dot"):
            page.until("document.getElementById('graph').shadowRoot?.querySelectorAll('title').length > 10")


@case
def times_are_shown_in_graph_roofline_and_table(make):
    """With --profile and a calibration of this host."""
    env = {"XDG_CACHE_HOME": str(make.folder)}
    with make.flags("--profile", "--threads", "1", **env) as book:
        page, why = book.page, "document.getElementById('roofline').nextElementSibling.textContent"
        page.click("#machine > summary")
        page.until(f"{why}.includes('tfrun calibrate')", 60)
        run([book.program, "calibrate", book.demo, "--quick", "--quiet", "--threads", "1"], env)
        page.click("#measure")
        page.until("document.querySelectorAll('#profile-rows tr').length > 5", 60)
        if shutil.which("gnuplot"):
            page.until("document.getElementById('roofline').shadowRoot?.textContent.includes('FLOPs for each byte')", 60)
        if shutil.which("dot"):
            shadow = "document.getElementById('graph').shadowRoot"
            page.until(f"/25 % of the time/.test({shadow}?.textContent)", 60)
            page.until("document.getElementById('graph').ariaLabel.includes('most took')")
            titles = page.js(f"[...{shadow}.querySelectorAll('title')].map(node => node.textContent)")
            expect(any(re.match(r"h\.\*\.mlp\.c_fc linear.*% of the time; each .*FLOP", title) for title in titles), titles)
            page.click("input[value=prefill]")
            page.until(f"/128 rows/.test({shadow}.textContent.replace(/\\u00a0/g, ' '))", 60)


def make(program, source_dir, folder):
    return Notebook(program, source_dir, folder)


if __name__ == "__main__":
    if len(sys.argv) > 2 and find() is None and sys.argv[2] not in WITHOUT_A_BROWSER:
        print("no chromium: skipped")
        sys.exit(SKIPPED)
    sys.exit(main(make))

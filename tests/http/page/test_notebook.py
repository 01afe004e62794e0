#!/usr/bin/env python3
"""test_notebook.py TFRUN NAME SOURCE_DIR: the page in a headless Chromium on `tfrun serve` itself, with the bundled model: what a
person does, and what the server makes of it. Skipped where there is no Chromium.

`test_notebook.py --list` prints the names. Python's own library only.
"""
import json
import math
import pathlib
import re
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from chromium import CONTROL, Browser, find  # noqa: E402
from serving import Serving  # noqa: E402
from test_page import IDLE, NOTICE, SKIPPED, TEXT  # noqa: E402

PROMPT = "The old sailor looked at the sea"


class Notebook:
    def __init__(self, program, source_dir, _folder):
        self.program, self.demo = program, source_dir / "configs" / "demo"

    def __enter__(self):
        self.server = Serving(self.program, self.demo)
        self.browser = Browser()
        self.page = self.browser.page(f"{self.server.address}/")
        self.page.until("document.getElementById('health').dataset.state === 'good'")
        return self

    def __exit__(self, kind, *_):
        errors, addresses = self.page.errors, self.page.addresses
        self.browser.__exit__()
        self.server.stop(signal.SIGKILL)
        if kind is None:
            expect_same(errors, [])
            expect_same([address for address in addresses if not re.match(r"http://127\.0\.0\.1:|data:|about:|blob:", address)], [])

    def set(self, **values):
        for name, value in values.items():
            self.page.js(f"(box => {{ box.value = {value}; box.dispatchEvent(new Event('input', {{bubbles: true}})) }})"
                         f"(document.getElementById('set-{name}'))")

    def run(self, start):
        start()
        self.page.until(IDLE)
        expect_same(self.page.js(NOTICE), False)
        return self.page.js(TEXT)

    def go_on(self):
        return self.run(lambda: self.page.key("Enter", CONTROL))


@case
def stop_frees_the_slot_at_once(make):
    with make as book:
        page, server = book.page, book.server
        book.set(max_tokens=450)
        page.click("#text")
        page.type(PROMPT)
        page.key("Enter", CONTROL)
        page.until(f"{TEXT}.length > {len(PROMPT) + 20}")
        page.key("Escape")
        page.until(IDLE)
        text = page.js(TEXT)
        server.until(lambda: server.serving["running"] == 0, "that nothing runs", 5)
        serving = server.serving
        expect_same(serving["cancelled_decode"], 1)
        expect(serving["cancelled_steps_max"] <= 2, serving)
        expect(serving["generation_tokens"] < 440, serving)
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
        expect_same(text, PROMPT + json.loads(run(command))["results"][0]["text"])
        page.hover("#mirror span:nth-of-type(3)")
        page.until("!document.getElementById('card').hidden")
        rows = page.js("[...document.querySelectorAll('#card .alternative')].map(row => [row.querySelector('.id').textContent,"
                       "row.querySelector('.p').textContent, row.className])")
        expect_same(rows[0][2], "alternative chosen")  # greedy
        before = server.get("/tokenize", {"prompt": PROMPT})["tokens"]
        made = server.get("/v1/completions", {"prompt": PROMPT, "max_tokens": 2, "temperature": 0, "return_token_ids": True})
        branch = before + made["choices"][0]["token_ids"] + [int(rows[1][0])]
        branched = book.run(lambda: page.click("#card li:nth-of-type(2) button"))
        wanted = server.get("/v1/completions", {"prompt": branch, "max_tokens": 12, "temperature": 0})["choices"][0]["text"]
        known = server.get("/detokenize", {"tokens": branch})["prompt"]
        expect_same(branched, known + wanted)
        page.click("#score")
        page.until("!document.getElementById('score-result').hidden")
        shown = float(re.search(r"log-prob\s*(-[\d.]+)", page.js("document.getElementById('score-sums').innerText"))[1])
        told = json.loads(run([book.program, "score", book.demo, "-p", branched, "--json"]))
        expect(math.isclose(shown, told["logprob"], abs_tol=6e-4), shown, told)
        page.key("z", CONTROL) if page.js("document.activeElement.id === 'text'") else page.click("#undo")
        page.click("#undo")
        expect_same(page.js(TEXT), text)


def run(command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True, timeout=120).stdout


@case
def the_server_goes_and_comes_back(make):
    with make as book:
        page, server = book.page, book.server
        book.set(max_tokens=450)
        page.click("#text")
        page.type(PROMPT)
        page.key("Enter", CONTROL)
        page.until(f"{TEXT}.length > {len(PROMPT) + 20}")
        port = server.port
        server.stop(signal.SIGKILL)
        page.until(NOTICE)
        expect("What came is kept" in page.js(NOTICE) or "The server is gone" in page.js(NOTICE), page.js(NOTICE))
        text = page.js(TEXT)
        expect(text.startswith(PROMPT) and len(text) > len(PROMPT), text)
        page.click("#continue")
        page.until(f"({NOTICE} || '').startsWith('The server is gone: nothing answers at 127.0.0.1:{port}.')")
        expect_same(page.js(TEXT), text)
        book.server = Serving(book.program, book.demo, port=port)
        page.reload()
        page.until("document.getElementById('health').dataset.state === 'good'")
        expect_same(page.js(TEXT), text)


@case
def the_machine_is_shown(make):
    with make as book:
        page = book.page
        page.click("#machine > summary")
        page.until("document.querySelectorAll('.tile').length === 6")
        book.set(max_tokens=120, n=4)
        page.click("#text")
        page.type(PROMPT)
        page.key("Enter", CONTROL)
        page.until("[...document.querySelectorAll('.tile')].some(tile => /tokens.s/.test(tile.textContent) && Number(tile.children[1].textContent) > 0)")
        page.until(IDLE)
        page.until("document.querySelectorAll('#timeline rect.tick').length >= 120")
        expect_same(page.js("document.querySelectorAll('.variant').length"), 4)
        graph = page.until("document.getElementById('graph').shadowRoot?.querySelectorAll('title').length || !document.getElementById('graph').checkVisibility()")
        expect(graph, "no graph")


def make(program, source_dir, folder):
    return Notebook(program, source_dir, folder)


if __name__ == "__main__":
    if len(sys.argv) > 2 and find() is None:
        print("no chromium: skipped")
        sys.exit(SKIPPED)
    sys.exit(main(make))

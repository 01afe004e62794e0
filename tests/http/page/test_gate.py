#!/usr/bin/env python3
"""test_gate.py TFRUN NAME SOURCE_DIR: what the page on `tfrun serve` itself says before anything is generated: of API keys, and of
models that write no text. Skipped where there is no Chromium.

`test_gate.py --list` prints the names. Python's own library only.
"""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "app"), str(HERE.parent)]
from cases import case, expect, expect_same, main  # noqa: E402
from chromium import CONTROL, find  # noqa: E402
from notebook import PROMPT, Notebook  # noqa: E402
from page_terms import AWAY, IDLE, NOTICE, READY, SKIPPED, TEXT  # noqa: E402

HEALTH = "document.getElementById('health').textContent.trim()"
SAID = "document.getElementById('key-said').textContent"
BOX = "document.getElementById('key-box').open"


def type_key(page, key, ending):
    page.js("(box => { box.focus(); box.select() })(document.getElementById('key'))")
    page.type(key)
    if ending:
        page.key(ending)


@case
def a_key_is_judged_where_it_is_typed(make):
    book = make.flags(TFRUN_API_KEYS="the-right-key")
    book.comes_up = BOX
    with book:
        page, wrong = book.page, "This key is not one of this server\u2019s."
        page.until(f"{HEALTH} === 'needs an API key'")
        type_key(page, "the-wrong-key", "Enter")
        page.until(f"{SAID} === {json.dumps(wrong)} && {HEALTH} === 'wrong API key'")
        expect_same((page.js("document.getElementById('key').ariaInvalid"), page.js(BOX)), ("true", True))
        type_key(page, "\u043a\u043b\u044e\u0447", "Enter")  # no header can hold it: that is not a server that is away
        page.until(SAID)
        expect_same((page.js(SAID), page.js(AWAY), page.js(HEALTH)), (wrong, "", "wrong API key"))
        page.js("document.getElementById('continue').click()")
        page.until(f"{NOTICE} && !document.body.classList.contains('busy')")
        expect("not one of this server's" in page.js(NOTICE), page.js(NOTICE))
        type_key(page, "the-right-key", None)  # pasted: nobody presses Enter
        page.until(f"{READY} && !{BOX}")
        expect_same((page.js(NOTICE), page.js(SAID), page.js("document.activeElement.id")), (False, "", "text"))
        book.set(max_tokens=3)
        page.type(PROMPT)
        text = book.go_on()
        expect(text.startswith(PROMPT) and text != PROMPT, text)
        page.click("#key-box summary")
        type_key(page, "the-wrong-key", "Tab")
        page.until(f"{SAID} === {json.dumps(wrong)}")
        type_key(page, "the-right-key", "Tab")
        page.until(f"{READY} && !{BOX}")


UNABLE, OFF = "document.getElementById('unable').textContent", ("continue", "score", "again", "copy-curl")


def cannot_write(make, model, *said):
    """What the page says at once; Ctrl Enter and a Length that is too long change nothing."""
    with make.of(model) as book:
        page = book.page
        why = page.until(UNABLE)
        expect(all(words in why for words in said) and "Continue and Score are off." in why, why)
        page.click("#text")
        page.type("ab")
        page.key("Enter", CONTROL)
        expect_same([name for name in OFF if not page.js(f"document.getElementById('{name}').disabled")], [])
        expect_same((page.js(TEXT), page.js(NOTICE), page.js(IDLE)), ("ab", False, True))
        if page.js("document.getElementById('tokenizer').checkVisibility()"):
            page.until("document.getElementById('token-count').textContent.startsWith('2 tokens')")
        expect_same(page.js("document.getElementById('room-note').textContent"), "")
        page.click("#machine > summary")
        page.until("document.querySelectorAll('.tile').length === 6")
        expect_same(book.server.metric("tfrun_requests_running"), 0)


@case
def a_model_without_a_tokenizer_is_told_at_once(make):
    model = make.folder / "bare"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).write_bytes((make.demo / name).read_bytes())
    cannot_write(make, model, "This model has no tokenizer", "POST /v1/completions")


@case
def a_classifier_is_told_at_once(make):
    model = make.demo.parents[1] / "tests" / "model" / "text" / "single"
    make.flags("--trust", model.parent)
    cannot_write(make, model, "(GPT2ForSequenceClassification) has no language model head", "POST /classify", "POST /v1/embeddings")


def make(program, source_dir, folder):
    return Notebook(program, source_dir, folder)


if __name__ == "__main__":
    if len(sys.argv) > 2 and find() is None:
        print("no chromium: skipped")
        sys.exit(SKIPPED)
    sys.exit(main(make))

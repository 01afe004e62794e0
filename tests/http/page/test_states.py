#!/usr/bin/env python3
"""test_states.py TFRUN NAME SOURCE_DIR BUILD_DIR: the page in states that one after the other bring it to, before the stand-in
(page_stand_in.py): a second run behind typed text, a server that changed, a link pasted over a session. Skipped where there is no
Chromium.

`test_states.py --list` prints the names. Python's own library only.
"""
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "app"))
from cases import SLOWER, case, expect, expect_same, main  # noqa: E402
from chromium import CONTROL, find  # noqa: E402
from page_terms import IDLE, NOTICE, SKIPPED, TEXT  # noqa: E402
from visit import Visit  # noqa: E402

LAYER = "document.getElementById('mirror').textContent"


def watch(page, name):
    """Everything that an element comes to say, in window.told."""
    page.js("(node => { window.told = []; new MutationObserver(() => told.push(node.textContent))"
            f".observe(node, {{childList: true, characterData: true, subtree: true}}) }})(document.getElementById('{name}'))")


@case
def typed_text_stands_once_in_the_layer(tool):
    """Type, Continue, type, Continue: the layer has the text of the area, at every step and in every colour."""
    with Visit(tool) as visit:
        page = visit.page
        visit.write("The ship")
        visit.set("max_tokens", 3)
        visit.run()
        for colour in ("plain", "rank", "surprisal"):
            page.js(f"document.querySelector('input[value={colour}]').click()")
            page.click("#text")
            page.key("End", CONTROL)
            page.type(" went on")
            visit.run()
            expect_same(page.js(LAYER), visit.text)
            expect_same(page.js("[...document.querySelectorAll('#mirror span')].at(-1).textContent"), " the")


@case
def colours_change_while_tokens_come(tool):
    """More tokens have come than are drawn: nothing fails, and all are coloured in the end."""
    with Visit(tool) as visit:
        page = visit.page
        visit.server.delay = 0.01
        visit.write("The ship")
        visit.set("max_tokens", 300)
        page.click("#continue")
        page.until(f"{TEXT}.length > 20")
        expect(not page.js(IDLE), "the run has ended before a colour changed")
        page.js("(async () => { for (let i = 0; i < 60; i++) { document.querySelectorAll('input[name=colour]')[i % 3].click();"
                "await new Promise(resolve => setTimeout(resolve, 3)) } })()")
        page.until(IDLE)
        page.js("document.querySelector('input[value=rank]').click()")
        expect_same(page.js("[...document.querySelectorAll('#mirror span')].filter(span => !/^l[0-4]/.test(span.className)).length"), 0)


@case
def the_first_link_leads_to_the_text(tool):
    with Visit(tool) as visit:
        page = visit.page
        visit.write("Once")
        page.js("document.querySelector('.skip').focus()")
        page.key("Enter")
        page.until("location.hash === '#text'")
        page.until("document.activeElement.id === 'text'")
        page.key("End", CONTROL)
        page.type("!")
        expect_same((visit.text, page.js(NOTICE)), ("Once!", False))
        page.until("sessionStorage['tfrun.page']?.includes('Once!')")
        page.reload()
        visit.ready()
        expect_same((visit.text, page.js(NOTICE)), ("Once!", False))


@case
def a_link_over_a_session_brings_its_own(tool):
    """Nothing of the old text is left to be seen; Undo brings it back. What is no link is said, and takes nothing away."""
    with Visit(tool) as visit:
        page = visit.page
        visit.write("Then")
        visit.set("n", 2)
        visit.set("max_tokens", 2)
        visit.run()
        visit.set("n", 1)
        page.click("#score")
        page.until("!document.getElementById('score-result').hidden")
        fragment = "btoa(JSON.stringify({text: 'Another'}))"
        page.js(f"location.hash = {fragment}")
        page.until(f"{TEXT} === 'Another'")
        expect_same(page.js("['variants', 'score-result'].map(id => document.getElementById(id).hidden)"), [True, True])
        expect_same(page.js("document.getElementById('again').disabled"), True)
        page.click("#undo")
        expect_same(visit.text, "Then")
        page.js("location.hash = btoa(JSON.stringify([1]))")
        page.until(NOTICE)
        expect("damaged" in page.js(NOTICE) and visit.text == "Then", page.js(NOTICE), visit.text)


@case
def a_copy_says_what_became_of_it(tool):
    with Visit(tool) as visit:
        page = visit.page
        page.js("Object.defineProperty(navigator, 'clipboard', {value: {writeText: async text => void (window.copied = text)}})")
        visit.write("Once")
        watch(page, "copy-link")
        page.js("(button => { button.click(); button.click() })(document.getElementById('copy-link'))")
        page.until("told.includes('Copied') && told.includes('Copy link')")
        expect_same(page.js("new Promise(resolve => setTimeout(resolve, 1600)).then(() => told.at(-1))"), "Copy link")
        page.js("document.getElementById('more').open = true")
        visit.set("bias", "{262")
        page.js("window.copied = ''")
        page.click("#copy-curl")
        page.until(NOTICE)
        expect(page.js(NOTICE).startswith("Logit bias: write JSON"), page.js(NOTICE))
        expect_same(page.js("window.copied"), "")


@case
def another_server_at_the_same_address_is_noticed(tool):
    """It began while nobody asked: its name, its limits and what it can't do are those that are shown."""
    with Visit(tool) as visit:
        page = visit.page
        visit.ready()
        visit.server.info |= {"model": "the-next-one", "n_positions": 256, "max_n": 4}
        page.until("document.getElementById('model').textContent === 'the-next-one'", 60)
        expect_same(page.js("['max_tokens', 'n'].map(name => document.getElementById('set-' + name).max)"), ["256", "4"])
        visit.server.info |= {"class": "GPT2ForSequenceClassification"}
        page.until("document.getElementById('unable').textContent.includes('GPT2ForSequenceClassification')", 60)
        expect_same(page.js("document.getElementById('continue').disabled"), True)


@case
def the_meter_counts_what_the_run_began_with(tool):
    """Once more, from a text that filled half of the context: the half that is replaced is not counted twice."""
    with Visit(tool) as visit:
        page, half = visit.page, 600
        visit.server.script, visit.server.delay = [" and", " then"], 0.001
        visit.write("The ship")
        visit.set("max_tokens", half)
        visit.run()
        page.until(f"document.getElementById('room-text').textContent === '{half + 2} / 1,024'")
        watch(page, "room-text")
        visit.run("#again")
        page.until(f"document.getElementById('room-text').textContent === '{half + 2} / 1,024'")
        shown = [int(text.split(" / ")[0].replace(",", "")) for text in page.js("told")]
        expect(shown and max(shown) <= half + 2, shown)


@case
def a_screen_reader_is_told_all_of_a_text(tool):
    """Of a run that ends before the next turn to speak too."""
    with Visit(tool) as visit:
        page = visit.page
        visit.write("The ship")
        visit.set("max_tokens", 7)
        watch(page, "live")
        visit.run()
        page.until("told.join('').includes('7 tokens')")
        told = " ".join(page.js("told"))
        for word in ("and", "then", "the", "sea", "was", "calm."):
            expect(word in told, word, told)
        expect("length reached: 7 tokens." in told, told)


@case
def a_server_that_says_nothing_is_asked_once(tool):
    """One that is stopped takes connections and answers none: no question comes behind one that has no answer yet."""
    with Visit(tool) as visit:
        page, server = visit.page, visit.server
        visit.ready()
        server.lets_metrics.clear()
        page.click("#machine > summary")
        waited = time.monotonic() + 60 * SLOWER
        while server.n_metrics == 0 and time.monotonic() < waited:
            time.sleep(0.05)
        page.js("new Promise(resolve => setTimeout(resolve, 2500))")
        expect_same(server.n_metrics, 1)
        server.lets_metrics.set()
        page.until("document.querySelectorAll('.tile').length === 6")
        page.errors[:] = [error for error in page.errors if "Content Security Policy" not in error]  # of the stand-in's hostile picture


@case
def a_reload_while_tokens_come_keeps_them(tool):
    """Text, what is known of its tokens, and the way back; Regenerate begins where that run began."""
    with Visit(tool) as visit:
        page = visit.page
        visit.write("The ship")
        visit.set("max_tokens", 300)
        page.click("#continue")
        page.until(f"{TEXT}.length > 40")
        page.reload()
        visit.ready()
        text = visit.text
        expect(text.startswith("The ship and then the sea was calm.") and page.js(IDLE), text)
        expect_same(page.js(LAYER), text)
        page.hover("#mirror span:nth-of-type(2)")
        page.until("!document.getElementById('card').hidden")
        page.hover("h1")
        page.click("#undo")
        expect_same(visit.text, "The ship")
        page.click("#redo")
        expect_same(visit.text, text)
        visit.set("max_tokens", 2)
        visit.run("#again")
        expect_same(visit.text, "The ship and then")


def make(_program, _source_dir, _folder):
    return sys.argv[4]


if __name__ == "__main__":
    if len(sys.argv) > 2 and find() is None:
        print("no chromium: skipped")
        sys.exit(SKIPPED)
    sys.exit(main(make))

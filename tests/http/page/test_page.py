#!/usr/bin/env python3
"""test_page.py TFRUN NAME SOURCE_DIR BUILD_DIR: the page at / in a headless Chromium, before a server that answers what a real one
seldom does (page_stand_in.py). Skipped where there is no Chromium.

`test_page.py --list` prints the names. Python's own library only.
"""
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from chromium import CONTROL, SHIFT, find  # noqa: E402
from page_terms import AWAY, IDLE, NOTICE, READY, SKIPPED, TEXT  # noqa: E402
from visit import Visit  # noqa: E402


@case
def output_is_text_whatever_is_in_it(tool):
    script = [" <img src=x onerror=\"document.title='owned'\">", "</textarea><script>alert(1)</script>", " {{7*7}}",
              "bytes:\\xF0\\x9F", "bytes:\\x98\\x80", "\u00e9", "\r", "\n"]
    with Visit(tool, script=script, dribble=True) as visit:
        visit.write("Say")
        visit.set("max_tokens", len(script))
        visit.run()
        expect_same(visit.text, "Say <img src=x onerror=\"document.title='owned'\"></textarea><script>alert(1)</script> {{7*7}}"
                                "\U0001F600\u00e9\n\n")
        page = visit.page
        expect_same(page.js("document.images.length + document.scripts.length"), 1)
        expect_same(page.js("document.getElementById('mirror').textContent"), visit.text)
        expect_same(page.js("getComputedStyle(mirror).height === getComputedStyle(document.getElementById('text')).height"), True)
        expect("stand-in" in page.js("document.title"), page.js("document.title"))
        refused = page.js("(() => { try { document.body.innerHTML = '<b>x</b>'; return 'taken' } catch (e) { return e.name } })()")
        expect_same(refused, "TypeError")
        page.errors.clear()  # that one


@case
def what_goes_wrong_is_a_sentence_and_the_text_stays(tool):
    with Visit(tool, refuse=(429, "the queue is full.", [("Retry-After", "7")])) as visit:
        visit.write("Once")
        server, page = visit.server, visit.page
        visit.run()
        expect_same(page.js(NOTICE), "The server has too much to do: the queue is full. Try again in 7 seconds.")
        server.refuse = None
        server.break_after = 3
        visit.run()
        expect("broke off" in page.js(NOTICE), page.js(NOTICE))
        expect_same(visit.text, "Once and then the")
        server.break_after, server.fault = None, "the model gave NaN"
        visit.run()
        expect("the model gave NaN" in page.js(NOTICE), page.js(NOTICE))
        kept = visit.text
        port, address = server.server_address[1], server.address
        server.close()
        visit.run()
        expect(page.until(AWAY).startswith("The server is away: nothing answers at"), page.js(AWAY))
        expect_same(visit.text, kept)
        expect_same(page.js("document.getElementById('health').textContent.trim()"), "server away")
        page.click("#text")
        page.key("End", CONTROL)
        page.type("!")
        expect_same(page.js("[...document.querySelectorAll('[hidden]')].filter(node => node.checkVisibility()).length"), 0)
        page.js("dispatchEvent(new Event('pagehide'))")
        visit.server = visit.serve(port)
        expect_same(visit.server.address, address)
        page.until(READY)
        expect_same((page.js(NOTICE), page.js(AWAY)), (False, ""))
        page.reload()
        expect_same(visit.text, kept + "!")


@case
def a_reload_forgets_nothing(tool):
    """Text, colours and numbers, both ways of Undo, what Regenerate repeats and the ids that a branch begins with."""
    with Visit(tool) as visit:
        page = visit.page
        visit.write("The ship")
        visit.set("max_tokens", 3)
        visit.set("n", 2)
        visit.run()
        visit.set("n", 1)
        page.click(".variant:nth-of-type(2) button")
        page.js("document.querySelector('input[value=rank]').click()")
        page.key("End", CONTROL)
        page.type("!")
        edited = visit.text
        page.key("z", CONTROL)
        whole = visit.text
        layer = "document.getElementById('mirror').outerHTML.replace(' at', '')"  # but for the cursor, which is elsewhere
        before = page.js(layer)
        page.reload()
        visit.ready()
        expect_same((visit.text, page.js(layer)), (whole, before))
        expect_same(page.js("document.querySelectorAll('.variant').length"), 2)
        page.click("#redo")
        expect_same(visit.text, edited)
        for _ in range(2):
            page.click("#undo")
        expect_same(visit.text, "The ship")
        page.click("#redo")
        page.hover("#mirror span:nth-of-type(2)")
        page.until("!document.getElementById('card').hidden")
        page.click("#card li:nth-of-type(1) button")
        page.until(IDLE)
        ids = visit.server.words
        expect_same(visit.asked()[-1]["prompt"], [ids[word] for word in ("The", " ship", " then", " other")])
        page.reload()
        visit.ready()
        visit.run("#again")
        expect_same(visit.asked()[-1]["prompt"], visit.asked()[-2]["prompt"])


@case
def the_copy_is_of_this_page_alone(tool):
    """What the browser keeps for when the server is away goes as soon as something else answers there."""
    with Visit(tool) as visit:
        page = visit.page
        visit.ready()
        page.until("!!navigator.serviceWorker.controller")
        page.until("caches.keys().then(names => names.length === 1)")
        visit.server.refuse_page = 502
        page.reload()
        visit.ready()  # a proxy whose server is away
        visit.server.lets_page.clear()
        page.reload()
        visit.ready()  # a server that takes the connection, and no more
        visit.server.lets_page.set()
        visit.server.refuse_page, visit.server.page, visit.server.policy = None, b"<title>another</title>", "default-src 'self'"
        page.reload()
        expect_same(page.js("document.title"), "another")
        page.until("navigator.serviceWorker.getRegistrations().then(all => all.length === 0)")
        page.until("caches.keys().then(names => names.length === 0)")


@case
def a_key_is_asked_for_and_kept_in_memory_alone(tool):
    with Visit(tool, key="s3cret") as visit:
        page = visit.page
        page.until("document.getElementById('key-box').open")
        page.js("document.getElementById('key').focus()")
        page.type("s3cret")
        page.key("Tab")
        visit.ready()
        visit.write("Hello")
        visit.run()
        expect(visit.text.startswith("Hello and then"), visit.text)
        page.js("dispatchEvent(new Event('pagehide'))")
        expect("Hello" in page.js("JSON.stringify(localStorage)"), "no session")
        expect("s3cret" not in page.js("JSON.stringify(localStorage) + location.href + document.cookie"), "the key is kept")
        page.reload()
        page.until("document.getElementById('health').dataset.state === 'locked'")


@case
def tokens_are_seen_and_branched(tool):
    with Visit(tool) as visit:
        page = visit.page
        visit.write("The ship")
        visit.set("max_tokens", 5)
        visit.run()
        whole = visit.text
        page.hover("#mirror span:nth-of-type(3)")
        page.until("!document.getElementById('card').hidden")
        card = page.js("document.getElementById('card').innerText")
        expect("\u00b7the" in card and "\u00b7other" in card and "F0 9F" in card and "log-prob" in card, card)
        page.click("#card li:nth-of-type(2) button")
        page.until(IDLE)
        expect_same(visit.text, "The ship and then other and then the sea was")
        ids = visit.server.words
        expect_same(visit.asked()[-1]["prompt"], [ids[word] for word in ("The", " ship", " and", " then", " other")])
        page.key("z", CONTROL)
        expect_same(visit.text, whole)
        page.key("z", CONTROL | SHIFT)
        expect(visit.text.startswith("The ship and then other"), visit.text)
        page.key("z", CONTROL)
        page.hover("h1")
        page.until("document.getElementById('card').hidden")
        keys_reach_the_alternatives(visit)
        branch_within_a_character(visit)


def keys_reach_the_alternatives(visit):
    page = visit.page
    page.js("(t => { t.focus(); t.setSelectionRange(10, 10) })(document.getElementById('text'))")
    page.until("document.getElementById('token-body').innerText.startsWith('\u00b7and')")
    page.key("ArrowRight")
    for _ in range(3):
        page.key("ArrowRight")
    page.until("document.getElementById('token-body').innerText.startsWith('\u00b7then')")
    page.key("F2")
    expect_same(page.js("document.activeElement.className"), "alternative chosen")
    page.key("ArrowRight")
    page.until("document.activeElement.ariaLabel.startsWith('\u00b7the,')")
    page.key("ArrowDown")
    expect(page.js("document.activeElement.ariaLabel").startswith("\u00b7other"), page.js("document.activeElement.ariaLabel"))
    page.key("Enter")
    page.until(IDLE)
    expect(visit.text.startswith("The ship and then other and"), visit.text)
    page.key("z", CONTROL)


def branch_within_a_character(visit):
    """The first half of an emoji is taken; the model says the other half: the text has the whole one."""
    page = visit.page
    visit.server.script = ["bytes:\\x98\\x80", " ends"]
    page.hover("#mirror span:nth-of-type(2)")
    page.until("!document.getElementById('card').hidden")
    page.click("#card button[aria-label^='\\\\xF0']")
    page.until(IDLE)
    expect(visit.text.startswith("The ship and\U0001F600 ends"), visit.text)


@case
def several_side_by_side_one_is_taken(tool):
    with Visit(tool) as visit:
        page = visit.page
        visit.write("Then")
        visit.set("n", 3)
        visit.set("max_tokens", 3)
        visit.run()
        expect_same(page.js("[...document.querySelectorAll('.variant-text')].map(node => node.textContent)"),
                    [" and then the", " then the sea", " the sea was"])
        expect_same(visit.text, "Then")
        page.click(".variant:nth-of-type(2) button")
        expect_same(visit.text, "Then then the sea")
        page.click("#undo")
        expect_same(visit.text, "Then")
        visit.set("n", 1)
        page.click("#lock")
        visit.run("#again")
        visit.run("#again")
        expect_same(visit.text, "Then and then the")
        seeds = [request["seed"] for request in visit.asked()]
        expect(seeds[-1] == seeds[-2] and seeds[0] == seeds[-1], seeds)


@case
def score_tokens_and_limits(tool):
    with Visit(tool) as visit:
        page = visit.page
        visit.write("The sea was calm and <b>blue</b>")
        page.click("#score")
        page.until("!document.getElementById('score-result').hidden")
        request = visit.asked()[-1]
        expect_same((request["echo"], request["max_tokens"]), (True, 0))
        sums = page.js("document.getElementById('score-sums').innerText")
        expect("perplexity" in sums and "bits per byte" in sums, sums)
        expect_same(page.js("document.querySelectorAll('#mirror span').length"), 6)
        expect_same(page.js("document.querySelector('input[name=colour]:checked').value"), "surprisal")
        page.click("#tokenizer summary")
        page.until("document.querySelectorAll('.chip').length === 6")
        expect("\u00b7<b>blue</b>" in page.js("document.getElementById('chips').innerText"), "no such chip")
        page.click(".chip")
        expect_same(page.js("(area => [area.selectionStart, area.selectionEnd])(document.getElementById('text'))"), [0, 3])
        visit.set("max_tokens", 1020)
        page.until("document.getElementById('meter').classList.contains('over')")
        note = page.js("document.getElementById('room-note').textContent")
        expect("6 + 1,020 tokens are 2 more than the context" in note and "set Length to 1,018" in note, note)


@case
def pictures_are_copied_without_what_runs(tool):
    with Visit(tool) as visit:
        page = visit.page
        visit.ready()
        page.click("#machine > summary")
        inside = "document.getElementById('graph').shadowRoot"
        page.until(f"{inside} && {inside}.childElementCount")
        names = f"[...{inside}.querySelectorAll('*')].map(node => node.localName).join(' ')"
        expect_same(page.js(names), "svg g g title rect text")
        expect_same(page.js(f"{inside}.querySelector('title').textContent"), "attention: 2 MFLOP")
        expect_same(page.js(f"getComputedStyle({inside}.querySelector('text')).fill"), "rgb(1, 2, 3)")
        expect_same(page.js(f"getComputedStyle({inside}.querySelector('rect')).fill"), "rgb(18, 52, 86)")
        given = f"[...{inside}.querySelectorAll('*')].flatMap(node => [...node.attributes].map(one => one.name))"
        expect_same(page.js(f"{given}.filter(name => /^on|href/.test(name))"), [])
        refused = [error for error in page.errors if "Content Security Policy" in error]  # what ran nowhere
        expect(len(refused) == len(page.errors) and any("event handler" in error for error in refused), page.errors)
        page.errors.clear()
        expect("stand-in" in page.js("document.title"), page.js("document.title"))


@case
def the_machine_shows_what_there_is_and_how_to_get_the_rest(tool):
    nodes = [{"name": name, "kernel": "k", "ms": ms, "share": ms / 10, "flops": ms * 1e9, "bytes": ms * 2e6}
             for name, ms in (("h.0.attn", 1), ("h.1.attn", 2), ("lm_head", 4), ("embed", 0.5))]
    with Visit(tool) as visit:
        page, server = visit.page, visit.server
        visit.ready()
        page.click("#machine > summary")
        page.until("document.getElementById('measure-note').textContent.startsWith('Start the server with --profile')")
        expect_same(page.js("document.getElementById('measure').hidden"), True)
        server.info["profile"] = True
        page.reload()  # it is open again
        why = "document.getElementById('roofline').nextElementSibling.textContent"
        page.until(f"{why} === 'no such route'")
        server.pictures["/tfrun/v1/profile"] = ({"phases": {"decode": {"nodes": nodes}}, "doubts": "two were slow"},)
        roofline = b"<svg xmlns='http://www.w3.org/2000/svg'><text>roof</text></svg>"
        server.pictures["/tfrun/v1/roofline.svg"] = roofline, "image/svg+xml"
        page.click("#measure")
        page.until("document.getElementById('roofline').shadowRoot?.textContent.includes('roof')")
        page.until(f"{why}.startsWith('These roofs may not hold: two were slow.')")
        page.until("document.querySelectorAll('#profile-rows tr').length === 3")
        expect_same(page.js("document.querySelectorAll('#profile-rows tr')[1].innerText.split(/\\s+/).join(' ')"),
                    "h.*.attn k 3 40.0 % 1,000 2")
        page.until("document.getElementById('graph').ariaLabel.endsWith('most took lm_head 53.3 %, h.*.attn 40.0 %, embed 6.67 %')")
        page.look("light", 360, 800)
        page.until("document.documentElement.scrollWidth === 360")
        page.errors[:] = [error for error in page.errors if "Content Security Policy" not in error]


@case
def a_session_a_link_and_a_shell_command(tool):
    with Visit(tool) as visit:
        page, text = visit.page, "It's \u00e9 \U0001F600 'quoted' $HOME `x` \\n"
        page.js("Object.defineProperty(navigator, 'clipboard', {value: {writeText: async text => void (window.copied = text)}})")
        visit.write(text)
        visit.set("temperature", "0.35")
        page.click("#copy-curl")
        command = page.until("window.copied")
        expect("'\\''" in command and "$TFRUN_API_KEY" not in command, command)
        body = re.search(r"-d '(.*)'$", command, re.DOTALL)[1].replace("'\\''", "'")
        expect_same((json.loads(body)["prompt"], json.loads(body)["temperature"]), (text, 0.35))
        page.js("window.copied = ''")
        page.click("#copy-link")
        link = page.until("window.copied")
        page.until("localStorage['tfrun.page']")
        page.open("about:blank")
        page.open(link)
        visit.ready()
        expect_same((visit.text, page.js("document.getElementById('set-temperature').value + location.hash")), (text, "0.35"))
        page.open("about:blank")
        page.open(f"{visit.server.address}/#broken!")
        visit.ready()
        page.until(f"{NOTICE} || {TEXT}")
        expect_same(visit.text, text)


@case
def easy_to_read_and_to_reach(tool):
    audit = (HERE / "page_audit.js").read_text(encoding="utf-8")
    with Visit(tool) as visit:
        page = visit.page
        visit.write("The sea was calm")
        visit.run()
        page.click("#score")
        page.until("!document.getElementById('score-result').hidden")
        page.js("for (const part of document.querySelectorAll('#tokenizer, #machine, #controls details')) part.open = true")
        page.until("document.querySelectorAll('.tile').length")
        for scheme in ("light", "dark"):
            for width in (1280, 800, 360):
                page.look(scheme, width, 800)
                expect_same((scheme, width, page.js(audit)), (scheme, width, []))
        page.look("light", 1280, 860)
        tab_order_is_that_of_the_page(page)
        nameless = [node for node in page.send("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]
                    and any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", ()))
                    and not node.get("name", {}).get("value") and node["role"]["value"] not in ("RootWebArea", "generic")]
        expect_same([node["role"]["value"] for node in nameless], [])
        page.errors[:] = [error for error in page.errors if "Content Security Policy" not in error]  # of the stand-in's hostile picture


def tab_order_is_that_of_the_page(page):
    page.js("document.getElementById('text').blur(); window.getSelection().removeAllRanges(); window.scrollTo(0, 0)")
    wanted = page.js("""[...document.querySelectorAll('a[href], summary, button:enabled, input:enabled, textarea')]
        .filter(node => node.tabIndex >= 0 && node.checkVisibility() && (node.type !== 'radio' || node.checked))
        .map(node => node.id || node.textContent.trim())""")
    seen = []
    page.js("(body => { body.tabIndex = -1; body.focus(); body.removeAttribute('tabindex') })(document.body)")
    for _ in wanted:
        page.key("Tab")
        seen.append(page.js("document.activeElement.id || document.activeElement.textContent.trim()"))
        ring = page.js("(s => s.outlineStyle !== 'none' || s.boxShadow !== 'none' || document.activeElement.type === 'radio' ||"
                       "document.activeElement.id === 'text')(getComputedStyle(document.activeElement))")
        expect(ring, seen[-1], "shows no focus")
    expect_same([name for name in wanted if name not in seen], [])


def make(_program, _source_dir, _folder):
    return sys.argv[4]


if __name__ == "__main__":
    if len(sys.argv) > 2 and find() is None:
        print("no chromium: skipped")
        sys.exit(SKIPPED)
    sys.exit(main(make))

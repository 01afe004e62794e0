"""visit.py - the page in a headless Chromium before a server that answers what a real one seldom does (page_stand_in.py)."""
import json
import pathlib
import re

from cases import expect_same
from chromium import Browser
from page_stand_in import StandIn
from page_terms import IDLE, READY, TEXT


class Visit:
    """A page on a stand-in server; when it is left, nothing in it may have failed or asked elsewhere."""

    def __init__(self, build_dir, **server):
        folder = pathlib.Path(build_dir) / "core" / "app" / "http" / "page"
        policy = "".join(re.findall(r'"([^"]*)"', (folder / "page_data.c").read_text().split(".policy =")[1]))
        self.page_file, self.policy = (folder / "page.html").read_bytes(), policy
        self.worker = (folder / "offline.js").read_bytes()
        self.server = self.serve(**server)
        self.browser = Browser()

    def serve(self, port=0, **given):
        server = StandIn(self.page_file, self.policy, port)
        server.worker = self.worker
        for name, value in given.items():
            setattr(server, name, value)
        return server

    def __enter__(self):
        self.page = self.browser.page()
        self.page.open(f"{self.server.address}/")
        return self

    def __exit__(self, kind, *_):
        own = (self.server.address, "data:", "blob:", "about:")
        outside = [address for address in self.page.addresses if not address.startswith(own)]
        errors = self.page.errors
        self.browser.__exit__()
        self.server.close()
        if kind is None:
            expect_same(errors, [])
            expect_same(outside, [])

    def ready(self):
        self.page.until(READY)

    def write(self, text):
        self.ready()
        self.page.click("#text")
        self.page.type(text)

    def set(self, name, value):
        self.page.js(f"(box => {{ box.value = {json.dumps(value)}; box.dispatchEvent(new Event('input', {{bubbles: true}})) }})"
                     f"(document.getElementById('set-{name}'))")

    def run(self, button="#continue"):
        self.page.click(button)
        self.page.until(IDLE)

    @property
    def text(self):
        return self.page.js(TEXT)

    def asked(self, path="/v1/completions"):
        return [request for where, request in self.server.requests if where == path]

"""notebook.py - the page in a headless Chromium on `tfrun serve` itself, for tests of what a person does there."""
import re
import time

from cases import expect, expect_same
from chromium import CONTROL, Browser
from page_terms import IDLE, NOTICE, READY, TEXT
from serving import Server

PROMPT = "The old sailor looked at the sea"


class Notebook:
    def __init__(self, program, source_dir, folder):
        self.program, self.demo, self.folder = program, source_dir / "configs" / "demo", folder
        self.given, self.model, self.comes_up = {"flags": (), "env": {}}, self.demo, READY

    def flags(self, *flags, **env):
        self.given = {"flags": flags, "env": env}
        return self

    def of(self, model):
        self.model = model
        return self

    def serve(self, *more):
        self.server = Server(self.program, self.model, self.folder, *self.given["flags"], *more, env=self.given["env"])

    def __enter__(self):
        self.serve()
        self.browser = Browser()
        self.page = self.browser.page(f"http://127.0.0.1:{self.server.port}/")
        self.page.until(self.comes_up)
        return self

    def __exit__(self, kind, *_):
        addresses = self.page.addresses
        errors = [error for error in self.page.errors if "inline style" not in error]  # of the graph as it came: not taken
        self.browser.__exit__()
        self.server.__exit__()
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

    def comes_to(self, name, value, seconds=5):
        end = time.monotonic() + seconds
        while (now := self.server.metric(name)) != value:
            expect(time.monotonic() < end, name, now)

    def go_on(self):
        return self.run(lambda: self.page.key("Enter", CONTROL))

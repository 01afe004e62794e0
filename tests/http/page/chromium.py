"""chromium.py - drives Debian's Chromium by the DevTools protocol over a pipe, with Python's own library alone.

A browser belongs to a `with`; its pages answer `js`, take keys and pointers as a person would give them, and keep what they logged.
"""
import base64
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time

SLOWER = int(os.environ.get("TFRUN_TEST_PATIENCE", "1"))
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36,
        "End": 35, "F2": 113, "Backspace": 8}
ALT, CONTROL, SHIFT = 1, 2, 8
# Becomes the browser once the two pipes are where the protocol has them: 3 to read, 4 to write.
ENDS = """import fcntl, os, sys
pipes = [int(word) for word in sys.argv[1:3]]
moved = [fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, 20) for pipe in pipes]
for pipe in pipes:
    os.close(pipe)
os.dup2(moved[0], 3)
os.dup2(moved[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find():
    """The program, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    def __init__(self, width=1280, height=860):
        self.folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        to_read, self.to = os.pipe()
        self.back, from_write = os.pipe()
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            [sys.executable, "-c", ENDS, str(to_read), str(from_write), find(), "--headless=new", "--remote-debugging-pipe",
             "--disable-gpu", "--no-first-run", "--mute-audio", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--force-color-profile=srgb", "--disable-background-networking", f"--user-data-dir={self.folder.name}",
             f"--window-size={width},{height}", *root],
            pass_fds=(to_read, from_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(from_write)
        self.replies, self.pages, self.last = {}, {}, 0
        threading.Thread(target=self.read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.send("Browser.close")
            self.process.wait(10)
        except Exception:  # whatever happened to it, it has to go
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def read(self):
        """A thread's work: messages end with a NUL; replies go to whoever waits, events to their page."""
        rest = b""
        while block := os.read(self.back, 1 << 16):
            *whole, rest = (rest + block).split(b"\0")
            for message in map(json.loads, whole):
                if "id" in message:
                    self.replies.pop(message["id"]).put(message)
                elif message.get("sessionId") in self.pages:
                    self.pages[message["sessionId"]].happened(message["method"], message["params"])

    def send(self, method, session=None, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self.replies[self.last] = waiting = queue.Queue()
        os.write(self.to, json.dumps(message).encode() + b"\0")
        reply = waiting.get(timeout=60 * SLOWER)
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']['message']}")
        return reply["result"]

    def page(self, address=None):
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            page.send(f"{domain}.enable")
        if address:
            page.open(address)
        return page


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session
        self.errors, self.addresses = [], []

    def send(self, method, **params):
        return self.browser.send(method, self.session, **params)

    def happened(self, method, params):
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error" and params["entry"]["source"] != "network":
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.addresses.append(params["request"]["url"])

    def open(self, address):
        self.send("Page.navigate", url=address)
        is_blank = json.dumps(address == "about:blank")
        self.until(f"document.readyState === 'complete' && (location.href === 'about:blank') === {is_blank}")

    def reload(self):
        self.js("window.old = true")
        self.send("Page.reload")
        self.until("!window.old && document.readyState === 'complete'")

    def js(self, text):
        """The value of an expression; a promise is waited for."""
        reply = self.send("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in reply:
            raise RuntimeError(f"{text}: {reply['exceptionDetails'].get('exception', {}).get('description')}")
        return reply["result"].get("value")

    def until(self, text, seconds=60 * SLOWER):
        end = time.monotonic() + seconds
        while True:
            try:
                if value := self.js(text):
                    return value
            except RuntimeError:  # between two documents there is none
                pass
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {text}")
            time.sleep(0.02)

    def key(self, name, modifiers=0):
        code = KEYS.get(name, ord(name.upper()) if len(name) == 1 else 0)
        event = {"key": name, "code": name if name in KEYS else f"Key{name.upper()}", "windowsVirtualKeyCode": code,
                 "modifiers": modifiers}
        text = {"Enter": "\r"}.get(name, name if len(name) == 1 else "") if not modifiers & (CONTROL | ALT) else ""
        self.send("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text):
        for sign in text:
            self.send("Input.dispatchKeyEvent", type="char", text=sign)

    def place(self, selector):
        """The middle of the first line of an element, in the window."""
        box = self.js("(node => { node.scrollIntoView({block: 'nearest'}); const box = node.getClientRects()[0];"
                      "return box && [box.x + box.width / 2, box.y + box.height / 2] })"
                      f"(document.querySelector({json.dumps(selector)}))")
        assert box, f"{selector} is not to be seen"
        return box

    def point(self, x, y, kind="mouseMoved", **more):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def hover(self, selector):
        x, y = self.place(selector)
        self.point(x - 1, y)
        self.point(x, y)

    def click(self, selector):
        x, y = self.place(selector)
        self.point(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.point(x, y, kind, button="left", clickCount=1)

    def look(self, scheme="light", width=1280, height=860, scale=1, motion="no-preference"):
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme},
                                                          {"name": "prefers-reduced-motion", "value": motion}])
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def picture(self, path, **more):
        data = self.send("Page.captureScreenshot", format="png", **more)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

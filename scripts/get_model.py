#!/usr/bin/env python3
"""Fetch a published GPT-2 checkpoint from the Hugging Face hub.

    scripts/get_model.py gpt2                  into configs/gpt2, where configs/gpt2.json looks for it
    scripts/get_model.py distilgpt2 -o DIR     into DIR, which `tfrun DIR` runs as it is

Files arrive as NAME.part and are renamed when their checksum is right; a second call goes on where the first one
stopped. Only Python's standard library is used.
"""
import argparse
import hashlib
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HUB = "https://huggingface.co"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REPOSITORIES = {
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distilgpt2": "distilbert/distilgpt2",
}
FILES = ("config.json", "vocab.json", "merges.txt", "generation_config.json", "model.safetensors")
OPTIONAL = ("generation_config.json",)
CHUNK = 1 << 20
TIMEOUT_S = 30
ATTEMPTS = 3


class Failure(Exception):
    pass


class KeepHeaders(urllib.request.HTTPRedirectHandler):
    """Stops at the first redirect: the hub's own answer carries the checksum, the storage behind it does not."""

    def redirect_request(self, *_):
        return None


def describe(url):
    """Size and checksum of a file as the hub states them: (bytes or None, "sha256"/"git"/None, digest)."""
    opener = urllib.request.build_opener(KeepHeaders)
    request = urllib.request.Request(url, method="HEAD")
    try:
        headers = opener.open(request, timeout=TIMEOUT_S).headers
    except urllib.error.HTTPError as error:
        if error.code not in (301, 302, 303, 307, 308):
            raise
        headers = error.headers
        if not headers.get("X-Linked-Etag") and headers.get("Location", "").startswith("/"):
            return describe(urllib.parse.urljoin(url, headers["Location"]))
    digest = (headers.get("X-Linked-Etag") or headers.get("ETag") or "").removeprefix("W/").strip('"')
    kind = {64: "sha256", 40: "git"}.get(len(digest))
    size = headers.get("X-Linked-Size") or headers.get("Content-Length")
    return (int(size) if size else None), kind, digest


def checksum(path, kind):
    """SHA-256 of the bytes, or the id that git gives a file (small files have no other checksum on the hub)."""
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(b"blob %d\0" % os.path.getsize(path))
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class Progress:
    """One line on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, name, total, done):
        self.name, self.total, self.start, self.begun = name, total, time.monotonic(), done
        self.is_terminal = sys.stderr.isatty()
        self.next = self.start + (0 if self.is_terminal else 10)

    def show(self, done, is_last=False):
        now = time.monotonic()
        if now < self.next and not (is_last and self.is_terminal):
            return
        self.next = now + (0.2 if self.is_terminal else 10)
        rate = (done - self.begun) / max(now - self.start, 1e-6) / 1e6
        share = f" of {self.total / 1e6:.1f}" if self.total else ""
        text = f"{self.name}: {done / 1e6:.1f}{share} MB, {rate:.1f} MB/s"
        end = "\n" if is_last or not self.is_terminal else ""
        print(("\r\033[K" if self.is_terminal else "") + text, end=end, file=sys.stderr, flush=True)


def open_part(path, flags):
    """Never by way of a link: the folder may be somebody else's, and the link lead to what is the user's."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def fetch_part(url, part, name, total):
    """Appends what is missing to `part`."""
    if os.path.islink(part):
        os.remove(part)
    have = os.path.getsize(part) if os.path.exists(part) else 0
    if total is not None and have == total:
        return
    if total is not None and have > total:
        os.remove(part)
        have = 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        if have and answer.status != 206:  # the server sends all of it again
            have = 0
        progress = Progress(name, total, have)
        with open(part, "ab" if have else "wb", opener=open_part) as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress.show(have)
        progress.show(have, is_last=True)
    if total is not None and have != total:
        raise OSError(f"the connection ended after {have} of {total} bytes")


def fetch(url, directory, name):
    path = os.path.join(directory, name)
    part = path + ".part"
    try:
        total, kind, digest = describe(url)
    except urllib.error.HTTPError as error:
        if error.code != 404 or name not in OPTIONAL:
            raise
        return
    if os.path.exists(path):
        if kind is None or checksum(path, kind) == digest:
            print(f"{name}: already there", file=sys.stderr)
            return
        raise Failure(f"{path}: differs from the published file; move it away and call again")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            fetch_part(url, part, name, total)
            break
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError) or attempt == ATTEMPTS:
                raise
            print(f"{name}: {error}; trying again", file=sys.stderr)
            time.sleep(2 * attempt)
    if kind is not None and checksum(part, kind) != digest:
        os.remove(part)
        raise Failure(f"{name}: the checksum is not the published one; what arrived was removed, call again")
    os.replace(part, path)
    print(f"{name}: {kind or 'no checksum published, size'} ok", file=sys.stderr)


def what_to_do(name, repository, directory):
    files = "\n".join(f"    {HUB}/{repository}/resolve/main/{file}" for file in FILES)
    return f"""What you can do:
  - call again: a download goes on where it stopped; set https_proxy if this network needs a proxy;
  - on a machine with a network fetch
{files}
    and put the files into {directory}
  - work without the published weights: tfrun init configs/{name}.json -o DIR --seed 1 makes a random
    checkpoint of the same shape, and configs/demo is a small trained model."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(REPOSITORIES), metavar="NAME", help=", ".join(REPOSITORIES))
    parser.add_argument("-o", "--output", metavar="DIR", help="folder of the model; default configs/NAME")
    arguments = parser.parse_args()
    repository = REPOSITORIES[arguments.name]
    directory = arguments.output or os.path.join(ROOT, "configs", arguments.name)
    url, is_new = HUB, not os.path.isdir(directory)
    try:
        os.makedirs(directory, exist_ok=True)
        for file in FILES:
            url = f"{HUB}/{repository}/resolve/main/{file}"
            fetch(url, directory, file)
    except KeyboardInterrupt:
        sys.exit("stopped; call again to go on")
    except Failure as failure:
        sys.exit(str(failure))
    except OSError as error:  # URLError, HTTPError and time-outs are among them
        if error.filename and not isinstance(error, urllib.error.HTTPError):
            sys.exit(f"{error.filename}: {error.strerror}")
        reason = getattr(error, "reason", None) or error
        sys.exit(f"cannot fetch {url}: {reason}\n{what_to_do(arguments.name, repository, directory)}")
    finally:
        if is_new and os.path.isdir(directory) and not os.listdir(directory):
            os.rmdir(directory)
    print(f"{arguments.name} is in {directory}: run it with `tfrun {directory}`"
          + ("" if arguments.output else f" or `tfrun configs/{arguments.name}.json`"), file=sys.stderr)


if __name__ == "__main__":
    main()

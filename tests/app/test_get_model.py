#!/usr/bin/env python3
"""scripts/get_model.py against a small server that answers like the hub: redirects, ranges, checksums, failures."""
import hashlib
import http.server
import importlib.util
import os
import sys
import tempfile
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SPEC = importlib.util.spec_from_file_location("get_model", os.path.join(ROOT, "scripts", "get_model.py"))
get_model = importlib.util.module_from_spec(SPEC)
sys.dont_write_bytecode = True
SPEC.loader.exec_module(get_model)

WEIGHTS = bytes(range(256)) * 9000
SMALL = b'{"model_type": "gpt2"}'


class Hub(http.server.BaseHTTPRequestHandler):
    requests = []
    wrong_checksum = False
    cut_after = None

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.requests.append((self.path, self.headers.get("Range")))
        self.answer(True)

    def answer(self, with_body):
        name = self.path.rsplit("/", 1)[1]
        if name == "generation_config.json":
            self.send_error(404)
        elif name == "model.safetensors" and self.path.startswith("/openai-community"):
            digest = "0" * 64 if Hub.wrong_checksum else hashlib.sha256(WEIGHTS).hexdigest()
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/storage/model.safetensors")
            self.send_header("X-Linked-Etag", f'"{digest}"')
            self.send_header("X-Linked-Size", str(len(WEIGHTS)))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_bytes(WEIGHTS if name == "model.safetensors" else SMALL, with_body)

    def send_bytes(self, data, with_body):
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        if data is SMALL:
            self.send_header("ETag", '"' + hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() + '"')
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if with_body:
            end = len(data) if Hub.cut_after is None else Hub.cut_after
            Hub.cut_after = None
            self.wfile.write(data[start:end])


class GetModel(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.folder = tempfile.TemporaryDirectory()
        get_model.HUB = f"http://127.0.0.1:{self.server.server_port}"
        get_model.time.sleep = lambda _: None
        Hub.requests, Hub.wrong_checksum, Hub.cut_after = [], False, None
        sys.stderr = open(os.devnull, "w")

    def tearDown(self):
        sys.stderr.close()
        sys.stderr = sys.__stderr__
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def call(self):
        sys.argv = ["get_model.py", "gpt2", "-o", self.folder.name]
        get_model.main()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def weights(self):
        with open(self.path("model.safetensors"), "rb") as file:
            return file.read()

    def test_fetches_all_files_once(self):
        self.call()
        self.assertEqual(self.weights(), WEIGHTS)
        self.assertEqual(sorted(os.listdir(self.folder.name)),
                         ["config.json", "merges.txt", "model.safetensors", "vocab.json"])
        count = len(Hub.requests)
        self.call()
        self.assertEqual(len(Hub.requests), count)

    def test_goes_on_where_it_stopped(self):
        with open(self.path("model.safetensors.part"), "wb") as file:
            file.write(WEIGHTS[:1000])
        self.call()
        self.assertEqual(self.weights(), WEIGHTS)
        self.assertIn(("/storage/model.safetensors", "bytes=1000-"), Hub.requests)

    def test_a_link_in_the_place_of_a_part_is_not_followed(self):
        mine = self.path("mine")
        for name in ("model.safetensors.part", "vocab.json.part"):
            with open(mine, "wb") as file:
                file.write(b"mine")
            os.symlink(mine, self.path(name))
        self.call()
        with open(mine, "rb") as file:
            self.assertEqual(file.read(), b"mine")
        self.assertEqual(self.weights(), WEIGHTS)
        self.assertFalse(os.path.islink(self.path("model.safetensors")))

    def test_a_cut_connection_is_taken_up_again(self):
        for name in ("config.json", "vocab.json", "merges.txt"):
            with open(self.path(name), "wb") as file:
                file.write(SMALL)
        Hub.cut_after = 5000
        self.call()
        self.assertEqual(self.weights(), WEIGHTS)

    def test_a_wrong_checksum_is_refused(self):
        Hub.wrong_checksum = True
        with self.assertRaisesRegex(SystemExit, "the checksum is not the published one"):
            self.call()
        self.assertFalse(os.path.exists(self.path("model.safetensors")))
        self.assertFalse(os.path.exists(self.path("model.safetensors.part")))

    def test_a_changed_file_is_not_overwritten(self):
        with open(self.path("config.json"), "wb") as file:
            file.write(b"mine")
        with self.assertRaisesRegex(SystemExit, "differs from the published file; move it away"):
            self.call()

    def test_without_network_it_says_what_to_do(self):
        get_model.HUB = "http://127.0.0.1:9"
        with self.assertRaisesRegex(SystemExit, "(?s)cannot fetch .*What you can do:.*tfrun init configs/gpt2.json"):
            self.call()

    def test_a_failure_leaves_no_empty_folder(self):
        get_model.HUB, folder = "http://127.0.0.1:9", self.path("new")
        sys.argv = ["get_model.py", "gpt2", "-o", folder]
        with self.assertRaises(SystemExit):
            get_model.main()
        self.assertFalse(os.path.exists(folder))


if __name__ == "__main__":
    unittest.main()

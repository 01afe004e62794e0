#!/usr/bin/env python3
"""test_trust.py TFRUN NAME SOURCE_DIR MARKER_PLUGIN: folders that somebody else made. What their configs may not say is refused before
it happens, and the sentence names the flag that allows it (docs/security.md).

`test_trust.py --list` prints the names. Python's own library only.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main

CONFIG = 3
READS = {  # what a config may name inside of its folder: key -> (flag, a file there is for it)
    "model.weights": "--weights", "model.adapter": "--adapter", "model.tokenizer": "--tokenizer", "model.prefix": "--prefix", "input.file": "--file",
    "input.cache_load": "--cache-load", "input.encoder_states": "--encoder-states", "sampling.assistant": "--assistant",
    "eval.data": "--data",
}
ADMITS = {  # whom a server answers, and who learns what others ask: key -> (a value that gives something away, its flag)
    "serve.api_key_file": ("keys", "--api-key-file FILE"), "serve.cors_origins": (["https://a.example"], "--cors-origin ORIGIN"),
    "serve.allow_hosts": ("*", "--allow-host NAME"), "serve.log_prompts": (True, "--log-prompts"), "serve.share_prefix": ("all", "--share-prefix WITH"),
}


class Box:
    """The program, a folder that was downloaded, and one beside it that is the user's."""

    def __init__(self, program, source_dir, folder):
        self.program, self.source = program, source_dir
        self.golden = source_dir / "tests" / "model" / "golden" / "base"
        self.plugin = pathlib.Path(sys.argv[4]) if len(sys.argv) > 4 else None
        self.mark, self.own, self.model = folder / "mark", folder / "own", folder / "downloaded"
        shutil.copytree(self.golden, self.model)
        self.own.mkdir()

    def write(self, tfrun, **fields):
        """The model folder's config with these settings of tfrun."""
        path = self.model / "config.json"
        config = {**json.loads((self.golden / "config.json").read_text()), **fields, "tfrun": tfrun}
        path.write_text(json.dumps(config))
        return self.model

    def start(self, *words, **environment):
        environment = {**os.environ, "TFR_TEST_MARK": str(self.mark), **environment}
        return subprocess.run([self.program, *map(str, words)], capture_output=True, timeout=120 * SLOWER, stdin=subprocess.DEVNULL,
                              env=environment, cwd=self.own)

    def ok(self, *words, **environment):
        done = self.start(*words, **environment)
        expect(done.returncode == 0, words, done.returncode, done.stderr)
        return done.stdout.decode()

    def refused(self, *words, names):
        """Exit code 3, nothing on stdout, and a sentence with all of `names`."""
        done = self.start(*words)
        text = done.stderr.decode()
        expect_same((done.returncode, done.stdout), (CONFIG, b""))
        for name in names:
            expect(name in text, name, "is not in", text)
        return text


def nested(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


IDS = ["--prompt-ids", "1,2", "-n", "2"]


@case
def the_table_is_the_one_tested(box):
    table = (box.source / "core" / "config" / "config.def").read_text()
    found = dict(re.findall(r'TFR_OPTION\(\w+,\s*"([\w.]+)",\s*[A-Z]+,\s*([A-Z]+),', table))
    expect_same({key for key, trust in found.items() if trust == "READS"}, set(READS))
    expect_same({key for key, trust in found.items() if trust == "WRITES"},
                {"output.file", "output.cache_save", "output.force", "observe.trace", "serve.access_log"})
    expect_same({key for key, trust in found.items() if trust == "ADMITS"}, set(ADMITS))
    expect_same({trust for trust in found.values()}, {"FREE", "READS", "WRITES", "LOADS", "ADMITS", "COUNTS", "USER"})
    paths = set(re.findall(r'TFR_OPTION\(\w+,\s*"([\w.]+)",\s*PATH,\s*FREE', table))
    expect_same(paths, set())


@case
def paths_outside_of_the_folder_are_refused(box):
    (box.own / "file").write_text("x")
    (box.model / "link").symlink_to(box.own / "file")
    (box.model / "linked").symlink_to(box.own)
    (box.model / "dangling").symlink_to(box.own / "not there")
    for key, flag in READS.items():
        for path in (str(box.own / "file"), "../own/file", "link", "linked/file", "linked/not there", "dangling", "../not there",
                     "no folder/../../own/file", "/dev/zero", "/proc/self/environ", ".." + "/.." * 40 + "/etc/passwd"):
            model = box.write(nested(key, path), add_cross_attention=key == "input.encoder_states")
            box.refused(model, *IDS[2:], names=[f"tfrun.{key} = ", "not inside the folder", flag, "--trust DIR"])


@case
def pipes_and_devices_inside_are_refused(box):
    os.mkfifo(box.model / "pipe")
    box.refused(box.write({"input": {"file": "pipe"}}), names=["tfrun.input.file", "neither a file nor a folder", "--file"])


@case
def paths_inside_are_taken(box):
    (box.model / "below").mkdir()
    shutil.move(box.model / "model.safetensors", box.model / "below" / "w.safetensors")
    want = box.ok(box.golden, *IDS)
    (box.model / "link").symlink_to("below/w.safetensors")
    for path in ("below/w.safetensors", "./below/../below/w.safetensors", "link", str(box.model / "link")):
        expect_same(box.ok(box.write({"model": {"weights": path}}), *IDS), want)
    done = box.start(box.write({"model": {"weights": "no folder/w.safetensors"}}), *IDS)
    expect(done.returncode == 5 and b"not there" in done.stderr, done.stderr)  # not called untrusted: it is only missing


@case
def links_beside_the_config_are_followed(box):
    """As the cache of the Hugging Face hub has them: every file a link to a blob elsewhere."""
    want = box.ok(box.golden, *IDS)
    shutil.move(box.model / "model.safetensors", box.own / "blob")
    (box.model / "model.safetensors").symlink_to(box.own / "blob")
    expect_same(box.ok(box.model, *IDS), want)


@case
def the_flag_or_a_trusted_folder_allows_paths(box):
    shutil.move(box.model / "model.safetensors", box.own / "w.safetensors")
    model = box.write({"model": {"weights": "../own/w.safetensors"}})
    want = box.ok(box.golden, *IDS)
    expect_same(box.ok(model, *IDS, "--weights", box.own / "w.safetensors"), want)
    for trusted in (box.own, box.own.parent, "."):
        expect_same(box.ok(model, *IDS, "--trust", trusted), want)
    expect_same(box.ok(model, *IDS, "--trust", model), want)
    box.refused(model, *IDS, "--trust", box.source, names=["tfrun.model.weights", "--weights"])
    done = box.start(model, *IDS, "--trust", "nowhere")
    expect(b"--trust: nowhere: there is no such folder" in done.stderr, done.stderr)


@case
def plugins_of_a_config_are_not_loaded(box):
    if box.plugin is None:
        return
    shutil.copy(box.plugin, box.model / "kernel.so")
    shutil.copy(box.plugin, box.own / "tfr_mine.so")
    (box.model / "link.so").symlink_to(box.own / "tfr_mine.so")
    for path in ("kernel.so", "./kernel.so", str(box.model / "kernel.so"), "link.so", "../own/tfr_mine.so"):
        model = box.write({"plugins": [path]})
        for command in (["generate", model, *IDS], ["plan", model], ["config", model], ["eval", model, "--data", "-"], ["tokenize", model],
                        ["forward", model, "--in", "x", "--out", "y"], ["init", model, "-o", "new"]):
            box.refused(*command, names=["tfrun.plugins = ", "--plugin", "--trust DIR", "TFRUN_PLUGIN_PATH"])
        done = box.start("check", model)
        expect_same(done.returncode, CONFIG)
        expect(not box.mark.exists(), "the code of", path, "ran")


@case
def plugins_load_where_the_user_says_so(box):
    if box.plugin is None:
        return
    shutil.copy(box.plugin, box.model / "kernel.so")
    model = box.write({"plugins": ["kernel.so"]})
    for words, environment in ((["--trust", model], {}), (["--plugin", model / "kernel.so"], {}),
                               ([], {"TFRUN_PLUGIN_PATH": f"/nowhere:{model}"})):
        done = box.start(model, *IDS, *words, **environment)
        expect(box.mark.exists() and b"declines" in done.stderr, words, done.stderr)
        box.mark.unlink()


@case
def outputs_of_a_config_are_not_written(box):
    victim = box.own / "victim"
    victim.write_text("precious")
    new = box.own / "new"
    for output in ({"file": str(victim)}, {"file": str(new)}, {"file": "inside"}, {"file": str(victim), "force": True},
                   {"cache_save": str(new)}, {"cache_save": str(victim), "force": True}):
        model = box.write({"output": output})
        for key in output:
            flag = {"file": "--output FILE", "cache_save": "--cache-save FILE", "force": "--force or --no-force"}[key]
            box.refused(model, *IDS, names=[f"tfrun.output.{key} = ", flag, "--trust DIR"])
        box.refused("init", model, names=["tfrun.output."])
    for path in (str(victim), str(new), "inside"):
        box.refused(box.write({"observe": {"trace": path}}), *IDS, names=["tfrun.observe.trace = ", "--trace FILE", "--trust DIR"])
    expect_same((victim.read_text(), sorted(p.name for p in box.own.iterdir())), ("precious", ["victim"]))
    expect(not (box.model / "inside").exists(), "it was written")


@case
def force_of_a_config_does_not_reach_the_users_file(box):
    victim = box.own / "victim"
    victim.write_text("precious")
    model = box.write({"output": {"force": True}})
    box.refused(model, *IDS, "-o", victim, names=["tfrun.output.force = true", "--force"])
    done = box.start(model, *IDS, "-o", victim, "--no-force")
    expect(done.returncode != 0 and victim.read_text() == "precious", done.stderr)
    box.ok(model, *IDS, "-o", victim, "--force")
    expect(victim.read_text() != "precious", "--force is the user's word")


@case
def outputs_are_written_where_the_user_says_so(box):
    model = box.write({"output": {"file": "out", "force": False}})
    box.ok(model, *IDS, "--trust", model)
    expect((model / "out").exists(), "a trusted config names its output")
    box.refused(model, *IDS, "--trust", box.own, names=["tfrun.output.file"])
    box.ok(model, *IDS, "-o", box.own / "mine")
    expect((box.own / "mine").exists(), "-o is the user's word")


@case
def a_config_does_not_trust_itself(box):
    for value in ([str(box.model)], "/", ["."], []):
        text = box.refused(box.write({"trust": value, "plugins": ["x.so"]}), *IDS, names=["tfrun.trust", "only the command line", "--trust DIR"])
        expect("x.so" not in text or "plugins" in text, text)


@case
def what_only_the_command_line_says_names_its_flag(box):
    for tfrun, names in (({"serve": {"open": True}}, ["tfrun.serve.open: only the command line may say this (--open)"]),
                         ({"serve": {"listen": "unix:s"}}, ["tfrun.serve.listen: only the command line may say this (--listen unix:PATH)"]),
                         ({"runtime": {"pack_cache": "auto"}}, ["tfrun.runtime.pack_cache: only the command line may say this (--pack-cache DIR)"])):
        box.refused(box.write(tfrun), *IDS, names=names)
        box.refused(box.model, *IDS, "--trust", box.model, names=names)


@case
def a_config_does_not_say_whom_a_server_answers(box):
    (box.model / "keys").write_text("known-to-the-stranger\n")
    (box.own / "keys").write_text("known-to-the-user\n")
    for key, (value, flag) in ADMITS.items():
        model = box.write(nested(key, value))
        for command in ([model, *IDS], ["plan", model], ["serve", model]):
            box.refused(*command, names=[f"tfrun.{key}: ", f"({flag})", "--trust DIR"])
        line = next(line for line in json.loads(box.start("check", model, "--json").stdout)["options"] if line["name"] == key)
        expect_same(line["status"], "refused")
        box.ok(model, *IDS, "--trust", model)
    for tfrun in ({"serve": {"log_prompts": False, "share_prefix": "key", "cors_origins": [], "api_key_file": None}},
                  {"serve": {"log_prompts": True}, "runtime": {"threads": 1}}):
        box.ok(box.write(tfrun), *IDS, *([] if "runtime" not in tfrun else ["--trust", box.model]))
    model = box.write({"serve": {"api_key_file": "../own/keys"}})
    for trusted in [], ["--trust", box.own]:  # a folder is trusted for what it holds, any file of which would do for keys
        box.refused(model, *IDS, *trusted, names=["tfrun.serve.api_key_file"])


@case
def a_dash_is_stdin_or_a_file_of_the_folder(box):
    """Where no text comes from stdin "-" is a name like any other, in the config's folder and not in the current one."""
    shutil.copy(box.model / "model.safetensors", box.own / "-")
    for key in ("model.weights", "model.adapter", "model.prefix", "input.cache_load", "sampling.assistant", "model.tokenizer"):
        model = box.write(nested(key, "-"))
        done = box.start(*(["tokenize", model, "-p", "x"] if key == "model.tokenizer" else [model, *IDS]))
        expect(done.returncode != 0 and str(model / "-") in done.stderr.decode(), key, done.returncode, done.stderr)
    want = box.ok(box.golden, *IDS)
    shutil.move(box.own / "-", box.model / "-")
    expect_same(box.ok(box.write({"model": {"weights": "-"}}), *IDS), want)


@case
def threads_of_a_config_are_those_of_the_machine(box):
    model = box.write({"runtime": {"threads": 4096}})
    box.refused(model, *IDS, names=["tfrun.runtime.threads = 4096", "on this machine", "--threads N"])
    box.ok(model, *IDS, "--threads", "1")
    box.ok(box.write({"runtime": {"threads": 2}}), *IDS)


@case
def a_draft_model_is_held_to_the_same(box):
    shutil.copytree(box.golden, box.model / "draft")
    config = json.loads((box.golden / "config.json").read_text())
    config["tfrun"] = {"plugins": ["x.so"], "output": {"cache_save": "c"}}
    (box.model / "draft" / "config.json").write_text(json.dumps(config))
    model = box.write({"sampling": {"assistant": "draft"}})
    box.refused(model, *IDS, names=["assistant", "tfrun.plugins", "tfrun.output.cache_save"])
    box.refused(model, *IDS, "--assistant", box.model / "draft", names=["assistant", "tfrun.plugins"])


@case
def check_lists_what_is_refused(box):
    model = box.write({"plugins": ["x.so"], "output": {"file": "o", "force": True}, "input": {"file": "/dev/zero"},
                       "model": {"weights": "/etc/passwd"}})
    done = box.start("check", model, "--json")
    report = json.loads(done.stdout)
    refused = {line["name"] for line in report["options"] if line["status"] == "refused"}
    expect_same(refused, {"plugins", "output.file", "output.force", "input.file", "model.weights"})
    expect_same(done.returncode, CONFIG)


@case
def check_reads_nothing_that_is_refused(box):
    """It goes on behind a refusal, with what the folder itself holds: no word of another file comes out."""
    mine = box.own / "mine"
    mine.mkdir()
    (mine / "tokenizer.json").write_text("secret")
    (mine / "adapter_config.json").write_text("secret")
    shutil.copy(box.golden / "model.safetensors", mine / "w.safetensors")
    values = {"weights": "w.safetensors", "tokenizer": "tokenizer.json", "prefix": ".", "adapter": "."}
    for trust in {}, {"trust": [str(box.own)]}:
        model = box.write({**trust, "model": {key: str(mine / value) for key, value in values.items()}})
        done = box.start("check", model, "--json")
        report = json.loads(done.stdout)
        refused = {line["name"] for line in report["options"] if line["status"] == "refused"}
        expect_same(refused, {"model." + key for key in values} | set(trust))
        expect_same((done.returncode, report["tokenizer"], report["counts"]["refused"]), (CONFIG, [], len(refused)))
        expect_same([(line["name"], line["reason"]) for line in report["other"]], [("checkpoint", str(model / "model.safetensors"))])


if __name__ == "__main__":
    sys.exit(main(Box))

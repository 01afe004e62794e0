#!/usr/bin/env python3
"""test_graph.py TFRUN NAME SOURCE_DIR: `tfrun graph` against golden drawings of the demo model, hand sums, and laws: folded and not,
built and fused, by rank, measured.

`test_graph.py --list` prints the names; `test_graph.py TFRUN --golden SOURCE_DIR` writes the drawings anew. Python's own library
only; an SVG needs graphviz, without which its case is skipped.
"""
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

from cases import SLOWER, case, expect, expect_same, main

USAGE, MODEL, RESOURCE, SKIPPED = 2, 4, 5, 77
# Nothing in them depends on the machine: no kernel, no time.
DRAWINGS = {
    "demo_both.txt": ["--stage", "both"],
    "demo_ranks.txt": ["--stage", "both", "--ranks", "3", "--seq", "4", "--batch", "2", "--logits", "all", "--unfold"],
    "demo_built.json": ["--stage", "built", "--format", "json", "--threads", "1", "--ranks", "2"],
    "demo_built.dot": ["--stage", "built", "--format", "dot", "--ranks", "2"],
}
SHAPES = [["--rows", "1"], ["--rows", "33", "--context", "0"], ["--seq", "7", "--batch", "3", "--context", "11", "--logits", "all"]]


def draw(program, source, words):
    ran = subprocess.run([os.path.abspath(program), "graph", "configs/demo", *words], capture_output=True, text=True, cwd=source,
                         timeout=120 * SLOWER, check=True)
    return ran.stdout


class Drawer:
    def __init__(self, program, source_dir, folder):
        self.program, self.source, self.folder = program, source_dir, folder
        self.golden = source_dir / "tests" / "app" / "golden" / "graph"
        self.demo = source_dir / "configs" / "demo"

    def run(self, *words, code=0, **more):
        ran = subprocess.run([str(word) for word in (self.program, *words)], capture_output=True, text=True, timeout=120 * SLOWER, **more)
        expect(ran.returncode == code, ran.returncode, "is not exit code", code, ran.stderr)
        return ran

    def graph(self, config, *words):
        return json.loads(self.run("graph", config, "--format", "json", *words).stdout)

    def refused(self, code, *words, says, config=None, **more):
        ran = self.run("graph", config or self.demo, *words, code=code, **more)
        expect_same(ran.stdout, "")
        for word in says:
            expect(word in ran.stderr, word, "is not in", ran.stderr)


def nodes_of(picture):
    """id -> node, with its stage and rank."""
    return {node["id"]: {**node, "stage": panel["stage"], "rank": panel["rank"]}
            for panel in picture["panels"] for node in panel["nodes"]}


def ops_of(picture):
    return [node for node in nodes_of(picture).values() if node["kind"] == "op"]


# ---- drawings

@case
def drawings_are_those_that_were_looked_at(drawer):
    for name, words in DRAWINGS.items():
        want = (drawer.golden / name).read_text(encoding="utf-8")
        have = draw(drawer.program, drawer.source, words)
        expect(have == want, name, "has changed; look at it, then test_graph.py TFRUN --golden SOURCE_DIR", have)


@case
def lines_lead_from_every_box_to_those_that_read_it(drawer):
    """Walks the signs of the text: each box meets as many lines as it has inputs."""
    text = drawer.run("graph", drawer.demo, "--stage", "built", "--unfold").stdout.splitlines()
    picture = drawer.graph(drawer.demo, "--stage", "built", "--unfold")
    inputs = collections.defaultdict(set)
    for edge in picture["edges"]:
        inputs[edge["to"]].add(edge["from"])
    rows = [line for line in text if re.search("[○●]", line)]
    expect_same(len(rows), len(picture["panels"][0]["nodes"]))
    held = {}  # column -> id of the box whose line runs there
    for line, node in zip(rows, picture["panels"][0]["nodes"]):
        drawing = line[:line.index(node["name"])]
        box = re.search("[○●]", drawing).start()
        joined = {column for column, sign in enumerate(drawing) if sign in "├┼┤╯┴"}
        if held.get(box) is not None:
            joined.add(box)
        expect_same({held[column] for column in joined}, inputs[node["id"]])
        for column, sign in enumerate(drawing):
            if sign in "╯┴":
                held[column] = None
            expect(sign != "│" or held.get(column) is not None, node["name"], "a line from nowhere")
        held[box] = node["id"]


@case
def svg_is_a_picture_for_light_and_dark(drawer):
    if shutil.which("dot") is None:
        sys.exit(SKIPPED)
    for words in (["--ranks", "3"], ["--stage", "both"], ["--unfold", "--critical-path"]):
        svg = drawer.run("graph", drawer.demo, "--format", "svg", *words).stdout
        picture = drawer.graph(drawer.demo, *words)
        root = xml.etree.ElementTree.fromstring(svg)
        expect(root.tag.endswith("}svg"), root.tag)
        texts = ["".join(item.itertext()) for item in root.iter("{http://www.w3.org/2000/svg}text")]
        for node in ops_of(picture):
            expect(node["name"].removeprefix("h.*.") in texts, node["name"], "is not in the picture")
        expect("prefers-color-scheme: dark" in svg, "no dark style")
        used = set(re.findall(r'(?:fill|stroke|stop-color)="(#[0-9a-f]{6})"', svg))
        expect_same(used - set(re.findall(r"\[fill='(#[0-9a-f]{6})'\]", svg)), set())  # every colour has a dark one
        sent = sum(edge["kind"] == "message" for edge in picture["edges"])
        expect_same(svg.count('<path class="message"'), sent)


# ---- laws

@case
def law_folded_costs_what_unfolded_costs(drawer):
    for config in (drawer.demo, drawer.source / "configs" / "gpt2-xl.json"):
        for shape in SHAPES:
            for ranks in (["1"], ["3"], *([["2", "--tensor", "2"]] if config == drawer.demo else [])):
                words = [*shape, "--ranks", *ranks, "--stage", "both"]
                folded, flat = drawer.graph(config, *words), drawer.graph(config, *words, "--unfold")
                for one, other in zip(folded["panels"], flat["panels"]):
                    for key, value in one["totals"].items():
                        same = value == other["totals"][key] or (key == "predicted_us" and abs(value - other["totals"][key]) < 1e-6 * value)
                        expect(same, key, value, other["totals"][key])
                expect(len(ops_of(folded)) < len(ops_of(flat)), "nothing is folded")
                for panel in flat["panels"]:
                    ops = [node for node in panel["nodes"] if node["kind"] == "op"]
                    expect_same(panel["totals"]["flops"], sum(node["flops"] for node in ops))
                    expect_same(panel["totals"]["ops"], len(ops))


@case
def law_shards_cost_their_part_of_a_block(drawer):
    """Of each rank by hand: its heads, its columns or rows of the weights, its block sums; and the plan writes as many bytes."""
    width, inner, heads = 256, 1024, 4

    def linear(rows, inputs, outputs, each, times=1):  # with a bias where `each` counts its addition
        return (2 * rows * inputs * outputs + each * rows * outputs,
                4 * (rows * inputs + inputs * outputs + (outputs if each > 0 else 0)), 4 * rows * outputs * times)

    def wanted(rows, rank):
        here, apart, pairs = width // 2, heads // 2 if rank > 0 else 1, rows * (rows + 1) // 2
        return {"attn.c_attn": linear(rows, width, 3 * here, 1),
                "attn.kv_append": (0, 8 * rows * here, 8 * rows * here),
                "attn": (4 * pairs * here + 6 * pairs * heads // 2, 4 * rows * here + 8 * rows * here, 4 * rows * here),
                "attn.c_proj": linear(rows, here, width, 0, apart),
                "mlp.c_fc": linear(rows, width, inner // 2, 10),
                "mlp.c_proj": linear(rows, inner // 2, width, 0, apart),
                # the total so far, two blocks, bias and residual
                "mlp.sum.1": (4 * rows * width, 4 * (4 * rows * width + width), 4 * rows * width)}

    for rows in (1, 32):
        words = ["--rows", rows, "--context", 0, "--ranks", 2, "--tensor", 2, "--threads", 1]
        plan = json.loads(drawer.run("plan", drawer.demo, "--json", *words).stdout)
        for panel, rank in zip(drawer.graph(drawer.demo, *words, "--unfold")["panels"], plan["ranks"]):
            nodes = {node["name"]: node for node in panel["nodes"]}
            tasks = {task["node"]: task for task in rank["tasks"]}
            for name, costs in wanted(rows, panel["rank"]).items():
                name = f"h.3.{name}"
                if name in nodes or "sum" not in name:  # of many rows the last rank alone adds
                    expect_same((name, *(nodes[name][key] for key in ("flops", "bytes_read", "bytes_written"))), (name, *costs))
                    expect_same((name, tasks[name]["bytes_written"]), (name, costs[2]))


def fold(picture, folds):
    """Edges of an unfolded picture as a folded one should have them, by names."""
    blocks = {(item["stage"], item["rank"], layer): item for item in folds
              for layer in range(item["first_block"], item["last_block"] + 1)}

    def name(node):
        item = blocks.get((node["stage"], node["rank"], node.get("layer")))
        text = re.sub(r"^h\.\d+", "h.*", node["name"]) if item else node["name"]
        return node["stage"], node["rank"], item["id"] if item else None, text

    nodes = nodes_of(picture)
    edges = set()
    for edge in picture["edges"]:
        start, end = nodes[edge["from"]], nodes[edge["to"]]
        names = name(start), name(end)
        again = names[0][2] is not None and names[0][2] == names[1][2] and start["layer"] != end["layer"]
        edges.add((*names, "again" if again else edge["kind"]))
    return edges


@case
def law_edges_of_a_fold_are_those_of_its_blocks(drawer):
    for config in (drawer.demo, drawer.source / "tests" / "model" / "golden" / "layers_5"):
        for ranks in (["1"], ["2"], ["3"], ["2", "--tensor", "2"], ["4", "--tensor", "2"]):
            words = ["--rows", "2", "--context", "0", "--ranks", *ranks, "--stage", "both"]
            folded, flat = drawer.graph(config, *words), drawer.graph(config, *words, "--unfold")
            nodes = nodes_of(folded)

            def name(node):
                return node["stage"], node["rank"], node.get("fold"), node["name"]
            have = {(name(nodes[edge["from"]]), name(nodes[edge["to"]]), edge["kind"]) for edge in folded["edges"]}
            expect_same(len({(edge["from"], edge["to"], edge["kind"]) for edge in folded["edges"]}), len(folded["edges"]))
            expect_same(have, fold(flat, folded["folds"]))


@case
def shards_of_equal_blocks_are_drawn_once(drawer):
    """On every rank the same blocks, and their messages with them."""
    for ranks, tensor, ends in ((2, 2, {(0, 11)}), (4, 2, {(0, 5), (6, 11)}), (4, 4, {(0, 11)})):
        picture = drawer.graph(drawer.source / "configs" / "gpt2.json", "--ranks", ranks, "--tensor", tensor)
        folds = sorted((item["rank"], item["first_block"], item["last_block"]) for item in picture["folds"])
        expect_same([rank for rank, *_ in folds], list(range(ranks)))
        expect_same({(first, last) for _, first, last in folds}, ends)
        nodes = nodes_of(picture)
        sent = {(nodes[edge["from"]]["rank"], nodes[edge["to"]]["rank"]) for edge in picture["edges"]
                if edge["kind"] == "message" and nodes[edge["from"]]["name"].startswith("h.*.attn.")}
        expect_same(len(sent), ranks * (tensor - 1))


@case
def law_every_send_has_its_recv(drawer):
    for ranks in range(2, 8):
        for words in ([], ["--split", "hf"], ["--unfold"]):
            picture = drawer.graph(drawer.demo, "--ranks", ranks, *words)
            nodes = nodes_of(picture)
            messages = [edge for edge in picture["edges"] if edge["kind"] == "message"]
            ends = {"send_hidden": set(), "recv_hidden": set()}
            for node in nodes.values():
                if node.get("op") in ends:
                    ends[node["op"]].add(node["id"])
            expect_same({edge["from"] for edge in messages}, ends["send_hidden"])
            expect_same({edge["to"] for edge in messages}, ends["recv_hidden"])
            expect(messages and len(messages) == len(ends["recv_hidden"]), "messages")
            for edge in messages:
                send, recv = nodes[edge["from"]], nodes[edge["to"]]
                expect_same((send["tag"], send["peer"], send["rank"]), (recv["tag"], recv["rank"], recv["peer"]))
                expect_same(send["bytes_read"], recv["bytes_written"])


@case
def law_ranks_share_the_work_of_one(drawer):
    alone = drawer.graph(drawer.demo, "--rows", 9)["panels"][0]["totals"]["flops"]
    for ranks in (2, 3, 6):
        expect_same(sum(panel["totals"]["flops"] for panel in drawer.graph(drawer.demo, "--rows", 9, "--ranks", ranks)["panels"]),
                    alone)


@case
def law_fusion_keeps_flops_and_saves_bytes(drawer):
    for shape in SHAPES:
        built, fused = (panel["totals"] for panel in drawer.graph(drawer.demo, *shape, "--stage", "both")["panels"])
        expect_same(built["flops"], fused["flops"])
        for key in ("bytes_read", "bytes_written", "ops"):
            expect(built[key] > fused[key], key, built, fused)


@case
def law_nodes_are_those_of_the_plan(drawer):
    for shape in (["--rows", 1], ["--rows", 64]):
        plan = json.loads(drawer.run("plan", drawer.demo, "--json", "--no-lossless", "--context", 40, *shape).stdout)["ranks"][0]["tasks"]
        graph = ops_of(drawer.graph(drawer.demo, "--no-lossless", "--context", 40, "--unfold", *shape))
        for key, other in (("name", "node"), ("op", "op"), ("kernel", "kernel"), ("flops", "flops"), ("bytes_read", "bytes_read"),
                           ("bytes_written", "bytes_written"), ("predicted_us", "predicted_us")):
            expect_same([node[key] for node in graph], [task[other] for task in plan])


@case
def flops_of_gpt2_by_hand(drawer):
    picture = drawer.graph(drawer.source / "configs" / "gpt2.json", "--seq", 1024, "--logits", "all")
    n, c, h, v, layers = 1024, 768, 12, 50257, 12
    norm, pairs = 7 * n * c + 5 * n, n * (n + 1) // 2
    block = 2 * norm + 2 * n * c * 12 * c + n * 9 * c + 4 * pairs * c + 6 * pairs * h + 9 * n * 4 * c + 2 * n * c
    expect_same(picture["panels"][0]["totals"]["flops"], n * c + layers * block + norm + 2 * n * c * v)
    expect_same(picture["context"], 0)  # 128 where there is room for them
    expect_same([(item["first_block"], item["last_block"], item["times"]) for item in picture["folds"]], [(0, 11, 12)])


@case
def cross_attention_sees_the_encoder(drawer):
    config = drawer.source / "tests" / "model" / "forward" / "lm_cross_past"
    plain, cross = drawer.graph(config), drawer.graph(config, "--encoder-len", 17, "--batch", 2, "--seq", 3, "--context", 0)
    expect(not any("crossattention" in node["name"] for node in ops_of(plain)), "not asked for")
    fields = json.loads((config / "config.json").read_text())
    pairs = 2 * 3 * 17
    for node in ops_of(cross):
        if node["name"].endswith(".crossattention"):
            expect_same(node["flops"], 4 * pairs * fields["n_embd"] + 6 * pairs * fields["n_head"])
    expect_same(sum(node["times"] for node in ops_of(cross) if node["name"].endswith(".crossattention")), fields["n_layer"])


@case
def law_more_encoder_rows_take_longer(drawer):
    """Predicted times follow the bytes: at 1000 rows nothing else counts."""
    config, times = drawer.source / "configs" / "gpt2-cross-attention.json", {}
    for rows in (1, 100, 1000, 2000):
        picture = drawer.graph(config, "--encoder-len", rows)
        (times[rows],) = (node["predicted_us"] for node in ops_of(picture) if node["name"].endswith(".crossattention"))
        expect_same(picture["predicted_from"], "nominal peaks")
    expect(times[1] < times[100] < times[1000], times)
    expect(1.9 < times[2000] / times[1000] < 2.01, times)


@case
def heads_that_are_asked_for(drawer):
    config = drawer.source / "configs" / "gpt2.json"
    for head, last in (("lm", "lm_head"), ("double", "lm_head"), ("token-cls", "classifier"), ("seq-cls", "score"),
                       ("qa", "qa_outputs"), ("none", "ln_f")):
        picture = drawer.graph(config, "--head", head)
        expect_same((ops_of(picture)[-1]["name"], picture.get("left_out")),
                    (last, "multiple_choice_head" if head == "double" else None))
    for stage in ("built", "fused", "both"):
        head = drawer.run("graph", config, "--head", "double", "--stage", stage).stdout.splitlines()[0]
        expect("without multiple_choice_head (a step of its own)" in head, head)
    double = drawer.folder / "config.json"
    double.write_text(json.dumps({**json.loads(config.read_text()), "architectures": ["GPT2DoubleHeadsModel"]}))
    expect("without multiple_choice_head" in drawer.run("plan", double).stdout, "plan says nothing of the second head")
    expect_same(json.loads(drawer.run("plan", double, "--json").stdout)["left_out"], "multiple_choice_head")


@case
def words_of_the_other_commands(drawer):
    """--json, and --cache as `cost` calls the cached positions; `cost` knows --context."""
    expect_same(drawer.run("graph", drawer.demo, "--json", "--cache", 7).stdout,
                drawer.run("graph", drawer.demo, "--format", "json", "--context", 7).stdout)
    expect_same(drawer.run("plan", drawer.demo, "--cache", 7).stdout, drawer.run("plan", drawer.demo, "--context", 7).stdout)
    expect_same(drawer.run("cost", drawer.demo, "--cache", 7).stdout, drawer.run("cost", drawer.demo, "--context", 7).stdout)
    for command, both in (("graph", "--context, --cache N"), ("plan", "--context, --cache N"), ("cost", "--cache, --context N")):
        expect(both in drawer.run(command, "--help").stdout, command)
    expect("not an option" in drawer.run("generate", drawer.demo, "--context", 7, code=USAGE).stderr, "generate has no such flag")


@case
def law_the_critical_path_is_the_longest(drawer):
    config = json.loads((drawer.demo / "config.json").read_text(encoding="utf-8"))
    config["tfrun"] = {"version": 1, "parallel": {"device_map": {"0": [0, 2, 4], "1": [1, 3, 5]}}}
    to_and_fro = drawer.folder / "to_and_fro.json"  # the path crosses more often than there are ranks
    to_and_fro.write_text(json.dumps(config), encoding="utf-8")
    for model, *words in ([drawer.demo], [drawer.demo, "--ranks", 3], [drawer.demo, "--rows", 64],
                          [drawer.demo, "--ranks", 2, "--tensor", 2], [to_and_fro, "--ranks", 2]):
        picture = drawer.graph(model, "--critical-path", "--unfold", *words)
        nodes, ins = nodes_of(picture), collections.defaultdict(list)
        for edge in picture["edges"]:
            ins[edge["to"]].append(edge["from"])
        longest = {}

        def end(node):
            if node not in longest:
                longest[node] = nodes[node].get("predicted_us", 0) + max(map(end, ins[node]), default=0)
            return longest[node]
        want = max(map(end, nodes))
        path = [node for node in nodes.values() if node.get("critical")]
        expect(abs(picture["critical_path_us"] - want) <= 1e-9 * want, picture["critical_path_us"], want)
        expect(abs(sum(node["predicted_us"] for node in path) - want) <= 1e-9 * want, "the path is not as long")
        marked = [edge for edge in picture["edges"] if edge["critical"]]
        expect_same(len(marked), len(path) - 1)
        expect(all(nodes[edge[side]].get("critical") for edge in marked for side in ("from", "to")), "an edge off the path")


@case
def tables_have_the_type_of_the_checkpoint(drawer):
    """cost, graph and plan read rows of the tables in the type that they are stored in; without a checkpoint in that of --dtype."""
    gpt2 = drawer.source / "configs" / "gpt2.json"
    stored = drawer.folder / "stored"
    drawer.run("init", drawer.demo, "-o", stored, "--dtype", "f32")
    for config, dtype, size in ((drawer.demo, "f32", 2), (drawer.demo, "bf16", 2), (stored, "f32", 4), (stored, "bf16", 4), (gpt2, "f32", 4),
                                (gpt2, "bf16", 2)):
        want, words = 8 + 2 * size * (768 if config == gpt2 else 256), ["--dtype", dtype]
        for stage in ("built", "fused"):
            drawn = next(node for node in ops_of(drawer.graph(config, "--stage", stage, *words)) if node["name"] == "embed")
            expect_same(drawn["bytes_read"], want)
        planned = json.loads(drawer.run("plan", config, "--json", *words).stdout)["ranks"][0]["tasks"][0]
        expect_same((planned["node"], planned["bytes_read"]), ("embed", want))
        told = json.loads(drawer.run("cost", config, "--phase", "decode", "--json", *words).stdout)
        expect_same(told["rows"][0]["executed"]["bytes_read"], want)


@case
def many_blocks_take_no_longer_each(drawer):
    """Who waits for whom, which memory is free and which blocks are equal is found without looking at all nodes for each one."""
    fields = json.loads((drawer.source / "configs" / "gpt2.json").read_text(encoding="utf-8"))
    fields = {**{key: fields[key] for key in fields if key != "tfrun"}, "n_embd": 64, "n_head": 4, "n_inner": None}
    config, used = drawer.folder / "config.json", {}
    for n_layer in (256, 2048):
        config.write_text(json.dumps({**fields, "n_layer": n_layer}), encoding="utf-8")
        for command in ("cost", "graph", "plan"):
            before = os.times()
            drawer.run(command, config)
            after = os.times()
            used[command, n_layer] = after.children_user + after.children_system - before.children_user - before.children_system
    for command in ("cost", "graph", "plan"):
        expect(used[command, 2048] < 24 * used[command, 256], command, used)  # 8 times as many; looking at all pairs takes 64 times


# ---- measured

def trace(drawer, *words):
    file = drawer.folder / "trace.json"
    drawer.run(drawer.demo, "-p", "Once upon a time there was", "-n", 6, "--temperature", 0, "--trace", file, "--force", *words)
    return file


@case
def law_measured_times_are_those_of_the_trace(drawer):
    file = trace(drawer, "--threads", 2)
    spans = collections.defaultdict(list)
    for event in json.loads(file.read_text())["traceEvents"]:
        if event["ph"] == "X" and event["args"]["run"] > 1:  # the first one is the prompt
            spans[event["name"], event["args"]["run"]] += [event["ts"], event["ts"] + event["dur"]]
    want = collections.defaultdict(float)
    for (name, _), times in spans.items():
        want[name] += (max(times) - min(times)) / 5
    flat, folded = (drawer.graph(drawer.demo, "--measured", file, *more) for more in (["--unfold"], []))
    for node in ops_of(flat):
        expect(abs(node["measured_us"] - want[node["name"]]) < 0.01, node, want[node["name"]])
        expect(abs(node["share"] - want[node["name"]] / sum(want.values())) < 1e-3, node)
    for picture in (flat, folded):
        expect_same(picture["panels"][0]["totals"]["measured_steps"], 5)
        expect(abs(sum(node["share"] for node in ops_of(picture)) - 1) < 1e-9, "shares")
    text = drawer.run("graph", drawer.demo, "--measured", file).stdout
    expect("share" in text and "100.0 %" in text, text)


@case
def a_task_of_no_time_has_run(drawer):
    """A clock may be too coarse for it."""
    file = trace(drawer, "--threads", 1)
    whole = json.loads(file.read_text())
    for event in whole["traceEvents"]:
        if event["name"] == "h.0.ln_1":
            event["dur"] = 0
    file.write_text(json.dumps(whole))
    node = next(node for node in ops_of(drawer.graph(drawer.demo, "--unfold", "--measured", file)) if node["name"] == "h.0.ln_1")
    expect_same((node["measured_us"], node["share"]), (0, 0))


@case
def law_runs_that_lost_events_do_not_count(drawer):
    """Of two threads the first lost run 1 and some of run 2, the second a part of run 1: whole are those from 3 on."""
    file = trace(drawer, "--threads", 2)
    whole = json.loads(file.read_text())
    events = whole["traceEvents"]
    tasks = [event for event in events if event["ph"] == "X"]
    first = [event for event in tasks if event["tid"] == 0 and event["args"]["run"] == 2]
    lost = [event for event in tasks if event["tid"] == 0 and event["args"]["run"] == 1] + first[:3]
    lost += [event for event in tasks if event["tid"] == 1 and event["args"]["run"] == 1][:5]
    whole["traceEvents"] = [event for event in events if event not in lost]
    whole["traceEvents"][0]["args"]["events_overwritten"] = len(lost)
    file.write_text(json.dumps(whole))
    picture = drawer.graph(drawer.demo, "--measured", file)
    expect_same(picture["panels"][0]["totals"]["measured_steps"], 4)
    want = collections.defaultdict(list)
    for event in tasks:
        if event["args"]["run"] > 2 and event["name"] == "lm_head":
            want[event["args"]["run"]] += [event["ts"], event["ts"] + event["dur"]]
    [head] = [node for node in ops_of(picture) if node["name"] == "lm_head"]
    expect(abs(head["measured_us"] - sum(max(times) - min(times) for times in want.values()) / 4) < 0.01, head)
    drawer.refused(USAGE, "--measured", file, "--rows", 7, says=["no whole step of 7 rows"])


@case
def law_measured_ranks(drawer):
    """The example of the docs: shares of each rank add up to one, messages take from post to completion."""
    file = drawer.source / "docs" / "examples" / "trace.json"
    spans = collections.defaultdict(list)
    for event in json.loads(file.read_text())["traceEvents"]:
        if event["ph"] == "X" and event["cat"] == "message" and event["args"]["run"] > 1:
            spans[event["pid"], event["name"]].append(event["dur"])
    picture = drawer.graph(drawer.demo, "--ranks", 3, "--measured", file)
    shares = collections.Counter()
    for node in ops_of(picture):
        shares[node["rank"]] += node["share"]
        if "peer" in node:
            times = spans.pop((node["rank"], node["name"]))
            expect(abs(node["measured_us"] - sum(times) / 2) < 0.01 and len(times) == 2, node, times)
    expect_same(spans, {})
    expect(all(abs(share - 1) < 1e-9 for share in shares.values()) and len(shares) == 3, shares)


@case
def pictures_of_the_docs_are_current(drawer):
    config = drawer.source / "configs" / "gpt2.json"
    for name, ranks in (("gpt2.svg", 1), ("gpt2-3-ranks.svg", 3)):
        root = xml.etree.ElementTree.parse(drawer.source / "docs" / "pictures" / name).getroot()
        texts = ["".join(item.itertext()).replace("\xa0", " ").strip() for item in root.iter("{http://www.w3.org/2000/svg}text")]
        dot = drawer.run("graph", config, "--seq", 512, "--context", 0, "--format", "dot", "--ranks", ranks).stdout
        want = [word for word in re.findall(r">([^<>]+)<", dot) if word.strip() and not set(word) & set("&=;")]
        for word in want:
            expect(word.strip() in texts, name, "lacks", word, "; make it anew as docs/graph.md says")


@case
def refused_traces_of_something_else(drawer):
    file = trace(drawer)
    drawer.refused(USAGE, "--measured", file, "--rows", 5, says=["no step of 5 rows", "steps of 7, 1", "--rows"])
    drawer.refused(USAGE, "--measured", file, "--ranks", 2, says=["h.", "number of ranks"])
    drawer.refused(USAGE, "--measured", file, config=drawer.source / "configs" / "gpt2.json", says=["h.6.ln_1", "config"])
    drawer.refused(USAGE, "--measured", file, config=drawer.source / "tests" / "model" / "golden" / "layers_5", says=["h.5."])
    drawer.refused(USAGE, "--measured", file, "--stage", "built", says=["--measured", "fused"])
    drawer.refused(RESOURCE, "--measured", drawer.folder / "none.json", says=["none.json"])
    file.write_text("{}")
    drawer.refused(MODEL, "--measured", file, says=["traceEvents", "--trace"])
    file.write_text('{"traceEvents": []}')
    drawer.refused(MODEL, "--measured", file, says=["no events of tasks"])
    file.write_text('{"traceEvents": [{"ph": "X", "cat": "task", "name": "embed"}]}')
    drawer.refused(MODEL, "--measured", file, says=["lacks"])
    file.write_text("[")
    drawer.refused(MODEL, "--measured", file, says=["trace.json:1"])


@case
def steps_of_another_kind_are_passed_over(drawer):
    """An encoder's steps, the second head's, and what a greedy step adds to a split head stand in no graph, but in traces of it."""
    file = drawer.folder / "trace.json"
    for name, task, words in (("lm_cross", "h.0.crossattention", ["--rows", 6, "--encoder-len", 3]),
                              ("double", "h.0.attn", ["--seq", 9, "--batch", 4])):
        model = drawer.source / "tests" / "model" / "forward" / name
        drawer.run("forward", model, "--in", model / "request.safetensors", "--out", drawer.folder / f"{name}.safetensors", "--trace", file,
                   "--force")
        words += ["--context", 0, "--unfold", "--measured", file]
        picture = drawer.graph(model, *words)
        expect(next(node for node in ops_of(picture) if node["name"] == task)["measured_us"] > 0, "nothing is measured")
        document = json.loads(file.read_text())
        task_events = [event for event in document["traceEvents"] if event["name"] == task]
        document["traceEvents"] += [{**event, "name": "best"} for event in task_events]
        file.write_text(json.dumps(document))
        expect_same(drawer.graph(model, *words), picture)
        document["traceEvents"] += [{**event, "name": "h.0.other"} for event in task_events]
        file.write_text(json.dumps(document))
        drawer.refused(USAGE, *words, config=model, says=["rank 0 ran h.", "which the graph does not have there"])


# ---- refusals

@case
def refused_without_graphviz(drawer):
    environment = {**os.environ, "PATH": str(drawer.folder)}
    drawer.refused(RESOURCE, "--format", "svg", says=["graphviz", "--format dot"], env=environment)


@case
def refused_a_dot_that_fails(drawer):
    fake = drawer.folder / "dot"
    fake.write_text("#!/bin/sh\ncat > /dev/null\necho '<svg>'\nexit 3\n")
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{drawer.folder}:{os.environ['PATH']}"}
    drawer.refused(1, "--format", "svg", says=["dot failed"], env=environment)


@case
def refused_cross_attention_names_its_command(drawer):
    """--cross-attention is a question to summary; the others read add_cross_attention of the config."""
    for command in ("graph", "cost"):
        said = drawer.run(command, drawer.demo, "--cross-attention", code=USAGE).stderr
        expect("--cross-attention is not an option" in said and "(it belongs to summary)" in said, said)
        said = drawer.run(command, drawer.demo, "--encoder-len", 3, code=USAGE).stderr
        expect("set add_cross_attention there (--cross-attention is a question to `tfrun summary` alone)" in said, said)


@case
def shards_may_be_more_than_blocks(drawer):
    """A stage for each block and one more, each of so many shards; of a split head every rank has a part."""
    config = json.loads((drawer.demo / "config.json").read_text(encoding="utf-8"))
    config.update(n_layer=1, tfrun={"version": 1, "parallel": {"head": "first"}})
    one = drawer.folder / "one.json"
    one.write_text(json.dumps(config), encoding="utf-8")
    for words in (["--ranks", 4, "--tensor", 4], ["--ranks", 3, "--set", "parallel.head=split"]):
        picture = drawer.graph(one, *words)
        expect(all(any(node["kind"] == "op" for node in panel["nodes"]) for panel in picture["panels"]), "a rank without work")
    drawer.refused(USAGE, "--ranks", 6, "--tensor", 2, config=one, says=["1 block on 6 ranks: at least 2", "at most 4"])


@case
def refused_questions(drawer):
    cross = drawer.source / "tests" / "model" / "forward" / "lm_cross_past"
    for words, says in (
            (["--format", "png"], ["--format png", "txt, json, dot, svg"]),
            (["--stage", "planned"], ["--stage planned", "fused, built, both"]),
            (["--logits", "some"], ["--logits some", "last, all"]),
            (["--rows", "4", "--seq", "4"], ["--rows and --seq exclude each other"]),
            (["--rows", "5", "--batch", "2"], ["--rows 5", "multiple"]),
            (["--rows", "0"], ["--rows"]),
            (["--seq", "1000000000000"], ["1000000000000 new positions", "512", "--seq"]),
            (["--rows", "1000000000000"], ["1000000000000 new positions", "512"]),
            (["--context", str((1 << 63) - 1), "--seq", str((1 << 63) - 1), "--batch", "9"], ["512", "--context"]),
            (["--batch", "+5"], ["--batch", "+5"]),
            (["--batch", " 5"], ["--batch", " 5"]),
            (["--head", "lmm"], ['head "lmm" is none of']),
            (["--json", "--format", "dot"], ["--json and --format dot exclude each other"]),
            (["--ranks", "0"], ["--ranks"]),
            (["--ranks", "9999"], ["--ranks"]),
            (["--ranks", "8"], ["6 blocks on 8 ranks", "at most 7"]),
            (["--seq", "513"], ["512", "--context or --seq"]),
            (["--context", "512"], ["512 cached and 1 new positions", "--context"]),
            (["--encoder-len", "3"], ["add_cross_attention", "--encoder-len"]),
            (["--stage", "built", "--critical-path"], ["--critical-path", "fused"]),
            (["--temperature", "1"], ["no effect"])):
        drawer.refused(USAGE, *words, says=says)
    drawer.refused(USAGE, "--encoder-len", -1, config=cross, says=["--encoder-len"])
    drawer.refused(3, config=drawer.source / "README.md", says=["README.md"])


def write_golden(program, source):
    for name, words in DRAWINGS.items():
        (source / "tests" / "app" / "golden" / "graph" / name).write_text(draw(program, source, words), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[2:3] == ["--golden"]:
        import pathlib
        write_golden(sys.argv[1], pathlib.Path(sys.argv[3]))
        sys.exit(0)
    sys.exit(main(Drawer))

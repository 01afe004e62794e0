#!/usr/bin/env python3
"""test_layouts.py TFRUN NAME SOURCE_DIR [MPIEXEC]: `tfrun plan --net` and `--cluster` against a simulation and against ranks, and what
they refuse.

The simulation knows nothing of tfrun's formulas: it counts the weights of GPT-2 by itself, lets every rank serve what reaches it in
turn, carries messages over links, and looks when tokens come. `test_layouts.py --list` prints the names. Python's own library only.
"""
import csv
import heapq
import io
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main

GPT2 = {"gpt2": (12, 768, 12), "gpt2-medium": (24, 1024, 16)}
VOCABULARY, POSITIONS = 50257, 1024


class Plan:
    """The command, and clusters to ask about."""

    def __init__(self, program, source_dir, folder):
        self.program, self.source, self.folder = program, source_dir, folder

    def run(self, *arguments, code=0, environment=None):
        ran = subprocess.run([self.program, "plan", *map(str, arguments)], capture_output=True, env=environment, timeout=120 * SLOWER)
        if ran.returncode != code:
            raise AssertionError(f"exit code {ran.returncode}, expected {code}: {ran.stdout.decode()[-600:]}{ran.stderr.decode()}")
        return ran.stdout.decode() if code == 0 else ran.stderr.decode()

    def config(self, name="gpt2"):
        return self.source / "configs" / f"{name}.json"

    def cluster(self, **keys):
        path = self.folder / "cluster.json"
        path.write_text(json.dumps({"nodes": 8, "ranks_per_node": 2, "bandwidth_gbs": 30, "gflops": 80, "node_us": 2,
                                    "net": {"alpha_us": 25, "gbit_s": 10}, "shm": {"alpha_us": 1.5, "gb_s": 10}, **keys}))
        return path


    def calibrate_badly(self):
        """A calibration of one thread that the system opens for nobody; gives an environment with it, and its name."""
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache")}
        told = subprocess.run([self.program, "calibrate", "--show", "-t", "1"], env=environment, capture_output=True, text=True, timeout=120 * SLOWER)
        file = pathlib.Path(told.stderr.split("tfrun calibrate`: ")[1].split(": cannot open")[0])
        file.parent.mkdir(parents=True)
        file.symlink_to(file.name)
        return environment, str(file)


class Machine:
    """What pieces of a model cost on a rank, and messages between two."""

    def __init__(self, model, cluster):
        self.layers, self.width, self.heads = GPT2[model]
        self.cluster = json.loads(cluster.read_text())

    def ms(self, bytes_, flops, nodes, shares=1):
        roof = max(bytes_ / (self.cluster["bandwidth_gbs"] * 1e9), flops / (self.cluster["gflops"] * 1e9))
        return (roof / shares + nodes * self.cluster["node_us"] * 1e-6) * 1e3

    def block(self, rows, sequences, past, shares):
        weights = 12 * self.width ** 2
        seen = past + rows / sequences / 2
        return self.ms(4 * weights + sequences * past * 8 * self.width, 2 * rows * weights + 4 * rows * seen * self.width, 8, shares)

    def head(self, rows, shares):
        return self.ms(4 * VOCABULARY * self.width, 2 * rows * VOCABULARY * self.width, 1, shares)

    def embed(self, rows):
        return self.ms(12 * self.width * rows, 0, 1)

    def norm(self, rows):
        return self.ms(8 * self.width * rows, 0, 1)

    def sample(self, rows):
        return self.ms(4 * VOCABULARY * rows, 0, 0)

    def add(self, rows, shares):
        """The sums of one rank's heads to a total."""
        return self.ms(4 * self.heads * self.width * rows, 0, 1, shares)

    def link(self, bytes_, ranks):
        """ms of the way and of the bytes, between ranks that all lie on one node, or not."""
        if len({rank // self.cluster["ranks_per_node"] for rank in ranks}) == 1:
            link = self.cluster["shm"]
            return link["alpha_us"] / 1e3, bytes_ / link["gb_s"] / 1e6
        link = self.cluster["net"]
        return link["alpha_us"] / 1e3, bytes_ * 8 / link["gbit_s"] / 1e6

    def send(self, bytes_, ranks):
        return sum(self.link(bytes_, ranks))


class Simulation:
    """One replica of a layout; stages serve jobs in the order in which they come."""

    def __init__(self, machine, layout):
        self.machine, self.layout = machine, layout
        self.stages, self.tensor = layout["stages"], layout["tensor"]
        self.last = max([stage for stage in range(self.stages) if layout["blocks"][stage] > 0])
        self.free, self.come, self.events, self.serial = [0.0] * self.stages, [0.0] * self.stages, [], 0

    def ranks(self, *stages):
        return [stage * self.tensor + shard for stage in stages for shard in range(self.tensor)]

    def at(self, time, what, *arguments):
        heapq.heappush(self.events, (time, self.serial, what, arguments))
        self.serial += 1

    def work(self, stage, ms, then, *arguments):
        """A job that came just now; `then` is called when it is done."""
        self.free[stage] = max(self.free[stage], self.now) + ms
        self.at(self.free[stage], then, *arguments)

    def hop(self, rows, stage, other):
        pairs = [[stage * self.tensor + shard, other * self.tensor + shard] for shard in range(self.tensor)]
        return max(self.machine.send(4 * self.machine.width * rows, pair) for pair in pairs)

    def body(self, step, stage):
        machine, blocks = self.machine, self.layout["blocks"][stage]
        ms = blocks * machine.block(step["rows"], step["sequences"], step["past"], self.tensor)
        if stage == self.last and step["logits"]:
            ms += machine.norm(step["logits"])
            ms += machine.head(step["logits"], 1) if self.layout["head"] == "last" else 0
        return ms + (machine.embed(step["rows"]) if stage == 0 else 0)

    def sums(self, step, stage):
        """ms of adding, of waiting and of bytes on a wire. Few rows: sums of all heads to all ranks, of two ranks from one much and
        from one little. Many: the total from rank to rank, and from the last one to all the others."""
        machine, n, ranks, rows = self.machine, self.tensor, self.ranks(stage), step["rows"]
        if n == 1:
            return 0, 0, 0
        row, add = 4 * machine.width * rows, machine.add(rows, n)
        if rows <= 16:
            sent = row * machine.heads * (n - 1) / n
            once = (n - 1) * add, machine.send((row + sent) / 2 if n == 2 else sent, ranks), machine.link(sent, ranks)[1]
        else:
            once = (add, (n - 1) * machine.send(row, ranks) + (n - 2) * add + machine.send((n - 1) * row, ranks),
                    machine.link((n - 1) * row, ranks)[1])
        entry = (0, machine.send((n - 1) * row, ranks), machine.link((n - 1) * row, ranks)[1]) if stage == 0 else (0, 0, 0)
        return [2 * self.layout["blocks"][stage] * ms + more for ms, more in zip(once, entry)]

    def enter(self, step, stage):
        """A rank is held by its work, or by its wire; while a step waits for sums, others are served."""
        add, wait, wire = self.sums(step, stage)
        step["parts"], body = 1, self.body(step, stage)
        held = max(body + add, wire)
        self.work(stage, held, self.wait, step, stage, max(0, body + add + wait - held))
        if self.has_own_share(step, stage):
            self.free[stage] += self.machine.head(step["logits"], self.stages)
            self.at(self.free[stage], self.scored, step, stage, self.stages)

    def has_own_share(self, step, stage):
        """The last stage has the last rows: its share of the head follows its blocks."""
        return stage == self.last and step["logits"] > 0 and self.layout["head"] == "split" and self.tensor == 1

    def wait(self, step, stage, ms):
        self.at(self.now + ms, self.leave, step, stage)

    def leave(self, step, stage):
        if stage < self.last:
            come = max(self.now + self.hop(step["rows"], stage, stage + 1), self.come[stage])  # messages don't overtake
            self.come[stage] = come
            self.at(come, self.enter, step, stage + 1)
        elif step["logits"]:
            self.to_the_head(step)

    def to_the_head(self, step):
        """The last rows go where the head is; on the last stage it was part of the job."""
        row = 4 * self.machine.width * step["logits"]
        if self.layout["head"] == "last" and self.last > 0:
            self.at(self.now, self.scored, step, self.last, 1)
        elif self.layout["head"] == "split":
            step["parts"] = self.stages
            others = self.stages * self.tensor - 1
            ms = self.machine.send(others * row, self.ranks(*range(self.stages))) if others > 0 else 0
            for stage in range(self.stages):
                if not self.has_own_share(step, stage):
                    self.at(self.now + ms, self.score, step, stage, self.stages * self.tensor)
        else:
            self.at(self.now + (self.hop(step["logits"], self.last, 0) if self.last > 0 else 0), self.score, step, 0, 1)

    def score(self, step, stage, shares):
        sampling = self.machine.sample(step["logits"]) if shares == 1 else 0
        self.work(stage, self.machine.head(step["logits"], shares) + sampling, self.scored, step, stage, shares)
        if shares == 1 and stage == 0 and self.others(step) == 0:
            self.follow(step)

    def scored(self, step, stage, shares):
        step["parts"] -= 1
        if step["parts"] > 0:
            return
        logits = 4 * VOCABULARY * step["logits"]
        if self.layout["head"] == "split":
            ms = self.machine.send(logits * (shares - 1) / shares, self.ranks(*range(self.stages))) if shares > 1 else 0
        else:
            ms = self.machine.send(logits, self.ranks(0, stage)) if stage > 0 else 0
        others = self.others(step)
        if shares == 1 and stage == 0 and others == 0:
            self.done(step)
        else:
            self.at(self.now + ms + others, self.sample, step, 0 if shares == 1 and stage == 0 else 1)

    def others(self, step):
        """ms of the logits of other replicas, which rank 0 samples too."""
        first_of_last = (step.get("replicas", 1) - 1) * self.stages * self.tensor
        ranks = [0, first_of_last]
        way, of_bytes = self.machine.link(4 * VOCABULARY * step["logits"], ranks)
        return way + (step["replicas"] - 1) * of_bytes if first_of_last > 0 else 0

    def sample(self, step, share):
        self.work(0, share * self.machine.sample(step["logits"]), self.done, step)
        self.follow(step)

    def follow(self, step):
        """Rank 0 begins the next step of those who have their tokens before it looks at others."""
        step["left"] = step.get("left", 0) - 1
        if step["left"] > 0:
            now, self.now = self.now, self.free[0]
            self.enter(step, 0)
            self.now = now

    def done(self, step):
        step["done"](step)

    def run(self, until):
        self.now = 0.0
        while self.events and self.now < until:
            self.now, _, what, arguments = heapq.heappop(self.events)
            what(*arguments)
        return self.now

    def decode(self, groups, rows, past, rounds=60, replicas=1):
        """ms of a round of all groups, when the pipeline is full."""
        times = []
        for _ in range(groups):
            self.at(0.0, self.enter, {"rows": rows, "sequences": rows, "past": past, "logits": rows, "left": rounds, "replicas": replicas,
                                      "done": lambda step: times.append(self.now)}, 0)
        self.run(math.inf)
        half = len(times) // 2 // groups * groups
        return (times[-1] - times[half - 1]) / (len(times) - half) * groups

    def prefill(self, prompt, chunk):
        """ms until the first token; the last chunk's last row alone goes through the head."""
        came = []
        for begin in range(0, prompt, chunk):
            rows = min(chunk, prompt - begin)
            is_last = begin + rows == prompt
            self.at(0.0, self.enter, {"rows": rows, "sequences": 1, "past": begin, "logits": 1 if is_last else 0,
                                      "done": lambda step: came.append(self.now)}, 0)
        self.run(math.inf)
        return came[0]


class Shards:
    """A prompt in pieces through ranks of which several share each block: who waits for sums of a piece goes on with another one.
    The oldest piece that is ready goes first, but for what rank 0 can do before any message."""

    def __init__(self, machine, layout, prompt, chunk):
        self.machine, self.blocks, self.n = machine, [blocks for blocks in layout["blocks"]], layout["tensor"]
        self.rows = [min(chunk, prompt - begin) for begin in range(0, prompt, chunk)]
        self.past = list(range(0, prompt, chunk))
        while self.blocks[-1] == 0:
            self.blocks.pop()
        n_ranks = self.n * len(self.blocks)
        self.out, self.into, self.busy = [0.0] * n_ranks, [0.0] * n_ranks, [False] * n_ranks
        self.ready, self.come = [[] for _ in range(n_ranks)], {}
        self.events, self.serial, self.now, self.end = [], 0, 0.0, 0.0

    def at(self, time, what, *arguments):
        self.serial += 1
        heapq.heappush(self.events, (time, self.serial, what, arguments))

    def send(self, rank, to, piece, what, *arguments, heads=1, copies=1):
        stages = {rank // self.n, to // self.n}
        alpha, wire = self.machine.link(4 * self.machine.width * self.rows[piece] * heads,
                                        [self.n * stage + shard for stage in stages for shard in range(self.n)])
        if len(stages) > 1:
            alpha, wire = max(self.machine.link(4 * self.machine.width * self.rows[piece], [shard + self.n * stage for stage in stages])
                              for shard in range(self.n))
        self.out[rank] = max(self.out[rank], self.now) + wire * copies
        self.into[to] = max(self.into[to] + wire, self.out[rank] + alpha)
        self.at(self.into[to], what, *arguments)

    def work(self, rank, piece, first, ms, what, *arguments):
        self.serial += 1
        heapq.heappush(self.ready[rank], (not first, piece, self.serial, ms, what, arguments))
        self.at(self.now, self.go, rank)  # behind all that comes at the same moment

    def go(self, rank):
        if not self.busy[rank] and self.ready[rank]:
            *_, ms, what, arguments = heapq.heappop(self.ready[rank])
            self.busy[rank] = True
            self.at(self.now + ms, self.done, rank, what, arguments)

    def done(self, rank, what, arguments):
        self.busy[rank] = False
        what(*arguments)
        self.go(rank)

    def tasks(self, piece, half):
        alone = self.machine.block(self.rows[piece], 1, 0, self.n)
        cached = self.machine.block(self.rows[piece], 1, self.past[piece], self.n) - alone
        return (alone / 4, cached, alone / 12) if half % 2 == 0 else (0, alone / 3, alone / 3)

    def begin(self, rank, piece, half=0, task=0):
        stage, shard = divmod(rank, self.n)
        if half == 2 * self.blocks[stage]:
            self.work(rank, piece, False, 0, self.leave, rank, piece)
        elif task < 3:
            self.work(rank, piece, rank == 0 and half == 0, self.tasks(piece, half)[task], self.begin, rank, piece, half, task + 1)
        elif self.rows[piece] <= 16:
            for other in range(rank - shard, rank - shard + self.n):
                if other != rank:
                    self.send(rank, other, piece, self.part, other, piece, half, heads=1 if shard == 0 else self.machine.heads / self.n)
            self.part(rank, piece, half)
        elif shard == 0:
            self.send(rank, rank + 1, piece, self.part, rank + 1, piece, half)
        else:
            self.part(rank, piece, half)

    def part(self, rank, piece, half):
        """Sums have come, or the rank has its own: of few rows all ranks', of many a total and its own."""
        few = self.rows[piece] <= 16
        came = self.come[rank, piece, half] = self.come.get((rank, piece, half), 0) + 1
        if came == (self.n if few else 2):
            ms = self.machine.add(self.rows[piece], self.n) * (self.n - 1 if few else 1)
            self.work(rank, piece, False, ms, self.added, rank, piece, half)

    def added(self, rank, piece, half):
        shard = rank % self.n
        if self.rows[piece] > 16 and shard < self.n - 1:
            self.send(rank, rank + 1, piece, self.part, rank + 1, piece, half)
            return
        for other in range(rank - shard, rank) if self.rows[piece] > 16 else ():  # share the wire, and come together
            self.send(rank, other, piece, self.begin, other, piece, half + 1, copies=shard if other == rank - shard else 0)
        self.begin(rank, piece, half + 1)

    def leave(self, rank, piece):
        if rank // self.n < len(self.blocks) - 1:
            self.send(rank, rank + self.n, piece, self.begin, rank + self.n, piece)
        elif rank % self.n == 0:
            self.end = max(self.end, self.now)

    def enter(self, piece):
        for shard in range(1, self.n):
            self.send(0, shard, piece, self.begin, shard, piece)
        self.begin(0, piece)

    def ms(self):
        for piece in range(len(self.rows)):
            self.work(0, piece, True, self.machine.embed(self.rows[piece]), self.enter, piece)
        while self.events:
            self.now, _, what, arguments = heapq.heappop(self.events)
            what(*arguments)
        return self.end


def first_token(machine, layout, prompt, chunk):
    """Until the first token; where ranks share blocks, those are played, and what is behind them follows."""
    if layout["tensor"] == 1:
        return Simulation(machine, layout).prefill(prompt, chunk)
    behind, came = Simulation(machine, layout), []
    step = {"rows": 1, "sequences": 1, "past": prompt, "logits": 1, "parts": 1, "done": lambda step: came.append(behind.now)}
    tail = machine.norm(1) + (machine.head(1, 1) if layout["head"] == "last" else 0)
    behind.at(Shards(machine, layout, prompt, chunk).ms() + tail, behind.to_the_head, step)
    behind.run(math.inf)
    return came[0]


def close_to(have, want, share, *what):
    expect(abs(have - want) <= share * want, *what, have, "is not within", share, "of", want)


def compare(plan, model, cluster, ranks, *flags):
    """Every layout against its simulation; replicas are alike, so one is simulated. The names that were seen."""
    machine = Machine(model, cluster)
    told = json.loads(plan.run(plan.config(model), "--ranks", ranks, "--cluster", cluster, "--json", *flags))
    seen = []
    for layout in told["points"][0]["layouts"]:
        if "refused" in layout:
            continue
        seen.append(layout["name"])
        what = (model, ranks, layout["name"])
        stream = Simulation(machine, layout).decode(1, 1, told["context"], rounds=4)
        # Replicas may lie across nodes in different ways, of which tfrun takes the worst.
        near = 1e-6 if layout["replicas"] == 1 else 5e-3
        close_to(layout["token_ms"], stream, near, *what, "a token")
        first = first_token(machine, layout, told["prompt"], layout["chunk"])
        close_to(layout["first_token_ms"], first, near if layout["tensor"] == 1 else 0.05, *what, "first")
        round_ms = Simulation(machine, layout).decode(layout["groups"], layout["rows"], told["context"], replicas=layout["replicas"])
        close_to(layout["tokens_per_s"], told["sequences"] / round_ms * 1e3, 0.05, *what, "tokens/s")
        expect_same(len(layout["ranks"]), ranks)
        expect_same(sum(layout["blocks"]), machine.layers)
    return seen


@case
def simulated_on_a_cluster_of_nodes_of_two(plan):
    cluster = plan.cluster()
    for ranks in (2, 4, 6, 8):
        compare(plan, "gpt2", cluster, ranks, "--max-rows", 64)


@case
def simulated_with_many_sequences(plan):
    cluster = plan.cluster(nodes=16, ranks_per_node=1, net={"alpha_us": 1.5, "gbit_s": 100})
    seen = compare(plan, "gpt2-medium", cluster, 16, "--sequences", 64, "--max-batch", 64, "--max-rows", 32, "--prompt-tokens", 900, "--context", 500)
    for name in ("hf", "balanced", "prefill", "head last", "head split", "tensor 16", "hybrid 4x4", "replicas 2x8", "replicas 16"):
        expect(name in seen, name, seen)


def needs_mpi():
    if len(sys.argv) < 5 or not sys.argv[4] or not shutil.which(sys.argv[4]):
        print("no MPI")
        raise SystemExit(77)


def run_ranks(plan, ranks, flags, sequences, tokens, environment=None):
    """What a run on ranks writes."""
    prompts = ["--prompt-ids", "5,6,7"] * sequences
    ran = subprocess.run([sys.argv[4], "-n", str(ranks), plan.program, "generate", str(plan.source / "configs" / "demo"), "--json", "-n", str(tokens),
                          "-t", "1", "--ignore-eos", "--temperature", "0", *flags, *prompts], capture_output=True, text=True, env=environment, timeout=120 * SLOWER)
    expect(ran.returncode == 0, ranks, flags, ran.stderr)
    return ran.stdout, ran.stderr


def sent(plan, ranks, flags, sequences, tokens):
    """[messages, bytes] of each rank of a run."""
    facts = json.loads(run_ranks(plan, ranks, flags, sequences, tokens)[0])["stats"]["rank_facts"]
    return [[rank["sent_messages"], rank["sent_bytes"]] for rank in facts]


def count_sent(plan, ranks, names, sequences):
    """What a step more sends, as ranks count it and as the formula does. Rank 0 also tells each of the others what to do."""
    needs_mpi()
    flags, more = ["--microbatches", "1", "--max-batch", "20"], 4
    told = plan.run(plan.source / "configs" / "demo", "--ranks", ranks, "--net", "25,10", "--sequences", sequences, "--json", *flags)
    layouts = {layout["name"]: layout for layout in json.loads(told)["points"][0]["layouts"]}
    for name in names:
        layout = layouts[name]
        few, many = (sent(plan, ranks, flags + layout["flags"].split(), sequences, tokens) for tokens in (3, 3 + more))
        for rank, foretold in enumerate(layout["ranks"]):
            step = [(b - a) / more for a, b in zip(few[rank], many[rank])]
            want = [foretold["messages_a_token"] * sequences, foretold["bytes_a_token"] * sequences]
            what = (name, sequences, "rank", rank, step, want)
            if rank > 0:
                expect(all(abs(a - b) < 1e-6 * b + 1e-9 for a, b in zip(step, want)), *what)
            else:
                told_each = (step[0] - want[0]) / (ranks - 1)
                expect(step[1] > want[1] and told_each == int(told_each) and 1 <= told_each <= 2, *what)


@case
def two_ranks_send_what_is_foretold(plan):
    for sequences in (1, 20):  # the sums of 20 rows go another way than those of one
        count_sent(plan, 2, ("hf", "head last", "head split", "tensor 2"), sequences)
    count_sent(plan, 2, ("replicas 2",), 20)


@case
def four_ranks_send_what_is_foretold(plan):
    for sequences in (1, 20):
        count_sent(plan, 4, ("head split", "tensor 4", "hybrid 2x2"), sequences)
    count_sent(plan, 4, ("replicas 2x2", "replicas 4"), 20)


def taken(plan, ranks, *flags):
    """The flags that --split auto takes, and what it says."""
    text = plan.run(plan.config(), "--ranks", ranks, "--split", "auto", *flags).splitlines()[0]
    return text.split(" took ", 1)[1].split(",", 1)[0], text


@case
def auto_takes_the_best_that_goes_with_other_options(plan):
    flags, text = taken(plan, 3, "--sums", "plain")
    expect("--tensor" not in flags and "not tensor 3 (--sums plain)" in text and "not hybrid (3 ranks are no product" in text, text)
    flags, text = taken(plan, 4, "--tensor", 2)
    expect_same(flags, "--tensor 2 --head split")
    flags, text = taken(plan, 4, "--replicas", 2)
    expect(flags.startswith("--replicas 2") and "not tensor 4 (--replicas 2)" in text, text)
    flags, text = taken(plan, 4, "--head", "first", "--goal", "latency")
    expect("head split" not in flags and "--split auto for latency" in text and "not head split (--head first)" in text, text)
    for ranks in (2, 4):
        for goal, figure in (("latency", "ms a token"), ("throughput", "tokens/s")):
            flags, text = taken(plan, ranks, "--goal", goal)
            values = [float(part.split(f" {figure}")[0].split()[-1]) for part in text.replace("; against", ",").split(", ") if figure in part]
            best = min(values) if goal == "latency" else max(values)
            close_to(values[0], best, 0.02, text)  # what is taken comes first
    told = json.loads(plan.run(plan.config(), "--ranks", 2, "--split", "auto", "--json"))
    expect_same(told["layout"], taken(plan, 2)[1])


@case
def auto_refuses_what_leaves_it_no_choice(plan):
    for flags, code, words in ((("--tensor", 2, "--head", "first"), 2, "none goes with the other options"),
                               (("--split", "hf", "--goal", "latency"), 2, "give --split auto too, or leave --goal out")):
        told = plan.run(plan.config(), "--ranks", 4, "--split", "auto", *flags, code=code)
        expect(words in told, words, told)
    for flags in (("--tensor", 2), ("--replicas", 2)):
        told = plan.run(plan.config(), *flags, code=2)
        expect("give --ranks 2 or a multiple" in told, told)
    path = plan.folder / "mapped.json"
    path.write_text(json.dumps({**json.loads(plan.config().read_text()), "tfrun": {"parallel": {"device_map": {"0": list(range(12))}}}}))
    told = plan.run(path, "--ranks", 2, "--split", "auto", code=2)
    expect("device_map says which rank has which block" in told, told)


@case
def a_calibration_that_may_not_be_read_is_none(plan):
    """As that of another user: it is told where a report has room, and costs nobody the layout."""
    environment, file = plan.calibrate_badly()
    told = plan.run(plan.config(), "--ranks", 2, "--split", "auto", "-t", 1, environment=environment)
    expect("took" in told, told)
    told = plan.run(plan.config(), "--ranks", 2, "--net", "25,10", "-t", 1, environment=environment)
    expect("by nominal peaks" in told and f"{file}: Too many levels" in told, told)


@case
def ranks_take_the_same_layout(plan):
    """Rank 0 chooses, by itself: the bits and what is said are those of the flags that it takes. A calibration that may not be read costs
    neither the choice nor the result."""
    needs_mpi()
    text, *_ = run_ranks(plan, 2, ["--split", "auto", "-v"], 1, 6, plan.calibrate_badly()[0])
    told = json.loads(text)
    flags = told["layout"].split(" took ", 1)[1].split(",", 1)[0].split()
    same = json.loads(run_ranks(plan, 2, flags, 1, 6)[0])
    expect_same([told["logits_digest"], told["choices"]], [same["logits_digest"], same["choices"]])
    expect("layout" not in same, same)


@case
def runs_stand_beside_their_predictions(plan):
    """Messages and bytes of ranks other than 0 are foretold but for answers to commands and agreeing on plans; errors are those of the two numbers."""
    needs_mpi()
    for ranks, flags in ((2, ["--split", "hf"]), (2, ["--tensor", "2"]), (3, ["--head", "split"])):
        told = json.loads(run_ranks(plan, ranks, flags, 1, 9)[0])["prediction"]
        expect(told["by"] in ("calibration", "nominal peaks"), told)
        figures = [told[key] for key in ("first_token_ms", "token_ms", "tokens_per_s")] + [rank["busy_ms"] for rank in told["ranks"]]
        for figure in figures:
            expect(figure["predicted"] > 0 and figure["measured"] > 0, ranks, flags, told)
            close_to(1 + figure["error"], figure["measured"] / figure["predicted"], 1e-3, figure)
        expect_same(len(told["ranks"]), ranks)
        for rank in told["ranks"][1:]:
            messages, sent_bytes = rank["sent_messages"], rank["sent_bytes"]
            expect(0 <= messages["measured"] - messages["predicted"] <= 16, flags, messages)
            expect(0 <= sent_bytes["measured"] - sent_bytes["predicted"] <= 1 << 14, flags, sent_bytes)
    _, words = run_ranks(plan, 2, ["--tensor", "2", "-v"], 1, 5)
    expect("measured: first token" in words and "rank 1: predicted, and measured: in kernels" in words, words)
    expect("prediction" not in json.loads(run_ranks(plan, 1, [], 1, 5)[0]))


@case
def shards_bring_a_split_head(plan):
    needs_mpi()
    bare, split, first = (json.loads(run_ranks(plan, 2, ["--tensor", "2", *head], 1, 6)[0])
                          for head in ([], ["--head", "split"], ["--head", "first"]))
    messages = [[rank["sent_messages"] for rank in told["stats"]["rank_facts"]] for told in (bare, split, first)]
    expect(messages[0] == messages[1] != messages[2], messages)
    expect_same(bare["logits_digest"], first["logits_digest"])


@case
def pieces_of_a_prompt_are_those_that_ranks_take(plan):
    needs_mpi()
    for flags, rows in (([], 64), (["--tensor", "2"], 256), (["--tensor", "2", "--max-rows", "48"], 48)):
        said = run_ranks(plan, 2, [*flags, "-v"], 1, 6)[1]
        expect(f"in pieces of {rows} rows" in said, flags, said)
    cluster = plan.cluster(nodes=4)
    told = json.loads(plan.run(plan.config(), "--ranks", 4, "--cluster", cluster, "--json"))
    pieces = {layout["name"]: layout["chunk"] for layout in told["points"][0]["layouts"] if "refused" not in layout}
    expect_same([pieces[name] for name in ("hf", "tensor 4", "hybrid 2x2")], [64, 64, 64])
    told = json.loads(plan.run(plan.config(), "--ranks", 2, "--cluster", cluster, "--json"))
    pieces = {layout["name"]: layout["chunk"] for layout in told["points"][0]["layouts"] if "refused" not in layout}
    expect_same([pieces[name] for name in ("hf", "tensor 2")], [64, 256])


@case
def sweeps_have_a_best_layout_of_each_number(plan):
    cluster = plan.cluster(nodes=64, ranks_per_node=1)
    told = json.loads(plan.run(plan.config(), "--sweep", "1..12", "--cluster", cluster, "--format", "json", "--goal", "latency"))
    expect_same([point["ranks"] for point in told["points"]], list(range(1, 13)))
    for point in told["points"]:
        layouts = {layout["name"]: layout for layout in point["layouts"] if "refused" not in layout and layout["can_run"]}
        least = min(layout["token_ms"] for layout in layouts.values())
        most = max(layout["tokens_per_s"] for layout in layouts.values())
        close_to(layouts[point["best"]["latency"]]["token_ms"], least, 0.02)  # of two that are alike, the earlier first token counts
        close_to(layouts[point["best"]["throughput"]]["tokens_per_s"], most, 0.02)
    expect_same(told["points"][3]["best"]["latency"], "tensor 4")
    table = plan.run(plan.config(), "--sweep", "1..12", "--cluster", cluster, "--goal", "latency")
    for point in told["points"]:
        expect(any(line.split()[:1] == [str(point["ranks"])] and point["best"]["latency"] in line for line in table.splitlines()), point)


@case
def forms_tell_the_same(plan):
    flags = (plan.config(), "--ranks", 4, "--cluster", plan.cluster())
    told = {layout["name"]: layout for layout in json.loads(plan.run(*flags, "--json"))["points"][0]["layouts"]}
    rows = list(csv.DictReader(io.StringIO(plan.run(*flags, "--format", "csv"))))
    expect_same([row["layout"] for row in rows], list(told))
    for row in rows:
        expect_same(row["tokens/s"], f"{told[row['layout']]['tokens_per_s']:.1f}")
    table, markdown = plan.run(*flags), plan.run(*flags, "--format", "md")
    for name in told:
        expect(name in table and name in markdown, name)


@case
def a_reason_for_each_layout_that_cannot_be(plan):
    told = json.loads(plan.run(plan.config(), "--ranks", 5, "--net", "25,10", "--json", "--sequences", 3))["points"][0]["layouts"]
    refused = {layout["name"]: layout["refused"] for layout in told if "refused" in layout}
    expect_same(refused, {"tensor 5": "5 does not divide 12 heads", "hybrid": "5 ranks are no product of stages and shares",
                          "replicas 5": "5 groups have 3 sequences to serve"})


@case
def so_many_ranks_that_most_are_idle_are_refused(plan):
    expect("27 ranks for 12 blocks: at least 14 would have nothing to do" in plan.run(plan.config(), "--ranks", 27, code=2))
    for words in ((26,), (27, "--head", "split"), (28, "--tensor", 2)):
        expect_same(len(json.loads(plan.run(plan.config(), "--json", "--ranks", *words))["ranks"]), words[0])


def blocks_of(plan, ranks, *flags):
    """Blocks of each rank, as tfrun splits them for a run."""
    plans = json.loads(plan.run(plan.config(), "--ranks", ranks, "--json", *flags))["ranks"]
    return [len({task["layer"] for task in rank["tasks"] if task["layer"] >= 0}) for rank in plans]


@case
def splits_follow_what_they_are_named_for(plan):
    for ranks in (2, 3, 4):
        decode = blocks_of(plan, ranks, "--split", "decode")
        expect_same(decode, blocks_of(plan, ranks, "--split", "balanced"))
        prefill = blocks_of(plan, ranks, "--split", "prefill")
        expect_same(prefill, [12 // ranks] * ranks)  # a prompt needs the head once
        expect(decode[0] < prefill[0], "the head weighs on rank 0", decode, prefill)
        # Without new tokens a mix is the prompt, with very many it is decoding.
        expect_same(blocks_of(plan, ranks, "--split", "mixed", "--max-tokens", 0), prefill)
        expect_same(blocks_of(plan, ranks, "--split", "mixed", "--max-tokens", 100000000), decode)


@case
def the_largest_question_is_answered(plan):
    """4,096 ranks and as many sequences, within the two minutes of run()."""
    told = json.loads(plan.run(plan.config(), "--ranks", 4096, "--net", "25,10", "--sequences", 4096, "--max-batch", 4096, "--json"))
    expect_same(told["points"][0]["ranks"], 4096)


@case
def no_sequence_is_counted_that_is_not_there(plan):
    """Of uneven replicas the fullest sets the round: seven groups of eight sequences are as fast as four groups."""
    flags = ("--cluster", plan.cluster(nodes=64, ranks_per_node=1), "--json", "--sequences", 8)
    rates = {}
    for ranks in (4, 7):
        layouts = json.loads(plan.run(plan.config(), "--ranks", ranks, *flags))["points"][0]["layouts"]
        rates[ranks] = next(layout["tokens_per_s"] for layout in layouts if layout["name"] == f"replicas {ranks}")
    expect(rates[7] <= rates[4], rates)


@case
def this_machine_without_numbers(plan):
    """Nominal peaks or a calibration; a slower link never makes a layout faster."""
    fast, slow = (json.loads(plan.run(plan.config(), "--ranks", 4, "--net", net, "--json"))["points"][0]["layouts"]
                  for net in ("1,100", "1000,1"))
    for a, b in zip(fast, slow):
        expect(a["token_ms"] <= b["token_ms"] and a["first_token_ms"] <= b["first_token_ms"], a["name"])


@case
def clusters_are_read_strictly(plan):
    for keys, words in (({"nods": 3}, "nods is no key of a cluster"), ({"nodes": 0}, "nodes is not a whole number in 1..1e+06"),
                        ({"nodes": 1.5}, "nodes is not a whole number"), ({"net": {"alpha_us": 5}}, "net.gbit_s is missing"),
                        ({"net": {"alpha_us": 5, "gbit_s": 0}}, "net.gbit_s is not a number in"), ({"net": 5}, "net is not an object"),
                        ({"net": {"alpha_us": 5, "gbit_s": 1, "x": 1}}, "net.x is no key of a cluster"),
                        ({"gflops": "80"}, "gflops is not a number in")):
        told = plan.run(plan.config(), "--ranks", 4, "--cluster", plan.cluster(**keys), code=3)
        expect(words in told and "cluster.json:1:" in told, words, told)
    path = plan.folder / "cluster.json"
    for text, words in (('{"nodes": 2, "ranks_per_node": 1}', "net is missing, and there are several nodes"),
                        ('{"nodes": 1}', "ranks_per_node is missing"), ("[]", "the file is not an object"),
                        ('{"nodes": 1, "ranks_per_node": 4, "gflops": 5}', "bandwidth_gbs is missing: the speed of a rank is both"),
                        ('{"nodes": 1, "ranks_per_node": 4, "node_us": 5}', "bandwidth_gbs is missing: node_us")):
        path.write_text(text)
        told = plan.run(plan.config(), "--ranks", 4, "--cluster", path, code=3)
        expect(words in told, words, told)


@case
def what_goes_not_together_is_refused(plan):
    cluster = plan.cluster()
    for flags, words in ((("--net", "25"), "is not ALPHA_US,GBIT_S"), (("--net", "25,0"), "is not ALPHA_US,GBIT_S"),
                         (("--net", "25,10", "--cluster", cluster), "--net describes the links and --cluster does too"),
                         (("--net", "25,10", "--rows", 4), "--rows is about the plan of one step"),
                         (("--net", "25,10", "--sweep", "1..4"), "--sweep says how many ranks there are"),
                         (("--sequences", 4), "--sequences is about layouts of ranks"),
                         (("--net", "25,10", "--format", "yaml"), "is none of table, md, json, csv"),
                         (("--net", "25,10", "--format", "csv", "--json"), "--json and --format csv exclude each other"),
                         (("--net", "25,10", "--prompt-tokens", 1025), "--prompt-tokens 1025"),
                         (("--net", "25,10", "--context", 1024), "--context 1024"),
                         (("--net", "25,10", "--sequences", 17), "takes runtime.max_batch = 16 together"),
                         (("--net", "25,10", "--split", "hf"), "--split chooses a layout, and --net and --cluster compare all"),
                         (("--cluster", cluster, "--head", "last"), "--head chooses a layout"),
                         (("--net", "25,10", "--tensor", 2), "--tensor chooses a layout"),
                         (("--net", "25,10", "--set", "tfrun.parallel.replicas=2"), "--set parallel.replicas chooses a layout"),
                         (("--goal", "latency"), "--goal latency: the goal is what tfrun.parallel.split = auto aims at"),
                         (("--cluster", cluster, "--goal", "speed"), "is not one of latency|throughput")):
        told = plan.run(plan.config(), "--ranks", 4, *flags, code=2)
        expect(words in told, words, told)
    expect("1..4096" in plan.run(plan.config(), "--net", "25,10", "--sweep", "4..1", code=2).replace("B <= ", "1.."))
    expect("say of how many" in plan.run(plan.config(), "--net", "25,10", code=2))
    expect("17 ranks are more than the 8 x 2" in plan.run(plan.config(), "--ranks", 17, "--cluster", cluster, code=2))


if __name__ == "__main__":
    raise SystemExit(main(Plan))

#!/usr/bin/env python3
"""check_ranks.py same TFRUN MPIEXEC N CONFIG [OPTION...]: N ranks give the ids and the bits of one process.
check_ranks.py shards TFRUN MPIEXEC N T CONFIG [OPTION...]: so do N ranks with --tensor T, of one process with --sums by-head.
check_ranks.py groups TFRUN MPIEXEC N CONFIG [OPTION...]: N ranks with 1 to 4 groups of sequences give the ids and bits of one process.
check_ranks.py best TFRUN MPIEXEC N CONFIG OPTION...: where nothing but the best token is asked for, a split head sends no logits, and the
text is that of one process; where logits are asked for (--json has their digest), it sends them.
check_ranks.py plans TFRUN MPIEXEC N CONFIG OPTION...: a prompt in pieces of 8 rows, the last of which is asked for logits, has one plan: ranks
wait for all pieces in flight where another one is made.
check_ranks.py edges TFRUN MPIEXEC N CONFIG: so it is of logits that are all equal; a NaN in one share is told.
check_ranks.py replicas TFRUN MPIEXEC N R CONFIG [OPTION...]: so do N ranks as R replicas, all of which compute.
check_ranks.py refused TFRUN MPIEXEC N CONFIG [OPTION...]: N ranks refuse as one process does, in one line.

same runs CONFIG once without a launcher, then on N ranks with the balanced split, with --split hf, and with a
device_map that deals the blocks out in turn, and compares ids, text and logits_digest of the --json output.
Python's own library only.
"""
import json
import math
import pathlib
import re
import struct
import subprocess
import sys
import tempfile


class OwnOrder(Exception):
    """A split head is refused, since a kernel adds in an order of its own; the option that its sentence advises."""


def generate(command, what):
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=140)
    said = ran.stderr.decode(errors="replace")
    if ran.returncode != 0:
        advised = re.search(r"adds in an order of its own.* choose other kernels with (--kernels=-\S+)", said)
        if advised and "split" in command:
            raise OwnOrder(advised.group(1))
        sys.exit(f"{what}: exit code {ran.returncode}\n{said}")
    result = json.loads(ran.stdout)
    return result, {"logits_digest": result["logits_digest"], "choices": result["choices"]}


def dealt_config(config_dir, n_ranks, folder):
    """The same model with blocks 0, n, 2n, ... on device 0, blocks 1, n+1, ... on device 1, and so on."""
    config = json.loads((config_dir / "config.json").read_text())
    ours = config.setdefault("tfrun", {})
    model = ours.setdefault("model", {})
    single = config_dir / model.get("weights", "model.safetensors")
    model["weights"] = str(single if single.exists() else config_dir / "model.safetensors.index.json")
    model["tokenizer"] = str(config_dir)
    blocks = range(config["n_layer"])
    device_map = {str(r): list(blocks[r::n_ranks]) for r in range(n_ranks) if blocks[r::n_ranks]}
    ours["parallel"] = {"device_map": device_map}
    path = pathlib.Path(folder) / "config.json"
    path.write_text(json.dumps(config))
    return path


def check_same(tfrun, mpiexec, n_ranks, config_dir, options):
    """Where a split head is refused (a library with tiles of AMX), both are run as the sentence advises."""
    try:
        compare_same(tfrun, mpiexec, n_ranks, config_dir, options)
    except OwnOrder as refused:
        compare_same(tfrun, mpiexec, n_ranks, config_dir, [*options, str(refused)])


def compare_same(tfrun, mpiexec, n_ranks, config_dir, options):
    options = [*options, "--ignore-eos", "--temperature", "0", "--json"]
    launch = [mpiexec, "-n", n_ranks, tfrun]
    _, want = generate([tfrun, config_dir, *options], "one process")
    with tempfile.TemporaryDirectory() as folder:
        runs = {"balanced": [*launch, config_dir, *options],
                "hf": [*launch, config_dir, "--split", "hf", *options],
                "dealt": [*launch, dealt_config(config_dir, int(n_ranks), folder), "--trust", config_dir, *options]}
        for name, command in runs.items():
            result, have = generate(command, name)
            if result["ranks"] != int(n_ranks):
                sys.exit(f"{name}: ran on {result['ranks']} ranks, not {n_ranks}")
            if have != want:
                sys.exit(f"{name}: {n_ranks} ranks give\n{have}\none process gives\n{want}")
            print(f"{name}: logits_digest {have['logits_digest']} as one process")


def check_shards(tfrun, mpiexec, n_ranks, tensor, config_dir, options):
    options = [*options, "--ignore-eos", "--temperature", "0", "--json"]
    launch = [mpiexec, "-n", n_ranks, tfrun]
    _, want = generate([tfrun, config_dir, "--sums", "by-head", *options], "one process")
    with tempfile.TemporaryDirectory() as folder:
        stages = int(n_ranks) // int(tensor)
        runs = {"balanced": [*launch, config_dir, "--tensor", tensor, *options]}
        if stages > 1:
            dealt = dealt_config(config_dir, stages, folder)
            runs["dealt"] = [*launch, dealt, "--trust", config_dir, "--tensor", tensor, *options]
        for name, command in runs.items():
            _, have = generate(command, name)
            if have != want:
                sys.exit(f"{name}: {n_ranks} ranks, --tensor {tensor} give\n{have}\none process gives\n{want}")
            print(f"{name}: logits_digest {have['logits_digest']} as one process that adds by head")


def check_groups(tfrun, mpiexec, n_ranks, config_dir, options):
    options = [config_dir, *options, "--ignore-eos", "--json"]
    launch = [mpiexec, "-n", n_ranks, tfrun] if n_ranks != "1" else [tfrun]
    _, want = generate([tfrun, *options, "--microbatches", "1"], "one process")
    for groups in "1234":
        for split in ("balanced", "hf") if n_ranks != "1" else ("balanced",):
            what = f"{groups} groups, {split}"
            _, have = generate([*launch, *options, "--microbatches", groups, "--split", split], what)
            if have != want:
                sys.exit(f"{what}: {n_ranks} ranks give\n{have}\none process gives\n{want}")
    print(f"logits_digest {want['logits_digest']} for any groups")


def run_text(command):
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=140)
    if ran.returncode != 0:
        sys.exit(f"{command}: exit code {ran.returncode}\n{ran.stderr}")
    sent = re.search(r"rank 1: .* (\d+) kB sent", ran.stderr)
    return ran.stdout, float(sent.group(1)) if sent else None


def of_one_process(options):
    """The same without what wants ranks, in the order of additions that shards keep."""
    alone = [value for i, value in enumerate(options) if not {"--replicas", "--tensor"} & {value, options[i - 1] if i > 0 else ""}]
    return [*alone, "--sums", "by-head"] if "--tensor" in options else alone


def check_best(tfrun, mpiexec, n_ranks, config_dir, options):
    options = [config_dir, *options, "--ignore-eos"]
    want, _ = run_text([tfrun, *of_one_process(options)])
    launch = [mpiexec, "-n", n_ranks, tfrun, *options, "--head", "split"]
    have, sent = run_text([*launch, "-v"])
    if have != want:
        sys.exit(f"{n_ranks} ranks write\n{have}\none process\n{want}")
    result, _ = generate([*launch, "--json"], "with a digest")
    config = json.loads((config_dir / "config.json").read_text())
    rows = sum(len(choice["ids"]) for choice in result["choices"])
    replicas = int(options[options.index("--replicas") + 1]) if "--replicas" in options else 1
    rows = rows // len(result["choices"]) * (len(result["choices"]) // replicas)  # of its replica, at least
    share = config["vocab_size"] // (int(n_ranks) // replicas) // 64 * 64 * 4 / 1e3  # kB of a row, at least
    whole = result["stats"]["rank_facts"][1]["sent_bytes"] / 1e3
    if not whole - sent > 0.9 * share * rows:
        sys.exit(f"rank 1 sent {sent} kB for the best tokens and {whole} kB for logits of {rows} rows")
    print(f"rank 1 sent {sent} kB in place of {whole} kB")


def put_nan(path, row, width):
    """Into the first number of a row of wte, which stands in the file in f32."""
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    name = next(key for key in header if key.endswith("wte.weight"))
    at = 8 + size + header[name]["data_offsets"][0] + 4 * row * width
    data[at:at + 4] = struct.pack("<f", math.nan)
    path.write_bytes(data)


def check_edges(tfrun, mpiexec, n_ranks, config_dir, options):
    """Logits that are all equal, in all shares; then one NaN in the last one."""
    with tempfile.TemporaryDirectory() as folder:
        config, model = pathlib.Path(folder) / "zero.json", pathlib.Path(folder) / "zero"
        config.write_text(json.dumps({"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2, "vocab_size": 1000, "n_positions": 64,
                                      "initializer_range": 0}))
        run_text([tfrun, "init", config, "-o", model])
        command = [tfrun, model, "--prompt-ids", "5,6", "-n", "3", "--temperature", "0", "--ignore-eos"]
        text, _ = run_text([mpiexec, "-n", n_ranks, *command, "--head", "split"])
        if text.split() != ["0", "0", "0"]:
            sys.exit(f"of equal logits the first is the best, not {text}")
        put_nan(model / "model.safetensors", 999, 64)
        for launch, head in (([], "first"), ([mpiexec, "-n", n_ranks], "split")):
            ran = subprocess.run([*launch, *command, "--head", head], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=140)
            if ran.returncode == 0 or "the logits for position 2 hold NaN" not in ran.stderr:
                sys.exit(f"--head {head}: exit code {ran.returncode}, {ran.stderr}")


def check_replicas(tfrun, mpiexec, n_ranks, replicas, config_dir, options):
    options = [config_dir, *options, "--ignore-eos", "--json"]
    by_head = ["--sums", "by-head"] if "--tensor" in options else []
    alone = [word for i, word in enumerate(options) if "--tensor" not in options[max(i - 1, 0):i + 1]]
    _, want = generate([tfrun, *alone, *by_head], "one process")
    for groups in "012":
        what = f"{replicas} replicas, --microbatches {groups}"
        result, have = generate([mpiexec, "-n", n_ranks, tfrun, *options, "--replicas", replicas, "--microbatches", groups], what)
        if have != want:
            sys.exit(f"{what}: {n_ranks} ranks give\n{have}\none process gives\n{want}")
        if not all(facts["busy_ms"] > 0 for facts in result["stats"]["rank_facts"]):
            sys.exit(f"{what}: not all ranks compute: {result['stats']['rank_facts']}")
    options = [word for word in options if word != "--json"]  # without a digest the best tokens of shares do
    want, _ = run_text([tfrun, *[word for word in alone if word != "--json"], *by_head])
    have, _ = run_text([mpiexec, "-n", n_ranks, tfrun, *options, "--replicas", replicas])
    if have != want:
        sys.exit(f"{n_ranks} ranks as {replicas} replicas write\n{have}\none process\n{want}")
    print(f"the same on {replicas} replicas, all of which compute")


def check_plans(tfrun, mpiexec, n_ranks, config_dir, options):
    command = [mpiexec, "-n", n_ranks, tfrun, config_dir, *options, "--max-rows", "8", "--json", "--log", "debug"]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=140)
    plans = re.findall(r"\b8 rows, \d+ logit rows: \d+ tasks", ran.stderr)
    if ran.returncode != 0 or len(plans) != 1:
        sys.exit(f"exit code {ran.returncode}, {len(plans)} plans of 8 rows: {plans}\n{ran.stderr[-2000:]}")
    print(plans[0])


def check_refused(tfrun, mpiexec, n_ranks, config_dir, options):
    def refuse(*launch):
        ran = subprocess.run([*launch, tfrun, config_dir, *options], stdin=subprocess.DEVNULL,
                             capture_output=True, timeout=140)
        ours = [line for line in ran.stderr.decode().splitlines() if line.startswith("tfrun: ")]
        ours = [line for line in ours if not line.startswith("tfrun: warning: ")]  # of ranks that share cores
        return ran.returncode, ran.stdout.strip(), ours
    want, have = refuse(), refuse(mpiexec, "-n", n_ranks)
    if want[0] == 0 or len(want[2]) != 1:
        sys.exit(f"one process does not refuse: {want}")
    if have != want:
        sys.exit(f"{n_ranks} ranks say\n{have}\none process says\n{want}")
    print(want[2][0])


def main():
    mode, tfrun, mpiexec, n_ranks, *rest = sys.argv[1:]
    if mode in ("shards", "replicas"):
        check = check_shards if mode == "shards" else check_replicas
        check(tfrun, mpiexec, n_ranks, rest[0], pathlib.Path(rest[1]).resolve(), rest[2:])
        return 0
    config, *options = rest
    check = {"same": check_same, "best": check_best, "edges": check_edges, "groups": check_groups, "plans": check_plans,
             "refused": check_refused}[mode]
    check(tfrun, mpiexec, n_ranks, pathlib.Path(config).resolve(), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""check_ranks.py same TFRUN MPIEXEC N CONFIG [OPTION...]: N ranks give the ids and the bits of one process.
check_ranks.py shards TFRUN MPIEXEC N T CONFIG [OPTION...]: so do N ranks with --tensor T, of one process with --sums by-head.
check_ranks.py groups TFRUN MPIEXEC N CONFIG [OPTION...]: N ranks with 1 to 4 groups of sequences give the ids and bits of one process.
check_ranks.py refused TFRUN MPIEXEC N CONFIG [OPTION...]: N ranks refuse as one process does, in one line.

same runs CONFIG once without a launcher, then on N ranks with the balanced split, with --split hf, and with a
device_map that deals the blocks out in turn, and compares ids, text and logits_digest of the --json output.
Python's own library only.
"""
import json
import pathlib
import subprocess
import sys
import tempfile


def generate(command, what):
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=140)
    if ran.returncode != 0:
        sys.exit(f"{what}: exit code {ran.returncode}\n{ran.stderr.decode(errors='replace')}")
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
    if mode == "shards":
        check_shards(tfrun, mpiexec, n_ranks, rest[0], pathlib.Path(rest[1]).resolve(), rest[2:])
        return 0
    config, *options = rest
    check = {"same": check_same, "groups": check_groups, "refused": check_refused}[mode]
    check(tfrun, mpiexec, n_ranks, pathlib.Path(config).resolve(), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())

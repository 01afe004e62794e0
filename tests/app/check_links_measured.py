#!/usr/bin/env python3
"""check_links_measured.py TFRUN MPIEXEC ALPHA_US GBIT_S SOURCE_DIR: `tfrun calibrate --net` over a wire of known delay and width, and what
`tfrun plan --net calibrated` makes of it.

The wire is the environment's (tests/mpi/comm_delay.c): no message is faster than it, so bounds hold on any machine.
"""
import json
import math
import os
import subprocess
import sys
import tempfile

tfrun, mpiexec, alpha_us, gbit_s, source = sys.argv[1:]


def run(words, code=0):
    ran = subprocess.run(words, capture_output=True, text=True, timeout=140)
    if ran.returncode != code:
        sys.exit(f"{' '.join(words)} ended with {ran.returncode}: {ran.stdout[-500:]}{ran.stderr}")
    return ran.stdout if code == 0 else ran.stderr


def expect(truth, *what):
    if not truth:
        sys.exit(" ".join(map(str, what)))


with tempfile.TemporaryDirectory() as folder:
    os.environ["XDG_CACHE_HOME"] = folder
    ranks = [mpiexec, "-n", "3", tfrun, "calibrate", "--net", "--quick", "-t", "1"]
    expect("run `tfrun calibrate --threads 1` first" in run(ranks, 5), "no calibration to add to was not told")
    run([tfrun, "calibrate", f"{source}/configs/demo", "--quick", "--quiet", "-t", "1"])
    plan = [tfrun, "plan", f"{source}/configs/demo", "--ranks", "2", "--net", "calibrated", "-t", "1", "--json"]
    expect("with links between ranks holds here" in run(plan, 5), "a calibration without links was taken")
    path = run(ranks).strip()
    with open(path, encoding="utf-8") as file:
        link = json.load(file)["net"]["same_node"]
    expect(link["pairs"] == 3, link)
    # The fit weighs all sizes, and may miss the smallest by some per cent; a slow machine only makes messages slower.
    for bytes_ in (1, 4096, 1 << 20):
        wire_ns = float(alpha_us) * 1e3 + bytes_ * 8 / float(gbit_s)
        large = "large_" if bytes_ > link.get("large_above_bytes", math.inf) else ""
        expect(link[large + "alpha_ns"] + bytes_ * link[large + "byte_ns"] > 0.8 * wire_ns, bytes_, "bytes are faster than the wire:", link, wire_ns)
    shm = json.loads(run(plan))["shm"]
    expect(abs(shm["alpha_us"] * 1e3 - link["alpha_ns"]) < 1e-3 * link["alpha_ns"], shm, link)
    # The nodes of a file, with these links.
    def of_cluster(code, **cluster):
        with open(f"{folder}/cluster.json", "w", encoding="utf-8") as out:
            json.dump(cluster, out)
        return run([*plan, "--cluster", f"{folder}/cluster.json"], code)
    one_node = json.loads(of_cluster(0, nodes=1, ranks_per_node=2))
    expect(one_node["shm"] == shm, one_node["shm"], shm)
    expect("no links between nodes were measured" in of_cluster(5, nodes=2, ranks_per_node=1), "links that nobody measured were taken")
    expect("leave one out" in of_cluster(3, nodes=1, ranks_per_node=2, shm={"alpha_us": 1, "gb_s": 1}), "links of two sources were taken")
    expect("between ranks, by" in run([tfrun, "calibrate", "--show", "-t", "1"]), "--show does not tell of links")
    run([tfrun, "calibrate", f"{source}/configs/demo", "--quick", "--quiet", "-t", "1"])
    with open(path, encoding="utf-8") as file:
        expect(json.load(file)["net"]["same_node"] == link, "links are lost when kernels are calibrated anew")
    with open(path, encoding="utf-8") as file:
        broken = json.load(file)
    def change():
        with open(path, "w", encoding="utf-8") as file:
            json.dump(broken, file)
    broken["net"]["asleep"] = True
    change()
    expect("(--asleep)" in run(plan, 5), "links of ranks that sleep were taken for kernels of this machine")
    told = of_cluster(0, nodes=1, ranks_per_node=2, bandwidth_gbs=10, gflops=30)
    expect(json.loads(told)["shm"] == shm, "links of ranks that sleep were not taken for kernels that are told")
    broken["net"]["same_node"]["pairs"] = 0
    change()
    expect("same_node must be a link of at least one pair" in run([tfrun, "calibrate", "--show", "-t", "1"], 4), "a bad link was read")

"""A study of ranks x threads x layouts x batch by ReFrame (PyPI reframe-hpc): every combination is a test with its figures.

    reframe -C scripts/study/reframe_site.py --system tfrun:mpirun -c scripts/study/tfrun_reframe.py -r --performance-report
    reframe ... -S config=/models/gpt2 -S options='--dtype bf16' -P ranks=1,2,4 -P threads=1,2

A test passes where all cases are there and the logits have the bits that one rank gives. Its document stays in the output folder, for
`tfrun scaling --report`.
"""
import os
import shutil

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import fixture, parameter, performance_function, run_before, sanity_function, variable

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Bench(rfm.RunOnlyRegressionTest):
    """`tfrun bench` on a number of ranks, by whatever launcher the system has."""
    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    config = variable(str, value=os.path.join(ROOT, "configs", "demo"))
    program = variable(str, value=shutil.which("tfrun") or os.path.join(ROOT, "build", "bin", "tfrun"))
    options = variable(str, value="")
    keep_files = ["document.json"]

    def bench(self, ranks, threads, cases, *words):
        self.num_tasks, self.num_cpus_per_task = ranks, threads
        self.executable = self.program
        self.executable_opts = ["bench", self.config, "--threads", str(threads), "--cases", cases, "--save", "document.json", *words,
                                *self.options.split()]
        self.env_vars = {"OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
        if os.getuid() == 0:
            self.env_vars |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


class OneRank(Bench):
    """Whose bits all others must have."""

    @run_before("run")
    def set_up(self):
        self.bench(1, 1, "decode:1", "--no-roofs", "--repetitions", "10")

    @sanity_function
    def ran(self):
        return sn.assert_found(r"digest=[0-9a-f]{16}", self.stdout)


class OneRankByHead(OneRank):
    """And those of ranks that share a block."""
    options = "--sums by-head"


@rfm.simple_test
class TfrunBench(Bench):
    ranks = parameter([1, 2, 3, 4], type=int, loggable=True)
    threads = parameter([1], type=int, loggable=True)
    layout = parameter(["--split balanced", "--head split"], type=str, loggable=True)  # RANKS stands for the number of ranks
    cases = variable(str, value="decode:16,prefill:128,prefill:512,sequences:1,sequences:2,sequences:4,sequences:8")
    one_rank = fixture(OneRank, scope="environment")
    one_rank_by_head = fixture(OneRankByHead, scope="environment")

    @run_before("run")
    def set_up(self):
        self.skip_if(self.ranks == 1 and self.layout != "--split balanced", "one rank has nothing to share")
        words = self.layout.replace("RANKS", str(self.ranks)).split() if self.ranks > 1 else []
        self.bench(self.ranks, self.threads, self.cases, *words)

    @sanity_function
    def same_bits(self):
        alone = self.one_rank_by_head if "--tensor" in self.layout and self.ranks > 1 else self.one_rank
        want = sn.extractsingle(r"digest=([0-9a-f]{16})", os.path.join(alone.stagedir, alone.stdout.evaluate()), 1)
        digests = sn.extractall(r"^tfrun-perf: .*digest=([0-9a-f]{16})", self.stdout, 1)
        return sn.all([sn.assert_eq(sn.count(digests), len(self.cases.split(","))),
                       sn.all(sn.map(lambda digest: sn.assert_eq(digest, want), digests))])

    @run_before("performance")
    def figures(self):
        """A median of each case, and tokens a second of sequences."""
        self.perf_variables = {}
        for case in self.cases.split(","):
            name, n = case.split(":")
            line = rf"^tfrun-perf: case={name} n={n} .*?"
            self.perf_variables[f"{name}_{n}"] = sn.make_performance_function(
                sn.extractsingle(line + r"median_ms=(\S+)", self.stdout, 1, float), "ms")
            if name == "sequences":
                self.perf_variables[f"{name}_{n}_rate"] = sn.make_performance_function(
                    sn.extractsingle(line + r"tokens_per_s=(\S+)", self.stdout, 1, float), "tokens/s")

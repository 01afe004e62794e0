"""A study of ranks x threads x layouts x batch by ReFrame (PyPI reframe-hpc): every combination is a test with its figures.

    reframe -C scripts/study/reframe_site.py --system tfrun:mpirun -c scripts/study/tfrun_reframe.py -r --performance-report
    reframe ... -S config=/models/gpt2 -S options='--dtype bf16' -P ranks=1,2,4 -P threads=1,2

A test passes where all cases are there and the logits have the bits that one rank gives. Its document stays in the output folder, for
`tfrun scaling --report`.
"""
import os
import shlex
import shutil

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import parameter, run_before, sanity_function, variable

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@rfm.simple_test
class TfrunBench(rfm.RunOnlyRegressionTest):
    """`tfrun bench` on a number of ranks, by whatever launcher the system has; before it a short one of one process, for the bits."""
    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    ranks = parameter([1, 2, 3, 4], type=int, loggable=True)
    threads = parameter([1], type=int, loggable=True)
    layout = parameter(["--split balanced", "--head split"], type=str, loggable=True)  # RANKS stands for the number of ranks
    config = variable(str, value=os.path.join(ROOT, "configs", "demo"))
    program = variable(str, value=shutil.which("tfrun") or os.path.join(ROOT, "build", "bin", "tfrun"))
    options = variable(str, value="")
    cases = variable(str, value="decode:16,prefill:128,prefill:512,sequences:1,sequences:2,sequences:4,sequences:8")
    keep_files = ["document.json", "alone.txt"]

    @run_before("run")
    def set_up(self):
        self.skip_if(self.ranks == 1 and self.layout != "--split balanced", "one rank has nothing to share")
        layout = self.layout.replace("RANKS", str(self.ranks)).split() if self.ranks > 1 else []
        words = ["bench", self.config, "--threads", str(self.threads), *self.options.split()]
        alone = ["--cases", "decode:1"] + ["--no-roofs"] * ("--no-roofs" not in words)
        alone += ["--sums", "by-head"] * ("--tensor" in layout and "--sums" not in words)  # what ranks that share a block add up to
        self.num_tasks, self.num_cpus_per_task = self.ranks, self.threads
        self.prerun_cmds = [" ".join(map(shlex.quote, [self.program, *words, *alone])) + " > alone.txt"]
        self.executable = self.program
        self.executable_opts = [*map(shlex.quote, [*words, *layout, "--cases", self.cases]), "--save", "document.json"]
        self.env_vars = {"OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
        if os.getuid() == 0:
            self.env_vars |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

    @sanity_function
    def same_bits(self):
        want = sn.extractsingle(r"digest=([0-9a-f]{16})", "alone.txt", 1)
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

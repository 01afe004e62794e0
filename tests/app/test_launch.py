#!/usr/bin/env python3
"""test_launch.py TFRUN NAME SOURCE_DIR: --ranks N against made-up launchers that print what they were given, one behaviour a case.

`test_launch.py --list` prints the names. Python's own library only.
"""
import os
import shlex
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main

RUN_COMMANDS = ("generate", "forward", "eval", "score", "classify", "profile", "load", "repl", "serve", "bench", "topology", "doctor")
LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMI_SIZE", "PMIX_RANK", "SLURM_JOB_ID", "SLURM_CPUS_PER_TASK")


class Launch:
    """The program with a PATH that has the made-up launchers alone."""

    def __init__(self, program, source_dir, folder):
        self.program, self.folder = program, folder
        self.demo = str(source_dir / "configs" / "demo")
        self.environment = {name: value for name, value in os.environ.items() if name not in LAUNCHERS}
        (folder / "bin").mkdir()
        for tool in ("sh", "printf"):
            (folder / "bin" / tool).symlink_to("/usr/bin/" + tool if os.path.exists("/usr/bin/" + tool) else "/bin/" + tool)
        self.environment["PATH"] = str(folder / "bin")

    def fake(self, name, version):
        """Answers --version and --mpi=list with `version`, prints a line for each word otherwise."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\ncase $1 in --version|--mpi=list) echo {shlex.quote(version)}; exit 0;; esac\n"
                        'printf "%s\\n" "$0" "$@"\n')
        path.chmod(0o755)

    def run(self, *words, code=0, **environment):
        ran = subprocess.run([self.program, *words], env={**self.environment, **environment}, stdin=subprocess.DEVNULL,
                             capture_output=True, timeout=60 * SLOWER)
        expect(ran.returncode == code, "exit code", ran.returncode, ran.stderr.decode())
        return ran.stdout.decode().splitlines(), ran.stderr.decode()


def root_words():
    return ["--allow-run-as-root"] if os.geteuid() == 0 else []


@case
def mpirun_gets_the_command_line_without_ranks(launch):
    launch.fake("mpirun", "mpirun (Open MPI) 4.1.4")
    given, said = launch.run("generate", launch.demo, "--ranks", "4", "-p", "it's a \"day\"", "--set=sampling.seed=3", "-n3")
    want = ["--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", *root_words(), "-n", "4", launch.program, "generate", launch.demo,
            "-p", "it's a \"day\"", "--set=sampling.seed=3", "-n3"]
    expect_same(given[1:], want)
    expect_same(shlex.split(said.strip())[1:], ["mpirun", *want])
    expect(said.startswith("tfrun: mpirun ") and said.count("\n") == 1, said)


@case
def the_flag_may_stand_anywhere(launch):
    launch.fake("mpirun", "HYDRA build details:")
    for words in (["--ranks=2", launch.demo], [launch.demo, "--ranks=2"], [launch.demo, "--ranks", "3", "--ranks", "2"],
                  ["--ranks", "2", launch.demo]):
        given, _ = launch.run(*words, "-n", "2")
        expect_same(given[1:], ["-n", "2", launch.program, launch.demo, "-n", "2"])


@case
def a_text_that_looks_like_the_flag_stays(launch):
    launch.fake("mpirun", "HYDRA build details:")
    given, _ = launch.run(launch.demo, "--ranks", "2", "-p", "--ranks", "-p", "2", "--", "--ranks=2")
    expect_same(given[1:], ["-n", "2", launch.program, launch.demo, "-p", "--ranks", "-p", "2", "--", "--ranks=2"])


@case
def every_command_that_runs_on_ranks_takes_it(launch):
    launch.fake("mpirun", "HYDRA build details:")
    for command in RUN_COMMANDS:
        operands = [] if command == "topology" else [launch.demo]
        given, _ = launch.run(command, *operands, "--ranks", "2")
        expect_same(given[1:], ["-n", "2", launch.program, command, *operands])
        shown, _ = launch.run(command, "--help")
        expect(any(line.strip().startswith("--ranks N") for line in shown), command)


@case
def srun_is_taken_inside_an_allocation(launch):
    launch.fake("mpirun", "mpirun (Open MPI) 4.1.4")
    launch.fake("srun", "MPI plugin types are... none pmix pmix_v4")
    inside = {"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "8", "SLURM_JOB_NUM_NODES": "2"}
    cases = (("4", {}, ["-c", "4"]), ("3", {}, ["-c", "5"]), ("4", {"SLURM_CPUS_PER_TASK": "2"}, ["-c", "2"]),
             ("14", {"SLURM_CPUS_ON_NODE": "4"}, ["--overcommit"]))
    for n_ranks, more, cpus in cases:
        given, _ = launch.run(launch.demo, "--ranks", n_ranks, **{**inside, **more})
        expect(given[0].endswith("/srun"), given)
        expect_same(given[1:], ["--mpi=pmix", "--kill-on-bad-exit=1", "-n", n_ranks, *cpus, launch.program, launch.demo])
    given, _ = launch.run(launch.demo, "--ranks", "2", SLURM_JOB_ID="7", SLURM_JOB_CPUS_PER_NODE="4(x2)", SLURM_JOB_NUM_NODES="2")
    expect_same(given[1:7], ["--mpi=pmix", "--kill-on-bad-exit=1", "-n", "2", "-c", "4"])
    given, _ = launch.run(launch.demo, "--ranks", "2")
    expect(given[0].endswith("/mpirun"), given)


@case
def srun_without_pmix_is_passed_over(launch):
    launch.fake("mpirun", "HYDRA build details:")
    launch.fake("srun", "MPI plugin types are... none cray_shasta")
    given, _ = launch.run(launch.demo, "--ranks", "2", SLURM_JOB_ID="7", SLURM_CPUS_ON_NODE="8")
    expect(given[0].endswith("/mpirun"), given)


@case
def what_shows_without_loading_is_told_before(launch):
    launch.fake("mpirun", "HYDRA build details:")
    wrong = ((("--dtype", "foo"), 2, "--dtype"), (("--tensor", "4"), 2, "no whole stages"), (("--top-k", "-7"), 2, "--top-k"),
             (("--weights", "/nowhere"), 5, "/nowhere"), (("--nonsense",), 2, "--nonsense"))
    for words, code, sentence in wrong:
        given, said = launch.run(launch.demo, "--ranks", "2", *words, code=code)
        expect(not given and sentence in said and "tfrun: mpirun" not in said, given, said)
    given, said = launch.run(launch.demo, "--ranks", "2", "--tensor", "2", "-q")
    expect(given and said == "", given, said)


@case
def without_a_launcher_the_fix_is_told(launch):
    _, said = launch.run(launch.demo, "--ranks", "2", code=5)
    expect("--ranks 2 needs mpirun" in said and ("openmpi-bin" in said or "package mpich" in said), said)


@case
def a_launcher_that_cannot_be_asked_is_told_with_the_fix(launch):
    path = launch.folder / "bin" / "mpirun"
    path.write_text("#!/nowhere/sh\n")
    path.chmod(0o755)
    given, said = launch.run(launch.demo, "--ranks", "2", code=5)
    expect(not given and "--ranks 2: mpirun can't be asked what it is: No such file" in said and "mpirun -n 2 tfrun" in said, given, said)


@case
def inside_a_launcher_it_is_refused(launch):
    launch.fake("mpirun", "HYDRA build details:")
    _, said = launch.run(launch.demo, "--ranks", "2", code=2, OMPI_COMM_WORLD_SIZE="1", OMPI_COMM_WORLD_RANK="0")
    expect("leave --ranks out" in said, said)


@case
def one_rank_needs_no_launcher(launch):
    given, said = launch.run(launch.demo, "--ranks", "1", "-n", "2", "-p", "A", "-q")
    expect(given and "mpirun" not in said, given, said)


@case
def bad_numbers_and_other_commands_are_refused(launch):
    for value in ("0", "-2", "two", "4097", ""):
        _, said = launch.run(launch.demo, f"--ranks={value}", code=2)
        expect("is not a whole number in 1..4096" in said, said)
    _, said = launch.run("tokenize", launch.demo, "--ranks", "2", code=2)
    expect("--ranks is not an option" in said, said)


if __name__ == "__main__":
    sys.exit(main(Launch))

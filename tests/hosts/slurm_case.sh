#!/bin/bash
# slurm_case.sh TFRUN CONFIG WIRING MPIEXEC: within scripts/slurm_here: ranks by srun, by --ranks in an allocation, by mpiexec in a batch
# job have the bits of one process, and the doctor sees what srun does unasked. WIRING: pmix, or pmi2 of MPICH.
tfrun=$1 config=$2 wiring=$3 mpiexec=$4
say() { "$@" 2>/tmp/said.$$ | grep -o '"logits_digest":"[^"]*"' || { echo "failed: $*"; cat /tmp/said.$$; }; }
run=("$tfrun" "$config" -n 4 -p Once --ignore-eos --temperature 0 --json)
want=$(say "${run[@]}")
failed=0
check() {
    if [ "$2" = "$want" ]; then echo "same: $1"; else echo "$1: $2 is not $want"; failed=1; fi
}
check "srun" "$(say srun --mpi=$wiring --overcommit -n 2 "${run[@]}")"
check "srun of three" "$(say srun --mpi=$wiring --overcommit -n 3 "${run[@]}")"
check "--ranks in salloc" "$(say salloc -n 1 "${run[@]}" --ranks 2)"
few_cores="--allow-run-as-root --map-by :OVERSUBSCRIBE --bind-to none"
"$mpiexec" --version | grep -q HYDRA && few_cores=
printf '#!/bin/sh\n%s %s -n 2 %s\n' "$mpiexec" "$few_cores" "${run[*]}" >/run/batch
sbatch --wait -n 1 -o /run/batch.out /run/batch >/dev/null
check "mpiexec in sbatch" "$(grep -o '"logits_digest":"[^"]*"' /run/batch.out || cat /run/batch.out)"
if [ "$(nproc)" -gt 1 ]; then
    srun --mpi=$wiring -n 1 "$tfrun" doctor | grep -q "srun gave rank 0 on .* 1 CPU" || { echo "the doctor sees no task with one CPU"; failed=1; }
    srun --mpi=$wiring -n 1 -c "$(nproc)" "$tfrun" doctor || failed=1
fi
rm -f /tmp/said.$$
exit $failed

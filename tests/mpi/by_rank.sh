#!/bin/sh
# by_rank.sh COMMAND... OTHERS OTHER...: rank 0 runs COMMAND, every other rank OTHER.
rank=${OMPI_COMM_WORLD_RANK:-${PMI_RANK:?no launcher}}
n_first=0
for word in "$@"; do
    [ "$word" != OTHERS ] || break
    n_first=$((n_first + 1))
done
if [ "$rank" != 0 ]; then
    shift $((n_first + 1))
    exec "$@"
fi
n_rest=$(($# - n_first))
while [ "$n_first" -gt 0 ]; do # COMMAND to the end, then the rest goes
    set -- "$@" "$1"
    shift
    n_first=$((n_first - 1))
done
shift "$n_rest"
exec "$@"

#!/bin/sh
# one_core.sh COMMAND ARGUMENT...: the command, bound to the first CPU that this process may use, as a launcher may do to every rank.
first=$(sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\).*/\1/p' /proc/self/status)
exec taskset -c "$first" "$@"

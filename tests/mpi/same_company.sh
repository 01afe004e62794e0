#!/bin/sh
# same_company.sh PROGRAM CONFIG CHUNK LAUNCHER...: the program prints the same line for chunks of 100 on one rank and for chunks of
# CHUNK under the launcher.
program=$1
config=$2
chunk=$3
shift 3
one=$("$program" "$config" 100) || exit 1
other=$("$@" "$program" "$config" "$chunk") || exit 1
[ -n "$one" ] && [ "$one" = "$other" ] || { echo "one rank: $one, under the launcher: $other"; exit 1; }

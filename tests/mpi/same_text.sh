#!/bin/sh
# same_text.sh TFRUN CONFIG LAUNCHER...: one rank alone and the ranks under the launcher give the same ids and the same digest of logits.
program=$1
config=$2
shift 2
facts='s/.*"logits_digest":"\([0-9a-f]*\)".*"ids":\(\[[0-9,]*\]\).*/\1 \2/p'
one=$(TFRUN_COMM_BACKEND='' "$program" "$config" -n 12 --temperature 0 --json | sed -n "$facts") || exit 1
other=$("$@" "$program" "$config" -n 12 --temperature 0 --json | sed -n "$facts") || exit 1
[ -n "$one" ] && [ "$one" = "$other" ] || { echo "one rank: $one, under the launcher: $other"; exit 1; }

#!/bin/sh
# once.sh COMMAND...: must succeed and print exactly one line on stdout.
lines=$("$@" | wc -l)
[ "$lines" -eq 1 ] || { echo "expected one line, got $lines"; exit 1; }

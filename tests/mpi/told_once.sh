#!/bin/sh
# told_once.sh CODE WORDS COMMAND...: the command must end with CODE (or "fail": any but 0), and one line of its stderr, no more, begins
# with "tfrun: " and has WORDS.
code=$1
words=$2
shift 2
said=$("$@" 2>&1 >/dev/null)
got=$?
printf '%s\n' "$said"
case $code in
fail) [ "$got" -ne 0 ] || { echo "expected a failure, got exit code 0"; exit 1; } ;;
*) [ "$got" -eq "$code" ] || { echo "expected exit code $code, got $got"; exit 1; } ;;
esac
lines=$(printf '%s\n' "$said" | grep -c '^tfrun: ')
[ "$lines" -eq 1 ] || { echo "expected one sentence, got $lines"; exit 1; }
case $said in
*"$words"*) ;;
*) echo "expected the words: $words"; exit 1 ;;
esac

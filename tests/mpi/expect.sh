#!/bin/sh
# expect.sh CODE WORDS COMMAND...: the command must end with CODE (or "fail": any but 0) and print WORDS.
code=$1
words=$2
shift 2
output=$("$@" 2>&1)
got=$?
printf '%s\n' "$output"
case $code in
fail) [ "$got" -ne 0 ] || { echo "expected a failure, got exit code 0"; exit 1; } ;;
*) [ "$got" -eq "$code" ] || { echo "expected exit code $code, got $got"; exit 1; } ;;
esac
case $output in
*"$words"*) ;;
*) echo "expected the words: $words"; exit 1 ;;
esac

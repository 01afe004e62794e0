#!/bin/sh
# Every C file of the tree is as clang-format writes it with the tree's .clang-format. Versions differ in small things, so
# version 14 (Debian 12) is the one that counts; with another, or none, the test is skipped.
# usage: check_format.sh SOURCE_DIR
set -eu
cd "$1"
format=""
for name in clang-format-14 clang-format; do
    if command -v "$name" >/dev/null 2>&1 && "$name" --version | grep -q "version 14\."; then
        format=$name
        break
    fi
done
if [ -z "$format" ]; then
    echo "check_format: needs clang-format 14; skipped"
    exit 77
fi
find core parallel plugins tests \( -name '*.c' -o -name '*.h' \) -print0 | xargs -0 "$format" --dry-run -Werror

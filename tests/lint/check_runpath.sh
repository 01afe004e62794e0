#!/bin/sh
# check_runpath.sh BUILD: no program and no library, in the build folder or installed from it, looks for libraries in the
# current folder: an element of a RUNPATH that is empty or relative means that one. Skipped (77) without readelf.
set -eu
build=$1
command -v readelf >/dev/null || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/installed" >/dev/null

find "$build/bin" "$build/lib" "$work/installed" -type f \( -perm -u+x -o -name '*.so*' \) >"$work/files"
while read -r file; do
    readelf -d "$file" 2>/dev/null | sed -n 's/.*(R[UN]*PATH).*\[\(.*\)\]$/\1/p' | while read -r runpath; do
        case ":$runpath:" in
        *::*) echo "$file: an element of its RUNPATH \"$runpath\" is empty: the current folder" ;;
        esac
        echo "$runpath" | tr ':' '\n' | sed -n "/^[^/\$]/s|^|$file: a relative element of its RUNPATH: |p"
    done
done <"$work/files" >"$work/faults"
if ! grep -q 'libtfrun' "$work/files"; then
    echo "no libtfrun among the files; this script looks in the wrong place"
    exit 1
fi
cat "$work/faults"
test ! -s "$work/faults"

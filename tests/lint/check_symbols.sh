#!/bin/sh
# check_symbols.sh SOURCE BUILD: libtfrun.so exports the TFR_API functions of tfrun.h and its parts, and nothing else; each plugin
# exports tfr_plugin_entry, the MPI back end tfr_comm_backend. Skipped (77) in a sanitizer build, which exports symbols of its own.
set -eu
source=$1
build=$2
if grep -q '^TFRUN_SANITIZE:STRING=.' "$build/CMakeCache.txt"; then
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# expect FILE SYMBOLS...: the defined dynamic symbols of FILE are those in $work/expected. A linker exports its marks of the end of
# the data too where a library beside it does (oneDNN 3 of the wheels).
expect() {
    nm -D --defined-only "$1" | awk '$2 != "A" && $NF !~ /^(_edata|_end|__bss_start)$/ {print $NF}' |
        sed 's/@@TFRUN_[0-9]*$//' | LC_ALL=C sort >"$work/found"
    if ! diff "$work/expected" "$work/found" >"$work/difference"; then
        failed=1
        echo "$1: < declared but not exported, > exported but not declared"
        grep '^[<>]' "$work/difference"
    fi
}

# A declaration starts with TFR_API; the function is the word before the first parenthesis.
api=$source/core/include
parts=$(sed -n "s|^#include <\(tfrun/.*\.h\)>\$|$api/\1|p" "$api/tfrun/tfrun.h" | grep -v 'types\.h$')
# shellcheck disable=SC2086 # a word for each part
cat "$api/tfrun/tfrun.h" $parts | tr '\n' ' ' | sed 's/TFR_API/\n&/g' |
    sed -n 's/^TFR_API [^(;]*[ *]\(tfr_[a-z0-9_]*\)(.*/\1/p' | LC_ALL=C sort >"$work/expected"
if [ "$(wc -l <"$work/expected")" -lt 20 ]; then
    echo "tfrun.h: found only $(wc -l <"$work/expected") declarations; this script reads it wrongly"
    exit 1
fi
expect "$build/lib/libtfrun.so"
if grep -q '^TFR_LINKER_HAS_VERSIONS:INTERNAL=1' "$build/CMakeCache.txt"; then
    soname=$(objdump -p "$build/lib/libtfrun.so" | sed -n 's/^ *SONAME *//p')
    if nm -D --defined-only "$build/lib/libtfrun.so" | grep -v ' A ' | grep -v "@@TFRUN_${soname##*.}\$"; then
        failed=1
        echo "libtfrun.so: these names have no version, or another than that of $soname"
    fi
fi

for plugin in "$build"/lib/tfrun/plugins/*.so; do
    [ -e "$plugin" ] || continue # plugins linked statically
    case $plugin in
    */comm_*.so) echo tfr_comm_backend >"$work/expected" ;;
    *) echo tfr_plugin_entry >"$work/expected" ;;
    esac
    expect "$plugin"
done
exit $failed

# shellcheck shell=sh
# Sourced by scripts/test_packages, scripts/test_roots and scripts/test_compilers: clean roots of distributions, made by debootstrap from the mirror that this
# machine's apt uses, and commands in them. Needs root.

# mirror_of DISTRIBUTION: address of its main archive in apt's configuration; nothing where apt has none.
mirror_of() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Label: $1" 'Component: main' | head -1
}

# make_root NAME SUITE FOLDER: fills FOLDER unless it is there whole, and says on stdout what was done; false after a sentence. It is called
# in conditions, where `set -e` does not hold.
make_root() {
    case $2 in
    noble | jammy) distribution=Ubuntu ;;
    *) distribution=Debian ;;
    esac
    mirror=$(mirror_of $distribution)
    if [ -f "$3/.complete" ]; then
        return 0
    elif [ -z "$mirror" ]; then
        echo "$1: no root of $2: this machine's apt knows no archive of $distribution"
        return 1
    elif [ ! -e "/usr/share/debootstrap/scripts/$2" ]; then
        echo "$1: no root of $2: this debootstrap does not know it"
        return 1
    fi
    rm -rf "$3"
    mkdir -p "$3"
    if ! debootstrap --variant=minbase "$2" "$3" "$mirror" >"$3.log" 2>&1; then
        echo "$1: no root of $2: debootstrap failed: $(tail -1 "$3.log")"
        return 1
    fi
    apt-config dump | grep -i '^Acquire::https\?::.*Proxy' >"$3/etc/apt/apt.conf.d/99proxy" || true
    echo "deb $mirror $2 main" >"$3/etc/apt/sources.list" &&
        printf '#!/bin/sh\nexit 101\n' >"$3/usr/sbin/policy-rc.d" && # no service starts in it
        chmod +x "$3/usr/sbin/policy-rc.d" &&
        cp /etc/resolv.conf /etc/hosts "$3/etc/" &&
        echo 'force-unsafe-io' >"$3/etc/dpkg/dpkg.cfg.d/fast" &&
        touch "$3/.complete" || { echo "$1: no root of $2: $3 can't be filled"; return 1; }
}

# copy_root FROM TO: a fresh copy to install into.
copy_root() {
    rm -rf "$2"
    cp -a --reflink=auto "$1" "$2"
}

# in_root FOLDER WORD...: runs as root in it, with /proc, /sys, /dev and a /tmp of its own.
in_root() {
    unshare --mount --pid --kill-child sh -ec '
        mount -t proc proc "$1/proc"
        mount --rbind /dev "$1/dev"
        mount --rbind /sys "$1/sys"
        mount -t tmpfs tmpfs "$1/tmp"
        exec chroot "$@"' sh "$@"
}

# as_user FOLDER SCRIPT: as an ordinary user, with an environment of nothing but what a login has.
as_user() {
    in_root "$1" env -i HOME=/home/tester USER=tester LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin setpriv --reuid=tester --regid=tester \
        --init-groups sh -ec "cd; $2"
}

# install_in FOLDER PACKAGE...
install_in() {
    folder=$1
    shift
    in_root "$folder" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

#!/bin/sh
# Prints the lines of apt's sources for Debian's SUITE at the mirror DEBIAN_MIRROR, its security updates included.
# Usage: deps/debian-mirror.sh SUITE
#        deps/debian-mirror.sh --install   (as root: apt has these in place of all that it had, for its own release)
#        deps/debian-mirror.sh --check
# Environment: DEBIAN_MIRROR, as http://mirror.example/debian; DEBIAN_SECURITY_MIRROR (empty: debian-security beside it).
# Exit status: 0; 1 with one line on stderr that names the variable, the value and the format.
# apt checks Debian's signature, so http will do; https wants ca-certificates on the machine.
set -eu

# A user and a password would be kept in images.
check() {
    pattern='https?://[][A-Za-z0-9.:-]+(/[A-Za-z0-9._~%+:-]+)+/?'
    case $2 in
    *"
"*) ;;
    *) ! printf '%s\n' "$2" | grep -Eqx -- "$pattern" || return 0 ;;
    esac
    printf "debian-mirror: %s: '%s' is not an http or https URL with a path and without a password, such as http://mirror.example/debian\n" \
        "$1" "$(printf '%.100s' "$2" | sed 's|://.*@|://|' | tr -c '[:print:]' '?')" >&2
    exit 1
}

# lines SUITE
lines() {
    echo "deb $mirror $1 main"
    echo "deb $mirror $1-updates main"
    echo "deb $security $1-security main"
}

# signed: the lines on stdin with the keyring named, as not every release of apt trusts it unasked.
signed() {
    for keyring in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
        [ ! -f "$keyring" ] || break
    done
    sed "s|^deb |&[signed-by=$keyring] |"
}

# The suite of this machine's own release.
own_suite() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; }

check DEBIAN_MIRROR "${DEBIAN_MIRROR-}"
[ -z "${DEBIAN_SECURITY_MIRROR-}" ] || check DEBIAN_SECURITY_MIRROR "$DEBIAN_SECURITY_MIRROR"
mirror=${DEBIAN_MIRROR%/}
security=${DEBIAN_SECURITY_MIRROR:-${mirror%/*}/debian-security}
case $1 in
--check) ;;
--install)
    rm -f /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources
    lines "$(own_suite)" | signed >/etc/apt/sources.list
    ;;
*) lines "$1" ;;
esac

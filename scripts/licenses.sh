#!/bin/sh
# Prints the licences of the program and of what is linked into it, with a notice of each.
#
#   scripts/licenses.sh LIBRARIES [static]
#
# LIBRARIES is the folder that deps/build.sh made; "static": the C library is linked in too.
# Environment: NAME; SOURCE_URL (empty: not known); CC (cc), whose C library it is.
# Exit status: 0; 1 with one line on stderr when a licence is not to be found.
# Run it from the root of the project.
set -eu
# shellcheck source-path=SCRIPTDIR source=../deps/lib.sh
. "$(dirname "$0")/../deps/lib.sh"
here=$(cd "$here/../deps" && pwd)

self=licenses
CC=${CC:-cc}
libraries=$1
linkage=${2-}
work=

# part TITLE FILE
part() {
    printf '\n\n======== %s ========\n\n' "$1"
    cat "$2"
}

# libc_licence ARCHIVE: the licence file of the package that the C library came in.
libc_licence() {
    package=$(package_of "$1") || package=none
    for file in "/usr/share/doc/${package%% *}/copyright" /usr/share/licenses/musl*/COPYRIGHT; do
        if [ -f "$file" ]; then
            echo "$file"
            return
        fi
    done
    die "no licence of $1: neither /usr/share/doc/PACKAGE/copyright nor /usr/share/licenses/musl*/COPYRIGHT"
}

finish() { rm -rf "$work"; }

finish_always
make_work
cat <<NOTICE
$NAME is under the licence of the first part. It contains libmicrohttpd, which is covered by the GNU
Lesser General Public License: you may use, modify and pass on that library, and link $NAME with a
version of your own. The library's source and everything that it takes to build and link $NAME again
are published beside it${SOURCE_URL:+ and at $SOURCE_URL}. The licences of all that it contains follow.
NOTICE
part "$NAME" LICENSE
program_pins >"$work/pins"
while read -r library version _; do
    for file in "$libraries/licenses/$library"/*; do
        part "$library $version" "$file"
    done
done <"$work/pins"
[ "$linkage" = static ] || exit 0
linked_archives >"$work/archives" || die "$why"
file=$(libc_licence "$(grep '/libc\.a$' "$work/archives")")
part 'the C library' "$file"

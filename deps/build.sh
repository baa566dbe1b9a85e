#!/bin/sh
# Fetches the pinned libraries and builds them, static, into PREFIX:
#
#   deps/build.sh PREFIX
#
# Environment:
#   CC, AR, CFLAGS  compiler and archiver (may have arguments), flags: cc, ar, -O2 -g
#   DEPS_MIRROR     folder, file:// or http(s):// URL with the tarballs under the names in pins; then the only source
#   DEPS_CACHE      folder that keeps the verified tarballs: build/deps/sources in the project
#   JOBS            compilations at a time: nproc
#   TMPDIR          where the work is done: /tmp
#
# PREFIX then has:
#   include/        microhttpd.h, cjson/cJSON.h, cmocka.h, cmocka_pbc.h, cmocka_version.h
#   lib/            libmicrohttpd.a (wants -pthread), libcjson.a, libcmocka.a
#   licenses/NAME/  the licence text of each
#   kernel-headers/ linux, asm and asm-generic for a compiler that does not see them, as Debian's musl-gcc;
#                   else empty. Compile with -idirafter PREFIX/kernel-headers, whatever the compiler.
#   static-pie      flags that link a static PIE: put @PREFIX/static-pie into the link line, before the objects.
#                   Not there where the compiler cannot make one.
#   .complete       what it was built from; a run that would build the same again returns at once
#
# PREFIX appears whole or not at all. PREFIX.lock lets one run at a time build it; after a failed step
# PREFIX.log has the output.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

export LC_ALL=C
# A make that calls this would hand its variables (CFLAGS, VERSION) down to the libraries' makefiles,
# and configure would take the others.
unset MAKEFLAGS MFLAGS GNUMAKEFLAGS MAKEFILES MAKELEVEL CPPFLAGS LDFLAGS LIBS CPP CONFIG_SITE

CC=${CC:-cc}
AR=${AR:-ar}
CFLAGS=${CFLAGS:--O2 -g}
DEPS_MIRROR=${DEPS_MIRROR:-}
cache=${DEPS_CACHE:-$here/../build/deps/sources}
work='' stage='' log=''

# --- the machine's tools ---

# True when the compiler, with FLAGS, makes a program of the C text on stdin.
# shellcheck disable=SC2086 # CC and the flags are lists
compiles() { $CC ${1-} -x c -o "$work/probe" - 2>"$work/probe.log"; }

# True when the compiler finds the kernel's headers by itself.
# shellcheck disable=SC2086 # CC is a list
sees_kernel_headers() { echo '#include <linux/version.h>' | $CC -E -x c - >/dev/null 2>&1; }

# Prints what this machine lacks, one a line.
missing_tools() {
    for tool in "${CC%% *}" "${AR%% *}" make tar gzip xz sha256sum awk flock; do
        command -v "$tool" >/dev/null || echo "$tool"
    done
    command -v "${CC%% *}" >/dev/null || return 0
    printf '#include <stdio.h>\nint main(void) { return puts(""); }\n' | compiles || echo "a C library for $CC"
    sees_kernel_headers || [ -d /usr/include/linux ] || echo 'the headers of Linux'
}

# Prints the command that installs everything, where this system is one we know.
install_command() {
    case $CC in *clang*) compiler=' clang' ;; *) compiler= ;; esac
    if command -v apt-get >/dev/null; then
        case $CC in *musl*) compiler=' musl-tools' ;; esac
        echo "apt-get install build-essential xz-utils$compiler"
    elif command -v dnf >/dev/null; then
        case $CC in *musl*) compiler=' musl-gcc' ;; esac
        echo "dnf install gcc make tar gzip xz gawk util-linux kernel-headers$compiler"
    else
        echo "this system's package manager"
    fi
}

check_tools() {
    missing=$(missing_tools | paste -sd , - | sed 's/,/, /g')
    [ -z "$missing" ] || die "missing: $missing; install with: $(install_command)"
    echo 'int main(void) { return 0; }' | compiles "$CFLAGS" ||
        die "$CC does not take CFLAGS '$CFLAGS': $(head -n 1 "$work/probe.log")"
}

# --- the sources ---

# Fetches TARBALL from DEPS_MIRROR into FILE.
fetch_mirror() {
    case $DEPS_MIRROR in
    http://* | https://*) fetch_url "${DEPS_MIRROR%/}/$1" "$2" ;;
    *) quietly cp "${DEPS_MIRROR#file://}/$1" "$2" ;;
    esac
}

# Fetches into work/new what Debian's archive has of the pins in work/wanted, in one go: its index is 11 MB.
# What it has not is missing there afterwards, and `archive_why` is the reason.
fetch_archive() {
    # shellcheck disable=SC2046 # a list
    if ! archive_open "$(pinned_suite)" || ! archive_newest $(source_packages <"$work/wanted") >"$work/newest"; then
        archive_why=$why
        return
    fi
    packages=
    while read -r name version _ _ tarball _; do
        if grep -qxF "$tarball" "$work/newest"; then
            say "fetching $name $version from the archive"
            packages="$packages ${tarball%%_*}"
        else
            archive_why="which has $(version_of "$(grep "^${tarball%%_*}_" "$work/newest")") now"
            say "$name $version is gone from the archive, $archive_why:" \
                "'make deps-update' renews the pin, or DEPS_MIRROR can serve $tarball"
        fi
    done <"$work/wanted"
    # shellcheck disable=SC2086 # a list
    [ -z "$packages" ] || archive_download "$work/new" $packages || archive_why=$why
}

# Leaves the tarball of every pin, its SHA-256 checked, in the cache. What is not there yet comes from DEPS_MIRROR
# alone where that is set, else from the archive, else from upstream.
fetch_sources() {
    mkdir -p "$cache" "$work/new"
    pins >"$work/pins"
    while read -r name version debian sha256 tarball upstream _; do
        matches "$cache/$tarball" "$sha256" || echo "$name $version $debian $sha256 $tarball $upstream"
    done <"$work/pins" >"$work/wanted"
    [ -s "$work/wanted" ] || return 0

    [ -n "$DEPS_MIRROR" ] || fetch_archive
    while read -r name version _ sha256 tarball upstream; do
        file=$work/new/$tarball
        if [ -n "$DEPS_MIRROR" ]; then
            source=$DEPS_MIRROR
            say "fetching $name $version from $source"
            fetch_mirror "$tarball" "$file" || die "cannot get $tarball from $source: $why"
        elif [ -f "$file" ]; then
            source='the archive'
        else
            source=$upstream
            say "fetching $name $version from $source"
            fetch_url "$source" "$file" || die "cannot get $name $version from the archive ($archive_why)" \
                "or from upstream ($why); DEPS_MIRROR can name a folder or URL that has $tarball"
        fi
        matches "$file" "$sha256" ||
            die "$tarball from $source has SHA-256 $(sha256_of "$file"), but $sha256 is pinned"
        # Renamed into place, so that no other run ever sees half a file.
        cp "$file" "$cache/.$tarball.$$"
        mv -f "$cache/.$tarball.$$" "$cache/$tarball"
    done <"$work/wanted"
}

# --- the libraries ---

# Runs a command with its output in the log, and without the lock, which the daemon of a compiler cache would keep.
logged() { run "$@" >>"$log" 2>&1 9>&-; }

# Compiles FILE, with FLAGS... of its own, into LIBRARY.
# shellcheck disable=SC2086 # CC, AR and the flags are lists
build_file() {
    file=$1 library=$2
    shift 2
    logged $CC $flags "$@" -c "$file" -o "$library.o"
    logged $AR rcsD "$stage/lib/$library.a" "$library.o"
}

build_libmicrohttpd() {
    # The archiver makes the index too (s), and leaves dates and owners out (D). configure insists on a pkg-config,
    # which it would use for TLS only. What is said to be found out about shutdown() has it stop its threads by other
    # means: it would shut the listening socket down when it cannot start, which a service manager may have passed.
    logged ./configure --quiet --disable-dependency-tracking --disable-shared --enable-static \
        --disable-https --disable-bauth --disable-dauth --disable-postprocessor --disable-httpupgrade \
        --disable-cookie --disable-messages --disable-compact-code --disable-doc --disable-examples --disable-tools \
        --disable-curl --disable-poll --disable-sendfile mhd_cv_host_shtdwn_trgr_select=no \
        CC="$CC" CFLAGS="$flags" AR="$AR" AR_FLAGS=crsD RANLIB=: PKG_CONFIG=true
    logged make -C src/microhttpd -j "${JOBS:-$(nproc)}" libmicrohttpd.la
    cp src/microhttpd/.libs/libmicrohttpd.a "$stage/lib/"
    cp src/include/microhttpd.h "$stage/include/"
}

build_cJSON() {
    build_file cJSON.c libcjson
    mkdir "$stage/include/cjson"
    cp cJSON.h "$stage/include/cjson/"
}

build_cmocka() {
    # What its cmake would find out on any Linux.
    build_file src/cmocka.c libcmocka -Iinclude -D_GNU_SOURCE -D_XOPEN_SOURCE=700 \
        -DHAVE_INTTYPES_H -DHAVE_MALLOC_H -DHAVE_SIGNAL_H -DHAVE_STRINGS_H -DHAVE_SIGLONGJMP -DHAVE_STRSIGNAL \
        -DHAVE_STRUCT_TIMESPEC -DHAVE_CLOCK_REALTIME -DHAVE_GCC_THREAD_LOCAL_STORAGE
    cp include/cmocka.h include/cmocka_pbc.h "$stage/include/"
    minor=${version#*.}
    sed -e "s/@cmocka_VERSION_MAJOR@/${version%%.*}/" -e "s/@cmocka_VERSION_MINOR@/${minor%.*}/" \
        -e "s/@cmocka_VERSION_PATCH@/${version##*.}/" include/cmocka_version.h.cmake >"$stage/include/cmocka_version.h"
}

# Links the kernel's headers, and nothing of another C library, where the compiler does not see them.
link_kernel_headers() {
    mkdir "$stage/kernel-headers"
    if sees_kernel_headers; then return; fi
    for folder in linux asm-generic asm "$(uname -m)-linux-gnu/asm"; do
        [ ! -d "/usr/include/$folder" ] || ln -s "/usr/include/$folder" "$stage/kernel-headers/"
    done
}

# Leaves in static-pie the flags that really link a static PIE, found by trying: before musl 1.2.5 (Debian 12) musl-gcc
# knows neither -static-pie nor the start file that relocates such a program, and makes a dynamic one without a word.
# Relocations in few bytes (RELR) need a linker and a libc that know them: musl since 1.2.4.
find_static_pie() {
    # shellcheck disable=SC2086 # CC is a list
    musl=$($CC -v 2>&1 | sed -n 's|^Reading specs from \(.*/\)[^/]*$|\1|p' | tail -n 1)
    by_hand="-nostartfiles -Wl,-static,-pie,--no-dynamic-linker,-z,text ${musl}rcrt1.o ${musl}crti.o ${musl}crtn.o"
    for flags in '-static-pie -Wl,-z,pack-relative-relocs' -static-pie "-static-pie $by_hand"; do
        echo 'int main(void); int (*volatile f)(void) = main; int main(void) { return f != main; }' |
            compiles "-fPIE $flags" || continue
        if ! readelf -lW "$work/probe" | grep -q INTERP && "$work/probe"; then
            echo "$flags" >"$stage/static-pie"
            return
        fi
    done
}

build_all() {
    mkdir -p "$stage/include" "$stage/lib"
    # Fit for a static PIE, and the same bytes wherever they are built.
    flags="$CFLAGS -fPIE -ffile-prefix-map=$work=deps"
    while read -r name version _ _ tarball _; do
        say "building $name $version"
        mkdir -p "$work/$name" "$stage/licenses/$name"
        cd "$work/$name"
        tar --no-same-owner --strip-components=1 -xf "$cache/$tarball"
        "build_$name"
        for licence in COPYING LICENSE; do
            [ ! -f "$licence" ] || cp "$licence" "$stage/licenses/$name/"
        done
    done <"$work/pins"
    link_kernel_headers
    find_static_pie
}

# --- the run ---

# Prints all that PREFIX depends on, as one hash.
fingerprint() {
    {
        cat "$here/pins" "$here/build.sh" "$here/lib.sh"
        printf '%s\n' "$CC" "$AR" "$CFLAGS"
        # shellcheck disable=SC2086 # CC is a list
        $CC --version 2>&1 || echo 'no compiler'
    } | sha256sum
}

is_complete() { [ -f "$prefix/.complete" ] && [ "$(cat "$prefix/.complete")" = "$(fingerprint)" ]; }

# Leaves nothing behind but, after a failed step, its log.
finish() {
    if [ -s "$log" ] && [ "$status" -ne 0 ] && [ "$status" -lt 128 ]; then
        tail -n 15 "$log" >&2
        say "failed; all output is in $log"
        status=1
        [ ! -f "$work/libmicrohttpd/config.log" ] || cat "$work/libmicrohttpd/config.log" >>"$log"
    else
        rm -f "$log"
    fi
    rm -rf "$work" "${stage%/new}"
}

if [ $# -ne 1 ] || [ -z "$1" ]; then
    echo 'usage: deps/build.sh PREFIX' >&2
    exit 2
fi
case $1 in /*) prefix=${1%/} ;; *) prefix=$PWD/${1%/} ;; esac
case $cache in /*) ;; *) cache=$PWD/$cache ;; esac
case $DEPS_MIRROR in '' | /* | *://*) ;; *) DEPS_MIRROR=$PWD/$DEPS_MIRROR ;; esac

if is_complete; then exit; fi
finish_always
make_work
check_tools

mkdir -p "$(dirname "$prefix")"
[ -w "$(dirname "$prefix")" ] ||
    die "$prefix is not what deps/ asks for, and cannot be built anew: $(dirname "$prefix") is read-only for you"
exec 9>"$prefix.lock"
flock -n 9 || {
    say "waiting for another build of $prefix"
    run flock 9
}
if is_complete; then exit; fi
stage=$prefix.tmp/new log=$prefix.log
rm -rf "$prefix.tmp" "$log"
fetch_sources
build_all
fingerprint >"$stage/.complete"
[ ! -e "$prefix" ] || mv "$prefix" "$prefix.tmp/old"
mv "$stage" "$prefix"

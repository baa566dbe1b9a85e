# shellcheck shell=sh disable=SC2034
# Shared by build.sh, update.sh, audit.sh and scripts/sbom.sh: messages, the pins, downloads, Debian's archive,
# what the toolchain links in.
# A function that returns 1 leaves the reason in `why`.

here=$(CDPATH='' cd "$(dirname "$0")" && pwd)
self=deps
why=
job=

# Passes text on, its addresses without the user and password that a mirror's may have.
without_passwords() { sed 's|://[^/@ ]*@|://|g'; }

say() { printf '%s: %s\n' "$self" "$*" | without_passwords >&2; }

die() {
    say "$@"
    exit 1
}

# Makes the private scratch folder `work`, also for what compilers leave when they are killed. It lies below TMPDIR,
# unless that has a character (a space, a quote, a colon) that automake, make or apt's configuration would stumble over.
make_work() {
    work=${TMPDIR:-/tmp}
    case $work in *[!A-Za-z0-9_/.+-]*) work=/tmp ;; esac
    work=$(mktemp -d "$work/versiond-deps.XXXXXX")
    work=$(cd "$work" && pwd -P)
    export TMPDIR="$work"
}

# Runs COMMAND... so that a signal ends it at once: the shell heeds none while a command is in the foreground.
run() {
    "$@" &
    job=$!
    set -- 0
    wait "$job" || set -- $?
    job=
    return "$1"
}

# Has the caller's `finish` run at the end of the script, whatever ends it. The exit status is in `status`.
finish_always() {
    trap end EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

end() {
    status=$?
    set +e
    trap '' HUP INT TERM
    if [ -n "$job" ]; then
        kill "$job"
        wait "$job"
    fi 2>/dev/null
    finish
    exit "$status"
}

# Prints the pins, one a line: name version debian sha256 tarball upstream licence.
pins() { sed -e '/^#/d' -e '/^suite /d' -e '/^$/d' "$here/pins"; }

# Prints the pins that the program contains: only tests link cmocka.
program_pins() { pins | grep -v '^cmocka '; }

pinned_suite() { sed -n 's/^suite  *//p' "$here/pins"; }

sha256_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

# True when FILE is there and has SHA256.
matches() { [ -f "$1" ] && [ "$(sha256_of "$1")" = "$2" ]; }

# Prints the source package of each pin on stdin: its tarball's name begins with it.
source_packages() { while read -r _ _ _ _ tarball _; do echo "${tarball%%_*}"; done; }

# Prints the upstream version in Debian's VERSION, which may begin with an epoch and end with a revision.
upstream_of() {
    set -- "${1#*:}"
    echo "${1%-*}"
}

# Prints the upstream version in the name of TARBALL.
version_of() { echo "$1" | sed 's/^[^_]*_\(.*\)\.orig\.tar\..*/\1/'; }

# Runs COMMAND... quietly.
quietly() {
    run "$@" >"$work/output" 2>&1 && return
    why=$(paste -sd ' ' "$work/output")
    return 1
}

# Fetches URL into FILE with the first client there is.
fetch_url() {
    if command -v curl >/dev/null; then
        set -- curl -fsSL --connect-timeout 10 --max-time 600 -o "$2" "$1"
    elif command -v wget >/dev/null; then
        set -- wget -nv -t 2 -T 30 -O "$2" "$1"
    elif [ -x /usr/lib/apt/apt-helper ]; then
        set -- /usr/lib/apt/apt-helper -qq -o APT::Sandbox::User=root -o Acquire::Retries=1 download-file "$1" "$2"
    else
        why='no curl, wget or apt-helper to fetch with'
        return 1
    fi
    quietly "$@"
}

# Runs apt-get on the private configuration that archive_open wrote.
archive_apt() {
    run apt-get -qq -c "$work/apt/apt.conf" "$@" 2>"$work/apt/errors" && return
    why=$(sed -n 's/^E: //p' "$work/apt/errors" | head -n 1)
    return 1
}

# Prints the addresses that this machine's apt knows to be of Debian's archive with LABEL.
known_mirrors() {
    # shellcheck disable=SC2016 # apt's variable, not the shell's
    apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' "Label: $1" | sort -u
}

# Prints the addresses of Debian's archive with LABEL that this machine's apt is configured for.
archive_mirrors() {
    uris=$(known_mirrors "$1")
    # Before its first update apt knows of no origins: then try every archive it is configured for.
    # The signature decides whether it is Debian's.
    [ -n "$uris" ] || uris=$(apt-get update --print-uris | sed -n "s|^'\(.*\)/dists/.*/InRelease' .*|\1|p" | sort -u)
    printf '%s\n' "$uris"
}

# Adds SUITE to what archive_apt knows. The security suites have an archive of their own.
archive_add() {
    label=Debian
    case $1 in *-security) label=Debian-Security ;; esac
    why="apt has no mirror of $label here"
    cp "$work/apt/sources.list" "$work/apt/sources.known"
    for mirror in $(archive_mirrors "$label"); do
        echo "deb-src [signed-by=$keyring] $mirror $1 main" | cat "$work/apt/sources.known" - >"$work/apt/sources.list"
        archive_apt update >/dev/null && return
    done
    return 1
}

# Sets `keyring` to that of Debian's archive.
find_keyring() {
    for keyring in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
        [ ! -f "$keyring" ] || return 0
    done
    return 1
}

# Lets archive_apt know the source packages of each SUITE..., their signature checked. As any user, with the
# machine's own mirrors and proxy; the system's lists and caches are left alone.
archive_open() {
    why='apt is not configured for Debian here'
    command -v apt-get >/dev/null || return 1
    find_keyring || return
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    # Cleared is what would act on the system, or name a release that the one line of sources has not.
    # The user that root's apt changes to could not enter our folder.
    cat >"$work/apt/apt.conf" <<CONFIG
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Default-Release;
Dir::Etc::SourceList "$work/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::Retries "1";
Acquire::http::Timeout "15";
CONFIG
    : >"$work/apt/sources.list"
    for suite; do
        archive_add "$suite" || return
    done
}

# Prints the versions of each source package PACKAGE... in the opened suites, one a line: package version suite.
archive_versions() {
    run apt-cache -c "$work/apt/apt.conf" madison "$@" >"$work/apt/madison" 2>"$work/apt/errors" || {
        why=$(sed -n 's/^E: //p' "$work/apt/errors" | head -n 1)
        return 1
    }
    sed -n 's,^ *\([^ ]*\) *| *\([^ ]*\) *| *[^ ]* *\([^/ ]*\)/.* Sources$,\1 \2 \3,p' "$work/apt/madison"
}

# Prints the newest version of PACKAGE on stdin, lines as archive_versions prints them.
newest_version() {
    newest=
    while read -r package version _; do
        [ "$package" = "$1" ] || continue
        if dpkg --compare-versions "$version" gt "$newest"; then newest=$version; fi
    done
    echo "$newest"
}

# Prints the name of the newest upstream tarball of each source package PACKAGE...
archive_newest() {
    archive_apt source --print-uris --tar-only "$@" >"$work/apt/uris" || return 1
    sed -n "s/^'.*' \([^ ]*\.orig\.tar\.[a-z0-9]*\) .*/\1/p" "$work/apt/uris"
}

# Downloads the newest upstream tarball of each source package PACKAGE... into FOLDER.
archive_download() {
    cd "$1" || return
    shift
    archive_apt source --download-only --tar-only "$@" >/dev/null
}

# Downloads Debian's own part of PACKAGE=VERSION, which has the changelog, into FOLDER.
archive_packaging() {
    cd "$1" || return
    archive_apt source --download-only --diff-only "$2" >/dev/null
}

# Prints the archives of the C library and of libgcc that CC links into a static program. The linker tells, since
# `musl-gcc -print-file-name=libc.a` names the libc.a of glibc. The program is one that needs both.
linked_archives() {
    # shellcheck disable=SC2086 # CC is a list
    echo 'volatile unsigned __int128 a = 1, b = 1; int main(void) { return (int)(a / b) - 1; }' |
        $CC -static -Wl,--trace -x c -o "$work/linked" - >"$work/trace" 2>&1 || {
        why="$CC links no static program: $(head -n 1 "$work/trace")"
        return 1
    }
    for archive in libc libgcc; do
        sed -n "s|^\(/.*/$archive\.a\).*|\1|p" "$work/trace" | head -n 1 | grep . || {
            why="$CC does not say which $archive.a it links"
            return 1
        }
    done
}

# True when PROGRAM contains all that it needs, the libc included.
is_static() {
    headers=$(LC_ALL=C readelf -lW "$1") || die "readelf cannot read $1"
    case $headers in *INTERP*) return 1 ;; esac
}

# Prints Debian's package of FILE: its name, version and architecture, then its source's name and version.
package_of() {
    package=$(dpkg -S "$(readlink -f "$1")" 2>/dev/null | sed -n 's/: .*//p')
    if [ -z "$package" ]; then
        why="dpkg knows no package of $1"
        return 1
    fi
    # shellcheck disable=SC2016 # dpkg's variables, not the shell's
    dpkg-query -W -f '${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\n' "$package"
}

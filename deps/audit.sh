#!/bin/sh
# Says whether something bad is known about what versiond is built with: asks Debian's archive, and deps/known-bad.
#
#   deps/audit.sh             the pins, asked of the suite that they name
#   deps/audit.sh --linked    also the C library and libgcc that CC links into a static program, asked of this system's
#
# Environment:
#   CC               compiler (may have arguments): cc
#   AUDIT_OFFLINE    1: asks nobody, so that known-bad alone decides
#   TMPDIR           where the work is done: /tmp
#
# A suite is asked together with its security suite. Where it has something newer, the changelog tells: an entry that
# names a CVE, says that it mends a security problem, or was sent to the security suite is bad; other news is only said.
# Prints a line for each dependency, and one that sums up.
# Exit status: 0 when nothing bad is known; 1 when something is, or when something was not asked; 2 for wrong arguments.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

export LC_ALL=C
self=audit
CC=${CC:-cc}
work=

# --- the kept list ---

is_version() {
    case $1 in
    *[!0-9A-Za-z.+~-]*) return 1 ;;
    [0-9]*) ;;
    *) return 1 ;;
    esac
}

# refuse WHAT SEEN ALLOWED: of the line of known-bad that is being read.
refuse() { die "known-bad, line $number: $1 '$2' is not $3"; }

# Refuses a NAME that is never asked about, so that a slip does not silence its line.
check_name() {
    case $1 in musl | glibc | gcc-[0-9]*) return ;; esac
    cut -d ' ' -f 1 "$work/pins" | grep -qxF "$1" || refuse name "$1" 'a pin, musl, glibc or gcc-NUMBER'
}

check_versions() {
    is_version "$1" || refuse 'first version' "$1" 'a version such as 1.2.3'
    is_version "$2" || refuse 'last version' "$2" 'a version such as 1.2.3'
    dpkg --compare-versions "$1" le "$2" || refuse 'first version' "$1" "at most the last, $2"
    case $3 in
    -) ;;
    *) for one in $(echo "$3" | tr ',' ' '); do
        is_version "$one" || refuse 'mended version' "$one" "a version such as 1.2.3-4, or -"
    done ;;
    esac
}

# Leaves the lines of known-bad, all well formed, in work/known-bad.
read_known_bad() {
    number=0
    while read -r name first last mended identifier reason; do
        number=$((number + 1))
        case $name in '' | '#'*) continue ;; esac
        [ -n "$reason" ] || refuse line "$name $first $last $mended $identifier" \
            'NAME FIRST LAST MENDED IDENTIFIER REASON'
        check_name "$name"
        check_versions "$first" "$last" "$mended"
        case $identifier in *[!A-Za-z0-9-]*) refuse identifier "$identifier" 'a CVE or a word' ;; esac
        echo "$name $first $last $mended $identifier $reason"
    done <"$here/known-bad" >"$work/known-bad"
}

# True when Debian's VERSION has the patches of one of MENDED of the same upstream version.
is_mended() {
    for one in $(echo "$2" | tr ',' ' '); do
        if [ "$(upstream_of "$one")" = "$(upstream_of "$1")" ] && dpkg --compare-versions "$1" ge "$one"; then
            return 0
        fi
    done
    return 1
}

# known_bad KIND NAME VERSION: prints what known-bad has against it, one a line. A tarball has no patches.
known_bad() {
    upstream=$(upstream_of "$3")
    while read -r name first last mended identifier reason; do
        [ "$name" = "$2" ] || continue
        if dpkg --compare-versions "$upstream" lt "$first" || dpkg --compare-versions "$upstream" gt "$last"; then
            continue
        fi
        if [ "$1" = package ] && is_mended "$3" "$mended"; then continue; fi
        echo "known-bad has $identifier: $reason"
    done <"$work/known-bad"
}

# --- the archive ---

# Prints the entries of the changelog on stdin, newest first, one a line: version, whether it is about security (1 or
# 0), the CVEs it names (with commas, or -). SECURITY_VERSIONS are those that the security suite has.
entries() {
    awk -v security_versions=" $1 " '
        function flush() {
            if (version == "") return
            print version, security, cves == "" ? "-" : cves
        }
        /^[^ ].* \(.*\) .*;/ {
            flush()
            version = $2
            gsub(/[()]/, "", version)
            cves = ""
            security = index(security_versions, " " version " ") > 0 || /-security[ ;]/
            next
        }
        {
            text = tolower($0)
            if (text ~ /vulnerab|denial of service|buffer overflow|out.of.bounds|use.after.free/ ||
                text ~ /security (fix|issue|bug|problem|flaw|hole|update|release|upload)/ ||
                text ~ /(fix|mend|solve|address|close)[a-z]* .*security/)
                security = 1
            while (match($0, /CVE-[0-9]+-[0-9]+/)) {
                cve = substr($0, RSTART, RLENGTH)
                $0 = substr($0, RSTART + RLENGTH)
                security = 1
                if (index("," cves ",", "," cve ",") == 0) cves = cves (cves == "" ? "" : ",") cve
            }
        }
        END { flush() }'
}

# is_news KIND ENTRY VERSION: whether the changes of ENTRY are missing in VERSION. A package has those up to its own.
# A tarball has none of the patches that later revisions of the same upstream version bring: see without_import.
is_news() {
    if [ "$1" = package ]; then
        dpkg --compare-versions "$2" gt "$3"
    else
        [ "$(upstream_of "$2")" = "$(upstream_of "$3")" ] || dpkg --compare-versions "$2" gt "$3"
    fi
}

# Drops from the entries on stdin the oldest of UPSTREAM's: it brought the tarball, and tells what that has.
without_import() {
    held=
    while read -r version rest; do
        [ -z "$held" ] || echo "$held"
        held=
        if [ "$(upstream_of "$version")" = "$1" ]; then held="$version $rest"; else echo "$version $rest"; fi
    done
}

# news KIND VERSION: the entries on stdin, newest first, that are missing in VERSION.
news() {
    while read -r entry rest && is_news "$1" "$entry" "$2"; do
        echo "$entry $rest"
    done | if [ "$1" = tarball ]; then without_import "$(upstream_of "$2")"; else cat; fi
}

# Leaves the changelog of PACKAGE=VERSION in work/changelog.
fetch_changelog() {
    archive_packaging "$work/packaging" "$1=$2" || return 1
    packaging=$(find "$work/packaging" -name "$1_${2#*:}.debian.tar.*")
    why="$1 $2 has no .debian.tar with a changelog"
    [ -n "$packaging" ] || return 1
    quietly tar -xf "$packaging" -C "$work/packaging" debian/changelog || return 1
    mv "$work/packaging/debian/changelog" "$work/changelog"
}

# ask KIND PACKAGE VERSION: leaves in work/found what the opened suites have against it, and in `remark` other news.
# Returns 1 when they cannot tell.
ask() {
    newest=$(newest_version "$2" <"$work/versions")
    why="$suites have no source package $2"
    [ -n "$newest" ] || return 1
    if dpkg --compare-versions "$newest" gt "$3"; then
        remark="; the archive has $newest"
    elif [ "$newest" != "$3" ]; then
        remark="; the archive is behind with $newest"
    fi
    is_news "$1" "$newest" "$3" || return 0
    fetch_changelog "$2" "$newest" || return 1
    secure=$(awk -v package="$2" '$1 == package && $3 ~ /-security$/ { print $2 }' "$work/versions" | paste -sd ' ' -)
    entries "$secure" <"$work/changelog" >"$work/entries"
    why="the changelog of $2 $newest does not begin with that version"
    [ "$(head -n 1 "$work/entries" | cut -d ' ' -f 1)" = "$newest" ] || return 1
    news "$1" "$3" <"$work/entries" | sed -n 's/ 1 / /p' >"$work/security"
    [ ! -s "$work/security" ] || found_in_archive "$1" "$2" "$newest" >>"$work/found"
}

# found_in_archive KIND PACKAGE NEWEST: prints what the entries in work/security say.
found_in_archive() {
    cves=$(cut -d ' ' -f 2 "$work/security" | grep -v '^-$' | tr ',' '\n' | awk '!seen[$0]++' | paste -sd ' ' -)
    [ "$1" = package ] || set -- "$@" ', which the pinned tarball does not'
    echo "$2 $3 in the archive mends ${cves:-a security problem (see its changelog)}${4-}"
}

# --- the dependencies ---

# Prints what is audited of the pins, one a line: kind name package version.
pinned() {
    while read -r name _ debian _ tarball _; do
        echo "tarball $name ${tarball%%_*} $debian"
    done <"$work/pins"
}

# Prints the same of what the toolchain links in.
linked() {
    linked_archives >"$work/archives" || return 1
    while read -r archive; do
        package_of "$archive" >"$work/package" || return 1
        read -r _ _ _ source version <"$work/package"
        echo "package $source $source $version"
    done <"$work/archives"
}

# Opens SUITE and its security suite for the packages of the dependencies in FILE.
open_suites() {
    suites="$1 and $1-security"
    # shellcheck disable=SC2046 # a list
    archive_open "$1" "$1-security" && archive_versions $(cut -d ' ' -f 3 "$2") >"$work/versions"
}

# Judges one dependency: kind name package version.
judge() {
    : >"$work/found"
    remark='' unasked=
    known_bad "$1" "$2" "$4" >"$work/found"
    if [ "$asked" = 1 ]; then
        ask "$1" "$3" "$4" || unasked=${why:-apt gave no reason}
    elif [ "$asked" = 0 ]; then
        unasked=$closed
    fi
    verdict='nothing bad is known'
    [ -z "$unasked" ] || verdict="NOT ASKED: $unasked"
    if [ -s "$work/found" ]; then
        verdict="BAD: $(awk '{ printf "%s%s", between, $0; between = "; " }' "$work/found")${unasked:+; $verdict}"
    fi
    total=$((total + 1))
    [ ! -s "$work/found" ] && [ -z "$unasked" ] || bad=$((bad + 1))
    printf '%-14s %-20s %s\n' "$2" "$4" "$verdict$remark" | without_passwords
}

# audit SUITE FILE: judges the dependencies in FILE. asked is 1, 0 when the archive cannot be, empty when it may not be.
audit() {
    asked='' closed=
    if [ "$AUDIT_OFFLINE" = 1 ]; then
        echo "skipped: $1 and $1-security were not asked, as AUDIT_OFFLINE=1 wants"
    elif open_suites "$1" "$2"; then
        asked=1
    else
        asked=0 closed="$1 and $1-security: ${why:-apt gave no reason} (AUDIT_OFFLINE=1 asks nobody)"
    fi
    while read -r kind name package version; do
        judge "$kind" "$name" "$package" "$version"
    done <"$2"
}

finish() { rm -rf "$work"; }

linked=
case $#:${1-} in
0:) ;;
1:--linked) linked=1 ;;
*)
    echo 'usage: deps/audit.sh [--linked]' >&2
    exit 2
    ;;
esac
AUDIT_OFFLINE=${AUDIT_OFFLINE:-0}
case $AUDIT_OFFLINE in 0 | 1) ;; *) die "AUDIT_OFFLINE: '$AUDIT_OFFLINE' is not 0 or 1" ;; esac
for tool in dpkg awk tar xz; do
    command -v "$tool" >/dev/null || die "missing: $tool; install with: apt-get install dpkg mawk tar xz-utils"
done

finish_always
make_work
mkdir "$work/packaging"
pins >"$work/pins"
read_known_bad
total=0 bad=0
pinned >"$work/pinned"
audit "$(pinned_suite)" "$work/pinned"
if [ -n "$linked" ]; then
    linked >"$work/linked-in" || die "cannot tell what the toolchain links in: $why"
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    [ -n "$codename" ] || die '/etc/os-release has no VERSION_CODENAME: the suite of this system is unknown'
    audit "$codename" "$work/linked-in"
fi

if [ "$bad" != 0 ]; then
    echo "audit: $bad of $total dependencies are bad or could not be asked about"
    exit 1
fi
echo "audit: nothing bad is known about $total dependencies"

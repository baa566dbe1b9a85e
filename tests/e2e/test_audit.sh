#!/bin/sh
# Tests deps/audit.sh with a fake apt-get and apt-cache, which read the archive from files, and a fake dpkg for the packages of the
# system. The real dpkg compares versions. Run it from the root of the project.
set -eu
. tests/support/check.sh

root=$PWD
unset AUDIT_OFFLINE
dpkg=$(command -v dpkg) || dpkg=

# command_of NAME: creates a command from stdin, which precedes that of the system.
command_of() {
    { echo '#!/bin/sh' && cat; } >"$scratch/bin/$1"
    chmod +x "$scratch/bin/$1"
}

# project: creates deps/ with one pin, 1.2.3 of the Debian source package one-src, and an archive with the same version.
project() {
    [ -n "$dpkg" ] || skip 'dpkg is not installed'
    ls /usr/share/keyrings/debian-archive-keyring.* >/dev/null 2>&1 || skip "the keyring of Debian's archive is not installed"
    mkdir -p "$scratch/bin" "$scratch/deps"
    cp "$root/deps/lib.sh" "$root/deps/audit.sh" "$scratch/deps"
    printf 'suite some\n\none 1.2.3 1.2.3-1 0 one-src_1.2.3.orig.tar.gz https://a MIT\n' >"$scratch/deps/pins"
    : >"$scratch/deps/known-bad"
    cd "$scratch"
    command_of apt-get <<FAKE
case "\$*" in
indextargets*) echo file:///archive ;;
*' update') [ ! -f '$scratch/offline' ] || { echo 'E: no way to the archive' >&2; exit 100; } ;;
*' source '*--diff-only*)
    for last; do :; done
    mkdir debian
    cp '$scratch/changelog' debian/changelog || { echo 'E: not found' >&2; exit 100; }
    tar -czf "\$(echo "\$last" | tr = _).debian.tar.gz" debian
    rm -r debian ;;
*) exit 1 ;;
esac
FAKE
    echo "cat '$scratch/madison'" | command_of apt-cache
    has one-src 1.2.3-1
}

# has PACKAGE VERSION [SUITE]: adds a version to the archive.
has() { echo "  $1 |  $2 | file:///archive ${3:-some}/main Sources" >>"$scratch/madison"; }

# entry VERSION SUITE TEXT: appends to the changelog; the newest comes first.
entry() { printf 'one-src (%s) %s; urgency=medium\n\n  * %s\n\n -- A <a@b>  date\n\n' "$@" >>"$scratch/changelog"; }

# expect_audit STATUS OUTPUT [ARGUMENT...]: spaces are squeezed.
expect_audit() {
    expected_status=$1 expected=$2
    shift 2
    status=0
    PATH=$scratch/bin:$PATH deps/audit.sh "$@" >"$scratch/output" 2>&1 || status=$?
    expect_equal "$status: $(tr -s ' ' <"$scratch/output")" "$expected_status: $expected"
}

# expect_one VERDICT: of the pinned version. The audit fails unless nothing bad is known.
expect_one() {
    case $1 in
    'nothing bad'*) expect_audit 0 "one $pinned $1
audit: nothing bad is known about 1 dependencies" ;;
    *) expect_audit 1 "one $pinned $1
audit: 1 of 1 dependencies are bad or could not be asked about" ;;
    esac
}
pinned=1.2.3-1

nothing_known_is_said() {
    project
    entry 1.2.3-1 unstable 'New upstream version with a fix of CVE-2020-1'
    entry 1.2.2-1 unstable 'CVE-2020-2'
    expect_one 'nothing bad is known'
}

newer_security_revision_is_bad() {
    project
    has one-src 1.2.3-1+deb1u1 some-security
    entry 1.2.3-1+deb1u1 some-security 'CVE-2020-1 and CVE-2020-22, CVE-2020-1'
    entry 1.2.3-1 unstable 'CVE-2020-3'
    expect_one "BAD: one-src 1.2.3-1+deb1u1 in the archive mends CVE-2020-1 CVE-2020-22, which the pinned tarball does not; \
the archive has 1.2.3-1+deb1u1"
}

# By the suite in the changelog, the suite in the archive, and the text.
security_without_a_cve_is_bad() {
    project
    reason='in the archive mends a security problem (see its changelog), which the pinned tarball does not'
    has one-src 1.2.4-1
    entry 1.2.4-1 some-security 'Something'
    expect_one "BAD: one-src 1.2.4-1 $reason; the archive has 1.2.4-1"
    rm changelog
    has one-src 1.2.5-1 some-security
    entry 1.2.5-1 unstable 'Something'
    entry 1.2.4-1 unstable 'Something'
    expect_one "BAD: one-src 1.2.5-1 $reason; the archive has 1.2.5-1"
    sed -i /security/d madison
    has one-src 1.2.5-1
    expect_one 'nothing bad is known; the archive has 1.2.5-1'
    entry 1.2.4-1 unstable 'Fixes a vulnerability'
    expect_one "BAD: one-src 1.2.5-1 $reason; the archive has 1.2.5-1"
}

# Entries of the pinned version and a mention of security.md do not count.
newer_version_that_mends_is_bad() {
    project
    has one-src 1.2.4-1
    entry 1.2.4-1 unstable 'New upstream version, security.md added'
    entry 1.2.3-2 unstable 'Something'
    entry 1.2.3-1 unstable 'CVE-2020-2'
    expect_one 'nothing bad is known; the archive has 1.2.4-1'
    sed -i 's/security.md/CVE-2020-1/' changelog
    expect_one 'BAD: one-src 1.2.4-1 in the archive mends CVE-2020-1, which the pinned tarball does not; the archive has 1.2.4-1'
}

# The tarball of 1.2.3-2 is that of 1.2.3-1.
patches_of_the_pinned_version_are_not_in_its_tarball() {
    project
    pinned=1.2.3-2
    sed -i "s/1\.2\.3-1/$pinned/" deps/pins
    has one-src 1.2.3-2
    entry 1.2.3-2 unstable 'CVE-2020-1'
    entry 1.2.3-1 unstable 'CVE-2020-2'
    expect_one 'BAD: one-src 1.2.3-2 in the archive mends CVE-2020-1, which the pinned tarball does not'
}

known_bad_holds_from_first_to_last() {
    project
    echo 'suite some' >deps/pins
    for pin in below:1.1 first:1.2 last:1.3 above:1.4; do
        echo "${pin%:*} ${pin#*:} ${pin#*:}-9 0 a_${pin#*:}.orig.tar.gz https://a MIT" >>deps/pins
        # Debian's patches are not in a tarball.
        echo "${pin%:*} 1.2 1.3 1.2-1,1.3-1 CVE-2020-1 it breaks" >>deps/known-bad
    done
    export AUDIT_OFFLINE=1
    expect_audit 1 'skipped: some and some-security were not asked, as AUDIT_OFFLINE=1 wants
below 1.1-9 nothing bad is known
first 1.2-9 BAD: known-bad has CVE-2020-1: it breaks
last 1.3-9 BAD: known-bad has CVE-2020-1: it breaks
above 1.4-9 nothing bad is known
audit: 2 of 4 dependencies are bad or could not be asked about'
}

malformed_known_bad_is_refused_by_line() {
    project
    for line in "one 1 2 - CVE-2020-1|line 'one 1 2 - CVE-2020-1' is not NAME FIRST LAST MENDED IDENTIFIER REASON" \
        "two 1 2 - a b|name 'two' is not a pin, musl, glibc or gcc-NUMBER" \
        "one x 2 - a b|first version 'x' is not a version such as 1.2.3" \
        "one 1 2_ - a b|last version '2_' is not a version such as 1.2.3" \
        "one 2 1 - a b|first version '2' is not at most the last, 1" \
        "one 1 2 1-1,none a b|mended version 'none' is not a version such as 1.2.3-4, or -" \
        "one 1 2 - a/b c|identifier 'a/b' is not a CVE or a word"; do
        printf '# why\n\n%s\n' "${line%%|*}" >deps/known-bad
        expect_audit 1 "audit: known-bad, line 3: ${line#*|}"
    done
}

# A missing changelog, a missing package, and an unreachable archive.
what_was_not_asked_fails() {
    project
    expect_one 'NOT ASKED: not found'
    : >madison
    expect_one 'NOT ASKED: some and some-security have no source package one-src'
    touch offline
    expect_one 'NOT ASKED: some and some-security: no way to the archive (AUDIT_OFFLINE=1 asks nobody)'
    AUDIT_OFFLINE=yes
    export AUDIT_OFFLINE
    expect_audit 1 "audit: AUDIT_OFFLINE: 'yes' is not 0 or 1"
}

# The libc of the toolchain is a package with Debian's patches.
linked_libc_is_judged_with_its_patches() {
    project
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    [ -n "$codename" ] || skip '/etc/os-release has no VERSION_CODENAME'
    printf 'cat >/dev/null\necho %s/libgcc.a\necho %s/libc.a\n' "$scratch" "$scratch" | command_of cc
    command_of dpkg <<FAKE
case \$1\$2 in
-S*/libc.a) [ -f '$scratch/stray' ] || echo "libc-dev:any: \$2" ;;
-S*/libgcc.a) echo "libgcc-9-dev:any: \$2" ;;
*) exec '$dpkg' "\$@" ;;
esac
FAKE
    command_of dpkg-query <<FAKE
case \$4 in
libc-dev*) echo libc-dev 1.2.5-3 any musl 1.2.5-3 ;;
*) echo libgcc-9-dev 9.1-1 any gcc-9 9.1-1 ;;
esac
FAKE
    export CC="$scratch/bin/cc" AUDIT_OFFLINE=1
    printf 'musl 0 1.2.6 1.2.4-1,1.2.5-3 mended it breaks\nmusl 0 1.2.5 1.2.4-1,1.2.5-3.1 open it breaks\n' >deps/known-bad
    skipped='were not asked, as AUDIT_OFFLINE=1 wants'
    expect_audit 1 "skipped: some and some-security $skipped
one 1.2.3-1 nothing bad is known
skipped: $codename and $codename-security $skipped
musl 1.2.5-3 BAD: known-bad has open: it breaks
gcc-9 9.1-1 nothing bad is known
audit: 1 of 3 dependencies are bad or could not be asked about" --linked

    AUDIT_OFFLINE=0
    : >deps/known-bad
    has musl 1.2.5-4
    has gcc-9 9.1-1
    entry 1.2.5-4 unstable 'CVE-2020-1'
    entry 1.2.5-3 unstable 'CVE-2020-2'
    sed -i 's/one-src (1\.2\.5/musl (1.2.5/' changelog
    echo suite some >deps/pins
    expect_audit 1 "musl 1.2.5-3 BAD: musl 1.2.5-4 in the archive mends CVE-2020-1; the archive has 1.2.5-4
gcc-9 9.1-1 nothing bad is known
audit: 1 of 2 dependencies are bad or could not be asked about" --linked

    touch stray
    expect_audit 1 'audit: cannot tell what the toolchain links in: dpkg knows no package of '"$scratch/libc.a" --linked
}

kept_list_takes_the_pins() {
    [ -n "$dpkg" ] || skip 'dpkg is not installed'
    AUDIT_OFFLINE=1 deps/audit.sh >"$scratch/output" 2>&1 || fail "$(cat "$scratch/output")"
    expect_equal "$(tail -n 1 "$scratch/output")" 'audit: nothing bad is known about 3 dependencies'
}

run_tests nothing_known_is_said newer_security_revision_is_bad security_without_a_cve_is_bad \
    newer_version_that_mends_is_bad \
    patches_of_the_pinned_version_are_not_in_its_tarball known_bad_holds_from_first_to_last \
    malformed_known_bad_is_refused_by_line what_was_not_asked_fails linked_libc_is_judged_with_its_patches \
    kept_list_takes_the_pins

#!/bin/sh
# Tests scripts/sbom.sh with the program that PROGRAM names, and for a static program with a fake linker and a fake dpkg.
# `make sbom-check` validates the result. Run it from the root of the project; CC names the compiler.
set -eu
. tests/support/check.sh

hash=0123456789abcdef0123456789abcdef01234567

# expect FILTER VALUE: the result of jq.
expect() { expect_equal "$(jq -r ". as \$whole | $1" "$scratch/sbom")" "$2"; }

sha256_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

# information VERSION: writes the build-info.args of the program.
information() {
    env -u BUILD_URL -u RELEASE NAME=some VERSION="$1" COMMIT=$hash DESCRIPTION='"Grüße" \n' SOURCE_DATE_EPOCH=1700000000 \
        SOURCE_URL='https://a.b/c?d=e' scripts/build-info.sh >"$scratch/bin/build-info.args"
}

# command_of NAME: creates a command from stdin, which precedes that of the system.
command_of() {
    mkdir -p "$scratch/bin"
    { echo '#!/bin/sh' && cat; } >"$scratch/bin/$1"
    chmod +x "$scratch/bin/$1"
}

# static_program: creates a program that prints a version, and a readelf that reports it as static.
static_program() {
    command -v jq >/dev/null || skip 'jq is not installed'
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    [ -n "$codename" ] || skip '/etc/os-release has no VERSION_CODENAME'
    printf 'echo some 1.2.3+b\necho commit %s, 2023-11-14T22:13:20Z\n' "$hash" | command_of some
    information 1.2.3+b
    echo 'echo LOAD' | command_of readelf
    printf 'cat >/dev/null\necho %s/libgcc.a\necho %s/libc.a\n' "$scratch" "$scratch" | command_of cc
    echo "echo \"\${2##*/}:any: \$2\"" | command_of dpkg
    command_of dpkg-query <<'FAKE'
case $4 in
libc.a*) echo musl-dev 1.2.5-3~a+b any musl 1.2.5-3~a ;;
*) echo libgcc-9-dev 9.1-1 any gcc-9 9.1-1 ;;
esac
FAKE
    echo libc >"$scratch/libc.a"
    echo libgcc >"$scratch/libgcc.a"
    export CC="$scratch/bin/cc" PATH="$scratch/bin:$PATH"
    scripts/sbom.sh "$scratch/bin/some" >"$scratch/sbom"
}

program_is_named_with_what_it_contains() {
    command -v jq >/dev/null || skip 'jq is not installed'
    scripts/sbom.sh "$PROGRAM" >"$scratch/sbom"
    # shellcheck disable=SC2016 # jq's variables, not the shell's
    expect '.bomFormat, .specVersion, (.metadata | "\(.component.name) \(.component.version)",
        "commit \(.component.properties[0].value // "unknown"), \(.timestamp)", .component.hashes[0].content),
        (.dependencies[0] | .ref == $whole.metadata.component.purl and (.dependsOn | length) == ($whole.components | length))' \
        "CycloneDX
1.6
$("$PROGRAM" --version)
$(sha256_of "$PROGRAM")
true"
    # The line of each library in deps/pins, and its CPE.
    pins=$(grep -E '^(libmicrohttpd|cJSON) ' deps/pins | tr -s ' ')
    # shellcheck disable=SC2016
    expect '.components[] | select(.externalReferences) | (.purl | capture("/debian/(?<name>.*)@(?<version>.*)[?]")) as $source |
        [.name, .version, ($source.version | gsub("%2B"; "+")), .hashes[0].content,
        $source.name + "_" + .version + ".orig.tar.gz", .externalReferences[0].url, .licenses[0].expression, .cpe] | join(" ")' \
        "$(echo "$pins" | awk '{ print $0, "cpe:2.3:a:" ($1 == "cJSON" ? "davegamble:cjson" : "gnu:" $1) ":" $2 ":*:*:*:*:*:*:*" }')"
    scripts/sbom.sh "$PROGRAM" | cmp - "$scratch/sbom"
}

static_program_contains_its_libc() {
    static_program
    expect '(.metadata.component | .purl, .description, .externalReferences[0].url),
        ([.dependencies[].dependsOn | length] | join(" ")),
        (.components[2:][] | .name, .version, .purl, .cpe, .licenses[0].expression, .hashes[0].content)' \
        "pkg:generic/some@1.2.3%2Bb?vcs_url=git%2Bhttps://a.b/c%3Fd%3De%40$hash
\"Grüße\" \\n
https://a.b/c?d=e
4 2 2 0 0
musl
1.2.5
pkg:deb/debian/musl-dev@1.2.5-3~a%2Bb?arch=any&distro=debian-$codename
cpe:2.3:a:musl-libc:musl:1.2.5:*:*:*:*:*:*:*
MIT
$(sha256_of "$scratch/libc.a")
libgcc
9.1
pkg:deb/debian/libgcc-9-dev@9.1-1?arch=any&distro=debian-$codename
cpe:2.3:a:gnu:gcc:9.1:*:*:*:*:*:*:*
GPL-3.0-or-later WITH GCC-exception-3.1
$(sha256_of "$scratch/libgcc.a")"
}

information_of_another_build_is_refused() {
    static_program
    information 1.2.4
    ! scripts/sbom.sh "$scratch/bin/some" >"$scratch/sbom" 2>"$scratch/complaint" || fail 'taken'
    expect_equal "$(cat "$scratch/complaint")" "sbom: $scratch/bin/build-info.args is of another build: the program \
says 'some 1.2.3+b commit $hash, 2023-11-14T22:13:20Z'"
}

run_tests program_is_named_with_what_it_contains static_program_contains_its_libc information_of_another_build_is_refused

#!/bin/sh
# Prints the bill of materials (CycloneDX 1.6, JSON) of a program that make has built: what it is, and what it contains.
#
#   scripts/sbom.sh PROGRAM
#
# Environment: CC, the compiler that PROGRAM was linked with (cc): a static program contains its libc and libgcc.
#
# The program itself says its name, version, commit and date; description and source are in build-info.args beside it,
# which must agree with what the program says. deps/pins has the rest, dpkg what the libc and libgcc are.
# The same program gives the same bytes.
#
# The purls are Debian's (pkg:deb/debian/...), since that is what scanners key Debian's security data on. Those of the
# libraries name the source package (arch=source) and the suite of the pins, those of libc and libgcc the binary package.
# Exit status: 0; 1 with one line on stderr; 2 for wrong arguments.
set -eu
# shellcheck source-path=SCRIPTDIR source=../deps/lib.sh
. "$(dirname "$0")/../deps/lib.sh"
here=$(cd "$here/../deps" && pwd)

export LC_ALL=C
self=sbom
CC=${CC:-cc}
work=

# baked MACRO: its value in build-info.args, the octal escapes read as C reads them.
baked() {
    # shellcheck disable=SC2059 # nothing but octal escapes
    printf "$(sed -n '/^-D'"$1"'=/{s/^[^"]*"\(.*\)\\"$/\1/;s/\\\\/\\/gp;}' "$info")"
}

# Refuses build information that is not the program's: make writes it anew before it builds.
check_info() {
    "$program" --version >"$work/says" || die "$program --version failed"
    [ -f "$info" ] || die "$info is missing: make leaves it beside the program"
    expected="$(baked NAME) $(baked VERSION)
commit $(baked COMMIT), $(baked BUILD_DATE)"
    [ "$(cat "$work/says")" = "$expected" ] ||
        die "$info is of another build: the program says '$(paste -sd ' ' "$work/says")'"
}

# component NAME VERSION PACKAGE QUALIFIERS CPE LICENCE SHA256 URL: prints them as a line; an empty CPE or URL is none.
# PACKAGE is NAME@VERSION of Debian's.
component() {
    printf '%s' "$1"
    shift
    printf '\t%s' "$@"
    echo
}

# The vendor and product under which NVD knows NAME, where it does.
cpe_of() {
    case $1 in
    libmicrohttpd) echo gnu:libmicrohttpd ;;
    cJSON) echo davegamble:cjson ;;
    esac
}

libraries() {
    program_pins | while read -r name version debian sha256 tarball upstream licence; do
        component "$name" "$version" "${tarball%%_*}@$debian" "arch=source&distro=debian-$(pinned_suite)" "$(cpe_of "$name")" \
            "$licence" "$sha256" "$upstream"
    done
}

# linked_component ARCHIVE: the libc or libgcc.
linked_component() {
    package_of "$1" >"$work/package" || die "$why"
    read -r package version architecture source source_version <"$work/package"
    case $source in
    musl) set -- "$1" musl musl-libc:musl MIT ;;
    glibc) set -- "$1" glibc gnu:glibc LGPL-2.1-or-later ;;
    gcc-*) set -- "$1" libgcc gnu:gcc 'GPL-3.0-or-later WITH GCC-exception-3.1' ;;
    *) die "$1 is of $source, whose licence is not known here: musl, glibc and gcc-NUMBER are" ;;
    esac
    component "$2" "$(upstream_of "$source_version")" "$package@$version" "arch=$architecture&distro=debian-$codename" "$3" \
        "$4" "$(sha256_of "$1")" ''
}

linked() {
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    [ -n "$codename" ] || die '/etc/os-release has no VERSION_CODENAME: the suite of this system is unknown'
    linked_archives >"$work/archives" || die "$why"
    while read -r archive; do
        linked_component "$archive"
    done <"$work/archives"
}

# Prints the document, from the components on stdin.
document() {
    # shellcheck disable=SC2016 # jq's variables, not the shell's
    jq -nR --arg name "$(baked NAME)" --arg version "$(baked VERSION)" \
        --arg description "$(baked DESCRIPTION)" --arg commit "$(baked COMMIT)" --arg date "$(baked BUILD_DATE)" \
        --arg url "$(baked SOURCE_URL)" --arg sha256 "$(sha256_of "$program")" '
        def sha: [{alg: "SHA-256", content: .}];
        def escape: @uri | gsub("%3A"; ":") | gsub("%2F"; "/");
        def none_left_out: with_entries(select(.value != null and .value != []));

        # A UUID of version 8, made of the hash of the program.
        def serial: "urn:uuid:" + ([.[0:8], .[8:12], "8" + .[13:16], "8" + .[17:20], .[20:32]] | join("-"));

        def library: split("\t") as [$name, $version, $package, $qualifiers, $cpe, $licence, $sha256, $url]
            | ($package | index("@")) as $at
            | "pkg:deb/debian/\($package[:$at])@\($package[$at + 1:] | escape)?\($qualifiers)" as $purl
            | {type: "library", "bom-ref": $purl, $name, $version,
                hashes: ($sha256 | sha),
                licenses: [{expression: $licence}],
                cpe: (if $cpe == "" then null
                    else "cpe:2.3:a:\($cpe):\($version | gsub("(?<c>[^A-Za-z0-9._-])"; "\\\(.c)")):*:*:*:*:*:*:*" end),
                $purl,
                externalReferences: (if $url == "" then null
                    else [{type: "source-distribution", $url, hashes: ($sha256 | sha)}] end)}
            | none_left_out;

        ($url != "" and $commit != "unknown") as $has_source
        | "pkg:generic/\($name)@\($version | escape)" as $purl
        | ($purl + if $has_source then "?vcs_url=" + ("git+\($url)@\($commit)" | escape) else "" end) as $purl
        | [inputs | library] as $libraries
        | [$libraries[] | select(.externalReferences == null)["bom-ref"]] as $runtime
        | {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", bomFormat: "CycloneDX", specVersion: "1.6",
            serialNumber: ($sha256 | serial), version: 1,
            metadata: {
                timestamp: $date,
                lifecycles: [{phase: "build"}],
                component: ({type: "application", "bom-ref": $purl, $name, $version, $description,
                    hashes: ($sha256 | sha),
                    licenses: [{expression: "MIT"}],
                    $purl,
                    externalReferences: (if $url == "" then null else [{type: "vcs", $url}] end),
                    properties: (if $commit == "unknown" then null else [{name: "commit", value: $commit}] end)}
                    | none_left_out)},
            components: $libraries,
            dependencies: ([{ref: $purl, dependsOn: [$libraries[]["bom-ref"]]}]
                + [$libraries[] | {ref: .["bom-ref"],
                    dependsOn: (if .externalReferences then $runtime else [] end)}])}'
}

finish() { rm -rf "$work"; }

if [ $# -ne 1 ]; then
    echo 'usage: scripts/sbom.sh PROGRAM' >&2
    exit 2
fi
program=$1 info=$(dirname "$1")/build-info.args
case $program in */*) ;; *) program=./$program ;; esac
command -v jq >/dev/null || die 'missing: jq; install with: apt-get install jq'
command -v readelf >/dev/null || die 'missing: readelf; install with: apt-get install binutils'

finish_always
make_work
check_info
libraries >"$work/components"
if is_static "$program"; then linked >>"$work/components"; fi
document <"$work/components"

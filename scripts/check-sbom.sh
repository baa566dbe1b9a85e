#!/bin/sh
# Checks a bill of materials that sbom.sh has made: that it names all that PROGRAM contains, each with version, purl,
# licence and hash, and that the schema of CycloneDX 1.6 takes it.
#
#   scripts/check-sbom.sh FILE PROGRAM
#
# The schema comes with a validator from PyPI (scripts/tools.sh). Run it from the root of the project.
# Exit status: 0; 1 when something is wrong, or with CI set when there is no validator; 77 with a line that begins with
# "skipped: " when the content is right and there is no validator; 2 for wrong arguments.
set -eu
# shellcheck source-path=SCRIPTDIR source=../deps/lib.sh
. "$(dirname "$0")/../deps/lib.sh"
here=$(cd "$here/../deps" && pwd)

self=check-sbom

# without_validator STATUS SAID: of scripts/tools.sh.
without_validator() {
    [ "$1" = 77 ] || die 'no validator'
    echo "skipped: the schema was not asked: ${2#skipped: }"
    exit 77
}

# Prints what the document must name, one a line: name version sha256; - for what is not known here.
wanted() {
    program_pins | while read -r name version _ sha256 _; do
        echo "$name $version $sha256"
    done
    if is_static "$program"; then
        echo 'musl|glibc - -'
        echo 'libgcc - -'
    fi
}

# Prints what is wrong with the content by work/wanted, one a line.
complaints() {
    # shellcheck disable=SC2016 # jq's variables, not the shell's
    jq -r --arg wanted "$(cat "$work/wanted")" --arg program "$program" --arg sha256 "$(sha256_of "$program")" '
        def is($value; $expected): ($value // "") != "" and ($expected == "-" or $value == $expected);
        def is_whole($version; $sha256):
            is(.version; $version) and is(.licenses[0].expression; "-") and (.purl // "" | startswith("pkg:deb/debian/"))
            and (.hashes[0] | .alg == "SHA-256" and (.content | length) == 64 and is(.content; $sha256));

        (select(.metadata.component.hashes[0].content != $sha256) | "the program\u0027s hash is not that of \($program)"),
        (. as $document | $wanted | split("\n")[] | split(" ") as [$names, $version, $sha256]
            | [$document.components[] | select(.name as $name | $names | split("|") | index($name))]
            | select(length != 1 or (.[0] | is_whole($version; $sha256) | not))
            | "\($names) is not named once with version, purl, licence and SHA-256 (\($version) \($sha256))"),
        (select(([.dependencies[].ref] | sort) != ([.metadata.component, .components[] | .["bom-ref"]] | sort))
            | "the dependencies do not name each component once")' "$sbom"
}

check_content() {
    wanted >"$work/wanted"
    complaints >"$work/complaints" || die "$sbom: not the JSON of a bill of materials"
    [ ! -s "$work/complaints" ] || die "$sbom: $(head -n 1 "$work/complaints")"
}

check_schema() {
    python=$(scripts/tools.sh python) || without_validator $? "$python"
    "$python" - "$sbom" <<'PYTHON' || die "$sbom: the schema of CycloneDX 1.6 does not take it"
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

with open(sys.argv[1], encoding="utf-8") as file:
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read())
if error is not None:
    sys.exit(f"{error.data.json_path}: {error.data.message}")
PYTHON
}

finish() { rm -rf "$work"; }

if [ $# -ne 2 ]; then
    echo 'usage: scripts/check-sbom.sh FILE PROGRAM' >&2
    exit 2
fi
sbom=$1 program=$2
command -v jq >/dev/null || die 'missing: jq; install with: apt-get install jq'
finish_always
make_work
check_content
check_schema
echo "$sbom: whole, and CycloneDX 1.6"

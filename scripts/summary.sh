#!/bin/sh
# Prints what a job has found out, as Markdown for its page.
# Usage: scripts/summary.sh tests JUNIT | coverage COBERTURA | image ARTIFACTS
# JUNIT and COBERTURA are the files that tests/run.sh and scripts/coverage.sh write, ARTIFACTS the folder of
# docker-artifacts.sh. Exit status: 0; 1 when the file is not there; 2 for wrong arguments.
set -eu

# attributes FILE ELEMENT NAME: prints the values that the attribute has, one a line.
attributes() { sed -n "/^ *<$2 /s/.* $3=\"\([^\"]*\)\".*/\1/p" "$1"; }

sum() { awk '{ sum += $1 } END { print sum + 0 }'; }

tests() {
    failed=$(attributes "$1" testsuite failures | sum)
    skipped=$(attributes "$1" testsuite skipped | sum)
    passed=$(($(attributes "$1" testsuite tests | sum) - failed - skipped))
    printf '### Tests\n\n| passed | failed | skipped |\n| --- | --- | --- |\n| %d | %d | %d |\n\n' \
        "$passed" "$failed" "$skipped"
    awk -F '"' '/<testcase .*<failure /{ printf "- FAILED: `%s` of `%s`\n", $4, $2 }' "$1"
}

coverage() {
    printf '### Coverage\n\n| lines | branches |\n| --- | --- |\n| %s %% | %s %% |\n' \
        "$(attributes "$1" coverage line-rate | awk '{ print 100 * $1 }')" \
        "$(attributes "$1" coverage branch-rate | awk '{ print 100 * $1 }')"
}

image() {
    printf '### Image\n\n%s bytes, SHA-256 of the program %s\n\n```json\n' \
        "$(wc -c <"$1/versiond")" "$(sha256sum <"$1/versiond" | cut -d ' ' -f 1)"
    jq '.components[] | {name, version}' -c "$1/sbom.cdx.json"
    # shellcheck disable=SC2016 # Markdown
    echo '```'
}

case ${1-} in
tests | coverage | image)
    [ -e "${2-}" ] || {
        echo "summary: ${2-}: no such file" >&2
        exit 1
    }
    "$@"
    ;;
*)
    echo "summary: '${1-}' is not tests, coverage or image" >&2
    exit 2
    ;;
esac

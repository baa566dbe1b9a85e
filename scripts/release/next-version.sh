#!/bin/sh
# Prints the version that a release of HEAD should have.
# Usage: scripts/release/next-version.sh
# Environment: BUMP (major, minor or patch): how far; empty: the furthest that a commit since the last full release
# asks for with the line "Bump: minor" or "Bump: major" at its end, else patch. PRE (rc, beta…): the next pre-release of
# that version. Without a release so far it is 0.1.0.
# Exit status: 0; 1 with a line that says what is wrong.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/release/lib.sh

last=$(last_release HEAD --exclude "$prerelease_tags")

# asked: the furthest that the commits ask for.
asked() {
    git log --no-show-signature --format='%(trailers:key=Bump,valueonly)' "$last..HEAD" |
        awk '/^major *$/ { found = 2 } /^minor *$/ && found < 1 { found = 1 }
            END { print found == 2 ? "major" : found == 1 ? "minor" : "patch" }'
}

# bumped VERSION HOW
bumped() {
    echo "$1" | awk -F . -v how="$2" 'how == "major" { print $1 + 1 ".0.0" } how == "minor" { print $1 "." $2 + 1 ".0" }
        how == "patch" { print $1 "." $2 "." $3 + 1 }'
}

# numbered VERSION: VERSION-PRE.N, N one more than the last tag's.
numbered() {
    git tag --list "[vV]ersion$1-$PRE.*" | awk -v before="$1-$PRE." '
        { sub(/^[vV]ersion/, ""); n = substr($0, length(before) + 1) } n ~ /^[0-9]+$/ && n + 0 > last { last = n + 0 }
        END { print before last + 1 }'
}

case ${BUMP-} in
'' | major | minor | patch) ;;
*) die "BUMP: '$BUMP' is not major, minor or patch" ;;
esac
case ${PRE-} in *[!a-z]*) die "PRE: '$PRE' is not a word of lower-case letters, such as rc" ;; esac
version=0.1.0
if [ -n "$last" ]; then
    how=${BUMP:-$(asked)}
    version=$(bumped "${last#[vV]ersion}" "$how")
fi
[ -z "${PRE-}" ] || version=$(numbered "$version")
echo "$version"

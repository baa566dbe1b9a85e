#!/bin/sh
# Prints which tags of the image a release takes, a line each: its version; for a full release also 1.2, 1 and
# latest, each unless a newer full release has it.
# Usage: scripts/release/floating-tags.sh VERSION <TAGS
# TAGS are those that the registry has, a line each, in any order.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/release/lib.sh

# newest PREFIX: VERSION is the newest full release among those that begin with PREFIX.
newest() {
    [ "$(printf '%s\n' "$releases" "$version" | awk -v prefix="$1" 'index($0, prefix) == 1' |
        sort --version-sort | tail -n 1)" = "$version" ]
}

version=$1
is_version "$version" || die "VERSION: '$version' is not a SemVer 2.0.0 version"
releases=$(grep -E "$full_release" || test $? = 1)
echo "$version"
if ! is_prerelease "$version"; then
    minor=${version%.*}
    major=${minor%.*}
    ! newest "$minor." || echo "$minor"
    ! newest "$major." || echo "$major"
    ! newest '' || echo latest
fi

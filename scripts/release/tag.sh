#!/bin/sh
# Gives an image that was pushed its names: those that floating-tags.sh says.
# Usage: scripts/release/tag.sh REPOSITORY DIGEST VERSION
# Prints a line for each name. Exit status: 0; 1 with a line that says what went wrong.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/release/lib.sh

repository=$1
digest=$2
version=$3
tls=$(tls "$repository")
work=

finish() { rm -rf "$work"; }

# name TAG
name() {
    run skopeo --insecure-policy copy --quiet --all --preserve-digests --src-tls-verify="$tls" --dest-tls-verify="$tls" \
        "docker://$repository@$digest" "docker://$repository:$1"
    echo "$repository:$1 is $digest"
}

wants skopeo jq
finish_always
make_work
refuse_published "$repository" "$version" "$digest"
# The version first: from then on the registry has tags to list.
name "$version"
skopeo list-tags --tls-verify="$tls" "docker://$repository" >"$work/list"
jq -er '.Tags[]' "$work/list" >"$work/tags"
scripts/release/floating-tags.sh "$version" <"$work/tags" >"$work/names"
grep -qFx "$version" "$work/tags" || die "$repository does not list $version"
sed 1d "$work/names" | while read -r tag; do
    name "$tag"
done

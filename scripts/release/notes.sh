#!/bin/sh
# Prints the notes of a release, in Markdown: what was committed since the last one, by area, and how to get and
# verify the image.
# Usage: scripts/release/notes.sh [TAG]      (without: what a release of HEAD would say)
# Environment: PRE (empty: HEAD becomes a full release); IMAGE_REPOSITORY, DIGEST (empty: nothing is said of the image); GITHUB_REPOSITORY.
# A full release tells what is new since the last full one, a pre-release since the last of either.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/release/lib.sh

tag=${1-}
revision=HEAD
version=${PRE:+0.0.0-$PRE} # all that counts of the next one is whether it is a pre-release
set --
if [ -n "$tag" ]; then
    version=$(version_of_tag "$tag")
    revision=$(git rev-parse --verify --quiet "refs/tags/$tag^{commit}") || die "there is no tag $tag in this clone"
    set -- --exclude "$tag"
fi
is_prerelease "${version}" || set -- "$@" --exclude "$prerelease_tags"
previous=$(last_release "$revision" "$@")

# changes: "area: what" of each commit, under its area; the areas in the order of the alphabet, the newest commit first.
# What looks like a tag of HTML is text.
changes() {
    git log --no-show-signature --no-merges --format='%h %s' "${previous:+$previous..}$revision" | sed 's/</\&lt;/g' | awk '
        { hash = $1; subject = substr($0, length(hash) + 2); area = "other" }
        match(subject, /^[a-z][a-z0-9_., -]*: /) { area = substr(subject, 1, RLENGTH - 2); subject = substr(subject, RLENGTH + 1) }
        { printf "%s\t%d\t- %s (%s)\n", area, NR, subject, hash }' |
        sort -t "$(printf '\t')" -k 1,1 -k 2,2n |
        awk -F '\t' '$1 != area { printf "%s### %s\n\n", (area == "" ? "" : "\n"), $1; area = $1 } { print $3 }'
}

# image: what a stranger copies.
image() {
    cat <<IMAGE

## Image

\`\`\`
docker run -p 5000:5000 $IMAGE_REPOSITORY:$version
\`\`\`

Its digest is \`$DIGEST\`. SECURITY.md says how to verify it:

\`\`\`
gh attestation verify oci://$IMAGE_REPOSITORY@$DIGEST --repo $GITHUB_REPOSITORY \\
    --signer-workflow $GITHUB_REPOSITORY/.github/workflows/publish.yml --source-ref refs/tags/$tag
\`\`\`
IMAGE
}

printf '## Changes%s\n\n' "${previous:+ since ${previous#[vV]ersion}}"
changes
[ -z "${DIGEST-}" ] || image

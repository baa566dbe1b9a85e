#!/bin/sh
# Makes the release on GitHub: a draft with all that belongs to it, published in one step, as what is published cannot be
# changed. A draft that an interrupted run left is made anew; what is published is left as it is.
# Usage: scripts/release/github.sh TAG ASSETS
# ASSETS is the folder of the files. It is the latest release when its image is the latest.
# Environment: IMAGE_REPOSITORY and DIGEST, the image; GITHUB_REPOSITORY; GH_REPO and GH_TOKEN, as gh takes them.
# Exit status: 0; 1 with a line that says what went wrong.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/release/lib.sh

tag=$1
assets=$2
releases='repos/{owner}/{repo}/releases'
work=

finish() { rm -rf "$work"; }

# Prints the releases of the tag, a line each: id, then "true" for a draft.
existing() {
    gh api --paginate "$releases" >"$work/releases" || die "GitHub does not list the releases: $(cat "$work/releases")"
    jq -r --arg tag "$tag" '.[] | select(.tag_name == $tag) | "\(.id) \(.draft)"' "$work/releases"
}

# remove_drafts: ends the script, with 0, when the release is published.
remove_drafts() {
    existing >"$work/existing"
    while read -r id draft; do
        if [ "$draft" = false ]; then
            say "$tag is released already"
            exit 0
        fi
        gh api --method DELETE "$releases/$id"
    done <"$work/existing"
}

# draft: leaves the answer in work/release.
draft() {
    prerelease=false
    ! is_prerelease "$version" || prerelease=true
    scripts/release/notes.sh "$tag" >"$work/notes"
    jq -n --arg tag "$tag" --arg version "$version" --rawfile notes "$work/notes" --argjson prerelease "$prerelease" \
        '{tag_name: $tag, name: $version, body: $notes, draft: true, prerelease: $prerelease}' >"$work/asked"
    gh api --method POST "$releases" --input "$work/asked" >"$work/release"
}

# upload FILE
upload() {
    gh api --method POST "$upload?name=${1##*/}" -H 'Content-Type: application/octet-stream' --input "$1" --silent
    say "uploaded ${1##*/}"
}

wants gh jq skopeo
version=$(version_of_tag "$tag")
finish_always
make_work
gh api "repos/{owner}/{repo}/git/ref/tags/$tag" --silent || die "GitHub has no tag $tag"
newest=$(published_digest "$IMAGE_REPOSITORY" latest)
latest=false
[ "$newest" != "$DIGEST" ] || latest=true
remove_drafts
draft
upload=$(jq -er '.upload_url | sub("\\{.*"; "")' "$work/release")
for file in "$assets"/*; do
    upload "$file"
done
gh api --method PATCH "$releases/$(jq -er .id "$work/release")" -F draft=false -f make_latest="$latest" --jq .html_url

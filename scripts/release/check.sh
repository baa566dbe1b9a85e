#!/bin/sh
# Says whether a tag may be released: its name, that its commit is on the main branch, and that nothing else
# released that version.
# Usage: scripts/release/check.sh TAG
# Environment: GITHUB_SHA (empty: not compared), the commit that the workflow has checked out; MAIN (origin/main), the
# main branch as this clone knows it; IMAGE_REPOSITORY (empty: not asked), which must not have that version yet.
# Prints version=, commit=, epoch= and prerelease= lines. Exit status: 0; 1 with a line that says what is wrong.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/release/lib.sh

tag=$1
main=${MAIN:-origin/main}
work=
finish() { rm -rf "$work"; }

check_main() {
    git rev-parse --verify --quiet "$main^{commit}" >/dev/null ||
        die "this clone has no branch $main (MAIN=… names another); fetch all of its history first"
    git merge-base --is-ancestor "$commit" "$main" ||
        die "commit $commit of $tag is not on $main: what is released has been merged there"
}

# Version1.2.3 and version1.2.3 are one release.
check_twin() {
    for other in "version$version" "Version$version"; do
        [ "$other" = "$tag" ] || ! git rev-parse --verify --quiet "refs/tags/$other" >/dev/null ||
            die "$tag: $version has the tag $other already"
    done
}

check_registry() {
    wants skopeo
    refuse_published "$IMAGE_REPOSITORY" "$version"
}

finish_always
version=$(version_of_tag "$tag")
make_work
commit=$(git rev-parse --verify --quiet "refs/tags/$tag^{commit}") || die "there is no tag $tag in this clone"
[ "$commit" = "${GITHUB_SHA:-$commit}" ] || die "$tag has been moved: it was $GITHUB_SHA, and is $commit"
check_main
check_twin
[ -z "${IMAGE_REPOSITORY-}" ] || check_registry
prerelease=false
! is_prerelease "$version" || prerelease=true
printf '%s\n' "version=$version" "commit=$commit" "epoch=$(git log -1 --no-show-signature --format=%ct "$commit")" \
    "prerelease=$prerelease"

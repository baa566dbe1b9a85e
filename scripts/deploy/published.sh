#!/bin/sh
# Prints what the registry has as a release: the image by its digest, and the commit that it is of.
# Usage: scripts/deploy/published.sh VERSION
# Environment: IMAGE_REPOSITORY; DIGEST (empty: whichever it has), which it must be.
# Exit status: 0; 1 with a line that says what is wrong.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/deploy/lib.sh

version=$1
work=

finish() { rm -rf "$work"; }

[ -n "${IMAGE_REPOSITORY-}" ] || die 'IMAGE_REPOSITORY is empty: where is the image, such as ghcr.io/owner/versiond?'
is_version "${version:-none}" || die "VERSION: '$version' is not a SemVer 2.0.0 version"
wants skopeo jq
finish_always
make_work
digest=$(published_digest "$IMAGE_REPOSITORY" "$version")
[ -n "$digest" ] || die "$IMAGE_REPOSITORY has no $version"
[ "${DIGEST:-$digest}" = "$digest" ] || die "$IMAGE_REPOSITORY:$version is $digest, and not $DIGEST"
# layout.sh has put the labels there.
commit=$(jq -r '.annotations["org.opencontainers.image.revision"] // empty' "$work/manifest")
[ -n "$commit" ] || die "$IMAGE_REPOSITORY:$version does not say of which commit it is"
echo "$IMAGE_REPOSITORY@$digest $commit"

#!/bin/sh
# Goes back to a release, by deploying it again (deploy.sh). Without VERSION to the last one that was verified before the one
# that runs; one that never was is left for the last one that was.
# Usage: scripts/deploy/rollback.sh ENV [VERSION]
# Environment: as deploy.sh; IMAGE_REPOSITORY (that of what runs), where a VERSION is that the cluster does not know any more.
# Exit status: 0 when it runs, verified, also when it did before; else 1, and lines say what was wrong.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/deploy/lib.sh

version=${2-}
work=

finish() { rm -rf "$work"; }

# Says what one can go back to.
choices() {
    list=$(awk -v running="$running" '$1 != running { print $2 }' "$work/releases" | paste -sd ' ' -)
    echo "$environment has verified, besides what runs: ${list:-nothing}"
}

# The one before, in the order in which they came.
before() { awk -v running="$running" 'found { print; exit } $1 == running { found = 1 }' "$work/releases"; }

# published: what the registry has as VERSION, as a line of work/releases.
published() {
    IMAGE_REPOSITORY=${IMAGE_REPOSITORY:-${running%@*}}
    export IMAGE_REPOSITORY
    scripts/deploy/published.sh "$version" >"$work/published" || die "cannot go back to $version: $(choices)"
    read -r image commit <"$work/published"
    echo "$image $version $commit"
}

# Leaves the release in work/target. What was verified here was attested before: going back to it must not need GitHub.
choose() {
    if [ -z "$version" ]; then
        if [ "${good%% *}" != "$running" ]; then echo "$good"; else before; fi >"$work/target"
        [ -n "$(cat "$work/target")" ] || die "no release to go back to: $(choices)"
        unset ATTESTED_BY
    elif awk -v version="$version" '$2 == version { print; found = 1; exit } END { exit !found }' "$work/releases" >"$work/target"; then
        unset ATTESTED_BY
    else
        published >"$work/target"
    fi
}

choose_environment "${1-}"
wants kubectl jq git curl
finish_always
make_work
get_deployment
running=$(running_image)
[ -n "$running" ] || die "nothing is deployed to $environment"
good=$(last_good)
list_releases
choose
read -r image version commit _ <"$work/target"
if [ "$image" = "$running" ] && [ "$image" = "${good%% *}" ]; then
    say "$environment runs $version already"
    exit
fi
run scripts/deploy/deploy.sh "$environment" "$image" "$version" "$commit"

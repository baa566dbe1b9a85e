#!/bin/sh
# Shows what runs in an environment: which release, since when and by whom, what each replica answers, and what one can go
# back to.
# Usage: scripts/deploy/status.sh ENV
# Exit status: 0 when what was verified last runs and each replica answers as it; 1 when not, and lines say what is wrong.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/deploy/lib.sh

work=
wrong=0

finish() { rm -rf "$work"; }

# problem TEXT...
problem() {
    wrong=1
    echo "WRONG: $*"
}

record() {
    jq -r '.metadata.annotations // {} | select(has("versiond/image"))
        | "version   \(.["versiond/version"])", "commit    \(.["versiond/commit"])", "image     \(.["versiond/image"])",
        "deployed  \(.["versiond/deployed-at"]) by \(.["versiond/deployed-by"])", "run       \(.["versiond/run"])"' "$work/deployment"
}

# Shows what each replica answers, and takes it for wrong when it is not WANTED.
replicas() {
    jq -r '.endpoints[] | "\(.pod) \(.port)"' "$work/state" >"$work/endpoints"
    while read -r pod port; do
        if ! ask "$pod" "$port"; then
            problem "$why"
        else
            printf '%-32s %s\n' "$pod" "$(answer)"
            [ "$(answer)" = "$1" ] || problem "$pod does not answer as what was verified last: $1"
        fi
    done <"$work/endpoints"
}

releases() {
    grep -v "^$running " "$work/releases" >"$work/others" || test $? = 1
    echo "To go back to (make rollback ENV=$environment TO=…):"
    while read -r _ version commit at who; do
        printf '%-12s %s %s by %s\n' "$version" "$commit" "$at" "$who"
    done <"$work/others"
    [ -s "$work/others" ] || echo nothing
}

choose_environment "${1-}"
wants kubectl jq curl
finish_always
make_work
get_deployment
running=$(running_image)
[ -n "$running" ] || die "nothing is deployed to $environment"
last_good >"$work/good"
read -r good version commit <"$work/good" || die "what runs in $environment was never verified: $running"
list_releases
record
kube get lease "$app-deploy" --ignore-not-found --output 'jsonpath={.spec.holderIdentity}{"\n"}' >"$work/lock"
[ ! -s "$work/lock" ] || echo "locked    $(cat "$work/lock"), being deployed"
[ "$running" = "$good" ] || problem "what runs was not verified: $running"
settled "$running" || problem "$why"
[ -e "$work/state" ] || exit 1
echo
replicas "$version $commit"
echo
releases
[ "$wrong" = 0 ]

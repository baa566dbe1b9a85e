#!/bin/sh
# One attempt of a deployment: the manifests of the release's own commit, applied, waited for, verified on each replica, and
# only then recorded. What went wrong is for deploy.sh to deal with, which calls it and holds the lock.
# Usage: scripts/deploy/attempt.sh ENV IMAGE VERSION COMMIT
# Environment: see deploy.sh. Exit status: 0; 1 when it failed, and the cluster may have changed; 3 when it was refused before
# anything was changed. A line says why.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/deploy/lib.sh

image=$2
version=$3
commit=$4
who=${DEPLOYED_BY:-$(id -un)@$(uname -n)}
work=

finish() { rm -rf "$work"; }

# refuse WHY: nothing was changed.
refuse() {
    say "$@"
    exit 3
}

# The overlay on which the image's name and digest are put. The namespace is not ours to change: with it goes what pods may do.
kustomization() {
    jq -n --arg app "$app" --arg overlay "../deploy/kubernetes/overlays/$environment" --arg image "$image" \
        --arg cause "$version by $who${RUN_URL:+, $RUN_URL}" '($image | split("@")) as [$name, $digest]
        | {resources: [$overlay], images: [{name: $app, newName: $name, digest: $digest}], patches: [
            {target: {kind: "Namespace"},
             patch: ({"$patch": "delete", apiVersion: "v1", kind: "Namespace", metadata: {name: $app}} | tojson)},
            {target: {kind: "Deployment", name: $app},
             patch: ({apiVersion: "apps/v1", kind: "Deployment", metadata: {name: $app,
                annotations: {"kubernetes.io/change-cause": $cause}}} | tojson)}]}'
}

# Leaves the manifests in work/manifests.
render() {
    git rev-parse --verify --quiet "$commit^{commit}" >"$work/said" ||
        refuse "this clone does not have commit $commit of $version: fetch it first"
    git archive --output "$work/tree.tar" "$commit" "deploy/kubernetes/overlays/$environment" deploy/kubernetes 2>"$work/said" ||
        refuse "commit $commit of $version has no deploy/kubernetes/overlays/$environment: $(cat "$work/said")"
    mkdir -p "$work/tree/release"
    tar -xf "$work/tree.tar" -C "$work/tree"
    kustomization >"$work/tree/release/kustomization.yaml"
    kubectl kustomize "$work/tree/release" >"$work/manifests" 2>"$work/said" ||
        refuse "the manifests of commit $commit cannot be rendered: $(cat "$work/said")"
    grep -qF "image: $image" "$work/manifests" || refuse "the manifests of commit $commit have no container with the image $app"
}

# By the server's own rules: it knows who owns each field, so the replicas stay the autoscaler's, what a release no longer
# names goes, and what somebody has changed by hand is set right.
apply() {
    set -- kube apply --server-side --force-conflicts --field-manager=versiond-deploy --filename "$work/manifests"
    "$@" --dry-run=server >"$work/said" 2>&1 || refuse "the cluster refuses the manifests of $version: $(cat "$work/said")"
    "$@" >&2 || die "the cluster has refused the manifests of $version, perhaps not all of them"
}

wait_for_rollout() {
    deadline=$(kube get deployment "$app" --output 'jsonpath={.spec.progressDeadlineSeconds}')
    timeout=${ROLLOUT_TIMEOUT:-$((${deadline:-600} + 60))}
    run kubectl --namespace "$namespace" rollout status "deployment/$app" --timeout "${timeout}s" >&2 ||
        die "the rollout of $version has not finished (progress deadline ${deadline:-600} s, waited for at most $timeout s)"
}

# expect_answer WHO: what was answered is this release.
expect_answer() {
    [ "$(answer)" != "$version $commit" ] || return 0
    why="$1 answers '$(answer)' and not '$version $commit'"
    return 1
}

# A pod of the right image that answers as another will not answer otherwise later.
replicas_answer() {
    jq -r '.endpoints[] | "\(.pod) \(.port)"' "$work/state" >"$work/endpoints" || return
    while read -r pod port; do
        ask "$pod" "$port" || return
        expect_answer "$pod" || die "$why"
    done <"$work/endpoints"
}

# A pod that is stopping may still be found this way, for as long as it drains.
service_answers() {
    ask "service/$app" 80 && expect_answer "the Service" || return
    [ -n "${PUBLIC_URL-}" ] || return 0
    # Three times as often as there are replicas, each time anew: likely each was met.
    for _ in $(jq -r '.endpoints[] | range(3)' "$work/state"); do
        get_version "$PUBLIC_URL" && expect_answer "$PUBLIC_URL" || return
    done
}

verify() {
    end=$(($(date +%s) + ${VERIFY_TIMEOUT:-60}))
    until settled "$image" && replicas_answer && service_answers; do
        [ "$(date +%s)" -lt "$end" ] || die "$why"
        sleep 1
    done
    say "$(jq '.endpoints | length' "$work/state") replicas answer $version $commit"
}

record() {
    kube annotate deployment "$app" --overwrite "versiond/image=$image" "versiond/version=$version" "versiond/commit=$commit" \
        "versiond/deployed-at=$(date -u +%Y-%m-%dT%H:%M:%SZ)" "versiond/deployed-by=$who" "versiond/run=${RUN_URL-}" >&2 ||
        die "$version is verified, and that cannot be recorded"
}

choose_environment "$1"
finish_always
make_work
render
apply
wait_for_rollout
verify
record

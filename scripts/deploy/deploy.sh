#!/bin/sh
# Deploys a release to an environment: applies it, waits, verifies that each replica answers as that release, and records it.
# When it fails the release that was verified last is deployed again in the same way, and it ends with 1 all the same.
# Usage: scripts/deploy/deploy.sh ENV IMAGE@sha256:… VERSION COMMIT
# ENV is one of deploy/kubernetes/overlays, in the cluster that kubectl talks to. Its manifests are those of COMMIT, which this
# clone must have: a release that is deployed again brings its own back.
# Environment: DEPLOYED_BY (the user and host) and RUN_URL (empty), who deploys and where one can read of it;
# ROLLOUT_TIMEOUT, seconds, how long the rollout may take (progressDeadlineSeconds and 60 more); VERIFY_TIMEOUT (60), how long
# the answers may take to be right afterwards; PUBLIC_URL (empty: not asked), where the environment's users ask;
# ATTESTED_BY (empty: not asked), OWNER/REPOSITORY whose publish.yml must have signed the image.
# Exit status: 0 when it runs, verified; else 1, and lines say what was wrong, and what runs now.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/deploy/lib.sh

image=${2-}
version=${3-}
commit=${4-}
who=${DEPLOYED_BY:-$(id -un)@$(uname -n)}
# More than two attempts take; 240 is what attempt.sh waits with our manifests.
lock_seconds=$((2 * (${ROLLOUT_TIMEOUT:-240} + ${VERIFY_TIMEOUT:-60}) + 300))
locked=
work=

finish() {
    [ -z "$locked" ] || unlock || say "the lock stays: $unlock"
    rm -rf "$work"
}

# A lock that has ended by itself may be another's by now.
unlock() {
    held=$(kube get lease "$app-deploy" --ignore-not-found --output 'jsonpath={.spec.holderIdentity}') || return
    [ "$held" != "$holder" ] || kube delete lease "$app-deploy" --wait=false >/dev/null
}

check_arguments() {
    printf '%s\n' "$image" | grep -Eqx '[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}' ||
        die "IMAGE: '$image' is not an image by its digest, such as ghcr.io/owner/versiond@sha256:…"
    is_version "${version:-none}" || die "VERSION: '$version' is not a SemVer 2.0.0 version"
    printf '%s\n' "$commit" | grep -Eqx '[0-9a-f]{40}' || die "COMMIT: '$commit' is not the full hash of a commit"
}

# lease [HELD]: prints the lock, as it replaces the one in the file HELD.
lease() {
    jq --arg name "$app-deploy" --arg holder "$holder" --argjson seconds "$lock_seconds" '
        {apiVersion: "coordination.k8s.io/v1", kind: "Lease",
         metadata: {name: $name, resourceVersion: .metadata.resourceVersion?},
         spec: {holderIdentity: $holder, leaseDurationSeconds: $seconds,
            acquireTime: (now | strftime("%Y-%m-%dT%H:%M:%S.000000Z"))}} | del(.. | nulls)' "$@"
}

# One at a time. Who was killed leaves a lock behind, which ends by itself.
lock() {
    if ! echo null | lease | kube create --filename - >"$work/said" 2>&1; then
        grep -q 'already exists' "$work/said" || die "cannot lock $environment: $(cat "$work/said")"
        kube get lease "$app-deploy" --output json >"$work/lease"
        held=$(jq -r '.spec | (.acquireTime | sub("[.][0-9]+"; "") | fromdate) + .leaseDurationSeconds
            | if . > now then todate else empty end' "$work/lease")
        [ -z "$held" ] || die "$(jq -r .spec.holderIdentity "$work/lease") is deploying to $environment;" \
            "its lock ends at $held at the latest. When nobody is deploying: $unlock"
        lease "$work/lease" | kube replace --filename - >"$work/said" 2>&1 || die "cannot lock $environment: $(cat "$work/said")"
    fi
    locked=yes
}

check_attestation() {
    gh attestation verify "oci://$image" --repo "$ATTESTED_BY" --source-digest "$commit" \
        --signer-workflow "$ATTESTED_BY/.github/workflows/publish.yml" >"$work/said" 2>&1 ||
        die "$image is not attested by publish.yml of $ATTESTED_BY for $commit; nothing was changed: $(cat "$work/said")"
    say "$image is attested by publish.yml of $ATTESTED_BY"
}

# What can be seen of a failure.
report() {
    say "pods and events of $namespace:"
    {
        kube get pods --output wide
        kube get pods --output json | jq -r '.items[] | .metadata.name as $pod | .status.containerStatuses[]?
            | .state.waiting, .state.terminated, .lastState.terminated | values | "\($pod): \(.reason): \(.message // "")"'
        kube get events --sort-by .metadata.creationTimestamp | tail -n 15
    } >&2 || say 'the cluster does not tell them'
}

# attempt IMAGE VERSION COMMIT: leaves its exit status in `status`.
attempt() {
    say "deploying $2 to $environment: $1"
    status=0
    run scripts/deploy/attempt.sh "$environment" "$@" || status=$?
}

# go_back [IMAGE VERSION COMMIT]: to the release that was verified last.
go_back() {
    [ $# != 0 ] || die "$version has FAILED in $environment, and no release was verified there before: it is left as it is"
    [ "$1" != "$image" ] || die "$version has FAILED in $environment, and is itself the last release that was verified there:" \
        "it is left as it is"
    DEPLOYED_BY="$who, as $version failed"
    export DEPLOYED_BY
    attempt "$@"
    [ "$status" = 0 ] || report
    [ "$status" = 0 ] || die "$version has FAILED in $environment, and so has $2, the last release that was verified there:" \
        "it is left as it is"
    die "$version has FAILED in $environment, which runs $2 again"
}

choose_environment "${1-}"
holder="$who${RUN_URL:+, $RUN_URL}: $version ($(uname -n), process $$)"
unlock="kubectl --namespace $namespace delete lease $app-deploy"
check_arguments
wants kubectl jq git curl
finish_always
make_work
lock
[ -z "${ATTESTED_BY-}" ] || check_attestation
get_deployment
good=$(last_good)
attempt "$image" "$version" "$commit"
case $status in
0) say "$environment runs $version" ;;
3) die "$version was not deployed to $environment: nothing was changed" ;;
*)
    report
    # shellcheck disable=SC2086 # three words
    go_back $good
    ;;
esac

#!/bin/bash
# deploy.yml and rollback.yml, run by act on this machine, with a registry of our own and a cluster that is a folder
# (fake_kubectl.py): from the version that somebody chooses to what the environments run. No engine; approvals are GitHub's.
# Run it from the root of the project, with all that is to be tested committed.
set -eu
. tests/support/check.sh
. tests/support/servers.sh

root=$PWD
unset VERSION COMMIT DESCRIPTION NAME SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
unset GITHUB_REPOSITORY GITHUB_ACTIONS DIGEST IMAGE_REPOSITORY DEPLOYED_BY RUN_URL ATTESTED_BY PUBLIC_URL

# scene: a clone, a registry and a cluster with nothing in them.
scene() {
    needs git jq curl kubectl python3 skopeo docker-registry
    trap stop_servers EXIT
    start_registry "$scratch"
    git clone --quiet --no-tags . "$scratch/clone"
    mkdir "$scratch/cluster"
    fake_kubectl "$scratch"
    cd "$scratch/clone"
    git remote set-url origin https://git.example/Team/Versiond
}

# release VERSION: of HEAD, in the registry.
release() {
    commit=$(git rev-parse HEAD)
    publish_index "$1" "$commit"
    echo "$digest $1 $commit" >>"$scratch/cluster/images"
}

# act FILE INPUT=VALUE...: starts a workflow as somebody would by hand. What it says is in $scratch/said.
act() {
    local file=$1
    shift
    printf '%s\n' "$@" | jq -nR '{inputs: [inputs | split("=") | {(.[0]): .[1]}] | add}' >"$scratch/event.json"
    "$act" workflow_dispatch --workflows ".github/workflows/$file" --eventpath "$scratch/event.json" \
        --platform ubuntu-24.04=-self-hosted --github-instance git.example --env-file /dev/null --var-file /dev/null \
        --secret-file /dev/null --secret KUBECONFIG=configuration --var SIGN=false --var REGISTRY="$registry" \
        --env PATH="$PATH" --env FAKE_CLUSTER="$FAKE_CLUSTER" --env KUBECTL="$KUBECTL" --env VERIFY_TIMEOUT=0 \
        >"$scratch/said" 2>&1
}

# expect_run STATUS FILE INPUT=VALUE...: it ends with that.
expect_run() {
    local wanted=$1 status=0
    shift
    act "$@" || status=$?
    [ "$status" = "$wanted" ] || fail "$* ended with $status: $(tail -n 40 "$scratch/said")"
}

expect_said() { grep -qF -- "$1" "$scratch/said" || fail "did not say '$1': $(tail -n 60 "$scratch/said")"; }

# expect_runs STAGING PRODUCTION: the versions that are recorded there.
expect_runs() {
    expect_equal "$(jq -r '.["versiond-staging"], .["versiond-production"] | .deployment.metadata.annotations["versiond/version"] // "nothing"' \
        "$scratch/cluster/objects.json" | paste -sd ' ' -)" "$*"
}

release_goes_to_both_and_back() {
    scene
    release 1.2.2
    expect_run 0 deploy.yml version=1.2.2 digest="$digest" by=somebody
    expect_runs 1.2.2 1.2.2
    expect_equal "$(jq -r '.["versiond-production"].deployment.metadata.annotations | .["versiond/deployed-by"], .["versiond/run"]' \
        "$scratch/cluster/objects.json")" 'nektos/act for somebody
https://git.example/Team/Versiond/actions/runs/1'
    expect_said 'version   1.2.2'
    # A pre-release stays in staging.
    release 1.2.3-rc.1
    expect_run 0 deploy.yml version=1.2.3-rc.1
    expect_runs 1.2.3-rc.1 1.2.2
    release 1.2.3
    expect_run 0 deploy.yml version=1.2.3
    expect_runs 1.2.3 1.2.3
    expect_run 0 rollback.yml environment=production
    expect_runs 1.2.3 1.2.2
    expect_run 0 rollback.yml environment=staging version=1.2.2
    expect_runs 1.2.2 1.2.2
    expect_run 1 rollback.yml environment=staging version=1.0.0
    expect_said 'cannot go back to 1.0.0'
}

release_that_fails_in_staging_is_not_promoted() {
    scene
    release 1.2.2
    expect_run 0 deploy.yml version=1.2.2
    release 1.2.3
    echo 'wrong 1.2.3' >"$scratch/cluster/faults"
    expect_run 1 deploy.yml version=1.2.3
    expect_said '1.2.3 has FAILED in staging, which runs 1.2.2 again'
    expect_runs 1.2.2 1.2.2
    grep -q 'versiond-production.*apply' "$scratch/cluster/calls" || fail 'the log of calls has no production at all'
    expect_equal "$(grep -c 'versiond-production.*apply.*dry-run' "$scratch/cluster/calls")" 1
}

another_digest_is_not_deployed() {
    scene
    release 1.2.2
    expect_run 1 deploy.yml version=1.2.2 digest="sha256:$(printf %064d 1)"
    expect_said ", and not sha256:$(printf %064d 1)"
    expect_run 1 deploy.yml version=1.2.9
    expect_said "$registry/team/versiond has no 1.2.9"
    [ ! -e "$scratch/cluster/calls" ] || fail "the cluster was asked: $(cat "$scratch/cluster/calls")"
}

find_act
case $act in /*) ;; *) act=$root/$act ;; esac
run_tests release_goes_to_both_and_back release_that_fails_in_staging_is_not_promoted another_digest_is_not_deployed

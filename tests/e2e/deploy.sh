#!/bin/sh
# Tests scripts/deploy with a simulated cluster (tests/support/fake_kubectl.py); tests/e2e/kubernetes.sh uses a real one. Run it
# from the root of the project.
set -eu
. tests/support/check.sh
. tests/support/servers.sh

root=$PWD
unset NAME VERSION COMMIT DESCRIPTION SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
unset IMAGE_REPOSITORY DIGEST ROLLOUT_TIMEOUT PUBLIC_URL ATTESTED_BY RUN_URL KUBECONFIG
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export DEPLOYED_BY=somebody VERIFY_TIMEOUT=0
repository=registry.example/team/versiond

# cluster: makes an empty cluster, and enters a clone with the scripts and the manifests.
cluster() {
    needs git jq curl kubectl python3
    mkdir "$scratch/bin" "$scratch/cluster" "$scratch/clone"
    KUBECTL=$(command -v kubectl)
    export KUBECTL FAKE_CLUSTER="$scratch/cluster" PATH="$scratch/bin:$PATH"
    ln -s "$root/tests/support/fake_kubectl.py" "$scratch/bin/kubectl"
    cd "$scratch/clone"
    git init --quiet --initial-branch=main
    mkdir deploy
    cp -R "$root/scripts" "$root/deps" .
    cp -R "$root/deploy/kubernetes" deploy/
    git add .
    git commit --quiet --message 'first: everything'
}

# release VERSION: of a commit of its own; sets image, version, commit.
release() {
    version=$1
    git commit --quiet --all --allow-empty --message "release $1"
    commit=$(git rev-parse HEAD)
    image=$repository@sha256:$(echo "$1" | sha256sum | cut -d ' ' -f 1)
    echo "${image#*@} $version $commit" >>"$scratch/cluster/images"
}

# fault NAME VERSION: see fake_kubectl.py.
fault() { echo "$*" >>"$scratch/cluster/faults"; }

deploy() { scripts/deploy/deploy.sh staging "$image" "$version" "$commit"; }

# expect_ok COMMAND...: it succeeds. The output is in $scratch/said.
expect_ok() { ("$@") >"$scratch/said" 2>&1 || fail "$*: $(cat "$scratch/said")"; }

# deployed VERSION: deploys a release.
deployed() {
    release "$1"
    VERIFY_TIMEOUT=60 expect_ok deploy
}

# expect_failed TEXT COMMAND...: it fails and prints TEXT.
expect_failed() {
    text=$1
    shift
    ! ("$@") >"$scratch/said" 2>&1 || fail "passed: $*: $(cat "$scratch/said")"
    grep -qF -- "$text" "$scratch/said" || fail "expected '$text': $(cat "$scratch/said")"
}

# expect_runs IMAGE VERSION: the cluster runs IMAGE, has recorded VERSION as verified, and is not locked.
expect_runs() {
    expect_equal "$(jq -r '.["versiond-staging"] | .image, .deployment.metadata.annotations["versiond/version"] // "nothing", (.leases | length)' \
        "$scratch/cluster/objects.json" | paste -sd ' ' -)" "$1 $2 0"
}

deploys_verifies_and_records_a_release() {
    cluster
    release 1.2.2
    RUN_URL=https://ci.example/7 expect_ok deploy
    grep -qF "deploy: 2 replicas answer 1.2.2 $commit" "$scratch/said" || fail "$(cat "$scratch/said")"
    expect_runs "$image" 1.2.2
    expect_ok scripts/deploy/status.sh staging
    expect_equal "$(sed -E 's/20..-..-..T..:..:..Z/WHEN/; 5q' "$scratch/said")" "version   1.2.2
commit    $commit
image     $image
deployed  WHEN by somebody
run       https://ci.example/7"
    fault missing 1.2.2
    expect_failed 'the Service sends requests to 1 pods, and there are 2 replicas' scripts/deploy/status.sh staging
}

# expect_rollback FAULT TEXT: 1.2.3 fails with TEXT, and 1.2.2 runs again with its own manifests.
expect_rollback() {
    cluster
    deployed 1.2.2
    good=$image
    sed -i 's/maxReplicas: 10/maxReplicas: 11/' deploy/kubernetes/base/horizontalpodautoscaler.yaml
    release 1.2.3
    fault "$1" 1.2.3
    expect_failed 'deploy: 1.2.3 has FAILED in staging, which runs 1.2.2 again' deploy
    grep -qF -- "$2" "$scratch/said" || fail "expected '$2': $(cat "$scratch/said")"
    expect_runs "$good" 1.2.2
    grep -q 'maxReplicas: 10' "$scratch/cluster/applied.yaml" || fail 'not the manifests of 1.2.2'
}

rolls_back_a_release_that_is_never_ready() { expect_rollback not-ready 'the rollout of 1.2.3 has not finished'; }
rolls_back_a_replica_of_another_version() { expect_rollback wrong "versiond-1 answers '9.9.9 "; }
rolls_back_a_replica_without_requests() { expect_rollback missing 'the Service sends requests to 1 pods'; }

leaves_the_first_deployment_that_fails() {
    cluster
    release 1.2.2
    fault wrong 1.2.2
    expect_failed 'and no release was verified there before' deploy
    expect_runs "$image" nothing
    expect_failed 'was never verified' scripts/deploy/status.sh staging
}

changes_nothing_if_refused() {
    cluster
    deployed 1.2.2
    good=$image
    release 1.2.3
    fault refused 1.2.3
    expect_failed 'deploy: 1.2.3 was not deployed to staging: nothing was changed' deploy
    hash=$commit commit=$(printf %040d 1)
    expect_failed "this clone does not have commit $commit of 1.2.3" deploy
    while read -r text environment image version commit; do
        expect_failed "$text: " scripts/deploy/deploy.sh "$environment" "$image" "$version" "$commit"
    done <<WRONG
IMAGE staging $repository:1.2.2 1.2.2 $hash
IMAGE staging $repository@sha256:12 1.2.2 $hash
ENV ../staging $good 1.2.2 $hash
VERSION staging $good 1.2 $hash
COMMIT staging $good 1.2.2 main
WRONG
    printf '#!/bin/sh\necho no attestation\nexit 1\n' >"$scratch/bin/gh"
    chmod +x "$scratch/bin/gh"
    release 1.2.4
    ATTESTED_BY=team/versiond expect_failed 'is not attested by publish.yml of team/versiond' deploy
    expect_runs "$good" 1.2.2
}

# hanging_deployment: starts the deployment of 1.2.3, whose rollout hangs; sets `hanging` to its process.
hanging_deployment() {
    release 1.2.3
    fault hang 1.2.3
    scripts/deploy/deploy.sh staging "$image" "$version" "$commit" >"$scratch/hanging" 2>&1 &
    hanging=$!
    trap 'kill "$hanging" 2>/dev/null || gone=$?' EXIT
    wait_until 'the rollout' test -e "$scratch/cluster/hangs"
}

runs_one_deployment_at_a_time() {
    cluster
    deployed 1.2.2
    good=$image
    hanging_deployment
    release 1.2.4
    expect_failed 'is deploying to staging; its lock ends at 20' deploy
    kill "$hanging"
    ! wait "$hanging" || fail 'passed'
    # The interrupted release is not what a failure goes back to.
    fault wrong 1.2.4
    expect_failed 'which runs 1.2.2 again' deploy
    expect_runs "$good" 1.2.2
    lease='{"metadata": {"name": "versiond-deploy"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 60, "acquireTime": "2026-01-01T00:00:00.0Z"}}'
    echo "$lease" | kubectl --namespace versiond-staging create
    deployed 1.2.5
    expect_runs "$image" 1.2.5
}

rolls_back_on_request() {
    cluster
    expect_failed 'deploy: nothing is deployed to staging' scripts/deploy/rollback.sh staging
    for version in 1.2.1 1.2.2 1.2.3; do
        deployed $version
    done
    last=$image
    expect_ok scripts/deploy/rollback.sh staging
    expect_ok scripts/deploy/rollback.sh staging
    expect_failed 'no release to go back to: staging has verified, besides what runs: 1.2.3 1.2.2' scripts/deploy/rollback.sh staging
    expect_ok scripts/deploy/rollback.sh staging 1.2.3
    expect_runs "$last" 1.2.3
    fault not-ready 1.2.2
    expect_failed '1.2.2 has FAILED in staging, which runs 1.2.3 again' scripts/deploy/rollback.sh staging
    expect_runs "$last" 1.2.3
}

run_tests deploys_verifies_and_records_a_release rolls_back_a_release_that_is_never_ready rolls_back_a_replica_of_another_version \
    rolls_back_a_replica_without_requests leaves_the_first_deployment_that_fails changes_nothing_if_refused \
    runs_one_deployment_at_a_time rolls_back_on_request

#!/bin/sh
# The scripts of a deployment: what is verified, recorded and gone back to, and each thing that can go wrong. The cluster is
# tests/support/fake_kubectl.py; tests/e2e/kubernetes.sh asks a real one. Run it from the root of the project.
set -eu
. tests/support/check.sh
. tests/support/servers.sh

root=$PWD
unset NAME VERSION COMMIT DESCRIPTION SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
unset IMAGE_REPOSITORY DIGEST ROLLOUT_TIMEOUT PUBLIC_URL ATTESTED_BY RUN_URL KUBECONFIG
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export DEPLOYED_BY=somebody VERIFY_TIMEOUT=0
repository=registry.example/team/versiond

# cluster: a clone with the scripts and the manifests, and a cluster with nothing in it.
cluster() {
    needs git jq curl kubectl python3
    mkdir "$scratch/clone" "$scratch/cluster"
    fake_kubectl "$scratch"
    cd "$scratch/clone"
    git init --quiet --initial-branch=main
    mkdir deploy
    cp -R "$root/scripts" "$root/deps" .
    cp -R "$root/deploy/kubernetes" deploy/
    git add .
    git commit --quiet --message 'first: all of it'
}

# release VERSION: of a commit of its own; leaves image, version, commit.
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

# deployed VERSION: a release that runs, verified.
deployed() {
    release "$1"
    VERIFY_TIMEOUT=60 deploy >"$scratch/said" 2>&1 || fail "$1 was not deployed: $(cat "$scratch/said")"
}

# expect_failed COMMAND...: leaves what was said in $scratch/said.
expect_failed() { ! ("$@") >"$scratch/said" 2>&1 || fail "passed: $*: $(cat "$scratch/said")"; }

# expect_said TEXT...
expect_said() {
    for text; do
        grep -qF -- "$text" "$scratch/said" || fail "did not say '$text': $(cat "$scratch/said")"
    done
}

# now: prints what the cluster runs, and what it has recorded as verified.
now() {
    jq -r '.["versiond-staging"].deployment | (.spec.template.spec.containers[1].image),
        (.metadata.annotations | .["versiond/image"] // "nothing", .["versiond/version"] // "nothing")' "$scratch/cluster/objects.json" |
        paste -sd ' ' -
}

# expect_runs IMAGE VERSION: verified.
expect_runs() { expect_equal "$(now)" "$1 $1 $2"; }

expect_no_lock() { expect_equal "$(jq -c '.["versiond-staging"].leases' "$scratch/cluster/objects.json")" '{}'; }

release_is_deployed_and_recorded() {
    cluster
    release 1.2.2
    RUN_URL=https://ci.example/7 deploy >"$scratch/said" 2>&1 || fail "$(cat "$scratch/said")"
    expect_said "deploy: 2 replicas answer 1.2.2 $commit" 'deploy: staging runs 1.2.2'
    expect_runs "$image" 1.2.2
    jq '.["versiond-staging"] | .deployment, .replicasets[] | .metadata.annotations' "$scratch/cluster/objects.json" >"$scratch/notes"
    expect_equal "$(jq -c 'del(.["versiond/deployed-at"])' "$scratch/notes" | sort -u)" \
        "{\"kubernetes.io/change-cause\":\"1.2.2 by somebody, https://ci.example/7\",\"versiond/image\":\"$image\",\"versiond/version\":\"1.2.2\",\"versiond/commit\":\"$commit\",\"versiond/deployed-by\":\"somebody\",\"versiond/run\":\"https://ci.example/7\"}"
    expect_equal "$(jq -r '.["versiond/deployed-at"]' "$scratch/notes" | grep -cE '^20..-..-..T..:..:..Z$')" 2
    expect_no_lock
    # The same again is no other release.
    deploy >"$scratch/said" 2>&1
    expect_equal "$(jq '.["versiond-staging"].replicasets | length' "$scratch/cluster/objects.json")" 1
    expect_runs "$image" 1.2.2
}

# goes_back FAULT TEXT...: with the fault 1.2.3 fails, TEXT is said, and 1.2.2 runs again, with its own manifests.
goes_back() {
    what=$1
    shift
    cluster
    deployed 1.2.2
    good=$image
    sed -i 's/maxReplicas: 10/maxReplicas: 11/' deploy/kubernetes/base/horizontalpodautoscaler.yaml
    release 1.2.3
    fault "$what" 1.2.3
    expect_failed deploy
    expect_said "$@" 'deploy: 1.2.3 has FAILED in staging, which runs 1.2.2 again' "pods and events of versiond-staging"
    expect_runs "$good" 1.2.2
    expect_equal "$(jq -r '.["versiond-staging"].deployment.metadata.annotations | .["versiond/deployed-by"], .["kubernetes.io/change-cause"]' \
        "$scratch/cluster/objects.json")" 'somebody, as 1.2.3 failed
1.2.2 by somebody, as 1.2.3 failed'
    grep -q 'maxReplicas: 10' "$scratch/cluster/applied.yaml" || fail 'not with the manifests of 1.2.2'
    expect_no_lock
}

image_that_never_gets_ready_is_gone_back_from() {
    goes_back not-ready 'exceeded its progress deadline' 'the rollout of 1.2.3 has not finished (progress deadline 180 s, waited for at most 240 s)' \
        'versiond-new-0: ImagePullBackOff: Back-off pulling image' 'Warning Failed'
    ! grep -q 'are updated' "$scratch/said" || fail 'what was not rolled out was verified'
}

replica_of_another_version_is_gone_back_from() {
    goes_back wrong "-1 answers '9.9.9 " "' and not '1.2.3 "
}

replica_that_cannot_be_reached_is_gone_back_from() {
    goes_back deaf '-1: its port 5000 cannot be reached: error: error forwarding port: connection refused'
}

replica_of_the_image_before_is_gone_back_from() {
    goes_back linger "-0 runs $repository@sha256:" ", not $repository@sha256:"
}

replica_that_the_service_leaves_out_is_gone_back_from() {
    goes_back missing 'the Service sends requests to 1 pods, and there are 2 replicas'
}

deployment_of_no_replicas_is_gone_back_from() { goes_back none 'the Deployment wants no replica'; }

manifests_taken_in_part_are_gone_back_from() {
    goes_back apply 'admission webhook "policy" denied' 'the cluster has refused the manifests of 1.2.3, perhaps not all of them'
    ! grep -q ' runs .*, not ' "$scratch/said" || fail 'what was refused was verified'
}

what_users_get_is_asked() {
    needs python3
    mkdir "$scratch/www"
    python3 -u -m http.server --bind 127.0.0.1 --directory "$scratch/www" 0 >"$scratch/www.log" 2>&1 &
    servers=$!
    trap stop_servers EXIT
    address=$(await "$scratch/www.log" 'http://127.0.0.1:[0-9]*')
    cluster
    release 1.2.2
    echo "{\"version\":\"1.2.2\",\"commit\":\"$commit\"}" >"$scratch/www/version"
    PUBLIC_URL=$address/ deploy >"$scratch/said" 2>&1 || fail "$(cat "$scratch/said")"
    expect_equal "$(grep -c 'GET /version HTTP/1.1" 200' "$scratch/www.log")" 6
    good=$image
    release 1.2.3
    export PUBLIC_URL="$address"
    expect_failed deploy
    expect_said "$address answers '1.2.2 " 'FAILED in staging, which runs 1.2.2 again'
    expect_runs "$good" 1.2.2
}

refused_manifests_change_nothing() {
    cluster
    deployed 1.2.2
    good=$image
    release 1.2.3
    fault dry-run 1.2.3
    cp "$scratch/cluster/objects.json" "$scratch/before"
    expect_failed deploy
    expect_said 'the cluster refuses the manifests of 1.2.3: error: Deployment.apps "versiond" is invalid' \
        'deploy: 1.2.3 was not deployed to staging: nothing was changed'
    expect_equal "$(jq 'del(.clock)' "$scratch/cluster/objects.json")" "$(jq 'del(.clock)' "$scratch/before")"
    expect_runs "$good" 1.2.2
    # Neither do those that are not there, or that cannot be rendered.
    commit=$(printf %040d 1)
    expect_failed deploy
    expect_said "this clone does not have commit $commit of 1.2.3: fetch it first" 'nothing was changed'
    echo 'resources: [nothing.yaml]' >deploy/kubernetes/base/kustomization.yaml
    release 1.2.4
    expect_failed deploy
    expect_said "the manifests of commit $commit cannot be rendered: " 'nothing.yaml' 'nothing was changed'
    git rm --quiet -r deploy/kubernetes/overlays/staging
    mkdir -p deploy/kubernetes/overlays/staging
    release 1.2.5
    expect_failed deploy
    expect_said "commit $commit of 1.2.5 has no deploy/kubernetes/overlays/staging" 'nothing was changed'
    expect_equal "$(jq 'del(.clock)' "$scratch/cluster/objects.json")" "$(jq 'del(.clock)' "$scratch/before")"
}

image_must_be_in_the_manifests() {
    cluster
    sed -i 's/image: versiond$/image: other/' deploy/kubernetes/base/deployment.yaml
    release 1.2.2
    expect_failed deploy
    expect_said 'have no container with the image versiond' 'nothing was changed'
}

first_deployment_that_fails_is_left() {
    cluster
    release 1.2.2
    fault wrong 1.2.2
    expect_failed deploy
    expect_said 'deploy: 1.2.2 has FAILED in staging, and no release was verified there before: it is left as it is'
    expect_equal "$(now)" "$image nothing nothing"
    expect_no_lock
}

last_good_that_fails_too_is_left() {
    cluster
    deployed 1.2.2
    good=$image
    # The release that is the last good one itself.
    fault not-ready 1.2.2
    expect_failed deploy
    expect_said '1.2.2 has FAILED in staging, and is itself the last release that was verified there: it is left as it is'
    release 1.2.3
    fault not-ready 1.2.3
    expect_failed deploy
    expect_said 'deploy: 1.2.3 has FAILED in staging, and so has 1.2.2, the last release that was verified there: it is left as it is'
    expect_equal "$(now)" "$good $good 1.2.2"
    expect_no_lock
}

wrong_arguments_are_refused() {
    cluster
    release 1.2.2
    for wrong in $repository:1.2.2 $repository "$repository@sha256:12" "$repository@${image#*@}0" "--x@${image#*@}" ''; do
        expect_failed scripts/deploy/deploy.sh staging "$wrong" 1.2.2 "$commit"
        expect_said "IMAGE: '$wrong' is not an image by its digest"
    done
    for wrong in test .. '' 'staging/../production' "staging
production"; do
        expect_failed scripts/deploy/deploy.sh "$wrong" "$image" 1.2.2 "$commit"
        expect_said "is not one of: production staging"
    done
    expect_failed scripts/deploy/deploy.sh staging "$image" 1.2 "$commit"
    expect_said "VERSION: '1.2' is not a SemVer 2.0.0 version"
    for wrong in main "$(git rev-parse --short HEAD)" ''; do
        expect_failed scripts/deploy/deploy.sh staging "$image" 1.2.2 "$wrong"
        expect_said "COMMIT: '$wrong' is not the full hash"
    done
    [ ! -e "$scratch/cluster/calls" ] || fail "the cluster was asked: $(cat "$scratch/cluster/calls")"
}

# deploy_hanging: 1.2.3, whose rollout goes on; leaves its process in `hanging`.
deploy_hanging() {
    release 1.2.3
    fault hang 1.2.3
    scripts/deploy/deploy.sh staging "$image" "$version" "$commit" >"$scratch/hanging" 2>&1 &
    hanging=$!
    trap 'kill "$hanging" 2>/dev/null || gone=$?' EXIT # also when the test fails
    until [ -e "$scratch/cluster/hangs" ]; do
        kill -0 "$hanging" || fail "it has ended: $(cat "$scratch/hanging")"
        sleep 0.05
    done
}

one_deployment_at_a_time() {
    cluster
    deployed 1.2.2
    deploy_hanging
    release 1.2.4
    expect_failed deploy
    expect_said 'deploy: somebody: 1.2.3 (' ') is deploying to staging; its lock ends at 20' \
        'When nobody is deploying: kubectl --namespace versiond-staging delete lease versiond-deploy'
    grep -q "$image" "$scratch/cluster/applied.yaml" && fail 'it was applied'
    kill "$hanging"
    wait "$hanging" && fail 'passed'
    # It has taken its lock away.
    deploy >"$scratch/said" 2>&1 || fail "$(cat "$scratch/said")"
    expect_runs "$image" 1.2.4
}

lock_of_another_is_left() {
    cluster
    deployed 1.2.2
    deploy_hanging
    kubectl --namespace versiond-staging get lease versiond-deploy --output json |
        jq '.spec.holderIdentity = "another: 1.2.4"' | kubectl --namespace versiond-staging replace --filename -
    kill "$hanging"
    wait "$hanging" && fail 'passed'
    expect_equal "$(jq -r '.["versiond-staging"].leases[].spec.holderIdentity' "$scratch/cluster/objects.json")" 'another: 1.2.4'
}

lock_of_who_was_killed_ends() {
    cluster
    release 1.2.2
    lease='{"metadata": {"name": "versiond-deploy"}, "spec": {"holderIdentity": "another: 1.2.1", "leaseDurationSeconds": 3600, "acquireTime": "%s.000000Z"}}'
    # shellcheck disable=SC2059 # the format
    printf "$lease" "$(date -u -d '59 minutes ago' +%FT%T)" | kubectl --namespace versiond-staging create
    expect_failed deploy
    expect_said 'another: 1.2.1 is deploying to staging;'
    kubectl --namespace versiond-staging delete lease versiond-deploy
    # shellcheck disable=SC2059
    printf "$lease" "$(date -u -d '61 minutes ago' +%FT%T)" | kubectl --namespace versiond-staging create
    deploy >"$scratch/said" 2>&1 || fail "$(cat "$scratch/said")"
    expect_runs "$image" 1.2.2
    expect_no_lock
}

interrupted_deployment_is_not_the_last_good() {
    cluster
    deployed 1.2.2
    good=$image
    deploy_hanging
    kill "$hanging"
    wait "$hanging" && fail 'passed'
    expect_equal "$(now)" "$image $good 1.2.2"
    expect_no_lock
    release 1.2.4
    fault wrong 1.2.4
    expect_failed deploy
    expect_said '1.2.4 has FAILED in staging, which runs 1.2.2 again'
    expect_runs "$good" 1.2.2
}

cluster_that_does_not_answer_is_told() {
    cluster
    release 1.2.2
    fault down any
    expect_failed deploy
    expect_said 'deploy: cannot lock staging: error: the server could not be reached'
}

# gh that says what it was asked, and takes the image of 1.2.2.
unsigned_image_is_not_deployed() {
    cluster
    release 1.2.2
    # shellcheck disable=SC2016 # of the script
    printf '#!/bin/sh\necho "$@" >>"%s"\ncase $* in *%s*) ;; *) echo no attestation; exit 1 ;; esac\n' \
        "$scratch/asked" "$image" >"$scratch/bin/gh"
    chmod +x "$scratch/bin/gh"
    export ATTESTED_BY=team/versiond
    deploy >"$scratch/said" 2>&1 || fail "$(cat "$scratch/said")"
    expect_equal "$(cat "$scratch/asked")" "attestation verify oci://$image --repo team/versiond --source-digest $commit --signer-workflow team/versiond/.github/workflows/publish.yml"
    good=$image
    release 1.2.3
    expect_failed deploy
    expect_said "$image is not attested by publish.yml of team/versiond for $commit; nothing was changed: no attestation"
    expect_runs "$good" 1.2.2
    expect_no_lock
}

# expect_back VERSION COMMAND...: it goes there.
expect_back() {
    to=$1
    shift
    "$@" >"$scratch/said" 2>&1 || fail "$(cat "$scratch/said")"
    expect_equal "$(now | cut -d ' ' -f 3)" "$to"
    expect_equal "$(now | cut -d ' ' -f 1)" "$(now | cut -d ' ' -f 2)"
}

rollback_goes_to_the_release_before() {
    cluster
    for version in 1.2.1 1.2.2 1.2.3; do
        deployed $version
    done
    ATTESTED_BY=team/versiond expect_back 1.2.2 scripts/deploy/rollback.sh staging
    # Not to and fro: the one before this one.
    expect_back 1.2.1 scripts/deploy/rollback.sh staging
    expect_failed scripts/deploy/rollback.sh staging
    expect_said 'deploy: no release to go back to: staging has verified, besides what runs: 1.2.3 1.2.2'
    expect_back 1.2.3 scripts/deploy/rollback.sh staging 1.2.3
    expect_back 1.2.3 scripts/deploy/rollback.sh staging 1.2.3
    expect_said 'deploy: staging runs 1.2.3 already'
    grep -q deploying "$scratch/said" && fail 'deployed again'
    # What has failed is none.
    release 1.2.4
    fault wrong 1.2.4
    expect_failed deploy
    expect_back 1.2.2 scripts/deploy/rollback.sh staging
}

rollback_leaves_what_was_never_verified() {
    cluster
    expect_failed scripts/deploy/rollback.sh staging
    expect_said 'deploy: nothing is deployed to staging'
    deployed 1.2.1
    deployed 1.2.2
    deploy_hanging
    kill "$hanging"
    wait "$hanging" && fail 'passed'
    expect_back 1.2.2 scripts/deploy/rollback.sh staging
    # And a rollback that fails is gone back from, as any deployment.
    fault not-ready 1.2.1
    expect_failed scripts/deploy/rollback.sh staging
    expect_said '1.2.1 has FAILED in staging, which runs 1.2.2 again'
    expect_failed scripts/deploy/rollback.sh nowhere
    expect_said "ENV: 'nowhere' is not one of: production staging"
}

# published VERSION [COMMIT]: in the registry.
published() {
    publish_index "$@"
    echo "$digest $1 $commit" >>"$scratch/cluster/images"
}

named_release_comes_from_the_registry() {
    needs skopeo docker-registry
    trap stop_servers EXIT
    start_registry "$scratch"
    cluster
    repository=$registry/team/versiond
    commit=$(git rev-parse HEAD)
    published 1.2.0 "$commit"
    IMAGE_REPOSITORY=$repository scripts/deploy/published.sh 1.2.0 >"$scratch/said"
    expect_equal "$(cat "$scratch/said")" "$repository@$digest $commit"
    deployed 1.2.2
    expect_back 1.2.0 scripts/deploy/rollback.sh staging 1.2.0
    expect_failed scripts/deploy/rollback.sh staging 1.1.9
    expect_said "deploy: $repository has no 1.1.9" 'deploy: cannot go back to 1.1.9: staging has verified, besides what runs: 1.2.2'
    expect_failed scripts/deploy/rollback.sh staging 'latest'
    expect_said "VERSION: 'latest' is not a SemVer 2.0.0 version"
    published 1.1.0
    expect_failed scripts/deploy/rollback.sh staging 1.1.0
    expect_said "$repository:1.1.0 does not say of which commit it is"
    expect_failed env IMAGE_REPOSITORY="$repository" DIGEST="sha256:$(printf %064d 1)" scripts/deploy/published.sh 1.2.0
    expect_said "$repository:1.2.0 is sha256:" ", and not sha256:$(printf %064d 1)"
    expect_failed scripts/deploy/published.sh 1.2.0
    expect_said 'IMAGE_REPOSITORY is empty'
    expect_equal "$(now | cut -d ' ' -f 3)" 1.2.0
}

status_tells_what_runs() {
    cluster
    expect_failed scripts/deploy/status.sh staging
    expect_said 'deploy: nothing is deployed to staging'
    deployed 1.2.2
    older=$commit
    export RUN_URL=https://ci.example/7
    deployed 1.2.3
    unset RUN_URL
    scripts/deploy/status.sh staging >"$scratch/said" || fail "$(cat "$scratch/said")"
    expect_equal "$(sed -E 's/20..-..-..T..:..:..Z/WHEN/' "$scratch/said")" "version   1.2.3
commit    $commit
image     $image
deployed  WHEN by somebody
run       https://ci.example/7

$(for i in 0 1; do printf '%-32s %s\n' "versiond-$(echo "$image" | tail -c 5)-$i" "1.2.3 $commit"; done)

To go back to (make rollback ENV=staging TO=…):
1.2.2        $older WHEN by somebody"
}

# wrong_with FAULT TEXT...: a release that was verified, and then this came.
wrong_with() {
    fault "$1" 1.2.2
    shift
    expect_failed scripts/deploy/status.sh staging
    expect_said "$@"
    rm "$scratch/cluster/faults"
}

status_tells_what_is_wrong() {
    cluster
    deployed 1.2.2
    wrong_with missing 'WRONG: the Service sends requests to 1 pods, and there are 2 replicas'
    wrong_with wrong "-1 does not answer as what was verified last: 1.2.2 $commit"
    wrong_with deaf 'WRONG: versiond-' '-1: its port 5000 cannot be reached'
    scripts/deploy/status.sh staging >"$scratch/said"
    deploy_hanging
    expect_failed scripts/deploy/status.sh staging
    expect_said 'locked    somebody: 1.2.3 (' "WRONG: what runs was not verified: $image"
    kill "$hanging"
    wait "$hanging" && fail 'passed'
    fault down any
    expect_failed scripts/deploy/status.sh staging
    expect_said 'deploy: cannot ask the cluster for the Deployment versiond of versiond-staging'
}

status_of_what_was_never_verified_is_told() {
    cluster
    release 1.2.2
    fault wrong 1.2.2
    expect_failed deploy
    expect_failed scripts/deploy/status.sh staging
    expect_said "deploy: what runs in staging was never verified: $image"
}

credentials_are_in_a_file_for_as_long_as_it_takes() {
    cluster
    # shellcheck disable=SC2016 # of the command
    KUBECONFIG_TEXT=secret scripts/deploy/with-cluster.sh sh -c 'stat -c %a "$KUBECONFIG"; cat "$KUBECONFIG"; echo "$KUBECONFIG" >"$0"
        env | grep -c KUBECONFIG_TEXT; exit 7' "$scratch/where" >"$scratch/said" && fail 'not the status of the command'
    expect_equal "$(cat "$scratch/said")" '600
secret
0'
    [ ! -e "$(cat "$scratch/where")" ] || fail 'it is still there'
    expect_failed env KUBECONFIG_TEXT= scripts/deploy/with-cluster.sh true
    expect_said 'KUBECONFIG_TEXT is empty: the environment has no secret KUBECONFIG'
}

deployer_has_a_kubeconfig_of_its_own() {
    cluster
    export KUBECONFIG="$scratch/administrator"
    cat >"$KUBECONFIG" <<CONFIG
{"apiVersion": "v1", "kind": "Config", "current-context": "b", "users": [{"name": "root", "user": {"token": "secret"}}],
 "clusters": [{"name": "a", "cluster": {"server": "https://a.example"}}, {"name": "c", "cluster": {"server": "https://c.example"}}],
 "contexts": [{"name": "b", "context": {"cluster": "c", "user": "root"}}, {"name": "d", "context": {"cluster": "a", "user": "root"}}]}
CONFIG
    scripts/deploy/deployer.sh production >"$scratch/kubeconfig"
    expect_equal "$(jq -c '[.clusters[].cluster.server, .contexts[].context, .users[], .["current-context"]]' "$scratch/kubeconfig")" \
        '["https://c.example",{"cluster":"c","user":"deployer","namespace":"versiond-production"},{"name":"deployer","user":{"token":"token-of-deployer-for-2160h"}},"deployer"]'
    applied=$scratch/cluster/administrator.yaml
    expect_equal "$(sed -n 's/^kind: //p' "$applied" | paste -sd ' ' -)" 'Namespace ServiceAccount Role RoleBinding'
    # The binding names the account of that namespace, and so do all of them.
    expect_equal "$(sed -n '/^subjects:/,$p' "$applied")" 'subjects:
- kind: ServiceAccount
  name: deployer
  namespace: versiond-production'
    expect_equal "$(grep -c '^  namespace: versiond-production$' "$applied")" 4
}

run_tests release_is_deployed_and_recorded image_that_never_gets_ready_is_gone_back_from \
    replica_of_another_version_is_gone_back_from replica_that_cannot_be_reached_is_gone_back_from \
    replica_of_the_image_before_is_gone_back_from replica_that_the_service_leaves_out_is_gone_back_from \
    deployment_of_no_replicas_is_gone_back_from manifests_taken_in_part_are_gone_back_from what_users_get_is_asked \
    refused_manifests_change_nothing image_must_be_in_the_manifests first_deployment_that_fails_is_left \
    last_good_that_fails_too_is_left wrong_arguments_are_refused one_deployment_at_a_time lock_of_another_is_left lock_of_who_was_killed_ends \
    interrupted_deployment_is_not_the_last_good cluster_that_does_not_answer_is_told unsigned_image_is_not_deployed \
    rollback_goes_to_the_release_before rollback_leaves_what_was_never_verified named_release_comes_from_the_registry \
    status_tells_what_runs status_tells_what_is_wrong status_of_what_was_never_verified_is_told \
    credentials_are_in_a_file_for_as_long_as_it_takes \
    deployer_has_a_kubeconfig_of_its_own

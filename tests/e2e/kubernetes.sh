#!/bin/bash
# Installs the service in the cluster that KUBECONFIG names, with the scripts that deploy it, and updates it under load:
# a good update, one that never gets ready, one that answers with another version, rollbacks, a drain of a node. No request
# may be lost, and each step must end with the version that it should. See docs/promotion.md.
# Environment: KUBECONFIG; REGISTRY, which this machine and the cluster's nodes reach under that name, without TLS;
# PROGRAMS, what make kubernetes-programs has built; RATE (500), requests per second; DOCKER, an engine's client.
# It makes the namespaces versiond-staging and versiond-load, and refuses a cluster that has one of them. What deploys is
# the account that make deployer makes. Run it from the root of the project, of whose commit the manifests are.
set -eu
. tests/support/check.sh

rate=${RATE:-500}
PATIENCE=180
commit=$(git rev-parse HEAD)
load='kubectl --namespace versiond-load'
DOCKER=${DOCKER:-docker}
export DEPLOYED_BY=tests ROLLOUT_TIMEOUT=60

# push PROGRAM VERSION [FLAG]...: pushes an image of the program, which starts with these flags. Prints its name with its digest.
push() {
    local program=$1 version=$2 name
    name=$REGISTRY/$(basename "$program"):$version
    shift 2
    "$DOCKER" build --quiet --tag "$name" --file - "$(dirname "$program")" >&2 <<DOCKERFILE
FROM scratch
COPY $(basename "$program") /program
USER 65532:65532
ENTRYPOINT $(jq -cn '["/program"] + $ARGS.positional' --args -- "$@")
LABEL org.opencontainers.image.version=$version org.opencontainers.image.revision=$commit
DOCKERFILE
    "$DOCKER" push --quiet "$name" >&2
    "$DOCKER" image inspect --format '{{ index .RepoDigests 0 }}' "$name"
}

# counted FILTER: of what the load has seen until now.
counted() { $load logs load --tail=50 | grep '"requests"' | tail -n 1 | jq "$1"; }

# more_than COUNT: true when the load has had more responses than that.
more_than() {
    responses=$(counted .requests)
    [ "${responses:-0}" -gt "$1" ]
}

# as_deployer COMMAND...: with the account that may deploy, and no more.
as_deployer() { KUBECONFIG=$work/deployer "$@"; }

# expect_no_loss: since the load began.
expect_no_loss() {
    expect_equal "$(counted .lost)" 0
}

# expect_only VERSION: what is answered from now on.
expect_only() {
    before=$(counted .versions)
    wait_until 'a thousand more responses' more_than "$(echo "$before" | jq 'add + 1000')"
    expect_equal "$(counted "(.versions | to_entries) - ($before | to_entries) | map(.key) | join(\" \")")" "\"$1\""
}

# expect_step VERSION: what each step must end with.
expect_step() {
    expect_only "$1"
    expect_no_loss
    expect_equal "$(kubectl -n versiond-staging get deployment versiond -o json |
        jq -r '.metadata.annotations["versiond/version"]')" "$1"
    as_deployer scripts/deploy/status.sh staging
}

# deploy IMAGE VERSION
deploy() { as_deployer scripts/deploy/deploy.sh staging "$1" "$2" "$commit"; }

# expect_rolled_back REASON IMAGE VERSION: a deployment that must fail, and must be undone.
expect_rolled_back() {
    ! deploy "$2" "$3" >"$work/said" 2>&1 || fail "was taken for good: $(cat "$work/said")"
    cat "$work/said"
    grep -q -- "$1" "$work/said" || fail "does not say: $1"
}

# The autoscaler raises the number of replicas from one.
installed() {
    deploy "$image_1" 1.2.2
    wait_until 'as many replicas as there are at least' as_deployer scripts/deploy/status.sh staging
}

# From a pod: not every cluster can be reached from where its tests run.
load_begins() {
    address=$(kubectl -n versiond-staging get service versiond -o jsonpath='{.spec.clusterIP}')
    jq -n --arg image "$image_load" --arg address "$address" --arg rate "$rate" '{apiVersion: "v1", kind: "Pod",
        metadata: {name: "load"}, spec: {restartPolicy: "Never", enableServiceLinks: false, terminationGracePeriodSeconds: 15,
        containers: [{name: "load", image: $image, args: [$address, "80", "16", "16", $rate]}]}}' | $load create -f -
    $load wait --for=condition=Ready pod/load --timeout=120s
    wait_until 'a first response' more_than 0
    expect_only 1.2.2
}

updated() {
    deploy "$image_2" 1.2.3
    expect_step 1.2.3
}

never_ready_is_rolled_back() {
    expect_rolled_back 'the rollout of 1.2.4 has not finished' "$image_broken" 1.2.4
    expect_step 1.2.3
}

another_version_is_rolled_back() {
    expect_rolled_back "answers '1.2.2 " "$image_liar" 1.2.5
    expect_step 1.2.3
}

rolled_back_by_hand() {
    as_deployer scripts/deploy/rollback.sh staging
    expect_step 1.2.2
    as_deployer scripts/deploy/rollback.sh staging 1.2.3
    expect_step 1.2.3
}

# ready_elsewhere NODE: all pods that are wanted are ready, none of them there.
ready_elsewhere() {
    kubectl -n versiond-staging rollout status deployment/versiond --timeout=5s &&
        [ -z "$(pods_of "$1")" ]
}

# pods_of NODE
pods_of() {
    kubectl -n versiond-staging get pods --field-selector "spec.nodeName=$1" -l app.kubernetes.io/name=versiond -o name
}

node_drained() {
    node=$($load get pod load -o jsonpath='{.spec.nodeName}')
    node=$(kubectl get nodes -o json | jq -r --arg load "$node" '[.items[] | select(.metadata.name != $load)
        | select(any(.spec.taints[]?; .effect == "NoSchedule") | not) | .metadata.name] | first // ""')
    [ -n "$node" ] || skip 'there is one node'
    [ -n "$(pods_of "$node")" ] || fail "no pod on $node: they are not spread over the nodes"
    drained=$node
    echo "$node" >"$work/drained"
    kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data --timeout=180s
    wait_until 'all pods ready elsewhere' ready_elsewhere "$drained"
    expect_step 1.2.3
    kubectl uncordon "$node"
    rm "$work/drained"
}

load_ends() {
    $load logs load | jq -c 'select(.lost | strings)'
    $load logs load --tail=1
    expect_no_loss
    # Otherwise it was no load: a client that waits sends nothing.
    $load logs load | jq -se --argjson rate "$rate" 'map(select(.requests)) | last.latency_ms.max < 5000
        and last.requests > $rate / 2 * (last.time - first.time)' >/dev/null || fail 'too few responses, or too late'
}

finish() {
    status=$?
    set +e
    if [ "$status" != 0 ]; then
        kubectl get pods --all-namespaces -o wide
        kubectl -n versiond-staging get events --sort-by .lastTimestamp | tail -n 30
        $load logs load --tail=20
    fi
    [ ! -f "$work/drained" ] || kubectl uncordon "$(cat "$work/drained")"
    kubectl delete namespace versiond-staging versiond-load --ignore-not-found --timeout=120s
    rm -rf "$work"
    exit "$status"
}

for namespace in versiond-staging versiond-load; do
    [ -z "$(kubectl get namespace $namespace --ignore-not-found -o name)" ] || {
        echo "the cluster has the namespace $namespace already; the test would destroy what is there" >&2
        exit 1
    }
done
"$PROGRAMS/1.2.3/versiond" --version | grep -q "^commit $commit" || {
    echo "$PROGRAMS is of another commit than $commit: make kubernetes-programs" >&2
    exit 1
}
work=$(mktemp -d)
trap finish EXIT
image_1=$(push "$PROGRAMS/1.2.2/versiond" 1.2.2)
image_2=$(push "$PROGRAMS/1.2.3/versiond" 1.2.3)
image_broken=$(push "$PROGRAMS/1.2.2/versiond" 1.2.4 --port 5999) # it is never ready
image_liar=$(push "$PROGRAMS/1.2.2/versiond" 1.2.5)
image_load=$(push "$PROGRAMS/1.2.2/load" 1)
scripts/deploy/deployer.sh staging >"$work/deployer"
kubectl create namespace versiond-load
run_tests installed load_begins updated never_ready_is_rolled_back another_version_is_rolled_back rolled_back_by_hand \
    node_drained load_ends

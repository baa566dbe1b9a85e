# shellcheck shell=sh disable=SC2034
# Shared by the scripts of a deployment, which run from the root of the project: the environment, what its cluster says.
# What is recorded are annotations of the Deployment, versiond/image and so on, written when a release has been verified.
# The cluster copies them to the ReplicaSet of that release. While the next one is tried they are copied to its ReplicaSet
# too: a record counts where it names the image that it stands beside.
# shellcheck source-path=SCRIPTDIR source=../release/lib.sh
. scripts/release/lib.sh

self=deploy
app=versiond

# choose_environment ENV: one of the overlays; its namespace is called after it.
choose_environment() {
    environment=$1
    namespace=$app-$1
    case $1 in '' | *[!a-z0-9-]*) ;; *) [ ! -d "deploy/kubernetes/overlays/$1" ] || return 0 ;; esac
    die "ENV: '$1' is not one of: $(cd deploy/kubernetes/overlays && echo *)"
}

# kube ARGUMENT...: kubectl there; a cluster that does not answer is not waited for.
kube() { kubectl --namespace "$namespace" --request-timeout=30s "$@"; }

# Leaves the Deployment in work/deployment; nothing when there is none.
get_deployment() {
    kube get deployment "$app" --ignore-not-found --output json >"$work/deployment" ||
        die "cannot ask the cluster for the Deployment $app of $namespace"
}

# Prints the image that the Deployment asks for; nothing when there is none.
running_image() { jq -r --arg app "$app" '.spec.template.spec.containers[] | select(.name == $app).image' "$work/deployment"; }

# Prints the release that was verified last: image version commit; nothing when there is none.
last_good() {
    jq -r '.metadata.annotations // {} | select(has("versiond/image"))
        | "\(.["versiond/image"]) \(.["versiond/version"]) \(.["versiond/commit"])"' "$work/deployment"
}

# Leaves in work/releases those that were verified here and that the cluster still has a ReplicaSet of, a line each, the one
# that was deployed first last: image version commit deployed-at deployed-by. Going back to a release does not make it newer.
# Wants work/deployment, whose record the ReplicaSet may not have yet.
list_releases() {
    kube get replicasets --output json >"$work/replicasets" || die "cannot ask the cluster for the ReplicaSets of $namespace"
    jq -r --arg app "$app" --slurpfile deployment "$work/deployment" '($deployment[0].metadata.annotations // {}) as $last
        | [.items[] | {made: .metadata.creationTimestamp, notes: [.metadata.annotations // {}, $last],
            image: (.spec.template.spec.containers[] | select(.name == $app).image)}]
        | group_by(.image) | map({made: (map(.made) | min), notes: [.[] | .image as $of | .notes[] | select(.["versiond/image"] == $of)]}
            | select(.notes != [])) | sort_by(.made) | reverse[] | .notes | max_by(.["versiond/deployed-at"])
        | [.["versiond/image", "versiond/version", "versiond/commit", "versiond/deployed-at", "versiond/deployed-by"]]
        | join(" ")' "$work/replicasets" >"$work/releases"
}

# Leaves in work/state what runs, and what the Service sends requests to (state.jq).
get_state() {
    why="cannot ask the cluster for what runs in $namespace"
    kube get deployments,pods,endpointslices.discovery.k8s.io --output json >"$work/objects" || return
    jq --arg app "$app" --from-file scripts/deploy/state.jq "$work/objects" >"$work/state" || return
}

# settled IMAGE: the Service sends requests to all replicas, and to none of another image.
settled() {
    get_state || return
    why=$(jq -r --arg image "$1" '(.endpoints | length) as $found
        | if .wanted < 1 then "the Deployment wants no replica"
        elif (.observed | not) or .updated != .wanted or .ready != .wanted or .all != .wanted then
            "of \(.wanted) replicas \(.updated) are updated and \(.ready) ready, of \(.all) in all"
        elif $found != .wanted then "the Service sends requests to \($found) pods, and there are \(.wanted) replicas"
        else [.endpoints[] | select(.image != $image) | "\(.pod) runs \(.image // "nothing"), not \($image)"] | join("; ") end' \
        "$work/state") || why="cannot tell what runs in $namespace"
    [ -z "$why" ]
}

# ask TARGET PORT: leaves in work/answer what a pod (or service/NAME) answers to GET /version. By port-forward: the request
# begins within the pod's own network, where no NetworkPolicy stops it. The proxy of the API server would come from an address
# that policies cannot know.
ask() {
    why="$1: its port $2 cannot be reached"
    : >"$work/forward" # of the one before it
    kubectl --namespace "$namespace" port-forward --address 127.0.0.1 "$1" ":$2" >"$work/forward" 2>&1 &
    job=$!
    answered=0
    { port_of_forward && get_version "http://127.0.0.1:$port"; } || answered=1
    {
        kill "$job" || answered=1
        wait "$job" || ended=$? # by the signal
    } 2>/dev/null
    job=
    return "$answered"
}

# Waits until the port is forwarded, half a minute at most.
port_of_forward() {
    tries=300
    until port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$work/forward") && [ -n "$port" ]; do
        tries=$((tries - 1))
        if [ "$tries" = 0 ] || ! kill -0 "$job" 2>/dev/null; then
            why="$why: $(tail -n 1 "$work/forward")"
            return 1
        fi
        sleep 0.1
    done
}

# get_version URL: leaves in work/answer what it answers to GET /version.
get_version() {
    curl --silent --show-error --fail --max-time 10 "${1%/}/version" >"$work/answer" 2>"$work/curl" && return
    why="$1/version: $(cat "$work/curl")"
    return 1
}

# Prints version and commit of work/answer.
answer() { jq -r '"\(.version) \(.commit)"' "$work/answer" 2>/dev/null || head -c 200 "$work/answer"; }

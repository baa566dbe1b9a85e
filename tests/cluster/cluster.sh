#!/bin/bash
# Runs a command against a Kubernetes cluster that this machine has for it alone: a control plane, two nodes with containerd
# and kube-proxy, a registry. All of it is in namespaces of its own (processes, mounts, network), so that nothing is left
# when the command has ended; the network leads nowhere else.
# Usage: tests/cluster/cluster.sh COMMAND [ARGUMENT]...
# Environment: PAUSE, a static program that sleeps (tests/cluster/pause.c).
# The command gets KUBECONFIG, REGISTRY, which it and the nodes reach under that name without TLS, and its kubectl.
# Wants root, and Debian's openssl, containerd, runc, containernetworking-plugins, iptables, conntrack, iproute2, docker-registry,
# skopeo, jq. Exit status: the command's; 1 when the cluster does not start.
set -eu

groups() { find /sys/fs/cgroup -depth -type d -path '*/versiond-node*'; }

# What ran there has been killed, or is now: unshare heeds nothing less, and its child goes with it. The control groups of
# the nodes are the kernel's, not a namespace's: they stay until the last process has ended.
finish() {
    status=$?
    [ -z "$(jobs -p)" ] || kill -KILL "$(jobs -p)"
    for _ in $(seq 100); do
        [ -n "$(groups)" ] || break
        groups | xargs rmdir 2>/dev/null || sleep 0.1
    done
    rm -rf "$CLUSTER_WORK"
    exit "$status"
}

if [ -z "${CLUSTER_WORK-}" ]; then
    [ "$(id -u)" = 0 ] || { echo 'cluster: only root can start one' >&2 && exit 1; }
    CLUSTER_PROGRAMS=$(scripts/tools.sh kubernetes) || { echo "$CLUSTER_PROGRAMS" && exit 1; }
    CLUSTER_WORK=$(mktemp -d)
    export CLUSTER_PROGRAMS CLUSTER_WORK
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    unshare --net --mount --pid --ipc --uts --fork --kill-child --mount-proc "$0" "$@" &
    wait $!
    exit
fi

programs=$CLUSTER_PROGRAMS
work=$CLUSTER_WORK
nodes='node1 node2'
control=10.88.0.1
export REGISTRY=$control:5000 KUBECONFIG=$work/admin.kubeconfig
started=

# start NAME COMMAND...: in the background, with a log.
start() {
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 &
    started="$started $name:$!"
}

# Until a condition holds; ends with the log of what has ended meanwhile.
await() {
    local entry end=$((SECONDS + 300))
    until "$@" >"$work/await.log" 2>&1; do
        [ $SECONDS -lt $end ] || {
            echo "cluster: never: $*: $(tail -n 5 "$work"/*.log)" >&2
            exit 1
        }
        for entry in $started; do
            kill -0 "${entry#*:}" 2>/dev/null || {
                echo "cluster: ${entry%:*} has ended: $(tail -n 5 "$work/${entry%:*}.log")" >&2
                exit 1
            }
        done
        sleep 0.2
    done
}

# number_of NODE
number_of() { echo "${1#node}"; }

# node_address NODE
node_address() { echo "10.88.0.$((10 + $(number_of "$1")))"; }

# A bridge with the control plane on it and a cable to each node; each node routes to the pods of the others.
lay_network() {
    local node other
    mount --make-rshared /
    mkdir -p /run/netns
    mount -t tmpfs none /run/netns
    ip link set lo up
    ip link add cluster type bridge
    ip address add $control/24 dev cluster
    ip link set cluster up
    for node in $nodes; do
        ip netns add "$node"
        ip link add "$node" type veth peer name eth0 netns "$node"
        ip link set "$node" master cluster up
        ip -n "$node" link set lo up
        ip -n "$node" address add "$(node_address "$node")/24" dev eth0
        ip -n "$node" link set eth0 up
        ip -n "$node" route add default via $control
        nsenter --net="/run/netns/$node" sysctl -qw net.ipv4.ip_forward=1
        ip route add "10.244.$(number_of "$node").0/24" via "$(node_address "$node")"
    done
    for node in $nodes; do
        for other in $nodes; do
            [ "$node" = "$other" ] ||
                ip -n "$node" route add "10.244.$(number_of "$other").0/24" via "$(node_address "$other")"
        done
    done
}

# kubeconfig NAME: writes one for who has the token of that name.
kubeconfig() {
    cat >"$work/$1.kubeconfig" <<CONFIG
{apiVersion: v1, kind: Config, current-context: test,
 clusters: [{name: test, cluster: {server: 'https://$control:6443', insecure-skip-tls-verify: true}}],
 users: [{name: test, user: {token: token-$1}}],
 contexts: [{name: test, context: {cluster: test, user: test}}]}
CONFIG
}

write_credentials() {
    local name
    openssl genrsa -out "$work/accounts.key" 2048 2>/dev/null
    cat >"$work/tokens.csv" <<TOKENS
token-admin,admin,1,system:masters
token-controllers,system:kube-controller-manager,2
token-scheduler,system:kube-scheduler,3
token-proxy,system:kube-proxy,4
token-node1,system:node:node1,11,system:nodes
token-node2,system:node:node2,12,system:nodes
TOKENS
    for name in admin controllers scheduler proxy $nodes; do kubeconfig "$name"; done
}

start_registry() {
    cat >"$work/registry.yml" <<REGISTRY
version: 0.1
log: {accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: '$REGISTRY'}
REGISTRY
    start registry docker-registry serve "$work/registry.yml"
}

start_control_plane() {
    start etcd "$programs/etcd" --data-dir "$work/etcd" --unsafe-no-fsync --log-level error
    start api "$programs/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --cert-dir="$work/api" \
        --advertise-address=$control --service-cluster-ip-range=10.96.0.0/16 \
        --token-auth-file="$work/tokens.csv" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
        --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$work/accounts.key" \
        --service-account-signing-key-file="$work/accounts.key" --kubelet-preferred-address-types=InternalIP
    await "$programs/kubectl" get --raw /readyz
    start controllers "$programs/kube-controller-manager" --kubeconfig="$work/controllers.kubeconfig" --leader-elect=false \
        --service-account-private-key-file="$work/accounts.key" --use-service-account-credentials
    start scheduler "$programs/kube-scheduler" --kubeconfig="$work/scheduler.kubeconfig" --leader-elect=false
}

write_node() {
    local node=$1 folder=$work/$1
    mkdir -p "$folder/cni" "$folder/certs.d/$REGISTRY"
    echo "[host.\"http://$REGISTRY\"]" >"$folder/certs.d/$REGISTRY/hosts.toml"
    cat >"$folder/cni/pods.conflist" <<CNI
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": {"type": "host-local",
 "dataDir": "$folder/addresses", "ranges": [[{"subnet": "10.244.$(number_of "$node").0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
CNI
    cat >"$folder/containerd.toml" <<CONTAINERD
version = 2
root = "$folder/containerd"
state = "$folder/state"
[grpc]
  address = "$folder/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$REGISTRY/pause:1"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$folder/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$folder/certs.d"
CONTAINERD
    cat >"$folder/kubelet.yaml" <<KUBELET
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(node_address "$node")
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /versiond-$node
containerRuntimeEndpoint: unix://$folder/containerd.sock
evictionHard: {memory.available: 1Mi, nodefs.available: 0%, imagefs.available: 0%, nodefs.inodesFree: 0%}
failCgroupV1: false
failSwapOn: false
clusterDNS: [10.96.0.10]
podLogsDir: $folder/logs
KUBELET
    cat >"$folder/proxy.yaml" <<PROXY
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: $(node_address "$node")
clientConnection: {kubeconfig: $work/proxy.kubeconfig}
clusterCIDR: 10.244.0.0/16
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
hostnameOverride: $node
mode: iptables
PROXY
}

start_node() {
    local node=$1 folder=$work/$1 group
    write_node "$node"
    # Below those that exist: of the first version of control groups one for each controller.
    for group in /sys/fs/cgroup/*/; do mkdir -p "${group}versiond-$node"; done
    group=/sys/fs/cgroup/cpuset
    if [ -d $group ]; then
        cat $group/cpuset.cpus >"$group/versiond-$node/cpuset.cpus"
        cat $group/cpuset.mems >"$group/versiond-$node/cpuset.mems"
    fi
    start "containerd-$node" nsenter --net="/run/netns/$node" containerd --config "$folder/containerd.toml"
    start "kubelet-$node" nsenter --net="/run/netns/$node" "$programs/kubelet" --config="$folder/kubelet.yaml" \
        --kubeconfig="$work/$node.kubeconfig" --root-dir="$folder/kubelet" --cert-dir="$folder/certificates" \
        --hostname-override="$node" --node-ip="$(node_address "$node")" \
        --node-labels="topology.kubernetes.io/zone=zone-$(number_of "$node")"
    start "proxy-$node" nsenter --net="/run/netns/$node" "$programs/kube-proxy" --config="$folder/proxy.yaml"
}

nodes_are_ready() {
    [ "$("$programs/kubectl" get nodes -o json |
        jq '[.items[] | select(any(.status.conditions[]; .type == "Ready" and .status == "True"))] | length')" = 2 ]
}

unset CLUSTER_PROGRAMS CLUSTER_WORK
mkdir -p /var/log/containers /var/lib/kubelet
mount -t tmpfs none /var/log/containers
mount -t tmpfs none /var/lib/kubelet
export PATH=$programs:$PATH
lay_network
write_credentials
start_registry
start_control_plane
tests/cluster/image.sh "$PAUSE" "$REGISTRY/pause:1" >/dev/null
for node in $nodes; do start_node "$node"; done
await nodes_are_ready
"$@"

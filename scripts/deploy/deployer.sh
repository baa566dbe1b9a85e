#!/bin/sh
# Makes an environment's namespace and who may deploy there, and prints the kubeconfig of that account.
# Usage: scripts/deploy/deployer.sh ENV >KUBECONFIG
# Run by an administrator of the cluster that kubectl talks to. Environment: TOKEN_DURATION (2160h, 90 days): how long the
# kubeconfig is good for; the cluster may give less. Exit status: 0; 1 with a line that says what is wrong.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/deploy/lib.sh

work=

finish() { rm -rf "$work"; }

choose_environment "${1-}"
wants kubectl jq
finish_always
make_work
kubectl apply --filename "deploy/kubernetes/overlays/$environment/namespace.yaml" >&2
cp -R deploy/kubernetes/deployer "$work"
mkdir "$work/there"
jq -n --arg namespace "$namespace" '{$namespace, resources: ["../deployer"]}' >"$work/there/kustomization.yaml"
kubectl kustomize "$work/there" >"$work/manifests"
kubectl apply --filename "$work/manifests" >&2
kube create token deployer --duration "${TOKEN_DURATION:-2160h}" >"$work/token"
kubectl config view --minify --raw --flatten --output json >"$work/config"
jq --rawfile token "$work/token" --arg namespace "$namespace" '.["current-context"] = "deployer"
    | .users = [{name: "deployer", user: {token: ($token | rtrimstr("\n"))}}]
    | .contexts = [{name: "deployer", context: {cluster: .clusters[0].name, user: "deployer", $namespace}}]' "$work/config"

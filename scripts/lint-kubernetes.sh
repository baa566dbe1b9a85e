#!/bin/sh
# Checks the manifests that deploy/kubernetes generates, without a cluster: the base, each overlay, and production with each
# component and an image named by digest, as a deployment does. Does nothing if no input has changed since it last passed.
# Usage: scripts/lint-kubernetes.sh
# scripts/tools.sh provides the tools. Run it from the root of the project.
# Exit status: 0 if nothing was found; 1 if something was or, with CI set, a tool is not available; without CI 77, after a line
# "skipped: WHY", if a tool is not available.
# shellcheck disable=SC2317 # called by check
set -eu
# shellcheck source-path=SCRIPTDIR source=lint-lib.sh
. scripts/lint-lib.sh

self=kubernetes
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# tool NAME: prints its path; exits if it is not available.
tool() {
    path=$(scripts/tools.sh "$1") && echo "$path" && return
    set -- $?
    echo "$path" >&2
    exit "$1"
}

# check NAME COMMAND...
check() {
    name=$1
    shift
    say "$name"
    "$@" >"$work/output" 2>&1 && return
    cat "$work/output"
    fail "$name"
}

# Adds components as docs/kubernetes.md describes, and the image as a deployment does.
compose() {
    cp -r deploy/kubernetes "$work/tree"
    for component in "$work"/tree/components/*; do
        with=production-with-${component##*/}
        cp -r "$work/tree/overlays/production" "$work/tree/overlays/with"
        echo "components: [../../components/${component##*/}]" >>"$work/tree/overlays/with/kustomization.yaml"
        mv "$work/tree/overlays/with" "$work/tree/overlays/$with"
        mkdir -p "$work/tree/deployed/$with"
        cat >"$work/tree/deployed/$with/kustomization.yaml" <<KUSTOMIZATION
resources: [../../overlays/$with]
images:
  - name: versiond
    newName: registry.example/team/versiond
    digest: sha256:$(printf '%064d' 1)
KUSTOMIZATION
    done
}

# Writes each as NAME.yaml into the folder `rendered`.
render() {
    mkdir "$work/rendered"
    for folder in "$work"/tree/base "$work"/tree/overlays/staging "$work"/tree/overlays/production "$work"/tree/deployed/*; do
        "$kustomize" build "$folder" >"$work/rendered/${folder##*/}.yaml" || return
    done
}

# against FOLDER: checks against the schemas of one version. A kind without a schema is an error.
against() {
    "$kubeconform" -strict -schema-location "$1/{{.ResourceKind}}{{.KindSuffix}}.json" \
        -schema-location "$schemas/custom/{{.ResourceKind}}{{.KindSuffix}}.json" "$work/rendered"
}

# Disabled tests:
# - imagePullPolicy Always: a digest is the same everywhere;
# - anti-affinity: the manifests use topologySpreadConstraints;
# - the other optional tests, which require limits equal to the requests: here requests are typical usage, and limits only
#   stop runaways (docs/kubernetes.md).
# shellcheck disable=SC2086 # a list
score() {
    "$kube_score" score --color never --exit-one-on-warning --enable-optional-test container-ports-check \
        --enable-optional-test container-seccomp-profile \
        --ignore-test container-image-pull-policy --ignore-test deployment-has-host-podantiaffinity \
        $whole
}

# shellcheck disable=SC2086 # a list
pod_security() { "$pod_security" $whole; }

use_stamps kubernetes
if has_passed kubernetes; then
    say unchanged
    exit
fi
start kubernetes
kustomize=$(tool kustomize)
kubeconform=$(tool kubeconform)
kube_score=$(tool kube-score)
pod_security=$(tool pod-security)
schemas=$(tool kubernetes-schemas)
python=$(tool python)

compose
check kustomize render
[ "$failed" = 0 ] || exit 1
# The base has no namespace and no digest.
whole=$(find "$work/rendered" -name '*.yaml' ! -name base.yaml)
for version in "$schemas"/v*; do
    check "schemas of ${version##*/}" against "$version"
done
check kube-score score
check 'Pod Security' pod_security
check 'settings and paths' "$python" scripts/check-manifests.py "$work/rendered"
[ "$failed" = 0 ] || exit 1
pass kubernetes deploy/kubernetes src/openapi.json README.md scripts/lint-kubernetes.sh scripts/check-manifests.py scripts/tools.sh tests/tools

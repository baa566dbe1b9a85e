#!/bin/sh
# Looks for faults in what deploy/kubernetes makes, without a cluster: the base, each overlay, and production with each
# component and the image that a deployment would name.
# Usage: scripts/lint-kubernetes.sh
# The tools come from scripts/tools.sh. Run it from the root of the project.
# Exit status: 0 when nothing was found; 1 when something was, or with CI set when a tool cannot be had; 77 with a line
# "skipped: WHY" when a tool cannot be had.
# shellcheck disable=SC2317 # what check calls
set -eu

failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# tool NAME: prints its path, or ends with why there is none.
tool() {
    path=$(scripts/tools.sh "$1") && echo "$path" && return
    set -- $?
    echo "$path" >&2
    exit "$1"
}

# check NAME COMMAND...: runs a check and says how it went.
check() {
    name=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        echo "kubernetes: $name: no finding"
    else
        cat "$work/output"
        echo "kubernetes: $name: FAILED"
        failed=1
    fi
}

# As docs/kubernetes.md adds components, and as a deployment names the image.
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

# Leaves each as NAME.yaml in the folder `rendered`.
render() {
    mkdir "$work/rendered"
    for folder in "$work"/tree/base "$work"/tree/overlays/staging "$work"/tree/overlays/production "$work"/tree/deployed/*; do
        "$kustomize" build "$folder" >"$work/rendered/${folder##*/}.yaml" || return
    done
}

# against FOLDER: the schemas of one version. A kind that has none there is a fault.
against() {
    "$kubeconform" -strict -schema-location "$1/{{.ResourceKind}}{{.KindSuffix}}.json" \
        -schema-location "$schemas/custom/{{.ResourceKind}}{{.KindSuffix}}.json" "$work/rendered"
}

# Not asked for are
# - an image that is always pulled: a digest is the same everywhere;
# - anti-affinity: topologySpreadConstraints do it;
# - its other optional tests, all of which want limits that equal the requests: here what is requested is what it uses,
#   and limits stop what goes wrong (docs/kubernetes.md).
# shellcheck disable=SC2086 # a list
score() {
    "$kube_score" score --color never --exit-one-on-warning --enable-optional-test container-ports-check \
        --enable-optional-test container-seccomp-profile \
        --ignore-test container-image-pull-policy --ignore-test deployment-has-host-podantiaffinity \
        $whole
}

# shellcheck disable=SC2086 # a list
pod_security() { "$pod_security" $whole; }

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
exit "$failed"

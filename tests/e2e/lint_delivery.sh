#!/bin/sh
# That each step of scripts/lint-delivery.sh and scripts/lint-kubernetes.sh finds what it is for: one thing is broken in
# a copy, and exactly the steps that look for it must fail. The tools are fetched, and all takes a minute, so `make test`
# leaves it out. Run it from the root of the project.
# Environment: CI set makes a tool that cannot be had a failure; else what wants it is skipped.
set -eu
. tests/support/check.sh

cases='nothing action_without_hash title_in_script unquoted_in_script indent_in_yaml key_in_workflow key_in_dependabot
    key_in_ruleset value_in_ruleset key_in_environment workflow_in_readme registry_in_readme indent_in_go format_in_go
    type_in_sbom'
kubernetes_cases='k8s_nothing k8s_unknown_field k8s_wrong_type k8s_removed_version k8s_unknown_kind k8s_field_of_route
    k8s_field_of_monitor k8s_name_of_patch k8s_no_digest k8s_tag k8s_no_security_context k8s_not_enforced k8s_no_limit
    k8s_unknown_probe k8s_probe_of_drain k8s_long_drain k8s_unknown_setting k8s_other_port k8s_public_metrics'

# copy FOLDER: the tree.
copy() {
    mkdir "$1"
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$1"
    git -C "$1" init -q
    cp "$sbom" "$1/sbom.json"
    mkdir -p "$1/build"
}

# break_it CASE: in the copy that is the current folder.
# shellcheck disable=SC2016 # as it stands
break_it() {
    workflow=.github/workflows/ci.yml base=deploy/kubernetes/base overlays=deploy/kubernetes/overlays
    components=deploy/kubernetes/components
    case $1 in
    nothing) ;;
    action_without_hash) sed -i '0,/@[0-9a-f]\{40\} # v.*/s//@v5/' $workflow ;;
    title_in_script) sed -i 's/make smoke$/echo "${{ github.event.pull_request.title }}"/' $workflow ;;
    unquoted_in_script) sed -i 's/make smoke$/echo $HOME/' $workflow ;;
    indent_in_yaml) sed -i '0,/^          persist/s//           persist/' $workflow ;;
    key_in_workflow) sed -i '0,/timeout-minutes/s//timeout-minuts/' $workflow ;;
    key_in_dependabot) sed -i '0,/default-days/s//defaults-days/' .github/dependabot.yml ;;
    key_in_ruleset) sed -i 's/"require_last_push_approval"/"require_last_push_aproval"/' .github/rulesets/main.json ;;
    value_in_ruleset) sed -i 's/"non_fast_forward"/"non_fast_forwards"/' .github/rulesets/tags.json ;;
    key_in_environment) sed -i 's/"reviewers"/"reviewer"/' .github/environments/production.json ;;
    workflow_in_readme) sed -i 's/ci.yml/cj.yml/' README.md ;;
    registry_in_readme) sed -i 's/ghcr.io/registry.example/' README.md ;;
    indent_in_go) sed -i 's/^\tif len/if len/' bench/go/main.go ;;
    format_in_go) sed -i 's/log.Fatal("usage: /log.Printf("%d", "usage: /' bench/go/main.go ;;
    type_in_sbom) sed -i 's/"type": *"library"/"type":"libary"/' sbom.json ;;
    k8s_nothing) ;;
    k8s_unknown_field) sed -i 's/minReadySeconds/minReadySecond/' $base/deployment.yaml ;;
    k8s_wrong_type) sed -i 's/value: "2000"/value: 2000/' $base/deployment.yaml ;;
    k8s_removed_version) sed -i 's,policy/v1,policy/v1beta1,' $base/poddisruptionbudget.yaml ;;
    k8s_unknown_kind) sed -i 's/^kind: ServiceAccount/kind: ServiceAcount/' $base/serviceaccount.yaml ;;
    k8s_field_of_route) sed -i 's/sectionName/sectionname/' $components/gateway/httproutes.yaml ;;
    k8s_field_of_monitor) sed -i 's/interval/intervall/' $components/servicemonitor/servicemonitor.yaml ;;
    k8s_name_of_patch) sed -i 's/name: versiond/name: version/' $overlays/production/replicas.yaml ;;
    k8s_no_digest) sed -i '/^images:/,/digest:/d' $overlays/staging/kustomization.yaml ;;
    k8s_tag) sed -i 's/    digest: .*/    newTag: latest/' $overlays/staging/kustomization.yaml ;;
    k8s_no_security_context) sed -i '/^          securityContext:/,/drop:/d' $base/deployment.yaml ;;
    k8s_not_enforced) sed -i 's/enforce: restricted/enforce: baseline/' $overlays/production/namespace.yaml ;;
    k8s_no_limit) sed -i '/memory: 128Mi/d' $base/deployment.yaml ;;
    k8s_unknown_probe) sed -i '/livenessProbe:/,/path:/s,/healthz,/health,' $base/deployment.yaml ;;
    k8s_probe_of_drain) sed -i '/livenessProbe:/,/path:/s,/healthz,/readyz,' $base/deployment.yaml ;;
    k8s_long_drain) sed -i 's/value: 15s/value: 22s/' $base/deployment.yaml ;;
    k8s_unknown_setting) sed -i 's/DRAIN_DELAY$/DRAIN_DELY/' $base/deployment.yaml ;;
    k8s_other_port) sed -i 's/port: 5000/port: 8080/' $base/networkpolicy.yaml ;;
    k8s_public_metrics) sed -i 's,/badge.svg,/metrics,' $components/ingress/ingress.yaml ;;
    esac
}

lint() { scripts/lint-delivery.sh sbom.json "$program"; }

# lint_case CASE COMMAND...: leaves what is said in CASE.log, and the exit status at its end.
lint_case() {
    copy "$all/$1"
    ln -s "$PWD/build/tools" "$all/$1/build/tools"
    log=$all/$1.log
    cd "$all/$1"
    break_it "$1"
    shift
    status=0
    "$@" >"$log" 2>&1 || status=$?
    echo "exit status $status" >>"$log"
}

# expect_failed CASE STEP...: these steps have failed, and no other.
expect_failed() {
    log=$all/$1.log
    shift
    ! grep ': skipped: ' "$log" || skip 'a tool cannot be had'
    expect_equal "$(sed -n 's/^lint: \(.*\): FAILED$/\1/p' "$log")" "$(printf '%s\n' "$@")"
    expect_equal "$(tail -n 1 "$log")" "exit status $([ -z "${1-}" ] && echo 0 || echo 1)"
    grep -q "^lint: [0-9]* without finding, $([ -z "${1-}" ] && echo 0 || echo $#) failed, 0 skipped$" "$log" ||
        fail "counted otherwise: $(tail -n 2 "$log")"
}

# expect_kubernetes CASE CHECK...: these checks of scripts/lint-kubernetes.sh have failed, and no other.
expect_kubernetes() {
    log=$all/$1.log
    shift
    ! grep '^skipped: ' "$log" || skip 'a tool cannot be had'
    expect_equal "$(sed -n 's/^kubernetes: \(.*\): FAILED$/\1/p' "$log" | paste -sd,)" "$(printf '%s\n' "$@" | paste -sd,)"
    expect_equal "$(tail -n 1 "$log")" "exit status $([ -z "${1-}" ] && echo 0 || echo 1)"
}

# In these versions each.
schemas='schemas of v1.31.0,schemas of v1.35.0,schemas of v1.36.0,schemas of v1.37.0'

whole_tree_has_no_finding() { expect_failed nothing; }
action_without_hash_is_found() { expect_failed action_without_hash zizmor; }
title_in_script_is_found() { expect_failed title_in_script actionlint zizmor; }
unquoted_variable_in_script_is_found() { expect_failed unquoted_in_script actionlint; }
wrong_indent_is_found() { expect_failed indent_in_yaml yamllint; }
unknown_key_of_workflow_is_found() { expect_failed key_in_workflow actionlint 'schema of workflows'; }
unknown_key_of_dependabot_is_found() { expect_failed key_in_dependabot zizmor 'schema of dependabot.yml'; }
unknown_key_of_ruleset_is_found() { expect_failed key_in_ruleset 'schema of rulesets'; }
wrong_value_of_ruleset_is_found() { expect_failed value_in_ruleset 'schema of rulesets'; }
unknown_key_of_environment_is_found() { expect_failed key_in_environment 'schema of environments'; }
wrong_workflow_in_readme_is_found() { expect_failed workflow_in_readme 'pages and workflows'; }
wrong_registry_in_readme_is_found() { expect_failed registry_in_readme 'pages and workflows'; }
wrong_indent_of_go_is_found() { expect_failed indent_in_go go; }
wrong_format_in_go_is_found() { expect_failed format_in_go go; }
bill_that_the_schema_refuses_is_found() { expect_failed type_in_sbom SBOM; }
manifests_have_no_finding() { expect_kubernetes k8s_nothing; }
unknown_field_is_found() { expect_kubernetes k8s_unknown_field "$schemas"; }
wrong_type_is_found() { expect_kubernetes k8s_wrong_type "$schemas,kube-score"; }
removed_version_is_found() { expect_kubernetes k8s_removed_version "$schemas"; }
unknown_kind_is_found() { expect_kubernetes k8s_unknown_kind "$schemas"; }
unknown_field_of_route_is_found() { expect_kubernetes k8s_field_of_route "$schemas"; }
unknown_field_of_monitor_is_found() { expect_kubernetes k8s_field_of_monitor "$schemas"; }
patch_of_nothing_is_found() { expect_kubernetes k8s_name_of_patch kustomize; }
image_without_digest_is_found() { expect_kubernetes k8s_no_digest kube-score 'settings and paths'; }
image_by_tag_is_found() { expect_kubernetes k8s_tag kube-score 'settings and paths'; }
missing_security_context_is_found() { expect_kubernetes k8s_no_security_context kube-score 'Pod Security'; }
namespace_that_enforces_less_is_found() { expect_kubernetes k8s_not_enforced 'Pod Security'; }
missing_limit_is_found() { expect_kubernetes k8s_no_limit kube-score; }
probe_of_unknown_path_is_found() { expect_kubernetes k8s_unknown_probe 'settings and paths'; }
liveness_that_ends_with_a_drain_is_found() { expect_kubernetes k8s_probe_of_drain kube-score 'settings and paths'; }
drain_longer_than_the_grace_period_is_found() { expect_kubernetes k8s_long_drain 'settings and paths'; }
unknown_setting_is_found() { expect_kubernetes k8s_unknown_setting 'settings and paths'; }
policy_for_another_port_is_found() { expect_kubernetes k8s_other_port 'settings and paths'; }
public_metrics_are_found() { expect_kubernetes k8s_public_metrics 'settings and paths'; }

# Has every command but those that tools are made with.
path_without_tools() {
    mkdir "$scratch/bin"
    echo "$PATH" | tr : '\n' | while read -r folder; do
        [ ! -d "$folder" ] ||
            find "$folder"/ -maxdepth 1 ! -type d -executable ! -name go ! -name 'python3*' ! -name npm \
                -exec ln -sf -t "$scratch/bin" {} +
    done
    PATH=$scratch/bin
}

missing_tools_are_skipped_and_counted() {
    copy "$scratch/tree"
    path_without_tools
    cd "$scratch/tree"
    (unset CI && lint >"$scratch/log" 2>&1) || fail "failed: $(cat "$scratch/log")"
    expect_equal "$(grep -c ': skipped: .*\(go\|python3\|npm\) is missing' "$scratch/log")" 9
    expect_equal "$(tail -n 1 "$scratch/log")" 'lint: 1 without finding, 0 failed, 9 skipped'
    status=0
    (unset CI && scripts/lint-kubernetes.sh >"$scratch/log" 2>&1) || status=$?
    expect_equal "$status $(cat "$scratch/log")" '77 skipped: go is missing; install with: apt-get install golang-go'
}

missing_tools_fail_in_ci() {
    copy "$scratch/tree"
    path_without_tools
    cd "$scratch/tree"
    ! CI=true lint >"$scratch/log" 2>&1 || fail 'taken'
    expect_equal "$(tail -n 1 "$scratch/log")" 'lint: 1 without finding, 9 failed, 0 skipped'
    status=0
    CI=true scripts/lint-kubernetes.sh >"$scratch/log" 2>&1 || status=$?
    expect_equal "$status $(cat "$scratch/log")" '1 tools: kustomize: go is missing; install with: apt-get install golang-go'
}

tree_without_workflows_fails() {
    copy "$scratch/tree"
    path_without_tools
    cd "$scratch/tree"
    rm -r .github/workflows
    ! (unset CI && lint >"$scratch/log" 2>&1) || fail 'taken'
    expect_equal "$(tail -n 1 "$scratch/log")" 'lint: 0 without finding, 4 failed, 6 skipped'
}

sbom=$PWD/$(make -s sbom | tail -n 1)
program=$(dirname "$sbom")/$(sed -n 's/^NAME *= *//p' Makefile)
all=$(mktemp -d)
trap 'rm -rf "$all"' EXIT
# Made before several want them at once. Those that cannot be had are told by each case.
for tool in actionlint zizmor ruleset-schema environment-schema kustomize kubeconform kube-score pod-security \
    kubernetes-schemas; do
    scripts/tools.sh "$tool" || echo "$tool cannot be had"
done
running=0
for case in $cases $kubernetes_cases; do
    case $case in
    k8s_*) lint_case "$case" scripts/lint-kubernetes.sh & ;;
    *) lint_case "$case" lint & ;;
    esac
    running=$((running + 1))
    [ $((running % $(nproc))) != 0 ] || wait
done
wait
run_tests whole_tree_has_no_finding action_without_hash_is_found title_in_script_is_found \
    unquoted_variable_in_script_is_found wrong_indent_is_found unknown_key_of_workflow_is_found \
    unknown_key_of_dependabot_is_found unknown_key_of_ruleset_is_found wrong_value_of_ruleset_is_found \
    unknown_key_of_environment_is_found wrong_workflow_in_readme_is_found wrong_registry_in_readme_is_found wrong_indent_of_go_is_found \
    wrong_format_in_go_is_found bill_that_the_schema_refuses_is_found \
    manifests_have_no_finding unknown_field_is_found wrong_type_is_found removed_version_is_found unknown_kind_is_found \
    unknown_field_of_route_is_found unknown_field_of_monitor_is_found patch_of_nothing_is_found \
    image_without_digest_is_found image_by_tag_is_found missing_security_context_is_found \
    namespace_that_enforces_less_is_found missing_limit_is_found probe_of_unknown_path_is_found \
    liveness_that_ends_with_a_drain_is_found drain_longer_than_the_grace_period_is_found unknown_setting_is_found \
    policy_for_another_port_is_found public_metrics_are_found \
    missing_tools_are_skipped_and_counted missing_tools_fail_in_ci \
    tree_without_workflows_fails

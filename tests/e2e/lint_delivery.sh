#!/bin/sh
# That each step of scripts/lint-delivery.sh finds what it is for: one thing is broken in a copy, and exactly the steps
# that look for it must fail. The tools are fetched, and all takes half a minute, so `make test` leaves it out. Run it
# from the root of the project.
# Environment: CI set makes a tool that cannot be had a failure; else what wants it is skipped.
set -eu
. tests/support/check.sh

cases='nothing action_without_hash title_in_script unquoted_in_script indent_in_yaml key_in_workflow key_in_dependabot
    key_in_ruleset value_in_ruleset workflow_in_readme registry_in_readme indent_in_go format_in_go type_in_sbom'

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
    workflow=.github/workflows/ci.yml
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
    workflow_in_readme) sed -i 's/ci.yml/cj.yml/' README.md ;;
    registry_in_readme) sed -i 's/ghcr.io/registry.example/' README.md ;;
    indent_in_go) sed -i 's/^\tif len/if len/' bench/go/main.go ;;
    format_in_go) sed -i 's/log.Fatal("usage: /log.Printf("%d", "usage: /' bench/go/main.go ;;
    type_in_sbom) sed -i 's/"type": *"library"/"type":"libary"/' sbom.json ;;
    esac
}

lint() { scripts/lint-delivery.sh sbom.json "$program"; }

# lint_case CASE: leaves what is said in CASE.log, and the exit status at its end.
lint_case() {
    copy "$all/$1"
    ln -s "$PWD/build/tools" "$all/$1/build/tools"
    cd "$all/$1"
    break_it "$1"
    status=0
    lint >"$all/$1.log" 2>&1 || status=$?
    echo "exit status $status" >>"$all/$1.log"
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

whole_tree_has_no_finding() { expect_failed nothing; }
action_without_hash_is_found() { expect_failed action_without_hash zizmor; }
title_in_script_is_found() { expect_failed title_in_script actionlint zizmor; }
unquoted_variable_in_script_is_found() { expect_failed unquoted_in_script actionlint; }
wrong_indent_is_found() { expect_failed indent_in_yaml yamllint; }
unknown_key_of_workflow_is_found() { expect_failed key_in_workflow actionlint 'schema of workflows'; }
unknown_key_of_dependabot_is_found() { expect_failed key_in_dependabot zizmor 'schema of dependabot.yml'; }
unknown_key_of_ruleset_is_found() { expect_failed key_in_ruleset 'schema of rulesets'; }
wrong_value_of_ruleset_is_found() { expect_failed value_in_ruleset 'schema of rulesets'; }
wrong_workflow_in_readme_is_found() { expect_failed workflow_in_readme 'pages and workflows'; }
wrong_registry_in_readme_is_found() { expect_failed registry_in_readme 'pages and workflows'; }
wrong_indent_of_go_is_found() { expect_failed indent_in_go go; }
wrong_format_in_go_is_found() { expect_failed format_in_go go; }
bill_that_the_schema_refuses_is_found() { expect_failed type_in_sbom SBOM; }

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
    expect_equal "$(grep -c ': skipped: .*\(go\|python3\|npm\) is missing' "$scratch/log")" 8
    expect_equal "$(tail -n 1 "$scratch/log")" 'lint: 1 without finding, 0 failed, 8 skipped'
}

missing_tools_fail_in_ci() {
    copy "$scratch/tree"
    path_without_tools
    cd "$scratch/tree"
    ! CI=true lint >"$scratch/log" 2>&1 || fail 'taken'
    expect_equal "$(tail -n 1 "$scratch/log")" 'lint: 1 without finding, 8 failed, 0 skipped'
}

tree_without_workflows_fails() {
    copy "$scratch/tree"
    path_without_tools
    cd "$scratch/tree"
    rm -r .github/workflows
    ! (unset CI && lint >"$scratch/log" 2>&1) || fail 'taken'
    expect_equal "$(tail -n 1 "$scratch/log")" 'lint: 0 without finding, 4 failed, 5 skipped'
}

sbom=$PWD/$(make -s sbom | tail -n 1)
program=$(dirname "$sbom")/$(sed -n 's/^NAME *= *//p' Makefile)
all=$(mktemp -d)
trap 'rm -rf "$all"' EXIT
# Made before several want them at once. Those that cannot be had are told by each case.
for tool in actionlint zizmor ruleset-schema; do
    scripts/tools.sh "$tool" || echo "$tool cannot be had"
done
running=0
for case in $cases; do
    lint_case "$case" &
    running=$((running + 1))
    [ $((running % $(nproc))) != 0 ] || wait
done
wait
run_tests whole_tree_has_no_finding action_without_hash_is_found title_in_script_is_found \
    unquoted_variable_in_script_is_found wrong_indent_is_found unknown_key_of_workflow_is_found \
    unknown_key_of_dependabot_is_found unknown_key_of_ruleset_is_found wrong_value_of_ruleset_is_found \
    wrong_workflow_in_readme_is_found wrong_registry_in_readme_is_found wrong_indent_of_go_is_found \
    wrong_format_in_go_is_found bill_that_the_schema_refuses_is_found \
    missing_tools_are_skipped_and_counted missing_tools_fail_in_ci \
    tree_without_workflows_fails

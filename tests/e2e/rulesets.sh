#!/bin/sh
# Tests scripts/rulesets.sh and scripts/environments.sh with a simulated GitHub (tests/support/fake_github.py). Run it from the
# root of the project.
set -eu
. tests/support/check.sh
. tests/support/servers.sh

unset DRY_RUN REVIEWERS MAIN
export GITHUB_REPOSITORY=some/where

fake_github() {
    needs gh jq openssl python3
    trap stop_servers EXIT
    start_github "$scratch" $GITHUB_REPOSITORY
}

# github PATH FLAG...: requests a path of the repository.
github() {
    path=$1
    shift
    gh api "repos/$GITHUB_REPOSITORY/$path" "$@"
}

# expect_writes COUNT: so many requests were not GET.
expect_writes() { expect_equal "$(grep -vc '^GET ' "$scratch/requests")" "$1"; }

creates_rulesets_then_updates_them() {
    fake_github
    echo '{"name":"another"}' >"$scratch/another.json"
    expect_equal "$(DRY_RUN=1 scripts/rulesets.sh | tail -n 1)" 'rulesets: tags: would be created'
    ! GITHUB_REPOSITORY=no/where scripts/rulesets.sh >"$scratch/said" 2>&1 || fail 'no such repository'
    expect_writes 0
    expect_equal "$(scripts/rulesets.sh .github/rulesets/*.json "$scratch/another.json" | tail -n 1)" 'rulesets: another: created'
    github rulesets/1 --silent --method PUT -f enforcement=disabled
    expect_equal "$(scripts/rulesets.sh)" 'rulesets: main: updated
rulesets: releases: updated
rulesets: tags: updated'
    expect_equal "$(github rulesets | jq -S '.[] | del(.id, .html_url)')" "$(jq -S . .github/rulesets/*.json "$scratch/another.json")"
}

makes_environments_with_their_reviewers() {
    fake_github
    for reviewers in '' nobody; do
        ! REVIEWERS=$reviewers scripts/environments.sh >"$scratch/said" 2>&1 || fail "accepted reviewers: '$reviewers'"
    done
    export REVIEWERS='octocat some-org/operators'
    DRY_RUN=1 scripts/environments.sh >"$scratch/said"
    expect_writes 0
    for _ in 1 2; do
        scripts/environments.sh >"$scratch/said"
        github environments/production >"$scratch/production"
        expect_equal "$(jq -c '.reviewers' "$scratch/production")" '[{"id":583231,"type":"User"},{"id":42,"type":"Team"}]'
        expect_equal "$(jq -S 'del(.name, .id) | .reviewers = []' "$scratch/production")" "$(jq -S . .github/environments/production.json)"
        expect_equal "$(github environments/staging | jq -S 'del(.name, .id)')" "$(jq -S . .github/environments/staging.json)"
        expect_equal "$(github environments/production/deployment-branch-policies --jq '[.branch_policies[] | "\(.type) \(.name)"] | join(", ")')" \
            'tag version*, tag Version*, branch main'
    done
}

run_tests creates_rulesets_then_updates_them makes_environments_with_their_reviewers

#!/bin/sh
# scripts/rulesets.sh and environments.sh against a GitHub of our own (tests/support/fake_github.py). Run it from the root of the project.
set -eu
. tests/support/check.sh
. tests/support/servers.sh

unset DRY_RUN REVIEWERS MAIN
export GITHUB_REPOSITORY=some/where

# Serves in $scratch.
fake_github() {
    for tool in gh jq openssl python3; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
    trap stop_servers EXIT
    start_github "$scratch" $GITHUB_REPOSITORY
}

# github PATH FLAG...: asks it about the repository.
github() {
    path=$1
    shift
    gh api "repos/$GITHUB_REPOSITORY/$path" "$@"
}

# expect_applied FILE...: each is there as the file says, and nothing else is.
expect_applied() {
    github rulesets --jq '.[].id' >"$scratch/ids"
    while read -r id; do
        github "rulesets/$id"
    done <"$scratch/ids" | jq -S 'del(.id, .source, .source_type)' >"$scratch/there"
    expect_equal "$(cat "$scratch/there")" "$(jq -S . "$@")"
}

# expect_written REQUESTS: those that were not GET.
expect_written() { expect_equal "$(grep -v '^GET ' "$scratch/requests")" "$1"; }

rulesets_are_created_then_updated() {
    fake_github
    expect_equal "$(scripts/rulesets.sh)" 'rulesets: main: created
rulesets: releases: created
rulesets: tags: created'
    expect_applied .github/rulesets/*.json

    github rulesets/1 --silent --method PUT -f enforcement=disabled
    expect_equal "$(scripts/rulesets.sh)" 'rulesets: main: updated
rulesets: releases: updated
rulesets: tags: updated'
    expect_applied .github/rulesets/*.json
    expect_written 'POST /repos/some/where/rulesets 201
POST /repos/some/where/rulesets 201
POST /repos/some/where/rulesets 201
PUT /repos/some/where/rulesets/1 200
PUT /repos/some/where/rulesets/1 200
PUT /repos/some/where/rulesets/2 200
PUT /repos/some/where/rulesets/3 200'
}

other_rulesets_are_left_alone() {
    fake_github
    echo '{"name":"another"}' >"$scratch/another.json"
    scripts/rulesets.sh "$scratch/another.json" .github/rulesets/tags.json >"$scratch/said"
    expect_equal "$(scripts/rulesets.sh .github/rulesets/tags.json)" 'rulesets: tags: updated'
    expect_applied "$scratch/another.json" .github/rulesets/tags.json
}

dry_run_writes_nothing() {
    fake_github
    expect_equal "$(DRY_RUN=1 scripts/rulesets.sh)" 'rulesets: main: would be created
rulesets: releases: would be created
rulesets: tags: would be created'
    expect_written ''
}

refusals_are_told() {
    fake_github
    ! GITHUB_REPOSITORY=no/where scripts/rulesets.sh >"$scratch/said" 2>&1 || fail 'applied nowhere'
    grep -q '^rulesets: .github/rulesets/main.json: GitHub does not list the rulesets: Not Found' "$scratch/said" ||
        fail "said: $(cat "$scratch/said")"
    echo '{"name":"main","rules":' >"$scratch/broken.json"
    ! scripts/rulesets.sh "$scratch/broken.json" >"$scratch/said" 2>&1 || fail 'took what is no JSON'
    echo '{}' >"$scratch/nameless.json"
    ! scripts/rulesets.sh "$scratch/nameless.json" >"$scratch/said" 2>&1 || fail 'took what has no name'
    expect_equal "$(tail -n 1 "$scratch/said")" "rulesets: $scratch/nameless.json: has no name"
    expect_written ''
}

# expect_environments: both are there as the files say, with reviewers for production, and each of their policies once.
expect_environments() {
    github environments/production >"$scratch/production"
    expect_equal "$(jq -c '.reviewers' "$scratch/production")" '[{"id":583231,"type":"User"},{"id":42,"type":"Team"}]'
    expect_equal "$(jq -S 'del(.name) | .reviewers = []' "$scratch/production")" "$(jq -S . .github/environments/production.json)"
    expect_equal "$(github environments/staging | jq -S 'del(.name)')" "$(jq -S . .github/environments/staging.json)"
    for environment in staging production; do
        expect_equal "$(github environments/$environment/deployment-branch-policies --jq '.branch_policies[] | "\(.type) \(.name)"')" \
            'tag version*
tag Version*
branch main'
    done
}

environments_are_made_then_set() {
    fake_github
    export REVIEWERS='octocat some-org/operators'
    for _ in 1 2; do
        expect_equal "$(scripts/environments.sh)" 'environments: production: applied
environments: staging: applied'
        expect_environments
    done
    github environments/staging/deployment-branch-policies --silent -f type=branch -f name='*'
    expect_equal "$(scripts/environments.sh | tail -n 2)" 'environments: staging: may also be deployed from: branch *
environments: staging: applied'
}

environment_without_its_reviewers_is_refused() {
    fake_github
    ! scripts/environments.sh >"$scratch/said" 2>&1 || fail 'nobody need approve'
    expect_equal "$(cat "$scratch/said")" "environments: .github/environments/production.json: wants reviewers: REVIEWERS='octocat some-org/operators'"
    ! REVIEWERS=nobody scripts/environments.sh >"$scratch/said" 2>&1 || fail 'who is that?'
    expect_equal "$(tail -n 1 "$scratch/said")" 'environments: REVIEWERS: GitHub has no nobody'
    expect_equal "$(DRY_RUN=1 REVIEWERS=octocat scripts/environments.sh)" 'environments: production: would be applied
environments: staging: would be applied'
    expect_written ''
}

run_tests rulesets_are_created_then_updated other_rulesets_are_left_alone dry_run_writes_nothing refusals_are_told \
    environments_are_made_then_set environment_without_its_reviewers_is_refused

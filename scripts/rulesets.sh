#!/bin/sh
# Applies .github/rulesets/*.json to the repository on GitHub: a ruleset of that name is updated, else created. What
# is there under other names is left alone.
# Usage: scripts/rulesets.sh [FILE]...
# Environment: GH_REPO or GITHUB_REPOSITORY (OWNER/NAME; else the repository of this clone); GH_TOKEN, of somebody who
# administers it; DRY_RUN=1 only says what would be done. Run it from the root of the project.
# Exit status: 0; 1 when something could not be applied, or a tool is missing.
set -eu

# gh fills in {owner} and {repo}.
rulesets='repos/{owner}/{repo}/rulesets'
GH_REPO=${GH_REPO:-${GITHUB_REPOSITORY-}}
if [ -n "$GH_REPO" ]; then export GH_REPO; else unset GH_REPO; fi

die() {
    echo "rulesets: $*" >&2
    exit 1
}

# id_of NAME: prints the number of the ruleset of that name, if there is one. Those of the organisation are not ours;
# a repository has at most 75.
id_of() {
    gh api "$rulesets?includes_parents=false&per_page=100" >"$answer" || return
    jq -r --arg name "$1" '.[] | select(.name == $name) | .id' "$answer" | head -n 1
}

# send METHOD PATH FILE
send() { gh api --method "$1" "$2" --input "$3" >"$answer"; }

# apply FILE
apply() {
    name=$(jq -er .name "$1") || die "$1: has no name"
    id=$(id_of "$name") || die "$1: GitHub does not list the rulesets: $(jq -r '.message? // empty' "$answer")"
    done='created'
    [ -z "$id" ] || done='updated'
    if [ -n "${DRY_RUN-}" ]; then
        echo "rulesets: $name: would be $done"
        return
    fi
    if [ -n "$id" ]; then
        send PUT "$rulesets/$id" "$1"
    else
        send POST "$rulesets" "$1"
    fi || die "$1: refused: $(jq -r '.message? // empty' "$answer")"
    echo "rulesets: $name: $done"
}

for tool in gh jq; do
    command -v "$tool" >/dev/null || die "missing: $tool; install with: apt-get install $tool"
done
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
trap 'exit 130' INT TERM
[ $# -gt 0 ] || set -- .github/rulesets/*.json
for file; do
    apply "$file"
done

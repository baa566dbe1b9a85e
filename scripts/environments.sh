#!/bin/sh
# Makes the environments of .github/environments/*.json on GitHub, or sets them as they are there, each named after its file.
# Those whose file has a list of reviewers get REVIEWERS. Only what is released, and the main branch, may be deployed.
# Usage: scripts/environments.sh
# Environment: REVIEWERS, at most six users or teams (octocat some-org/operators), each of whom can approve; GH_REPO or
# GITHUB_REPOSITORY (OWNER/NAME; else the repository of this clone); GH_TOKEN, of somebody who administers it; MAIN (main), the
# branch; DRY_RUN=1 only says what would be done. Run it from the root of the project.
# Exit status: 0; 1 when something could not be applied, or a tool is missing.
set -eu

# gh fills in {owner} and {repo}.
environments='repos/{owner}/{repo}/environments'
GH_REPO=${GH_REPO:-${GITHUB_REPOSITORY-}}
if [ -n "$GH_REPO" ]; then export GH_REPO; else unset GH_REPO; fi

die() {
    echo "environments: $*" >&2
    exit 1
}

# Prints the reviewers as GitHub takes them.
reviewers() {
    for reviewer in ${REVIEWERS-}; do
        case $reviewer in
        */*) type=Team path=orgs/${reviewer%%/*}/teams/${reviewer#*/} ;;
        *) type=User path=users/$reviewer ;;
        esac
        gh api "$path" --jq "{type: \"$type\", id}" >"$answer" || die "REVIEWERS: GitHub has no $reviewer"
        cat "$answer"
    done
}

# policies NAME: from where it may be deployed; what else is there is told, and left.
policies() {
    path=$environments/$1/deployment-branch-policies
    gh api "$path?per_page=100" --jq '.branch_policies[] | "\(.type) \(.name)"' >"$answer" || die "$1: GitHub does not list its policies"
    printf '%s\n' 'tag version*' 'tag Version*' "branch ${MAIN:-main}" >"$answer.wanted"
    while read -r type pattern; do
        grep -qFx "$type $pattern" "$answer" ||
            gh api --method POST "$path" -f type="$type" -f name="$pattern" --silent || die "$1: refused: $type $pattern"
    done <"$answer.wanted"
    grep -vFxf "$answer.wanted" "$answer" | sed "s/^/environments: $1: may also be deployed from: /" || test $? = 1
}

# apply FILE
apply() {
    name=${1##*/}
    name=${name%.json}
    jq --slurpfile reviewers "$answer.reviewers" 'if .reviewers then .reviewers = $reviewers else . end' "$1" >"$answer.asked"
    jq -e '.reviewers != []' "$answer.asked" >"$answer" || die "$1: wants reviewers: REVIEWERS='octocat some-org/operators'"
    if [ -n "${DRY_RUN-}" ]; then
        echo "environments: $name: would be applied"
        return
    fi
    gh api --method PUT "$environments/$name" --input "$answer.asked" >"$answer" ||
        die "$1: refused: $(jq -r '.message? // empty' "$answer")"
    policies "$name"
    echo "environments: $name: applied"
}

for tool in gh jq; do
    command -v "$tool" >/dev/null || die "missing: $tool; install with: apt-get install $tool"
done
folder=$(mktemp -d)
answer=$folder/answer
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
reviewers >"$answer.reviewers"
for file in .github/environments/*.json; do
    apply "$file"
done

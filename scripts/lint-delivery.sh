#!/bin/sh
# Checks what delivers the program: workflows, YAML, rulesets, environments, issue forms, pages, SBOM; and the Go code.
# Skips steps whose inputs have not changed since they last passed.
# Usage: scripts/lint-delivery.sh SBOM PROGRAM
# scripts/tools.sh provides the tools. Run it from the root of the project.
# Exit status: 0 if nothing was found; 1 if something was or, with CI set, a tool is not available. Without CI a step whose tool
# is not available is skipped.
# shellcheck disable=SC2317 # called by step
set -eu
# shellcheck source-path=SCRIPTDIR source=lint-lib.sh
. scripts/lint-lib.sh

self=lint
sbom=$1
program=$2
passed=0 skipped=0 failures=0
output=$(mktemp)
trap 'rm -f "$output" "$output.wrong"' EXIT
trap 'exit 130' INT TERM
use_stamps delivery

# step NAME INPUTS COMMAND...: runs a check if one of INPUTS, a list, has changed since it passed. The command exits with 77
# after a line "skipped: WHY" if it cannot run.
step() {
    step=$1 inputs="$2 scripts/lint-delivery.sh scripts/tools.sh tests/tools" status=0
    shift 2
    if has_passed "$step"; then
        say "$step: unchanged"
        passed=$((passed + 1))
        return
    fi
    say "$step"
    start "$step"
    "$@" >"$output" 2>&1 || status=$?
    why=$(sed -n 's/^skipped: //p' "$output" | tail -n 1)
    case $status:$why:${CI-} in
    0:*)
        # shellcheck disable=SC2086 # a list
        pass "$step" $inputs
        passed=$((passed + 1))
        ;;
    77:?*:)
        say "$step: skipped: $why"
        skipped=$((skipped + 1))
        ;;
    *)
        cat "$output"
        fail "$step"
        failures=$((failures + 1))
        ;;
    esac
}

# tool NAME: sets `tool` to its path, or prints why it is not available.
tool() {
    tool=$(scripts/tools.sh "$1") && return
    set -- $?
    echo "$tool"
    return "$1"
}

# find_files FOLDER PATTERN: sets `files` to the files whose names match.
find_files() {
    files=$(find "$1" -name "$2" 2>/dev/null | sort)
    [ -n "$files" ] && return
    echo "no $1/$2"
    return 1
}

# Sets `files` to all YAML files of the tree, in a clone those that git does not ignore.
find_yaml() {
    if [ -e .git ]; then
        files=$(git ls-files --cached --others --exclude-standard -- '*.yml' '*.yaml' .yamllint)
    else
        files=$(find . -path ./build -prune -o \( -name '*.y*ml' -o -name .yamllint \) -type f -print)
    fi
}

# Without shellcheck actionlint would silently ignore the scripts.
lint_workflows() {
    find_files .github/workflows '*.y*ml' || return
    command -v shellcheck >/dev/null || {
        echo 'skipped: shellcheck is missing; install with: apt-get install shellcheck'
        return 77
    }
    tool actionlint || return
    # shellcheck disable=SC2086 # a list
    "$tool" -no-color -shellcheck shellcheck -pyflakes '' $files
}

lint_security() {
    find_files .github/workflows '*.y*ml' || return
    tool zizmor || return
    "$tool" --persona pedantic --offline --strict-collection --no-progress --color never .github
}

lint_yaml() {
    find_yaml
    tool yamllint || return
    # shellcheck disable=SC2086 # a list
    "$tool" --strict --format parsable $files
}

# check_schema FOLDER PATTERN SCHEMA...
check_schema() {
    find_files "$1" "$2" || return
    shift 2
    tool check-jsonschema || return
    # shellcheck disable=SC2086 # a list
    "$tool" --color never "$@" $files
}

# check_requests FOLDER TOOL: checks the files against the schema of a GitHub API request.
check_requests() {
    tool "$2" || return
    check_schema "$1" '*.json' --schemafile "$tool"
}

# wrong_names FILE...: prints references to workflows that do not exist, and to other registries.
wrong_names() {
    grep -ohE '[a-z]+\.yml' "$@" | sort -u | while read -r workflow; do
        [ -f ".github/workflows/$workflow" ] || [ -f ".github/$workflow" ] || echo "a page mentions $workflow, which is not in .github"
    done
    # shellcheck disable=SC2086 # a list
    registry=$(sed -n "s/.*vars\.REGISTRY || '\([^']*\)'.*/\1/p" $files | sort -u)
    grep -noE '[a-z0-9.-]+/OWNER/REPO[:@]' "$@" | grep -vE ":$registry/OWNER/REPO[:@]" || test $? = 1
}

# wrong_links FILE...: prints relative links to files that do not exist, and pages that the source mentions but docs/ lacks.
wrong_links() {
    for page; do
        grep -oE '\]\([^)#: ]+' "$page" | cut -c 3- | grep -vE '^(https$|\.\./\.\./)' | sort -u | while read -r link; do
            [ -e "${page%"${page##*/}"}$link" ] || echo "$page: no $link"
        done
    done
    # shellcheck disable=SC2086 # a list
    grep -roE 'docs/[a-z]+\.md' $sources | sort -u | while IFS=: read -r file page; do
        [ -f "$page" ] || echo "$file: no $page"
    done
}

check_pages() {
    find_files .github/workflows '*.y*ml' || return
    # shellcheck disable=SC2086 # a list
    { wrong_names $pages && wrong_links $pages; } >"$output.wrong"
    cat "$output.wrong"
    [ ! -s "$output.wrong" ]
}

lint_go() {
    command -v go >/dev/null || {
        echo 'skipped: go is missing; install with: apt-get install golang-go'
        return 77
    }
    unformatted=$(gofmt -l bench tests/tools) || return
    [ -z "$unformatted" ] || {
        echo "run gofmt -w on: $unformatted"
        return 1
    }
    (cd bench/go && GOTOOLCHAIN=local go vet ./...)
}

pages=$(find ./*.md .github deps docs -name '*.md' ! -name kubernetes.md | sort)
sources='.ci .github Dockerfile Makefile bench deploy deps include scripts src tests'
find_yaml
step actionlint .github lint_workflows
step zizmor .github lint_security
step yamllint "$files" lint_yaml
step 'schema of workflows' .github/workflows check_schema .github/workflows '*.y*ml' --builtin-schema vendor.github-workflows
[ ! -d .github/actions ] ||
    step 'schema of actions' .github/actions check_schema .github/actions 'action.y*ml' --builtin-schema vendor.github-actions
step 'schema of dependabot.yml' .github check_schema .github dependabot.yml --builtin-schema vendor.dependabot
step 'schema of issue forms' .github/ISSUE_TEMPLATE check_schema .github/ISSUE_TEMPLATE '*.yml' --builtin-schema vendor.github-issue-forms
step 'schema of rulesets' .github/rulesets check_requests .github/rulesets ruleset-schema
step 'schema of environments' .github/environments check_requests .github/environments environment-schema
step 'pages and workflows' "$sources $pages" check_pages
step go 'bench tests/tools' lint_go
step SBOM "$program scripts/sbom.sh scripts/check-sbom.sh deps" scripts/check-sbom.sh "$sbom" "$program"
say "$passed passed, $failures failed, $skipped skipped"
exit "$failed"

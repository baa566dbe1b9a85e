#!/bin/sh
# Looks for faults in what delivers the program: workflows, YAML, what GitHub is to be set to, the bill of materials.
# And in the Go that is here.
# Usage: scripts/lint-delivery.sh SBOM PROGRAM
# The tools come from scripts/tools.sh. Run it from the root of the project.
# Exit status: 0 when nothing was found; 1 when something was, or with CI set when a tool cannot be had. Without CI a
# step whose tool cannot be had is skipped, and counted.
set -eu

sbom=$1
program=$2
passed=0 failed=0 skipped=0
output=$(mktemp)
trap 'rm -f "$output" "$output.wrong"' EXIT
trap 'exit 130' INT TERM

# step NAME COMMAND...: runs a check and says how it went. One that ends with 77 and a line "skipped: WHY" has not run.
step() {
    name=$1 status=0
    shift
    "$@" >"$output" 2>&1 || status=$?
    why=$(sed -n 's/^skipped: //p' "$output" | tail -n 1)
    case $status:$why:${CI-} in
    0:*)
        echo "lint: $name: no finding"
        passed=$((passed + 1))
        ;;
    77:?*:)
        echo "lint: $name: skipped: $why"
        skipped=$((skipped + 1))
        ;;
    *)
        cat "$output"
        echo "lint: $name: FAILED"
        failed=$((failed + 1))
        ;;
    esac
}

# tool NAME: leaves its path in `tool`, or prints why not.
tool() {
    tool=$(scripts/tools.sh "$1") && return
    set -- $?
    echo "$tool"
    return "$1"
}

# Leaves the files of FOLDER whose names match PATTERN in `files`: names without spaces.
find_files() {
    files=$(find "$1" -name "$2" 2>/dev/null | sort)
    [ -n "$files" ] && return
    echo "no $1/$2"
    return 1
}

# What the tree has, of git's own choice where it is a clone.
find_yaml() {
    if [ -e .git ]; then
        files=$(git ls-files --cached --others --exclude-standard -- '*.yml' '*.yaml' .yamllint)
    else
        files=$(find . -path ./build -prune -o \( -name '*.y*ml' -o -name .yamllint \) -type f -print)
    fi
}

# Without shellcheck actionlint would not look into the scripts, and not say so.
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

# check_requests FOLDER TOOL: its files are requests that GitHub takes.
check_requests() {
    tool "$2" || return
    check_schema "$1" '*.json' --schemafile "$tool"
}

# Prints where README and the like speak of a workflow or a registry that there is not.
wrong_names() {
    grep -ohE '[a-z]+\.yml' "$@" | sort -u | while read -r workflow; do
        [ -f ".github/workflows/$workflow" ] || [ -f ".github/$workflow" ] || echo "a page names $workflow, which is not in .github"
    done
    # shellcheck disable=SC2086 # a list
    registry=$(sed -n "s/.*vars\.REGISTRY || '\([^']*\)'.*/\1/p" $files | sort -u)
    grep -noE '[a-z0-9.-]+/OWNER/REPO[:@]' "$@" | grep -vE ":$registry/OWNER/REPO[:@]" || test $? = 1
}

check_pages() {
    find_files .github/workflows '*.y*ml' || return
    wrong_names README.md SECURITY.md CONTRIBUTING.md docs/delivery.md docs/promotion.md >"$output.wrong"
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
        echo "not as gofmt formats: $unformatted"
        return 1
    }
    (cd bench/go && GOTOOLCHAIN=local go vet ./...)
}

step actionlint lint_workflows
step zizmor lint_security
step yamllint lint_yaml
step 'schema of workflows' check_schema .github/workflows '*.y*ml' --builtin-schema vendor.github-workflows
[ ! -d .github/actions ] ||
    step 'schema of actions' check_schema .github/actions 'action.y*ml' --builtin-schema vendor.github-actions
step 'schema of dependabot.yml' check_schema .github dependabot.yml --builtin-schema vendor.dependabot
step 'schema of rulesets' check_requests .github/rulesets ruleset-schema
step 'schema of environments' check_requests .github/environments environment-schema
step 'pages and workflows' check_pages
step go lint_go
step SBOM scripts/check-sbom.sh "$sbom" "$program"
echo "lint: $passed without finding, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

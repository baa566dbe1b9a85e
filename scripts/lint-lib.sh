# shellcheck shell=sh disable=SC2034,SC2154 # used by, and set in, the scripts that source it
# Shared by the lint scripts, which set `self`: messages, and stamps that skip what has not changed since it last passed.

failed=0

say() { echo "$self: $*"; }

# fail NAME [ADVICE]
fail() {
    say "$1: FAILED${2:+; $2}"
    failed=1
}

# use_stamps WORD...: keeps stamps below build/lint, separately for each set of WORDs (options, versions of the tools).
use_stamps() {
    stamps=build/lint/$(echo "$@" | cksum | tr -d ' ')
    mkdir -p "$stamps"
    export stamps
}

# has_passed NAME: succeeds if no input of the check has changed since it passed. The stamp lists them.
has_passed() {
    # shellcheck disable=SC2046 # a list
    [ -e "$stamps/$1" ] && changes=$(find $(cat "$stamps/$1") -newer "$stamps/$1" 2>/dev/null) && [ -z "$changes" ]
}

# start NAME: to be called before the check, so that a file that changes meanwhile is checked again.
start() {
    mkdir -p "$(dirname "$stamps/$1")"
    touch "$stamps/$1.started"
}

# pass NAME INPUT...: the check has passed; its result depends on these files and the contents of these folders.
pass() {
    name=$1
    shift
    echo "$@" >"$stamps/$name"
    touch -r "$stamps/$name.started" "$stamps/$name"
}

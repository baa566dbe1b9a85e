#!/bin/sh
# Waits until the workflow ci.yml is completed for a commit of the main branch, and says whether it is green.
# Usage: scripts/release/green.sh COMMIT
# Environment: GH_REPO and GH_TOKEN, as gh takes them; MAIN (main), the branch; CI_WAIT (1800), how many seconds to wait
# at most for the end of a run, CI_BEGIN (300) for its beginning; CI_POLL (15), from one question to the next.
# Exit status: 0 when it succeeded; 1 with a line that says why not.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/release/lib.sh

commit=$1
main=${MAIN:-main}
wait=${CI_WAIT:-1800}
begin=${CI_BEGIN:-300}
poll=${CI_POLL:-15}
waited=0

# Prints what the newest run says: "success", "failure" and so on; "running" until it is completed; nothing before it has
# begun. A run of that file for a push to that branch, not a check of that name: checks can be written by any workflow, and
# a branch that was made of this commit may have a run of its own.
conclusion() {
    gh api --method GET 'repos/{owner}/{repo}/actions/workflows/ci.yml/runs' -f head_sha="$commit" -f branch="$main" \
        -f event=push --jq '.workflow_runs[0] | select(.) | if .status == "completed" then .conclusion else "running" end'
}

wants gh
while said=$(conclusion) || die "cannot ask for the runs of ci.yml for $commit"; do
    case $said in
    '') limit=$begin ;;
    running) limit=$wait ;;
    *) break ;;
    esac
    [ "$waited" -lt "$limit" ] || break
    say "waiting for ci.yml of $commit: ${said:-not begun}"
    sleep "$poll"
    waited=$((waited + poll))
done
[ -n "$said" ] || die "commit $commit is not green: ci.yml has not run for it on $main"
[ "$said" = success ] || die "commit $commit is not green: ci.yml says $said"
say "commit $commit is green"

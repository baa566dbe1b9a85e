#!/bin/sh
# Waits until the check "ci" of a commit is completed, and says whether it is green.
# Usage: scripts/release/green.sh COMMIT
# Environment: GH_REPO and GH_TOKEN, as gh takes them; CI_CHECK (ci), its name; CI_WAIT (1800), how many seconds to wait at most;
# CI_POLL (15), how many seconds from one question to the next.
# Exit status: 0 when a run of it succeeded and none of the latest failed, else 1 with a line that says why.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/release/lib.sh

commit=$1
check=${CI_CHECK:-ci}
left=${CI_WAIT:-1800}
poll=${CI_POLL:-15}

# Prints what the newest runs of the check say, a word each: "success", "failure"; "running" for what is not completed.
# Only those of GitHub Actions: who may write statuses must not make a commit green.
conclusions() {
    # shellcheck disable=SC2016 # jq's
    gh api --method GET "repos/{owner}/{repo}/commits/$commit/check-runs" -f check_name="$check" -f filter=latest \
        --jq '.check_runs[] | select(.app.slug == "github-actions")
            | if .status == "completed" then .conclusion else "running" end'
}

wants gh
while said=$(conclusions) || die "cannot ask for the checks of $commit"; do
    case $said in
    '' | *running*) [ "$left" -gt 0 ] || break ;;
    *) break ;;
    esac
    say "waiting for $check of $commit: ${said:-not begun}"
    sleep "$poll"
    left=$((left - poll))
done
[ -n "$said" ] || die "commit $commit is not green: $check has not run for it"
for conclusion in $said; do
    [ "$conclusion" = success ] || die "commit $commit is not green: $check says $conclusion"
done
say "commit $commit is green"

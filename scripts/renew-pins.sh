#!/bin/sh
# Opens a pull request with what has changed in deps/pins, unless there is or was one for just that, and has it judged.
# Usage: scripts/renew-pins.sh      (after deps/update.sh)
# Environment: GH_REPO and GH_TOKEN, as gh takes them.
# Exit status: 0; 1 with a line that says what went wrong. Run it from the root of the project.
set -eu
# shellcheck source-path=SCRIPTDIR source=../deps/lib.sh
. "$(dirname "$0")/../deps/lib.sh"

self=renew-pins
work=

finish() { rm -rf "$work"; }

# changes: "NAME VERSION" of each pin that is new.
changes() {
    git diff --unified=0 HEAD -- deps/pins | sed -n 's/^+\([A-Za-z][^ ]*\)  *\([^ ]*\)  *\([^ ]*\) .*/\1 \3/p'
}

# push BRANCH: to where the clone came from; the password is gh's.
push() {
    git -c credential.helper= -c credential.helper='!gh auth git-credential' push --quiet --force origin "HEAD:refs/heads/$1"
}

open() {
    base=$(gh api 'repos/{owner}/{repo}' --jq .default_branch)
    jq -n --arg head "$branch" --arg base "$base" --arg title "deps: renew the pins" --rawfile changes "$work/changes" \
        '{head: $head, base: $base, title: $title,
          body: ("The archive has newer versions:\n\n" + ($changes | split("\n") | map(select(. != "") | "- " + .) | join("\n"))
            + "\n\n`make deps-update` wrote them, with their hashes.\n")}' >"$work/asked"
    gh api --method POST 'repos/{owner}/{repo}/pulls' --input "$work/asked" --jq .html_url
}

command -v gh >/dev/null || die 'missing: gh; install with: apt-get install gh'
finish_always
make_work
changes >"$work/changes"
if [ ! -s "$work/changes" ]; then
    say 'nothing to renew'
    exit
fi
branch=deps/pins-$(sha256_of deps/pins | cut -c 1-12)
asked=$(gh api --method GET 'repos/{owner}/{repo}/pulls' -f state=all -f head="${GH_REPO%%/*}:$branch" --jq length)
if [ "$asked" != 0 ]; then
    say "there is a pull request of $branch already, open or closed"
    exit
fi
git -c user.name='github-actions[bot]' -c user.email='41898282+github-actions[bot]@users.noreply.github.com' \
    commit --quiet --message 'deps: renew the pins' --message "$(cat "$work/changes")" -- deps/pins
push "$branch"
open
# What a workflow pushes starts none.
gh api --method POST 'repos/{owner}/{repo}/actions/workflows/ci.yml/dispatches' -f ref="$branch"

#!/bin/sh
# Tests the release scripts: valid tags, version numbers, notes, images and their names, and that nothing published is replaced.
# The registry and GitHub run locally (tests/support/servers.sh). Run it from the root of the project.
set -eu
. tests/support/check.sh
. tests/support/servers.sh

root=$PWD
unset NAME VERSION COMMIT DESCRIPTION SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
unset MAIN IMAGE_REPOSITORY DIGEST GITHUB_SHA BUMP PRE GITHUB_REPOSITORY
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b

# history: makes and enters a clone with the scripts, a branch main, and origin/main.
history() {
    needs git
    mkdir "$scratch/clone"
    cd "$scratch/clone"
    git init --quiet --initial-branch=main
    cp -R "$root/scripts" "$root/deps" .
    git add .
    git commit --quiet --message 'first: everything'
    git update-ref refs/remotes/origin/main HEAD
}

# commit MESSAGE [TRAILER]: an empty one.
commit() {
    git commit --quiet --allow-empty --message "$1" ${2:+--message "$2"}
    git update-ref refs/remotes/origin/main HEAD
}

# expect_refused TEXT COMMAND...: it fails and prints TEXT.
expect_refused() {
    text=$1
    shift
    ! ("$@") >"$scratch/said" 2>&1 || fail "passed: $*: $(cat "$scratch/said")"
    grep -qF -- "$text" "$scratch/said" || fail "$*: expected '$text': $(cat "$scratch/said")"
}

tag_names_a_version() {
    history
    for tag in version1.2.3 Version0.0.0 version1.0.0-alpha-b.0x; do
        git tag $tag
        expect_equal "$(scripts/release/check.sh $tag)" "version=${tag#?ersion}
commit=$(git rev-parse HEAD)
epoch=$(git log -1 --format=%ct)
prerelease=$(case $tag in *-*) echo true ;; *) echo false ;; esac)"
    done
    # shellcheck disable=SC2016 # not expanded
    for tag in version1.2 v1.2.3 1.2.3 version01.2.3 version1.2.3+build VERSION1.2.3 version 'version$(touch x)'; do
        expect_refused "release: tag: '$tag' is not version1.2.3 or Version1.2.3" scripts/release/check.sh "$tag"
    done
    [ ! -e x ] || fail 'a tag was executed'
}

releases_only_what_is_on_main() {
    history
    git tag version1.0.0
    git checkout --quiet -b aside
    git commit --quiet --allow-empty --message 'aside: not merged'
    git tag version1.1.0
    expect_refused "of version1.1.0 is not on origin/main" scripts/release/check.sh version1.1.0
    expect_refused 'this clone has no branch origin/trunk' env MAIN=origin/trunk scripts/release/check.sh version1.1.0
    expect_refused 'there is no tag version9.9.9' scripts/release/check.sh version9.9.9
    expect_refused 'version1.0.0 has been moved' env GITHUB_SHA="$(git rev-parse HEAD)" scripts/release/check.sh version1.0.0
    git tag Version1.0.0 origin/main
    expect_refused '1.0.0 has the tag Version1.0.0 already' scripts/release/check.sh version1.0.0
}

newest_release_gets_the_short_names() {
    while IFS=: read -r version tags expected; do
        # shellcheck disable=SC2086 # a list
        expect_equal "$(printf '%s\n' $tags | scripts/release/floating-tags.sh "$version" | paste -sd ' ' -)" "$expected"
    done <<TABLE
1.2.3:latest 1 1.2 1.2.2 1.1.9 0.9.0:1.2.3 1.2 1 latest
1.2.3:1.2.10 1.2.3:1.2.3
1.2.3:1.3.0:1.2.3 1.2
1.2.3:2.0.0:1.2.3 1.2 1
1.2.3:1.3.0-rc.1 2.0.0-alpha sha256-abc.sig 1.2.3.4:1.2.3 1.2 1 latest
1.3.0-rc.1:1.2.3:1.3.0-rc.1
TABLE
}

next_version_depends_on_the_commits() {
    history
    expect_equal "$(PRE=rc scripts/release/next-version.sh)" 0.1.0-rc.1
    git tag version1.2.3
    commit 'a: one'
    expect_equal "$(scripts/release/next-version.sh)" 1.2.4
    commit 'b: two' 'Bump: minor'
    git tag version1.3.0-rc.9
    git tag version1.3.0-rc.10
    expect_equal "$(scripts/release/next-version.sh)" 1.3.0
    expect_equal "$(PRE=rc scripts/release/next-version.sh)" 1.3.0-rc.11
    commit 'd: four' 'Bump: major'
    commit 'e: five' 'Bump: minor'
    expect_equal "$(scripts/release/next-version.sh)" 2.0.0
    expect_equal "$(BUMP="patch" scripts/release/next-version.sh)" 1.2.4
    expect_refused "BUMP: 'huge' is not major, minor or patch" env BUMP=huge scripts/release/next-version.sh
}

notes_list_the_commits_since_the_last_release() {
    history
    git tag version1.0.0
    commit 'server: answers <b>faster</b>'
    git tag version1.1.0-rc.1
    commit 'No area here: none'
    commit 'deps: newer'
    git tag version1.1.0
    IMAGE_REPOSITORY=ghcr.io/a/b DIGEST=sha256:12 GITHUB_REPOSITORY=a/b scripts/release/notes.sh version1.1.0 >"$scratch/notes"
    expect_equal "$(sed -e '/^## Image/,$d' -e 's/ ([0-9a-f]*)$//' "$scratch/notes")" '## Changes since 1.0.0

### deps

- newer

### other

- No area here: none

### server

- answers &lt;b>faster&lt;/b>'
    grep -qF 'gh attestation verify oci://ghcr.io/a/b@sha256:12 --repo a/b' "$scratch/notes" || fail "$(cat "$scratch/notes")"
    commit 'deps: newest'
    expect_equal "$(PRE=rc scripts/release/notes.sh | head -n 1)" '## Changes since 1.1.0'
}

# archive ARCHITECTURE TEXT: an image of one file, as `docker save` writes it, with the current time in its configuration.
archive() {
    folder=$scratch/builds/linux-$1
    mkdir -p "$folder" "$scratch/layer"
    echo "$2" >"$scratch/layer/versiond"
    tar -C "$scratch/layer" --mtime=@0 --owner=0 --group=0 -cf "$folder/layer.tar" versiond
    jq -n --arg architecture "$1" --arg now "$(date -u +%FT%T.%NZ)" --arg layer "sha256:$(sha256sum <"$folder/layer.tar" | cut -d ' ' -f 1)" \
        '{architecture: $architecture, os: "linux", created: $now, container: $now,
          config: {Healthcheck: {Test: ["CMD", "/versiond"]}, Labels: {"org.opencontainers.image.created": "2026-01-02T03:04:05Z"}},
          history: [{created: $now, created_by: "COPY"}], rootfs: {type: "layers", diff_ids: [$layer]}}' >"$folder/config.json"
    echo '[{"Config":"config.json","RepoTags":["versiond:latest"],"Layers":["layer.tar"]}]' >"$folder/manifest.json"
    tar -C "$folder" -cf "$folder/image.tar" config.json manifest.json layer.tar
}

# blob DIGEST: of the layout.
blob() { cat "$scratch/layout/blobs/sha256/${1#sha256:}"; }

image_has_all_platforms_and_is_reproducible() {
    needs skopeo jq
    archive amd64 one
    archive arm64 two
    digest=$(scripts/release/layout.sh "$scratch/layout" "$scratch/builds")
    blob "$digest" >"$scratch/index"
    expect_equal "$(jq -c '[.manifests[].platform.architecture, .annotations[]]' "$scratch/index")" '["amd64","arm64","2026-01-02T03:04:05Z"]'
    for manifest in $(jq -r '.manifests[].digest' "$scratch/index"); do
        blob "$(blob "$manifest" | jq -r .config.digest)" >"$scratch/config"
        expect_equal "$(jq -c '[.config.Healthcheck.Test[1], .created, .history[].created, .container]' "$scratch/config")" \
            '["/versiond","2026-01-02T03:04:05Z","2026-01-02T03:04:05Z",null]'
    done
    archive amd64 one
    expect_equal "$(scripts/release/layout.sh "$scratch/again" "$scratch/builds")" "$digest"
    mv "$scratch/builds/linux-amd64" "$scratch/builds/linux-riscv64"
    expect_refused 'image.tar: an image for linux-amd64, not linux-riscv64' scripts/release/layout.sh "$scratch/other" "$scratch/builds"
}

# publish VERSION TEXT: an image of its own; prints the names that it gets.
publish() {
    archive amd64 "$2"
    rm -rf "$scratch/layout"
    digest=$(scripts/release/layout.sh "$scratch/layout" "$scratch/builds")
    echo "$digest" >"$scratch/digest"
    expect_equal "$(scripts/release/push.sh "$scratch/layout" "$IMAGE_REPOSITORY" "$1")" "$digest"
    scripts/release/tag.sh "$IMAGE_REPOSITORY" "$digest" "$1" | sed 's/.*versiond:\([^ ]*\) is .*/\1/' | paste -sd ' ' -
}

images_are_published_once() {
    needs skopeo jq docker-registry
    trap stop_servers EXIT
    start_registry "$scratch"
    export IMAGE_REPOSITORY="$registry/team/versiond"
    history
    git tag version2.0.0
    scripts/release/check.sh version2.0.0 >"$scratch/said"
    expect_equal "$(publish 1.2.3 a)" '1.2.3 1.2 1 latest'
    expect_equal "$(publish 2.0.0 c)" '2.0.0 2.0 2 latest'
    latest=$(cat "$scratch/digest")
    expect_equal "$(publish 1.2.4 d)" '1.2.4 1.2 1'
    expect_equal "$(scripts/deploy/published.sh 2.0.0 2>&1)" "deploy: $IMAGE_REPOSITORY:2.0.0 does not say of which commit it is"
    expect_equal "$(publish 2.0.0 c)" '2.0.0 2.0 2 latest'
    expect_refused "2.0.0 is published already: $IMAGE_REPOSITORY@$latest" publish 2.0.0 another
    expect_refused 'manifest unknown' skopeo inspect --raw --tls-verify=false "docker://$IMAGE_REPOSITORY@$(cat "$scratch/digest")"
    expect_refused '2.0.0 is published already' scripts/release/check.sh version2.0.0
    stop_servers
    expect_refused "cannot ask $IMAGE_REPOSITORY for 2.0.0" publish 2.0.0 c
}

# ci_concluded COMMIT CONCLUSION [FIELD]...
ci_concluded() {
    commit=$1 conclusion=$2
    shift 2
    gh api repos/some/where/actions/workflows/ci.yml/runs --method POST -f head_sha="$commit" -f conclusion="$conclusion" "$@" --silent
}

releases_only_what_is_green() {
    needs gh jq openssl python3
    trap stop_servers EXIT
    start_github "$scratch" some/where
    export GH_REPO=some/where CI_POLL=0 CI_WAIT=0 CI_BEGIN=0
    ci_concluded green failure
    ci_concluded green success
    ci_concluded green cancelled -f head_branch=feature
    scripts/release/green.sh green 2>"$scratch/said"
    ci_concluded red success
    ci_concluded red failure
    expect_refused 'is not green: ci.yml says failure' scripts/release/green.sh red
    ci_concluded running success -f status=in_progress
    expect_refused 'is not green: ci.yml says running' scripts/release/green.sh running
    ci_concluded branch success -f event=workflow_dispatch
    expect_refused 'ci.yml has not run for it on main' scripts/release/green.sh branch
    expect_refused 'cannot ask for the runs of ci.yml' env GH_REPO=no/where scripts/release/green.sh green
}

pins_are_renewed_by_pull_request() {
    needs git gh jq openssl python3
    trap stop_servers EXIT
    start_github "$scratch" some/where
    export GH_REPO=some/where
    history
    git init --quiet --bare "$scratch/origin"
    git remote add origin "$scratch/origin"
    expect_equal "$(scripts/renew-pins.sh 2>&1)" 'renew-pins: nothing to renew'
    sed -i 's/^cJSON  *[^ ]*/cJSON 9.9.9/' deps/pins
    scripts/renew-pins.sh >"$scratch/said" 2>&1 || fail "$(cat "$scratch/said")"
    branch=$(git -C "$scratch/origin" branch --format '%(refname:short)')
    expect_equal "$(gh api repos/some/where/pulls --jq '.[] | "\(.head) \(.base)"')" "$branch main"
    expect_equal "$(gh api repos/some/where/actions/workflows/ci.yml/runs --jq '.workflow_runs[].head_branch')" "$branch"
    git reset --quiet --soft HEAD^
    expect_equal "$(scripts/renew-pins.sh 2>&1)" "renew-pins: there is a pull request of $branch already, open or closed"
}

run_tests tag_names_a_version releases_only_what_is_on_main newest_release_gets_the_short_names \
    next_version_depends_on_the_commits notes_list_the_commits_since_the_last_release image_has_all_platforms_and_is_reproducible \
    images_are_published_once releases_only_what_is_green pins_are_renewed_by_pull_request

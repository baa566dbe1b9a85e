#!/bin/sh
# The scripts of a release: what tag is one, what it is called, what it takes with it, and that nothing published is
# replaced. The registry and GitHub are our own (tests/support/servers.sh). Run it from the root of the project.
set -eu
. tests/support/check.sh
. tests/support/servers.sh

root=$PWD
unset NAME VERSION COMMIT DESCRIPTION SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
unset MAIN IMAGE_REPOSITORY DIGEST GITHUB_SHA BUMP PRE GITHUB_REPOSITORY
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b

# history: makes a clone in $scratch with the scripts, a branch main, and origin/main one commit behind it.
history() {
    needs git
    mkdir "$scratch/clone"
    cd "$scratch/clone"
    git init --quiet --initial-branch=main
    cp -R "$root/scripts" "$root/deps" .
    git add .
    git commit --quiet --message 'first: all of it'
    git update-ref refs/remotes/origin/main HEAD
}

# commit MESSAGE...: an empty one.
commit() {
    git commit --quiet --allow-empty --message "$1" ${2:+--message "$2"}
    git update-ref refs/remotes/origin/main HEAD
}

# expect_refused REASON COMMAND...
expect_refused() {
    reason=$1
    shift
    ! ("$@") >"$scratch/said" 2>&1 || fail "passed: $*: $(cat "$scratch/said")"
    grep -qF -- "$reason" "$scratch/said" || fail "$*: said: $(cat "$scratch/said")"
}

tag_names_a_version() {
    history
    for tag in version1.2.3 Version0.0.0 version10.20.30-rc.1 version1.0.0-alpha-b.0x; do
        git tag $tag
        expect_equal "$(scripts/release/check.sh $tag)" "version=${tag#?ersion}
commit=$(git rev-parse HEAD)
epoch=$(git log -1 --format=%ct)
prerelease=$(case $tag in *-*) echo true ;; *) echo false ;; esac)"
        git tag --delete $tag >/dev/null
    done
    for tag in version1.2 version1.2.3.4 v1.2.3 1.2.3 version01.2.3 version1.2.3+build version1.2.3-01 VERSION1.2.3 \
        versionversion1.2.3 version version1.2.3- "version1.2.3-$(printf %0130d 1 | tr 0 a)"; do
        git tag "$tag"
        expect_refused "release: tag: '$tag' is not version1.2.3 or Version1.2.3" scripts/release/check.sh "$tag"
    done
    # shellcheck disable=SC2016 # as it stands
    expect_refused "release: tag: 'version\$(touch x)' is not" scripts/release/check.sh 'version$(touch x)'
    [ ! -e x ] || fail 'a tag was run'
}

only_what_is_on_main_is_released() {
    history
    git tag version1.0.0
    scripts/release/check.sh version1.0.0 >/dev/null
    git checkout --quiet -b aside
    git commit --quiet --allow-empty --message 'aside: not merged'
    git tag version1.1.0
    expect_refused "of version1.1.0 is not on origin/main" scripts/release/check.sh version1.1.0
    MAIN=aside scripts/release/check.sh version1.1.0 >/dev/null
    expect_refused 'this clone has no branch origin/trunk' env MAIN=origin/trunk scripts/release/check.sh version1.1.0
    expect_refused 'there is no tag version9.9.9' scripts/release/check.sh version9.9.9
    expect_refused 'version1.0.0 has been moved' env GITHUB_SHA="$(git rev-parse HEAD)" scripts/release/check.sh version1.0.0
    git tag Version1.0.0 origin/main
    expect_refused '1.0.0 has the tag Version1.0.0 already' scripts/release/check.sh version1.0.0
}

# names VERSION TAG...: those that the release takes where the registry has the tags.
names() {
    version=$1
    shift
    printf '%s\n' "$@" | scripts/release/floating-tags.sh "$version" | paste -sd ' ' -
}

newest_release_has_the_short_names() {
    expect_equal "$(names 1.2.3)" '1.2.3 1.2 1 latest'
    expect_equal "$(names 1.2.3 latest 1 1.2 1.2.2 1.1.9 0.9.0)" '1.2.3 1.2 1 latest'
    expect_equal "$(names 1.2.3 1.2.4)" 1.2.3
    expect_equal "$(names 1.2.3 1.2.10 1.2.3)" 1.2.3
    expect_equal "$(names 1.2.11 1.2.10 1.2.9)" '1.2.11 1.2 1 latest'
    expect_equal "$(names 1.2.3 1.3.0)" '1.2.3 1.2'
    expect_equal "$(names 1.2.3 2.0.0)" '1.2.3 1.2 1'
    expect_equal "$(names 1.2.3 10.0.0 12.0.0 1.20.0)" '1.2.3 1.2'
    expect_equal "$(names 1.2.3 1.2.3)" '1.2.3 1.2 1 latest'
    # No pre-release holds a name, nor what is no release at all.
    expect_equal "$(names 1.2.3 1.3.0-rc.1 2.0.0-alpha sha256-abc.sig 1.2.3.4)" '1.2.3 1.2 1 latest'
    expect_equal "$(names 1.3.0-rc.1 1.2.3)" 1.3.0-rc.1
    expect_refused "VERSION: '1.2' is not" scripts/release/floating-tags.sh 1.2
}

next_version_is_what_the_commits_ask_for() {
    history
    expect_equal "$(scripts/release/next-version.sh)" 0.1.0
    expect_equal "$(PRE=rc scripts/release/next-version.sh)" 0.1.0-rc.1
    git tag version1.2.3
    commit 'a: one'
    expect_equal "$(scripts/release/next-version.sh)" 1.2.4
    commit 'b: two' 'Bump: minor'
    commit 'c: three'
    expect_equal "$(scripts/release/next-version.sh)" 1.3.0
    git tag version1.3.0-rc.9
    git tag version1.3.0-rc.10
    expect_equal "$(scripts/release/next-version.sh)" 1.3.0
    expect_equal "$(PRE=rc scripts/release/next-version.sh)" 1.3.0-rc.11
    commit 'd: four' 'Bump: major'
    commit 'e: five' 'Bump: minor'
    expect_equal "$(scripts/release/next-version.sh)" 2.0.0
    expect_equal "$(BUMP="patch" scripts/release/next-version.sh)" 1.2.4
    expect_refused "BUMP: 'huge' is not major, minor or patch" env BUMP=huge scripts/release/next-version.sh
    expect_refused "PRE: 'rc.1' is not" env PRE=rc.1 scripts/release/next-version.sh
}

notes_have_the_commits_since_the_last_release() {
    history
    expect_equal "$(scripts/release/notes.sh)" "## Changes

### first

- all of it ($(git log -1 --format=%h))"
    git tag version1.0.0
    commit 'server: answers <b>faster</b>'
    commit 'No area here: none'
    git tag version1.1.0-rc.1
    commit 'deps: newer'
    commit 'server: answers'
    git tag version1.1.0
    expect_equal "$(scripts/release/notes.sh version1.1.0 | sed 's/ ([0-9a-f]*)$//')" '## Changes since 1.0.0

### deps

- newer

### other

- No area here: none

### server

- answers
- answers &lt;b>faster&lt;/b>'
    git tag --delete version1.1.0 >/dev/null
    expect_equal "$(scripts/release/notes.sh | head -n 1)" '## Changes since 1.0.0'
    expect_equal "$(PRE=rc scripts/release/notes.sh | head -n 1)" '## Changes since 1.1.0-rc.1'
    git tag version1.1.0
    expect_equal "$(scripts/release/notes.sh version1.1.0-rc.1 | head -n 1)" '## Changes since 1.0.0'
    git tag version1.1.1-rc.1
    expect_equal "$(scripts/release/notes.sh version1.1.1-rc.1 | head -n 1)" '## Changes since 1.1.0'
    IMAGE_REPOSITORY=ghcr.io/a/b DIGEST=sha256:12 GITHUB_REPOSITORY=a/b scripts/release/notes.sh version1.1.0 >"$scratch/notes"
    for line in 'docker run -p 5000:5000 ghcr.io/a/b:1.1.0' 'gh attestation verify oci://ghcr.io/a/b@sha256:12 --repo a/b' \
        '--signer-workflow a/b/.github/workflows/publish.yml --source-ref refs/tags/version1.1.0'; do
        grep -qF -- "$line" "$scratch/notes" || fail "no line has '$line': $(cat "$scratch/notes")"
    done
}

# archive ARCHITECTURE TEXT: an image as `docker save` writes it, of one file; when it was made differs each time.
archive() {
    folder=$scratch/builds/linux-$1
    mkdir -p "$folder" "$scratch/layer"
    echo "$2" >"$scratch/layer/versiond"
    (cd "$scratch/layer" && tar --mtime=@0 --owner=0 --group=0 -cf "$folder/layer.tar" versiond)
    jq -n --arg architecture "$1" --arg now "$(date -u +%FT%T.%NZ)" --arg layer "sha256:$(sha256sum <"$folder/layer.tar" | cut -d ' ' -f 1)" \
        '{architecture: $architecture, os: "linux", created: $now, container: $now, docker_version: "1",
          config: {Entrypoint: ["/versiond"], Healthcheck: {Test: ["CMD", "/versiond", "--healthcheck"]},
            Labels: {"org.opencontainers.image.created": "2026-01-02T03:04:05Z"}},
          history: [{created: $now, created_by: "COPY"}], rootfs: {type: "layers", diff_ids: [$layer]}}' >"$folder/config.json"
    echo '[{"Config":"config.json","RepoTags":["versiond:latest"],"Layers":["layer.tar"]}]' >"$folder/manifest.json"
    (cd "$folder" && tar -cf image.tar config.json manifest.json layer.tar)
}

# archive_of_newer_engine ARCHITECTURE TEXT: the same image, in the folders of an OCI layout, its layer packed.
archive_of_newer_engine() {
    archive "$@"
    mkdir -p "$folder/blobs/sha256"
    mv "$folder/config.json" "$folder/blobs/sha256/config"
    gzip -n <"$folder/layer.tar" >"$folder/blobs/sha256/layer"
    echo '[{"Config":"blobs/sha256/config","RepoTags":null,"Layers":["blobs/sha256/layer"]}]' >"$folder/manifest.json"
    (cd "$folder" && tar -cf image.tar blobs manifest.json)
}

# blob DIGEST: of the layout.
blob() { cat "$scratch/layout/blobs/sha256/${1#sha256:}"; }

image_of_all_platforms_is_made() {
    needs skopeo jq
    archive amd64 one
    archive arm64 two
    digest=$(scripts/release/layout.sh "$scratch/layout" "$scratch/builds")
    blob "$digest" >"$scratch/index"
    expect_equal "$(jq -r '.manifests[].platform | "\(.os)/\(.architecture)"' "$scratch/index")" 'linux/amd64
linux/arm64'
    expect_equal "$(jq -r '.annotations[]' "$scratch/index")" '2026-01-02T03:04:05Z'
    for manifest in $(jq -r '.manifests[].digest' "$scratch/index"); do
        expect_equal "$(blob "$manifest" | sha256sum | cut -d ' ' -f 1)" "${manifest#sha256:}"
        blob "$(blob "$manifest" | jq -r .config.digest)" >"$scratch/config"
        expect_equal "$(jq -c '[.config.Healthcheck.Test[2], .created, .history[].created, .container, .docker_version]' "$scratch/config")" \
            '["--healthcheck","2026-01-02T03:04:05Z","2026-01-02T03:04:05Z",null,null]'
        expect_equal "$(blob "$(blob "$manifest" | jq -r '.layers[].digest')" | gunzip | sha256sum | cut -d ' ' -f 1)" \
            "$(jq -r '.rootfs.diff_ids[] | ltrimstr("sha256:")' "$scratch/config")"
    done
    # The same build at another time is the same image.
    archive amd64 one
    expect_equal "$(scripts/release/layout.sh "$scratch/again" "$scratch/builds")" "$digest"
    archive_of_newer_engine amd64 one
    expect_equal "$(scripts/release/layout.sh "$scratch/newer" "$scratch/builds")" "$digest"
    archive amd64 three
    [ "$(scripts/release/layout.sh "$scratch/other" "$scratch/builds")" != "$digest" ] || fail 'the same digest for another image'
}

image_of_another_platform_is_refused() {
    needs skopeo jq
    archive amd64 one
    mv "$scratch/builds/linux-amd64" "$scratch/builds/linux-arm64"
    expect_refused 'image.tar: an image for linux-amd64, not linux-arm64' \
        scripts/release/layout.sh "$scratch/layout" "$scratch/builds"
    expect_refused 'no folder of a platform' scripts/release/layout.sh "$scratch/layout" "$scratch/layer"
}

# publish VERSION TEXT: an image of its own.
publish() {
    archive amd64 "$2"
    rm -rf "$scratch/layout"
    scripts/release/layout.sh "$scratch/layout" "$scratch/builds" >"$scratch/digest"
    scripts/release/push.sh "$scratch/layout" "$registry/team/versiond" "$1" >"$scratch/pushed"
    expect_equal "$(cat "$scratch/pushed")" "$(cat "$scratch/digest")"
    scripts/release/tag.sh "$registry/team/versiond" "$(cat "$scratch/digest")" "$1" | sed 's/.*versiond:\([^ ]*\) is .*/\1/' | paste -sd ' ' -
}

images_are_published_once() {
    needs skopeo jq docker-registry
    trap stop_servers EXIT
    start_registry "$scratch"
    expect_equal "$(publish 1.2.3 a)" '1.2.3 1.2 1 latest'
    first=$(cat "$scratch/digest")
    expect_equal "$(publish 2.0.0-rc.1 b)" 2.0.0-rc.1
    expect_equal "$(publish 2.0.0 c)" '2.0.0 2.0 2 latest'
    latest=$(cat "$scratch/digest")
    expect_equal "$(publish 1.2.4 d)" '1.2.4 1.2 1'
    for name in 1.2.3 latest; do
        skopeo inspect --raw --tls-verify=false "docker://$registry/team/versiond:$name" | sha256sum | cut -d ' ' -f 1
    done >"$scratch/named"
    expect_equal "$(cat "$scratch/named")" "${first#sha256:}
${latest#sha256:}"
    # The same again changes nothing; another under that version is refused before it is pushed.
    expect_equal "$(publish 2.0.0 c)" '2.0.0 2.0 2 latest'
    expect_refused "2.0.0 is published already: $registry/team/versiond@$latest" publish 2.0.0 another
    ! skopeo inspect --raw --tls-verify=false "docker://$registry/team/versiond@$(cat "$scratch/digest")" >"$scratch/raw" 2>&1 ||
        fail 'it was pushed all the same'
    expect_refused "2.0.0 is published already" scripts/release/tag.sh "$registry/team/versiond" "$first" 2.0.0
    stop_servers
    expect_refused "cannot ask $registry/team/versiond for 2.0.0" publish 2.0.0 c
}

published_version_is_not_released_again() {
    needs skopeo jq docker-registry
    trap stop_servers EXIT
    start_registry "$scratch"
    publish 1.2.3 a >"$scratch/names"
    history
    git tag version1.2.3
    git tag version1.2.4
    expect_refused '1.2.3 is published already' env IMAGE_REPOSITORY="$registry/team/versiond" scripts/release/check.sh version1.2.3
    IMAGE_REPOSITORY=$registry/team/versiond scripts/release/check.sh version1.2.4 >"$scratch/said"
}

# What GitHub's registry says of a repository that is not there yet, and what one says that is out of order.
registry_without_the_repository_yet_has_nothing() {
    history
    git tag version1.2.3
    mkdir "$scratch/bin"
    # shellcheck disable=SC2016 # of the script
    printf '#!/bin/sh\necho "$SAYS" >&2\nexit 1\n' >"$scratch/bin/skopeo"
    chmod +x "$scratch/bin/skopeo"
    export PATH="$scratch/bin:$PATH" IMAGE_REPOSITORY=ghcr.io/team/versiond
    for says in 'reading manifest 1.2.3 in ghcr.io/team/versiond: denied' 'received unexpected HTTP status: 403 Forbidden' \
        'requested access to the resource is denied' \
        'Requesting bearer token: invalid status code from registry 403 (Forbidden)' 'manifest unknown' 'name unknown'; do
        SAYS=$says scripts/release/check.sh version1.2.3 >"$scratch/said"
    done
    expect_refused 'cannot ask ghcr.io/team/versiond for 1.2.3: received unexpected HTTP status: 503' \
        env SAYS='received unexpected HTTP status: 503' scripts/release/check.sh version1.2.3
    expect_refused 'cannot ask ghcr.io/team/versiond for 1.2.3: open auth.json: permission denied' \
        env SAYS='open auth.json: permission denied' scripts/release/check.sh version1.2.3
}

# ci_said COMMIT CONCLUSION [FIELD]...
ci_said() {
    commit=$1 conclusion=$2
    shift 2
    gh api repos/some/where/actions/workflows/ci.yml/runs --method POST -f head_sha="$commit" -f conclusion="$conclusion" \
        "$@" --silent
}

only_what_is_green_is_released() {
    needs gh jq openssl python3
    trap stop_servers EXIT
    start_github "$scratch" some/where
    export GH_REPO=some/where CI_POLL=0 CI_WAIT=0 CI_BEGIN=0
    green=$(printf %040d 1) red=$(printf %040d 2) none=$(printf %040d 3) running=$(printf %040d 4) branch=$(printf %040d 5)
    ci_said "$green" failure
    ci_said "$green" success
    # A branch that was made of the same commit, whose run a newer push has ended.
    ci_said "$green" cancelled -f head_branch=feature
    scripts/release/green.sh "$green" 2>"$scratch/said"
    ci_said "$red" success
    ci_said "$red" failure
    expect_refused 'is not green: ci.yml says failure' scripts/release/green.sh "$red"
    expect_refused 'is not green: ci.yml has not run for it on main' scripts/release/green.sh "$none"
    ci_said "$running" success -f status=in_progress
    expect_refused 'is not green: ci.yml says running' scripts/release/green.sh "$running"
    # Neither another branch nor a run that somebody asked for counts.
    ci_said "$branch" success -f head_branch=feature
    ci_said "$branch" success -f event=workflow_dispatch
    expect_refused 'ci.yml has not run for it on main' scripts/release/green.sh "$branch"
    MAIN=feature scripts/release/green.sh "$branch" 2>"$scratch/said"
    expect_refused 'cannot ask for the runs of ci.yml' env GH_REPO=no/where scripts/release/green.sh "$green"
    # It waits for what has not begun, and what is not completed.
    (
        until grep -q "runs?.*$none" "$scratch/requests"; do sleep 0.05; done
        ci_said "$none" success
    ) &
    CI_POLL=1 CI_BEGIN=60 scripts/release/green.sh "$none" 2>"$scratch/said"
    wait $!
}

# Else it would be released as not the latest, and nobody would know why.
release_is_not_made_when_the_registry_cannot_be_asked() {
    needs git gh jq openssl python3 skopeo
    trap stop_servers EXIT
    start_github "$scratch" some/where
    history
    git tag version1.2.3
    gh api repos/some/where/tags --method POST -f name=version1.2.3 --silent
    mkdir "$scratch/assets"
    echo a >"$scratch/assets/a"
    expect_refused 'cannot ask 127.0.0.1:1/team/versiond for latest' env GH_REPO=some/where GITHUB_REPOSITORY=some/where \
        IMAGE_REPOSITORY=127.0.0.1:1/team/versiond DIGEST=sha256:12 \
        scripts/release/github.sh version1.2.3 "$scratch/assets"
    expect_equal "$(gh api repos/some/where/releases --jq length)" 0
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
    expect_equal "$(git -C "$scratch/origin" show --format=%s --name-only "$branch")" 'deps: renew the pins

deps/pins'
    expect_equal "$(gh api 'repos/some/where/pulls?state=all' --jq '.[] | "\(.head) \(.base) \(.body | contains("- cJSON"))"')" "$branch main true"
    expect_equal "$(gh api repos/some/where/actions/workflows/ci.yml/runs --jq '.workflow_runs[].head_branch')" "$branch"
    # Nobody is asked twice.
    git reset --quiet --soft HEAD^
    expect_equal "$(scripts/renew-pins.sh 2>&1)" "renew-pins: there is a pull request of $branch already, open or closed"
}

# prepare VARIABLE=VALUE...
prepare() {
    : >"$scratch/env"
    env REGISTRY=ghcr.io GITHUB_REPOSITORY=Team/Versiond GITHUB_SERVER_URL=https://github.com GITHUB_RUN_ID=7 \
        GITHUB_ENV="$scratch/env" REGISTRY_TOKEN= "$@" scripts/workflow-prepare.sh
}

names_of_images_are_derived() {
    prepare >"$scratch/said"
    expect_equal "$(cat "$scratch/env")" 'IMAGE_REPOSITORY=ghcr.io/team/versiond
TOOLCHAIN_IMAGE=ghcr.io/team/versiond-toolchain
SOURCE_URL=https://github.com/Team/Versiond
BUILD_URL=https://github.com/Team/Versiond/actions/runs/7'
    prepare REGISTRY=registry.example:5000/apps >"$scratch/said"
    expect_equal "$(head -n 1 "$scratch/env")" 'IMAGE_REPOSITORY=registry.example:5000/apps/team/versiond'
    expect_refused "REGISTRY: 'Ghcr.io' is not a registry" prepare REGISTRY=Ghcr.io
    expect_refused "GITHUB_REPOSITORY: 'team' is not" prepare GITHUB_REPOSITORY=team
    expect_refused 'REGISTRY: ' prepare REGISTRY='ghcr.io
PATH=/tmp'
    expect_equal "$(cat "$scratch/env")" ''
}

run_tests tag_names_a_version only_what_is_on_main_is_released newest_release_has_the_short_names \
    next_version_is_what_the_commits_ask_for notes_have_the_commits_since_the_last_release image_of_all_platforms_is_made \
    image_of_another_platform_is_refused images_are_published_once published_version_is_not_released_again \
    registry_without_the_repository_yet_has_nothing \
    only_what_is_green_is_released release_is_not_made_when_the_registry_cannot_be_asked \
    pins_are_renewed_by_pull_request names_of_images_are_derived

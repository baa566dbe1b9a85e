#!/bin/bash
# ci.yml and publish.yml, run for real: by act on this machine, with a registry and a GitHub of our own, from `git tag`
# in a scratch clone to `docker pull`. Only what wants GitHub's identity is left out (SIGN=false), and the
# architectures of other machines. Takes minutes, an engine (scripts/with-engine.sh) and act (scripts/tools.sh), so
# `make test` leaves it out. Run it from the root of the project, with all that is to be tested committed.
# Environment: DOCKER (docker).
set -eu
. tests/support/check.sh
. tests/support/servers.sh

root=$PWD
export BASE=versiond-base:trixie DOCKER="${DOCKER:-docker}"
unset VERSION COMMIT DESCRIPTION NAME SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
unset GITHUB_REPOSITORY GITHUB_ACTIONS TOOLCHAIN TOOLCHAIN_IMAGE CDPATH

# A name with capitals, as GitHub allows and registries do not.
github_name=Team/Versiond
architecture=$("$DOCKER" version --format '{{ .Server.Arch }}')
work=$(mktemp -d)
registry=

finish() {
    stop_servers
    "$DOCKER" image ls --digests --filter reference="$registry/*/*" \
        --format '{{ .Repository }}{{ if eq .Tag "<none>" }}@{{ .Digest }}{{ else }}:{{ .Tag }}{{ end }}' | sort -u |
        xargs -r "$DOCKER" image rm >/dev/null
    rm -rf "$work"
}

# wait_for COMMAND...: until it succeeds, for at most a minute.
wait_for() {
    tries=600
    until "$@" 2>/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || {
            echo "gave up waiting for: $*" >&2
            exit 1
        }
        sleep 0.1
    done
}

# github PATH FLAG...: asks it about the repository.
github() {
    local path=$1
    shift
    gh api "repos/$github_name/$path" "$@"
}

# --- the scratch clone ---

# A clone whose origin has the branch main, of what is committed here.
make_clone() {
    git init --quiet --bare --initial-branch=main "$work/origin"
    git push --quiet "$work/origin" HEAD:refs/heads/main
    git clone --quiet --no-tags "$work/origin" "$work/clone"
    cd "$work/clone"
    git config user.name Somebody
    git config user.email somebody@example.org
    git config commit.gpgsign false
    git config tag.gpgsign false
    # act takes the repository's name from here.
    git remote set-url origin "https://git.example/$github_name"
    git remote set-url --push origin "$work/origin"
}

# commit MESSAGE: on the branch that is checked out, and on origin's.
commit() {
    git commit --quiet --all --allow-empty --message "$1"
    git push --quiet origin HEAD
}

# tag NAME: of HEAD, here and on origin and GitHub.
tag() {
    git tag "$1"
    git push --quiet origin "$1"
    github tags --method POST -f name="$1" --silent
}

# ci_said CONCLUSION: has GitHub say that of ci.yml for HEAD, as the main branch.
ci_said() { github actions/workflows/ci.yml/runs --method POST -f head_sha="$(git rev-parse HEAD)" -f conclusion="$1" --silent; }

# --- the workflows ---

# act FILE REF: runs a workflow as a push of REF would. Its output is in work/output.
act() {
    rm -f "$work/github/artifacts/"*
    printf '{"ref": "%s", "repository": {"default_branch": "main"}}' "$2" >"$work/event.json"
    "$act" push --workflows ".github/workflows/$1" --eventpath "$work/event.json" --platform ubuntu-24.04=-self-hosted \
        --github-instance git.example --env-file /dev/null --var-file /dev/null --secret-file /dev/null \
        --local-repository "$(grep -hoE 'actions/upload-artifact@[0-9a-f]+' .github/workflows/*.yml | sort -u)=$root/tests/support/upload-artifact" \
        --var SIGN=false --var KIND=false --var DEPLOY=true --var REGISTRY="$registry" --var BASE_IMAGE="$BASE" \
        --var PLATFORMS="[{\"architecture\": \"$architecture\", \"runner\": \"ubuntu-24.04\"}]" \
        --env DOCKER_HOST="${DOCKER_HOST-}" --env GH_HOST="$GH_HOST" --env GH_ENTERPRISE_TOKEN=any \
        --env GH_CONFIG_DIR="$GH_CONFIG_DIR" --env SSL_CERT_FILE="$SSL_CERT_FILE" \
        --env TOOLS_DIR="$tools" --env ARTIFACT_STORE="$work/github/artifacts" \
        --env CI_POLL=1 --env CI_WAIT=3 --env CI_BEGIN=3 >"$work/output" 2>&1
}

said() { grep -qF -- "$1" "$work/output" || fail "did not say '$1': $(tail -n 60 "$work/output")"; }

# durations: prints how long the steps took, for those who read the log.
durations() { grep -oE '^\[[^]]*\].*Success - Main [A-Z].*\[[0-9.ms]+s\]' "$work/output" | sed 's/  *✅  Success - Main / /'; }

# expect_refused REASON FILE REF: the workflow fails and says REASON, and nothing is published by it.
expect_refused() {
    local reason=$1 before after
    before=$(published)
    shift
    ! act "$@" || fail "$* has passed: $(tail -n 60 "$work/output")"
    said "$reason"
    after=$(published)
    expect_equal "$after" "$before"
}

# published: all that strangers can see, names of the image with their digests and releases.
published() {
    if curl -sf "http://$registry/v2/team/versiond/tags/list" >"$work/tags"; then
        jq -r '.tags[]?' "$work/tags" | sort | while read -r name; do
            echo "$name $(skopeo inspect --raw --tls-verify=false "docker://$repository:$name" | sha256sum)"
        done
    fi
    github releases --jq '.[] | "\(.tag_name) draft: \(.draft)"'
}

# --- tests, each after the one before it ---

# Without lint and the tests of the image, which take minutes: container.sh has run them, and gates.sh sees that they stop an
# image.
ci_is_green() {
    sed -i -E '/^RUN make .* (lint-source|test)$/d' Dockerfile
    sed -i 's/run: make dev-make TARGETS=lint-source$/run: "true"/' .github/workflows/ci.yml
    commit 'image: without its tests'
    act ci.yml refs/heads/main || fail "$(tail -n 80 "$work/output")"
    durations
    said '0 failed'
    said '| 100 % | 100 % |'
    expect_equal "$(cd "$work/github/artifacts" && echo *)" 'artifacts.zip coverage.zip tests.zip'
    ci_said success
}

tag_becomes_a_release() {
    tag version0.1.0
    act publish.yml refs/tags/version0.1.0 || fail "$(tail -n 80 "$work/output")"
    durations
    "$DOCKER" pull --quiet "$repository:0.1.0" >/dev/null
    container=$("$DOCKER" run --detach --read-only --cap-drop ALL --publish 127.0.0.1::5000 "$repository:0.1.0")
    wait_for curl -sfo "$work/version" "http://$("$DOCKER" port "$container" 5000/tcp | head -n 1)/version"
    "$DOCKER" rm --force "$container" >/dev/null
    expect_equal "$(jq -r '.version, .commit, .source' "$work/version")" "0.1.0
$(git rev-parse HEAD)
https://git.example/$github_name"
    for name in 0.1 0 latest; do
        expect_equal "$(published | grep "^$name " | cut -d ' ' -f 2)" "$(published | grep '^0.1.0 ' | cut -d ' ' -f 2)"
    done
}

release_has_its_assets() {
    github releases --jq '.[0]' >"$work/release"
    expect_equal "$(jq -r '"\(.tag_name) \(.name) \(.draft) \(.prerelease) \(.make_latest)"' "$work/release")" \
        'version0.1.0 0.1.0 false false true'
    program=versiond-0.1.0-linux-$architecture
    expect_equal "$(jq -r '.assets[].name' "$work/release" | sort)" "$(printf '%s\n' SHA256SUMS licenses.txt "$program" \
        "$program.cdx.json" "$program.debug" versiond-0.1.0-source.tar.gz | sort)"
    python3 -m zipfile --extract "$work/github/artifacts/assets.zip" "$work/assets"
    (cd "$work/assets" && sha256sum --quiet --check SHA256SUMS)
    expect_equal "$(jq -r '.assets[] | "\(.digest | ltrimstr("sha256:"))  \(.name)"' "$work/release" | grep -v SHA256SUMS | sort -k 2)" \
        "$(sort -k 2 "$work/assets/SHA256SUMS")"
    chmod +x "$work/assets/$program"
    expect_equal "$("$work/assets/$program" --version | head -n 1)" "versiond 0.1.0"
    jq -r .body "$work/release" | grep -qF "docker run -p 5000:5000 $repository:0.1.0" || fail 'the notes do not name the image'
}

release_again_changes_nothing() {
    expect_refused '0.1.0 is published already' publish.yml refs/tags/version0.1.0
}

# Once: those that came to nothing started none.
release_starts_its_deployment() {
    digest=$(published | sed -n 's/^0.1.0 \([0-9a-f]*\) .*/\1/p')
    expect_equal "$(github actions/workflows/deploy.yml/runs --jq '.workflow_runs[] | "\(.head_branch) \(.inputs.version) \(.inputs.digest)"')" \
        "version0.1.0 0.1.0 sha256:$digest"
}

malformed_tag_is_refused() {
    tag version0.2
    expect_refused "tag: 'version0.2' is not version1.2.3 or Version1.2.3" publish.yml refs/tags/version0.2
}

tag_off_main_is_refused() {
    git checkout --quiet -b aside
    commit 'aside: not merged'
    ci_said success
    tag version0.2.0
    expect_refused 'is not on origin/main' publish.yml refs/tags/version0.2.0
    git checkout --quiet main
}

# It also ends the jobs that would come after. The one beside it, and the other tests, have nothing to find and take minutes.
broken_unit_test_is_refused() {
    sed -i -e 's/run: make lint-delivery lint-kubernetes WERROR=0$/run: "true"/' -e 's/^          make delivery-test$/          true/' \
        .github/workflows/ci.yml
    git ls-files 'tests/*/test_*' tests/fuzz | grep -v unit/test_handlers.c | xargs git rm --quiet
    sed -i 's/"Method Not Allowed"/"Not Allowed"/' src/handlers.c
    commit 'handlers: broken'
    expect_refused 'test_handlers.c' ci.yml refs/heads/main
    said 'test_handlers: exit status'
    said 'ci: the jobs ended with: '
    ci_said failure
    tag version0.3.0
    expect_refused 'is not green: ci.yml says failure' publish.yml refs/tags/version0.3.0
}

# The image's labels are right, and its program says something else.
image_with_another_version_is_refused() {
    git revert --no-edit HEAD >/dev/null
    # shellcheck disable=SC2016 # of the Dockerfile
    sed -i 's/^ENV VERSION=$VERSION /ENV VERSION=9.9.9 /' Dockerfile
    commit 'image: another version'
    ci_said success
    tag version0.4.0
    expect_refused 'smoke: body of GET /version' publish.yml refs/tags/version0.4.0
    said '"version":"9.9.9"'
}

# What is wrong is found at the latest where it is pulled from; until then it has a digest and no name.
image_that_the_registry_serves_is_run() {
    sed -i '/- name: Run it, and compare/,+1d' .github/workflows/publish.yml
    commit 'publish: does not run what it builds'
    ci_said success
    tag version0.5.0
    expect_refused '[publish/verify' publish.yml refs/tags/version0.5.0
    said '"version":"9.9.9"'
    grep -q 'publish/verify.*Failure - Main Pull it, run it' "$work/output" || fail "another job: $(tail -n 60 "$work/output")"
}

release_for_another_architecture() { skip "the images of $architecture alone: others want a machine of their kind"; }

find_act
# Each job has a tree of its own; the tools are made once.
tools=${TOOLS_DIR:-$root/build/tools}
for tool in docker-registry skopeo gh jq curl openssl python3; do
    command -v $tool >/dev/null || { echo "workflows: missing: $tool" >&2; exit 1; }
done
trap finish EXIT
start_registry "$work"
repository=$registry/team/versiond
mkdir "$work/github"
start_github "$work/github" $github_name
# The jobs talk to others, too.
cat /etc/ssl/certs/ca-certificates.crt "$SSL_CERT_FILE" >"$work/certificates"
SSL_CERT_FILE=$work/certificates
# What the workflows would pull, or build in a minute.
"$DOCKER" image inspect "$BASE" >/dev/null 2>&1 || make base-image
"$DOCKER" tag "$(make -s toolchain-image)" "$(scripts/toolchain-image.sh "$repository-toolchain" name)"
make_clone
run_tests ci_is_green tag_becomes_a_release release_has_its_assets release_again_changes_nothing \
    release_starts_its_deployment malformed_tag_is_refused \
    tag_off_main_is_refused broken_unit_test_is_refused image_with_another_version_is_refused \
    image_that_the_registry_serves_is_run release_for_another_architecture

#!/bin/bash
# Tests ci.yml and publish.yml by running them with act, a local registry and a simulated GitHub: from `git tag` in a scratch
# clone to `docker pull`. Omits what needs GitHub's identity (SIGN=false) and other architectures. Takes minutes, and requires an
# engine (scripts/with-engine.sh), so `make test` omits it. Run it from the root of the project; it tests the committed files.
# Environment: DOCKER (docker).
set -eu
. tests/support/check.sh
. tests/support/servers.sh

root=$PWD
export BASE=versiond-base:trixie DOCKER="${DOCKER:-docker}"
unset VERSION COMMIT DESCRIPTION NAME SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
unset GITHUB_REPOSITORY GITHUB_ACTIONS TOOLCHAIN TOOLCHAIN_IMAGE CDPATH

# With capitals, which GitHub allows and registries do not.
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

# github PATH FLAG...: requests a path of the repository.
github() {
    local path=$1
    shift
    gh api "repos/$github_name/$path" "$@"
}

# make_clone: makes and enters a clone of what is committed here, whose origin has the branch main.
make_clone() {
    git init --quiet --bare --initial-branch=main "$work/origin"
    git push --quiet "$work/origin" HEAD:refs/heads/main
    git clone --quiet --no-tags "$work/origin" "$work/clone"
    cd "$work/clone"
    git config user.name Somebody
    git config user.email somebody@example.org
    # act derives the name of the repository from this URL.
    git remote set-url origin "https://git.example/$github_name"
    git remote set-url --push origin "$work/origin"
}

# commit MESSAGE CONCLUSION: commits and pushes everything; on GitHub ci.yml has this conclusion.
commit() {
    git commit --quiet --all --message "$1"
    git push --quiet origin HEAD
    github actions/workflows/ci.yml/runs --method POST -f head_sha="$(git rev-parse HEAD)" -f conclusion="$2" --silent
}

# tag NAME: tags HEAD, here, on origin and on GitHub.
tag() {
    git tag "$1"
    git push --quiet origin "$1"
    github git/ref/tags --method POST -f name="$1" --silent
}

# act FILE REF: runs a workflow as a push of REF does. The output is in work/output.
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

expect_said() { grep -qF -- "$1" "$work/output" || fail "expected '$1': $(tail -n 60 "$work/output")"; }

# expect_refused TEXT FILE REF: the workflow fails, prints TEXT and publishes nothing.
expect_refused() {
    local text=$1 before after
    before=$(published)
    shift
    ! act "$@" || fail "$* has passed: $(tail -n 60 "$work/output")"
    expect_said "$text"
    after=$(published)
    expect_equal "$after" "$before"
}

# published: prints the tags of the image and the releases.
published() {
    curl -sf "http://$registry/v2/team/versiond/tags/list" | jq -rc '.tags // [] | sort'
    github releases --jq '.[] | "\(.tag_name) draft: \(.draft)"'
}

# --- tests, each of which depends on the one before it ---

# Without linters and the tests of the image, which take minutes and which container.sh runs.
ci_is_green() {
    sed -i -E '/^RUN make .* (lint-source|test)$/d' Dockerfile
    sed -i 's/run: make dev-make TARGETS=lint-source$/run: "true"/' .github/workflows/ci.yml
    commit 'image: without its tests' success
    act ci.yml refs/heads/main || fail "$(tail -n 80 "$work/output")"
    expect_said '0 failed'
    expect_said '| 100 % | 100 % |'
    expect_equal "$(cd "$work/github/artifacts" && echo *)" 'artifacts.zip coverage.zip tests.zip'
}

tag_becomes_a_release_and_starts_its_deployment() {
    tag version0.1.0
    act publish.yml refs/tags/version0.1.0 || fail "$(tail -n 80 "$work/output")"
    "$DOCKER" pull --quiet "$repository:0.1.0" >/dev/null
    expect_equal "$("$DOCKER" run --rm "$repository:0.1.0" --version | head -n 2 | cut -d , -f 1)" "versiond 0.1.0
commit $(git rev-parse HEAD)"
    expect_equal "$(published)" '["0","0.1","0.1.0","latest"]
version0.1.0 draft: false'
    github releases --jq '.[0]' >"$work/release"
    python3 -m zipfile --extract "$work/github/artifacts/assets.zip" "$work/assets"
    (cd "$work/assets" && sha256sum --quiet --check SHA256SUMS)
    expect_equal "$(jq -r '.assets[] | "\(.digest | ltrimstr("sha256:"))  \(.name)"' "$work/release" | grep -v SHA256SUMS | sort -k 2)" \
        "$(sort -k 2 "$work/assets/SHA256SUMS")"
    expect_equal "$(github actions/workflows/deploy.yml/runs --jq '.workflow_runs[] | "\(.head_branch) \(.inputs.version)"')" 'version0.1.0 0.1.0'
    expect_refused '0.1.0 is published already' publish.yml refs/tags/version0.1.0
}

# Without the job beside it and the other tests, which take minutes.
broken_unit_test_is_refused() {
    sed -i -e 's/run: make lint-delivery lint-kubernetes WERROR=0$/run: "true"/' -e 's/^          make delivery-test$/          true/' \
        .github/workflows/ci.yml
    git ls-files 'tests/*/test_*' tests/fuzz | grep -v unit/test_handlers.c | xargs git rm --quiet
    sed -i 's/reply_create_problem(405,/reply_create_problem(404,/' src/handlers.c
    commit 'handlers: broken' failure
    expect_refused 'FAILED test_handlers: ' ci.yml refs/heads/main
    expect_said 'Failure - Main Each job has succeeded'
    tag version0.3.0
    expect_refused 'is not green: ci.yml says failure' publish.yml refs/tags/version0.3.0
}

image_with_another_version_is_refused() {
    git revert --no-edit HEAD >/dev/null
    # shellcheck disable=SC2016 # of the Dockerfile
    sed -i 's/^ENV VERSION=$VERSION /ENV VERSION=9.9.9 /' Dockerfile
    commit 'image: another version' success
    tag version0.4.0
    expect_refused 'smoke: body of GET /version' publish.yml refs/tags/version0.4.0
}

find_act
# Each job has a tree of its own; they share the tools.
tools=${TOOLS_DIR:-$root/build/tools}
for tool in docker-registry skopeo gh jq curl openssl python3; do
    command -v $tool >/dev/null || { echo "workflows: missing: $tool" >&2; exit 1; }
done
trap finish EXIT
start_registry "$work"
repository=$registry/team/versiond
mkdir "$work/github"
start_github "$work/github" $github_name
# The jobs also talk to other servers.
cat /etc/ssl/certs/ca-certificates.crt "$SSL_CERT_FILE" >"$work/certificates"
SSL_CERT_FILE=$work/certificates
"$DOCKER" image inspect "$BASE" >/dev/null 2>&1 || make base-image
"$DOCKER" tag "$(make -s toolchain-image)" "$(scripts/toolchain-image.sh "$repository-toolchain" name)"
make_clone
run_tests ci_is_green tag_becomes_a_release_and_starts_its_deployment broken_unit_test_is_refused \
    image_with_another_version_is_refused

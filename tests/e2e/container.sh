#!/bin/sh
# The images, from the base to the program in its container, as docs/build.md says they work. Takes
# minutes and an engine (scripts/with-engine.sh), so `make test` leaves it out. Run it from the root of
# the project, with a clean tree.
# Environment: DOCKER (docker).
set -eu
. tests/support/check.sh
. tests/support/servers.sh

root=$PWD
export BASE=versiond-base:trixie DOCKER="${DOCKER:-docker}"
toolchain_name=$(sed -n 's/^NAME *= *//p' Makefile)-toolchain
unset VERSION COMMIT DESCRIPTION NAME SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
image=versiond-container-test
trap '"$DOCKER" image rm $image $image-offline $image-buildkit $image-artifacts >/dev/null 2>&1 || echo "some images were not made"' EXIT

# quietly COMMAND...: shows the output only of what fails.
quietly() {
    "$@" >"$scratch/output" 2>&1 || fail "$*: $(tail -n 40 "$scratch/output")"
}

# file_of IMAGE FILE: prints a file of an image.
file_of() {
    container=$("$DOCKER" create "$1" none)
    "$DOCKER" cp "$container:$2" - | tar -xO
    "$DOCKER" rm "$container" >/dev/null
}

base_is_made_from_the_archive() {
    quietly make base-image BASE="$BASE"
    quietly "$DOCKER" run --rm "$BASE" sh -c 'grep -q ^ID=debian /etc/os-release && apt-get update -qq'
}

# This machine's own mirror, given as another, is all that apt then knows.
given_mirror_replaces_those_of_the_base() {
    # shellcheck disable=SC2016 # lib.sh is sourced from deps/, where it finds itself
    mirror=$(sh -c 'cd deps && . ./lib.sh && archive_mirrors Debian' | head -n 1)
    security=$(sh -c 'cd deps && . ./lib.sh && archive_mirrors Debian-Security' | head -n 1)
    cat >"$scratch/script" <<'SCRIPT'
echo 'deb http://nowhere.invalid/debian trixie main' >/etc/apt/sources.list.d/base.list
deps/debian-mirror.sh --install
apt-get update -qq --error-on=any
apt-get indextargets --format '$(REPO_URI) $(SUITE)' 'Created-By: Packages' >&2
SCRIPT
    quietly "$DOCKER" run --rm --interactive --env DEBIAN_MIRROR="$mirror" --env DEBIAN_SECURITY_MIRROR="$security" \
        --mount "type=bind,source=$root/deps,target=/deps,readonly" "$BASE" sh -euc "$(cat "$scratch/script")"
    expect_equal "$(grep -c -e "^${mirror%/}/\{0,1\} " -e "^${security%/}/\{0,1\} " "$scratch/output")" 3
}

toolchain_is_named_by_what_defines_it() {
    quietly make toolchain-image
    name=$(make -s toolchain-image)
    "$DOCKER" image inspect "$name" >/dev/null
    git ls-files -z | xargs -0 cp --parents -t "$scratch"
    cd "$scratch"
    echo >>src/main.c
    expect_equal "$(scripts/toolchain-image.sh "$toolchain_name" name)" "$name"
    echo '# changed' >>deps/pins
    [ "$(scripts/toolchain-image.sh "$toolchain_name" name)" != "$name" ] || fail 'the same name for other pins'
    cp "$root/deps/pins" deps/
    [ "$(BASE=another scripts/toolchain-image.sh "$toolchain_name" name)" != "$name" ] ||
        fail 'the same name for another base'
    [ "$(DEBIAN_MIRROR=http://a/debian scripts/toolchain-image.sh "$toolchain_name" name)" != "$name" ] ||
        fail 'the same name for another mirror'
}

# expect_built NAME REASON: the image cannot be pulled, which is said in a line, and is built.
expect_built() {
    make -s toolchain-image TOOLCHAIN_IMAGE="$1" >"$scratch/name" 2>"$scratch/errors" || fail "$(cat "$scratch/errors")"
    expect_equal "$(grep -c '^toolchain-image: ' "$scratch/errors")" 1
    grep "^toolchain-image: built, as it could not be pulled: .*$2" "$scratch/errors" >/dev/null ||
        fail "not with '$2': $(cat "$scratch/errors")"
    expect_equal "$("$DOCKER" image inspect --format '{{ .Id }}' "$(cat "$scratch/name")")" \
        "$("$DOCKER" image inspect --format '{{ .Id }}' "$(make -s toolchain-image)")"
    "$DOCKER" image rm "$(cat "$scratch/name")" >/dev/null
}

# What is pulled is small, and shows that it was not built.
toolchain_is_pulled_from_a_registry() {
    command -v docker-registry >/dev/null || skip 'docker-registry is not installed'
    trap stop_servers EXIT
    start_registry "$scratch"
    name=$registry/team/$toolchain_name
    pushed=$(scripts/toolchain-image.sh "$name" name)
    mkdir "$scratch/context"
    printf 'FROM scratch\nCOPY Dockerfile /\nLABEL small=yes\n' >"$scratch/context/Dockerfile"
    quietly "$DOCKER" build --tag "$pushed" "$scratch/context"
    quietly "$DOCKER" push "$pushed"
    quietly "$DOCKER" image rm "$pushed"
    quietly make -s toolchain-image TOOLCHAIN_IMAGE="$name"
    expect_equal "$(cat "$scratch/output")" "$pushed"
    expect_equal "$("$DOCKER" image inspect --format '{{ .Config.Labels.small }}' "$pushed")" yes
    quietly "$DOCKER" image rm "$pushed"
    expect_built "$registry/team/another" 'not found\|unknown'
    stop_servers
    expect_built "$name" 'connection refused'
}

# buildkit_client: prints a client that has BuildKit. One that leaves it to buildx may lack that.
buildkit_client() {
    for client in "$DOCKER" /usr/bin/docker; do
        if printf 'FROM scratch\nLABEL a=b\n' | DOCKER_BUILDKIT=1 "$client" build --quiet - >/dev/null 2>&1; then
            echo "$client"
            return
        fi
    done
    return 1
}

# With what an operator would put into a release, none of it harmless to a shell.
image_is_built_without_a_network() {
    TOOLCHAIN=$(make -s toolchain-image)
    export TOOLCHAIN VERSION=1.2.3 SOURCE_URL=https://example.org/team/versiond BUILD_URL=https://example.org/42
    if client=$(buildkit_client); then export DOCKER="$client" DOCKER_BUILDKIT=1; fi
    # shellcheck disable=SC2016 # as it stands
    export DESCRIPTION='It'\''s "quoted" \ $HOME `id` ümlaut' AUDIT_OFFLINE=1 RELEASE=1
    export COMMIT=0123456789abcdef0123456789abcdef01234567 SOURCE_DATE_EPOCH=1700000000
    # Not what takes most of the time: make has no network in dev-make either, see workflows.sh.
    sed -e '/^RUN .*lint-source$/d' -e '/^RUN .* SANITIZE=/d' Dockerfile >"$scratch/Dockerfile"
    quietly make docker-build IMAGE=$image-offline DOCKER_FLAGS="--network none --file $scratch/Dockerfile"
    quietly make smoke IMAGE=$image-offline
}

image_is_built_with_its_tests() {
    quietly env DOCKER_BUILDKIT=0 make docker-build IMAGE=$image
    quietly make smoke IMAGE=$image
    quietly env DOCKER_BUILDKIT=0 make docker-test IMAGE=$image
}

# expect_smoke_fails REASON VARIABLE=VALUE...
expect_smoke_fails() {
    reason=$1
    shift
    ! make smoke "$@" >"$scratch/output" 2>&1 || fail "smoke passed with $*"
    grep -qF "$reason" "$scratch/output" || fail "failed by something else: $(cat "$scratch/output")"
}

smoke_fails_when_an_answer_is_another() {
    expect_smoke_fails 'smoke: fields of GET /version' IMAGE=$image VERSION=9.9.9
    expect_smoke_fails 'smoke: body of GET /version' IMAGE=$image COMMIT=0123456789abcdef0123456789abcdef01234567
    echo "FROM $(make -s toolchain-image)" >"$scratch/Dockerfile"
    cat >>"$scratch/Dockerfile" <<'DOCKERFILE'
HEALTHCHECK --interval=1s CMD ["true"]
EXPOSE 5000
ENTRYPOINT ["perl", "-MIO::Socket", "-e", "$s = IO::Socket::INET->new(LocalPort => 5000, Listen => 9); while ($c = $s->accept) { sysread($c, $_, 9999); print $c qq(HTTP/1.1 500 No\\r\\nContent-Length: 0\\r\\n\\r\\n); close $c }"]
DOCKERFILE
    quietly "$DOCKER" build --tag $image-broken "$scratch"
    expect_smoke_fails 'smoke: GET /version' IMAGE=$image-broken
    "$DOCKER" image rm $image-broken >/dev/null
}

image_is_run_with_make() {
    make -s docker-run IMAGE=$image PORT=0 >"$scratch/run" 2>&1 &
    run=$!
    until container=$("$DOCKER" ps --quiet --filter "ancestor=$image") && [ -n "$container" ]; do
        kill -0 $run || fail "ended: $(cat "$scratch/run")"
        sleep 0.1
    done
    until grep -q '"msg":"listening"' "$scratch/run"; do
        kill -0 $run || fail "ended: $(cat "$scratch/run")"
        sleep 0.1
    done
    port=$("$DOCKER" port "$container" 5000/tcp | head -n 1)
    # The engine may need some seconds to forward the published port.
    quietly curl -fsS --retry 30 --retry-delay 1 --retry-all-errors "http://localhost:${port##*:}/version"
    "$DOCKER" stop "$container" >/dev/null
    wait $run || fail "ended with $?: $(cat "$scratch/run")"
}

layers_of() { "$DOCKER" image inspect --format '{{ json .RootFS.Layers }}' "$1"; }

# In another folder, at another time, by BuildKit; without the tests, which add nothing to what ships.
image_is_reproducible() {
    client=$(buildkit_client) || skip 'no client has BuildKit'
    git clone -q "$root" "$scratch/another folder"
    cd "$scratch/another folder"
    TOOLCHAIN=$(make -s toolchain-image)
    export TOOLCHAIN
    sed -e '/^RUN .*lint-source$/d' -e '/^FROM build AS test/,/^RUN .*DIST=/{/^RUN/{/DIST=/!d;};}' Dockerfile >"$scratch/Dockerfile"
    quietly env DOCKER_BUILDKIT=1 make docker-build IMAGE=$image-buildkit DOCKER="$client" \
        DOCKER_FLAGS="--file $scratch/Dockerfile"
    file_of $image versiond >"$scratch/one"
    file_of $image-buildkit versiond >"$scratch/two"
    cmp "$scratch/one" "$scratch/two" || fail 'two builds give two programs'
    expect_equal "$(layers_of $image-buildkit)" "$(layers_of $image)"
}

# The whole of the integration tests, a stop under load among them, with as few rights as there are.
image_passes_the_integration_tests() {
    quietly make tests
    cat >"$scratch/versiond" <<RUN
#!/bin/sh
export PATH='$PATH' HOME='$scratch' DOCKER_HOST='${DOCKER_HOST-}'
[ -n "\$DOCKER_HOST" ] || unset DOCKER_HOST
exec '$DOCKER' run --rm --network host --env NOTIFY_SOCKET --read-only --cap-drop ALL --security-opt no-new-privileges $image "\$@"
RUN
    chmod +x "$scratch/versiond"
    for test in test_http test_drain; do
        quietly env PROGRAM="$scratch/versiond" build/plain/tests/integration/$test
    done
}

settings_reach_the_health_check() {
    container=$("$DOCKER" run --detach --env PORT=6000 $image)
    tries=300
    while health=$("$DOCKER" inspect --format '{{ .State.Health.Status }}' "$container") &&
        [ "$health" = starting ] && [ $tries -gt 0 ]; do
        tries=$((tries - 1))
        sleep 0.1
    done
    "$DOCKER" rm --force "$container" >/dev/null
    expect_equal "$health" healthy
}

licences_come_with_the_image() {
    "$DOCKER" run --rm $image --licenses | gunzip >"$scratch/text"
    grep -q 'GNU LESSER GENERAL PUBLIC LICENSE' "$scratch/text" || fail 'no LGPL'
    grep -q '^Upstream-Name: musl' "$scratch/text" || fail 'not the one of musl'
}

# What the LGPL asks of a static link: whoever has the artifacts can link the program again.
artifacts_give_the_same_program() {
    quietly make artifacts IMAGE=$image ARTIFACTS="$scratch/artifacts"
    expect_equal "$(cd "$scratch/artifacts" && ls)" "licenses.txt
sbom.cdx.json
source.tar.gz
versiond
versiond.debug"
    quietly scripts/check-sbom.sh "$scratch/artifacts/sbom.cdx.json" "$scratch/artifacts/versiond"
    mkdir "$scratch/source"
    tar -xzf "$scratch/artifacts/source.tar.gz" -C "$scratch/source"
    NAME=versiond DESCRIPTION="$(sed -n 's/^DESCRIPTION *?= *//p' Makefile)" scripts/build-info.sh values |
        grep -v '^NAME=\|^BUILD_DATE=' >"$scratch/values"
    quietly "$DOCKER" run --rm --user "$(id -u):$(id -g)" --network none --env-file "$scratch/values" --env LIBRARIES=/tmp/libraries \
        --env DEPS_CACHE=/tmp/sources --env DEPS_MIRROR=libraries --mount "type=bind,source=$scratch/source,target=/source" \
        --workdir /source/versiond "$(make -s toolchain-image)" make STATIC=1 CC=musl-gcc
    cmp "$scratch/source/versiond/build/plain-static-musl-gcc/versiond" "$scratch/artifacts/versiond" ||
        fail 'another program'
}

# tree: makes a clone to work in, and goes there.
tree() {
    git clone -q "$root" "$scratch/tree"
    cd "$scratch/tree"
}

# as_user COMMAND...: as somebody without privileges but the right to use the engine, if this is root.
as_user() {
    if [ "$(id -u)" = 0 ]; then
        socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
        quietly env HOME="$scratch" setpriv --reuid=65534 --regid=65534 --groups="$(stat -c %g "${socket#unix://}")" "$@"
    else
        quietly "$@"
    fi
}

# A few tests are enough to see who makes them, and where; workflows.sh has all made there.
targets_are_made_in_the_toolchain_container_as_the_caller() {
    tree
    rm -r tests/unit/test_[a-oq-z]* tests/integration/test_* tests/e2e/test_* tests/fuzz
    if [ "$(id -u)" = 0 ]; then
        chmod 755 "$scratch"
        chown -R 65534:65534 .
    fi
    as_user make dev-test
    tail -n 1 "$scratch/output" | grep -qE '^[0-9]+ passed, 0 failed' || fail "said: $(tail -n 1 "$scratch/output")"
    expect_equal "$(find . ! -user "$(stat -c %u .)" | head)" ''
    as_user make dev-test
    ! grep -q '^CC ' "$scratch/output" || fail "compiled again: $(grep '^CC ' "$scratch/output")"
    # shellcheck disable=SC2016 # of make
    printf 'show:\n\t@echo "CI=$${CI-unset} $(A) $$(ls /sys/class/net)"\n' >>Makefile
    as_user env CI=true make dev-make TARGETS='show A=b'
    expect_equal "$(tail -n 1 "$scratch/output")" 'CI=true b lo'
    as_user env -u CI make dev-make TARGETS=show
    expect_equal "$(tail -n 1 "$scratch/output")" 'CI=unset  lo'
}

# wait_for_answer TEXT: until the development server's document has it.
wait_for_answer() {
    tries=600
    until curl -sS --max-time 5 "http://$address/version" 2>&1 | grep -qF "$1"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "never answered with $1: $(tail -n 20 "$scratch/dev")"
        kill -0 "$dev" || fail "ended: $(cat "$scratch/dev")"
        sleep 0.1
    done
}

development_server_restarts_on_change() {
    tree
    toolchain=$(make -s toolchain-image)
    trap '[ -z "$container" ] || "$DOCKER" rm --force "$container" >/dev/null 2>&1 || :' EXIT
    make -s dev PORT=0 >"$scratch/dev" 2>&1 &
    dev=$!
    until container=$("$DOCKER" ps --quiet --filter "ancestor=$toolchain") && [ -n "$container" ]; do
        kill -0 "$dev" || fail "ended: $(cat "$scratch/dev")"
        sleep 0.1
    done
    address=$("$DOCKER" port "$container" 5000/tcp)
    wait_for_answer 'Says which build'
    sed -i 's/^DESCRIPTION ?= .*/DESCRIPTION ?= Says something else/' Makefile
    wait_for_answer 'Says something else'
    "$DOCKER" stop "$container" >/dev/null
    wait "$dev" || fail "ended with $?: $(tail -n 20 "$scratch/dev")"
}

run_tests base_is_made_from_the_archive given_mirror_replaces_those_of_the_base toolchain_is_named_by_what_defines_it \
    toolchain_is_pulled_from_a_registry image_is_built_with_its_tests \
    smoke_fails_when_an_answer_is_another image_is_run_with_make image_is_built_without_a_network image_is_reproducible image_passes_the_integration_tests \
    settings_reach_the_health_check licences_come_with_the_image artifacts_give_the_same_program \
    targets_are_made_in_the_toolchain_container_as_the_caller development_server_restarts_on_change

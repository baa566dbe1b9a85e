# The image: one static program in an empty file system. See docs/build.md.
# It builds with BuildKit and with the classic builder; `make docker-build` passes the arguments.

# What the toolchain is installed on, and an image to take instead of it.
ARG BASE=debian:trixie-slim
ARG TOOLCHAIN=toolchain-local

# --- toolchain: compilers, the libraries of deps/, tools for tests and lint ---

FROM ${BASE} AS toolchain-local
ENV LIBRARIES=/opt/libraries DEPS_CACHE=/opt/libraries/sources
WORKDIR /opt/toolchain
# apt's mirror, here and in the audit, instead of those of the base.
ARG DEBIAN_MIRROR
ARG DEBIAN_SECURITY_MIRROR
COPY deps/packages deps/install-packages.sh deps/debian-mirror.sh deps/
RUN [ -z "$DEBIAN_MIRROR" ] || deps/debian-mirror.sh --install
RUN deps/install-packages.sh && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY deps/pins deps/deps.mk deps/build.sh deps/lib.sh deps/
RUN make -f deps/deps.mk libraries CC=cc && make -f deps/deps.mk libraries CC=musl-gcc

# --- build: the program, as it ships ---

FROM ${TOOLCHAIN} AS build
ARG VERSION
ARG COMMIT
ARG DESCRIPTION="Says which build is running here"
ARG SOURCE_DATE_EPOCH
ARG SOURCE_URL
ARG BUILD_URL
ARG RELEASE
# For the test stage too: it must not build another program.
ENV VERSION=$VERSION COMMIT=$COMMIT DESCRIPTION=$DESCRIPTION SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH \
    SOURCE_URL=$SOURCE_URL BUILD_URL=$BUILD_URL RELEASE=$RELEASE CI=true
WORKDIR /src
COPY . .
RUN make -j "$(nproc)" STATIC=1 CC=musl-gcc

# --- lint: of the source alone, so that another version finds it done; BuildKit runs it beside the build ---

FROM ${TOOLCHAIN} AS lint
ENV CI=true
WORKDIR /src
COPY . .
RUN make -j "$(nproc)" lint-source

# --- test: what fails here is never copied into the image ---

FROM build AS test
# Any file of it: lint must have passed.
COPY --from=lint /src/LICENSE /linted
RUN make -j "$(nproc)" SANITIZE=address,undefined test
RUN make -j "$(nproc)" STATIC=1 CC=musl-gcc test
# The archive's answer is good for a day; offline it must be said that none is wanted.
ARG AUDIT_DATE
ARG AUDIT_OFFLINE=0
RUN make STATIC=1 CC=musl-gcc AUDIT_OFFLINE="$AUDIT_OFFLINE" audit
RUN make STATIC=1 CC=musl-gcc DIST=/dist dist

# --- artifacts: what is published beside the image ---

FROM scratch AS artifacts
COPY --from=test /dist/ /artifacts/

# --- the image ---

FROM scratch
ARG VERSION
ARG COMMIT
ARG DESCRIPTION="Says which build is running here"
ARG SOURCE_URL
ARG CREATED
LABEL org.opencontainers.image.title="versiond" \
    org.opencontainers.image.description="$DESCRIPTION" \
    org.opencontainers.image.version="${VERSION:-0.0.0-dev}" \
    org.opencontainers.image.revision="${COMMIT:-unknown}" \
    org.opencontainers.image.created="${CREATED:-1970-01-01T00:00:00Z}" \
    org.opencontainers.image.source="$SOURCE_URL" \
    org.opencontainers.image.licenses="MIT AND LGPL-2.1-or-later"
COPY --from=test /dist/versiond /versiond
USER 65532:65532
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=2s --start-period=2s CMD ["/versiond", "--healthcheck"]
ENTRYPOINT ["/versiond"]

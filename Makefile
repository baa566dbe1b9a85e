# The two lines that make a service of your own: see README.md, "Make it yours".
NAME        = versiond
DESCRIPTION ?= Says which build is running here

# Build information, as given here or in the environment; empty means: ask git (see
# scripts/build-info.sh).
VERSION           ?=
COMMIT            ?=
SOURCE_URL        ?=
BUILD_URL         ?=
SOURCE_DATE_EPOCH ?=
RELEASE           ?=

# Of a release: the tag of git, how far to bump and to what pre-release, where the image goes, its digest there.
TAG              ?=
BUMP             ?=
PRE              ?=
IMAGE_REPOSITORY ?=
DIGEST           ?=

# Of a deployment: the environment, the release to go back to, and who approves.
ENV       ?=
TO        ?=
REVIEWERS ?=

# What strangers chose is passed on as it is: make must not expand a '$' in it, nor a shell see it. So this comes
# before the first $(shell), which gets all that is exported.
INFO_VARIABLES := NAME DESCRIPTION VERSION COMMIT SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE
# An empty one is none: clang refuses an empty SOURCE_DATE_EPOCH.
define RAW
override $(1) := $$(value $(1))
$(if $(value $(1)),export,unexport) $(1)
endef
$(foreach variable,$(INFO_VARIABLES) TAG BUMP PRE IMAGE_REPOSITORY DIGEST ENV TO REVIEWERS,$(eval $(call RAW,$(variable))))

PREFIX  ?= /usr/local
DIST    ?= $(OUT)/dist
DESTDIR ?=

# Of the containers: the engine's client, the image, what it is built from (see docs/build.md).
DOCKER          ?= docker
IMAGE           ?= $(NAME)
BASE            ?= debian:trixie-slim
DOCKER_FLAGS    ?=
# Debian's archive for the base and the toolchain: http://mirror.example/debian; empty: as the base or this machine has it.
DEBIAN_MIRROR          ?=
# That of its security updates; empty: debian-security beside it.
DEBIAN_SECURITY_MIRROR ?=
TOOLCHAIN       ?=
TOOLCHAIN_IMAGE ?= $(NAME)-toolchain
ARTIFACTS       ?= $(BUILD_DIR)/artifacts
PORT            ?= 5000
AUDIT_OFFLINE   ?=
NETWORK         ?= none

# Test programs that `make test` runs, such as "test_request test_build"; empty: all.
TEST =

# Of fault-test: 1 runs all cases.
COMPLETE ?=

# A folder for pictures of the page.
SCREENSHOTS ?=

# Of the delivery: 1 only says what would be done.
DRY_RUN ?=
ASSETS  ?= $(BUILD_DIR)/assets

# Variants, each in a folder of its own below build/:
#   SANITIZE=address,undefined | thread | fuzzer (for make fuzz)   COVERAGE=1   VALGRIND=1 (runs those of plain under it)
#   STATIC=1 (a static PIE, for musl-gcc)   WERROR=1 (warnings are errors; the default in CI)
SANITIZE =
COVERAGE =
VALGRIND =
STATIC   =
WERROR   = $(if $(CI),1)

# Where everything is built. `make clean` removes what is there, so it is nothing else.
BUILD_DIR ?= build
ifeq ($(filter build build/%,$(BUILD_DIR)),)
$(error BUILD_DIR: '$(BUILD_DIR)' is not build or a folder below it)
endif

# A fuzzer sees into the libraries too: they are built once more. The definitions turn libmicrohttpd's assertions on, and
# have it tell the sanitizer which bytes of a connection's memory are in use.
ifeq ($(SANITIZE),fuzzer)
LIBRARIES       := $(BUILD_DIR)/deps/fuzzer
INSTRUMENTATION := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
    -D_DEBUG -DMHD_ASAN_POISON_ACTIVE -DHAVE_SANITIZER_ASAN_INTERFACE_H -DHAVE___ASAN_REGION_IS_POISONED \
    -DFUNC_PTRCOMPARE_CAST_WORKAROUND_WORKS
endif

include deps/deps.mk

CFLAGS ?= $(OPTIMIZATION)

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.SUFFIXES:

comma      := ,
sanitizers := address$(comma)undefined thread fuzzer
ifneq ($(filter-out $(sanitizers),$(SANITIZE))$(word 2,$(SANITIZE)),)
$(error SANITIZE: '$(SANITIZE)' is not one of $(sanitizers))
endif
define SWITCH
ifneq ($(filter-out 0 1,$($(1))),)
$$(error $(1): '$($(1))' is not 0 or 1)
endif
override $(1) := $(filter-out 0,$($(1)))
endef
$(foreach variable,COVERAGE VALGRIND STATIC WERROR,$(eval $(call SWITCH,$(variable))))

variant := $(subst $(comma),-,$(or $(SANITIZE),$(if $(COVERAGE),coverage),plain))
OUT     := $(BUILD_DIR)/$(variant)$(if $(STATIC),-static)$(if $(filter-out cc,$(compiler)),-$(compiler))
PROGRAM := $(OUT)/$(NAME)

LINK_HARDENING := $(if $(STATIC),@$(DEPS)/static-pie,-pie) -Wl,-z,relro,-z,now,-z,noexecstack
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
    -Wmissing-prototypes -Wold-style-definition -Wcast-qual -Wcast-align -Wformat=2 -Wundef -Wvla \
    -Wwrite-strings -Wnull-dereference -Wimplicit-fallthrough $(if $(WERROR),-Werror)
VARIANT_FLAGS := $(or $(INSTRUMENTATION),$(if $(SANITIZE),\
    -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)) \
    $(if $(COVERAGE),-O0 --coverage) $(if $(SANITIZE)$(COVERAGE),-DINSTRUMENTED)

# The linker's --wrap has no effect on calls within LTO code, so test programs are linked from the ordinary machine code
# that fat objects also contain.
LTO          = $(findstring -flto,$(CFLAGS))
FAT_OBJECTS  = $(if $(LTO),-ffat-lto-objects)
TEST_LDFLAGS = $(ALL_LDFLAGS) $(if $(LTO),-fno-lto)

ALL_CFLAGS  = -std=c17 -D_GNU_SOURCE -Iinclude -isystem $(DEPS)/include $(KERNEL_HEADERS) -pthread \
    $(SECTIONS) $(WARNINGS) $(HARDENING) $(if $(SANITIZE)$(COVERAGE),,$(FORTIFY)) $(CFLAGS) $(FAT_OBJECTS) $(VARIANT_FLAGS) \
    $(CPPFLAGS)
ALL_LDFLAGS = -pthread $(LINK_HARDENING) -Wl,--gc-sections $(CFLAGS) $(VARIANT_FLAGS) $(LDFLAGS)
# The answers that libmicrohttpd makes by itself: see src/reply.c.
WRAP_REPLY  := -Wl,--wrap=MHD_create_response_from_buffer_static

# What links with the libraries: libmicrohttpd accepts connections with server_accept(), see include/server.h.
LINKED      := $(OUT)/libmicrohttpd.a $(DEPS)/lib/libcjson.a

# cJSON needs sscanf only to print fractions, of which there are none: in a static program that saves 10 kB.
NO_SCANNER  := $(if $(STATIC),-Wl$(comma)--defsym=sscanf=abort)

OBJCOPY ?= objcopy
STRIP = $(OBJCOPY) --only-keep-debug $@ $@.debug && \
    $(OBJCOPY) --strip-all --remove-section=.comment $@

# Where the compiler's libc does not bring the kernel's headers, deps/build.sh puts them here.
KERNEL_HEADERS = $(if $(wildcard $(DEPS)/kernel-headers),-idirafter $(DEPS)/kernel-headers)

SOURCES := $(sort $(wildcard src/*.c))
OBJECTS := $(SOURCES:src/%.c=$(OUT)/src/%.o)
MODULES := $(filter-out $(OUT)/src/main.o,$(OBJECTS))
EMBEDDED := $(addprefix $(OUT)/,licenses.gz.inc page.html.inc page.style.h badge.svg.inc openapi.json.inc)

UNIT        := $(patsubst tests/unit/%.c,$(OUT)/tests/unit/%,$(sort $(wildcard tests/unit/test_*.c)))
INTEGRATION := $(patsubst tests/integration/%.c,$(OUT)/tests/integration/%,$(sort $(wildcard tests/integration/test_*.c)))
FUZZ        := $(patsubst tests/fuzz/%.c,$(OUT)/tests/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
E2E         := $(patsubst tests/e2e/%.c,$(OUT)/tests/e2e/%,$(sort $(wildcard tests/e2e/test_*.c)))
E2E_SCRIPTS := $(sort $(wildcard tests/e2e/test_*.sh))
# In a static libc --wrap would reach the calls of the libc to itself: no unit tests there.
TESTS       := $(if $(STATIC),,$(UNIT)) $(INTEGRATION) $(FUZZ) $(E2E)
TEST_PROGRAMS := $(TESTS) $(E2E_SCRIPTS)
ifneq ($(TEST),)
test_names    := $(sort $(notdir $(basename $(TEST_PROGRAMS))))
unknown_tests := $(filter-out $(test_names),$(TEST))
ifneq ($(unknown_tests),)
$(error TEST: no test named $(unknown_tests); valid names: $(test_names))
endif
TEST_PROGRAMS := $(foreach test,$(TEST),$(filter %/$(test) %/$(test).sh,$(TEST_PROGRAMS)))
endif
# Faults from within, for programs that take the libc as a library.
FAULTS      := $(if $(STATIC),,$(OUT)/tests/faults/preload.so)
LOAD        := $(OUT)/tests/load/load
BENCH       := $(patsubst bench/%.c,$(OUT)/bench/%,$(sort $(wildcard bench/*.c)))
SUPPORT     := $(patsubst tests/support/%.c,$(OUT)/tests/support/%.o,$(sort $(wildcard tests/support/*.c)))

##@ Use

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } \
	    /^##@/ { printf "%s%s:\n", blank, substr($$0, 5); blank = "\n" } \
	    /^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: $(PROGRAM) ## build the program (the first time its libraries too)

.PHONY: run
run: $(PROGRAM) ## build and serve http://localhost:5000/version
	@exec $(PROGRAM) $(ARGS)

.PHONY: install
install: $(PROGRAM) ## install into DESTDIR and PREFIX (/usr/local), with the units of systemd and all licences
	install -D -m 755 $(PROGRAM) "$(DESTDIR)$(PREFIX)/bin/$(NAME)"
	for unit in service socket; do \
	    install -D -m 644 deploy/systemd/versiond.$$unit "$(DESTDIR)$(PREFIX)/lib/systemd/system/$(NAME).$$unit" && \
	    sed -i -e 's,/usr/local/,$(PREFIX)/,' -e 's,versiond,$(NAME),g' \
	        "$(DESTDIR)$(PREFIX)/lib/systemd/system/$(NAME).$$unit" || exit; \
	done
	install -D -m 644 LICENSE "$(DESTDIR)$(PREFIX)/share/doc/$(NAME)/LICENSE"
	for library in libmicrohttpd cJSON; do \
	    install -D -m 644 -t "$(DESTDIR)$(PREFIX)/share/doc/$(NAME)/$$library" $(DEPS)/licenses/$$library/*; \
	done

.PHONY: dist
dist: $(PROGRAM) sbom ## write what is published into DIST: program, SBOM, licences, source
	@scripts/dist.sh $(PROGRAM) $(OUT) $(DIST)

##@ Check

.PHONY: test
test: $(PROGRAM) tests ## run all tests (TEST='test_request …': only these; SANITIZE=address,undefined or thread)
	@VALGRIND="$(VALGRIND)" PROGRAM="$(PROGRAM)" DEPS="$(DEPS)" CC="$(CC)" tests/run.sh $(OUT)/tests/$(if $(VALGRIND),valgrind-)log $(TEST_PROGRAMS)

.PHONY: tests
tests: $(filter $(TESTS),$(TEST_PROGRAMS))

.PHONY: valgrind
valgrind: ## run all tests under valgrind (as VALGRIND=1 test)
	@$(MAKE) --no-print-directory VALGRIND=1 test

.PHONY: coverage
coverage: ## run all tests and show which lines and branches they reach (fails below 100 % of lines)
	@$(MAKE) --no-print-directory COVERAGE=1 coverage-report

.PHONY: coverage-report
coverage-report: $(PROGRAM) tests
	@find $(OUT) -name '*.gcda' -delete
	@$(MAKE) --no-print-directory COVERAGE=1 test
	@scripts/coverage.sh $(OUT)

.PHONY: fault-test
fault-test: $(PROGRAM) $(FAULTS) ## let each system call and each allocation fail in turn (COMPLETE=1: all cases; wants strace)
	@PROGRAM="$(PROGRAM)" PRELOAD="$(FAULTS)" COMPLETE="$(COMPLETE)" tests/run.sh $(OUT)/tests/fault-log tests/faults/faults.py
	@sed -n '/ cases in /,/^\[/{/^\[/!p}' $(OUT)/tests/fault-log/faults.py.log

.PHONY: contract-test
contract-test: $(PROGRAM) ## compare the program with src/openapi.json, both ways (fetches its tools; wants python3-venv)
	@VALGRIND="$(VALGRIND)" PROGRAM="$(PROGRAM)" tests/run.sh $(OUT)/tests/contract-log tests/contract/contract.sh

.PHONY: prometheus-test
prometheus-test: ## try metrics, alerts and dashboard with a real Prometheus (wants the package prometheus)
	@tests/run.sh $(OUT)/tests/prometheus-log tests/e2e/prometheus.sh

.PHONY: browser-test
browser-test: ## look at the page and the badge with Chromium (SCREENSHOTS=docs takes pictures; wants chromium, npm)
	@SCREENSHOTS="$(SCREENSHOTS)" tests/run.sh $(OUT)/tests/browser-log tests/browser/page.sh

.PHONY: operability-test
operability-test: $(PROGRAM) ## these three at once: contract-test, prometheus-test, browser-test
	@PROGRAM="$(PROGRAM)" tests/run.sh $(OUT)/tests/operability-log tests/contract/contract.sh tests/e2e/prometheus.sh \
	    tests/browser/page.sh

.PHONY: slow-test
slow-test: $(PROGRAM) $(LOAD) ## hold it with thousands of slow clients (CONNECTIONS, DURATION; requires slowhttptest)
	@PROGRAM="$(PROGRAM)" LOAD="$(LOAD)" tests/run.sh $(OUT)/tests/slow-log tests/e2e/slow.sh

.PHONY: systemd-test
systemd-test: $(PROGRAM) $(LOAD) ## try the units, with systemd as process 1 where that can be (wants systemd, curl, python3, root)
	@rm -rf $(OUT)/installed
	@$(MAKE) --no-print-directory install DESTDIR=$(OUT)/installed PREFIX=/usr/local >$(OUT)/install.log
	@PROGRAM="$(PROGRAM)" LOAD="$(LOAD)" INSTALLED=$(OUT)/installed tests/run.sh $(OUT)/tests/systemd-log tests/e2e/systemd.sh
	@sed -n '/^{"time":[0-9]/p; /exposure/p' $(OUT)/tests/systemd-log/systemd.sh.log

.PHONY: fuzz
fuzz: ## look for inputs that break requests, log lines, connections (SECONDS=60 in all, TARGET=one; requires clang)
	@$(fuzz_settings) tests/fuzz/fuzz.sh check
	@$(MAKE) --no-print-directory CC="$(fuzz_compiler)" SANITIZE=fuzzer fuzz-run

.PHONY: fuzz-run
fuzz-run: $(FUZZ)
	@$(fuzz_settings) tests/fuzz/fuzz.sh run $(OUT)/tests/fuzz $(BUILD_DIR)/fuzz

.PHONY: soak
soak: $(PROGRAM) $(LOAD) ## run load, misbehaving clients and scrapes at once (SECONDS=60), then compare all counts and memory
	@VALGRIND="$(VALGRIND)" SANITIZE="$(SANITIZE)" SOAK_SECONDS="$(SECONDS)" PROGRAM="$(PROGRAM)" LOAD="$(LOAD)" \
	    tests/run.sh $(OUT)/tests/soak-log tests/soak/soak.py
	@grep '^| ' $(OUT)/tests/soak-log/soak.py.log

.PHONY: lint
lint: ## run all three linters below, on all processors; skips what has not changed since it passed
	@$(MAKE) --no-print-directory --keep-going $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc)) lint-source lint-delivery lint-kubernetes

.PHONY: lint-source
lint-source: $(OUT)/tests/tools/settings_table $(EMBEDDED) ## clang-format, clang-tidy, cppcheck, shellcheck, README
	@scripts/lint.sh $(DEPS)/include $(OUT)

.PHONY: lint-delivery
lint-delivery: sbom ## check workflows, YAML, rulesets, SBOM (fetches its tools; requires python3-venv, go, npm)
	@scripts/lint-delivery.sh $(OUT)/sbom.cdx.json $(PROGRAM)

.PHONY: lint-kubernetes
lint-kubernetes: ## check the Kubernetes manifests (fetches its tools; requires python3-venv, go, jq)
	@scripts/lint-kubernetes.sh || [ $$? = 77 ]

.PHONY: format
format: ## format the C sources
	clang-format -i $(wildcard src/*.c include/*.h tests/*/*.c tests/*/*.h bench/*.c)

.PHONY: docs
docs: $(OUT)/tests/tools/settings_table ## write the table of settings into README.md
	@scripts/settings-table.sh $< README.md

##@ Measure

.PHONY: bench
bench: ## compare with nginx, Go, gunicorn and Flask (ROUNDS, DURATION, CONNECTIONS, PEERS, THREADS: docs/performance.md)
	@$(MAKE) --no-print-directory $(shipped) bench-run

.PHONY: bench-load
bench-load: ## compare it with itself: scraped, logging, with 10,000 idle connections (ROUNDS, DURATION, THREADS)
	@$(MAKE) --no-print-directory $(shipped) bench-load-run

.PHONY: bench-profile
bench-profile: build ## count what a request costs (REQUESTS, CONNECTIONS, THREADS; wants valgrind, strace)
	@$(MAKE) --no-print-directory $(shipped) DYNAMIC=$(PROGRAM) bench-profile-run

.PHONY: bench-scale
bench-scale: ## measure a pod's worth of it: CPU, bytes, packets a request, with limits of CPU (ROUNDS, DURATION; wants root, wrk)
	@$(MAKE) --no-print-directory $(shipped) bench-scale-run

.PHONY: bench-scale-run
bench-scale-run: $(PROGRAM)
	@ROUNDS="$(ROUNDS)" DURATION="$(DURATION)" bench/scale.sh $(PROGRAM)

.PHONY: bench-docs
bench-docs: ## write the figures of the last make bench into docs/
	@bench/report.py docs $(BUILD_DIR)/bench

.PHONY: bench-run
bench-run: $(PROGRAM) $(BENCH)
	@$(bench_settings) bench/bench.py $(PROGRAM) $(OUT)/bench $(BUILD_DIR)/bench

.PHONY: bench-profile-run
bench-profile-run: $(PROGRAM)
	@$(bench_settings) REQUESTS="$(REQUESTS)" bench/cost.py $(PROGRAM) $(DYNAMIC) $(BUILD_DIR)/bench-profile

.PHONY: bench-load-run
bench-load-run: $(PROGRAM)
	@$(bench_settings) bench/load.py $(PROGRAM) $(BUILD_DIR)/bench-load

##@ Libraries

.PHONY: deps
deps: $(OUT)/libraries ## fetch and build the libraries (DEPS_MIRROR=folder or URL of the tarballs)

.PHONY: deps-update
deps-update: ## renew the pins in deps/pins to the newest versions of the archive
	@deps/update.sh

.PHONY: audit
audit: ## ask what bad is known about the libraries, with STATIC=1 about the libc too (AUDIT_OFFLINE=1: asks nobody)
	@CC="$(CC)" deps/audit.sh $(if $(STATIC),--linked)

.PHONY: sbom
sbom: $(PROGRAM) ## write the program's bill of materials, CycloneDX, beside it (sbom.cdx.json)
	@CC="$(CC)" scripts/sbom.sh $(PROGRAM) > $(OUT)/sbom.cdx.json.new || { rm -f $(OUT)/sbom.cdx.json.new; exit 1; }
	@mv $(OUT)/sbom.cdx.json.new $(OUT)/sbom.cdx.json
	@echo $(OUT)/sbom.cdx.json

.PHONY: sbom-check
sbom-check: sbom ## validate it against the schema, and that it leaves nothing out (wants python3-venv)
	@scripts/check-sbom.sh $(OUT)/sbom.cdx.json $(PROGRAM)

##@ Container

.PHONY: docker-build
docker-build: ## build the image, its test stage first (DOCKER_FLAGS=… of docker build)
	@$(container) scripts/docker-build.sh $(IMAGE) $(DOCKER_FLAGS)

.PHONY: docker-test
docker-test: ## build its test stage only
	@$(container) scripts/docker-build.sh $(IMAGE)-test --target test $(DOCKER_FLAGS)

.PHONY: docker-run
docker-run: ## serve http://localhost:5000/version from the image (PORT=…)
	@exec "$(DOCKER)" run --rm --read-only --cap-drop ALL --security-opt no-new-privileges \
	    --publish $(PORT):5000 $(IMAGE) $(ARGS)

.PHONY: smoke
smoke: ## start the image as strangers would, ask it everything, stop it
	@$(container) scripts/smoke.sh $(IMAGE)

.PHONY: container-test
container-test: ## test the images (minutes; starts a container engine if none is running)
	@SERIAL=1 $(container) scripts/with-engine.sh \
	    tests/run.sh $(OUT)/tests/container-log tests/e2e/container.sh

.PHONY: compose-up
compose-up: ## start proxy and replicas, or bring them to IMAGE:VERSION one by one (deploy/compose.yaml)
	@DOCKER="$(DOCKER)" scripts/compose.sh update

.PHONY: compose-down
compose-down: ## stop them
	@DOCKER="$(DOCKER)" scripts/compose.sh down

.PHONY: compose-test
compose-test: ## stop, kill, freeze and replace replicas under load, and try what the proxy promises (wants wrk)
	@SERIAL=1 $(container) scripts/with-engine.sh tests/run.sh $(OUT)/tests/compose-log tests/e2e/compose.sh

.PHONY: workflow-test
workflow-test: ## run ci.yml and publish.yml with a local registry and a mock GitHub (minutes; requires act)
	@SERIAL=1 $(container) scripts/with-engine.sh tests/run.sh $(OUT)/tests/workflow-log tests/e2e/workflows.sh

.PHONY: delivery-test
delivery-test: ## test the release and deployment scripts with a local registry, a mock GitHub and a mock cluster
	@NO_SKIP=1 tests/run.sh $(OUT)/tests/delivery-log tests/e2e/release.sh tests/e2e/rulesets.sh tests/e2e/deploy.sh

.PHONY: kubernetes-test
kubernetes-test: kubernetes-programs ## deploy, break, roll back, drain under load in the cluster of KUBECONFIG (requires REGISTRY, docker)
	@$(MAKE) --no-print-directory kubernetes-test-run

.PHONY: kubernetes-test-run
kubernetes-test-run:
	@DOCKER="$(DOCKER)" PROGRAMS=$(BUILD_DIR)/kubernetes RATE="$(RATE)" \
	    tests/run.sh $(OUT)/tests/kubernetes-log tests/e2e/kubernetes.sh

# Two versions, and the load.
.PHONY: kubernetes-programs
kubernetes-programs:
	@for version in 1.2.2 1.2.3; do \
	    $(MAKE) --no-print-directory STATIC=1 CC=musl-gcc VERSION=$$version kubernetes-parts || exit; \
	done

.PHONY: kubernetes-parts
kubernetes-parts: $(PROGRAM) $(LOAD)
	@install -D -t $(BUILD_DIR)/kubernetes/$(VERSION) $^

.PHONY: artifacts
artifacts: ## build the image and write what is published beside it into ARTIFACTS (build/artifacts)
	@$(container) scripts/docker-artifacts.sh $(IMAGE) "$(ARTIFACTS)"

.PHONY: base-image
base-image: ## make the base image BASE from Debian's archive, with mmdebstrap
	@$(container) scripts/base-image.sh $(BASE)

.PHONY: toolchain-image
toolchain-image: ## pull or build the toolchain image, unless it is there, and print its name
	@$(container) scripts/toolchain-image.sh $(TOOLCHAIN_IMAGE)

.PHONY: dev-test
dev-test: ## run the tests in the toolchain container, on this work tree
	@$(container) scripts/dev.sh make test

.PHONY: dev-make
dev-make: ## make TARGETS ('lint coverage') in the toolchain container, on this work tree, without a network
	@NETWORK="$(NETWORK)" $(container) scripts/dev.sh make $(TARGETS)

.PHONY: dev
dev: ## serve from the toolchain container, built anew and restarted on each change
	@$(container) scripts/dev.sh serve

##@ Delivery

.PHONY: rulesets
rulesets: ## protect the branch and the tags on GitHub as .github/rulesets says (DRY_RUN=1 only says what it would do)
	@DRY_RUN="$(DRY_RUN)" scripts/rulesets.sh

.PHONY: publish-base
publish-base: ## make the toolchain anew, test with it, publish it as TOOLCHAIN_IMAGE (and BASE as BASE_REPOSITORY)
	@$(container) scripts/publish-base.sh

.PHONY: deps-pull-request
deps-pull-request: ## open a pull request with what make deps-update has changed
	@scripts/renew-pins.sh

.PHONY: next-version
next-version: ## print the version that a release of HEAD should have (BUMP=minor or major, PRE=rc)
	@scripts/release/next-version.sh

.PHONY: release-notes
release-notes: ## print the notes of a release of HEAD (PRE=rc: a pre-release), or of TAG
	@scripts/release/notes.sh "$$TAG"

.PHONY: release-check
release-check: ## say whether TAG may be released
	@scripts/release/check.sh "$$TAG"

# What publish.yml does, each from what the one before has left: below build/release a folder for each platform with
# its artifacts and image.tar.

.PHONY: docker-save
docker-save: ## write IMAGE into ARTIFACTS (image.tar)
	@"$(DOCKER)" save --output "$(ARTIFACTS)/image.tar" "$$("$(DOCKER)" image inspect --format '{{ .Id }}' $(IMAGE))"

.PHONY: release-push
release-push: ## make one image of those in build/release, push it to IMAGE_REPOSITORY, print its digest
	@rm -rf $(BUILD_DIR)/layout
	@scripts/release/layout.sh $(BUILD_DIR)/layout $(BUILD_DIR)/release >&2
	@scripts/release/push.sh $(BUILD_DIR)/layout "$$IMAGE_REPOSITORY" "$$VERSION"

.PHONY: release-assets
release-assets: ## collect from build/release what is attached to a release (ASSETS)
	@rm -rf $(ASSETS)
	@scripts/release/assets.sh "$$VERSION" $(BUILD_DIR)/release $(ASSETS)

.PHONY: release-tag
release-tag: ## name the image DIGEST of IMAGE_REPOSITORY: VERSION, 1.2, 1 and latest where they are due
	@scripts/release/tag.sh "$$IMAGE_REPOSITORY" "$$DIGEST" "$$VERSION"

.PHONY: release-github
release-github: ## release TAG on GitHub with ASSETS
	@scripts/release/github.sh "$$TAG" $(ASSETS)

##@ Deployment

.PHONY: deploy
deploy: ## deploy VERSION of IMAGE_REPOSITORY to ENV (staging, production), verify it there, or go back by itself
	@scripts/deploy/published.sh "$$VERSION" | { read -r image commit && \
	    scripts/deploy/deploy.sh "$$ENV" "$$image" "$$VERSION" "$$commit"; }

.PHONY: rollback
rollback: ## deploy to ENV what was verified there before what runs, or the release TO
	@scripts/deploy/rollback.sh "$$ENV" "$$TO"

.PHONY: status
status: ## show what runs in ENV, since when and by whom, and what each replica answers (fails when that is not right)
	@scripts/deploy/status.sh "$$ENV"

.PHONY: environments
environments: ## make the environments on GitHub as .github/environments says, approved by REVIEWERS (DRY_RUN=1 only says)
	@DRY_RUN="$(DRY_RUN)" scripts/environments.sh

.PHONY: deployer
deployer: ## as the cluster's administrator make the namespace of ENV and who may deploy there; print their kubeconfig
	@scripts/deploy/deployer.sh "$$ENV"

##@ Tidy

.PHONY: clean
clean: ## remove what was built, but not the libraries and tools that were fetched
	rm -rf $(filter-out build/deps build/tools,$(wildcard $(BUILD_DIR)/*))

.PHONY: distclean
distclean: ## remove everything that was built or fetched
	rm -rf $(BUILD_DIR)

# Rules

container = DOCKER="$(DOCKER)" BASE="$(BASE)" TOOLCHAIN="$(TOOLCHAIN)" AUDIT_OFFLINE="$(AUDIT_OFFLINE)" \
    TOOLCHAIN_IMAGE="$(TOOLCHAIN_IMAGE)" PORT="$(PORT)" \
    DEBIAN_MIRROR="$(DEBIAN_MIRROR)" DEBIAN_SECURITY_MIRROR="$(DEBIAN_SECURITY_MIRROR)"

.PHONY: FORCE
FORCE:

# What ships is what is compared, where it can be built.
shipped = $(if $(shell command -v musl-gcc),STATIC=1 CC=musl-gcc,$(info bench: musl-gcc is missing (apt-get install \
    musl-tools): this is the default build, not the one that ships))
bench_settings = ROUNDS="$(ROUNDS)" DURATION="$(DURATION)" CONNECTIONS="$(CONNECTIONS)" PEERS="$(PEERS)" THREADS="$(THREADS)"

fuzz_compiler = $(if $(findstring clang,$(CC)),$(CC),clang)
fuzz_settings = CC="$(fuzz_compiler)" FUZZ_SECONDS="$(or $(SECONDS),60)" TARGET="$(TARGET)"

# Rewritten only when it changes, and what depends on it is made anew only then.
keep = if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(OUT)/build-info.args: FORCE
	@mkdir -p $(@D)
	@scripts/build-info.sh > $@.new || { rm -f $@.new; exit 1; }
	@$(keep)

$(OUT)/build-info.values: $(OUT)/build-info.args
	@scripts/build-info.sh values > $@

# All that most tests need to know: they are not compiled anew for every commit.
$(OUT)/name.args: $(OUT)/build-info.args
	@grep '^-DNAME=' $< > $@.new
	@$(keep)

# Names the libraries and the compiler. A wrong value is told before anything is fetched.
$(OUT)/libraries: FORCE | $(OUT)/build-info.args
	@$(build_libraries)
	@cp $(DEPS)/.complete $@.new
	@$(keep)

$(OUT)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS))' > $@.new
	@$(keep)

$(OUT)/src/%.o: src/%.c $(OUT)/flags $(OUT)/libraries
	@mkdir -p $(@D)
	@echo "CC  $@"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/src/build_info.o: ALL_CFLAGS += @$(OUT)/build-info.args
$(OUT)/src/build_info.o: $(OUT)/build-info.args

# What each request goes through is worth the bytes, where all else is compiled for size.
$(OUT)/src/request.o $(OUT)/src/dispatch.o: private CFLAGS := $(subst -Os,-O2,$(CFLAGS))

$(OUT)/libmicrohttpd.a: $(OUT)/libraries
	@$(OBJCOPY) --redefine-sym accept4=server_accept $(DEPS)/lib/libmicrohttpd.a $@

# The licences go into the program: an image of one file has no other place for them.
$(OUT)/licenses.txt: scripts/licenses.sh LICENSE $(OUT)/libraries $(OUT)/build-info.args
	@CC="$(CC)" scripts/licenses.sh $(DEPS) $(if $(STATIC),static) > $@.new
	@$(keep)

$(OUT)/licenses.gz: $(OUT)/licenses.txt
	@gzip -9n < $< > $@

$(OUT)/page.html $(OUT)/badge.svg: $(OUT)/%: src/% scripts/fill-template.awk $(OUT)/build-info.values
	@LC_ALL=C awk -f scripts/fill-template.awk $(OUT)/build-info.values $< > $@

# Without indentation. In JSON no text has a quote, a colon and a space: the tests compare.
$(OUT)/%.json: src/%.json
	@mkdir -p $(@D)
	@sed -e 's/^ *//' -e 's/": /":/' $< | tr -d '\n' > $@

# By its hash the page's policy allows its style element: what is between the tags, with both ends of lines.
$(OUT)/page.style.h: $(OUT)/page.html
	@{ echo; sed '1,/^<style>$$/d;/^<\/style>$$/,$$d' $<; } | sha256sum | cut -c 1-64 | tr a-f A-F | \
	    basenc --base16 --decode | base64 | sed 's/.*/#define PAGE_STYLE_HASH "sha256-&"/' > $@

# A file as the elements of an array of char, which may be signed.
$(OUT)/%.inc: $(OUT)/%
	@od -An -v -to1 $< > $@.new
	@sed "s/ \([0-7]*\)/'\\\\\1',/g" $@.new > $@

$(OUT)/src/embedded.o: ALL_CFLAGS += -I$(OUT)
$(OUT)/src/embedded.o: $(EMBEDDED)

# The static one is what ships: stripped, with its debug information beside it. No link to that: its checksum
# would bring the folder of the build into the program.
$(PROGRAM): $(OBJECTS) $(OUT)/libmicrohttpd.a
	@echo "LD  $@"
	@$(CC) $(ALL_LDFLAGS) $(WRAP_REPLY) $(NO_SCANNER) -o $@ $(OBJECTS) $(LINKED)
	$(if $(STATIC),@$(STRIP))

# Compiled as the program is, to be compared with it.
$(OUT)/bench/%: bench/%.c $(OUT)/src/parse.o $(OUT)/flags
	@mkdir -p $(@D)
	@echo "LD  $@"
	@$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP -MF $@.d -o $@ $< $(OUT)/src/parse.o
	$(if $(STATIC),@$(STRIP))

$(OUT)/tests/faults/preload.so: tests/faults/preload.c $(OUT)/flags
	@mkdir -p $(@D)
	@echo "LD  $@"
	@$(CC) -std=c17 -D_GNU_SOURCE $(WARNINGS) $(CFLAGS) -fPIC -shared -pthread -o $@ $<

TEST_INFO = @$(OUT)/name.args
wraps = $$(sed -nE 's,^/\* wraps: (.*) \*/$$,\1,p' $1 | tr ' ' '\n' | sed '/./s/^/-Wl,--wrap=/')

# Each test program: its file, what they share, and the modules, with the functions that the file
# says it wraps ("wraps: malloc calloc").
$(OUT)/tests/%.o: tests/%.c $(OUT)/flags $(OUT)/libraries $(OUT)/name.args
	@mkdir -p $(@D)
	@echo "CC  $@"
	@$(CC) $(ALL_CFLAGS) -Itests/support $(TEST_INFO) -MMD -MP -c -o $@ $<

INFORMED := $(patsubst %,$(OUT)/tests/%.o,unit/test_build_info unit/test_main e2e/test_cli)
$(INFORMED): TEST_INFO = @$(OUT)/build-info.args
$(INFORMED): $(OUT)/build-info.args

$(OUT)/tests/%: $(OUT)/tests/%.o $(SUPPORT) $(MODULES) $(OUT)/libmicrohttpd.a
	@echo "LD  $@"
	@$(CC) $(TEST_LDFLAGS) $(WRAP_REPLY) $(call wraps,tests/$*.c) \
	    -o $@ $< $(SUPPORT) $(MODULES) $(LINKED) $(DEPS)/lib/libcmocka.a

# A fuzz target alone is a test that runs its seeds; for make fuzz libFuzzer has the main().
FUZZ_PARTS := $(addprefix $(OUT)/tests/fuzz/,responses.o common.o $(if $(INSTRUMENTATION),,replay.o))
$(OUT)/tests/fuzz/fuzz_%: $(OUT)/tests/fuzz/fuzz_%.o $(FUZZ_PARTS) $(MODULES) $(OUT)/libmicrohttpd.a
	@echo "LD  $@"
	@$(CC) $(TEST_LDFLAGS) $(if $(INSTRUMENTATION),-fsanitize=fuzzer) $(WRAP_REPLY) $(call wraps,tests/fuzz/fuzz_$*.c) \
	    -o $@ $< $(FUZZ_PARTS) $(MODULES) $(LINKED)

.SECONDARY:

-include $(OBJECTS:.o=.d) $(SUPPORT:.o=.d) $(FUZZ_PARTS:.o=.d) $(TESTS:=.d) $(LOAD).d $(BENCH:=.d)

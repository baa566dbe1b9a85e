# How the libraries and the program are compiled, and where the libraries are. The Makefile includes it;
# `make -f deps/deps.mk libraries` builds the libraries alone, as the toolchain image does.

LIBRARIES ?= build/deps

compiler := $(notdir $(subst $(eval ) ,_,$(CC)))
DEPS     := $(LIBRARIES)/$(compiler)

machine := $(shell $(CC) -dumpmachine 2>/dev/null) # empty without a compiler, of which deps/build.sh tells
control_flow := $(if $(filter x86_64%,$(machine)),-fcf-protection=full)$(if $(filter aarch64%,$(machine)),-mbranch-protection=standard)

# musl is chosen for small programs, and nothing unwinds a C program that is stripped.
OPTIMIZATION := $(if $(filter musl%,$(compiler)),-Os -fno-unwind-tables -fno-asynchronous-unwind-tables,-O2) -g
HARDENING := -fPIE -fstack-protector-strong -fstack-clash-protection $(control_flow)
FORTIFY   := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
SECTIONS  := -ffunction-sections -fdata-sections

# INSTRUMENTATION is what a sanitizer adds; the libc's own checks would hide calls from it.
build_libraries = CC="$(CC)" AR="$(AR)" \
    CFLAGS="$(OPTIMIZATION) $(SECTIONS) $(HARDENING) $(or $(INSTRUMENTATION),$(FORTIFY))" deps/build.sh $(DEPS)

.PHONY: libraries
libraries:
	@$(build_libraries)

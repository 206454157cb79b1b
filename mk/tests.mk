# SPDX-License-Identifier: Apache-2.0
## make deps       installs the Debian packages that are missing (mk/deps.txt); needs root for that
## make test       everything: deps, programs, unit, fuzz, end to end (root); ends with the totals
## make check      the tests that need no root: unit, and each fuzzer for a few seconds
## make unit       CMocka tests, tests/unit/AREA/*_test.c     UNIT=common/mapping runs one
## make e2e        Bats tests on the real programs (root)     E2E=apps runs one
## make fuzz       every fuzzer for FUZZ_SECONDS=60           FUZZ=mapping runs one
## make oracle     the same calls on the kernel and on STACK=tcpip (lwip, loop, kernel), compared
##                 ONLY=epoll runs the cases whose names hold that word
## make test-sriov   the link sriov on an emulated NIC: QEMU of backports (root)   SRIOV=kill runs one
## make test-cluster the quick start on Kubernetes 1.20, built from Debian's source (root)   CLUSTER=reboot runs one
## make demo       shows what DMM does (root)
## make bench-sriov  ADD and DEL of a VF on that NIC, beside what the kernel alone takes (root)
## make bench      measures DMM against the kernel (root)   BENCH="--only redis" chooses
## make SAN=address test, SAN=thread test    the same with sanitizers, built in build/san-*
#
# A new test file needs no change here: an area's tests are linked with the area's library, what that
# needs, and those files of their folder that are no tests themselves. A fuzzer is linked with the
# areas whose headers it includes.

LIB_PRELOAD = $(BUILD)/lib/preload.a
$(eval $(call library,$(LIB_PRELOAD),$(PRELOAD_SRC)))

LIBS_common  = $(LIB_JSON) $(LIB_COMMON)
LIBS_cni     = $(LIB_CNI) $(LIBS_common)
LIBS_tcpip   = $(LIB_TCPIP) $(LIB_COMMON)
LIBS_tcp     = $(LIB_TCPIP) $(LIB_COMMON)
LIBS_sidecar = $(LIB_SIDECAR) $(LIB_TCPIP) $(LIBS_common)
LIBS_preload = $(LIB_PRELOAD) $(LIBS_common)
LIBS_ctl     = $(LIB_CTL) $(LIBS_common)
LIBS_injector = $(LIB_INJECTOR) $(LIBS_common)
LIBS_installer = $(LIB_INSTALLER) $(LIBS_cni)
SYS_common   = $(JANSSON_LIBS) -lpthread
SYS_cni      = $(NL_LIBS) $(KUBE_LIBS) -lpthread
SYS_tcpip    = -lpthread
SYS_tcp      = -lpthread
SYS_sidecar  = $(SIDECAR_LIBS)
SYS_preload  = $(JANSSON_LIBS) -lpthread -ldl
SYS_ctl      = $(JANSSON_LIBS) -lpthread
SYS_injector = $(INJECTOR_LIBS) -lpthread
SYS_installer = $(SYS_cni)
AREAS        = common cni tcpip tcp sidecar preload ctl injector installer

$(BUILD)/obj/tests/%: EXTRA = $(NL_CFLAGS)
$(BUILD)/obj/tests/unit/sidecar/ethdev%: EXTRA = $(DPDK_CFLAGS)
$(BUILD)/obj/tests/unit/sidecar/lwip%: EXTRA = $(LWIP_CFLAGS)

# ---- unit ----

UNIT      ?= */*
UNIT_BINS  = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/$(UNIT:_test=)_test.c))
helpers    = $(filter-out %_test.c,$(wildcard tests/unit/$(1)/*.c))

# Stacks for tests, loaded as an operator's: tests/plugins/NAME.c becomes BUILD/tests/NAME.so.
PLUGINS = $(patsubst tests/plugins/%.c,$(BUILD)/tests/%.so,$(wildcard tests/plugins/*.c))
$(PLUGINS): $(BUILD)/tests/%.so: $(BUILD)/obj/tests/plugins/%.o
	$(link) -shared $^ $(LDFLAGS)

# What an area's tests run, besides what they are linked with.
RUNS_sidecar = $(BUILD)/dmm-stackd $(PLUGINS)

define unit_area
$$(patsubst %.c,$$(BUILD)/%,$$(wildcard tests/unit/$(1)/*_test.c)): \
$$(BUILD)/%: $$(BUILD)/obj/%.o $$(call objs,$$(call helpers,$(1))) $$(LIBS_$(1)) | $$(RUNS_$(1))
	$$(link) $$(filter %.o %.a,$$^) $$(LDFLAGS) $$(SYS_$(1)) -lcmocka
endef
$(foreach area,$(AREAS),$(eval $(call unit_area,$(area))))

# ---- stacks for tests, loaded by dmm-stackd as plug-ins: build/tests/NAME.so ----

PLUGINS = $(patsubst tests/plugins/%.c,$(BUILD)/tests/%.so,$(wildcard tests/plugins/*.c))
$(BUILD)/tests/%.so: $(BUILD)/obj/tests/plugins/%.o
	$(link) -shared $< $(LDFLAGS)
programs: $(PLUGINS)
.SECONDARY: $(PLUGINS:$(BUILD)/tests/%.so=$(BUILD)/obj/tests/plugins/%.o)

# The plug-in that docs/stack-abi.md shows is built as an outsider would.
$(BUILD)/examples/stack/%.so: examples/stack/%.c sidecar/stack.h common/addr.h
	$(link) -shared $(CFLAGS) $< $(LDFLAGS)
$(BUILD)/tests/unit/sidecar/plugin_test: | $(BUILD)/examples/stack/echo.so

# ---- benches of libraries: tests/bench/NAME.c becomes BUILD/tests/bench/NAME ----

$(BUILD)/tests/bench/tcpip_mem: $(BUILD)/obj/tests/bench/tcpip_mem.o $(LIBS_tcpip)
	$(link) $^ $(LDFLAGS)

SRIOV_BOUND = $(BUILD)/tests/sriov_bound
$(SRIOV_BOUND): $(call objs,tests/sriov/bound.c) $(LIBS_cni)
	$(link) $^ $(LDFLAGS) $(SYS_cni)

# ---- programs that are run under the shim and on the kernel: build/tests/preload/NAME ----

SHIM_HELPERS  = $(BUILD)/obj/tests/preload/say.o
SHIM_PROGRAMS = $(patsubst tests/preload/%.c,$(BUILD)/tests/preload/%,\
                $(filter-out tests/preload/say.c,$(wildcard tests/preload/*.c)))
$(SHIM_PROGRAMS): $(BUILD)/tests/preload/%: $(BUILD)/obj/tests/preload/%.o $(SHIM_HELPERS)
	$(link) $^ $(LDFLAGS) -lpthread
programs: $(SHIM_PROGRAMS)
.SECONDARY: $(SHIM_PROGRAMS:$(BUILD)/%=$(BUILD)/obj/%.o)

# ---- the differential oracle: tests/oracle/*.c make one program of many cases ----

ORACLE_OBJS = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/oracle/*.c)) $(SHIM_HELPERS)
# Cases hand wrong arguments to calls on purpose.
$(BUILD)/obj/tests/oracle/%: EXTRA = -Wno-nonnull $(if $(findstring clang,$(CC)),,-Wno-stringop-overread \
    -Wno-stringop-overflow)
$(BUILD)/tests/oracle/oracle: $(ORACLE_OBJS)
	$(link) $^ $(LDFLAGS) -lpthread
programs: $(BUILD)/tests/oracle/oracle

# ---- fuzz: clang's libFuzzer, in a build folder of its own ----

FUZZ          ?= *
FUZZ_SRC       = $(wildcard tests/fuzz/$(FUZZ:_fuzz=)_fuzz.c)
FUZZ_BUILD     = $(patsubst %/san-$(SAN),%,$(BUILD))/san-fuzz
FUZZ_BINS      = $(patsubst %.c,$(FUZZ_BUILD)/%,$(FUZZ_SRC))
SANFLAGS_fuzz  = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
# The areas whose headers a file includes; tcpip lies inside sidecar.
areas_of       = $(shell sed -nE 's,^.include "(sidecar/|deploy/)?(tcpip|$(subst $(eval) ,|,$(AREAS)))/.*,\2,p' $(1) | sort -u)

# Helpers of the unit tests whose headers it includes.
helpers_of     = $(shell sed -nE 's,^.include "(tests/unit/[^"]*/[^"]*)\.h".*,$(BUILD)/obj/\1.o,p' $(1))

ifeq ($(SAN),fuzz)
define fuzz_program
$(BUILD)/tests/fuzz/$(1): $(BUILD)/obj/tests/fuzz/$(1).o $(3) $(sort $(foreach area,$(2),$(LIBS_$(area))))
	$$(link) $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LDFLAGS) -fsanitize=fuzzer \
	$(foreach area,$(2),$(SYS_$(area)))
endef
$(foreach src,$(FUZZ_SRC),$(eval $(call fuzz_program,$(basename $(notdir $(src))),$(call areas_of,$(src)),$(call helpers_of,$(src)))))
endif

.PHONY: fuzz-programs
fuzz-programs:
ifneq ($(FUZZ_SRC),)
	+$(Q)$(MAKE) --no-print-directory CC=clang SAN=fuzz BUILD=$(FUZZ_BUILD) $(FUZZ_BINS)
endif

# ---- running ----

# A sanitizer's runtime has to come before all else in a program that has none of its own, and the
# shim is loaded into such.
RUNTIME_gcc_address   = libasan.so
RUNTIME_gcc_thread    = libtsan.so
RUNTIME_clang_address = libclang_rt.asan-$(shell uname -m).so
RUNTIME_clang_thread  = libclang_rt.tsan-$(shell uname -m).so
COMPILER              = $(if $(findstring clang,$(CC)),clang,gcc)
PRELOAD_FIRST         = $(if $(RUNTIME_$(COMPILER)_$(SAN)),$(shell $(CC) -print-file-name=$(RUNTIME_$(COMPILER)_$(SAN))))

E2E      ?= *
E2E_FILES = $(wildcard tests/e2e/$(E2E:.bats=).bats)
ORACLE_ENV = SAN=$(SAN) DMM_BUILD=$(abspath $(BUILD)) DMM_PRELOAD_FIRST="$(PRELOAD_FIRST)" \
             ASAN_OPTIONS="detect_leaks=0:verify_asan_link_order=0:$$ASAN_OPTIONS" \
             TSAN_OPTIONS="suppressions=$(abspath tests/tsan.supp):$$TSAN_OPTIONS"
RUN       = SAN=$(SAN) DMM_BUILD=$(abspath $(BUILD)) DMM_PRELOAD_FIRST="$(PRELOAD_FIRST)" tests/run

# Not part of `make test`: emulation is slow, and what it needs is installed for it alone.
SRIOV      ?= *
SRIOV_FILES = $(wildcard tests/sriov/$(SRIOV:.bats=).bats)

# Nor is this: what it needs is built from Debian's source of Kubernetes.
CLUSTER      ?= *
CLUSTER_FILES = $(wildcard tests/cluster/$(CLUSTER:.bats=).bats)

.PHONY: test-run demo-run bench-run test-sriov-run bench-sriov-run test-cluster-run
deps:
	$(Q)mk/deps.sh

# What is installed is known only to a make that starts after the installation.
deps-then-%: deps
	+$(Q)$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc)) $*

test: deps-then-test-run
demo: deps-then-demo-run
bench: deps-then-bench-run
test-sriov: deps-then-test-sriov-run
bench-sriov: deps-then-bench-sriov-run
test-cluster: deps-then-test-cluster-run
demo-run: programs
	$(Q)DMM_BUILD=$(abspath $(BUILD)) examples/demo
bench-run: programs $(BUILD)/tests/bench/tcpip_mem
	$(Q)DMM_BUILD=$(abspath $(BUILD)) /usr/bin/python3 tests/bench/bench.py --out $(BUILD)/bench $(BENCH)
test-run: programs fuzz-programs $(UNIT_BINS)
	$(Q)$(RUN) --unit $(UNIT_BINS) --fuzz $(FUZZ_BINS) --e2e $(E2E_FILES)
test-sriov-run: programs
	$(Q)SRIOV_DIR=$(BUILD)/sriov $(RUN) --sriov $(SRIOV_FILES)
test-cluster-run: programs
	$(Q)tests/cluster/build $(BUILD)/cluster
	$(Q)CLUSTER_DIR=$(abspath $(BUILD))/cluster $(RUN) --e2e $(CLUSTER_FILES)
bench-sriov-run: programs $(SRIOV_BOUND)
	$(Q)tests/sriov/setup $(BUILD)/sriov && rm -f $(BUILD)/bench-sriov/figures && \
	{ DMM_BUILD=$(abspath $(BUILD)) tests/sriov/boot $(BUILD)/sriov $(BUILD)/bench-sriov 1200 tests/sriov/bench; \
	status=$$?; cat $(BUILD)/bench-sriov/figures; exit $$status; }
check: fuzz-programs $(UNIT_BINS)
	$(Q)$(RUN) --unit $(UNIT_BINS) --fuzz $(FUZZ_BINS)
unit: $(UNIT_BINS)
	$(Q)$(RUN) --unit $(UNIT_BINS)
e2e: programs
	$(Q)$(RUN) --e2e $(E2E_FILES)
oracle: programs
	$(Q)$(ORACLE_ENV) tests/oracle/run.py --stack $(or $(STACK),tcpip) $(addprefix --only ,$(ONLY)) $(ORACLE)
fuzz: fuzz-programs
	$(Q)FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) FUZZ_CORPUS=$(FUZZ_BUILD)/corpus $(RUN) --fuzz $(FUZZ_BINS)

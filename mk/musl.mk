# SPDX-License-Identifier: Apache-2.0
# build/libdmm-musl.so: the shim for programs on musl (Alpine), where there is a compiler for it
# (musl-tools). The kernel's headers are the host's.

MUSL_CC     = $(shell command -v musl-gcc)
MUSL_PLAIN  = $(filter-out $(SANFLAGS),$(1))
MUSL_CFLAGS = $(call MUSL_PLAIN,$(CFLAGS)) -idirafter /usr/include -idirafter /usr/include/$(shell gcc -print-multiarch)
MUSL_OBJS   = $(patsubst %.c,$(BUILD)/musl/%.o,$(PRELOAD_SRC) $(COMMON_SRC))

$(BUILD)/musl/%.o: %.c
	@mkdir -p $(@D)
	@echo "  MUSL $<"
	$(Q)$(MUSL_CC) $(MUSL_CFLAGS) -c -o $@ $<
$(BUILD)/libdmm-musl.so: $(MUSL_OBJS)
	@echo "  LD   $@"
	$(Q)$(MUSL_CC) -o $@ -shared $^ $(call MUSL_PLAIN,$(LDFLAGS)) -Wl,-z,nodelete
# A program of musl's for tests/e2e/libc.bats.
$(BUILD)/musl/tests/preload/%: $(BUILD)/musl/tests/preload/%.o $(BUILD)/musl/tests/preload/say.o
	@echo "  LD   $@"
	$(Q)$(MUSL_CC) -o $@ $^ $(call MUSL_PLAIN,$(LDFLAGS))

MUSL_TESTS = $(patsubst %,$(BUILD)/musl/tests/preload/%,calls stream events fds processes exec files daemons)
programs: $(if $(MUSL_CC),$(BUILD)/libdmm-musl.so $(MUSL_TESTS))
.SECONDARY: $(MUSL_TESTS:%=%.o) $(BUILD)/musl/tests/preload/say.o

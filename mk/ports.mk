# SPDX-License-Identifier: Apache-2.0
# build/tests/portdriver: drives one port without a stack, for tests/e2e/port.bats and measurements.

PORTDRIVER = $(BUILD)/tests/portdriver
$(PORTDRIVER): $(call objs,$(wildcard tests/ports/*.c)) $(LIB_SIDECAR) $(LIB_COMMON)
	$(link) $^ $(LDFLAGS) $(DPDK_LIBS)

e2e test-run: $(PORTDRIVER)

# build/tests/relay: a wire that loses, doubles, reorders and marks, between two interfaces.
RELAY = $(BUILD)/tests/relay
$(RELAY): $(call objs,tests/relay/relay.c)
	$(link) $^ $(LDFLAGS)

e2e test-run: $(RELAY)

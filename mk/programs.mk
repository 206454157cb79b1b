# SPDX-License-Identifier: Apache-2.0
## make            build/dmm build/dmm-kube build/dmm-stackd build/libdmm.so build/dmmctl, and what deploys them:
##                 build/dmm-install build/dmm-shim build/dmm-injector
## make images     OCI archives of all of it in build/images
#
# Every folder's sources are found by wildcard; main.c of a program is kept out of its library, so
# that unit tests link the rest.

srcs  = $(filter-out %/main.c,$(wildcard $(1)))
objs  = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

# The shim links only what needs no library: jansson stays out of other people's processes.
COMMON_JSON_SRC = $(wildcard common/*_json.c)
COMMON_SRC      = $(filter-out $(COMMON_JSON_SRC),$(wildcard common/*.c))
CNI_SRC         = $(call srcs,cni/*.c cni/link/*.c)
TCPIP_SRC       = $(call srcs,sidecar/tcpip/*.c sidecar/tcpip/*/*.c)
SIDECAR_SRC     = $(call srcs,sidecar/*.c sidecar/stacks/*.c sidecar/stacks/*/*.c sidecar/port/*.c)
PRELOAD_SRC     = $(wildcard preload/*.c)
CTL_SRC         = $(call srcs,ctl/*.c)
INSTALLER_SRC   = $(call srcs,deploy/installer/*.c)
INJECTOR_SRC    = $(call srcs,deploy/injector/*.c)

LIB_COMMON  = $(BUILD)/lib/common.a
LIB_JSON    = $(BUILD)/lib/common_json.a
LIB_CNI     = $(BUILD)/lib/cni.a
LIB_TCPIP   = $(BUILD)/lib/tcpip.a
LIB_SIDECAR = $(BUILD)/lib/sidecar.a
LIB_CTL     = $(BUILD)/lib/ctl.a
LIB_INSTALLER = $(BUILD)/lib/installer.a
LIB_INJECTOR = $(BUILD)/lib/injector.a

JANSSON_LIBS = -ljansson
NL_CFLAGS   := $(shell pkg-config --cflags libnl-route-3.0 2>/dev/null)
NL_LIBS      = -lnl-route-3 -lnl-3
LWIP_CFLAGS  = -isystem /usr/include/lwip
# DPDK is linked statically with the drivers we use: a quarter of the memory, half the start time.
DPDK_CFLAGS := $(patsubst -I%,-isystem %,$(shell pkg-config --cflags libdpdk 2>/dev/null))
# Drivers register themselves in constructors: nothing names them, so they are linked whole.
# Of NICs only what drives VFs is: e1000 (igb's), ixgbe's, iavf (those of i40e and ice): 1.4 MB together.
# A VF of mlx5 keeps its kernel driver and is an interface.
VF_DRIVERS  ?= net_e1000 net_ixgbe net_iavf
DPDK_WHOLE   = net_virtio net_vhost net_memif $(VF_DRIVERS) bus_vdev bus_pci mempool_ring
DPDK_PARTS   = vhost ethdev net mbuf mempool ring dmadev cryptodev rcu hash pci meter \
               common_iavf security kvargs telemetry eal
dpdk_lib     = $(patsubst %,-l:librte_%.a,$(1))
DPDK_LIBS    = -Wl,--whole-archive $(call dpdk_lib,$(DPDK_WHOLE)) -Wl,--no-whole-archive \
               -Wl,--start-group $(call dpdk_lib,$(DPDK_PARTS)) -Wl,--end-group \
               -lbsd -lnuma -lm -ldl -lpthread

$(BUILD)/obj/cni/%: EXTRA = $(NL_CFLAGS)
$(BUILD)/obj/sidecar/port/ethdev%: EXTRA = $(DPDK_CFLAGS)
$(BUILD)/obj/sidecar/stacks/lwip%: EXTRA = $(LWIP_CFLAGS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(Q)$(CC) $(CFLAGS) $(EXTRA) -c -o $@ $<

define library
$(1): $$(call objs,$(2))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(eval $(call library,$(LIB_COMMON),$(COMMON_SRC)))
$(eval $(call library,$(LIB_JSON),$(COMMON_JSON_SRC)))
$(eval $(call library,$(LIB_CNI),$(CNI_SRC)))
$(eval $(call library,$(LIB_TCPIP),$(TCPIP_SRC)))
$(eval $(call library,$(LIB_SIDECAR),$(SIDECAR_SRC)))
$(eval $(call library,$(LIB_CTL),$(CTL_SRC)))
$(eval $(call library,$(LIB_INSTALLER),$(INSTALLER_SRC)))
$(eval $(call library,$(LIB_INJECTOR),$(INJECTOR_SRC)))

SIDECAR_LIBS = $(DPDK_LIBS) -lmicrohttpd $(JANSSON_LIBS) -lpthread -ldl

link = @echo "  LD   $@"; mkdir -p $(@D); $(CC) -o $@

# The plugin runs on the node, which is of any distribution: static, but for a sanitizer's runtime. libnl-route is linked
# whole, because what it knows of a kind of link is registered by a constructor that nothing refers to.
PLUGIN_STATIC = $(if $(SAN),,-static-pie)
PLUGIN_LIBS   = -Wl,-Bstatic -Wl,--whole-archive -lnl-route-3 -Wl,--no-whole-archive -lnl-3 $(JANSSON_LIBS) \
                $(if $(SAN),-Xlinker -Bdynamic) -lm
$(BUILD)/dmm: $(BUILD)/obj/cni/main.o $(if $(SAN),,$(BUILD)/obj/cni/static/names.o) $(LIB_CNI) $(LIB_JSON) $(LIB_COMMON)
	$(link) $(PLUGIN_STATIC) $^ $(LDFLAGS) $(PLUGIN_LIBS)
KUBE_LIBS = -lcurl -lyaml $(JANSSON_LIBS)
$(BUILD)/dmm-kube: $(BUILD)/obj/cni/kube/main.o $(LIB_CNI) $(LIB_COMMON)
	$(link) $^ $(LDFLAGS) $(KUBE_LIBS)
$(BUILD)/dmm-stackd: $(BUILD)/obj/sidecar/main.o $(LIB_SIDECAR) $(LIB_TCPIP) $(LIB_JSON) $(LIB_COMMON)
	$(link) -rdynamic $^ $(LDFLAGS) $(SIDECAR_LIBS)
$(BUILD)/dmmctl: $(BUILD)/obj/ctl/main.o $(LIB_CTL) $(LIB_JSON) $(LIB_COMMON)
	$(link) $^ $(LDFLAGS) $(JANSSON_LIBS) -lcurl
# dlsym() is libdl's before glibc 2.34; see preload/libc.h.
LIBDL = -Wl,--push-state,--no-as-needed -l:libdl.so.2 -Wl,--pop-state
$(BUILD)/libdmm.so: $(call objs,$(PRELOAD_SRC)) $(LIB_COMMON)
	$(link) -shared $^ $(LDFLAGS) -Wl,-z,nodelete $(LIBDL)

$(BUILD)/dmm-install: $(BUILD)/obj/deploy/installer/main.o $(LIB_INSTALLER) $(LIB_CNI) $(LIB_COMMON)
	$(link) $^ $(LDFLAGS) $(JANSSON_LIBS)
INJECTOR_LIBS = -lmicrohttpd -lgnutls $(JANSSON_LIBS)
$(BUILD)/dmm-injector: $(BUILD)/obj/deploy/injector/main.o $(LIB_INJECTOR) $(LIB_JSON) $(LIB_COMMON)
	$(link) $^ $(LDFLAGS) $(INJECTOR_LIBS)
# Static, so that its image needs nothing else. Sanitizers' runtimes can't be linked so.
$(BUILD)/dmm-shim: $(BUILD)/obj/deploy/shim/main.o $(LIB_COMMON)
	$(link) $^ $(LDFLAGS) $(if $(SAN),,-static)

.PHONY: programs images
PROGRAMS = $(BUILD)/dmm $(BUILD)/dmm-kube $(BUILD)/dmm-stackd $(BUILD)/libdmm.so $(BUILD)/dmmctl $(BUILD)/dmm-install \
           $(BUILD)/dmm-shim $(BUILD)/dmm-injector
programs: $(PROGRAMS)
images: programs
	$(Q)/usr/bin/python3 deploy/image/build.py --build $(BUILD) --out $(BUILD)/images $(IMAGES)

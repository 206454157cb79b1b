# SPDX-License-Identifier: Apache-2.0
## make install    DESTDIR= PREFIX=/usr/local; the CNI plugin goes to CNI_BIN=/opt/cni/bin
PREFIX  ?= /usr/local
CNI_BIN ?= /opt/cni/bin

install: programs
	install -D -m 755 $(BUILD)/dmm-kube $(DESTDIR)$(CNI_BIN)/dmm-kube
	install -D -m 755 $(BUILD)/dmm $(DESTDIR)$(CNI_BIN)/dmm
	install -D -m 755 $(BUILD)/dmm-stackd $(DESTDIR)$(PREFIX)/sbin/dmm-stackd
	install -D -m 755 $(BUILD)/dmmctl $(DESTDIR)$(PREFIX)/bin/dmmctl
	install -D -m 644 $(BUILD)/libdmm.so $(DESTDIR)$(PREFIX)/lib/libdmm.so
	test ! -e $(BUILD)/libdmm-musl.so || \
	install -D -m 644 $(BUILD)/libdmm-musl.so $(DESTDIR)$(PREFIX)/lib/libdmm-musl.so

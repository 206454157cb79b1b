# SPDX-License-Identifier: Apache-2.0
# DMM: one non-recursive makefile. `make help` lists the targets.
#
#   CC=gcc|clang      SAN=address|thread (own build folder)      V=1 shows the commands

SAN    ?=
BUILD  ?= build$(if $(SAN),/san-$(SAN))
CC      = gcc
Q       = $(if $(V),,@)

WARN    = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
          -Wpointer-arith -Wvla -Wundef -Wformat=2 -Wno-format-nonliteral
# Undefined behaviour traps, which AddressSanitizer then reports where its own findings go: gcc's libubsan
# beside libasan heeds no log_path, and what a sidecar wrote to stderr was lost.
SANFLAGS_address = -fsanitize=address,undefined -fsanitize-undefined-trap-on-error
# Fences only order wake-ups here, data is ordered by acquire and release: gcc's warning that it does
# not follow fences is no finding.
SANFLAGS_thread  = -fsanitize=thread $(if $(findstring clang,$(CC)),,-Wno-tsan)
SANFLAGS = $(SANFLAGS_$(SAN))
CFLAGS ?= -O2 -g
override CFLAGS += -std=c11 -D_GNU_SOURCE $(WARN) -fPIC -fvisibility=hidden -fno-strict-aliasing \
          -fstack-protector-strong $(SANFLAGS) -I. -MMD -MP
override LDFLAGS += $(SANFLAGS) -Wl,-z,relro,-z,now,--as-needed

.PHONY: all help deps demo test check bench lint format install clean unit e2e fuzz oracle
all: programs
.DEFAULT_GOAL = all

include mk/programs.mk
include mk/tests.mk
include mk/musl.mk
include mk/ports.mk
include mk/lint.mk
include mk/install.mk

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

clean:
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

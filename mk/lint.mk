# SPDX-License-Identifier: Apache-2.0
## make lint       clang-format (check), clang-tidy, cppcheck, shellcheck   IN=common: one folder only
## make format     clang-format, in place

IN     ?= .ci mk common cni sidecar preload ctl deploy tests examples
LINT_C  = $(shell find $(wildcard $(IN)) -name '*.c')
LINT_H  = $(shell find $(wildcard $(IN)) -name '*.h')
HEADERS = $(shell find common cni sidecar preload ctl deploy tests -name '*.h' 2>/dev/null)
# Scripts are known by their first line; .bash files are sourced by others and have none.
LINT_SH = $(shell find $(wildcard $(IN)) -type f -exec awk 'FNR == 1 && \
          (/^\#!.*[\/ ](sh|bash|bats)$$/ || FILENAME ~ /\.bash$$/) { print FILENAME } { nextfile }' {} +)
TIDY    = $(patsubst %.c,$(BUILD)/obj/%.tidy,$(LINT_C))

.PHONY: lint-format lint-c lint-sh
lint: lint-format lint-c lint-sh $(TIDY)
	@echo "lint: nothing found"

lint-format:
	$(Q)test -z "$(LINT_C)$(LINT_H)" || clang-format --dry-run -Werror $(LINT_C) $(LINT_H)
lint-c:
	$(Q)test -z "$(LINT_C)" || cppcheck -q --error-exitcode=1 --std=c11 --language=c -I. \
	--inline-suppr --enable=warning,style,performance,portability --suppress=variableScope \
	--suppress=missingIncludeSystem $(LINT_C)
# SC2034: a variable that the script which sources this one uses.
lint-sh:
	$(Q)test -z "$(LINT_SH)" || shellcheck -x -P SCRIPTDIR -e SC2034 $(LINT_SH)

$(BUILD)/obj/%.tidy: %.c $(HEADERS) .clang-tidy tests/.clang-tidy
	@mkdir -p $(@D)
	@echo "  TIDY $<"
	$(Q)clang-tidy --quiet $< -- -std=c11 -D_GNU_SOURCE -I. $(EXTRA) >$@.log 2>/dev/null || \
	{ cat $@.log; rm -f $@.log; exit 1; }
	@mv $@.log $@

format:
	clang-format -i $(LINT_C) $(LINT_H)

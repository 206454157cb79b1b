/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number: strict decimal numbers in configuration text: digits alone, no sign, no blank, no leading
 * zero, so that one value has one spelling. Pure. Any thread.
 */
#ifndef DMM_COMMON_NUMBER_H
#define DMM_COMMON_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/* Reads the `len` bytes at `text` as a number of 0 to `max`; false, with *value untouched, if they
 * are anything else. */
bool dmm_number_parse(const char *text, size_t len, unsigned long max, unsigned long *value);

#endif

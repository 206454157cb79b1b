/* SPDX-License-Identifier: Apache-2.0 */
/* CMocka, with the headers before it that it needs. */
#ifndef DMM_TESTS_UNIT_CMOCKA_H
#define DMM_TESTS_UNIT_CMOCKA_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

/* For an argument that a test has no use for. */
#define UNUSED(x) ((void)(x))

#endif

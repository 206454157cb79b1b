/* SPDX-License-Identifier: Apache-2.0 */
/* version: one version for all programs; `--version` prints it. */
#ifndef DMM_COMMON_VERSION_H
#define DMM_COMMON_VERSION_H

#define DMM_VERSION "0.1.0"

#endif

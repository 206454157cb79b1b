/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: the options that were set on a socket before its stack was chosen, in order, so that they
 * can be set again on whichever is chosen. Setting an option again replaces its older entry, unless
 * it is one that adds up (joining multicast groups).
 *
 * Pure. The owner serialises.
 */
#ifndef DMM_PRELOAD_RECORD_H
#define DMM_PRELOAD_RECORD_H

#include "common/proto.h"

#include <stdbool.h>
#include <stdint.h>

#define RECORD_OPTIONS DMM_EXPORT_OPTIONS
#define RECORD_VALUE   DMM_EXPORT_VALUE /* bytes: ip_mreqn, ipv6_mreq and timeval fit */

struct record_option {
    int32_t level, name;
    uint32_t len;
    uint8_t value[RECORD_VALUE];
};

struct record {
    uint32_t n;
    struct record_option options[RECORD_OPTIONS];
};

/* True for options of which a socket can have several: group memberships. */
bool record_adds_up(int level, int name);

/* 0; -ENOBUFS: too many; -EINVAL: `len` is more than a value holds. Then nothing is recorded. */
int record_add(struct record *record, int level, int name, const void *value, uint32_t len);

#endif

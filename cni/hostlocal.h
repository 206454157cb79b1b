/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostlocal: what the IPAM plugin host-local does for ADD and DEL, without starting it: to start a
 * program of that size costs more than all else that ADD does.
 *
 * It works on the same files, under the same lock, so that both may be used in turn and at once:
 *   <dataDir>/<network>/lock                     flock
 *   <dataDir>/<network>/<address>                "CONTAINER\r\nIFNAME": a lease
 *   <dataDir>/<network>/last_reserved_ip.<set>   where the next search begins
 * (containernetworking-plugins, plugins/ipam/host-local/backend; checked against Debian's 1.1.1.)
 *
 * Only for the usual configurations: one range for each of at most two families, no address asked
 * for, no resolvConf. For all else, and for what is wrong, dmm_hostlocal_can() says no, and the
 * plugin is run.
 *
 * Differences: a lease appears with its contents, so that a kill leaves none without an owner; and
 * ADD does not look through all leases for one of the same attachment, which our record rules out.
 *
 * One thread.
 */
#ifndef DMM_CNI_HOSTLOCAL_H
#define DMM_CNI_HOSTLOCAL_H

#include "common/addr.h"
#include "common/err.h"

#include <jansson.h>
#include <stdbool.h>

#define DMM_HOSTLOCAL_SETS 2

/* start <= end, both inside the subnet. */
struct dmm_hostlocal_range {
    uint8_t len; /* prefix length of the subnet */
    struct dmm_addr start;
    struct dmm_addr end;
    struct dmm_addr gateway;
};

/* Borrows from the JSON that it was read from. */
struct dmm_hostlocal {
    const char *data_dir;
    const char *network;
    const json_t *routes; /* an array, or NULL */
    unsigned n_sets;
    struct dmm_hostlocal_range sets[DMM_HOSTLOCAL_SETS];
};

/* Reads a network configuration with CNI_ARGS (may be NULL). False: run the plugin. Pure. */
bool dmm_hostlocal_can(struct dmm_hostlocal *ipam, const json_t *conf, const char *args);

/* Takes an address of each set. *result is IPAM's answer, a new reference. -ENOSPC: no address is
 * free. After an error no lease is left. */
int dmm_hostlocal_add(const struct dmm_hostlocal *ipam, const char *container_id,
                      const char *ifname, json_t **result, struct dmm_err *err);
/* Gives all addresses of the attachment back. None is success. */
int dmm_hostlocal_del(const struct dmm_hostlocal *ipam, const char *container_id,
                      const char *ifname, struct dmm_err *err);

#endif

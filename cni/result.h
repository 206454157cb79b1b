/* SPDX-License-Identifier: Apache-2.0 */
/*
 * result: what ADD answers (CNI spec 1.1.0, section 5), and what IPAM plugins and prevResult say.
 *
 * Held in the form of 1.1.0, whatever version it came in; dmm_result_json() leaves out what an
 * older version does not have and puts in what it wants. Keys that we don't know are passed on.
 *
 * Pure. Any thread.
 */
#ifndef DMM_CNI_RESULT_H
#define DMM_CNI_RESULT_H

#include "cni/version.h"
#include "common/err.h"
#include "common/poddir.h"

struct dmm_result {
    json_t *interfaces; /* arrays and an object, owned; never NULL after dmm_result_init() */
    json_t *ips;
    json_t *routes;
    json_t *dns;
};

/* Empty. Returns 0 or -ENOMEM. */
int dmm_result_init(struct dmm_result *result);
void dmm_result_free(struct dmm_result *result);

/* Reads a result of any version that we speak. Addresses and prefixes are checked. On error nothing
 * is left to free. */
int dmm_result_parse(struct dmm_result *result, const json_t *json, struct dmm_err *err);

/* Every ip belongs to the interface of this index. */
void dmm_result_set_interface(struct dmm_result *result, int index);

/* For a chain: what the plugin before us answered, with our interfaces behind its own. Our
 * addresses and routes are the stack's, not the kernel's, and are left out: plugins of the chain
 * take every address of a result for one of the interface that they look at (Debian's bridge fails
 * its CHECK over any other). Returns 0 or -ENOMEM. */
int dmm_result_prepend(struct dmm_result *result, const struct dmm_result *prev);

/* Fills addresses and routes of the port from ips and routes: a route without "gw" gets the gateway
 * of its family, as the spec has it, unless its scope is the link. More than the port file holds is
 * an error. */
int dmm_result_to_port(const struct dmm_result *result, struct dmm_port_config *port,
                       struct dmm_err *err);

/* A new reference; NULL when out of memory. */
json_t *dmm_result_json(const struct dmm_result *result, enum dmm_cni_version version);

/* One interface in the form of 1.1.0. NULL strings and mtu 0 are left out. */
json_t *dmm_result_interface(const char *name, const char *mac, const char *sandbox, unsigned mtu,
                             const char *socket_path);

#endif

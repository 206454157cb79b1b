/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipam: address management by delegation (CNI spec 1.1.0, section 4 "Plugin delegation"): the IPAM
 * plugin that the configuration names is found on CNI_PATH and run with the same configuration.
 *
 * A plugin that does not speak the configuration's version yet, where 1.0.0 would do, is asked
 * again in 1.0.0: between the two nothing differs for ADD, DEL and CHECK but optional attributes.
 *
 * ADD and DEL of host-local are done here where that can be (cni/hostlocal.h): no program is run.
 */
#ifndef DMM_CNI_IPAM_H
#define DMM_CNI_IPAM_H

#include "cni/error.h"
#include "cni/exec.h"
#include "cni/result.h"
#include "cni/version.h"

#include <stdbool.h>

/* Everything is borrowed until the call is over. */
struct dmm_ipam_call {
    const char *type;
    const char *command; /* "ADD", "DEL", "CHECK", "GC", "STATUS" */
    const char *cni_path;
    const char *container_id;
    const char *netns;
    const char *ifname;
    const char *args; /* CNI_ARGS */
    const char *text; /* the configuration */
    size_t len;
    int hold; /* the record's lock, which the plugin holds with us; or -1 */
};

/* Starts the plugin, if one is run; dmm_ipam_finish() must follow. */
int dmm_ipam_start(struct dmm_exec *child, const struct dmm_ipam_call *call,
                   struct dmm_cni_error *error);
/* Waits. `result` (of ADD) may be NULL. The plugin's own error is passed on with its code and with
 * its name in front of the text. */
int dmm_ipam_finish(struct dmm_exec *child, const struct dmm_ipam_call *call,
                    struct dmm_result *result, struct dmm_cni_error *error);
/* Both. */
int dmm_ipam_run(const struct dmm_ipam_call *call, struct dmm_result *result,
                 struct dmm_cni_error *error);

/* Asks the plugin by VERSION whether it speaks the configuration's version at all: one that is
 * older than GC and STATUS answers them with any error. */
bool dmm_ipam_speaks(const struct dmm_ipam_call *call, enum dmm_cni_version version);

/* The first "DIR/type" on a colon-separated path that is executable; code 102 if there is none. */
int dmm_ipam_find(char *path, size_t size, const char *type, const char *cni_path,
                  struct dmm_cni_error *error);

#endif

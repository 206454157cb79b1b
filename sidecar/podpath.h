/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podpath: the pod directory has a path on the node and another one in the sidecar's container. The
 * plugin writes the node's; what lies in the directory is found by the other.
 *
 * Pure: no I/O. Any thread.
 */
#ifndef DMM_SIDECAR_PODPATH_H
#define DMM_SIDECAR_PODPATH_H

#include "common/err.h"
#include "common/poddir.h"

#include <limits.h>

/* The name of the pod directory on the node, from the text of pod.json: the pod's uid, else the
 * container's id. -EINVAL with err if the text has neither. */
int dmm_podpath_id(char id[NAME_MAX + 1], const char *text, struct dmm_err *err);

/* Puts `dir` in place of each ".../pods/<id>" that a path in port->devargs begins with.
 * -ENAMETOOLONG with err, and nothing changed, if there is no room. */
int dmm_podpath_localize(struct dmm_port_config *port, const char *id, const char *dir,
                         struct dmm_err *err);

#endif

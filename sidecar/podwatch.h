/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podwatch: the pod's annotations by a watch at the Kubernetes API server, for where the volume of
 * the downward API is too slow or not there. Off unless --watch-pod is given; libcurl is loaded
 * only then.
 *
 * One thread, which asks with the verb `watch` alone, resumes from the last resourceVersion, begins
 * anew when that has expired, and waits longer after each failure. It tells the control thread what
 * it learned and shares nothing else with it. What the server sends is bounded and checked; the
 * server's certificate is checked against the given CA and nothing else. Token and CA are read for
 * every request, for the kubelet renews them.
 */
#ifndef DMM_SIDECAR_PODWATCH_H
#define DMM_SIDECAR_PODWATCH_H

#include "sidecar/control.h"

/* Starts the thread where the options ask for it. */
int dmm_podwatch_open(struct dmm_control *control, struct dmm_err *err);
/* Ends it; returns when the thread is gone, which does not wait for the server. */
void dmm_podwatch_close(struct dmm_control *control);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join: the TCP/IP library (sidecar/tcpip/) as the stack type "tcpip". The library is called and
 * calls as the ABI says, so this is the ops table and the instance's JSON options. docs/tcpip.md
 * lists the options.
 */
#ifndef DMM_SIDECAR_STACKS_TCPIP_JOIN_H
#define DMM_SIDECAR_STACKS_TCPIP_JOIN_H

#include "sidecar/tcpip/tcpip.h"

/* Fills config from the defaults and the JSON object `text` (NULL or "": none). An unknown key, a
 * wrong type or a value out of range: -EINVAL and a message that names the key. Pure. */
int tcpip_join_options(struct tcpip_config *config, const char *text, char *err, size_t errlen);

#endif

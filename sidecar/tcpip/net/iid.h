/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iid: interface identifiers that are semantically opaque: RFC 7217, 5. The same secret, prefix and
 * interface give the same identifier again, whatever the MAC is by then; another prefix gives one
 * that nobody can relate to it.
 *
 * Invariant: never one of the reserved identifiers (RFC 5453).
 *
 * Pure, any thread.
 */
#ifndef DMM_TCPIP_NET_IID_H
#define DMM_TCPIP_NET_IID_H

#include "sidecar/tcpip/hash.h"

#define NET_IID_SECRET_MIN 16 /* characters of the operator's secret */
#define NET_IID_SECRET_MAX 64
#define NET_IID_RETRIES    3 /* IDGEN_RETRIES, section 7 */

/* The key that stands for the secret; text of at most NET_IID_SECRET_MAX characters counts. */
void net_iid_key(const char *secret, struct hash_key *key);

/* The identifier for a prefix of 64 bits on this interface. `counter`: how many before it turned
 * out to be duplicates (DAD_Counter). */
void net_iid_stable(const struct hash_key *key, const struct ip_addr *prefix, const char *interface,
                    uint8_t counter, uint8_t id[8]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version: the CNI versions that we speak, and what differs between them.
 *
 * Pure. Any thread.
 */
#ifndef DMM_CNI_VERSION_H
#define DMM_CNI_VERSION_H

#include <jansson.h>
#include <stdbool.h>

/* In order, so that "before 1.0.0" is a comparison. */
enum dmm_cni_version {
    DMM_CNI_0_3_0,
    DMM_CNI_0_3_1,
    DMM_CNI_0_4_0, /* CHECK; prevResult on DEL */
    DMM_CNI_1_0_0, /* ips without "version" */
    DMM_CNI_1_1_0, /* GC, STATUS; mtu, socketPath, pciID; attributes of routes */
    DMM_CNI_VERSIONS,
};

#define DMM_CNI_LATEST (DMM_CNI_VERSIONS - 1)

/* Returns false for one that we don't speak. */
bool dmm_cni_version_parse(const char *text, enum dmm_cni_version *version);
const char *dmm_cni_version_text(enum dmm_cni_version version);
/* The answer to VERSION: cniVersion, supportedVersions. A new reference. */
json_t *dmm_cni_version_json(const char *cni_version);

#endif

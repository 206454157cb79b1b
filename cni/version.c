/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/version.h"

#include <string.h>

static const char *const versions[DMM_CNI_VERSIONS] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

bool dmm_cni_version_parse(const char *text, enum dmm_cni_version *version)
{
    for (int i = 0; i < DMM_CNI_VERSIONS; i++) {
        if (!strcmp(text, versions[i])) {
            *version = (enum dmm_cni_version)i;
            return true;
        }
    }
    return false;
}

const char *dmm_cni_version_text(enum dmm_cni_version version)
{
    return versions[version];
}

json_t *dmm_cni_version_json(const char *cni_version)
{
    json_t *list = json_array();
    for (int i = 0; i < DMM_CNI_VERSIONS; i++)
        json_array_append_new(list, json_string(versions[i]));
    return json_pack("{s:s, s:o}", "cniVersion", cni_version, "supportedVersions", list);
}

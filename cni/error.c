/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/error.h"

#include <errno.h>
#include <stdio.h>

static const struct {
    int code;
    const char *text;
} code_texts[] = {
    {DMM_CNI_E_VERSION, "incompatible CNI version"},
    {DMM_CNI_E_FIELD, "unsupported field in network configuration"},
    {DMM_CNI_E_CONTAINER, "container unknown or does not exist"},
    {DMM_CNI_E_ENVIRONMENT, "invalid necessary environment variables"},
    {DMM_CNI_E_IO, "I/O failure"},
    {DMM_CNI_E_DECODE, "failed to decode content"},
    {DMM_CNI_E_CONFIG, "invalid network config"},
    {DMM_CNI_E_TRY_AGAIN, "try again later"},
    {DMM_CNI_E_UNAVAILABLE, "plugin not available"},
    {DMM_CNI_E_LIMITED, "plugin not available, existing containers may have limited connectivity"},
    {DMM_CNI_E_MAPPING, "stack mapping refused"},
    {DMM_CNI_E_LINK, "link failed"},
    {DMM_CNI_E_IPAM, "IPAM plugin failed"},
    {DMM_CNI_E_STATE, "state directory failed"},
    {DMM_CNI_E_CHECK, "network is not as it was made"},
    {DMM_CNI_E_POD, "pod directory failed"},
    {DMM_CNI_E_KUBE, "Kubernetes API failed"},
};

const char *dmm_cni_code_text(int code)
{
    for (size_t i = 0; i < sizeof(code_texts) / sizeof(code_texts[0]); i++)
        if (code_texts[i].code == code)
            return code_texts[i].text;
    return "plugin failed";
}

int dmm_cni_fail(struct dmm_cni_error *error, int code, const char *fmt, ...)
{
    if (error->code)
        return -1;
    error->code = code;
    va_list ap;
    va_start(ap, fmt);
    error->what.code = EINVAL;
    vsnprintf(error->what.text, sizeof(error->what.text), fmt, ap);
    va_end(ap);
    return -1;
}

int dmm_cni_fail_from(struct dmm_cni_error *error, int code, const struct dmm_err *err)
{
    return dmm_cni_fail(error, code, "%s", err->text);
}

json_t *dmm_cni_error_json(const struct dmm_cni_error *error, const char *cni_version)
{
    /* Text that came from outside may not be UTF-8: then the short one must do. */
    json_t *json = json_pack("{s:s, s:i, s:s, s:s}", "cniVersion", cni_version, "code", error->code,
                             "msg", dmm_cni_code_text(error->code), "details", error->what.text);
    if (!json)
        json = json_pack("{s:s, s:i, s:s}", "cniVersion", cni_version, "code", error->code, "msg",
                         dmm_cni_code_text(error->code));
    return json;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/sandbox.h"

#include "common/log.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void dmm_sandbox_enter(void *arg)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    (void)arg;
    /* Failures leave more than is needed, which is no reason not to serve. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_capget, &header, data)) {
        dmm_log(DMM_LOG_WARN, "capabilities are kept: %s", strerror(errno));
        return;
    }
    const uint32_t kept = UINT32_C(1) << CAP_NET_RAW;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].effective &= i == 0 ? kept : 0;
        data[i].permitted &= i == 0 ? kept : 0;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data))
        dmm_log(DMM_LOG_WARN, "capabilities are kept: %s", strerror(errno));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/sandbox.h"

#include <sys/prctl.h>

void dmm_sandbox_enter(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

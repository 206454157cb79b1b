/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/report.h"

#include "common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static _Atomic unsigned said; /* relaxed RMW: bit per cause */

void report(enum report_cause cause, const char *fmt, ...)
{
    unsigned bit = 1u << cause;
    if (atomic_fetch_or_explicit(&said, bit, memory_order_relaxed) & bit)
        return;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    dmm_log(DMM_LOG_WARN, "%s", text);
}

void report_again(void)
{
    atomic_store_explicit(&said, 0, memory_order_relaxed);
}

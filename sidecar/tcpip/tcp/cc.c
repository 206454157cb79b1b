/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/cc.h"

#include <string.h>

static const struct cc_ops *const algorithms[] = {&cc_cubic, &cc_newreno, &cc_dctcp};

const struct cc_ops *cc_find(const char *name)
{
    if (strcmp(name, "newreno") == 0)
        return &cc_newreno;
    for (unsigned i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        if (strcmp(name, algorithms[i]->name) == 0)
            return algorithms[i];
    }
    return NULL;
}

const char *cc_names(void)
{
    return "cubic reno dctcp";
}

void cc_init(struct cc *cc, const struct cc_ops *ops, uint32_t mss, uint32_t cwnd)
{
    memset(cc, 0, sizeof(*cc));
    cc->mss = mss;
    cc->cwnd = cwnd;
    cc->ssthresh = CC_INFINITE;
    cc_switch(cc, ops);
}

void cc_switch(struct cc *cc, const struct cc_ops *ops)
{
    cc->ops = ops;
    cc->acc = 0;
    ops->init(cc);
}

uint32_t cc_slow_start(struct cc *cc, uint32_t acked)
{
    const uint32_t room = cc->ssthresh - cc->cwnd;
    const uint32_t grow = acked < room ? acked : room;

    cc->cwnd += grow;
    return acked - grow;
}

void cc_reno_avoid(struct cc *cc, uint32_t acked)
{
    cc->acc += acked;
    while (cc->acc >= cc->cwnd) {
        cc->acc -= cc->cwnd;
        if (cc->cwnd < CC_INFINITE - cc->mss)
            cc->cwnd += cc->mss;
    }
}

uint32_t cc_reno_reduce(struct cc *cc, uint32_t flight, bool ecn)
{
    (void)ecn;
    cc->acc = 0;
    return flight / 2 > 2 * cc->mss ? flight / 2 : 2 * cc->mss; /* RFC 5681, eq. 4 */
}

/* SPDX-License-Identifier: Apache-2.0 */
/* TCP's socket options, with Linux's names, units and limits (tcp(7)). */
#include "sidecar/tcpip/tcp/seq.h"
#include "sidecar/tcpip/tcp/tcb.h"

#include <errno.h>
#include <linux/tcp.h>
#include <stddef.h>

#define KEEP_MAX         32767
#define KEEP_CNT_MAX     127
#define SYN_CNT_MAX      127
#define CC_NAME_MAX      16
#define LINGER2_MAX_S    120
#define DEFER_STEP_MAX_S 120

/* A uint32_t of the tcb with the range it takes. */
static const struct int_option {
    int name, min, max;
    size_t offset;
} int_options[] = {
    {TCP_KEEPIDLE, 1, KEEP_MAX, offsetof(struct tcb, keep_idle_s)},
    {TCP_KEEPINTVL, 1, KEEP_MAX, offsetof(struct tcb, keep_interval_s)},
    {TCP_USER_TIMEOUT, 0, INT32_MAX, offsetof(struct tcb, user_timeout_ms)},
};

static const struct int_option *find_int(int name)
{
    for (unsigned i = 0; i < sizeof(int_options) / sizeof(int_options[0]); i++) {
        if (int_options[i].name == name)
            return &int_options[i];
    }
    return NULL;
}

static void set_flag(struct tcb *t, uint32_t flag, bool on)
{
    t->flags = on ? t->flags | flag : t->flags & ~flag;
}

static int set_congestion(struct tcb *t, const void *value, uint32_t len)
{
    char name[CC_NAME_MAX] = "";
    const struct cc_ops *ops;

    memcpy(name, value, len < sizeof(name) - 1 ? len : sizeof(name) - 1);
    ops = cc_find(name);
    if (ops == NULL)
        return -ENOENT;
    if (ops != t->cc.ops)
        cc_switch(&t->cc, ops);
    return 0;
}

static int set_in_range(int v, int min, int max, uint8_t *field)
{
    if (v < min || v > max)
        return -EINVAL;
    *field = (uint8_t)v;
    return 0;
}

static int set_quickack(struct tcb *t, int v)
{
    set_flag(t, TCB_PINGPONG, v == 0);
    if (v != 0) {
        t->quick_acks = 16;
        if (t->rcv_nxt != t->last_ack && t->ep.state != TCPS_CLOSED) {
            t->flags |= TCB_ACK_NOW;
            tcb_schedule(t);
        }
    }
    return 0;
}

/* TCP_DEFER_ACCEPT is given and told in seconds and kept, as on Linux, as the number of SYN-ACK
 * timeouts that take so long: 1 s, 2 s, 4 s, ..., at most 120 s each. */
static uint8_t defer_from_seconds(int seconds)
{
    uint32_t period = 1, step = 1;
    uint8_t tries = 1;

    if (seconds <= 0)
        return 0;
    for (; (uint32_t)seconds > period && tries < UINT8_MAX; tries++) {
        step = 2 * step < DEFER_STEP_MAX_S ? 2 * step : DEFER_STEP_MAX_S;
        period += step;
    }
    return tries;
}

static int defer_to_seconds(uint8_t tries)
{
    int period = 0, step = 1;

    for (; tries > 0; tries--) {
        period += step;
        step = 2 * step < DEFER_STEP_MAX_S ? 2 * step : DEFER_STEP_MAX_S;
    }
    return period;
}

/* TCP_NOTSENT_LOWAT itself is the host's, which knows who writes: here it is only whether it hears
 * of what was sent. */
static int set_tell_sent(struct tcb *t, bool on)
{
    const struct dmm_host *host = t->s.ip->host;

    if (host->size < offsetof(struct dmm_host, tx_sent) + sizeof(host->tx_sent) ||
        host->tx_sent == NULL)
        return -ENOPROTOOPT;
    t->tell_sent = on;
    if (on)
        tcb_tell_sent(t);
    return 0;
}

static int set_tcp(struct tcb *t, int name, const void *value, uint32_t len)
{
    const struct int_option *o = find_int(name);
    int v;

    if (name == TCP_CONGESTION)
        return set_congestion(t, value, len);
    if (len < sizeof(int) || socket_option_int(value, len, &v) < 0)
        return -EINVAL;
    if (o != NULL) {
        if (v < o->min || v > o->max)
            return -EINVAL;
        memcpy((char *)t + o->offset, &v, sizeof(v));
        if (name == TCP_KEEPIDLE)
            tcb_keepalive_start(t);
        return 0;
    }
    switch (name) {
    case TCP_NODELAY:
        set_flag(t, TCB_NODELAY, v != 0);
        tcb_schedule(t);
        return 0;
    case TCP_CORK:
        set_flag(t, TCB_CORK, v != 0);
        tcb_schedule(t);
        return 0;
    case TCP_QUICKACK:
        return set_quickack(t, v);
    case TCP_MAXSEG:
        if (v != 0 && (v < TCP_MIN_MSS || v > UINT16_MAX / 2))
            return -EINVAL;
        t->user_mss = (uint16_t)v;
        return 0;
    case TCP_KEEPCNT:
        return set_in_range(v, 1, KEEP_CNT_MAX, &t->keep_count);
    case TCP_SYNCNT:
        return set_in_range(v, 1, SYN_CNT_MAX, &t->syn_count);
    case TCP_DEFER_ACCEPT:
        t->defer_accept = defer_from_seconds(v);
        return 0;
    case TCP_NOTSENT_LOWAT:
        return set_tell_sent(t, v != 0);
    case TCP_SAVE_SYN: /* 2, with the link's header, is not done */
        if (v != 0 && v != 1)
            return -ENOPROTOOPT;
        t->save_syn = v != 0;
        return 0;
    case TCP_LINGER2:
        t->linger2_s = v < 0 ? -1 : v > LINGER2_MAX_S ? LINGER2_MAX_S : v;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_socket(struct tcb *t, int name, const void *value, uint32_t len)
{
    struct linger linger;
    int v;

    switch (name) {
    case SO_LINGER:
        if (len < sizeof(linger))
            return -EINVAL;
        memcpy(&linger, value, sizeof(linger));
        set_flag(t, TCB_LINGER_ABORT, linger.l_onoff != 0 && linger.l_linger == 0);
        return 0;
    case SO_KEEPALIVE:
        tcb_keepalive_start(t);
        return 0;
    case SO_MAX_PACING_RATE:
        if (len >= sizeof(t->max_pacing)) {
            memcpy(&t->max_pacing, value, sizeof(t->max_pacing));
            return 0;
        }
        if (len < sizeof(v))
            return -EINVAL;
        memcpy(&v, value, sizeof(v));
        t->max_pacing = v == -1 ? UINT64_MAX : (uint32_t)v;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_bind_no_port(struct tcpip_socket *s, const void *value, uint32_t len)
{
    int v;
    const int rc = socket_option_int(value, len, &v);

    if (rc < 0)
        return rc;
    s->flags = (uint8_t)(v != 0 ? s->flags | SOCKET_BIND_NO_PORT : s->flags & ~SOCKET_BIND_NO_PORT);
    return 0;
}

int tcb_setsockopt(struct tcpip_socket *s, int level, int name, const void *value, uint32_t len)
{
    struct tcb *t = tcb_of(s);

    if (level == IPPROTO_TCP)
        return set_tcp(t, name, value, len);
    if (level == SOL_SOCKET)
        return set_socket(t, name, value, len);
    if (level == SOL_IP && name == IP_BIND_ADDRESS_NO_PORT)
        return set_bind_no_port(s, value, len);
    if ((level == SOL_IP && name == IP_TTL) || (level == SOL_IPV6 && name == IPV6_UNICAST_HOPS)) {
        t->flow.ttl = s->ttl;
        return 0;
    }
    return -ENOPROTOOPT;
}

static int get_congestion(const struct tcb *t, void *value, uint32_t *len)
{
    char name[CC_NAME_MAX] = "";
    const size_t n = strlen(t->cc.ops->name);

    memcpy(name, t->cc.ops->name, n < sizeof(name) ? n : sizeof(name) - 1);
    if (*len > sizeof(name))
        *len = sizeof(name);
    memcpy(value, name, *len);
    return 0;
}

/* It can be had once. */
static int get_saved_syn(struct tcb *t, void *value, uint32_t *len)
{
    const uint32_t size = t->saved_syn != NULL ? t->saved_syn->len : 0;
    const bool fits = size <= *len;

    *len = size;
    if (!fits)
        return -EINVAL;
    if (size != 0)
        memcpy(value, t->saved_syn->bytes, size);
    tcb_forget_syn(t);
    return 0;
}

static int get_tcp(struct tcb *t, int name, void *value, uint32_t *len)
{
    const struct int_option *o = find_int(name);
    int v;

    if (o != NULL) {
        memcpy(&v, (const char *)t + o->offset, sizeof(v));
        return socket_option_put_int(v, value, len);
    }
    switch (name) {
    case TCP_INFO:
        tcb_get_tcp_info(t, value, len);
        return 0;
    case TCP_CONGESTION:
        return get_congestion(t, value, len);
    case TCP_SAVED_SYN:
        return get_saved_syn(t, value, len);
    case TCP_SAVE_SYN:
        v = t->save_syn;
        break;
    case TCP_NODELAY:
        v = (t->flags & TCB_NODELAY) != 0;
        break;
    case TCP_CORK:
        v = (t->flags & TCB_CORK) != 0;
        break;
    case TCP_QUICKACK:
        v = !(t->flags & TCB_PINGPONG);
        break;
    case TCP_MAXSEG:
        v = t->mss != 0 ? (int)t->cc.mss : t->user_mss != 0 ? t->user_mss : TCP_DEFAULT_MSS4;
        break;
    case TCP_KEEPCNT:
        v = t->keep_count;
        break;
    case TCP_SYNCNT:
        v = t->syn_count != 0 ? t->syn_count : 6;
        break;
    case TCP_DEFER_ACCEPT:
        v = defer_to_seconds(t->defer_accept);
        break;
    case TCP_LINGER2:
        v = t->linger2_s != 0 ? t->linger2_s : (int)(t->s.ip->config.time_wait_ms / 1000);
        break;
    default:
        return -ENOPROTOOPT;
    }
    return socket_option_put_int(v, value, len);
}

static int get_ip_mtu(const struct tcb *t, void *value, uint32_t *len)
{
    if (!t->ep.in_table)
        return -ENOTCONN;
    return socket_option_put_int(
        t->mtu_cap != 0 && t->mtu_cap < t->flow.mtu ? t->mtu_cap : t->flow.mtu, value, len);
}

int tcb_getsockopt(struct tcpip_socket *s, int level, int name, void *value, uint32_t *len)
{
    struct tcb *t = tcb_of(s);

    if (level == IPPROTO_TCP)
        return get_tcp(t, name, value, len);
    if (level == SOL_IP && name == IP_BIND_ADDRESS_NO_PORT)
        return socket_option_put_int((s->flags & SOCKET_BIND_NO_PORT) != 0, value, len);
    if ((level == SOL_IP && name == IP_MTU) || (level == SOL_IPV6 && name == IPV6_MTU))
        return get_ip_mtu(t, value, len);
    if (level == SOL_SOCKET && name == SO_LINGER) {
        const struct linger linger = {.l_onoff = (t->flags & TCB_LINGER_ABORT) != 0};

        if (*len > sizeof(linger))
            *len = sizeof(linger);
        memcpy(value, &linger, *len);
        return 0;
    }
    if (level == SOL_SOCKET && name == SO_MAX_PACING_RATE) {
        if (*len > sizeof(t->max_pacing))
            *len = sizeof(t->max_pacing);
        memcpy(value, &t->max_pacing, *len);
        return 0;
    }
    return -ENOPROTOOPT;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket options, and what a socket tells of itself. An option is listed here only if lwIP does it;
 * SO_RCVBUF, SO_SNDBUF, SO_ERROR, SO_TYPE, SO_LINGER and timeouts are the host's and the shim's.
 */
#include "sidecar/stacks/lwip/lw.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <string.h>

#define MS_PER_S    1000u
#define DEFAULT_TTL 64  /* Linux's; lwIP's own is 255 */
#define DEFAULT_MSS 536 /* RFC 9293, 3.7.1: until the peer has said more */

void lw_options_init(struct lw_sock *s)
{
    s->options = (struct lw_options){
        .nodelay = s->stack->config.tcp_nodelay,
        .mcast_loop = true,
        .mcast_ttl = 1,
        .keep_idle_ms = TCP_KEEPIDLE_DEFAULT,
        .keep_intvl_ms = TCP_KEEPINTVL_DEFAULT,
        .keep_cnt = TCP_KEEPCNT_DEFAULT,
    };
}

static void apply_tcp(struct tcp_pcb *pcb, const struct lw_options *o)
{
    pcb->so_options =
        (u8_t)((o->reuseaddr ? SOF_REUSEADDR : 0) | (o->keepalive ? SOF_KEEPALIVE : 0));
    if (o->nodelay)
        tcp_nagle_disable(pcb);
    else
        tcp_nagle_enable(pcb);
    pcb->ttl = o->ttl ? o->ttl : DEFAULT_TTL;
    pcb->tos = o->tos;
    pcb->keep_idle = o->keep_idle_ms;
    pcb->keep_intvl = o->keep_intvl_ms;
    pcb->keep_cnt = o->keep_cnt;
}

static void apply_udp(struct udp_pcb *pcb, const struct lw_options *o)
{
    pcb->so_options =
        (u8_t)((o->reuseaddr ? SOF_REUSEADDR : 0) | (o->broadcast ? SOF_BROADCAST : 0));
    pcb->ttl = o->ttl ? o->ttl : DEFAULT_TTL;
    pcb->tos = o->tos;
    pcb->mcast_ttl = o->mcast_ttl;
    if (o->mcast_loop)
        pcb->flags |= UDP_FLAGS_MULTICAST_LOOP;
    else
        pcb->flags &= (u8_t)~UDP_FLAGS_MULTICAST_LOOP;
}

void lw_options_apply(struct lw_sock *s)
{
    unsigned bound = s->options.bound_port;
    u8_t netif = bound ? netif_get_index(&s->stack->ports[bound - 1].netif) : NETIF_NO_INDEX;
    if (s->tcp) {
        apply_tcp(s->tcp, &s->options);
        s->tcp->netif_idx = netif;
    }
    if (s->listener)
        s->listener->netif_idx = netif;
    if (s->udp) {
        apply_udp(s->udp, &s->options);
        s->udp->netif_idx = netif;
    }
}

/* ---- options that are one number ---- */

enum field_type { FIELD_BOOL, FIELD_BYTE, FIELD_NUMBER };
enum { FOR_STREAM = 1, FOR_DATAGRAM = 2, FOR_BOTH = 3 };

static const struct option {
    int level, name;
    uint8_t sockets;
    uint8_t type;
    uint16_t scale; /* the app's unit in ours */
    size_t offset;
    int min, max;
} table[] = {
#define OPTION(level, name, sockets, type, scale, field, min, max)                                 \
    {                                                                                              \
        level, name, sockets, type, scale, offsetof(struct lw_options, field), min, max            \
    }
    OPTION(SOL_SOCKET, SO_REUSEADDR, FOR_BOTH, FIELD_BOOL, 1, reuseaddr, 0, 0),
    OPTION(SOL_SOCKET, SO_KEEPALIVE, FOR_STREAM, FIELD_BOOL, 1, keepalive, 0, 0),
    OPTION(SOL_SOCKET, SO_BROADCAST, FOR_DATAGRAM, FIELD_BOOL, 1, broadcast, 0, 0),
    OPTION(IPPROTO_TCP, TCP_NODELAY, FOR_STREAM, FIELD_BOOL, 1, nodelay, 0, 0),
    OPTION(IPPROTO_TCP, TCP_KEEPIDLE, FOR_STREAM, FIELD_NUMBER, MS_PER_S, keep_idle_ms, 1, 32767),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL, FOR_STREAM, FIELD_NUMBER, MS_PER_S, keep_intvl_ms, 1, 32767),
    OPTION(IPPROTO_TCP, TCP_KEEPCNT, FOR_STREAM, FIELD_NUMBER, 1, keep_cnt, 1, 127),
    OPTION(IPPROTO_IP, IP_TTL, FOR_BOTH, FIELD_BYTE, 1, ttl, 1, 255),
    OPTION(IPPROTO_IP, IP_TOS, FOR_BOTH, FIELD_BYTE, 1, tos, 0, 255),
    OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS, FOR_BOTH, FIELD_BYTE, 1, ttl, 1, 255),
    OPTION(IPPROTO_IPV6, IPV6_TCLASS, FOR_BOTH, FIELD_BYTE, 1, tos, 0, 255),
    OPTION(IPPROTO_IPV6, IPV6_V6ONLY, FOR_BOTH, FIELD_BOOL, 1, v6only, 0, 0),
    OPTION(IPPROTO_IP, IP_MULTICAST_TTL, FOR_DATAGRAM, FIELD_BYTE, 1, mcast_ttl, 0, 255),
    OPTION(IPPROTO_IP, IP_MULTICAST_LOOP, FOR_DATAGRAM, FIELD_BOOL, 1, mcast_loop, 0, 0),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, FOR_DATAGRAM, FIELD_BYTE, 1, mcast_ttl, 0, 255),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, FOR_DATAGRAM, FIELD_BOOL, 1, mcast_loop, 0, 0),
#undef OPTION
};

static const struct option *find_option(const struct lw_sock *s, int level, int name)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].level == level && table[i].name == name)
            return (table[i].sockets & (s->stream ? FOR_STREAM : FOR_DATAGRAM)) ? &table[i] : NULL;
    return NULL;
}

/* An int, or for the options that Linux takes as one byte too, that. */
static int read_number(const void *value, uint32_t len, int *number)
{
    uint8_t byte;
    if (len >= sizeof(*number)) {
        memcpy(number, value, sizeof(*number));
    } else if (len >= 1) {
        memcpy(&byte, value, 1);
        *number = byte;
    } else {
        return -EINVAL;
    }
    return 0;
}

static void store(struct lw_options *options, const struct option *option, int number)
{
    void *field = (char *)options + option->offset;
    if (option->type == FIELD_BOOL)
        *(bool *)field = number != 0;
    else if (option->type == FIELD_BYTE)
        *(uint8_t *)field = (uint8_t)number;
    else
        *(uint32_t *)field = (uint32_t)number * option->scale;
}

static int load(const struct lw_sock *s, const struct option *option)
{
    const void *field = (const char *)&s->options + option->offset;
    if (option->type == FIELD_BOOL)
        return *(const bool *)field;
    if (option->type == FIELD_NUMBER)
        return (int)(*(const uint32_t *)field / option->scale);
    int number = *(const uint8_t *)field;
    bool is_ttl = option->offset == offsetof(struct lw_options, ttl);
    return is_ttl && !number ? DEFAULT_TTL : number;
}

/* ---- groups ---- */

static struct netif *netif_by_index(struct lw_stack *stack, uint32_t ifindex)
{
    return ifindex && ifindex <= stack->n_ports ? &stack->ports[ifindex - 1].netif : NULL;
}

/* The port that a request names by its address or index, or else the one towards the group. */
static struct netif *group_netif(struct lw_stack *stack, const ip_addr_t *group, uint32_t address,
                                 uint32_t ifindex)
{
    if (ifindex)
        return netif_by_index(stack, ifindex);
    for (unsigned i = 0; address && i < stack->n_ports; i++)
        if (netif_ip4_addr(&stack->ports[i].netif)->addr == address)
            return &stack->ports[i].netif;
    struct lw_port *port = address ? NULL : lw_route(stack, group);
    return port ? &port->netif : NULL;
}

static int change_membership(struct lw_sock *s, int level, bool join, const void *value,
                             uint32_t len)
{
    ip_addr_t group;
    struct netif *netif;
    memset(&group, 0, sizeof(group));
    if (s->stream)
        return -EPROTO; /* as Linux says it */
    if (level == IPPROTO_IP) {
        struct ip_mreqn request = {0};
        if (len < sizeof(struct ip_mreq))
            return -EINVAL;
        memcpy(&request, value, LWIP_MIN(len, sizeof(request)));
        group.type = IPADDR_TYPE_V4;
        ip_2_ip4(&group)->addr = request.imr_multiaddr.s_addr;
        netif = group_netif(s->stack, &group, request.imr_address.s_addr,
                            (uint32_t)request.imr_ifindex);
    } else {
        struct ipv6_mreq request;
        if (len < sizeof(request))
            return -EINVAL;
        memcpy(&request, value, sizeof(request));
        group.type = IPADDR_TYPE_V6;
        memcpy(ip_2_ip6(&group)->addr, &request.ipv6mr_multiaddr, 16);
        netif = group_netif(s->stack, &group, 0, request.ipv6mr_interface);
    }
    if (!ip_addr_ismulticast(&group))
        return -EINVAL;
    if (!netif)
        return -ENODEV;
    if (IP_IS_V6(&group))
        ip6_addr_assign_zone(ip_2_ip6(&group), IP6_MULTICAST, netif);
    return lw_udp_membership(s, &group, netif, join);
}

/* ---- bound to a port ---- */

static bool is_bind_option(int level, int name)
{
    return level == SOL_SOCKET && (name == SO_BINDTODEVICE || name == SO_BINDTOIFINDEX);
}

static const char *port_name(const struct lw_stack *stack, unsigned port)
{
    return stack->host->port_info(stack->host, port)->name;
}

/* The number of the interface of that name, 0 for none; -ENODEV. */
static int index_of(const struct lw_stack *stack, const void *value, uint32_t len)
{
    char name[IFNAMSIZ] = "";
    memcpy(name, value, LWIP_MIN(len, sizeof(name) - 1));
    for (unsigned i = 0; name[0] && i < stack->n_ports; i++)
        if (strcmp(port_name(stack, i), name) == 0)
            return (int)i + 1;
    return name[0] ? -ENODEV : 0;
}

static int bind_to_port(struct lw_sock *s, int name, const void *value, uint32_t len)
{
    int index = 0;
    int rc = 0;
    if (name == SO_BINDTOIFINDEX)
        rc = read_number(value, len, &index);
    else
        index = index_of(s->stack, value, len);
    if (rc || index < 0 || index > (int)s->stack->n_ports)
        return rc ? rc : -ENODEV;
    s->options.bound_port = (uint8_t)index;
    lw_options_apply(s);
    return 0;
}

/* ---- TCP_INFO ---- */

static uint8_t linux_state(const struct lw_sock *s)
{
    static const uint8_t states[] = {
        [CLOSED] = TCP_CLOSE,         [LISTEN] = TCP_LISTEN,           [SYN_SENT] = TCP_SYN_SENT,
        [SYN_RCVD] = TCP_SYN_RECV,    [ESTABLISHED] = TCP_ESTABLISHED, [FIN_WAIT_1] = TCP_FIN_WAIT1,
        [FIN_WAIT_2] = TCP_FIN_WAIT2, [CLOSE_WAIT] = TCP_CLOSE_WAIT,   [CLOSING] = TCP_CLOSING,
        [LAST_ACK] = TCP_LAST_ACK,    [TIME_WAIT] = TCP_TIME_WAIT,
    };
    if (s->listener)
        return TCP_LISTEN;
    return s->tcp ? states[s->tcp->state] : TCP_CLOSE;
}

/* What is not known is zero, as the kernel leaves what it does not measure. */
static void fill_tcp_info(const struct lw_sock *s, struct tcp_info *info)
{
    const struct tcp_pcb *pcb = s->tcp;
    memset(info, 0, sizeof(*info));
    info->tcpi_state = linux_state(s);
    if (!pcb)
        return;
    uint32_t mss = pcb->mss ? pcb->mss : 1;
    info->tcpi_retransmits = pcb->nrtx;
    info->tcpi_probes = pcb->persist_probe;
    info->tcpi_backoff = pcb->persist_backoff;
    if (pcb->flags & TF_WND_SCALE) {
        info->tcpi_options = TCPI_OPT_WSCALE;
        info->tcpi_snd_wscale = pcb->snd_scale & 15;
        info->tcpi_rcv_wscale = pcb->rcv_scale & 15;
    }
    info->tcpi_rto = (uint32_t)pcb->rto * TCP_SLOW_INTERVAL * 1000;
    info->tcpi_snd_mss = pcb->mss;
    info->tcpi_rcv_mss = pcb->mss;
    info->tcpi_advmss = TCP_MSS;
    info->tcpi_unacked = (pcb->snd_nxt - pcb->lastack + mss - 1) / mss;
    info->tcpi_rtt = s->rtt_us;
    info->tcpi_snd_ssthresh = pcb->ssthresh / mss;
    info->tcpi_snd_cwnd = pcb->cwnd / mss;
    info->tcpi_rcv_space = pcb->rcv_wnd;
    info->tcpi_total_retrans = s->retransmits;
}

/* ---- ops ---- */

int lw_setsockopt(void *ssock, int level, int name, const void *value, uint32_t len)
{
    struct lw_sock *s = ssock;
    if (level == IPPROTO_IP && (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP))
        return change_membership(s, level, name == IP_ADD_MEMBERSHIP, value, len);
    if (level == IPPROTO_IPV6 && (name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP))
        return change_membership(s, level, name == IPV6_ADD_MEMBERSHIP, value, len);
    if (is_bind_option(level, name))
        return bind_to_port(s, name, value, len);
    const struct option *option = find_option(s, level, name);
    if (!option || (level == IPPROTO_IPV6 && s->family != AF_INET6))
        return -ENOPROTOOPT;
    int number;
    int rc = read_number(value, len, &number);
    if (rc)
        return rc;
    bool is_default = number == -1 && option->type == FIELD_BYTE; /* ask for the default again */
    if (is_default)
        number = option->offset == offsetof(struct lw_options, mcast_ttl) ? 1 : 0;
    else if (option->type != FIELD_BOOL && (number < option->min || number > option->max))
        return -EINVAL;
    if (option->offset == offsetof(struct lw_options, v6only) && s->state != LW_IDLE)
        return -EINVAL;
    store(&s->options, option, number);
    lw_options_apply(s);
    if (s->tcp && s->options.nodelay && s->state == LW_CONNECTED)
        lw_tcp_output(s->tcp); /* what Nagle held back */
    return 0;
}

static int give(void *value, uint32_t *len, const void *from, uint32_t size)
{
    *len = LWIP_MIN(*len, size);
    memcpy(value, from, *len);
    return 0;
}

int lw_getsockopt(void *ssock, int level, int name, void *value, uint32_t *len)
{
    const struct lw_sock *s = ssock;
    if (s->stream && level == IPPROTO_TCP && name == TCP_INFO) {
        struct tcp_info info;
        fill_tcp_info(s, &info);
        return give(value, len, &info, sizeof(info));
    }
    int number = s->options.bound_port;
    if (level == SOL_SOCKET && name == SO_BINDTODEVICE) {
        const char *bound = number ? port_name(s->stack, (unsigned)number - 1) : "";
        return give(value, len, bound, number ? (uint32_t)strlen(bound) + 1 : 0);
    }
    const struct option *option = find_option(s, level, name);
    if (level == SOL_SOCKET && name == SO_BINDTOIFINDEX)
        return give(value, len, &number, sizeof(number));
    if (s->stream && level == IPPROTO_TCP && name == TCP_MAXSEG)
        number = s->tcp ? s->tcp->mss : DEFAULT_MSS;
    else if (option && !(level == IPPROTO_IPV6 && s->family != AF_INET6))
        number = load(s, option);
    else
        return -ENOPROTOOPT;
    return give(value, len, &number, sizeof(number));
}

void lw_socket_info(void *ssock, struct dmm_socket_info *info)
{
    static const char *const names[] = {
        [TCP_CLOSE] = "UNCONN",         [TCP_LISTEN] = "LISTEN",
        [TCP_SYN_SENT] = "SYN-SENT",    [TCP_SYN_RECV] = "SYN-RECV",
        [TCP_ESTABLISHED] = "ESTAB",    [TCP_FIN_WAIT1] = "FIN-WAIT-1",
        [TCP_FIN_WAIT2] = "FIN-WAIT-2", [TCP_CLOSE_WAIT] = "CLOSE-WAIT",
        [TCP_CLOSING] = "CLOSING",      [TCP_LAST_ACK] = "LAST-ACK",
        [TCP_TIME_WAIT] = "TIME-WAIT",
    };
    const struct lw_sock *s = ssock;
    memset(info, 0, sizeof(*info));
    info->local = s->local;
    info->peer = s->peer;
    info->state = s->peer.family && !s->stream ? "ESTAB" : names[linux_state(s)];
    info->recv_queue = s->held.bytes;
    if (s->listener)
        info->recv_queue = s->n_waiting;
    const struct tcp_pcb *pcb = s->tcp;
    if (!pcb)
        return;
    info->send_queue = pcb->snd_lbb - pcb->lastack;
    info->rtt_us = s->rtt_us;
    info->cwnd = pcb->mss ? pcb->cwnd / pcb->mss : 0;
    info->mss = pcb->mss;
    info->retransmits = s->retransmits;
}

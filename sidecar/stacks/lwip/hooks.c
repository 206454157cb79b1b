/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lwIP calls is redirected to (see calls.h), and why:
 *
 *   sys_now                         the host's clock: one reading per turn, virtual in tests
 *   sys_arch_protect, _unprotect    one thread: no mutex around every buffer
 *   tcpip_try_callback              there is no tcpip thread: a loopback packet waits for poll()
 *   ip_input                        from that loop: SYNs are admitted as those from outside
 *   tcp_next_iss                    RFC 6528
 *   ip_chksum_pseudo,               checksums are verified and completed by the port; lwIP was
 *   lwip_chksum_copy                  built without its switch for that
 *   ip4_frag, ip6_frag              a TCP segment beyond the MTU is the port's to split (TSO)
 *   tcp_output                      a segment beyond the MSS is split if the window has less room
 *   tcp_rexmit, tcp_rexmit_rto_commit  counted: lwIP was built without statistics
 *   tcp_split_unsent_seg            the same, where lwIP's persist timer does it
 *   nd6_get_next_hop_addr_or_queue  a static IPv6 gateway, which lwIP has no setting for
 *   nd6_input                       router advertisements and redirects are not for us: addresses,
 *                                     routes and MTU are the pod's configuration
 */
#include "sidecar/stacks/lwip/isn.h"
#include "sidecar/stacks/lwip/lw.h"

#include <arpa/inet.h>
#include <string.h>

struct lw_stack *lw_stack_current;

/* Set around the few calls that need it; single-threaded like all of lwIP. */
static bool verify_checksums;

void lw_verify_checksums(bool verify)
{
    verify_checksums = verify;
}

static u32_t hook_sys_now(void)
{
    const struct dmm_host *host = lw_stack_current->host;
    return (u32_t)(host->now(host) / LW_NS_PER_MS);
}

static sys_prot_t hook_protect(void)
{
    return 0;
}

static void hook_unprotect(sys_prot_t level)
{
    (void)level;
}

static err_t hook_try_callback(tcpip_callback_fn function, void *ctx)
{
    (void)function; /* netif_poll, the only caller's */
    (void)ctx;
    lw_stack_current->loop_pending = true;
    return ERR_OK;
}

static void tuple_words(uint64_t words[2], const ip_addr_t *ip)
{
    words[0] = words[1] = 0;
    if (IP_IS_V4(ip))
        memcpy(words, &ip->u_addr.ip4.addr, 4);
    else
        memcpy(words, ip->u_addr.ip6.addr, 16);
}

static u32_t hook_next_iss(struct tcp_pcb *pcb)
{
    const struct dmm_host *host = lw_stack_current->host;
    uint64_t tuple[5];
    tuple_words(tuple, &pcb->local_ip);
    tuple_words(tuple + 2, &pcb->remote_ip);
    tuple[4] = (uint64_t)pcb->local_port << 16 | pcb->remote_port;
    return lw_isn(lw_stack_current->isn_key, tuple, host->now(host));
}

static u16_t hook_chksum_pseudo(struct pbuf *p, u8_t proto, u16_t proto_len, const ip_addr_t *src,
                                const ip_addr_t *dest)
{
    if (verify_checksums || (proto != IP_PROTO_TCP && proto != IP_PROTO_UDP))
        return lw.ip_chksum_pseudo(p, proto, proto_len, src, dest);
    return 0;
}

/* Only transmit paths copy with a checksum, and frame.c completes it. */
static u16_t hook_chksum_copy(void *dst, const void *src, u16_t len)
{
    memcpy(dst, src, len);
    return 0;
}

/* p starts at the IP header. */
static bool is_tcp(const struct pbuf *p)
{
    const uint8_t *ip = p->payload;
    return ip[0] >> 4 == 4 ? ip[9] == IP_PROTO_TCP : ip[6] == IP_PROTO_TCP;
}

static err_t hook_ip4_frag(struct pbuf *p, struct netif *netif, const ip4_addr_t *dest)
{
    const struct lw_port *port = netif->state;
    if (is_tcp(p)) {
        if (port->offloads & DMM_OFFLOAD_TSO4)
            return netif->output(netif, p, dest);
        lw_complete_checksum(p);
    }
    return lw.ip4_frag(p, netif, dest);
}

static err_t hook_ip6_frag(struct pbuf *p, struct netif *netif, const ip6_addr_t *dest)
{
    const struct lw_port *port = netif->state;
    if (is_tcp(p)) {
        if (port->offloads & DMM_OFFLOAD_TSO6)
            return netif->output_ip6(netif, p, dest);
        lw_complete_checksum(p);
    }
    return lw.ip6_frag(p, netif, dest);
}

static err_t hook_split_unsent(struct tcp_pcb *pcb, u16_t split)
{
    struct tcp_seg *head = pcb->unsent;
    if (!split || !head || head->len <= split)
        return ERR_OK; /* 0: a window of exactly 64 KB, cut to 16 bits by lwIP; all fits */
    /* lwIP asserts that it splits below its MSS, which our segments exceed. */
    u16_t mss = pcb->mss;
    pcb->mss = LWIP_MAX(mss, split);
    err_t err = lw.tcp_split_unsent_seg(pcb, split);
    pcb->mss = mss;
    /* It gives the rest a FIN and PSH, but forgets to take them from the head: the stream would end
     * in its middle. */
    if (err == ERR_OK)
        ((uint8_t *)head->tcphdr)[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    return err;
}

/* A segment of several MSS that does not fit the window (after loss, or a window that shrank) would
 * wait for all of its room, if need be for ever: lwIP's timers expect segments of one MSS. */
err_t lw_tcp_output(struct tcp_pcb *pcb)
{
    const struct tcp_seg *seg = pcb->unsent;
    if (seg && seg->len > pcb->mss && *lw.tcp_input_pcb != pcb) {
        /* Signed: the head of a retransmission may be acknowledged in part. */
        int64_t used = (int32_t)(ntohl(seg->tcphdr->seqno) - pcb->lastack);
        int64_t room = (int64_t)LWIP_MIN(pcb->snd_wnd, pcb->cwnd) - used;
        if (seg->len > room && room >= pcb->mss)
            hook_split_unsent(pcb, (u16_t)(room - room % pcb->mss));
    }
    return lw.tcp_output(pcb);
}

static void count_retransmit(const struct tcp_pcb *pcb)
{
    lw_stack_current->stats.retransmits++;
    if (pcb->recv == lw_tcp_recv_cb) {
        struct lw_sock *s = pcb->callback_arg;
        s->retransmits++;
    }
}

static err_t hook_rexmit(struct tcp_pcb *pcb)
{
    err_t err = lw.tcp_rexmit(pcb);
    if (err == ERR_OK)
        count_retransmit(pcb);
    return err;
}

static void hook_rexmit_rto(struct tcp_pcb *pcb)
{
    count_retransmit(pcb);
    lw.tcp_rexmit_rto_commit(pcb);
}

static bool on_link6(const struct lw_port *port, const ip6_addr_t *ip)
{
    if (ip6_addr_islinklocal(ip) || ip6_addr_ismulticast(ip))
        return true;
    struct dmm_addr addr = {.family = AF_INET6};
    memcpy(addr.ip, ip->addr, 16);
    for (unsigned i = 0; i < port->n_prefixes6; i++)
        if (dmm_prefix_contains(&port->prefixes6[i], &addr))
            return true;
    return false;
}

static err_t hook_next_hop6(struct netif *netif, struct pbuf *q, const ip6_addr_t *ip,
                            const u8_t **hwaddr)
{
    const struct lw_port *port = netif->state;
    if (!on_link6(port, ip)) {
        if (ip6_addr_isany(&port->gateway6))
            return ERR_RTE;
        ip = &port->gateway6;
    }
    return lw.nd6_get_next_hop_addr_or_queue(netif, q, ip, hwaddr);
}

static void hook_nd6_input(struct pbuf *p, struct netif *inp)
{
    uint8_t type = p->len ? *(const uint8_t *)p->payload : ICMP6_TYPE_RD;
    if (type == ICMP6_TYPE_RA || type == ICMP6_TYPE_RD)
        lw.pbuf_free(p);
    else
        lw.nd6_input(p, inp);
}

#define HOOK(function, replacement)                                                                \
    {                                                                                              \
#function, (void (*)(void))(replacement)                                                   \
    }
const struct lw_hook lw_hooks[] = {
    HOOK(sys_now, hook_sys_now),
    HOOK(sys_arch_protect, hook_protect),
    HOOK(sys_arch_unprotect, hook_unprotect),
    HOOK(tcpip_try_callback, hook_try_callback),
    HOOK(ip_input, lw_loop_input),
    HOOK(tcp_next_iss, hook_next_iss),
    HOOK(ip_chksum_pseudo, hook_chksum_pseudo),
    HOOK(lwip_chksum_copy, hook_chksum_copy),
    HOOK(ip4_frag, hook_ip4_frag),
    HOOK(ip6_frag, hook_ip6_frag),
    HOOK(tcp_output, lw_tcp_output),
    HOOK(tcp_split_unsent_seg, hook_split_unsent),
    HOOK(tcp_rexmit, hook_rexmit),
    HOOK(tcp_rexmit_rto_commit, hook_rexmit_rto),
    HOOK(nd6_get_next_hop_addr_or_queue, hook_next_hop6),
    HOOK(nd6_input, hook_nd6_input),
};
const size_t lw_n_hooks = sizeof(lw_hooks) / sizeof(lw_hooks[0]);

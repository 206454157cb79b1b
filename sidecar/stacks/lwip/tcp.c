/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: made, failed, shut down, closed. Their bytes are tcp_io.c's. */
#include "sidecar/stacks/lwip/lw.h"

#include <errno.h>
#include <string.h>

/* How long a neighbour may stay silent before a connect fails, as Linux's three ARP probes. */
#define UNREACHABLE_NS (3000ull * LW_NS_PER_MS)

/* ---- pcbs ---- */

static void error_cb(void *arg, err_t err)
{
    struct lw_sock *s = arg;
    struct lw_stats *stats = &s->stack->stats;
    const struct dmm_host *host = s->stack->host;
    bool connecting = s->state == LW_CONNECTING;
    s->tcp = NULL; /* lwIP has freed it */
    s->state = LW_DEAD;
    lw_held_free(&s->held);
    if (err == ERR_RST)
        stats->resets++;
    else if (err == ERR_ABRT)
        stats->timeouts++;
    if (s->parent) {
        lw_waiting_remove(s);
        lw_sock_free(s);
    } else if (s->closing) {
        lw_sock_release(s);
    } else if (err != ERR_CLSD) {
        host->error(s->sock, err == ERR_RST && connecting ? ECONNREFUSED : lw_errno(err));
    }
}

void lw_tcp_fail(struct lw_sock *s, int error)
{
    struct tcp_pcb *pcb = s->tcp;
    lw_tcp_detach(s);
    lw.tcp_abandon(pcb, 0);
    s->state = LW_DEAD;
    s->stack->host->error(s->sock, error);
}

/* lwIP drops packets to a neighbour that does not answer, without a word. */
static bool neighbour_is_silent(struct lw_sock *s)
{
    const struct dmm_host *host = s->stack->host;
    const ip_addr_t *peer = &s->tcp->remote_ip;
    if (host->now(host) - s->connect_time < UNREACHABLE_NS || !IP_IS_V4(peer) ||
        lw_is_local(s->stack, peer))
        return false;
    struct lw_port *port = lw_sock_route(s, peer);
    if (!port)
        return true;
    const struct netif *netif = &port->netif;
    const ip4_addr_t *hop = ip_2_ip4(peer);
    if (!ip4_addr_netcmp(hop, netif_ip4_addr(netif), netif_ip4_netmask(netif)))
        hop = netif_ip4_gw(netif);
    struct eth_addr *mac;
    const ip4_addr_t *found;
    return lw.etharp_find_addr(&port->netif, hop, &mac, &found) < 0;
}

/* Twice a second: what a full queue or missing memory left undone. */
static err_t poll_cb(void *arg, struct tcp_pcb *pcb)
{
    struct lw_sock *s = arg;
    (void)pcb;
    if (s->state == LW_CONNECTING && neighbour_is_silent(s)) {
        lw_tcp_fail(s, EHOSTUNREACH);
        return ERR_ABRT;
    }
    lw_tcp_send(s);
    return ERR_OK;
}

void lw_tcp_attach(struct lw_sock *s, struct tcp_pcb *pcb)
{
    s->tcp = pcb;
    lw.tcp_arg(pcb, s);
    lw.tcp_recv(pcb, lw_tcp_recv_cb);
    lw.tcp_sent(pcb, lw_tcp_sent_cb);
    lw.tcp_err(pcb, error_cb);
    lw.tcp_poll(pcb, poll_cb, 1);
}

void lw_tcp_detach(struct lw_sock *s)
{
    struct tcp_pcb *pcb = s->tcp;
    s->tcp = NULL;
    lw.tcp_arg(pcb, NULL);
    lw.tcp_recv(pcb, NULL);
    lw.tcp_sent(pcb, NULL);
    lw.tcp_err(pcb, NULL);
    lw.tcp_poll(pcb, NULL, 0);
}

static int new_pcb(struct lw_sock *s, u8_t type)
{
    struct tcp_pcb *pcb = lw.tcp_new_ip_type(type);
    if (!pcb)
        return -ENOBUFS;
    lw_tcp_attach(s, pcb);
    lw_options_apply(s);
    return 0;
}

/* Frees a pcb that was never connected. */
static void drop_pcb(struct lw_sock *s)
{
    struct tcp_pcb *pcb = s->tcp;
    lw_tcp_detach(s);
    lw.tcp_close(pcb);
}

/* ---- bind, connect ---- */

static err_t bind_any(struct lw_sock *s, uint16_t port)
{
    ip_addr_t any;
    ip_addr_copy(any, s->tcp->local_ip);
    return lw.tcp_bind(s->tcp, &any, port);
}

static bool overlaps(const ip_addr_t *a, const ip_addr_t *b)
{
    if (IP_IS_ANY_TYPE_VAL(*a) || IP_IS_ANY_TYPE_VAL(*b))
        return true;
    return IP_GET_TYPE(a) == IP_GET_TYPE(b) &&
           (ip_addr_isany(a) || ip_addr_isany(b) || ip_addr_cmp(a, b));
}

/* SO_REUSEADDR does not reach over a listener on Linux; lwIP would allow it until listen(). */
static bool is_listened_on(const ip_addr_t *ip, uint16_t port)
{
    const struct tcp_pcb_listen *pcb = lw.tcp_listen_pcbs->listen_pcbs;
    for (; pcb; pcb = pcb->next)
        if (pcb->local_port == port && overlaps(&pcb->local_ip, ip))
            return true;
    return false;
}

int lw_tcp_bind(struct lw_sock *s, const struct dmm_addr *addr)
{
    ip_addr_t ip;
    lw_addr_to_local_ip(addr, s->options.v6only, &ip);
    if (addr->port && is_listened_on(&ip, addr->port))
        return -EADDRINUSE;
    int rc = new_pcb(s, IP_GET_TYPE(&ip));
    if (rc)
        return rc;
    ip_addr_copy(s->tcp->local_ip, ip);
    err_t err;
    if (addr->port)
        err = lw.tcp_bind(s->tcp, &ip, addr->port);
    else
        err = lw_bind_ephemeral(s, bind_any);
    if (err == ERR_OK)
        return 0;
    drop_pcb(s);
    return -lw_errno(err);
}

void lw_tcp_established(struct lw_sock *s)
{
    struct tcp_pcb *pcb = s->tcp;
    const struct lw_config *config = &s->stack->config;
    s->state = LW_CONNECTED;
    lw_addr_from_ip(&s->local, &pcb->local_ip, pcb->local_port);
    lw_addr_from_ip(&s->peer, &pcb->remote_ip, pcb->remote_port);
    lw_addr_for_family(&s->local, s->family);
    lw_addr_for_family(&s->peer, s->family);
    /* More in flight than the 64 KB that lwIP was built for; its first slow-start threshold is to
     * be the most that can be in flight. */
    pcb->snd_buf += config->send_buffer - TCP_SND_BUF;
    pcb->ssthresh = config->send_buffer;
    s->gso_segment = 0;
    struct lw_port *port = lw_sock_route(s, &pcb->remote_ip);
    if (!port)
        return;
    bool v4 = IP_IS_V4_VAL(pcb->remote_ip);
    uint32_t headers = (v4 ? IP_HLEN : IP6_HLEN) + TCP_HLEN;
    uint32_t largest = 0;
    /* The port is told one segment size for all connections: the one that the MTU gives. */
    if (lw_is_local(s->stack, &pcb->remote_ip))
        largest = config->tso ? LW_MAX_SEGMENT : 0; /* looped back within lwIP, never split */
    else if (port->offloads & (v4 ? DMM_OFFLOAD_TSO4 : DMM_OFFLOAD_TSO6) &&
             port->max_gso_size > LW_ETH_HLEN + headers &&
             pcb->mss == LWIP_MIN(TCP_MSS, port->netif.mtu - headers))
        largest = LWIP_MIN(port->max_gso_size - LW_ETH_HLEN - headers, (uint32_t)LW_MAX_SEGMENT);
    if (largest >= 2u * pcb->mss)
        s->gso_segment = (uint16_t)(largest - largest % pcb->mss);
}

static err_t connected_cb(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct lw_sock *s = arg;
    (void)pcb;
    (void)err;
    const struct dmm_host *host = s->stack->host;
    s->rtt_us = (uint32_t)((host->now(host) - s->connect_time) / 1000);
    s->stack->stats.connected++;
    lw_tcp_established(s);
    host->connected(s->sock, &s->local, &s->peer);
    lw_tcp_deliver(s); /* offers the whole window */
    lw_tcp_send(s);
    return ERR_OK;
}

int lw_tcp_connect(struct lw_sock *s, const ip_addr_t *ip, uint16_t port)
{
    const struct dmm_host *host = s->stack->host;
    if (ip_addr_ismulticast(ip) || !lw_sock_route(s, ip))
        return -ENETUNREACH;
    bool bound = s->tcp != NULL;
    if (!bound) {
        int rc = new_pcb(s, IP_GET_TYPE(ip));
        if (rc)
            return rc;
        err_t err = lw_bind_ephemeral(s, bind_any);
        if (err != ERR_OK) {
            drop_pcb(s);
            return err == ERR_USE ? -EADDRNOTAVAIL : -lw_errno(err);
        }
    } else if (!IP_IS_ANY_TYPE_VAL(s->tcp->local_ip) &&
               IP_GET_TYPE(&s->tcp->local_ip) != IP_GET_TYPE(ip)) {
        return -EINVAL;
    }
    s->connect_time = host->now(host);
    err_t err = lw.tcp_connect(s->tcp, ip, port, connected_cb);
    if (err != ERR_OK) {
        if (!bound)
            drop_pcb(s);
        return err == ERR_USE ? -EADDRNOTAVAIL : -lw_errno(err);
    }
    s->state = LW_CONNECTING;
    lw_addr_from_ip(&s->local, &s->tcp->local_ip, s->tcp->local_port);
    lw_addr_for_family(&s->local, s->family);
    return 0;
}

/* ---- shutdown, close ---- */

int lw_shutdown(void *ssock, int how)
{
    struct lw_sock *s = ssock;
    if (!s->stream)
        return s->peer.family ? 0 : -ENOTCONN;
    if (s->state != LW_CONNECTED)
        return -ENOTCONN;
    if (how == SHUT_RD || how == SHUT_RDWR) {
        /* As Linux: what comes now is acknowledged and dropped; no RST. */
        s->rd_shut = true;
        lw_held_free(&s->held);
        lw_tcp_deliver(s);
    }
    if (how == SHUT_WR || how == SHUT_RDWR) {
        s->wr_shut = true;
        lw_tcp_send(s);
    }
    return 0;
}

void lw_tcp_close(struct lw_sock *s, enum dmm_close how)
{
    struct tcp_pcb *pcb = s->tcp;
    if (!pcb) {
        lw_sock_release(s);
        return;
    }
    if (s->state != LW_CONNECTED) {
        drop_pcb(s); /* SYN-SENT: deleted without a segment (RFC 9293, 3.10.4) */
        lw_sock_release(s);
        return;
    }
    /* Bytes that the peer sent and no one will read: RST, as Linux (RFC 2525, 2.17). */
    if (how == DMM_CLOSE_ABORT || s->held.bytes) {
        lw_tcp_detach(s);
        lw.tcp_abort(pcb);
        lw_sock_release(s);
        return;
    }
    s->closing = true;
    s->wr_shut = true;
    lw_tcp_send(s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of either kind: made, bound, connected, closed. */
#include "sidecar/stacks/lwip/lw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The range that Linux uses. */
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_COUNT (60999 - EPHEMERAL_FIRST + 1)

struct lw_sock *lw_sock_new(struct lw_stack *stack, struct dmm_sock *sock)
{
    struct lw_sock *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->stack = stack;
    s->sock = sock;
    s->next = stack->sockets;
    if (s->next)
        s->next->prev = s;
    stack->sockets = s;
    return s;
}

void lw_sock_free(struct lw_sock *s)
{
    if (s->next)
        s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        s->stack->sockets = s->next;
    lw_held_free(&s->held);
    free(s);
}

void lw_sock_release(struct lw_sock *s)
{
    const struct dmm_host *host = s->stack->host;
    struct dmm_sock *sock = s->sock;
    lw_sock_free(s);
    host->released(sock);
}

err_t lw_bind_ephemeral(struct lw_sock *s, err_t (*bind)(struct lw_sock *s, uint16_t port))
{
    const struct dmm_host *host = s->stack->host;
    uint16_t start;
    host->random(host, &start, sizeof(start));
    for (unsigned i = 0; i < EPHEMERAL_COUNT; i++) {
        err_t err = bind(s, (uint16_t)(EPHEMERAL_FIRST + (start + i) % EPHEMERAL_COUNT));
        if (err != ERR_USE)
            return err;
    }
    return ERR_USE;
}

int lw_open(void *stack, struct dmm_sock *sock, const struct dmm_open *open, void **ssock)
{
    bool stream = open->type == SOCK_STREAM;
    if (open->family != AF_INET && open->family != AF_INET6)
        return -EAFNOSUPPORT;
    if (!stream && open->type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    if (open->protocol && open->protocol != (stream ? IPPROTO_TCP : IPPROTO_UDP))
        return -EPROTONOSUPPORT;
    lw_ports_start(stack);
    struct lw_sock *s = lw_sock_new(stack, sock);
    if (!s)
        return -ENOMEM;
    s->family = open->family;
    s->stream = stream;
    s->local.family = s->family;
    lw_options_init(s);
    *ssock = s;
    return 0;
}

static int check_family(const struct lw_sock *s, const struct dmm_addr *addr)
{
    struct dmm_addr plain = *addr;
    dmm_addr_unmap(&plain);
    if (addr->family != s->family)
        return -EAFNOSUPPORT;
    if (s->family == AF_INET6 && s->options.v6only && plain.family == AF_INET)
        return -ENETUNREACH;
    return 0;
}

int lw_bind(void *ssock, const struct dmm_addr *addr, struct dmm_addr *bound)
{
    struct lw_sock *s = ssock;
    if (s->state != LW_IDLE)
        return -EINVAL;
    int rc = check_family(s, addr);
    if (rc)
        return rc == -ENETUNREACH ? -EINVAL : rc;
    ip_addr_t ip;
    lw_addr_to_ip(addr, &ip);
    bool group =
        !s->stream && (ip_addr_ismulticast(&ip) || ip_2_ip4(&ip)->addr == IPADDR_BROADCAST);
    if (!dmm_addr_is_any(addr) && !group && !lw_is_local(s->stack, &ip))
        return -EADDRNOTAVAIL;
    rc = s->stream ? lw_tcp_bind(s, addr) : lw_udp_bind(s, addr);
    if (rc)
        return rc;
    s->state = LW_BOUND;
    s->local = *addr;
    s->local.port = s->stream ? s->tcp->local_port : s->udp->local_port;
    *bound = s->local;
    return 0;
}

int lw_connect(void *ssock, const struct dmm_addr *peer, struct dmm_addr *local)
{
    struct lw_sock *s = ssock;
    int rc = !s->stream && !peer->family ? 0 : check_family(s, peer);
    if (rc)
        return rc;
    if (!s->stream) {
        rc = lw_udp_connect(s, peer);
        if (!rc)
            *local = s->local;
        return rc;
    }
    if (s->state == LW_CONNECTING)
        return -EALREADY;
    if (s->state != LW_IDLE && s->state != LW_BOUND)
        return -EISCONN;
    ip_addr_t ip;
    lw_addr_to_ip(peer, &ip);
    if (ip_addr_isany(&ip) && IP_IS_V4(&ip))
        ip_2_ip4(&ip)->addr = PP_HTONL(IPADDR_LOOPBACK); /* as Linux takes 0.0.0.0 */
    s->peer = *peer;
    rc = lw_tcp_connect(s, &ip, peer->port);
    if (!rc)
        *local = s->local;
    return rc;
}

void lw_send_ready(void *ssock)
{
    struct lw_sock *s = ssock;
    if (!s->stream) {
        lw_udp_send(s);
        return;
    }
    lw_tcp_send(s);
    if (s->tcp && s->state == LW_CONNECTED)
        lw_tcp_output(s->tcp);
}

void lw_close(void *ssock, enum dmm_close how)
{
    struct lw_sock *s = ssock;
    if (!s->stream)
        lw_udp_close(s);
    else if (s->listener)
        lw_listener_close(s);
    else
        lw_tcp_close(s, how);
}

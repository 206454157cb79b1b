/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners. lwIP was built without TCP_LISTEN_BACKLOG, so the backlog is kept here, as Linux keeps
 * it: while the host's accept queue is full, new SYNs are dropped (the peer tries again), and a
 * connection that completes all the same waits here for room.
 */
#include "sidecar/stacks/lwip/lw.h"

#include <errno.h>
#include <string.h>

/* Connections in SYN-RECEIVED or waiting, per listener: what a flood of SYNs can cost. */
#define LW_HALF_OPEN_MAX 1024

/* ---- connections that wait for the accept queue ---- */

static void waiting_add(struct lw_sock *parent, struct lw_sock *child)
{
    child->parent = parent;
    child->waiting_next = NULL;
    if (parent->waiting_last)
        parent->waiting_last->waiting_next = child;
    else
        parent->waiting_first = child;
    parent->waiting_last = child;
    parent->n_waiting++;
}

void lw_waiting_remove(struct lw_sock *s)
{
    struct lw_sock *parent = s->parent;
    struct lw_sock *previous = NULL;
    for (struct lw_sock *w = parent->waiting_first; w != s; w = w->waiting_next)
        previous = w;
    if (previous)
        previous->waiting_next = s->waiting_next;
    else
        parent->waiting_first = s->waiting_next;
    if (parent->waiting_last == s)
        parent->waiting_last = previous;
    parent->n_waiting--;
    s->parent = NULL;
}

/* 0, -ENOBUFS (the queue is full), or another negative errno: the host doesn't want it. */
static int offer(struct lw_sock *parent, struct lw_sock *child)
{
    const struct dmm_host *host = parent->stack->host;
    if (!host->accept_space(parent->sock))
        return -ENOBUFS;
    int rc = host->accepted(parent->sock, child, &child->local, &child->peer, &child->sock);
    if (!rc)
        parent->stack->stats.accepted++;
    return rc;
}

void lw_accept_ready(void *ssock)
{
    struct lw_sock *s = ssock;
    while (s->waiting_first) {
        struct lw_sock *child = s->waiting_first;
        int rc = offer(s, child);
        if (rc == -ENOBUFS)
            return;
        lw_waiting_remove(child);
        if (rc) {
            struct tcp_pcb *pcb = child->tcp;
            if (pcb) {
                lw_tcp_detach(child);
                lw.tcp_abort(pcb);
            }
            lw_sock_free(child);
            continue;
        }
        lw_tcp_deliver(child);
        if (child->tcp)
            lw_tcp_output(child->tcp);
    }
}

/* ---- accept ---- */

static struct lw_sock *new_child(struct lw_sock *parent, struct tcp_pcb *pcb)
{
    struct lw_sock *child = lw_sock_new(parent->stack, NULL);
    if (!child)
        return NULL;
    child->family = parent->family;
    child->stream = true;
    child->options = parent->options;
    lw_tcp_attach(child, pcb);
    lw_options_apply(child);
    lw_tcp_established(child);
    return child;
}

static err_t accept_cb(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct lw_sock *parent = arg;
    if (err != ERR_OK || !pcb || !parent)
        return ERR_VAL;
    if (parent->half_open)
        parent->half_open--;
    if (parent->n_waiting >= LW_HALF_OPEN_MAX)
        return ERR_MEM; /* lwIP resets it */
    struct lw_sock *child = new_child(parent, pcb);
    if (!child)
        return ERR_MEM;
    int rc = parent->n_waiting ? -ENOBUFS : offer(parent, child);
    if (rc == -ENOBUFS) {
        waiting_add(parent, child);
        return ERR_OK;
    }
    if (rc) {
        lw_tcp_detach(child);
        lw_sock_free(child);
        return ERR_VAL;
    }
    lw_tcp_deliver(child);
    return ERR_OK;
}

/* ---- admission ---- */

static uint32_t count_half_open(const struct tcp_pcb_listen *listener)
{
    uint32_t n = 0;
    for (const struct tcp_pcb *pcb = *lw.tcp_active_pcbs; pcb; pcb = pcb->next)
        n += pcb->state == SYN_RCVD && pcb->listener == listener;
    return n;
}

static struct tcp_pcb_listen *find_listener(const ip_addr_t *dst, uint16_t port)
{
    struct tcp_pcb_listen *wildcard = NULL;
    for (struct tcp_pcb_listen *pcb = lw.tcp_listen_pcbs->listen_pcbs; pcb; pcb = pcb->next) {
        if (pcb->local_port != port)
            continue;
        bool any_version = IP_IS_ANY_TYPE_VAL(pcb->local_ip);
        if (!any_version && IP_GET_TYPE(&pcb->local_ip) != IP_GET_TYPE(dst))
            continue;
        if (any_version || ip_addr_isany_val(pcb->local_ip))
            wildcard = pcb;
        else if (ip_addr_cmp(&pcb->local_ip, dst))
            return pcb;
    }
    return wildcard;
}

/* A SYN beyond what a connection in TIME-WAIT received opens the next one on the same ports (RFC
 * 9293, 3.10.7.4). lwIP answers it with an ACK and stays: a busy client would be shut out. */
static void end_time_wait(const struct lw_syn *syn)
{
    struct tcp_pcb *pcb = *lw.tcp_tw_pcbs;
    while (pcb &&
           !(pcb->remote_port == syn->src_port && pcb->local_port == syn->dst_port &&
             lw_same_ip(&pcb->remote_ip, &syn->src) && lw_same_ip(&pcb->local_ip, &syn->dst)))
        pcb = pcb->next;
    if (pcb && TCP_SEQ_GT(syn->seq, pcb->rcv_nxt))
        lw.tcp_abandon(pcb, 0);
}

bool lw_admit_syn(struct lw_stack *stack, const struct lw_syn *syn)
{
    struct tcp_pcb_listen *pcb = find_listener(&syn->dst, syn->dst_port);
    if (!pcb)
        return true; /* lwIP refuses it with RST */
    struct lw_sock *s = pcb->callback_arg;
    if (s->n_waiting || !stack->host->accept_space(s->sock))
        return false;
    /* A repeated SYN counts twice, and lwIP drops an old one in silence: count anew at the limit.
     */
    if (s->half_open >= LW_HALF_OPEN_MAX)
        s->half_open = count_half_open(pcb);
    if (s->half_open >= LW_HALF_OPEN_MAX)
        return false;
    s->half_open++;
    end_time_wait(syn);
    return true;
}

/* ---- listen, close ---- */

int lw_listen(void *ssock, int backlog)
{
    struct lw_sock *s = ssock;
    (void)backlog; /* it is the length of the host's queue, which accept_space() tells */
    if (!s->stream)
        return -EOPNOTSUPP;
    if (s->state == LW_LISTENING)
        return 0;
    if (s->state == LW_IDLE) {
        struct dmm_addr any = {.family = s->family};
        int rc = lw_bind(s, &any, &s->local);
        if (rc)
            return rc;
    }
    if (s->state != LW_BOUND)
        return -EINVAL;
    err_t err;
    struct tcp_pcb *pcb =
        lw.tcp_listen_with_backlog_and_err(s->tcp, TCP_DEFAULT_LISTEN_BACKLOG, &err);
    if (!pcb)
        return -lw_errno(err);
    s->tcp = NULL; /* freed */
    s->listener = (struct tcp_pcb_listen *)pcb;
    s->state = LW_LISTENING;
    lw.tcp_arg(pcb, s);
    lw.tcp_accept(pcb, accept_cb);
    return 0;
}

void lw_listener_close(struct lw_sock *s)
{
    while (s->waiting_first) {
        struct lw_sock *child = s->waiting_first;
        struct tcp_pcb *pcb = child->tcp;
        lw_waiting_remove(child);
        if (pcb) {
            lw_tcp_detach(child);
            lw.tcp_abort(pcb);
        }
        lw_sock_free(child);
    }
    struct tcp_pcb *pcb = (struct tcp_pcb *)(void *)s->listener;
    s->listener = NULL;
    lw.tcp_arg(pcb, NULL);
    lw.tcp_close(pcb);
    lw_sock_release(s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The services of sidecar/stack.h, as a stack instance gets them. */
#include "common/log.h"
#include "sidecar/instance.h"
#include "sidecar/sock.h"
#include "sidecar/worker.h"

#include <errno.h>

static struct dmm_instance *instance_of(const struct dmm_host *host)
{
    return (struct dmm_instance *)(uintptr_t)host;
}

static uint64_t host_now(const struct dmm_host *host)
{
    return instance_of(host)->worker->now;
}

static void host_random(const struct dmm_host *host, void *buf, size_t len)
{
    dmm_worker_random(instance_of(host)->worker, buf, len);
}

static void host_log(const struct dmm_host *host, int level, const char *text)
{
    struct dmm_log_field fields[] = {{"stack", instance_of(host)->name}, {NULL, NULL}};
    if (level < DMM_LOG_ERROR || level > DMM_LOG_DEBUG)
        level = DMM_LOG_INFO;
    dmm_log_fields((enum dmm_log_level)level, fields, "%s", text);
}

static unsigned host_n_ports(const struct dmm_host *host)
{
    return instance_of(host)->n_ports;
}

static const struct dmm_port_info *host_port_info(const struct dmm_host *host, unsigned port)
{
    const struct dmm_instance *instance = instance_of(host);
    if (port >= instance->n_ports)
        return NULL;
    struct dmm_port *p = instance->ports[port].port;
    return p->ops->info(p);
}

static int host_transmit(const struct dmm_host *host, unsigned port,
                         const struct dmm_tx_frame *frame)
{
    struct dmm_instance *instance = instance_of(host);
    if (port >= instance->n_ports)
        return -ENETDOWN;
    struct dmm_port *p = instance->ports[port].port;
    int rc = p->ops->transmit(p, frame);
    if (rc == -EAGAIN)
        instance->ports[port].blocked = true;
    return rc;
}

static void host_connected(struct dmm_sock *sock, const struct dmm_addr *local,
                           const struct dmm_addr *peer)
{
    if (sock->flags & DMM_SOCK_CLOSED)
        return;
    sock->shared->local = *local;
    sock->shared->peer = *peer;
    dmm_sock_set_state(sock, DMM_SS_CONNECTED);
    dmm_sock_news(sock, DMM_EV_OUT);
}

static void host_eof(struct dmm_sock *sock)
{
    if (sock->flags & DMM_SOCK_CLOSED || sock->state & DMM_SS_EOF)
        return;
    dmm_sock_set_state(sock, DMM_SS_EOF);
    dmm_sock_news(sock,
                  DMM_EV_IN | DMM_EV_RDHUP | (sock->flags & DMM_SOCK_SHUT_WR ? DMM_EV_HUP : 0));
}

static void host_soft_error(struct dmm_sock *sock, int error)
{
    if (sock->flags & DMM_SOCK_CLOSED)
        return;
    atomic_store_explicit(&sock->shared->so_error, (uint32_t)error, memory_order_release);
    dmm_sock_news(sock, DMM_EV_ERR);
}

static void host_released(struct dmm_sock *sock)
{
    sock->flags |= DMM_SOCK_RELEASED;
    /* Inside close(), dmm_sock_close() frees it. */
    if (sock->flags & DMM_SOCK_LINGERS)
        dmm_sock_free(sock);
}

void dmm_host_init(struct dmm_instance *instance, struct dmm_worker *worker)
{
    instance->worker = worker;
    instance->host = (struct dmm_host){
        .abi = DMM_STACK_ABI,
        .size = sizeof(struct dmm_host),
        .now = host_now,
        .random = host_random,
        .log = host_log,
        .n_ports = host_n_ports,
        .port_info = host_port_info,
        .transmit = host_transmit,
        .rx_space = dmm_sock_rx_space,
        .rx_write = dmm_sock_rx_write,
        .rx_datagram = dmm_sock_rx_datagram,
        .tx_pending = dmm_sock_tx_pending,
        .tx_peek = dmm_sock_tx_peek,
        .tx_consume = dmm_sock_tx_consume,
        .tx_sent = dmm_sock_tx_sent,
        .tx_datagram = dmm_sock_tx_datagram,
        .tx_datagram_done = dmm_sock_tx_datagram_done,
        .connected = host_connected,
        .accept_space = dmm_sock_accept_space,
        .accepted = dmm_sock_accepted,
        .eof = host_eof,
        .error = dmm_sock_dead,
        .soft_error = host_soft_error,
        .released = host_released,
    };
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/stacks/tcpip/join.h"

#include "sidecar/stacks/built_in.h"

static int create(const struct dmm_stack_config *config, const struct dmm_host *host, void **stack,
                  char *err, size_t errlen)
{
    struct tcpip_config c;
    struct tcpip *ip;
    int rc = tcpip_join_options(&c, config->options, err, errlen);

    if (rc == 0)
        rc = tcpip_create(&c, host, &ip, err, errlen);
    if (rc == 0)
        *stack = ip;
    return rc;
}

static void destroy(void *stack)
{
    tcpip_destroy(stack);
}

static void input(void *stack, unsigned port, const struct dmm_frame *frames, unsigned n)
{
    tcpip_frames(stack, port, frames, n);
}

static void port_writable(void *stack, unsigned port)
{
    tcpip_port_writable(stack, port);
}

static void port_changed(void *stack, unsigned port)
{
    tcpip_port_changed(stack, port);
}

static unsigned poll(void *stack)
{
    return tcpip_poll(stack);
}

static uint64_t next_deadline(void *stack)
{
    return tcpip_next_deadline(stack);
}

static int open_socket(void *stack, struct dmm_sock *sock, const struct dmm_open *open,
                       void **ssock)
{
    struct tcpip_socket *s;
    const int rc = tcpip_open(stack, sock, open, &s);

    if (rc == 0)
        *ssock = s;
    return rc;
}

static int bind_socket(void *ssock, const struct dmm_addr *addr, struct dmm_addr *bound)
{
    return tcpip_bind(ssock, addr, bound);
}

static int listen_socket(void *ssock, int backlog)
{
    return tcpip_listen(ssock, backlog);
}

static int connect_socket(void *ssock, const struct dmm_addr *peer, struct dmm_addr *local)
{
    return tcpip_connect(ssock, peer, local);
}

static void send_ready(void *ssock)
{
    tcpip_send_ready(ssock);
}

static void receive_space(void *ssock)
{
    tcpip_receive_space(ssock);
}

static void accept_ready(void *ssock)
{
    tcpip_accept_ready(ssock);
}

static int shutdown_socket(void *ssock, int how)
{
    return tcpip_shutdown(ssock, how);
}

static void close_socket(void *ssock, enum dmm_close how)
{
    tcpip_close(ssock, how);
}

static int set_option(void *ssock, int level, int name, const void *value, uint32_t len)
{
    return tcpip_setsockopt(ssock, level, name, value, len);
}

static int get_option(void *ssock, int level, int name, void *value, uint32_t *len)
{
    return tcpip_getsockopt(ssock, level, name, value, len);
}

static void socket_info(void *ssock, struct dmm_socket_info *info)
{
    tcpip_socket_info(ssock, info);
}

static void stats(void *stack, dmm_stat_fn *emit, void *arg)
{
    tcpip_counters_emit(tcpip_counters(stack), emit, arg);
}

const struct dmm_stack_ops dmm_stack_tcpip_ops = {
    .abi = DMM_STACK_ABI,
    .size = sizeof(struct dmm_stack_ops),
    .type = "tcpip",
    .capabilities = DMM_STACK_TCP | DMM_STACK_UDP | DMM_STACK_IPV4 | DMM_STACK_IPV6 |
                    DMM_STACK_PORTS | DMM_STACK_SEGMENTS,
    .create = create,
    .destroy = destroy,
    .input = input,
    .port_writable = port_writable,
    .port_changed = port_changed,
    .poll = poll,
    .next_deadline = next_deadline,
    .open = open_socket,
    .bind = bind_socket,
    .listen = listen_socket,
    .connect = connect_socket,
    .send_ready = send_ready,
    .receive_space = receive_space,
    .accept_ready = accept_ready,
    .shutdown = shutdown_socket,
    .close = close_socket,
    .setsockopt = set_option,
    .getsockopt = get_option,
    .socket_info = socket_info,
    .stats = stats,
};

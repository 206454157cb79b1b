/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/socket.h"

#include "sidecar/tcpip/ip.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

int tcpip_open(struct tcpip *ip, struct dmm_sock *sock, const struct dmm_open *open,
               struct tcpip_socket **s)
{
    tcpip_enter(ip);
    if (open->family != AF_INET && open->family != AF_INET6)
        return -EAFNOSUPPORT;
    if (open->type == SOCK_STREAM && (open->protocol == 0 || open->protocol == IPPROTO_TCP))
        return tcp_socket_open(ip, sock, (uint8_t)open->family, s);
    if (open->type == SOCK_DGRAM && (open->protocol == 0 || open->protocol == IPPROTO_UDP))
        return udp_socket_open(ip, sock, (uint8_t)open->family, s);
    return -EPROTONOSUPPORT;
}

/* The internal form of an address that the application gave to this socket. */
static int address_in(const struct tcpip_socket *s, const struct dmm_addr *addr,
                      struct ip_addr *out)
{
    if (addr->family != s->family)
        return -EAFNOSUPPORT;
    *out = ip_addr_from_dmm(addr);
    if (s->family == AF_INET6 && ip_addr_is_v4(out) && (s->flags & SOCKET_V6ONLY))
        return -ENETUNREACH;
    return 0;
}

static void local_out(const struct tcpip_socket *s, struct dmm_addr *out)
{
    struct ip_addr addr;
    uint16_t port;

    s->ops->local(s, &addr, &port);
    *out = ip_addr_to_dmm(&addr, port, s->family);
}

int tcpip_bind(struct tcpip_socket *s, const struct dmm_addr *addr, struct dmm_addr *bound)
{
    struct ip_addr local;
    int rc;

    tcpip_enter(s->ip);
    rc = address_in(s, addr, &local);
    if (rc < 0)
        return rc == -ENETUNREACH ? -EINVAL : rc;
    if (!ip_addr_is_any(&local) && !net_addr_bindable(s->ip, &local, addr->scope_id))
        return -EADDRNOTAVAIL;
    rc = s->ops->bind(s, &local, addr->port);
    if (rc == 0)
        local_out(s, bound);
    return rc;
}

int tcpip_listen(struct tcpip_socket *s, int backlog)
{
    tcpip_enter(s->ip);
    return s->ops->listen(s, backlog);
}

int tcpip_connect(struct tcpip_socket *s, const struct dmm_addr *peer, struct dmm_addr *local)
{
    struct ip_addr remote;
    int rc;

    tcpip_enter(s->ip);
    if (peer->family == AF_UNSPEC) {
        rc = s->ops->connect(s, NULL, 0);
    } else {
        rc = address_in(s, peer, &remote);
        if (rc < 0)
            return rc;
        if (ip_addr_is_any(&remote)) /* as Linux: the unspecified address is this host */
            remote = ip_addr_is_v4(&remote) ? ip_addr_v4(htonl(INADDR_LOOPBACK))
                                            : ip_addr_v6(&in6addr_loopback);
        rc = s->ops->connect(s, &remote, peer->port);
    }
    if (rc == 0)
        local_out(s, local);
    return rc;
}

void tcpip_send_ready(struct tcpip_socket *s)
{
    tcpip_enter(s->ip);
    s->ops->send_ready(s);
}

void tcpip_receive_space(struct tcpip_socket *s)
{
    tcpip_enter(s->ip);
    s->ops->receive_space(s);
}

void tcpip_accept_ready(struct tcpip_socket *s)
{
    tcpip_enter(s->ip);
    s->ops->accept_ready(s);
}

int tcpip_shutdown(struct tcpip_socket *s, int how)
{
    tcpip_enter(s->ip);
    return s->ops->shutdown(s, how);
}

void tcpip_close(struct tcpip_socket *s, enum dmm_close how)
{
    tcpip_enter(s->ip);
    s->ops->close(s, how);
}

void tcpip_socket_info(struct tcpip_socket *s, struct dmm_socket_info *info)
{
    tcpip_enter(s->ip);
    s->ops->info(s, info);
}

int socket_option_int(const void *value, uint32_t len, int *out)
{
    uint8_t byte;

    if (len >= sizeof(*out)) {
        memcpy(out, value, sizeof(*out));
        return 0;
    }
    if (len < 1)
        return -EINVAL;
    memcpy(&byte, value, 1);
    *out = byte;
    return 0;
}

int socket_option_put_int(int in, void *value, uint32_t *len)
{
    if (*len < 1)
        return -EINVAL;
    if (*len > sizeof(in))
        *len = sizeof(in);
    memcpy(value, &in, *len);
    return 0;
}

/* Where an option is one bit of s->flags. */
static const struct flag_option {
    int level, name;
    uint8_t flag;
} flag_options[] = {
    {SOL_SOCKET, SO_REUSEADDR, SOCKET_REUSEADDR}, {SOL_SOCKET, SO_REUSEPORT, SOCKET_REUSEPORT},
    {SOL_SOCKET, SO_BROADCAST, SOCKET_BROADCAST}, {SOL_SOCKET, SO_DONTROUTE, SOCKET_DONTROUTE},
    {SOL_SOCKET, SO_KEEPALIVE, SOCKET_KEEPALIVE}, {SOL_IPV6, IPV6_V6ONLY, SOCKET_V6ONLY},
};

/* Where it is a byte, with the range it takes. `level` 0 is IPv4, SOL_IPV6, SOL_SOCKET as is; -1
 * is what Linux takes to mean the default. */
static const struct byte_option {
    int level, name, min, max;
    size_t offset;
} byte_options[] = {
    {SOL_IP, IP_TOS, 0, 255, offsetof(struct tcpip_socket, tos)},
    {SOL_IPV6, IPV6_TCLASS, -1, 255, offsetof(struct tcpip_socket, tos)},
    {SOL_IP, IP_TTL, -1, 255, offsetof(struct tcpip_socket, ttl)},
    {SOL_IPV6, IPV6_UNICAST_HOPS, -1, 255, offsetof(struct tcpip_socket, ttl)},
    {SOL_IP, IP_MTU_DISCOVER, 0, IP_PMTUDISC_PROBE, offsetof(struct tcpip_socket, pmtudisc)},
    {SOL_IPV6, IPV6_MTU_DISCOVER, 0, IPV6_PMTUDISC_PROBE, offsetof(struct tcpip_socket, pmtudisc)},
};

#define DEFAULT_TTL 64

static const struct flag_option *find_flag(int level, int name)
{
    for (unsigned i = 0; i < sizeof(flag_options) / sizeof(flag_options[0]); i++) {
        if (flag_options[i].level == level && flag_options[i].name == name)
            return &flag_options[i];
    }
    return NULL;
}

static const struct byte_option *find_byte(int level, int name)
{
    for (unsigned i = 0; i < sizeof(byte_options) / sizeof(byte_options[0]); i++) {
        if (byte_options[i].level == level && byte_options[i].name == name)
            return &byte_options[i];
    }
    return NULL;
}

/* What Linux, which counts a TOS as a wish for priority, makes of it (rt_tos2priority(), by bits 1
 * to 4: RFC 1349's delay, throughput, reliability, cost). */
static int32_t priority_of_tos(uint8_t tos)
{
    static const uint8_t of[16] = {0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4};

    return of[tos >> 1 & 0xf];
}

static int set_byte(struct tcpip_socket *s, const struct byte_option *o, int value)
{
    if (value < o->min || value > o->max)
        return -EINVAL;
    if (o->offset == offsetof(struct tcpip_socket, ttl) && value == 0)
        return -EINVAL;
    *((uint8_t *)s + o->offset) = (uint8_t)(value < 0 ? 0 : value);
    if (o->level == SOL_IP && o->name == IP_TOS)
        s->priority = priority_of_tos(s->tos);
    return 0;
}

static int set_priority(struct tcpip_socket *s, const void *value, uint32_t len)
{
    int v;
    const int rc = socket_option_int(value, len, &v);

    if (rc == 0)
        s->priority = v;
    return rc;
}

static int bind_to_device(struct tcpip_socket *s, const void *value, uint32_t len)
{
    char name[IFNAMSIZ] = "";
    int port;

    memcpy(name, value, len < IFNAMSIZ - 1 ? len : IFNAMSIZ - 1);
    if (name[0] == '\0') {
        s->bound_port = 0;
        return 0;
    }
    port = net_port_by_name(s->ip, name);
    if (port < 0)
        return -ENODEV;
    s->bound_port = (uint8_t)(port + 1);
    return 0;
}

/* By the number that the app sees: port 0 is interface 1. */
static int bind_to_index(struct tcpip_socket *s, const void *value, uint32_t len)
{
    int index;
    const int rc = socket_option_int(value, len, &index);

    if (rc < 0)
        return rc;
    if (index != 0 && (index < 0 || net_port_name(s->ip, (unsigned)index - 1) == NULL))
        return -ENODEV;
    s->bound_port = (uint8_t)index;
    return 0;
}

static int bound_device(const struct tcpip_socket *s, void *value, uint32_t *len)
{
    const char *name = s->bound_port ? net_port_name(s->ip, s->bound_port - 1u) : NULL;
    const uint32_t size = name != NULL ? (uint32_t)strlen(name) + 1 : 0;

    if (*len > size)
        *len = size;
    if (name != NULL)
        memcpy(value, name, *len);
    return 0;
}

int tcpip_setsockopt(struct tcpip_socket *s, int level, int name, const void *value, uint32_t len)
{
    const struct flag_option *flag = find_flag(level, name);
    const struct byte_option *byte = find_byte(level, name);
    int v, rc;

    tcpip_enter(s->ip);
    if (level == SOL_SOCKET && name == SO_BINDTODEVICE)
        return bind_to_device(s, value, len);
    if (level == SOL_SOCKET && name == SO_BINDTOIFINDEX)
        return bind_to_index(s, value, len);
    if (level == SOL_SOCKET && name == SO_PRIORITY)
        return set_priority(s, value, len);
    if (level == SOL_IPV6 && s->family != AF_INET6)
        return -ENOPROTOOPT;
    if (flag == NULL && byte == NULL)
        return s->ops->setsockopt(s, level, name, value, len);
    rc = socket_option_int(value, len, &v);
    if (rc < 0)
        return rc;
    if (byte != NULL) {
        rc = set_byte(s, byte, v);
        if (rc < 0)
            return rc;
    } else {
        s->flags = (uint8_t)(v != 0 ? s->flags | flag->flag : s->flags & ~flag->flag);
    }
    /* the layer acts on those that concern it; what it does not know is no error here */
    rc = s->ops->setsockopt(s, level, name, value, len);
    return rc == -ENOPROTOOPT ? 0 : rc;
}

int tcpip_getsockopt(struct tcpip_socket *s, int level, int name, void *value, uint32_t *len)
{
    const struct flag_option *flag = find_flag(level, name);
    const struct byte_option *byte = find_byte(level, name);
    int v;

    tcpip_enter(s->ip);
    if (level == SOL_SOCKET && name == SO_PRIORITY)
        return socket_option_put_int(s->priority, value, len);
    if (level == SOL_SOCKET && name == SO_BINDTODEVICE)
        return bound_device(s, value, len);
    if (level == SOL_SOCKET && name == SO_BINDTOIFINDEX)
        return socket_option_put_int(s->bound_port, value, len);
    if (level == SOL_IPV6 && s->family != AF_INET6)
        return -ENOPROTOOPT;
    if (flag == NULL && byte == NULL)
        return s->ops->getsockopt(s, level, name, value, len);
    if (flag != NULL) {
        v = (s->flags & flag->flag) != 0;
    } else {
        v = *((const uint8_t *)s + byte->offset);
        if (byte->offset == offsetof(struct tcpip_socket, ttl) && v == 0)
            v = DEFAULT_TTL;
    }
    return socket_option_put_int(v, value, len);
}

bool socket_bind_conflict(const struct tcpip_socket *a, const struct ip_addr *a_addr,
                          const struct tcpip_socket *b, const struct ip_addr *b_addr)
{
    const bool a_any = ip_addr_is_any(a_addr);
    const bool b_any = ip_addr_is_any(b_addr);

    if (a->bound_port != 0 && b->bound_port != 0 && a->bound_port != b->bound_port)
        return false;
    if ((a->flags & b->flags) & SOCKET_REUSEPORT)
        return false;
    if (!a_any && !b_any)
        return ip_addr_equal(a_addr, b_addr);
    /* an IPv6 wildcard that is not IPv6 only takes in IPv4 */
    const bool a_v4 = ip_addr_is_v4(a_addr);
    const bool b_v4 = ip_addr_is_v4(b_addr);

    if (a_v4 == b_v4)
        return true;
    if (a_any && !a_v4)
        return !(a->flags & SOCKET_V6ONLY);
    if (b_any && !b_v4)
        return !(b->flags & SOCKET_V6ONLY);
    return false;
}

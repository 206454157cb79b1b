/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/stacks/lwip/lw.h"

#include <errno.h>
#include <string.h>

void lw_addr_to_ip(const struct dmm_addr *addr, ip_addr_t *ip)
{
    struct dmm_addr plain = *addr;
    dmm_addr_unmap(&plain);
    memset(ip, 0, sizeof(*ip));
    if (plain.family == AF_INET6) {
        ip->type = IPADDR_TYPE_V6;
        memcpy(ip->u_addr.ip6.addr, plain.ip, 16);
        ip6_addr_set_zone(&ip->u_addr.ip6, (u8_t)plain.scope_id);
    } else {
        ip->type = IPADDR_TYPE_V4;
        memcpy(&ip->u_addr.ip4.addr, plain.ip, 4);
    }
}

void lw_addr_to_local_ip(const struct dmm_addr *addr, bool v6only, ip_addr_t *ip)
{
    lw_addr_to_ip(addr, ip);
    if (addr->family == AF_INET6 && ip_addr_isany(ip) && IP_IS_V6(ip) && !v6only)
        IP_SET_TYPE_VAL(*ip, IPADDR_TYPE_ANY);
}

void lw_addr_from_ip(struct dmm_addr *addr, const ip_addr_t *ip, uint16_t port)
{
    memset(addr, 0, sizeof(*addr));
    addr->port = port;
    if (IP_IS_V4(ip)) {
        addr->family = AF_INET;
        memcpy(addr->ip, &ip->u_addr.ip4.addr, 4);
        return;
    }
    addr->family = AF_INET6;
    memcpy(addr->ip, ip->u_addr.ip6.addr, 16);
    if (ip6_addr_islinklocal(ip_2_ip6(ip)))
        addr->scope_id = ip6_addr_zone(ip_2_ip6(ip));
}

void lw_addr_for_family(struct dmm_addr *addr, uint16_t family)
{
    if (family == AF_INET6 && addr->family == AF_INET)
        dmm_addr_map(addr);
}

bool lw_same_ip(const ip_addr_t *a, const ip_addr_t *b)
{
    if (IP_GET_TYPE(a) != IP_GET_TYPE(b))
        return false;
    return IP_IS_V4(a) ? ip4_addr_cmp(ip_2_ip4(a), ip_2_ip4(b))
                       : ip6_addr_cmp_zoneless(ip_2_ip6(a), ip_2_ip6(b));
}

int lw_errno(err_t err)
{
    switch (err) {
    case ERR_OK:
        return 0;
    case ERR_MEM:
    case ERR_BUF:
        return ENOBUFS;
    case ERR_TIMEOUT:
        return ETIMEDOUT;
    case ERR_RTE:
        return ENETUNREACH;
    case ERR_USE:
        return EADDRINUSE;
    case ERR_ISCONN:
    case ERR_ALREADY:
        return EISCONN;
    case ERR_CONN:
    case ERR_CLSD:
        return ENOTCONN;
    case ERR_RST:
        return ECONNRESET;
    case ERR_ABRT:
        return ETIMEDOUT; /* lwIP's timers gave up: its tcp_err_fn says no more */
    case ERR_IF:
        return ENETDOWN;
    default:
        return EINVAL;
    }
}

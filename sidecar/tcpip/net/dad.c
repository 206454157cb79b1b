/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is an address ours alone? IPv6: duplicate address detection, RFC 4862, 5.4, with the nonce of RFC
 * 7527 so that a looped-back solicitation is no duplicate. A configured address is optimistic (RFC
 * 4429): in use at once, so that a pod does not wait a second for its network. IPv4: an
 * orchestrator gave the address, so it is announced at once (RFC 5227, 2.3) and defended (2.4).
 */
#include "sidecar/tcpip/net/net.h"

#include <stdio.h>

#define ANNOUNCE_NUM      2 /* RFC 5227, 1.1 */
#define ANNOUNCE_INTERVAL 2000000000u
#define DAD_TRANSMITS     1 /* RFC 4862, 5.1 */
#define SECOND            1000000000u

void net_dad_start(struct net *net, struct net_port *port, struct net_address *a)
{
    uint64_t now = net->ip->now;
    net->touched = true;
    if (ip_addr_is_v4(&a->addr)) {
        a->state = NET_ADDRESS_PREFERRED;
        a->left = ANNOUNCE_NUM;
        a->deadline = port->up ? now : UINT64_MAX;
        return;
    }
    /* One that was in use when the link went stays so when it comes back. */
    bool in_use = a->origin == NET_ADDRESS_CONFIGURED || net_address_usable(a);
    a->state = in_use ? NET_ADDRESS_OPTIMISTIC : NET_ADDRESS_TENTATIVE;
    a->left = DAD_TRANSMITS;
    tcpip_random(net->ip, &a->dad_nonce, sizeof(a->dad_nonce));
    /* 5.4.2: the first message of an interface waits up to MAX_RTR_SOLICITATION_DELAY; the
     * solicited-node group is reported before (RFC 4862, 5.4.2; RFC 3810, 7.2.1). */
    uint64_t wait = a->state == NET_ADDRESS_OPTIMISTIC
                        ? 0
                        : (uint64_t)net_random32(net) % 1024 * (SECOND / 2 / 1024);
    a->deadline = port->up ? now + wait : UINT64_MAX;
}

/* RFC 7217, 6: the next identifier of the row, as long as it is ours to choose. */
static void try_another(struct net *net, struct net_port *port, struct net_address *a)
{
    struct net_address next = *a;
    next.dad_counter++;
    next.state = NET_ADDRESS_TENTATIVE;
    net_port_interface_id(net, port, &next);
    net_port_drop_address(net, port, a);
    net_port_add_address(net, port, &next);
}

void net_dad_failed(struct net *net, struct net_port *port, struct net_address *a)
{
    char text[96 + INET6_ADDRSTRLEN], addr[INET6_ADDRSTRLEN];
    bool again =
        net->stable_ids && a->origin != NET_ADDRESS_CONFIGURED && a->dad_counter < NET_IID_RETRIES;
    net->ip->count.nd_dad_failed++;
    inet_ntop(AF_INET6, a->addr.b, addr, sizeof(addr));
    snprintf(text, sizeof(text), "port %s: %s is used by another node%s", port->name, addr,
             again ? "; trying the next" : "");
    net->ip->host->log(net->ip->host, 1, text);
    if (again) {
        try_another(net, port, a);
        return;
    }
    a->state = NET_ADDRESS_DUPLICATE;
    a->deadline = UINT64_MAX;
    net_bump(net);
}

static void step4(struct net *net, struct net_port *port, struct net_address *a, uint64_t now)
{
    net_arp_announce(net, port, &a->addr);
    if (a->left)
        a->left--;
    a->deadline = a->left ? now + ANNOUNCE_INTERVAL : UINT64_MAX;
}

static void step6(struct net *net, struct net_port *port, struct net_address *a, uint64_t now)
{
    if (a->left) {
        a->left--;
        net_nd_dad_solicit(net, port, a);
        a->deadline = now + NET_RETRANS_TIMER;
        return;
    }
    a->deadline = UINT64_MAX;
    a->state = a->preferred_until <= now ? NET_ADDRESS_DEPRECATED : NET_ADDRESS_PREFERRED;
    net_nd_announce(net, port, a);
    if (a->origin == NET_ADDRESS_LINK_LOCAL && port->autoconf)
        net_router_solicit(net, port);
    net_bump(net);
}

void net_dad_poll(struct net *net, struct net_port *port, uint64_t now)
{
    for (unsigned k = port->addresses.n; k-- > 0;) {
        struct net_address *a = &port->addresses.list[k];
        if (a->valid_until <= now) {
            net_port_drop_address(net, port, a);
            continue;
        }
        if (a->preferred_until <= now && a->state == NET_ADDRESS_PREFERRED) {
            a->state = NET_ADDRESS_DEPRECATED;
            net_bump(net);
        }
        if (a->deadline > now)
            continue;
        if (ip_addr_is_v4(&a->addr))
            step4(net, port, a, now);
        else
            step6(net, port, a, now);
    }
}

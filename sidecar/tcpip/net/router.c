/* SPDX-License-Identifier: Apache-2.0 */
/* Router discovery and stateless autoconfiguration: RFC 4861, 6; RFC 4862, 5.5; RFC 4191. */
#include "sidecar/tcpip/net/net.h"

#include "sidecar/tcpip/net/nd_message.h"

#define SECOND          1000000000u
#define SOLICITS        3 /* MAX_RTR_SOLICITATIONS */
#define SOLICIT_SECONDS 4 /* RTR_SOLICITATION_INTERVAL */
#define TWO_HOURS       7200u
#define MAX_REACHABLE   3600000u /* ms; RFC 4861, 6.2.1 */
#define MIN_RETRANS     100u     /* ms: nobody may make us ask faster than this */
#define MAX_RETRANS     60000u

static uint64_t until(uint64_t now, uint32_t seconds)
{
    return seconds == NET_ND_FOREVER ? UINT64_MAX : now + (uint64_t)seconds * SECOND;
}

void net_router_solicit(struct net *net, struct net_port *port)
{
    port->solicits_left = SOLICITS;
    port->solicit_at = net->ip->now;
    net->touched = true;
}

void net_router_poll(struct net *net, struct net_port *port, uint64_t now)
{
    if (port->solicit_at > now)
        return;
    port->solicit_at = UINT64_MAX;
    if (!port->solicits_left || !port->up)
        return;
    const struct net_address *from = NULL;
    for (unsigned k = 0; k < port->addresses.n; k++)
        if (port->addresses.list[k].origin == NET_ADDRESS_LINK_LOCAL &&
            net_address_usable(&port->addresses.list[k]))
            from = &port->addresses.list[k];
    if (!from)
        return; /* begins anew when duplicate detection is done */
    uint8_t icmp[16] = {NET_ICMP6_RS};
    net_nd_put_ll(icmp + 8, NET_ND_OPT_SOURCE_LL, &port->mac);
    const struct net_link_packet how = {
        .port = port, .src = from->addr, .dst = net_ip_all_routers, .hop_limit = 255};
    net_nd_send(net, &how, icmp, sizeof(icmp));
    if (--port->solicits_left)
        port->solicit_at = now + (uint64_t)SOLICIT_SECONDS * SECOND;
}

void net_router_gone(struct net *net, struct net_port *port, const struct ip_addr *router)
{
    for (unsigned i = net->routes.n; i-- > 0;) {
        const struct net_route r = net->routes.list[i];
        if (r.port == port->index && r.origin == NET_ROUTE_RA && ip_addr_equal(&r.gateway, router))
            net_route_remove(&net->routes, &r);
    }
    net_bump(net);
}

/* Default routes, more specific ones and prefixes on link are counted apart: no kind takes the
 * room of another. */
static bool same_kind(const struct net_route *a, const struct net_route *b)
{
    bool on_link = net_ip_is_none(&a->gateway);
    return on_link == net_ip_is_none(&b->gateway) && (on_link || !a->bits == !b->bits);
}

static unsigned count_routes(const struct net *net, const struct net_route *like)
{
    unsigned n = 0;
    for (unsigned i = 0; i < net->routes.n; i++) {
        const struct net_route *r = &net->routes.list[i];
        n += r->port == like->port && r->origin == NET_ROUTE_RA && same_kind(r, like);
    }
    return n;
}

/* Adds or renews a route; a lifetime of 0 removes it. What is new is refused at the limit. */
static void set_route(struct net *net, const struct net_port *port, struct net_route *r,
                      uint32_t seconds, unsigned limit)
{
    r->port = port->index;
    r->origin = NET_ROUTE_RA;
    r->expires = until(net->ip->now, seconds);
    bool had = net_route_remove(&net->routes, r);
    if (!seconds) {
        if (had)
            net_bump(net);
        return;
    }
    if ((!had && count_routes(net, r) >= limit) || net_route_add(&net->routes, r)) {
        net->ip->count.nd_ra_limit++;
        return;
    }
    if (!had)
        net_bump(net);
}

/* RFC 4862, 5.5.3 e: the valid lifetime of an address that exists. */
static uint64_t valid_lifetime(const struct net_address *a, uint32_t told, uint64_t now)
{
    uint64_t at = until(now, told), two_hours = now + (uint64_t)TWO_HOURS * SECOND;
    if (told > TWO_HOURS || at > a->valid_until)
        return at;
    return a->valid_until <= two_hours ? a->valid_until : two_hours;
}

static void renew(struct net *net, struct net_address *a, const struct net_nd_prefix *p)
{
    uint64_t now = net->ip->now;
    a->valid_until = valid_lifetime(a, p->valid, now);
    a->preferred_until = until(now, p->preferred);
    if (a->preferred_until > a->valid_until)
        a->preferred_until = a->valid_until;
    uint8_t state = a->preferred_until > now ? NET_ADDRESS_PREFERRED : NET_ADDRESS_DEPRECATED;
    if (a->state == state || !net_address_usable(a))
        return;
    a->state = state;
    net_bump(net);
}

/* The address that we made of this prefix, by whatever identifier. */
static struct net_address *find_auto(struct net_port *port, const struct ip_addr *prefix)
{
    for (unsigned k = 0; k < port->addresses.n; k++) {
        struct net_address *a = &port->addresses.list[k];
        if (a->origin == NET_ADDRESS_AUTO && net_ip_in_prefix(&a->addr, prefix, 64))
            return a;
    }
    return NULL;
}

/* RFC 4862, 5.5.3. */
static void autoconfigure(struct net *net, struct net_port *port, const struct net_nd_prefix *p)
{
    if (p->bits != 64 || p->preferred > p->valid || ip_addr_is_link_local6(&p->prefix) ||
        ip_addr_is_multicast(&p->prefix) || net_ip_is_none(&p->prefix))
        return;
    struct net_address a = {.addr = p->prefix,
                            .bits = 64,
                            .origin = NET_ADDRESS_AUTO,
                            .deadline = UINT64_MAX,
                            .valid_until = until(net->ip->now, p->valid),
                            .preferred_until = until(net->ip->now, p->preferred)};
    net_port_interface_id(net, port, &a);
    struct net_address *have = find_auto(port, &p->prefix);
    if (!have)
        have = net_address_find(&port->addresses, &a.addr);
    if (have) {
        if (have->origin == NET_ADDRESS_AUTO)
            renew(net, have, p);
        return;
    }
    if (!p->valid)
        return;
    unsigned n = 0;
    for (unsigned k = 0; k < port->addresses.n; k++)
        n += port->addresses.list[k].origin == NET_ADDRESS_AUTO;
    if (n >= NET_AUTO_ADDRESSES || !net_port_add_address(net, port, &a))
        net->ip->count.nd_ra_limit++;
}

static void take_prefix(struct net *net, struct net_port *port, const struct net_nd_prefix *p)
{
    if (p->on_link && !ip_addr_is_link_local6(&p->prefix) && !ip_addr_is_multicast(&p->prefix)) {
        struct net_route r = {.dst = p->prefix, .bits = p->bits};
        set_route(net, port, &r, p->valid, NET_RA_PREFIXES);
    }
    if (p->autonomous)
        autoconfigure(net, port, p);
}

/* RFC 4191, 3.1, as a host of type C; one for ::/0 overrules the message's header. */
static void take_route(struct net *net, struct net_port *port, const struct ip_addr *router,
                       const struct net_nd_route *told)
{
    if (ip_addr_is_link_local6(&told->prefix) || ip_addr_is_multicast(&told->prefix))
        return;
    struct net_route r = {.dst = told->prefix,
                          .bits = told->bits,
                          .gateway = *router,
                          .preference = told->preference};
    set_route(net, port, &r, told->lifetime, told->bits ? NET_RA_ROUTES : NET_DEFAULT_ROUTERS);
}

static void take_parameters(struct net *net, struct net_port *port, const struct net_nd_advert *ra)
{
    if (ra->hop_limit)
        port->hop_limit = ra->hop_limit;
    uint32_t reachable = ra->reachable <= MAX_REACHABLE ? ra->reachable : 0;
    uint32_t retrans = ra->retrans;
    if (retrans && retrans < MIN_RETRANS)
        retrans = MIN_RETRANS;
    if (retrans > MAX_RETRANS)
        retrans = MAX_RETRANS;
    net_neigh_set_timers(net->neigh, port->index, reachable * 1000000ull, retrans * 1000000ull);
    uint32_t mtu = ra->options.mtu;
    if (mtu >= NET_PMTU_MIN_6 && mtu <= port->mtu && mtu != port->mtu6) {
        port->mtu6 = mtu;
        net_bump(net);
    }
}

bool net_router_advert(struct net *net, struct net_port *port, const struct net_rx *rx)
{
    struct net_nd_advert ra;
    if (!ip_addr_is_link_local6(&rx->p.src) || !net_nd_advert_read(rx->p.l4, rx->p.l4_len, &ra))
        return false;
    net->ip->count.nd_ra_in++;
    if (!port->autoconf)
        return true;
    port->solicit_at = UINT64_MAX;
    if (ra.options.has_source)
        net_neigh_heard(net->neigh, port->index, &rx->p.src, &ra.options.source, true,
                        net->ip->now);
    net_neigh_set_router(net->neigh, port->index, &rx->p.src, ra.lifetime != 0);
    struct net_route def = {.gateway = rx->p.src, .preference = ra.preference};
    set_route(net, port, &def, ra.lifetime, NET_DEFAULT_ROUTERS);
    take_parameters(net, port, &ra);
    for (unsigned i = 0; i < ra.options.n_prefixes; i++)
        take_prefix(net, port, &ra.options.prefixes[i]);
    for (unsigned i = 0; i < ra.options.n_routes; i++)
        take_route(net, port, &rx->p.src, &ra.options.routes[i]);
    return true;
}

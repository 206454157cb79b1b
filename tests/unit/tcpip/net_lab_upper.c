/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers above, for tests of the network layer alone: never called, since the lab puts its own
 * in their place. Weak, so that the library's are taken where it has them.
 */
#include "sidecar/tcpip/ip.h"
#include "tests/unit/cmocka.h"

#define WEAK __attribute__((weak))

WEAK void tcp_segment_arrives(struct tcpip *ip, const struct ip_packet *packet)
{
    UNUSED(ip);
    UNUSED(packet);
}

WEAK bool tcp_icmp_error(struct tcpip *ip, const struct ip_error *error)
{
    UNUSED(ip);
    UNUSED(error);
    return false;
}

WEAK void tcp_port_writable(struct tcpip *ip, unsigned port)
{
    UNUSED(ip);
    UNUSED(port);
}

WEAK void udp_datagram_arrives(struct tcpip *ip, const struct ip_packet *packet)
{
    UNUSED(ip);
    UNUSED(packet);
}

WEAK bool udp_icmp_error(struct tcpip *ip, const struct ip_error *error)
{
    UNUSED(ip);
    UNUSED(error);
    return false;
}

WEAK void udp_port_writable(struct tcpip *ip, unsigned port)
{
    UNUSED(ip);
    UNUSED(port);
}

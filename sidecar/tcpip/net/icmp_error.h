/* SPDX-License-Identifier: Apache-2.0 */
/*
 * icmp_error: what an ICMP error says about the packet that it quotes. RFC 792, RFC 4443, and the
 * errno values as Linux maps them.
 *
 * Pure: the quoted bytes come from strangers, every length is checked. Any thread.
 */
#ifndef DMM_TCPIP_NET_ICMP_ERROR_H
#define DMM_TCPIP_NET_ICMP_ERROR_H

#include "sidecar/tcpip/ip.h"

/* ICMPv4 types (RFC 792). */
enum {
    NET_ICMP4_ECHO_REPLY = 0,
    NET_ICMP4_UNREACHABLE = 3,
    NET_ICMP4_QUENCH = 4,
    NET_ICMP4_REDIRECT = 5,
    NET_ICMP4_ECHO = 8,
    NET_ICMP4_TIME_EXCEEDED = 11,
    NET_ICMP4_PARAMETER = 12,
};
/* ICMPv6 types (RFC 4443, 4861, 2710, 3810). */
enum {
    NET_ICMP6_UNREACHABLE = 1,
    NET_ICMP6_TOO_BIG = 2,
    NET_ICMP6_TIME_EXCEEDED = 3,
    NET_ICMP6_PARAMETER = 4,
    NET_ICMP6_ECHO = 128,
    NET_ICMP6_ECHO_REPLY = 129,
    NET_ICMP6_MLD_QUERY = 130,
    NET_ICMP6_MLD_REPORT = 131,
    NET_ICMP6_MLD_DONE = 132,
    NET_ICMP6_RS = 133,
    NET_ICMP6_RA = 134,
    NET_ICMP6_NS = 135,
    NET_ICMP6_NA = 136,
    NET_ICMP6_REDIRECT = 137,
    NET_ICMP6_MLD2_REPORT = 143,
};
#define NET_ICMP_HDR 8

/* Whether a packet with this ICMP type is itself an error, which never gets one back (RFC 1122,
 * 3.2.2; RFC 4443, 2.4 e). Unknown ICMPv4 types count as errors. */
bool net_icmp_is_error(bool v4, uint8_t type);

/* Fills `error` from an error message (icmp[0..len) is its ICMP header and quotation; type and code
 * are an error's). False if the quotation makes no sense, or the type says nothing to a socket. */
bool net_icmp_error_read(bool v4, const uint8_t *icmp, size_t len, struct ip_error *error);
/* The same from a quotation alone, with the rest of `error` left as the caller set it. */
bool net_icmp_quote_read(bool v4, const uint8_t *quote, size_t len, struct ip_error *error,
                         uint32_t *quoted_len);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: the TCP header (RFC 9293, 3.1). Fields are read and written by bytes, so alignment and
 * byte order do not matter. Pure, any thread.
 */
#ifndef DMM_SIDECAR_TCPIP_TCP_WIRE_H
#define DMM_SIDECAR_TCPIP_TCP_WIRE_H

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#define TCP_HEADER_LEN   20
#define TCP_HEADER_MAX   60
#define TCP_CSUM_OFFSET  16
#define TCP_WINDOW_MAX   65535
#define TCP_WSCALE_MAX   14  /* RFC 7323, 2.3 */
#define TCP_DEFAULT_MSS4 536 /* RFC 9293, 3.7.1 */
#define TCP_DEFAULT_MSS6 1220
#define TCP_MIN_MSS      88 /* no smaller one is believed: it would multiply our packets */

enum {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80,
};

static inline uint16_t get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return ntohs(v);
}

static inline uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return ntohl(v);
}

static inline void put16(uint8_t *p, uint16_t v)
{
    v = htons(v);
    memcpy(p, &v, sizeof(v));
}

static inline void put32(uint8_t *p, uint32_t v)
{
    v = htonl(v);
    memcpy(p, &v, sizeof(v));
}

#endif

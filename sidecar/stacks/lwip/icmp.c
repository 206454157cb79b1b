/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP errors for sockets. lwIP answers echo and then drops the rest, so two raw pcbs listen in. An
 * error ends a connect that is under way, and is a soft error for datagrams; an established
 * connection ignores it (RFC 5927, 5). The packet that it quotes must be one that we could have
 * sent: our addresses and ports, and for TCP the sequence number of our SYN.
 */
#include "sidecar/stacks/lwip/lw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define ICMP_HLEN     8
#define QUOTED_L4_MIN 8
#define ICMP4_UNREACH 3
#define ICMP4_FRAG    4 /* code: fragmentation needed */

struct quoted {
    uint8_t proto;
    ip_addr_t local, remote;
    uint16_t local_port, remote_port;
    uint32_t seq;
};

static bool read_quoted(struct quoted *q, const uint8_t *ip, uint32_t len)
{
    memset(q, 0, sizeof(*q));
    if (!len)
        return false;
    bool v4 = ip[0] >> 4 == 4;
    uint32_t header = v4 ? (ip[0] & 15) * 4u : IP6_HLEN;
    if (header < IP_HLEN || len < header + QUOTED_L4_MIN)
        return false;
    q->proto = v4 ? ip[9] : ip[6];
    q->local.type = q->remote.type = v4 ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6;
    memcpy(&q->local.u_addr, ip + (v4 ? 12 : 8), v4 ? 4 : 16);
    memcpy(&q->remote.u_addr, ip + (v4 ? 16 : 24), v4 ? 4 : 16);
    const uint8_t *l4 = ip + header;
    q->local_port = (uint16_t)(l4[0] << 8 | l4[1]);
    q->remote_port = (uint16_t)(l4[2] << 8 | l4[3]);
    memcpy(&q->seq, l4 + 4, 4);
    q->seq = ntohl(q->seq);
    return true;
}

static bool concerns_tcp(const struct lw_sock *s, const struct quoted *q)
{
    const struct tcp_pcb *pcb = s->tcp;
    return pcb && s->state == LW_CONNECTING && pcb->local_port == q->local_port &&
           pcb->remote_port == q->remote_port && lw_same_ip(&pcb->remote_ip, &q->remote) &&
           pcb->lastack + 1 == q->seq;
}

/* Linux tells an unconnected socket nothing unless it asks for it (IP_RECVERR). */
static bool concerns_udp(const struct lw_sock *s, const struct quoted *q)
{
    const struct udp_pcb *pcb = s->udp;
    return pcb && pcb->flags & UDP_FLAGS_CONNECTED && pcb->local_port == q->local_port &&
           pcb->remote_port == q->remote_port && lw_same_ip(&pcb->remote_ip, &q->remote);
}

static void tell(struct lw_stack *stack, const struct quoted *q, int error)
{
    if (!lw_is_local(stack, &q->local))
        return;
    for (struct lw_sock *s = stack->sockets; s; s = s->next) {
        if (q->proto == IP_PROTO_TCP && concerns_tcp(s, q)) {
            lw_tcp_fail(s, error);
            return;
        }
        if (q->proto == IP_PROTO_UDP && concerns_udp(s, q)) {
            stack->host->soft_error(s->sock, error);
            return;
        }
    }
}

static int error_of4(uint8_t type, uint8_t code)
{
    static const int errors[] = {ENETUNREACH, EHOSTUNREACH, ENOPROTOOPT, ECONNREFUSED};
    if (type != ICMP4_UNREACH || code == ICMP4_FRAG)
        return 0;
    return code < sizeof(errors) / sizeof(errors[0]) ? errors[code] : EHOSTUNREACH;
}

static int error_of6(uint8_t type, uint8_t code)
{
    static const int errors[] = {ENETUNREACH, EACCES, EHOSTUNREACH, EHOSTUNREACH, ECONNREFUSED};
    if (type != ICMP6_TYPE_DUR)
        return 0;
    return code < sizeof(errors) / sizeof(errors[0]) ? errors[code] : EHOSTUNREACH;
}

/* p starts at the IP header. Returns 0: lwIP goes on with the packet. */
static u8_t recv_cb(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *addr)
{
    (void)pcb;
    const uint8_t *ip = p->payload;
    uint32_t header = lw.ip_data->current_ip_header_tot_len;
    if (p->len < header + ICMP_HLEN)
        return 0;
    const uint8_t *icmp = ip + header;
    int error = IP_IS_V4(addr) ? error_of4(icmp[0], icmp[1]) : error_of6(icmp[0], icmp[1]);
    struct quoted quoted;
    if (error && read_quoted(&quoted, icmp + ICMP_HLEN, p->len - header - ICMP_HLEN))
        tell(arg, &quoted, error);
    return 0;
}

int lw_icmp_start(struct lw_stack *stack)
{
    stack->icmp = lw.raw_new_ip_type(IPADDR_TYPE_V4, IP_PROTO_ICMP);
    stack->icmp6 = lw.raw_new_ip_type(IPADDR_TYPE_V6, IP6_NEXTH_ICMP6);
    if (!stack->icmp || !stack->icmp6) {
        lw_icmp_stop(stack);
        return -ENOMEM;
    }
    lw.raw_recv(stack->icmp, recv_cb, stack);
    lw.raw_recv(stack->icmp6, recv_cb, stack);
    return 0;
}

void lw_icmp_stop(struct lw_stack *stack)
{
    if (stack->icmp)
        lw.raw_remove(stack->icmp);
    if (stack->icmp6)
        lw.raw_remove(stack->icmp6);
}

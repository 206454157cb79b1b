/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any frame, in any order, into an instance with open sockets: listening, connecting, connected,
 * and UDP. The input is a list of operations; segments of the connection are told relative to its
 * sequence numbers, so that the fuzzer gets past them; other frames are raw. At the end all is
 * closed, time passes, and nothing may be left.
 */
#include "sidecar/tcpip/tcp/tcb.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/tcp/node.h"

#define ETH  14
#define IP4  20
#define MOST 9 /* segments in a batch */

struct input {
    const uint8_t *data;
    size_t size;
};

struct world {
    struct node node;
    uint64_t clock;
    struct dmm_sock *listener, *client, *udp;
    uint32_t peer_seq; /* where the peer stands */
    uint32_t our_seq;  /* the end of what we sent */
    uint16_t our_port, peer_port;
    uint8_t arp_reply[42];
    bool arp_asked;
};

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t v = 0;

    while (bytes-- > 0) {
        v = v << 8 | (in->size > 0 ? *in->data : 0);
        if (in->size > 0) {
            in->data++;
            in->size--;
        }
    }
    return v;
}

static uint16_t sum_of(const uint8_t *p, unsigned len)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < len; i += 2)
        sum += get16(p + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void seen(struct node *node, const uint8_t *f, uint32_t len, const struct dmm_tx_frame *meta)
{
    struct world *w = node->arg;

    (void)meta;
    if (get16(f + 12) == 0x0806 && len >= 42 && get16(f + 20) == 1) {
        static const uint8_t mac[6] = {2, 0, 0, 0, 0, 2};

        memcpy(w->arp_reply, f, 42);
        memcpy(w->arp_reply, f + 6, 6);
        memcpy(w->arp_reply + 6, mac, 6);
        put16(w->arp_reply + 20, 2);
        memcpy(w->arp_reply + 22, mac, 6);
        memcpy(w->arp_reply + 28, f + 38, 4);
        memcpy(w->arp_reply + 32, f + 22, 10);
        w->arp_asked = true;
    }
    if (get16(f + 12) == 0x0800 && f[ETH + 9] == IPPROTO_TCP) {
        const uint8_t *tcp = f + ETH + IP4;
        const uint32_t payload = len - ETH - IP4 - (tcp[12] >> 4) * 4U;

        w->our_port = get16(tcp);
        w->our_seq =
            get32(tcp + 4) + payload + (tcp[13] & TCP_SYN ? 1 : 0) + (tcp[13] & TCP_FIN ? 1 : 0);
    }
}

static void fill(struct dmm_frame *frame, const uint8_t *bytes, uint32_t len, uint8_t flags)
{
    uint8_t *exact = malloc(len); /* so that a byte too far is seen */

    memcpy(exact, bytes, len);
    *frame = (struct dmm_frame){.data = exact, .len = len, .flags = flags};
}

static void give(struct world *w, const struct dmm_frame *frames, unsigned n)
{
    node_frames(&w->node, frames, n);
    for (unsigned i = 0; i < n; i++)
        free((void *)(uintptr_t)frames[i].data);
    node_poll(&w->node);
    if (w->arp_asked) {
        const struct dmm_frame reply = {.data = w->arp_reply, .len = 42};

        w->arp_asked = false;
        node_frame(&w->node, &reply);
        node_poll(&w->node);
    }
}

/* A segment near the connection's sequence numbers, or `n` of a kind in a row, all in one batch. */
static void segments(struct world *w, struct input *in, unsigned n)
{
    struct dmm_frame frames[MOST];
    uint8_t f[ETH + IP4 + 60 + 3000] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45};
    uint8_t *ip = f + ETH;
    uint8_t *tcp = ip + IP4;
    const uint8_t flags = (uint8_t)take(in, 1);
    const int16_t seq = (int16_t)take(in, 2);
    const int16_t ack = (int16_t)take(in, 2);
    const uint32_t kind = take(in, 1);
    const unsigned options = kind % 11 * 4;
    const uint32_t len = kind & 0x80 ? take(in, 2) % 2900 : kind >> 4;

    put16(tcp, w->peer_port);
    put16(tcp + 2, w->our_port);
    put32(tcp + 8, w->our_seq + (uint32_t)(int32_t)ack);
    tcp[12] = (uint8_t)((20 + options) / 4 << 4);
    tcp[13] = flags;
    put16(tcp + 14, (uint16_t)take(in, 2));
    for (unsigned i = 0; i < options; i++)
        tcp[20 + i] = (uint8_t)take(in, 1);
    ip[1] = (uint8_t)(kind & 3);
    put16(ip + 2, (uint16_t)(IP4 + 20 + options + len));
    ip[8] = 64;
    ip[9] = IPPROTO_TCP;
    ip[12] = 10;
    ip[15] = 2;
    ip[16] = 10;
    ip[19] = 1;
    put16(ip + 10, sum_of(ip, IP4));
    for (unsigned i = 0; i < n; i++) {
        put32(tcp + 4, w->peer_seq + (uint32_t)(int32_t)seq + i * len);
        fill(&frames[i], f, ETH + IP4 + 20 + options + len, DMM_FRAME_CSUM_OK);
    }
    if (seq == 0)
        w->peer_seq += n * len + (flags & TCP_SYN ? 1 : 0) + (flags & TCP_FIN ? 1 : 0);
    give(w, frames, n);
}

static void raw_frame(struct world *w, struct input *in)
{
    uint8_t f[2048];
    struct dmm_frame frame;
    const uint32_t len = 14 + take(in, 2) % 1500;

    for (uint32_t i = 0; i < len; i++)
        f[i] = (uint8_t)take(in, 1);
    fill(&frame, f, len, (uint8_t)(f[0] & DMM_FRAME_CSUM_OK));
    give(w, &frame, 1);
}

static void app(struct world *w, struct input *in)
{
    static const uint8_t bytes[4096];
    uint8_t sink[4096];
    const uint32_t what = take(in, 1);

    while (w->listener->n_accepted > 0) {
        struct dmm_sock *sock = w->listener->accepted[--w->listener->n_accepted];

        if (what & 1)
            node_write(sock, bytes, 1 + take(in, 2) % 4096);
        if (what & 2)
            node_read(sock, sink, sizeof(sink));
        if (what & 4)
            node_close(sock, what & 8 ? DMM_CLOSE_ABORT : DMM_CLOSE_GRACEFUL);
        else if (what & 16)
            tcpip_shutdown(sock->s, SHUT_WR);
    }
    if (what & 32 && !w->client->closed && w->client->connected)
        node_write(w->client, bytes, 100);
    node_poll(&w->node);
}

static void pass_time(struct world *w, uint64_t ns)
{
    const uint64_t target = w->clock + ns;

    for (unsigned i = 0; i < 100000; i++) {
        const uint64_t next = tcpip_next_deadline(w->node.ip);

        if (next > target)
            break;
        if (next > w->clock)
            w->clock = next;
        node_poll(&w->node);
    }
    w->clock = target;
    node_poll(&w->node);
}

static void start(struct world *w)
{
    *w = (struct world){.clock = 1000 * SEC, .peer_seq = 1000, .our_port = 80, .peer_port = 4000};
    node_init(&w->node, 1, &w->clock, 7, seen, w);
    w->node.rx_cap = 32768;
    w->node.config.max_half_open = 4;
    w->node.config.max_connections = 16;
    node_start(&w->node);
    w->listener = node_listen(&w->node, AF_INET6, 80, 4);
    w->udp = node_socket(&w->node, AF_INET6, SOCK_DGRAM);
    node_bind(w->udp, 0, 53, AF_INET6);
    w->client = node_socket(&w->node, AF_INET, SOCK_STREAM);
    node_connect(w->client, AF_INET, 2, 4000);
    node_poll(&w->node);
}

static void finish(struct world *w)
{
    const struct tcp *tcp = w->node.ip->tcp;

    for (struct dmm_sock *sock = w->node.socks; sock != NULL; sock = sock->next) {
        if (!sock->closed)
            node_close(sock, DMM_CLOSE_ABORT);
    }
    pass_time(w, 3000 * SEC);
    fuzz_require(w->node.n_alive == 0, "every socket is released");
    fuzz_require(tcp->tcbs.used == 0 && tcp->time_waits.used == 0, "no connection is left");
    fuzz_require(tcp->ranges.used == 0 && tcp->store.blocks.used == 0, "no record is left");
    node_stop(&w->node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct input in = {data, size};

    start(&w);
    while (in.size > 0) {
        const uint32_t op = take(&in, 1);

        switch (op % 8) {
        case 0:
            raw_frame(&w, &in);
            break;
        case 1:
            pass_time(&w, (uint64_t)take(&in, 2) * MS);
            break;
        case 2:
            app(&w, &in);
            break;
        case 3:
            w.our_port = op & 8 ? 80 : w.our_port;
            w.peer_port = (uint16_t)(4000 + take(&in, 1) % 8);
            break;
        default:
            segments(&w, &in, op & 0x80 ? 2 + (op >> 3) % (MOST - 1) : 1);
            break;
        }
    }
    finish(&w);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile frames for the lwip stack: noise, and real traffic (ARP, ND, TCP, UDP, ICMP, fragments)
 * with bits, lengths and offload words changed. lwIP parses them, and aborts where it asserts: the
 * process must survive, and serve afterwards. Run it with SAN=address: frames are allocated to the
 * byte.
 */
#include "tests/unit/cmocka.h"

#include "sidecar/stacks/built_in.h"
#include "tests/unit/sidecar/fake_host.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define OURS    "10.7.0.1"
#define OURS6   "fd07::1"
#define PEER    "10.7.0.2"
#define PEER6   "fd07::2"
#define ROUNDS  60000
#define SAMPLES 512

static struct fake_host host;
static uint64_t seed = 88172645463325252ull;

static uint32_t roll(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % n;
}

/* Frames that the stack sent, turned round: from the peer to us. */
static struct sample {
    uint32_t len;
    uint8_t data[1600];
} samples[SAMPLES];
static unsigned n_samples;

static void swap(uint8_t *a, uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = a[i];
        a[i] = b[i];
        b[i] = byte;
    }
}

static bool record(struct fake_port *port, const struct dmm_frame *frame, void *arg)
{
    UNUSED(port);
    UNUSED(arg);
    if (frame->len > sizeof(samples[0].data))
        return true;
    struct sample *s = &samples[n_samples < SAMPLES ? n_samples++ : roll(SAMPLES)];
    s->len = frame->len;
    memcpy(s->data, frame->data, frame->len);
    memcpy(s->data, frame->data + 6, 6);
    memcpy(s->data + 6, "\2\0\0\0\0\2", 6);
    if (s->data[12] == 8 && s->data[13] == 0) {
        swap(s->data + 26, s->data + 30, 4);
        swap(s->data + 34, s->data + 36, 2);
    } else if (s->data[12] == 0x86) {
        swap(s->data + 22, s->data + 38, 16);
        swap(s->data + 54, s->data + 56, 2);
    } else {
        s->data[21] = (uint8_t)(1 + roll(2)); /* ARP: request or reply */
        swap(s->data + 22, s->data + 32, 10);
    }
    return true;
}

/* An IPv4 or IPv6 frame for us around `proto`, with addresses that pass, and noise inside. */
static uint32_t make_frame(uint8_t *f, uint32_t max)
{
    uint32_t len = 60 + roll(max - 60);
    bool v6 = roll(2);
    for (uint32_t i = 0; i < len; i++)
        f[i] = (uint8_t)roll(256);
    memcpy(f, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
    struct dmm_addr us = fake_addr(v6 ? OURS6 : OURS, 0);
    struct dmm_addr peer = fake_addr(v6 ? PEER6 : PEER, 0);
    static const uint8_t protos[] = {0, 1, 2, 6, 17, 43, 44, 58, 60, 136};
    if (v6) {
        memcpy(f + 12, "\x86\xdd\x60\0\0\0", 6);
        f[18] = (uint8_t)((len - 54) >> 8);
        f[19] = (uint8_t)(len - 54);
        f[20] = protos[roll(sizeof(protos))];
        memcpy(f + 22, peer.ip, 16);
        memcpy(f + 38, us.ip, 16);
        return len;
    }
    memcpy(f + 12, "\x08\0\x45\0", 4);
    f[16] = (uint8_t)((len - 14) >> 8);
    f[17] = (uint8_t)(len - 14);
    if (roll(2))
        f[20] = f[21] = 0; /* not a fragment */
    f[23] = protos[roll(sizeof(protos))];
    memcpy(f + 26, peer.ip, 4);
    memcpy(f + 30, us.ip, 4);
    return len;
}

/* The IPv4 header's checksum, so that lwIP looks further. */
static void seal(uint8_t *f, uint32_t len)
{
    uint32_t header = (f[14] & 15) * 4u;
    if (len < 34 || f[12] != 8 || f[13] || header < 20 || 14 + header > len)
        return;
    uint32_t sum = 0;
    f[24] = f[25] = 0;
    for (uint32_t i = 0; i < header; i += 2)
        sum += (uint32_t)f[14 + i] << 8 | f[15 + i];
    sum = (sum >> 16) + (sum & 0xffff);
    sum = ~(sum + (sum >> 16));
    f[24] = (uint8_t)(sum >> 8);
    f[25] = (uint8_t)sum;
}

static void inject_one(void)
{
    static uint8_t f[65600];
    uint32_t len;
    if (n_samples && roll(3)) {
        const struct sample *s = &samples[roll(n_samples)];
        len = s->len;
        memcpy(f, s->data, len);
        for (uint32_t n = roll(6); n; n--)
            f[12 + roll(len - 12)] ^= (uint8_t)(1u << roll(8));
        if (!roll(4))
            len = 14 + roll(len - 13);
        if (!roll(4) && len >= 54)
            f[47] = (uint8_t)roll(64); /* TCP flags */
    } else {
        len = make_frame(f, roll(50) ? 1514 : sizeof(f));
    }
    seal(f, len);
    struct dmm_frame frame = {.data = f, .len = len};
    if (roll(4))
        frame.flags = (uint8_t)(roll(2) ? DMM_FRAME_CSUM_OK : DMM_FRAME_CSUM_PARTIAL);
    if (!roll(8)) {
        frame.gso = (uint8_t)(1 + roll(3));
        frame.gso_size = (uint16_t)(1 + roll(1500));
    }
    fake_inject_frame(&host.ports[0], &frame);
}

/* Keeps sockets of every kind in use, so that frames meet state. */
static void use_sockets(struct dmm_sock *listener, struct dmm_sock *datagrams)
{
    static const char junk[3000];
    struct dmm_sock *sock;
    unsigned open = 0;
    while ((sock = fake_accept(listener)) != NULL)
        fake_write(sock, junk, roll(sizeof(junk)));
    for (sock = host.socks; sock; sock = sock->next) {
        if (sock->closed || sock->type != SOCK_STREAM || sock == listener)
            continue;
        open++;
        char buf[500];
        fake_read(sock, buf, sizeof(buf));
        if (sock->error || sock->eof || !roll(20))
            fake_close(sock, roll(2) ? DMM_CLOSE_GRACEFUL : DMM_CLOSE_ABORT);
        else if (sock->connected && !roll(4))
            fake_write(sock, junk, roll(sizeof(junk)));
    }
    if (open < 8) {
        bool v6 = roll(2);
        sock = fake_open(&host, v6 ? AF_INET6 : AF_INET, SOCK_STREAM);
        fake_connect(sock, v6 ? PEER6 : PEER, 80);
    }
    fake_sendto(datagrams, junk, roll(2000), roll(2) ? "::ffff:" PEER : PEER6, 9);
    struct fake_datagram *d;
    while ((d = fake_recvfrom(datagrams)) != NULL)
        free(d);
}

static void answer_neighbours(void)
{
    static const uint8_t arp[42] = "\2\0\0\0\0\1\2\0\0\0\0\2\x08\6\0\1\x08\0\6\4\0\2\2\0\0\0\0\2"
                                   "\x0a\7\0\2\2\0\0\0\0\1\x0a\7\0\1";
    fake_inject(&host.ports[0], arp, sizeof(arp), 0);
}

static void test_hostile(void **state)
{
    char err[256];
    UNUSED(state);
    fake_init(&host);
    struct fake_port *port = fake_add_port(&host, 1);
    fake_add_address(port, OURS, 24);
    fake_add_address(port, OURS6, 64);
    port->script = record;
    host.ring_size = 8192;
    assert_int_equal(fake_create(&host, &dmm_stack_lwip_ops, "{}", err), 0);
    struct dmm_sock *listener = fake_open(&host, AF_INET6, SOCK_STREAM);
    assert_int_equal(fake_bind(listener, "::", 80), 0);
    assert_int_equal(fake_listen(listener, 4), 0);
    struct dmm_sock *datagrams = fake_open(&host, AF_INET6, SOCK_DGRAM);
    assert_int_equal(fake_bind(datagrams, "::", 9), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        inject_one();
        if (!(round % 16)) {
            answer_neighbours();
            use_sockets(listener, datagrams);
            fake_run_for(&host, FAKE_SECOND / 20);
        }
    }
    assert_true(n_samples > 50);

    /* It still serves: a connection to itself. */
    fake_run_for(&host, FAKE_SECOND);
    struct dmm_sock *client = fake_open(&host, AF_INET, SOCK_STREAM);
    struct dmm_sock *server = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_bind(server, OURS, 81), 0);
    assert_int_equal(fake_listen(server, 4), 0);
    assert_int_equal(fake_connect(client, OURS, 81), 0);
    assert_true(fake_run_until(&host, &client->connected, 10 * FAKE_SECOND));
    fake_destroy(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

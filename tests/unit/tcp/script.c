/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcp/script.h"

#include "sidecar/tcpip/ip.h"
#include "sidecar/tcpip/tcp/isn.h"
#include "sidecar/tcpip/tcp/options.h"
#include "sidecar/tcpip/tcp/wire.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/tcp/sum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define US   1
#define PEER 2
#define ETH  14

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

/* ---- a segment in words ---- */

/* Numbers are those of the test's author: what does not fit is seen when it fails.
 * NOLINTBEGIN(cert-err34-c) */

struct line {
    uint8_t flags;
    uint32_t seq, end, len, ack, win;
    bool has_ack, has_win, has_options, more_options;
    int ecn; /* -1: any */
    char options[160];
};

static const struct {
    char letter;
    uint8_t flag;
} letters[] = {{'S', TCP_SYN}, {'F', TCP_FIN}, {'R', TCP_RST}, {'P', TCP_PSH},
               {'.', TCP_ACK}, {'E', TCP_ECE}, {'W', TCP_CWR}};

static void parse_line(struct line *l, const char *text)
{
    char flags[16];
    const char *p = text;
    int used = 0;

    *l = (struct line){.ecn = -1};
    if (*p == '[') {
        l->ecn = strncmp(p, "[ce]", 4) == 0 ? 3 : strncmp(p, "[ect0]", 6) == 0 ? 2 : 0;
        p = strchr(p, ']') + 1;
    }
    if (sscanf(p, " %15s %u:%u(%u)%n", flags, &l->seq, &l->end, &l->len, &used) < 4)
        fail_msg("bad segment: %s", text);
    for (const char *f = flags; *f != '\0'; f++) {
        for (unsigned i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
            l->flags |= *f == letters[i].letter ? letters[i].flag : 0;
    }
    p += used;
    const char *at = strstr(p, " ack ");
    if (at != NULL && sscanf(at, " ack %u", &l->ack) == 1)
        l->has_ack = true;
    at = strstr(p, " win ");
    if (at != NULL && sscanf(at, " win %u", &l->win) == 1)
        l->has_win = true;
    at = strchr(p, '<');
    if (at != NULL) {
        const size_t n = strcspn(at + 1, ">");

        l->has_options = true;
        memcpy(l->options, at + 1, n < sizeof(l->options) ? n : sizeof(l->options) - 1);
    }
}

/* ---- making a segment ---- */

static unsigned put_sack(struct script *s, uint8_t *p, const char *word)
{
    unsigned n = 0;
    uint32_t a, b;
    int used;

    p[0] = 5;
    word += 4;
    while (sscanf(word, " %u:%u%n", &a, &b, &used) == 2) {
        put32(p + 2 + (size_t)8 * n, s->our_iss + a);
        put32(p + 6 + (size_t)8 * n, s->our_iss + b);
        n++;
        word += used;
    }
    p[1] = (uint8_t)(2 + 8 * n);
    return 2 + 8 * n;
}

static unsigned put_option(struct script *s, uint8_t *p, const char *word)
{
    uint32_t a, b;

    if (sscanf(word, "mss %u", &a) == 1) {
        p[0] = 2;
        p[1] = 4;
        put16(p + 2, (uint16_t)a);
        return 4;
    }
    if (strcmp(word, "nop") == 0 || strcmp(word, "eol") == 0) {
        p[0] = word[0] == 'n';
        return 1;
    }
    if (strcmp(word, "sackOK") == 0) {
        p[0] = 4;
        p[1] = 2;
        return 2;
    }
    if (sscanf(word, "wscale %u", &a) == 1) {
        p[0] = 3;
        p[1] = 3;
        p[2] = (uint8_t)a;
        return 3;
    }
    if (sscanf(word, "TS val %u ecr %u", &a, &b) == 2) {
        p[0] = 8;
        p[1] = 10;
        put32(p + 2, a);
        put32(p + 6, b == 0 ? 0 : s->ts_base + b);
        return 10;
    }
    if (strncmp(word, "sack", 4) == 0)
        return put_sack(s, p, word);
    fail_msg("bad option: %s", word);
    return 0;
}

static unsigned put_options(struct script *s, uint8_t *p, const char *text)
{
    char copy[160];
    unsigned at = 0;
    char *save;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok_r(copy, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save))
        at += put_option(s, p + at, word);
    while (at % 4 != 0)
        p[at++] = 1;
    return at;
}

/* NOLINTEND(cert-err34-c) */

/* Ethernet and IP headers from `from` around len bytes at p + ETH + IP header; returns the length
 * of the frame. */
static uint32_t wrap(struct script *s, uint8_t *p, uint8_t proto, uint8_t tos, uint32_t len)
{
    const bool v4 = s->family == AF_INET;
    uint8_t *ip = p + ETH;
    const struct dmm_addr src = node_addr(s->family, PEER, 0);
    const struct dmm_addr dst = node_addr(s->family, US, 0);

    memcpy(p, s->node.port.mac, 6);
    memcpy(p + 6, s->node.port.mac, 6);
    p[11] = PEER;
    put16(p + 12, v4 ? 0x0800 : 0x86dd);
    if (v4) {
        memset(ip, 0, 20);
        ip[0] = 0x45;
        ip[1] = tos;
        put16(ip + 2, (uint16_t)(20 + len));
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = proto;
        memcpy(ip + 12, src.ip, 4);
        memcpy(ip + 16, dst.ip, 4);
        put16(ip + 10, fold(sum16(ip, 20, 0)));
        return ETH + 20 + len;
    }
    put32(ip, 6U << 28 | (uint32_t)tos << 20);
    put16(ip + 4, (uint16_t)len);
    ip[6] = proto;
    ip[7] = 64;
    memcpy(ip + 8, src.ip, 16);
    memcpy(ip + 24, dst.ip, 16);
    return ETH + 40 + len;
}

static unsigned l4_offset(const struct script *s)
{
    return ETH + (s->family == AF_INET ? 20U : 40U);
}

/* Answers to ARP and ND go in after the poll that asked. */
void run(struct script *s)
{
    node_poll(&s->node);
    while (s->n_pending > 0) {
        s->n_pending--;

        const struct dmm_frame f = {.data = s->pending[s->n_pending % 16],
                                    .len = s->pending_len[s->n_pending % 16]};

        node_frame(&s->node, &f);
        node_poll(&s->node);
    }
}

static void give(struct script *s, const uint8_t *frame, uint32_t len)
{
    const struct dmm_frame f = {.data = frame, .len = len};

    node_frame(&s->node, &f);
    run(s);
}

static void fill_checksum(struct script *s, uint8_t *l4, uint32_t len, uint8_t proto,
                          unsigned offset)
{
    const bool v4 = s->family == AF_INET;
    const uint8_t *addresses = l4 - (v4 ? 8 : 32);
    uint32_t sum = sum16(addresses, v4 ? 8 : 32, 0);

    put16(l4 + offset, 0);
    sum += proto + (len & 0xffff) + (len >> 16);
    put16(l4 + offset, fold(sum16(l4, len, sum)));
}

/* Returns the length of the frame. */
static uint32_t make(struct script *s, uint8_t *frame, const char *segment)
{
    uint8_t *tcp = frame + l4_offset(s);
    struct line l;
    unsigned header = 20;

    parse_line(&l, segment);
    put16(tcp, s->peer_port);
    put16(tcp + 2, s->our_port);
    put32(tcp + 4, s->peer_iss + l.seq);
    put32(tcp + 8, l.has_ack ? s->our_iss + l.ack : 0);
    if (l.has_options)
        header += put_options(s, tcp + 20, l.options);
    tcp[12] = (uint8_t)(header / 4 << 4);
    tcp[13] = l.flags;
    put16(tcp + 14, (uint16_t)(l.has_win ? l.win : 65535));
    put32(tcp + 16, 0);
    for (uint32_t i = 0; i < l.len; i++)
        tcp[header + i] = pattern((uint64_t)l.seq - 1 + i);

    const uint32_t len =
        wrap(s, frame, IPPROTO_TCP, (uint8_t)(l.ecn < 0 ? 0 : l.ecn), header + l.len);

    fill_checksum(s, tcp, header + l.len, IPPROTO_TCP, 16);
    return len;
}

void in(struct script *s, const char *segment)
{
    static uint8_t frame[FRAME_MAX];

    give(s, frame, make(s, frame, segment));
}

/* `batch` at a time. */
static void in_batches(struct script *s, const char *const *segments, unsigned batch)
{
    static uint8_t bytes[IN_TOGETHER_MAX][FRAME_MAX];
    struct dmm_frame frames[IN_TOGETHER_MAX] = {{0}};
    unsigned n = 0;

    for (; segments[n] != NULL; n++) {
        assert_true(n < IN_TOGETHER_MAX);
        frames[n].data = bytes[n];
        frames[n].len = make(s, bytes[n], segments[n]);
    }
    for (unsigned i = 0; i < n; i += batch)
        node_frames(&s->node, frames + i, batch < n - i ? batch : n - i);
    run(s);
}

void in_together(struct script *s, const char *const *segments)
{
    in_batches(s, segments, IN_TOGETHER_MAX);
}

void in_one_by_one(struct script *s, const char *const *segments)
{
    in_batches(s, segments, 1);
}

void in_too_big(struct script *s, uint32_t seq, uint16_t mtu)
{
    uint8_t frame[256] = {0};
    const bool v4 = s->family == AF_INET;
    uint8_t *icmp = frame + l4_offset(s);
    const unsigned ip_len = v4 ? 20 : 40;
    const struct dmm_addr us = node_addr(s->family, US, 0);
    const struct dmm_addr peer = node_addr(s->family, PEER, 0);
    uint8_t *inner = icmp + 8;

    icmp[0] = v4 ? 3 : 2;
    icmp[1] = v4 ? 4 : 0;
    put32(icmp + 4, mtu);
    if (v4) {
        inner[0] = 0x45;
        put16(inner + 2, 1500);
        inner[6] = 0x40;
        inner[8] = 60;
        inner[9] = IPPROTO_TCP;
        memcpy(inner + 12, us.ip, 4);
        memcpy(inner + 16, peer.ip, 4);
        put16(inner + 10, fold(sum16(inner, 20, 0)));
    } else {
        put32(inner, 6U << 28);
        put16(inner + 4, 1460);
        inner[6] = IPPROTO_TCP;
        inner[7] = 60;
        memcpy(inner + 8, us.ip, 16);
        memcpy(inner + 24, peer.ip, 16);
    }
    put16(inner + ip_len, s->our_port);
    put16(inner + ip_len + 2, s->peer_port);
    put32(inner + ip_len + 4, s->our_iss + seq);
    inner[ip_len + 12] = 0x50;

    const uint32_t l4 = 8 + ip_len + 20;
    const uint32_t len = wrap(s, frame, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0, l4);

    if (v4)
        put16(icmp + 2, fold(sum16(icmp, l4, 0)));
    else
        fill_checksum(s, icmp, l4, IPPROTO_ICMPV6, 2);
    give(s, frame, len);
}

/* ---- what comes out ---- */

static void answer_arp(struct script *s, const uint8_t *f)
{
    uint8_t *r = s->pending[s->n_pending % 16];

    if (get16(f + 20) != 1 || f[41] != PEER)
        return;
    memcpy(r, f + 6, 6);
    memcpy(r + 6, f + 6, 6);
    r[11] = PEER;
    memcpy(r + 12, f + 12, 8);
    put16(r + 20, 2);
    memcpy(r + 22, r + 6, 6);
    memcpy(r + 28, f + 38, 4);
    memcpy(r + 32, f + 22, 10);
    s->pending_len[s->n_pending++ % 16] = 42;
}

static void answer_nd(struct script *s, const uint8_t *f)
{
    uint8_t *r = s->pending[s->n_pending % 16];
    uint8_t *icmp = r + ETH + 40;
    uint32_t len;

    if (f[ETH + 40] != 135 || f[ETH + 40 + 23] != PEER)
        return;
    memset(icmp, 0, 32);
    icmp[0] = 136;
    icmp[4] = 0x60; /* solicited, override */
    memcpy(icmp + 8, f + ETH + 48, 16);
    icmp[24] = 2;
    icmp[25] = 1;
    icmp[26] = 2;
    icmp[31] = PEER;
    len = wrap(s, r, IPPROTO_ICMPV6, 0, 32);
    r[ETH + 7] = 255;
    fill_checksum(s, icmp, 32, IPPROTO_ICMPV6, 2);
    s->pending_len[s->n_pending++ % 16] = len;
}

static void captured(struct node *node, const uint8_t *frame, uint32_t len,
                     const struct dmm_tx_frame *meta)
{
    struct script *s = node->arg;
    const uint16_t type = get16(frame + 12);
    struct script_frame *f;

    if (type == 0x0806) {
        answer_arp(s, frame);
        return;
    }
    if (type == 0x86dd && frame[ETH + 6] == IPPROTO_ICMPV6) {
        answer_nd(s, frame);
        return;
    }
    if (frame[ETH + (type == 0x0800 ? 9 : 6)] != IPPROTO_TCP)
        return;
    if (s->tail - s->head == SCRIPT_QUEUE)
        fail_msg("too many segments");
    f = &s->queue[s->tail++ % SCRIPT_QUEUE];
    *f = (struct script_frame){.data = malloc(len),
                               .len = len,
                               .at = s->clock,
                               .gso = meta->gso,
                               .gso_size = meta->gso_size};
    memcpy(f->data, frame, len);
}

void advance(struct script *s, uint64_t ms)
{
    const uint64_t target = s->clock + ms * MS;

    for (;;) {
        const uint64_t next = tcpip_next_deadline(s->node.ip);

        run(s);
        if (next > target)
            break;
        if (next > s->clock)
            s->clock = next;
        run(s);
    }
    s->clock = target;
    run(s);
}

void script_mark(struct script *s)
{
    s->mark = s->clock;
}

unsigned drain(struct script *s)
{
    unsigned n;

    run(s);
    n = s->tail - s->head;
    while (s->head != s->tail)
        free(s->queue[s->head++ % SCRIPT_QUEUE].data);
    return n;
}

static void describe_options(struct script *s, const struct tcp_options *o, const uint8_t *p,
                             unsigned len, char *buf, size_t size)
{
    size_t at = 0;

    buf[0] = '\0';
    while (len > 0 && at + 64 < size) {
        const unsigned n = p[0] <= 1 ? 1 : p[1];
        const char *comma = at > 0 ? "," : "";

        switch (p[0]) {
        case 1:
            break;
        case 2:
            at += (size_t)snprintf(buf + at, size - at, "%smss %u", comma, o->mss);
            break;
        case 3:
            at += (size_t)snprintf(buf + at, size - at, "%swscale %u", comma, o->wscale);
            break;
        case 4:
            at += (size_t)snprintf(buf + at, size - at, "%ssackOK", comma);
            break;
        case 5:
            at += (size_t)snprintf(buf + at, size - at, "%ssack", comma);
            for (unsigned i = 0; i < o->n_sack; i++)
                at +=
                    (size_t)snprintf(buf + at, size - at, " %u:%u", o->sack[i].start - s->peer_iss,
                                     o->sack[i].end - s->peer_iss);
            break;
        case 8:
            at += (size_t)snprintf(buf + at, size - at, "%sTS val %u ecr %u", comma,
                                   o->tsval - s->ts_base, o->tsecr);
            break;
        default:
            at += (size_t)snprintf(buf + at, size - at, "%s?%u", comma, p[0]);
            break;
        }
        p += n;
        len -= n;
    }
}

/* Compares with `*` for any number and "..." for any rest. */
static bool options_match(const char *want, const char *have)
{
    while (*want != '\0') {
        if (strncmp(want, "...", 3) == 0)
            return true;
        if (*want == '*') {
            while (*have >= '0' && *have <= '9')
                have++;
            want++;
            continue;
        }
        if (*want++ != *have++)
            return false;
    }
    return *have == '\0';
}

static void describe_flags(uint8_t flags, char buf[16])
{
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        if (flags & letters[i].flag)
            buf[n++] = letters[i].letter;
    }
    buf[n] = '\0';
}

static void check_payload(const uint8_t *data, uint32_t len, uint32_t seq, const char *segment)
{
    for (uint32_t i = 0; i < len; i++) {
        if (data[i] != pattern((uint64_t)seq - 1 + i))
            fail_msg("payload differs at byte %u of %s", i, segment);
    }
}

static struct script_frame take(struct script *s, const char *segment)
{
    run(s);
    if (s->head == s->tail)
        fail_msg("nothing was sent, expected %s", segment);
    return s->queue[s->head++ % SCRIPT_QUEUE];
}

void out(struct script *s, const char *segment)
{
    const struct script_frame f = take(s, segment);
    const uint8_t *ip = f.data + ETH;
    const uint8_t *tcp = f.data + l4_offset(s);
    const unsigned header = (tcp[12] >> 4) * 4U;
    const uint32_t len = f.len - l4_offset(s) - header;
    const int ecn = s->family == AF_INET ? ip[1] & 3 : ip[1] >> 4 & 3;
    struct tcp_options o;
    char options[200], flags[16], have[400];
    struct line l;
    bool ok;

    parse_line(&l, segment);
    if (!s->our_iss_known || (tcp[13] & TCP_SYN)) {
        s->our_iss = get32(tcp + 4) - (s->our_iss_known ? l.seq : 0);
        s->our_iss_known = true;
    }
    s->our_port = get16(tcp);
    tcp_options_parse(&o, tcp + 20, header - 20, (tcp[13] & TCP_SYN) != 0);
    if (o.ts && !s->ts_base_known) {
        s->ts_base = o.tsval - 1;
        s->ts_base_known = true;
    }
    describe_options(s, &o, tcp + 20, header - 20, options, sizeof(options));
    describe_flags(tcp[13], flags);
    const uint32_t seq = get32(tcp + 4) - s->our_iss;
    const uint32_t ack = get32(tcp + 8) - s->peer_iss;

    snprintf(have, sizeof(have), "[ecn %d] %s %u:%u(%u) ack %u win %u <%s> gso %u at %llu us", ecn,
             flags, seq, seq + len, len, (tcp[13] & TCP_ACK) ? ack : 0, get16(tcp + 14), options,
             f.gso_size, (unsigned long long)((f.at - s->mark) / 1000));
    ok = tcp[13] == l.flags && seq == l.seq && len == l.len;
    ok = ok && (!l.has_ack || (l.ack == ack && (tcp[13] & TCP_ACK)));
    ok = ok && (!l.has_win || l.win == get16(tcp + 14));
    ok = ok && (!l.has_options || options_match(l.options, options));
    ok = ok && (l.ecn < 0 || l.ecn == ecn);
    if (!ok)
        fail_msg("expected %s\n       but sent %s", segment, have);
    check_payload(tcp + header, len, seq, segment);
    free(f.data);
}

void out_at(struct script *s, uint64_t ms, uint64_t slack_ms, const char *segment)
{
    run(s);
    if (s->head == s->tail)
        fail_msg("nothing was sent, expected %s", segment);

    const uint64_t at = s->queue[s->head % SCRIPT_QUEUE].at - s->mark;

    out(s, segment);
    if (at + slack_ms * MS < ms * MS || at > (ms + slack_ms) * MS)
        fail_msg("%s came at %llu us, not at %llu ms", segment, (unsigned long long)(at / 1000),
                 (unsigned long long)ms);
}

void none(struct script *s)
{
    run(s);
    if (s->head != s->tail) {
        const struct script_frame *f = &s->queue[s->head % SCRIPT_QUEUE];
        const uint8_t *tcp = f->data + l4_offset(s);
        char flags[16];

        describe_flags(tcp[13], flags);
        fail_msg("sent and not expected: %s seq %u len %u", flags, get32(tcp + 4) - s->our_iss,
                 f->len - l4_offset(s) - (tcp[12] >> 4) * 4U);
    }
}

/* ---- sockets ---- */

struct script *script_new(const struct script_setup *setup)
{
    struct script *s = calloc(1, sizeof(*s));

    s->clock = 1000 * SEC;
    s->family = setup != NULL && setup->family != 0 ? setup->family : AF_INET;
    s->our_port = OUR_PORT;
    s->peer_port = PEER_PORT;
    s->peer_iss = 1000000;
    node_init(&s->node, US, &s->clock, 42, captured, s);
    if (setup != NULL && setup->configure != NULL)
        setup->configure(&s->node);
    node_start(&s->node);
    advance(s, 3000); /* address announcements and duplicate detection */
    drain(s);
    return s;
}

void script_free(struct script *s)
{
    node_stop(&s->node);
    while (s->head != s->tail)
        free(s->queue[s->head++ % SCRIPT_QUEUE].data);
    free(s);
}

void script_listen(struct script *s)
{
    s->listener = node_listen(&s->node, s->family, OUR_PORT, 8);
}

void script_accept(struct script *s)
{
    run(s);
    if (s->listener->n_accepted == 0)
        fail_msg("no connection to accept");
    s->sock = s->listener->accepted[--s->listener->n_accepted];
    tcpip_accept_ready(s->listener->s);
}

void script_connect(struct script *s)
{
    if (s->sock == NULL)
        s->sock = node_socket(&s->node, s->family, SOCK_STREAM);
    assert_int_equal(node_connect(s->sock, s->family, PEER, PEER_PORT), 0);
    run(s);
}

void script_establish(struct script *s, const char *peer_syn_options, unsigned window)
{
    char text[200];

    script_listen(s);
    snprintf(text, sizeof(text), "S 0:0(0) win %u <%s>", window, peer_syn_options);
    in(s, text);
    out(s, "S. 0:0(0) ack 1");
    advance(s, SCRIPT_RTT_MS);
    if (strstr(peer_syn_options, "TS") != NULL)
        snprintf(text, sizeof(text), ". 1:1(0) ack 1 win %u <nop,nop,TS val 100 ecr 1>", window);
    else
        snprintf(text, sizeof(text), ". 1:1(0) ack 1 win %u", window);
    in(s, text);
    script_accept(s);
    none(s);
}

void write_bytes(struct script *s, uint32_t len)
{
    uint8_t *data = malloc(len);

    for (uint32_t i = 0; i < len; i++)
        data[i] = pattern(s->sock->tx_total + i);
    node_write(s->sock, data, len);
    free(data);
    run(s);
}

uint32_t read_bytes(struct script *s)
{
    const uint64_t from = s->sock->rx_total - s->sock->rx_len;
    const uint32_t len = s->sock->rx_len;
    uint8_t *data = malloc(len + 1);

    assert_int_equal(node_read(s->sock, data, len), len);
    for (uint32_t i = 0; i < len; i++) {
        if (data[i] != pattern(from + i))
            fail_msg("byte %llu received differs", (unsigned long long)(from + i));
    }
    free(data);
    run(s);
    return len;
}

void script_close(struct script *s)
{
    node_close(s->sock, DMM_CLOSE_GRACEFUL);
    run(s);
}

void script_abort(struct script *s)
{
    node_close(s->sock, DMM_CLOSE_ABORT);
    run(s);
}

void script_shutdown(struct script *s, int how)
{
    assert_int_equal(tcpip_shutdown(s->sock->s, how), 0);
    run(s);
}

struct wanted {
    const char *name;
    uint64_t value;
    bool found;
};

static void look(void *arg, const char *name, uint64_t value)
{
    struct wanted *w = arg;

    if (strcmp(w->name, name) == 0) {
        w->value = value;
        w->found = true;
    }
}

uint64_t counter(struct script *s, const char *name)
{
    struct wanted w = {.name = name};

    tcpip_counters_emit(tcpip_counters(s->node.ip), look, &w);
    if (!w.found)
        fail_msg("no counter %s", name);
    return w.value;
}

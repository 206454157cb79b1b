/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/tcp/options.h"

#include "sidecar/tcpip/tcp/wire.h"

#include <stddef.h>

enum {
    KIND_END = 0,
    KIND_NOP = 1,
    KIND_MSS = 2,
    KIND_WSCALE = 3,
    KIND_SACK_PERMITTED = 4,
    KIND_SACK = 5,
    KIND_TS = 8,
};

enum { LEN_MSS = 4, LEN_WSCALE = 3, LEN_SACK_PERMITTED = 2, LEN_TS = 10, LEN_SACK_BLOCK = 8 };

static void parse_sack(struct tcp_options *o, const uint8_t *p, unsigned len)
{
    if (len < 2 + LEN_SACK_BLOCK || (len - 2) % LEN_SACK_BLOCK != 0)
        return;
    o->n_sack = 0;
    for (unsigned at = 2; at < len && o->n_sack < TCP_SACK_MAX; at += LEN_SACK_BLOCK) {
        o->sack[o->n_sack].start = get32(p + at);
        o->sack[o->n_sack].end = get32(p + at + 4);
        o->n_sack++;
    }
}

static void parse_one(struct tcp_options *o, const uint8_t *p, unsigned len, bool syn)
{
    switch (p[0]) {
    case KIND_MSS:
        if (syn && len == LEN_MSS)
            o->mss = get16(p + 2);
        break;
    case KIND_WSCALE: /* a larger shift is taken as 14 (RFC 7323, 2.3) */
        if (syn && len == LEN_WSCALE)
            o->wscale = p[2] > TCP_WSCALE_MAX ? TCP_WSCALE_MAX : p[2];
        break;
    case KIND_SACK_PERMITTED:
        if (syn && len == LEN_SACK_PERMITTED)
            o->sack_permitted = true;
        break;
    case KIND_SACK:
        if (!syn)
            parse_sack(o, p, len);
        break;
    case KIND_TS:
        if (len == LEN_TS) {
            o->ts = true;
            o->tsval = get32(p + 2);
            o->tsecr = get32(p + 6);
        }
        break;
    default: /* unknown options are skipped (RFC 9293, MUST-6) */
        break;
    }
}

bool tcp_options_parse(struct tcp_options *o, const uint8_t *p, unsigned len, bool syn)
{
    o->tsval = o->tsecr = 0;
    o->mss = 0;
    o->wscale = TCP_NO_WSCALE;
    o->n_sack = 0;
    o->ts = o->sack_permitted = false;
    while (len > 0) {
        if (p[0] == KIND_END)
            return true;
        if (p[0] == KIND_NOP) {
            p++;
            len--;
            continue;
        }
        if (len < 2 || p[1] < 2 || p[1] > len)
            return false;
        const unsigned n = p[1];
        parse_one(o, p, n, syn);
        p += n;
        len -= n;
    }
    return true;
}

static unsigned build_sack(uint8_t *p, const struct tcp_options *o, unsigned used)
{
    const unsigned room = (TCP_OPTIONS_MAX - used - 4) / LEN_SACK_BLOCK;
    const unsigned n = o->n_sack < room ? o->n_sack : room;

    p[0] = p[1] = KIND_NOP;
    p[2] = KIND_SACK;
    p[3] = (uint8_t)(2 + n * LEN_SACK_BLOCK);
    for (unsigned i = 0; i < n; i++) {
        put32(p + 4 + (size_t)i * LEN_SACK_BLOCK, o->sack[i].start);
        put32(p + 8 + (size_t)i * LEN_SACK_BLOCK, o->sack[i].end);
    }
    return 4 + n * LEN_SACK_BLOCK;
}

unsigned tcp_options_build(uint8_t *p, const struct tcp_options *o)
{
    unsigned at = 0;

    if (o->mss != 0) {
        p[at] = KIND_MSS;
        p[at + 1] = LEN_MSS;
        put16(p + at + 2, o->mss);
        at += LEN_MSS;
    }
    if (o->sack_permitted) {
        p[at] = o->ts ? KIND_SACK_PERMITTED : KIND_NOP;
        p[at + 1] = o->ts ? LEN_SACK_PERMITTED : KIND_NOP;
        if (!o->ts) {
            p[at + 2] = KIND_SACK_PERMITTED;
            p[at + 3] = LEN_SACK_PERMITTED;
            at += 2;
        }
        at += 2;
    } else if (o->ts) {
        p[at] = p[at + 1] = KIND_NOP;
        at += 2;
    }
    if (o->ts) {
        p[at] = KIND_TS;
        p[at + 1] = LEN_TS;
        put32(p + at + 2, o->tsval);
        put32(p + at + 6, o->tsecr);
        at += LEN_TS;
    }
    if (o->wscale != TCP_NO_WSCALE) {
        p[at] = KIND_NOP;
        p[at + 1] = KIND_WSCALE;
        p[at + 2] = LEN_WSCALE;
        p[at + 3] = o->wscale;
        at += 4;
    }
    if (o->n_sack > 0 && TCP_OPTIONS_MAX - at >= 4 + LEN_SACK_BLOCK)
        at += build_sack(p + at, o, at);
    return at;
}

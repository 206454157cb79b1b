/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcp/link.h"

#include "sidecar/tcpip/tcp/wire.h"
#include "tests/unit/tcp/sum.h"

#include <stdlib.h>
#include <string.h>

#define ETH   14
#define BATCH 32

uint32_t link_random(struct link *link, uint32_t below)
{
    link->random = link->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return below == 0 ? 0 : (uint32_t)((link->random >> 33) % below);
}

static bool chance(struct link *link, unsigned per_10000)
{
    return per_10000 > 0 && link_random(link, 10000) < per_10000;
}

/* ---- the heap of what is on its way ---- */

static bool before(const struct link_event *a, const struct link_event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(struct link *link, struct link_event e)
{
    unsigned i;

    if (link->n == link->size) {
        link->size = link->size > 0 ? 2 * link->size : 64;
        link->heap = realloc(link->heap, link->size * sizeof(*link->heap));
    }
    e.order = link->order++;
    for (i = link->n++; i > 0 && before(&e, &link->heap[(i - 1) / 2]); i = (i - 1) / 2)
        link->heap[i] = link->heap[(i - 1) / 2];
    link->heap[i] = e;
}

static struct link_event pop(struct link *link)
{
    const struct link_event top = link->heap[0];
    const struct link_event last = link->heap[--link->n];
    unsigned i = 0;

    for (;;) {
        unsigned child = 2 * i + 1;

        if (child >= link->n)
            break;
        if (child + 1 < link->n && before(&link->heap[child + 1], &link->heap[child]))
            child++;
        if (!before(&link->heap[child], &last))
            break;
        link->heap[i] = link->heap[child];
        i = child;
    }
    if (link->n > 0)
        link->heap[i] = last;
    return top;
}

/* ---- the wire ---- */

/* True: the bottleneck's queue has no room. Else *at is when the frame leaves it. */
static bool bottleneck(struct link *link, unsigned to, uint8_t *frame, uint32_t len, uint64_t *at)
{
    const struct link_quality *q = &link->quality;
    uint64_t *busy = &link->busy_until[to];

    if (q->ns_per_byte == 0)
        return false;
    if (*busy < link->clock)
        *busy = link->clock;

    const uint64_t queued = (*busy - link->clock) / q->ns_per_byte;

    if (q->mark_ce && queued > q->queue / 2 && frame[12] == 8 && (frame[ETH + 1] & 3) != 0 &&
        (frame[ETH + 1] & 3) != 3) {
        uint32_t sum = 0;

        frame[ETH + 1] |= 3;
        put16(frame + ETH + 10, 0);
        for (unsigned i = 0; i < 20; i += 2)
            sum += get16(frame + ETH + i);
        while (sum >> 16)
            sum = (sum & 0xffff) + (sum >> 16);
        put16(frame + ETH + 10, (uint16_t)~sum);
    }
    if (queued + len > q->queue)
        return true;
    *busy += len * q->ns_per_byte;
    *at = *busy;
    return false;
}

static void carry(struct link *link, unsigned to, const uint8_t *frame, uint32_t len, uint8_t gso,
                  uint16_t gso_size)
{
    const struct link_quality *q = &link->quality;
    const unsigned copies = chance(link, q->duplicate) ? 2 : 1;

    link->frames++;
    if (chance(link, q->loss)) {
        link->dropped++;
        return;
    }
    for (unsigned i = 0; i < copies; i++) {
        struct link_event e = {
            .at = link->clock, .to = (uint8_t)to, .len = len, .gso = gso, .gso_size = gso_size};

        e.data = malloc(len);
        memcpy(e.data, frame, len);
        if (bottleneck(link, to, e.data, len, &e.at)) {
            link->dropped++;
            free(e.data);
            continue;
        }
        if (chance(link, q->corrupt))
            e.data[ETH + link_random(link, len - ETH)] ^= (uint8_t)(1 << link_random(link, 8));
        e.at += q->delay_ns + link_random(link, (uint32_t)q->jitter_ns);
        if (chance(link, q->reorder))
            e.at += link_random(link, (uint32_t)q->reorder_ns);
        push(link, e);
    }
}

/* Lengths and checksums of the frame made right, as a port with offloads does. */
static void complete(uint8_t *frame, uint32_t len)
{
    const bool v4 = frame[12] == 8;
    const uint32_t ip_len = v4 ? 20 : 40;
    uint8_t *ip = frame + ETH;
    uint8_t *tcp = ip + ip_len;
    const uint32_t l4 = len - ETH - ip_len;
    uint32_t sum;

    if (v4) {
        put16(ip + 2, (uint16_t)(len - ETH));
        put16(ip + 10, 0);
        put16(ip + 10, fold(sum16(ip, 20, 0)));
    } else {
        put16(ip + 4, (uint16_t)l4);
    }
    put16(tcp + 16, 0);
    sum = sum16(v4 ? ip + 12 : ip + 8, v4 ? 8 : 32, IPPROTO_TCP + l4);
    put16(tcp + 16, fold(sum16(tcp, l4, sum)));
}

static void segment(struct link *link, unsigned to, const uint8_t *frame, uint32_t len,
                    const struct dmm_tx_frame *meta)
{
    const uint32_t headers = meta->hdr_len;
    const uint8_t flags = frame[meta->csum_start + 13];
    uint8_t piece[FRAME_MAX];

    for (uint32_t at = headers; at < len; at += meta->gso_size) {
        const uint32_t n = len - at < meta->gso_size ? len - at : meta->gso_size;
        uint8_t *tcp = piece + meta->csum_start;

        memcpy(piece, frame, headers);
        memcpy(piece + headers, frame + at, n);
        put32(tcp + 4, get32(tcp + 4) + at - headers);
        if (at + n < len)
            tcp[13] = flags & (uint8_t) ~(TCP_FIN | TCP_PSH);
        complete(piece, headers + n);
        carry(link, to, piece, headers + n, DMM_GSO_NONE, 0);
    }
}

static void transmit(struct node *node, const uint8_t *frame, uint32_t len,
                     const struct dmm_tx_frame *meta)
{
    struct link *link = node->arg;
    const unsigned to = node == &link->node[0];
    static uint8_t copy[FRAME_MAX];

    if (meta->gso != DMM_GSO_NONE && !link->quality.merge) {
        segment(link, to, frame, len, meta);
        return;
    }
    memcpy(copy, frame, len);
    if (meta->flags & DMM_FRAME_CSUM_PARTIAL)
        complete(copy, len);
    carry(link, to, copy, len, meta->gso, meta->gso_size);
}

void link_init(struct link *link, uint64_t seed, const struct link_quality *quality)
{
    *link = (struct link){.clock = 1000 * SEC, .random = seed, .quality = *quality};
    for (unsigned i = 0; i < 16; i++)
        link_random(link, 1);
    for (uint8_t i = 0; i < 2; i++)
        node_init(&link->node[i], (uint8_t)(i + 1), &link->clock, seed * 2 + i, transmit, link);
}

void link_start(struct link *link)
{
    node_start(&link->node[0]);
    node_start(&link->node[1]);
}

void link_stop(struct link *link)
{
    node_stop(&link->node[0]);
    node_stop(&link->node[1]);
    while (link->n > 0)
        free(pop(link).data);
    free(link->heap);
}

/* What is due, as a port gives it: together what comes to one end in a row. */
static void arrive(struct link *link)
{
    uint8_t *data[BATCH];
    struct dmm_frame frames[BATCH];
    unsigned n = 0;
    uint8_t to = 0;

    while (n < BATCH && link->n > 0 && link->heap[0].at <= link->clock &&
           (n == 0 || link->heap[0].to == to)) {
        const struct link_event e = pop(link);

        to = e.to;
        data[n] = e.data;
        frames[n++] =
            (struct dmm_frame){.data = e.data, .len = e.len, .gso = e.gso, .gso_size = e.gso_size};
    }
    if (n > 0)
        node_frames(&link->node[to], frames, n);
    for (unsigned i = 0; i < n; i++)
        free(data[i]); /* NOLINT(clang-analyzer-unix.Malloc): each was taken off the heap once */
}

bool link_step(struct link *link, uint64_t until)
{
    uint64_t next = link->n > 0 ? link->heap[0].at : UINT64_MAX;

    for (unsigned i = 0; i < 2; i++) {
        const uint64_t deadline = tcpip_next_deadline(link->node[i].ip);

        if (deadline < next)
            next = deadline;
    }
    if (next > until) {
        link->clock = until;
        return false;
    }
    if (next > link->clock)
        link->clock = next;
    while (link->n > 0 && link->heap[0].at <= link->clock)
        arrive(link);
    node_poll(&link->node[0]);
    node_poll(&link->node[1]);
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/loop.h"

#include <stdlib.h>
#include <string.h>

struct record {
    uint32_t len;
    uint16_t gso_size, reserved;
};

static size_t record_size(uint32_t len)
{
    return sizeof(struct record) + (((size_t)len + 7) & ~(size_t)7);
}

void net_loop_init(struct net_loop *loop, size_t size)
{
    *loop = (struct net_loop){.size = size & ~(size_t)7};
}

void net_loop_destroy(struct net_loop *loop)
{
    free(loop->bytes);
    *loop = (struct net_loop){0};
}

uint8_t *net_loop_put(struct net_loop *loop, uint32_t len, uint16_t gso_size)
{
    size_t need = record_size(len);
    if (!loop->bytes && !(loop->bytes = malloc(loop->size)))
        return NULL;
    if (!loop->n)
        loop->head = loop->tail = 0;
    bool wrapped = loop->n && loop->tail <= loop->head;
    if (wrapped && loop->head - loop->tail < need)
        return NULL;
    if (!wrapped && loop->size - loop->tail < need) {
        if (loop->head < need)
            return NULL;
        loop->wrap = loop->tail;
        loop->tail = 0;
    }
    struct record r = {.len = len, .gso_size = gso_size};
    uint8_t *at = loop->bytes + loop->tail;
    memcpy(at, &r, sizeof(r));
    loop->tail += need;
    loop->n++;
    return at + sizeof(r);
}

bool net_loop_peek(const struct net_loop *loop, struct net_loop_packet *packet)
{
    if (!loop->n)
        return false;
    struct record r;
    memcpy(&r, loop->bytes + loop->head, sizeof(r));
    *packet = (struct net_loop_packet){
        .data = loop->bytes + loop->head + sizeof(r), .len = r.len, .gso_size = r.gso_size};
    return true;
}

void net_loop_pop(struct net_loop *loop)
{
    struct record r;
    memcpy(&r, loop->bytes + loop->head, sizeof(r));
    loop->head += record_size(r.len);
    loop->n--;
    if (loop->n && loop->tail <= loop->head && loop->head == loop->wrap)
        loop->head = 0;
}

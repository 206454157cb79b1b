/* SPDX-License-Identifier: Apache-2.0 */
/* Transmit rings: the app produces, the stack consumes. */
#include "common/ring.h"
#include "sidecar/client.h"
#include "sidecar/sock.h"
#include "sidecar/worker.h"

static void ring_free(struct dmm_client *client, uint64_t ref)
{
    if (ref)
        dmm_client_block_free(client, dmm_ring_offset(ref), dmm_ring_size(ref));
}

void dmm_sock_tx_free(struct dmm_sock *sock)
{
    ring_free(sock->client, sock->tx_ref);
    ring_free(sock->client, sock->tx_offer);
    sock->tx_ref = sock->tx_offer = 0;
}

bool dmm_sock_tx_refresh(struct dmm_sock *sock)
{
    struct dmm_socket *shared = sock->shared;
    /* The tail first: the ring seen after it holds all bytes up to that tail. */
    uint32_t tail = atomic_load_explicit(&shared->tx_tail, memory_order_acquire);
    uint64_t ring = atomic_load_explicit(&shared->tx_ring, memory_order_acquire);
    if (ring != sock->tx_ref) {
        if (!ring || ring != sock->tx_offer) {
            dmm_client_violation(sock->client, "socket %u: tx_ring %#llx was never offered",
                                 sock->index, (unsigned long long)ring);
            return false;
        }
        ring_free(sock->client, sock->tx_ref);
        sock->tx_ref = ring;
        sock->tx_offer = 0;
    }
    uint32_t held = tail - sock->tx_head;
    if (held > dmm_ring_size(sock->tx_ref) || held < sock->tx_tail - sock->tx_head) {
        dmm_client_violation(sock->client, "socket %u: tx_tail %u is not between %u and %u",
                             sock->index, tail, sock->tx_tail,
                             sock->tx_head + dmm_ring_size(sock->tx_ref));
        return false;
    }
    sock->tx_tail = tail;
    return true;
}

void dmm_sock_tx_offer(struct dmm_sock *sock, uint32_t bytes)
{
    /* A datagram must fit in whole, whatever SO_SNDBUF says. */
    uint32_t limit = sock->kind == DMM_SOCK_DATAGRAM ? sock->client->limits.tx_max : sock->tx_limit;
    if (bytes > limit)
        bytes = limit;
    if (sock->tx_offer || bytes <= dmm_ring_size(sock->tx_ref))
        return;
    uint32_t size;
    uint64_t at = dmm_client_block(sock->client, bytes, &size);
    if (!at)
        return;
    sock->tx_offer = at | (uint32_t)__builtin_ctz(size);
    atomic_store_explicit(&sock->shared->tx_offer, sock->tx_offer, memory_order_release);
}

void dmm_sock_tx_grow_if_full(struct dmm_sock *sock)
{
    uint32_t size = dmm_ring_size(sock->tx_ref);
    if (size && sock->tx_tail - sock->tx_head >= size / 2 && size < sock->tx_limit) {
        dmm_sock_tx_offer(sock, size * 4);
        sock->flags |= DMM_SOCK_ROOM;
        dmm_sock_news(sock, 0);
    }
}

/* After close() only what had been written by then counts. */
static bool refresh_if_open(struct dmm_sock *sock)
{
    if (sock->flags & DMM_SOCK_CLOSED)
        return true;
    return !sock->client->violation[0] && dmm_sock_tx_refresh(sock);
}

uint32_t dmm_sock_tx_pending(struct dmm_sock *sock)
{
    return refresh_if_open(sock) ? sock->tx_tail - sock->tx_head : 0;
}

static unsigned pieces(const struct dmm_sock *sock, uint32_t at, uint32_t len, struct iovec iov[2])
{
    char *ring = dmm_client_at(sock->client, dmm_ring_offset(sock->tx_ref));
    uint32_t size = dmm_ring_size(sock->tx_ref);
    uint32_t start = at & (size - 1);
    uint32_t first = len < size - start ? len : size - start;
    iov[0] = (struct iovec){ring + start, first};
    iov[1] = (struct iovec){ring, len - first};
    return len == 0 ? 0 : first == len ? 1 : 2;
}

unsigned dmm_sock_tx_peek(const struct dmm_sock *sock, uint32_t offset, uint32_t len,
                          struct iovec iov[2])
{
    uint32_t held = sock->tx_tail - sock->tx_head;
    if (!sock->tx_ref || offset >= held)
        return 0;
    if (len > held - offset)
        len = held - offset;
    return pieces(sock, sock->tx_head + offset, len, iov);
}

void dmm_sock_tx_consume(struct dmm_sock *sock, uint32_t len)
{
    uint32_t held = sock->tx_tail - sock->tx_head;
    if (len > held)
        len = held;
    sock->tx_head += len;
    sock->client->stats.tx_bytes += len;
    if (sock->flags & DMM_SOCK_CLOSED)
        return;
    atomic_store_explicit(&sock->shared->tx_head, sock->tx_head, memory_order_release);
    sock->flags |= DMM_SOCK_ROOM;
    dmm_sock_news(sock, 0);
}

void dmm_sock_tx_sent(struct dmm_sock *sock, uint32_t len)
{
    uint32_t held = sock->tx_tail - sock->tx_head;
    if (sock->flags & DMM_SOCK_CLOSED)
        return;
    sock->tx_sent = sock->tx_head + (len < held ? len : held);
    atomic_store_explicit(&sock->shared->tx_sent, sock->tx_sent, memory_order_release);
    sock->flags |= DMM_SOCK_ROOM;
    dmm_sock_news(sock, 0);
}

void dmm_sock_set_notsent_lowat(struct dmm_sock *sock, uint32_t bytes)
{
    sock->notsent_lowat = bytes;
    sock->flags |= DMM_SOCK_ROOM; /* more may be allowed now */
    dmm_sock_news(sock, 0);
}

bool dmm_sock_tx_wanted(struct dmm_sock *sock)
{
    /* The caller has made a sequentially consistent fence after tx_head and tx_sent were stored. */
    if (atomic_load_explicit(&sock->shared->tx_nospace, memory_order_relaxed) != 1 ||
        !dmm_notsent_is_low(sock->tx_tail - sock->tx_sent, sock->notsent_lowat))
        return false;
    uint32_t size = dmm_ring_size(sock->tx_ref);
    /* A larger ring on offer is room too; and who has no ring can't wait for room in it. */
    if (size && !sock->tx_offer && size - (sock->tx_tail - sock->tx_head) < size / 3)
        return false;
    return atomic_exchange_explicit(&sock->shared->tx_nospace, 0, memory_order_seq_cst) == 1;
}

static bool bad_record(struct dmm_sock *sock, const char *what)
{
    dmm_client_violation(sock->client, "socket %u: datagram at %u: %s", sock->index, sock->tx_head,
                         what);
    return false;
}

static bool addr_ok(const struct dmm_addr *addr)
{
    return addr->family == 0 || dmm_addr_valid(addr);
}

bool dmm_sock_tx_datagram(struct dmm_sock *sock, struct dmm_datagram *datagram)
{
    struct dmm_datagram_header header;
    if (!refresh_if_open(sock))
        return false;
    uint32_t held = sock->tx_tail - sock->tx_head;
    if (!held)
        return false;
    if (held < sizeof(header))
        return bad_record(sock, "cut short");
    dmm_ring_read(dmm_client_at(sock->client, dmm_ring_offset(sock->tx_ref)),
                  dmm_ring_size(sock->tx_ref), sock->tx_head, &header, sizeof(header));
    if (header.len > DMM_DATAGRAM_MAX)
        return bad_record(sock, "too long");
    uint32_t record = dmm_datagram_record_size(header.len);
    if (record > held)
        return bad_record(sock, "cut short");
    if (header.segment && header.len > header.segment * DMM_SEGMENTS_MAX)
        return bad_record(sock, "too many segments");
    if (sock->tx_cut && sock->tx_cut >= header.len)
        return bad_record(sock, "became shorter");
    if (!addr_ok(&header.peer) || !addr_ok(&header.local))
        return bad_record(sock, "an address of no family");
    *datagram = (struct dmm_datagram){.peer = header.peer,
                                      .local = header.local,
                                      .ifindex = header.ifindex,
                                      .ttl = header.ttl,
                                      .tos = header.tos,
                                      .len = header.len - sock->tx_cut};
    if (header.segment && datagram->len > header.segment) {
        if (sock->instance->ops->capabilities & DMM_STACK_SEGMENTS)
            datagram->segment = header.segment;
        else
            datagram->len = header.segment; /* one after the other */
    }
    dmm_sock_map_address(sock, &datagram->peer);
    dmm_sock_map_address(sock, &datagram->local);
    pieces(sock, sock->tx_head + (uint32_t)sizeof(header) + sock->tx_cut, datagram->len,
           datagram->iov);
    sock->tx_record = record;
    sock->tx_payload = header.len;
    sock->tx_shown = datagram->len;
    return true;
}

void dmm_sock_tx_datagram_done(struct dmm_sock *sock)
{
    sock->tx_cut += sock->tx_shown;
    if (sock->tx_cut < sock->tx_payload)
        return;
    dmm_sock_tx_consume(sock, sock->tx_record);
    sock->tx_record = sock->tx_cut = 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/net/reass.h"

#include "sidecar/tcpip/hash.h"

#include <stdlib.h>

#define NONE      0xffff
#define PAGE      2048
#define MAX_PAGES (65536 / PAGE)

struct range {
    uint16_t start, end; /* [start, end) */
};

struct context {
    struct ip_addr src, dst;
    uint32_t id;
    uint8_t ifindex, key_protocol, protocol;
    uint8_t ecn_seen; /* bit n: codepoint n was seen */
    bool used, end_known;
    uint16_t hash_next, older, newer;
    uint16_t n_ranges;
    uint32_t end; /* of the datagram, if end_known */
    uint32_t highest, received;
    uint32_t max_fragment;
    uint16_t named_by;
    uint16_t header_len; /* 0: offset 0 did not come yet */
    uint64_t deadline;
    uint8_t header[NET_REASS_HDR_MAX];
    uint16_t pages[MAX_PAGES];
    struct range ranges[NET_REASS_FRAGS]; /* sorted by start */
};

struct net_reass {
    struct tcpip_counters *counters;
    struct hash_key key;
    unsigned n_contexts, max_contexts, hash_mask;
    unsigned n_pages, free_pages;
    uint16_t free_context; /* through hash_next */
    uint16_t oldest, newest;
    uint64_t next; /* the earliest deadline, or earlier */
    struct context *contexts;
    uint16_t *hash;
    uint16_t free_page;
    uint16_t *page_next;
    uint8_t *page_bytes;
};

void net_reass_destroy(struct net_reass *r)
{
    if (!r)
        return;
    free(r->contexts);
    free(r->hash);
    free(r->page_next);
    free(r->page_bytes);
    free(r);
}

struct net_reass *net_reass_create(const struct net_reass_config *config,
                                   struct tcpip_counters *counters, const uint64_t key[2])
{
    if (config->max_datagrams < 4 || config->max_datagrams > 4096 || config->max_bytes < 65536 ||
        config->max_bytes > (size_t)(NONE - 1) * PAGE)
        return NULL;
    struct net_reass *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->counters = counters;
    r->key = (struct hash_key){{key[0], key[1]}};
    r->max_contexts = config->max_datagrams;
    r->hash_mask = 1;
    while (r->hash_mask < r->max_contexts)
        r->hash_mask = r->hash_mask << 1 | 1;
    r->n_pages = r->free_pages = (unsigned)((config->max_bytes + PAGE - 1) / PAGE);
    r->contexts = calloc(r->max_contexts, sizeof(*r->contexts));
    r->hash = calloc(r->hash_mask + 1, sizeof(*r->hash));
    r->page_next = calloc(r->n_pages, sizeof(*r->page_next));
    r->page_bytes = calloc(r->n_pages, PAGE);
    if (!r->contexts || !r->hash || !r->page_next || !r->page_bytes) {
        net_reass_destroy(r);
        return NULL;
    }
    r->oldest = r->newest = NONE;
    r->next = UINT64_MAX;
    for (unsigned i = 0; i <= r->hash_mask; i++)
        r->hash[i] = NONE;
    for (unsigned i = 0; i < r->max_contexts; i++)
        r->contexts[i].hash_next = i + 1 < r->max_contexts ? (uint16_t)(i + 1) : NONE;
    for (unsigned i = 0; i < r->n_pages; i++)
        r->page_next[i] = i + 1 < r->n_pages ? (uint16_t)(i + 1) : NONE;
    return r;
}

/* RFC 8200, 4.5: source, destination and identification; RFC 791: the protocol too. The interface
 * counts where addresses mean something on one link only. */
static void set_key(struct context *c, const struct net_fragment *f)
{
    c->src = f->src;
    c->dst = f->dst;
    c->id = f->id;
    c->key_protocol = ip_addr_is_v4(&f->src) ? f->protocol : 0;
    c->ifindex = f->ifindex;
}

static bool same_key(const struct context *c, const struct net_fragment *f)
{
    bool local = net_ip_is_link_local(&f->src) || ip_addr_is_multicast(&f->dst);
    return c->id == f->id && ip_addr_equal(&c->src, &f->src) && ip_addr_equal(&c->dst, &f->dst) &&
           c->key_protocol == (ip_addr_is_v4(&f->src) ? f->protocol : 0) &&
           (!local || c->ifindex == f->ifindex);
}

static uint16_t *bucket(struct net_reass *r, const struct ip_addr *src, const struct ip_addr *dst,
                        uint32_t id)
{
    const uint64_t words[5] = {src->q[0], src->q[1], dst->q[0], dst->q[1], id};
    return &r->hash[hash_words(&r->key, words, 5) & r->hash_mask];
}

static struct context *find(struct net_reass *r, const struct net_fragment *f)
{
    uint16_t i = *bucket(r, &f->src, &f->dst, f->id);
    while (i != NONE && !same_key(&r->contexts[i], f))
        i = r->contexts[i].hash_next;
    return i == NONE ? NULL : &r->contexts[i];
}

static void context_free(struct net_reass *r, struct context *c)
{
    uint16_t i = (uint16_t)(c - r->contexts);
    uint16_t *link = bucket(r, &c->src, &c->dst, c->id);
    while (*link != i)
        link = &r->contexts[*link].hash_next;
    *link = c->hash_next;
    if (c->older == NONE)
        r->oldest = c->newer;
    else
        r->contexts[c->older].newer = c->newer;
    if (c->newer == NONE)
        r->newest = c->older;
    else
        r->contexts[c->newer].older = c->older;
    for (unsigned p = 0; p < MAX_PAGES; p++) {
        if (c->pages[p] == NONE)
            continue;
        r->page_next[c->pages[p]] = r->free_page;
        r->free_page = c->pages[p];
        r->free_pages++;
    }
    c->used = false;
    c->hash_next = r->free_context;
    r->free_context = i;
    r->n_contexts--;
}

/* Makes room for one more datagram of `src`. */
static void enforce_limits(struct net_reass *r, const struct ip_addr *src)
{
    unsigned of_source = 0;
    struct context *oldest = NULL;
    for (uint16_t i = r->newest; i != NONE; i = r->contexts[i].older) {
        if (!ip_addr_equal(&r->contexts[i].src, src))
            continue;
        of_source++;
        oldest = &r->contexts[i];
    }
    if (of_source < r->max_contexts / 4)
        oldest = r->n_contexts == r->max_contexts ? &r->contexts[r->oldest] : NULL;
    if (oldest) {
        r->counters->frag_limit++;
        context_free(r, oldest);
    }
}

static struct context *context_new(struct net_reass *r, const struct net_fragment *f, uint64_t now)
{
    enforce_limits(r, &f->src);
    uint16_t i = r->free_context;
    struct context *c = &r->contexts[i];
    r->free_context = c->hash_next;
    memset(c, 0, offsetof(struct context, header));
    set_key(c, f);
    c->used = true;
    c->deadline = now + (ip_addr_is_v4(&f->src) ? NET_REASS_TIMEOUT_4 : NET_REASS_TIMEOUT_6);
    if (c->deadline < r->next)
        r->next = c->deadline;
    memset(c->pages, 0xff, sizeof(c->pages));
    uint16_t *head = bucket(r, &c->src, &c->dst, c->id);
    c->hash_next = *head;
    *head = i;
    c->newer = NONE;
    c->older = r->newest;
    if (r->newest == NONE)
        r->oldest = i;
    else
        r->contexts[r->newest].newer = i;
    r->newest = i;
    r->n_contexts++;
    return c;
}

/* What can be said against a fragment on its own. */
static bool well_formed(const struct net_fragment *f)
{
    if (f->header_len > NET_REASS_HDR_MAX || f->offset % 8 || !f->payload_len)
        return false;
    if (f->more && f->payload_len % 8)
        return false;
    return f->offset <= UINT16_MAX && f->payload_len <= UINT16_MAX - f->offset;
}

enum place { PLACE_NEW, PLACE_AGAIN, PLACE_OVERLAP };

static enum place find_place(const struct context *c, uint32_t start, uint32_t end, unsigned *at)
{
    unsigned i = c->n_ranges;
    while (i && c->ranges[i - 1].start >= end)
        i--;
    *at = i;
    if (!i || c->ranges[i - 1].end <= start)
        return PLACE_NEW;
    bool same = c->ranges[i - 1].start == start && c->ranges[i - 1].end == end;
    return same ? PLACE_AGAIN : PLACE_OVERLAP;
}

static bool get_pages(struct net_reass *r, struct context *c, uint32_t start, uint32_t end)
{
    for (unsigned p = start / PAGE; p <= (end - 1) / PAGE; p++) {
        if (c->pages[p] != NONE)
            continue;
        /* Out of memory: the oldest datagrams go, this one last. */
        while (r->free_page == NONE) {
            struct context *oldest = &r->contexts[r->oldest];
            r->counters->frag_limit++;
            if (oldest == c)
                return false;
            context_free(r, oldest);
        }
        c->pages[p] = r->free_page;
        r->free_page = r->page_next[r->free_page];
        r->free_pages--;
    }
    return true;
}

static void copy_in(struct net_reass *r, struct context *c, const struct net_fragment *f)
{
    size_t done = 0;
    while (done < f->payload_len) {
        size_t at = f->offset + done, room = PAGE - at % PAGE;
        size_t n = f->payload_len - done < room ? f->payload_len - done : room;
        memcpy(r->page_bytes + (size_t)c->pages[at / PAGE] * PAGE + at % PAGE, f->payload + done,
               n);
        done += n;
    }
}

static void copy_out(const struct net_reass *r, const struct context *c, uint8_t *buf, size_t len)
{
    for (size_t at = 0; at < len; at += PAGE)
        memcpy(buf + at, r->page_bytes + (size_t)c->pages[at / PAGE] * PAGE,
               len - at < PAGE ? len - at : PAGE);
}

static uint8_t merged_ecn(const struct context *c)
{
    for (uint8_t code = 3; code; code--)
        if (c->ecn_seen & 1u << code)
            return code;
    return 0;
}

static void describe(const struct context *c, struct net_datagram *d)
{
    *d = (struct net_datagram){.src = c->src,
                               .dst = c->dst,
                               .ifindex = c->ifindex,
                               .protocol = c->protocol,
                               .ecn = merged_ecn(c),
                               .header = c->header,
                               .named_by = c->named_by,
                               .header_len = c->header_len,
                               .max_fragment = c->max_fragment};
}

static enum net_reass_result refuse(struct net_reass *r, struct context *c, uint64_t *counter)
{
    (*counter)++;
    context_free(r, c);
    return NET_REASS_DROPPED;
}

/* The end of the datagram is one place, and nothing lies behind it. */
static bool fits_end(struct context *c, const struct net_fragment *f, uint32_t end)
{
    if (c->end_known && (end > c->end || (!f->more && end != c->end)))
        return false;
    if (!f->more && end < c->highest)
        return false;
    if (!f->more) {
        c->end_known = true;
        c->end = end;
    }
    if (end > c->highest)
        c->highest = end;
    return true;
}

static void keep(struct net_reass *r, struct context *c, const struct net_fragment *f, unsigned at)
{
    uint32_t end = f->offset + (uint32_t)f->payload_len;
    memmove(&c->ranges[at + 1], &c->ranges[at], (c->n_ranges - at) * sizeof(c->ranges[0]));
    c->ranges[at] = (struct range){(uint16_t)f->offset, (uint16_t)end};
    c->n_ranges++;
    c->received += (uint32_t)f->payload_len;
    c->ecn_seen |= (uint8_t)(1u << (f->ecn & 3));
    if (f->payload_len > c->max_fragment)
        c->max_fragment = (uint32_t)f->payload_len;
    if (f->offset == 0) {
        c->protocol = f->protocol;
        c->named_by = f->named_by;
        c->header_len = (uint16_t)f->header_len;
        memcpy(c->header, f->header, f->header_len);
    }
    copy_in(r, c, f);
}

enum net_reass_result net_reass_add(struct net_reass *r, const struct net_fragment *f, uint64_t now,
                                    struct net_datagram *datagram, uint8_t *buf)
{
    struct context *c = find(r, f);
    if (!well_formed(f)) {
        r->counters->frag_bad++;
        return NET_REASS_DROPPED;
    }
    if (!c)
        c = context_new(r, f, now);
    uint32_t end = f->offset + (uint32_t)f->payload_len;
    unsigned at;
    switch (find_place(c, f->offset, end, &at)) {
    case PLACE_OVERLAP:
        return refuse(r, c, &r->counters->frag_overlap_drop);
    case PLACE_AGAIN:
        return NET_REASS_HELD;
    case PLACE_NEW:
        break;
    }
    if (!fits_end(c, f, end))
        return refuse(r, c, &r->counters->frag_bad);
    if (c->n_ranges == NET_REASS_FRAGS)
        return refuse(r, c, &r->counters->frag_limit);
    if (!get_pages(r, c, f->offset, end)) {
        context_free(r, c); /* counted there */
        return NET_REASS_DROPPED;
    }
    keep(r, c, f, at);
    if ((c->ecn_seen & 9) == 9)
        return refuse(r, c, &r->counters->frag_bad);
    if (!c->end_known || c->received != c->end)
        return NET_REASS_HELD;
    describe(c, datagram);
    datagram->payload_len = c->end;
    copy_out(r, c, buf, c->end);
    context_free(r, c); /* leaves c->header as it is until the context is used again */
    r->counters->frag_done++;
    return NET_REASS_DONE;
}

bool net_reass_expire(struct net_reass *r, uint64_t now, struct net_datagram *datagram,
                      uint8_t *buf)
{
    if (now < r->next)
        return false;
    r->next = UINT64_MAX;
    struct context *due = NULL;
    for (uint16_t i = r->oldest; i != NONE; i = r->contexts[i].newer) {
        struct context *c = &r->contexts[i];
        if (c->deadline <= now && !due)
            due = c;
        else if (c->deadline < r->next)
            r->next = c->deadline;
    }
    if (!due)
        return false;
    describe(due, datagram);
    if (due->header_len) {
        size_t len = due->ranges[0].end;
        datagram->payload_len = len < NET_REASS_QUOTE ? len : NET_REASS_QUOTE;
        copy_out(r, due, buf, datagram->payload_len);
    }
    context_free(r, due);
    r->counters->frag_timeout_drop++;
    return true;
}

uint64_t net_reass_deadline(const struct net_reass *r)
{
    return r->next;
}

unsigned net_reass_count(const struct net_reass *r)
{
    return r->n_contexts;
}

size_t net_reass_bytes(const struct net_reass *r)
{
    return (size_t)(r->n_pages - r->free_pages) * PAGE;
}

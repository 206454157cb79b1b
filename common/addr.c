/* SPDX-License-Identifier: Apache-2.0 */
#include "common/addr.h"

#include "common/number.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The kernel's least length of a sockaddr_in6: without sin6_scope_id, as RFC 2133 had it. */
#define SOCKADDR_IN6_MIN offsetof(struct sockaddr_in6, sin6_scope_id)

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t zeros[16];

static bool is_mapped(const uint8_t ip[16])
{
    return memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

/* fe80::/10 (RFC 4291, 2.5.6) */
static bool is_link_local(const uint8_t ip[16])
{
    return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

bool dmm_addr_valid(const struct dmm_addr *addr)
{
    switch (addr->family) {
    case 0:
        return addr->port == 0 && addr->scope_id == 0 && memcmp(addr->ip, zeros, 16) == 0;
    case AF_INET:
        return addr->scope_id == 0 && memcmp(addr->ip + 4, zeros, 12) == 0;
    case AF_INET6:
        return addr->scope_id == 0 || is_link_local(addr->ip);
    default:
        return false;
    }
}

bool dmm_addr_is_any(const struct dmm_addr *addr)
{
    if (addr->family == AF_INET)
        return memcmp(addr->ip, zeros, 4) == 0;
    if (addr->family != AF_INET6)
        return false;
    return memcmp(addr->ip + 12, zeros, 4) == 0 &&
           (memcmp(addr->ip, zeros, 12) == 0 || is_mapped(addr->ip));
}

bool dmm_addr_is_loopback(const struct dmm_addr *addr)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    if (addr->family == AF_INET)
        return addr->ip[0] == 127;
    if (addr->family != AF_INET6)
        return false;
    return memcmp(addr->ip, loopback6, 16) == 0 || (is_mapped(addr->ip) && addr->ip[12] == 127);
}

void dmm_addr_unmap(struct dmm_addr *addr)
{
    if (addr->family != AF_INET6 || !is_mapped(addr->ip))
        return;
    addr->family = AF_INET;
    addr->scope_id = 0;
    memcpy(addr->ip, addr->ip + 12, 4);
    memset(addr->ip + 4, 0, 12);
}

void dmm_addr_map(struct dmm_addr *addr)
{
    if (addr->family != AF_INET)
        return;
    addr->family = AF_INET6;
    memcpy(addr->ip + 12, addr->ip, 4);
    memcpy(addr->ip, mapped_prefix, sizeof(mapped_prefix));
}

static int from_in6(struct dmm_addr *addr, const struct sockaddr *sa, socklen_t len)
{
    if (len < SOCKADDR_IN6_MIN)
        return -EINVAL;
    struct sockaddr_in6 in6 = {0};
    memcpy(&in6, sa, len < sizeof(in6) ? len : sizeof(in6));
    *addr = (struct dmm_addr){.family = AF_INET6, .port = ntohs(in6.sin6_port)};
    memcpy(addr->ip, &in6.sin6_addr, 16);
    if (is_link_local(addr->ip))
        addr->scope_id = in6.sin6_scope_id;
    return 0;
}

int dmm_addr_from_sockaddr(struct dmm_addr *addr, const struct sockaddr *sa, socklen_t len)
{
    sa_family_t family;
    if (!sa)
        return -EFAULT;
    if (len < sizeof(family) || len > sizeof(struct sockaddr_storage))
        return -EINVAL;
    memcpy(&family, sa, sizeof(family));
    if (family == AF_INET6)
        return from_in6(addr, sa, len);
    struct sockaddr_in in;
    if (len < sizeof(in))
        return -EINVAL;
    if (family != AF_INET)
        return -EAFNOSUPPORT;
    memcpy(&in, sa, sizeof(in));
    *addr = (struct dmm_addr){.family = AF_INET, .port = ntohs(in.sin_port)};
    memcpy(addr->ip, &in.sin_addr, 4);
    return 0;
}

void dmm_addr_to_sockaddr(const struct dmm_addr *addr, struct sockaddr *sa, socklen_t *len)
{
    union {
        sa_family_t family;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } full;
    socklen_t full_len = sizeof(full.family);
    memset(&full, 0, sizeof(full));
    full.family = addr->family;
    if (addr->family == AF_INET) {
        full_len = sizeof(full.in);
        full.in.sin_port = htons(addr->port);
        memcpy(&full.in.sin_addr, addr->ip, 4);
    } else if (addr->family == AF_INET6) {
        full_len = sizeof(full.in6);
        full.in6.sin6_port = htons(addr->port);
        full.in6.sin6_scope_id = addr->scope_id;
        memcpy(&full.in6.sin6_addr, addr->ip, 16);
    }
    if (*len)
        memcpy(sa, &full, *len < full_len ? *len : full_len);
    *len = full_len;
}

const char *dmm_addr_format_ip(const struct dmm_addr *addr, char buf[DMM_ADDR_STRLEN])
{
    if (!addr->family || !inet_ntop(addr->family, addr->ip, buf, DMM_ADDR_STRLEN))
        snprintf(buf, DMM_ADDR_STRLEN, "*");
    return buf;
}

const char *dmm_addr_format(const struct dmm_addr *addr, char buf[DMM_ADDR_STRLEN])
{
    char ip[DMM_ADDR_STRLEN];
    char scope[12] = "";
    char port[6] = "*";
    dmm_addr_format_ip(addr, ip);
    if (addr->scope_id)
        snprintf(scope, sizeof(scope), "%%%u", addr->scope_id);
    if (addr->port)
        snprintf(port, sizeof(port), "%u", addr->port);
    bool six = addr->family == AF_INET6;
    snprintf(buf, DMM_ADDR_STRLEN, "%s%.39s%s%s:%s", six ? "[" : "", ip, scope, six ? "]" : "",
             port);
    return buf;
}

/* Family and bytes of a bare address; false if it is none. */
static bool parse_ip(const char *text, uint16_t *family, uint8_t ip[16])
{
    memset(ip, 0, 16);
    *family = strchr(text, ':') ? AF_INET6 : AF_INET;
    return inet_pton(*family, text, ip) == 1;
}

int dmm_addr_parse(struct dmm_addr *addr, const char *text)
{
    struct dmm_addr parsed = {0};
    if (!parse_ip(text, &parsed.family, parsed.ip))
        return -EINVAL;
    *addr = parsed;
    return 0;
}

static unsigned family_bits(uint16_t family)
{
    return family == AF_INET ? 32 : 128;
}

/* True if the first `bits` bits are the same. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool host_bits_zero(const struct dmm_prefix *prefix)
{
    for (unsigned bit = prefix->len; bit < family_bits(prefix->family); bit++) {
        if (prefix->ip[bit / 8] & (0x80U >> (bit % 8)))
            return false;
    }
    return true;
}

static void prefix_unmap(struct dmm_prefix *prefix)
{
    if (prefix->family != AF_INET6 || prefix->len < 96 || !is_mapped(prefix->ip))
        return;
    prefix->family = AF_INET;
    prefix->len -= 96;
    memcpy(prefix->ip, prefix->ip + 12, 4);
    memset(prefix->ip + 4, 0, 12);
}

int dmm_prefix_parse(struct dmm_prefix *prefix, const char *text)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t used = slash ? (size_t)(slash - text) : strlen(text);
    if (used >= sizeof(address))
        return -EINVAL;
    memcpy(address, text, used);
    address[used] = '\0';
    struct dmm_prefix parsed;
    if (!parse_ip(address, &parsed.family, parsed.ip))
        return -EINVAL;
    unsigned long len = family_bits(parsed.family);
    if (slash && !dmm_number_parse(slash + 1, strlen(slash + 1), len, &len))
        return -EINVAL;
    parsed.len = (uint16_t)len;
    if (!host_bits_zero(&parsed))
        return -EINVAL;
    prefix_unmap(&parsed);
    *prefix = parsed;
    return 0;
}

const char *dmm_prefix_format(const struct dmm_prefix *prefix, char buf[DMM_PREFIX_STRLEN])
{
    char ip[INET6_ADDRSTRLEN];
    if (!prefix->family || !inet_ntop(prefix->family, prefix->ip, ip, sizeof(ip)))
        snprintf(buf, DMM_PREFIX_STRLEN, "*");
    else
        snprintf(buf, DMM_PREFIX_STRLEN, "%s/%u", ip, prefix->len);
    return buf;
}

bool dmm_prefix_valid(const struct dmm_prefix *prefix)
{
    if (prefix->family != AF_INET && prefix->family != AF_INET6)
        return false;
    return prefix->len <= family_bits(prefix->family);
}

bool dmm_prefix_contains(const struct dmm_prefix *prefix, const struct dmm_addr *addr)
{
    struct dmm_addr plain = *addr;
    dmm_addr_unmap(&plain);
    return prefix->family == plain.family && dmm_prefix_valid(prefix) &&
           same_bits(prefix->ip, plain.ip, prefix->len);
}

bool dmm_prefix_covers(const struct dmm_prefix *outer, const struct dmm_prefix *inner)
{
    return outer->family == inner->family && dmm_prefix_valid(outer) && outer->len <= inner->len &&
           same_bits(outer->ip, inner->ip, outer->len);
}

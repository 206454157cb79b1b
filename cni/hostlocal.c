/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/hostlocal.h"

#include "cni/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define DATA_DIR  "/var/lib/cni/networks"
#define LAST      "last_reserved_ip."
#define NEW       ".dmm.new" /* a lease that has no address yet */
#define LEASE_MAX 1024
#define OWNER_MAX (LEASE_MAX - 1)

/* ---- the configuration ---- */

static bool only(const json_t *object, const char *const keys[])
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        size_t i = 0;
        while (keys[i] && strcmp(keys[i], name) != 0)
            i++;
        if (!keys[i])
            return false;
    }
    return true;
}

static size_t bytes_of(const struct dmm_addr *addr)
{
    return addr->family == AF_INET ? 4 : 16;
}

static void step(struct dmm_addr *addr, int by)
{
    for (size_t i = bytes_of(addr); i-- > 0;) {
        addr->ip[i] = (uint8_t)(addr->ip[i] + by);
        if (addr->ip[i] != (by > 0 ? 0 : 0xff))
            break;
    }
}

static int compare(const struct dmm_addr *a, const struct dmm_addr *b)
{
    return memcmp(a->ip, b->ip, bytes_of(a));
}

/* The highest address of the subnet; of IPv4, the one before the broadcast address. */
static struct dmm_addr last_of(const struct dmm_prefix *subnet)
{
    struct dmm_addr last = {.family = subnet->family};
    size_t n = bytes_of(&last);
    for (size_t i = 0; i < n; i++) {
        unsigned fixed = subnet->len > 8 * i ? subnet->len - 8 * (unsigned)i : 0;
        last.ip[i] = fixed >= 8 ? subnet->ip[i] : (uint8_t)(subnet->ip[i] | (0xffu >> fixed));
    }
    if (last.family == AF_INET)
        step(&last, -1);
    return last;
}

static bool read_member(const json_t *range, const char *key, const struct dmm_prefix *subnet,
                        struct dmm_addr *into)
{
    const json_t *value = json_object_get(range, key);
    if (!value)
        return true;
    return json_is_string(value) && !dmm_addr_parse(into, json_string_value(value)) &&
           into->family == subnet->family && dmm_prefix_contains(subnet, into);
}

static bool read_range(struct dmm_hostlocal_range *range, const json_t *json)
{
    struct dmm_prefix subnet;
    const char *text = json_string_value(json_object_get(json, "subnet"));
    if (!text || !strchr(text, '/') || dmm_prefix_parse(&subnet, text) ||
        subnet.len > (subnet.family == AF_INET ? 30 : 126))
        return false;
    struct dmm_addr first = {.family = subnet.family};
    memcpy(first.ip, subnet.ip, sizeof(first.ip));
    step(&first, 1);
    *range = (struct dmm_hostlocal_range){
        .len = (uint8_t)subnet.len, .start = first, .end = last_of(&subnet), .gateway = first};
    return read_member(json, "rangeStart", &subnet, &range->start) &&
           read_member(json, "rangeEnd", &subnet, &range->end) &&
           read_member(json, "gateway", &subnet, &range->gateway) &&
           compare(&range->start, &range->end) <= 0;
}

static bool add_set(struct dmm_hostlocal *ipam, const json_t *json)
{
    struct dmm_hostlocal_range *range = &ipam->sets[ipam->n_sets];
    if (ipam->n_sets == DMM_HOSTLOCAL_SETS || !read_range(range, json) ||
        (ipam->n_sets && range->start.family == ipam->sets[0].start.family))
        return false;
    ipam->n_sets++;
    return true;
}

static bool read_sets(struct dmm_hostlocal *ipam, const json_t *json)
{
    static const char *const keys[] = {"subnet", "rangeStart", "rangeEnd", "gateway", NULL};
    const json_t *sets = json_object_get(json, "ranges");
    size_t i;
    const json_t *set;
    if (json_object_get(json, "subnet") && !add_set(ipam, json))
        return false;
    if (sets && !json_is_array(sets))
        return false;
    json_array_foreach(sets, i, set)
    {
        const json_t *range = json_array_get(set, 0);
        if (json_array_size(set) != 1 || !only(range, keys) || !add_set(ipam, range))
            return false;
    }
    return ipam->n_sets > 0;
}

/* Someone asks for an address, in one of the ways that host-local knows. */
static bool asked_for(const json_t *conf, const char *args)
{
    const json_t *runtime = json_object_get(conf, "runtimeConfig");
    const json_t *cni = json_object_get(json_object_get(conf, "args"), "cni");
    return json_object_get(runtime, "ips") || json_object_get(runtime, "ipRanges") ||
           json_object_get(cni, "ips") ||
           (args && (!strncmp(args, "IP=", 3) || strstr(args, ";IP=")));
}

bool dmm_hostlocal_can(struct dmm_hostlocal *ipam, const json_t *conf, const char *args)
{
    static const char *const keys[] = {"type",   "subnet", "rangeStart", "rangeEnd", "gateway",
                                       "ranges", "routes", "dataDir",    NULL};
    const json_t *json = json_object_get(conf, "ipam");
    const json_t *dir = json_object_get(json, "dataDir");
    const char *type = json_string_value(json_object_get(json, "type"));
    memset(ipam, 0, sizeof(*ipam));
    if (!type || strcmp(type, "host-local") != 0 || !only(json, keys) || asked_for(conf, args))
        return false;
    ipam->data_dir = dir ? json_string_value(dir) : DATA_DIR;
    ipam->network = json_string_value(json_object_get(conf, "name"));
    ipam->routes = json_object_get(json, "routes");
    return ipam->data_dir && *ipam->data_dir == '/' && ipam->network &&
           (!ipam->routes || json_is_array(ipam->routes)) && read_sets(ipam, json);
}

/* ---- the files ---- */

/* Opens the network's folder, made if it is absent and `make`, with its lock held by *lock. */
static int open_locked(const struct dmm_hostlocal *ipam, bool make, int *lock, struct dmm_err *err)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", ipam->data_dir, ipam->network) >=
        sizeof(path))
        return dmm_err_set(err, ENAMETOOLONG, "dataDir: path too long");
    int rc = make ? dmm_dir_make(path, err) : 0;
    int dir = rc ? rc : dmm_dir_open(AT_FDCWD, path, err);
    if (dir < 0)
        return dir;
    *lock = openat(dir, "lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0750);
    while (*lock >= 0 && flock(*lock, LOCK_EX)) {
        if (errno != EINTR)
            dmm_close(lock);
    }
    if (*lock >= 0)
        return dir;
    rc = dmm_err_set(err, errno, "%s/lock: %s", path, strerror(errno));
    close(dir);
    return rc;
}

static int owner_text(char text[LEASE_MAX], const char *container_id, const char *ifname,
                      struct dmm_err *err)
{
    if (snprintf(text, LEASE_MAX, "%s\r\n%s", container_id, ifname) > OWNER_MAX)
        return dmm_err_set(err, ENAMETOOLONG, "container id: too long");
    return 0;
}

/* At most LEASE_MAX - 1 bytes; longer files are none of ours. */
static bool read_small(int dir, const char *name, char text[LEASE_MAX])
{
    int fd __attribute__((cleanup(dmm_close))) =
        openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, LEASE_MAX - 1);
    if (n < 0)
        return false;
    text[n] = '\0';
    return true;
}

static int write_small(int dir, const char *name, const char *text, struct dmm_err *err)
{
    size_t len = strlen(text);
    int fd __attribute__((cleanup(dmm_close))) =
        openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd >= 0 && write(fd, text, len) == (ssize_t)len)
        return 0;
    return dmm_err_set(err, errno, "write %s: %s", name, strerror(errno));
}

static void begin_after(int dir, const struct dmm_hostlocal_range *range, unsigned set,
                        struct dmm_addr *addr)
{
    char name[32];
    char text[LEASE_MAX];
    struct dmm_addr last;
    snprintf(name, sizeof(name), LAST "%u", set);
    *addr = range->end; /* the next one is the first */
    if (!read_small(dir, name, text))
        return;
    text[strcspn(text, " \r\n")] = '\0';
    if (!dmm_addr_parse(&last, text) && last.family == range->start.family &&
        compare(&last, &range->start) >= 0 && compare(&last, &range->end) <= 0)
        *addr = last;
}

static void next(const struct dmm_hostlocal_range *range, struct dmm_addr *addr)
{
    if (!compare(addr, &range->end))
        *addr = range->start;
    else
        step(addr, 1);
}

/* Gives the lease in NEW the first free address, as the last one in turn. -ENOSPC: none is free. */
static int reserve(int dir, const struct dmm_hostlocal_range *range, unsigned set,
                   struct dmm_addr *addr, struct dmm_err *err)
{
    char text[DMM_ADDR_STRLEN];
    char name[32];
    begin_after(dir, range, set, addr);
    next(range, addr);
    const struct dmm_addr first = *addr;
    do {
        dmm_addr_format_ip(addr, text);
        if (compare(addr, &range->gateway) != 0) {
            if (!linkat(dir, NEW, dir, text, 0)) {
                snprintf(name, sizeof(name), LAST "%u", set);
                return write_small(dir, name, text, err);
            }
            if (errno != EEXIST)
                return dmm_err_set(err, errno, "lease of %s: %s", text, strerror(errno));
        }
        next(range, addr);
    } while (compare(addr, &first) != 0);
    return dmm_err_set(err, ENOSPC, "no address is free in the range of %s",
                       dmm_addr_format_ip(&range->start, text));
}

static int release_all(int dir, const char *owner, struct dmm_err *err)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list) {
        dmm_close(&fd);
        return dmm_err_set(err, errno, "leases: %s", strerror(errno));
    }
    char text[LEASE_MAX];
    const struct dirent *entry;
    int rc = 0;
    while ((entry = readdir(list))) {
        /* host-local passes over blanks around it, and so do we at the end. */
        if (entry->d_type == DT_DIR || !read_small(dir, entry->d_name, text))
            continue;
        for (size_t n = strlen(text); n && strchr(" \t\r\n", text[n - 1]); n--)
            text[n - 1] = '\0';
        if (strcmp(text, owner) != 0)
            continue;
        if (unlinkat(dir, entry->d_name, 0) && errno != ENOENT)
            rc = dmm_err_set(err, errno, "lease of %s: %s", entry->d_name, strerror(errno));
    }
    closedir(list);
    return rc;
}

/* ---- ADD, DEL ---- */

static json_t *ip_json(const struct dmm_hostlocal_range *range, const struct dmm_addr *addr)
{
    char ip[DMM_ADDR_STRLEN];
    char gateway[DMM_ADDR_STRLEN];
    char cidr[DMM_ADDR_STRLEN + 4];
    snprintf(cidr, sizeof(cidr), "%s/%u", dmm_addr_format_ip(addr, ip), range->len);
    return json_pack("{s:s, s:s}", "address", cidr, "gateway",
                     dmm_addr_format_ip(&range->gateway, gateway));
}

static int reserve_sets(const struct dmm_hostlocal *ipam, int dir, json_t *ips, struct dmm_err *err)
{
    int rc = 0;
    for (unsigned i = 0; i < ipam->n_sets && !rc; i++) {
        struct dmm_addr addr;
        rc = reserve(dir, &ipam->sets[i], i, &addr, err);
        if (!rc && json_array_append_new(ips, ip_json(&ipam->sets[i], &addr)))
            rc = dmm_err_set(err, ENOMEM, "host-local: out of memory");
    }
    return rc;
}

int dmm_hostlocal_add(const struct dmm_hostlocal *ipam, const char *container_id,
                      const char *ifname, json_t **result, struct dmm_err *err)
{
    char owner[LEASE_MAX];
    int lock __attribute__((cleanup(dmm_close))) = -1;
    int rc = owner_text(owner, container_id, ifname, err);
    if (rc)
        return rc;
    int dir __attribute__((cleanup(dmm_close))) = open_locked(ipam, true, &lock, err);
    if (dir < 0)
        return dir;
    json_t *ips = json_array();
    /* What a killed process left may be a lease by its other name: it must not be written to. */
    if (unlinkat(dir, NEW, 0) && errno != ENOENT)
        rc = dmm_err_set(err, errno, "remove %s: %s", NEW, strerror(errno));
    if (!rc)
        rc = write_small(dir, NEW, owner, err);
    if (!rc)
        rc = reserve_sets(ipam, dir, ips, err);
    unlinkat(dir, NEW, 0);
    if (rc)
        release_all(dir, owner, NULL);
    *result = rc ? NULL : json_pack("{s:O, s:O?}", "ips", ips, "routes", ipam->routes);
    json_decref(ips);
    return rc;
}

int dmm_hostlocal_del(const struct dmm_hostlocal *ipam, const char *container_id,
                      const char *ifname, struct dmm_err *err)
{
    char owner[LEASE_MAX];
    int lock __attribute__((cleanup(dmm_close))) = -1;
    int rc = owner_text(owner, container_id, ifname, err);
    if (rc)
        return rc;
    int dir __attribute__((cleanup(dmm_close))) = open_locked(ipam, false, &lock, err);
    if (dir < 0)
        return dir == -ENOENT ? 0 : dir;
    unlinkat(dir, NEW, 0); /* the lock is ours: who wrote it was killed */
    return release_all(dir, owner, err);
}

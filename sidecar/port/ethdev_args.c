/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/ethdev_args.h"

#include "common/poddir.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The value of `key` among "name,key=value,...": its start and *len; NULL: not there. */
static const char *value_of(const char *devargs, const char *key, size_t *len)
{
    size_t key_len = strlen(key);
    for (const char *p = strchr(devargs, ','); p; p = strchr(p, ',')) {
        p++;
        if (strncmp(p, key, key_len) == 0 && p[key_len] == '=') {
            *len = strcspn(p + key_len + 1, ",");
            return p + key_len + 1;
        }
    }
    return NULL;
}

static bool says(const char *devargs, const char *key, const char *word)
{
    size_t len;
    const char *value = value_of(devargs, key, &len);
    return value && len == strlen(word) && !memcmp(value, word, len);
}

static bool is_on(const char *devargs, const char *key)
{
    return says(devargs, key, "1");
}

/* "net_vhost0" gives "net_vhost". */
static size_t driver_length(const char *devargs, size_t len)
{
    while (len && isdigit((unsigned char)devargs[len - 1]))
        len--;
    return len;
}

static bool driver_is(const char *devargs, size_t len, const char *driver)
{
    return len == strlen(driver) && memcmp(devargs, driver, len) == 0;
}

static int set_path(struct ethdev_args *args, const char *devargs, const char *key,
                    struct dmm_err *err)
{
    size_t len;
    const char *path = value_of(devargs, key, &len);
    if (!path || !len)
        return dmm_err_set(err, EINVAL, "devargs \"%s\": %s= is missing", devargs, key);
    if (len >= sizeof(args->path))
        return dmm_err_set(err, EINVAL, "devargs \"%s\": %s= is longer than %zu bytes", devargs,
                           key, sizeof(args->path) - 1);
    memcpy(args->path, path, len);
    return 0;
}

int ethdev_args_parse(struct ethdev_args *args, const char *devargs, unsigned number,
                      struct dmm_err *err)
{
    memset(args, 0, sizeof(*args));
    size_t name_len = strcspn(devargs, ",");
    if (!name_len || name_len >= sizeof(args->name) - 12)
        return dmm_err_set(err, EINVAL, "devargs \"%s\": no device name of 1 to %zu bytes", devargs,
                           sizeof(args->name) - 13);
    if (strncmp(devargs, "net_", 4) == 0) {
        size_t driver = driver_length(devargs, name_len);
        args->virtio_user = driver_is(devargs, driver, "net_virtio_user");
        args->vhost = driver_is(devargs, driver, "net_vhost");
        args->polled = driver_is(devargs, driver, "net_memif");
        snprintf(args->name, sizeof(args->name), "%.*s%u", (int)driver, devargs, number);
    } else {
        memcpy(args->name, devargs, name_len);
        args->pci = strchr(args->name, ':') != NULL;
    }
    int n = snprintf(args->args, sizeof(args->args), "%s%s", args->name, devargs + name_len);
    if (n < 0 || (size_t)n >= sizeof(args->args))
        return dmm_err_set(err, EINVAL, "devargs \"%s\": too long", devargs);
    args->kept = args->virtio_user;
    if (args->virtio_user) {
        args->listens = is_on(devargs, "server");
        args->packed = is_on(devargs, "packed_vq");
        int rc = set_path(args, devargs, "path", err);
        args->vhost_net = !strcmp(args->path, DMM_VHOST_NET_DEVICE);
        args->kept = !args->vhost_net;
        return rc;
    }
    if (args->vhost) {
        args->listens = !is_on(devargs, "client");
        return set_path(args, devargs, "iface", err);
    }
    if (args->polled) {
        args->listens = says(devargs, "role", "server");
        args->kept = !args->listens;
        return set_path(args, devargs, "socket", err);
    }
    return 0;
}

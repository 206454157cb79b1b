/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct dmm_link_ops *const kinds[] = {&dmm_link_veth,  &dmm_link_tap,
                                                   &dmm_link_afxdp, &dmm_link_vhostuser,
                                                   &dmm_link_memif, &dmm_link_sriov};

const struct dmm_link_ops *dmm_link_find(const char *kind)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (!strcmp(kinds[i]->kind, kind))
            return kinds[i];
    return NULL;
}

static int read_kind(struct dmm_link_conf *link, const json_t *object, struct dmm_err *err)
{
    const json_t *type = json_object_get(object, "type");
    if (!object) {
        link->ops = &dmm_link_veth;
        return 0;
    }
    if (!json_is_string(type))
        return dmm_err_set(err, EINVAL, "link.type: must name a kind of link");
    link->ops = dmm_link_find(json_string_value(type));
    if (!link->ops)
        return dmm_err_set(err, EINVAL, "link.type: \"%s\" is no kind of link",
                           json_string_value(type));
    return 0;
}

int dmm_link_conf_read(struct dmm_link_conf *link, const json_t *object, struct dmm_err *err)
{
    memset(link, 0, sizeof(*link));
    int rc = read_kind(link, object, err);
    if (rc)
        return rc;
    link->conf = calloc(1, link->ops->conf_size);
    if (!link->conf)
        return dmm_err_set(err, ENOMEM, "link: out of memory");
    link->ops->defaults(link->conf);
    rc = object ? dmm_keys_read(link->conf, link->ops->keys, object, "link", err) : 0;
    if (!rc)
        rc = link->ops->validate(link->conf, err);
    if (rc)
        dmm_link_conf_free(link);
    return rc;
}

void dmm_link_conf_free(struct dmm_link_conf *link)
{
    free(link->conf);
    memset(link, 0, sizeof(*link));
}

const char *dmm_link_plan_text(const json_t *plan, const char *key, struct dmm_err *err)
{
    const char *text = json_string_value(json_object_get(plan, key));
    if (!text)
        dmm_err_set(err, EINVAL, "record: link.%s: missing", key);
    return text;
}

/* FNV-1a, 64 bits, over strings with their NULs, then mixed so that all bits count. */
static uint64_t hash(const char *const *texts, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) {
        const unsigned char *p = (const unsigned char *)texts[i];
        do {
            h = (h ^ *p) * 0x100000001b3u;
        } while (*p++);
    }
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
    return h ^ (h >> 33);
}

void dmm_link_host_name(char name[IFNAMSIZ], const struct dmm_link_job *job)
{
    const char *const texts[] = {job->network, job->container_id, job->ifname};
    snprintf(name, IFNAMSIZ, "dmm%011llx", (unsigned long long)(hash(texts, 3) & 0xfffffffffffu));
}

void dmm_link_stable_mac(uint8_t mac[6], const char *network, const char *container_id,
                         const char *ifname, const char *salt)
{
    const char *const texts[] = {network, container_id, ifname, salt};
    uint64_t h = hash(texts, 4);
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)(h >> (8 * i));
    mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02);
}

const char *dmm_mac_format(const uint8_t mac[6], char text[DMM_MAC_STRLEN])
{
    snprintf(text, DMM_MAC_STRLEN, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    return text;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int dmm_mac_parse(uint8_t mac[6], const char *text)
{
    static const uint8_t zero[6];
    uint8_t parsed[6];
    if (strlen(text) != DMM_MAC_STRLEN - 1)
        return -EINVAL;
    for (size_t i = 0; i < 6; i++, text += 3) {
        int high = hex(text[0]);
        int low = hex(text[1]);
        if (high < 0 || low < 0 || (i < 5 && text[2] != ':'))
            return -EINVAL;
        parsed[i] = (uint8_t)(high << 4 | low);
    }
    if ((parsed[0] & 1) || !memcmp(parsed, zero, 6))
        return -EINVAL;
    memcpy(mac, parsed, 6);
    return 0;
}

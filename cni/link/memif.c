/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memif: two pods joined by shared memory, without a kernel or a switch in between (DPDK's
 * net_memif; VPP speaks it too). The end with role "server" has the socket by which the other one
 * finds it; either may start first, and either may be restarted.
 *
 * There is no kernel interface; all there is to make is the socket's directory.
 */
#include "cni/link/sockdir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum role { ROLE_SERVER, ROLE_CLIENT };
static const char *const roles[] = {"server", "client", NULL};

struct memif_conf {
    const char *socket;
    int role;
    int64_t id;
    int64_t mtu;
    struct dmm_socket_access access;
};

#define AT(field) offsetof(struct memif_conf, field)

static const struct dmm_key keys[] = {
    {"type", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"socket", DMM_KEY_TEXT, AT(socket), 0, DMM_SOCKET_MAX, NULL},
    {"role", DMM_KEY_WORD, AT(role), 0, 0, roles},
    {"id", DMM_KEY_NUMBER, AT(id), 0, UINT32_MAX, NULL},
    {"mtu", DMM_KEY_NUMBER, AT(mtu), 68, 9000, NULL},
    DMM_SOCKET_ACCESS_KEYS(AT(access)),
    {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
};

static void defaults(void *conf)
{
    *(struct memif_conf *)conf =
        (struct memif_conf){.role = -1, .mtu = 1500, .access = DMM_SOCKET_ACCESS_DEFAULTS};
}

static int validate(const void *conf, struct dmm_err *err)
{
    const struct memif_conf *memif = conf;
    if (!memif->socket)
        return dmm_err_set(err, EINVAL, "link.socket: missing");
    if (memif->role < 0)
        return dmm_err_set(err, EINVAL, "link.role: missing: \"server\" or \"client\"");
    int rc = dmm_sockdir_validate_access(&memif->access, memif->role == ROLE_SERVER, err);
    return rc ? rc : dmm_sockdir_validate(memif->socket, err);
}

static int plan(const struct dmm_link_job *job, json_t *into, struct dmm_err *err)
{
    const struct memif_conf *memif = job->conf;
    if (json_object_set_new(into, "role", json_string(roles[memif->role])))
        return dmm_err_set(err, ENOMEM, "link: out of memory");
    return dmm_sockdir_plan(job, memif->socket, into, err);
}

static bool serves(const json_t *plan_json)
{
    const char *role = json_string_value(json_object_get(plan_json, "role"));
    return role && !strcmp(role, roles[ROLE_SERVER]);
}

static int apply(const struct dmm_link_job *job, const json_t *plan_json,
                 struct dmm_link_made *made, struct dmm_err *err)
{
    const struct memif_conf *memif = job->conf;
    char mac[DMM_MAC_STRLEN];
    int rc = serves(plan_json) ? dmm_sockdir_make(job, plan_json, err) : 0;
    if (rc)
        return rc;
    snprintf(made->port.devargs, sizeof(made->port.devargs),
             "net_memif0,role=%s,id=%u,socket=%s,socket-abstract=no,bsize=2048,rsize=10,mac=%s",
             roles[memif->role], (unsigned)memif->id, memif->socket, dmm_mac_format(job->mac, mac));
    made->device_info = json_pack("{s:s, s:s, s:{s:s, s:s}}", "type", "memif", "version", "1.1.0",
                                  "memif", "role", roles[memif->role], "path", memif->socket);
    return dmm_sockdir_report(job, memif->socket, (unsigned)memif->mtu, &memif->access, made, err);
}

static int check(const struct dmm_link_job *job, const json_t *plan_json, struct dmm_err *err)
{
    (void)job;
    return serves(plan_json) ? dmm_sockdir_check(plan_json, err) : 0;
}

static int undo(const struct dmm_link_grave *grave, const json_t *plan_json, struct dmm_err *err)
{
    (void)grave;
    if (!dmm_link_plan_text(plan_json, "role", err))
        return -EINVAL;
    return serves(plan_json) ? dmm_sockdir_undo(plan_json, err) : 0;
}

/* The other pod's end need not be there. */
static int status(const void *conf, struct dmm_err *err)
{
    (void)conf;
    (void)err;
    return 0;
}

const struct dmm_link_ops dmm_link_memif = {
    .kind = "memif",
    .keys = keys,
    .conf_size = sizeof(struct memif_conf),
    .defaults = defaults,
    .validate = validate,
    .plan = plan,
    .apply = apply,
    .check = check,
    .undo = undo,
    .status = status,
};

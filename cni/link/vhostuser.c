/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhostuser: two pods joined by one vhost-user socket, with no kernel and no switch in between.
 *
 * The end with role "server" owns the socket: it is the virtio end (virtio_user, server=1), which
 * waits for its peer and takes it back. The end with role "client" is the vhost end (vhost,
 * client=1), which keeps trying until the socket is there, and again when it has gone. So either
 * pod may start first, and either may be restarted. (The other way round, virtio_user would fail
 * where it starts before its peer, and would not find a restarted one.)
 *
 * There is no kernel interface; all there is to make is the socket's directory, by the server's
 * end.
 */
#include "cni/link/ovs.h"
#include "cni/link/sockdir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum role { ROLE_SERVER, ROLE_CLIENT };
static const char *const roles[] = {"server", "client", NULL};

struct vhostuser_conf {
    const char *socket;
    int role;
    bool packed;
    int64_t mtu;
    const char *ovs; /* a bridge; NULL: a direct pair */
    int64_t vlan;
    struct dmm_socket_access access;
};

#define AT(field) offsetof(struct vhostuser_conf, field)

static const struct dmm_key keys[] = {
    {"type", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"socket", DMM_KEY_TEXT, AT(socket), 0, DMM_SOCKET_MAX, NULL},
    {"role", DMM_KEY_WORD, AT(role), 0, 0, roles},
    {"packed", DMM_KEY_BOOL, AT(packed), 0, 0, NULL},
    DMM_SOCKET_ACCESS_KEYS(AT(access)),
    {"ovs", DMM_KEY_TEXT, AT(ovs), 0, IFNAMSIZ - 1, NULL},
    {"vlan", DMM_KEY_NUMBER, AT(vlan), 1, 4094, NULL},
    {"mtu", DMM_KEY_NUMBER, AT(mtu), 68, 65535, NULL},
    {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
};

static void defaults(void *conf)
{
    *(struct vhostuser_conf *)conf = (struct vhostuser_conf){
        .role = -1, .packed = true, .mtu = 1500, .access = DMM_SOCKET_ACCESS_DEFAULTS};
}

static int validate(const void *conf, struct dmm_err *err)
{
    const struct vhostuser_conf *vhostuser = conf;
    int rc = vhostuser->socket ? dmm_sockdir_validate(vhostuser->socket, err) : 0;
    if (!rc)
        rc = dmm_sockdir_validate_access(&vhostuser->access, vhostuser->role != ROLE_CLIENT, err);
    if (rc)
        return rc;
    if (vhostuser->ovs && vhostuser->role == ROLE_CLIENT)
        return dmm_err_set(err, EINVAL, "link.role: with ovs, the pod is the server");
    if (vhostuser->ovs)
        return 0;
    if (vhostuser->vlan)
        return dmm_err_set(err, EINVAL, "link.vlan: needs ovs: a direct pair has none");
    if (!vhostuser->socket)
        return dmm_err_set(err, EINVAL, "link.socket: missing");
    if (vhostuser->role < 0)
        return dmm_err_set(err, EINVAL, "link.role: missing: \"server\" or \"client\"");
    return 0;
}

static int role_of(const struct vhostuser_conf *vhostuser)
{
    return vhostuser->ovs ? ROLE_SERVER : vhostuser->role;
}

static int plan(const struct dmm_link_job *job, json_t *into, struct dmm_err *err)
{
    const struct vhostuser_conf *vhostuser = job->conf;
    char port[IFNAMSIZ];
    int rc = vhostuser->ovs ? dmm_ovs_reach(err) : 0;
    if (rc)
        return rc;
    dmm_link_host_name(port, job);
    if (json_object_set_new(into, "role", json_string(roles[role_of(vhostuser)])))
        return dmm_err_set(err, ENOMEM, "link: out of memory");
    if (vhostuser->ovs && (json_object_set_new(into, "ovs", json_string(vhostuser->ovs)) ||
                           json_object_set_new(into, "port", json_string(port))))
        return dmm_err_set(err, EINVAL, "link.ovs: not UTF-8");
    return dmm_sockdir_plan(job, vhostuser->socket, into, err);
}

static void format_devargs(char *devargs, size_t size, const struct vhostuser_conf *vhostuser,
                           const char *socket, const uint8_t mac[6])
{
    char text[DMM_MAC_STRLEN];
    if (role_of(vhostuser) == ROLE_SERVER)
        snprintf(devargs, size,
                 "net_virtio_user0,path=%s,queues=1,queue_size=1024,mac=%s,mrg_rxbuf=1%s,server=1",
                 socket, dmm_mac_format(mac, text),
                 vhostuser->packed ? ",packed_vq=1,in_order=1" : "");
    else
        snprintf(devargs, size, "net_vhost0,iface=%s,queues=1,tso=1,client=1", socket);
}

static int report(const struct dmm_link_job *job, const char *socket, struct dmm_link_made *made,
                  struct dmm_err *err)
{
    const struct vhostuser_conf *vhostuser = job->conf;
    format_devargs(made->port.devargs, sizeof(made->port.devargs), vhostuser, socket, job->mac);
    made->device_info =
        json_pack("{s:s, s:s, s:{s:s, s:s}}", "type", "vhost-user", "version", "1.1.0",
                  "vhost-user", "mode", roles[role_of(vhostuser)], "path", socket);
    return dmm_sockdir_report(job, socket, (unsigned)vhostuser->mtu, &vhostuser->access, made, err);
}

static int apply(const struct dmm_link_job *job, const json_t *plan_json,
                 struct dmm_link_made *made, struct dmm_err *err)
{
    const struct vhostuser_conf *vhostuser = job->conf;
    const char *socket = dmm_link_plan_text(plan_json, "socket", err);
    if (!socket)
        return -EINVAL;
    int rc = role_of(vhostuser) == ROLE_SERVER ? dmm_sockdir_make(job, plan_json, err) : 0;
    if (!rc && vhostuser->ovs) {
        const struct dmm_ovs_port port = {
            .bridge = vhostuser->ovs,
            .name = dmm_link_plan_text(plan_json, "port", err),
            .socket = socket,
            .vlan = vhostuser->vlan,
            .mtu = vhostuser->mtu,
        };
        rc = port.name ? dmm_ovs_add(&port, job->hold, err) : -EINVAL;
    }
    return rc ? rc : report(job, socket, made, err);
}

static int check(const struct dmm_link_job *job, const json_t *plan_json, struct dmm_err *err)
{
    const char *role = dmm_link_plan_text(plan_json, "role", err);
    int rc = role && !strcmp(role, roles[ROLE_SERVER]) ? dmm_sockdir_check(plan_json, err) : 0;
    const char *bridge = json_string_value(json_object_get(plan_json, "ovs"));
    const char *port = bridge ? dmm_link_plan_text(plan_json, "port", err) : NULL;
    if (rc || !bridge)
        return rc;
    return port ? dmm_ovs_check(bridge, port, job->hold, err) : -EINVAL;
}

static int undo(const struct dmm_link_grave *grave, const json_t *plan_json, struct dmm_err *err)
{
    const char *bridge = json_string_value(json_object_get(plan_json, "ovs"));
    const char *port = bridge ? dmm_link_plan_text(plan_json, "port", err) : NULL;
    const char *role = dmm_link_plan_text(plan_json, "role", err);
    if (!role)
        return -EINVAL;
    if (strcmp(role, roles[ROLE_SERVER]) != 0)
        return 0;
    int rc = !bridge ? 0 : port ? dmm_ovs_del(port, grave->hold, err) : -EINVAL;
    if (rc && rc != -EAGAIN)
        return rc;
    int sockets = dmm_sockdir_undo(plan_json, rc ? NULL : err);
    return sockets && !rc ? sockets : rc;
}

/* The other pod's end need not be there; a switch has to be. */
static int status(const void *conf, struct dmm_err *err)
{
    const struct vhostuser_conf *vhostuser = conf;
    return vhostuser->ovs ? dmm_ovs_status(vhostuser->ovs, err) : 0;
}

const struct dmm_link_ops dmm_link_vhostuser = {
    .kind = "vhostuser",
    .keys = keys,
    .conf_size = sizeof(struct vhostuser_conf),
    .defaults = defaults,
    .validate = validate,
    .plan = plan,
    .apply = apply,
    .check = check,
    .undo = undo,
    .status = status,
};

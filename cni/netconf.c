/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/netconf.h"

#include "cni/env.h"
#include "cni/keys.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <string.h>

#define CHAINED_IFNAME "net1"
#define DEVICE_MAX     64

static const char *const mode_words[] = {"alone", "chained", NULL};
static const char *const on_failure_words[] = {"fail", "kernel", NULL};
static const char *const unannotated_words[] = {"attach", "skip", NULL};

/* What dmm_netconf_check() fills before it is looked at more closely. */
struct raw {
    const json_t *link;
    const json_t *kubernetes;
    const json_t *sidecar;
    const json_t *stacks;
    const json_t *mapping;
    const json_t *ipam;
    const json_t *dns;
    const json_t *args;
    const json_t *runtime;
    const json_t *prev_result;
    const char *device_id;
    const char *pci_bus_id;
    int on_failure;
    int unannotated;
    bool ip_masq;
};

#define AT(field) offsetof(struct raw, field)

static const struct dmm_key top_keys[] = {
    /* ours */
    {"link", DMM_KEY_OBJECT, AT(link), 0, 0, NULL},
    {"kubernetes", DMM_KEY_OBJECT, AT(kubernetes), 0, 0, NULL},
    {"sidecar", DMM_KEY_OBJECT, AT(sidecar), 0, 0, NULL},
    {"stacks", DMM_KEY_ARRAY, AT(stacks), 0, 0, NULL},
    {"mapping", DMM_KEY_OBJECT, AT(mapping), 0, 0, NULL},
    {"on_failure", DMM_KEY_WORD, AT(on_failure), 0, 0, on_failure_words},
    {"unannotated", DMM_KEY_WORD, AT(unannotated), 0, 0, unannotated_words},
    /* read by dmm_netconf_decode() */
    {"log", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"mode", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"ifname", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"podDir", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"stateDir", DMM_KEY_ANY, 0, 0, 0, NULL},
    /* the spec's */
    {"cniVersion", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"cniVersions", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"name", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"type", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"disableCheck", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"disableGC", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"loadOnlyInlinedPlugins", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"ipam", DMM_KEY_OBJECT, AT(ipam), 0, 0, NULL},
    {"dns", DMM_KEY_OBJECT, AT(dns), 0, 0, NULL},
    {"args", DMM_KEY_OBJECT, AT(args), 0, 0, NULL},
    {"runtimeConfig", DMM_KEY_OBJECT, AT(runtime), 0, 0, NULL},
    {"capabilities", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"ipMasq", DMM_KEY_BOOL, AT(ip_masq), 0, 0, NULL},
    /* put in by Multus, for a device plugin */
    {"deviceID", DMM_KEY_TEXT, AT(device_id), 0, DEVICE_MAX, NULL},
    {"pciBusID", DMM_KEY_TEXT, AT(pci_bus_id), 0, DEVICE_MAX, NULL},
    {"resourceName", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"prevResult", DMM_KEY_OBJECT, AT(prev_result), 0, 0, NULL},
    {"cni.dev/attachments", DMM_KEY_ANY, 0, 0, 0, NULL},
    {"cni.dev/valid-attachments", DMM_KEY_ANY, 0, 0, 0, NULL},
    {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
};

const char *dmm_on_failure_text(int on_failure)
{
    return on_failure_words[on_failure];
}

/* 2 where a field is not ours, 7 where its value is wrong. */
static int refuse(struct dmm_cni_error *error, int rc, const struct dmm_err *err)
{
    return dmm_cni_fail_from(error, rc == -ENOKEY ? DMM_CNI_E_FIELD : DMM_CNI_E_CONFIG, err);
}

static int decode_json(struct dmm_netconf *conf, struct dmm_cni_error *error)
{
    json_error_t at;
    if (!conf->len)
        return dmm_cni_fail(error, DMM_CNI_E_DECODE, "stdin: no network configuration");
    conf->json = json_loadb(conf->text, conf->len, JSON_REJECT_DUPLICATES, &at);
    if (!conf->json)
        return dmm_cni_fail(error, DMM_CNI_E_DECODE, "stdin: line %d column %d: %s", at.line,
                            at.column, at.text);
    if (!json_is_object(conf->json))
        return dmm_cni_fail(error, DMM_CNI_E_DECODE, "stdin: not an object");
    return 0;
}

static int decode_version(struct dmm_netconf *conf, struct dmm_cni_error *error)
{
    const char *text = json_string_value(json_object_get(conf->json, "cniVersion"));
    if (!text)
        return dmm_cni_fail(error, DMM_CNI_E_VERSION, "cniVersion: missing; %s to %s are spoken",
                            dmm_cni_version_text(0), dmm_cni_version_text(DMM_CNI_LATEST));
    if (!dmm_cni_version_parse(text, &conf->version))
        return dmm_cni_fail(error, DMM_CNI_E_VERSION,
                            "cniVersion: \"%s\" is not spoken, %s to %s are", text,
                            dmm_cni_version_text(0), dmm_cni_version_text(DMM_CNI_LATEST));
    return 0;
}

static int decode_name(struct dmm_netconf *conf, struct dmm_cni_error *error)
{
    const char *name = json_string_value(json_object_get(conf->json, "name"));
    if (!name)
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "name: missing");
    if (!dmm_cni_id_valid(name))
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "name: \"%s\" is not a network name", name);
    conf->name = name;
    return 0;
}

static int decode_dir(const char **dir, const json_t *json, const char *key, const char *otherwise,
                      struct dmm_cni_error *error)
{
    const json_t *value = json_object_get(json, key);
    *dir = value ? json_string_value(value) : otherwise;
    if (!*dir || **dir != '/' || strlen(*dir) >= PATH_MAX / 4)
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "%s: must be an absolute path", key);
    return 0;
}

/* DEL must know them too: they say what was made, and under which name. */
static int decode_mode(struct dmm_netconf *conf, struct dmm_cni_error *error)
{
    static const struct dmm_key keys[] = {
        {"mode", DMM_KEY_WORD, offsetof(struct dmm_netconf, mode), 0, 0, mode_words},
        {"ifname", DMM_KEY_TEXT, offsetof(struct dmm_netconf, ifname), 0, IFNAMSIZ - 1, NULL},
        {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
    };
    struct dmm_err err = {0};
    json_t *some = json_object();
    for (const struct dmm_key *key = keys; key->name; key++) {
        json_t *value = json_object_get(conf->json, key->name);
        if (value)
            json_object_set(some, key->name, value);
    }
    int rc = dmm_keys_read(conf, keys, some, "", &err);
    json_decref(some); /* the texts live on in conf->json */
    if (rc)
        return dmm_cni_fail_from(error, DMM_CNI_E_CONFIG, &err);
    if (conf->ifname && (conf->mode != DMM_MODE_CHAINED || !dmm_cni_ifname_valid(conf->ifname)))
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG,
                            "ifname: \"%s\": must be an interface name, with mode \"chained\"",
                            conf->ifname);
    if (conf->mode == DMM_MODE_CHAINED && !conf->ifname)
        conf->ifname = CHAINED_IFNAME;
    return 0;
}

/* First of all, so that the log is where it should be when the rest is read. */
static int decode_log(struct dmm_netconf *conf, struct dmm_cni_error *error)
{
    static const char *const levels[] = {"error", "warn", "info", "debug", NULL}; /* as in log.h */
    static const char *const formats[] = {"text", "json", NULL};
#define LOG(field) offsetof(struct dmm_cni_log_conf, field)
    static const struct dmm_key keys[] = {
        {"level", DMM_KEY_WORD, LOG(level), 0, 0, levels},
        {"format", DMM_KEY_WORD, LOG(json), 0, 0, formats},
        {"file", DMM_KEY_TEXT, LOG(file), 0, PATH_MAX / 4, NULL},
        {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
    };
    struct dmm_err err = {0};
    const json_t *object = json_object_get(conf->json, "log");
    conf->log = (struct dmm_cni_log_conf){.level = -1, .json = 1};
    if (!object)
        return 0;
    if (!json_is_object(object))
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "log: must be an object");
    int rc = dmm_keys_read(&conf->log, keys, object, "log", &err);
    if (rc)
        return refuse(error, rc, &err);
    if (conf->log.file && *conf->log.file != '/')
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "log.file: must be an absolute path");
    return 0;
}

int dmm_netconf_decode(struct dmm_netconf *conf, const char *text, size_t len,
                       struct dmm_cni_error *error)
{
    memset(conf, 0, sizeof(*conf));
    conf->version = DMM_CNI_LATEST;
    conf->text = text;
    conf->len = len;
    if (!decode_json(conf, error) && !decode_version(conf, error) && !decode_name(conf, error) &&
        !decode_dir(&conf->pod_root, conf->json, "podDir", DMM_PODDIR_ROOT, error) &&
        !decode_dir(&conf->state_root, conf->json, "stateDir", DMM_STATE_ROOT, error) &&
        !decode_mode(conf, error) && !decode_log(conf, error))
        return 0;
    json_decref(conf->json);
    conf->json = NULL;
    return -1;
}

static int check_kube(struct dmm_netconf *conf, const json_t *object, struct dmm_cni_error *error)
{
    static const char *const words[] = {"fail", "default", NULL};
#define KUBE(field) offsetof(struct dmm_kube_conf, field)
    static const struct dmm_key keys[] = {
        {"kubeconfig", DMM_KEY_TEXT, KUBE(kubeconfig), 0, PATH_MAX / 4, NULL},
        {"serviceAccount", DMM_KEY_TEXT, KUBE(service_account), 0, PATH_MAX / 4, NULL},
        {"server", DMM_KEY_TEXT, KUBE(server), 0, 1024, NULL},
        {"timeoutMs", DMM_KEY_NUMBER, KUBE(timeout_ms), 1, 60000, NULL},
        {"on_failure", DMM_KEY_WORD, KUBE(on_failure), 0, 0, words},
        {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
    };
    struct dmm_err err = {0};
    struct dmm_kube_conf *kube = &conf->kube;
    kube->timeout_ms = 3000;
    int rc = object ? dmm_keys_read(kube, keys, object, "kubernetes", &err) : 0;
    if (rc)
        return refuse(error, rc, &err);
    if (object && !kube->kubeconfig == !kube->service_account)
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG,
                            "kubernetes: one of kubeconfig and serviceAccount is wanted");
    if (!kube->service_account != !kube->server)
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG,
                            "kubernetes.server: goes with serviceAccount, which needs it");
    return 0;
}

static int check_sidecar(struct dmm_netconf *conf, const json_t *object,
                         struct dmm_cni_error *error)
{
    struct ids {
        int64_t uid, gid;
    } ids = {0, 0};
    static const struct dmm_key keys[] = {
        {"uid", DMM_KEY_NUMBER, offsetof(struct ids, uid), 0, UINT32_MAX - 1, NULL},
        {"gid", DMM_KEY_NUMBER, offsetof(struct ids, gid), 0, UINT32_MAX - 1, NULL},
        {NULL, DMM_KEY_ANY, 0, 0, 0, NULL},
    };
    struct dmm_err err = {0};
    int rc = object ? dmm_keys_read(&ids, keys, object, "sidecar", &err) : 0;
    conf->sidecar = (struct dmm_owner){(uid_t)ids.uid, (gid_t)ids.gid};
    return rc ? refuse(error, rc, &err) : 0;
}

static int check_ipam(struct dmm_netconf *conf, const json_t *ipam, struct dmm_cni_error *error)
{
    if (!ipam || !json_object_size(ipam))
        return 0;
    const char *type = json_string_value(json_object_get(ipam, "type"));
    if (!type || !*type || strchr(type, '/') || *type == '.')
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "ipam.type: must name an IPAM plugin");
    conf->ipam_type = type;
    return 0;
}

static int check_capabilities(struct dmm_netconf *conf, const struct raw *raw,
                              struct dmm_cni_error *error)
{
    const json_t *cni = json_object_get(raw->args, "cni");
    if (cni && !json_is_object(cni))
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "args.cni: must be an object");
    conf->args_cni = cni;
    const json_t *from_cri = json_object_get(raw->runtime, "io.kubernetes.cri.pod-annotations");
    if (json_is_null(from_cri)) /* containerd's word for a pod that has none */
        from_cri = NULL;
    if (from_cri && !json_is_object(from_cri))
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG,
                            "runtimeConfig[\"io.kubernetes.cri.pod-annotations\"]: must be an "
                            "object or null");
    conf->annotations = from_cri;
    conf->annotations_told = json_object_get(raw->runtime, "io.kubernetes.cri.pod-annotations");
    const json_t *mac = json_object_get(raw->runtime, "mac");
    if (mac && !json_is_string(mac))
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "runtimeConfig.mac: must be a string");
    conf->mac = json_string_value(mac);
    const json_t *cgroup = json_object_get(raw->runtime, "cgroupPath");
    conf->cgroup_path = json_string_value(cgroup);
    if (cgroup && (!conf->cgroup_path || *conf->cgroup_path != '/'))
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG,
                            "runtimeConfig.cgroupPath: must be an absolute path");
    const json_t *info = json_object_get(raw->runtime, "CNIDeviceInfoFile");
    conf->device_info = json_string_value(info);
    if (info && (!conf->device_info || *conf->device_info != '/'))
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG,
                            "runtimeConfig.CNIDeviceInfoFile: must be an absolute path");
    return 0;
}

/* The runtime's word, then Multus' two names for it, which must not differ. */
static int check_device(struct dmm_netconf *conf, const struct raw *raw,
                        struct dmm_cni_error *error)
{
    const json_t *given = json_object_get(raw->runtime, "deviceID");
    if (given && !json_is_string(given))
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "runtimeConfig.deviceID: must be a string");
    const char *in_conf = raw->device_id ? raw->device_id : raw->pci_bus_id;
    if (raw->pci_bus_id && strcmp(in_conf, raw->pci_bus_id) != 0)
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "pciBusID: \"%s\" is not deviceID's \"%s\"",
                            raw->pci_bus_id, in_conf);
    conf->device_id = given && *json_string_value(given) ? json_string_value(given) : in_conf;
    if (conf->device_id && !conf->link.ops->takes_device)
        return dmm_cni_fail(error, DMM_CNI_E_CONFIG, "deviceID: link.type \"%s\" takes no device",
                            conf->link.ops->kind);
    return 0;
}

int dmm_netconf_check(struct dmm_netconf *conf, struct dmm_cni_error *error)
{
    struct raw raw = {.on_failure = DMM_ON_FAILURE_FAIL};
    struct dmm_err err = {0};
    int rc = dmm_keys_read(&raw, top_keys, conf->json, "", &err);
    if (rc)
        return refuse(error, rc, &err);
    if (raw.ip_masq)
        return dmm_cni_fail(error, DMM_CNI_E_FIELD,
                            "ipMasq: true is not supported (its value: true)");
    conf->mapping = raw.mapping;
    conf->on_failure = raw.on_failure;
    conf->unannotated = raw.unannotated;
    if (conf->unannotated == DMM_UNANNOTATED_SKIP && conf->mode != DMM_MODE_CHAINED)
        return dmm_cni_fail(
            error, DMM_CNI_E_CONFIG,
            "unannotated: \"skip\" needs mode \"chained\": else the pod would have no "
            "interface");
    conf->dns = raw.dns;
    conf->prev_result = raw.prev_result;
    if (check_sidecar(conf, raw.sidecar, error) || check_ipam(conf, raw.ipam, error) ||
        check_kube(conf, raw.kubernetes, error) || check_capabilities(conf, &raw, error))
        return -1;
    rc = dmm_link_conf_read(&conf->link, raw.link, &err);
    if (rc)
        return refuse(error, rc, &err);
    if (check_device(conf, &raw, error))
        return -1;
    if (raw.stacks && dmm_stacks_config_from_json(&conf->stacks, raw.stacks, "stacks", &err))
        return dmm_cni_fail_from(error, DMM_CNI_E_CONFIG, &err);
    return 0;
}

void dmm_netconf_free(struct dmm_netconf *conf)
{
    dmm_link_conf_free(&conf->link);
    dmm_stacks_config_free(&conf->stacks);
    json_decref(conf->json);
    memset(conf, 0, sizeof(*conf));
}

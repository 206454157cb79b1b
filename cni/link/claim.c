/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/claim.h"

#include "cni/file.h"
#include "cni/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER    ".devices"
#define CLAIM_MAX 16384UL

char *dmm_claim_owner(const struct dmm_link_job *job)
{
    char *owner = NULL;
    if (asprintf(&owner, "%s/%s/%s", job->network, job->container_id, job->ifname) < 0)
        return NULL;
    return owner;
}

static int open_folder(const char *state_root, bool make, struct dmm_err *err)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/" FOLDER, state_root) >= sizeof(path))
        return dmm_err_set(err, ENAMETOOLONG, "stateDir: path too long");
    int rc = make ? dmm_dir_make(path, err) : 0;
    return rc ? rc : dmm_dir_open(AT_FDCWD, path, err);
}

static void file_name(char name[NAME_MAX + 1], const char *device)
{
    snprintf(name, NAME_MAX + 1, "%.200s.json", device);
}

static bool alive(const char *path, json_int_t dev, json_int_t ino)
{
    struct dmm_netns_id id;
    int fd __attribute__((cleanup(dmm_close))) = dmm_netns_open(path, &id, NULL);
    return fd >= 0 && id.dev == (uint64_t)dev && id.ino == (uint64_t)ino;
}

static enum dmm_claim_state judge(json_t *json, const char *owner, json_t **plan)
{
    const char *who, *netns, *boot;
    char now[DMM_BOOT_ID_LEN];
    json_int_t dev, ino;
    json_t *kept;
    if (json_unpack(json, "{s:s, s:s, s:I, s:I, s:s, s:o}", "owner", &who, "netns", &netns,
                    "netnsDev", &dev, "netnsIno", &ino, "bootId", &boot, "plan", &kept))
        return DMM_CLAIM_NONE;
    bool ours = owner && !strcmp(owner, who);
    if (!ours && (dmm_boot_id(now, NULL) || strcmp(now, boot) != 0))
        return DMM_CLAIM_NONE;
    if (plan)
        *plan = json_incref(kept);
    if (ours)
        return DMM_CLAIM_OURS;
    return alive(netns, dev, ino) ? DMM_CLAIM_LIVE : DMM_CLAIM_STALE;
}

int dmm_claim_look(const char *state_root, const char *device, const char *owner,
                   enum dmm_claim_state *state, json_t **plan, struct dmm_err *err)
{
    char name[NAME_MAX + 1];
    char *text = NULL;
    size_t len = 0;
    *state = DMM_CLAIM_NONE;
    if (plan)
        *plan = NULL;
    file_name(name, device);
    int dir __attribute__((cleanup(dmm_close))) = open_folder(state_root, false, err);
    if (dir < 0)
        return dir == -ENOENT ? 0 : dir;
    int rc = dmm_file_read(dir, name, CLAIM_MAX, &text, &len, err);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    json_t *json = json_loadb(text, len, 0, NULL);
    free(text);
    if (json)
        *state = judge(json, owner, plan);
    json_decref(json);
    return 0;
}

int dmm_claim_write(const struct dmm_link_job *job, const char *device, const char *owner,
                    const json_t *plan, struct dmm_err *err)
{
    char name[NAME_MAX + 1];
    char boot[DMM_BOOT_ID_LEN];
    struct dmm_netns_id id;
    int rc = dmm_boot_id(boot, err);
    if (rc)
        return rc;
    int netns __attribute__((cleanup(dmm_close))) = dmm_netns_open(job->netns, &id, err);
    if (netns < 0)
        return netns;
    int dir __attribute__((cleanup(dmm_close))) = open_folder(job->lock_dir, true, err);
    if (dir < 0)
        return dir;
    json_t *json =
        json_pack("{s:s, s:s, s:I, s:I, s:s, s:O}", "owner", owner, "netns", job->netns, "netnsDev",
                  (json_int_t)id.dev, "netnsIno", (json_int_t)id.ino, "bootId", boot, "plan", plan);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    file_name(name, device);
    rc = text ? dmm_file_write(dir, name, 0600, text, strlen(text), NULL, err)
              : dmm_err_set(err, ENOMEM, "claim: out of memory");
    free(text);
    return rc;
}

int dmm_claim_remove(const char *state_root, const char *device, struct dmm_err *err)
{
    char name[NAME_MAX + 1];
    file_name(name, device);
    int dir __attribute__((cleanup(dmm_close))) = open_folder(state_root, false, err);
    if (dir < 0)
        return dir == -ENOENT ? 0 : dir;
    return dmm_file_remove(dir, name, err);
}

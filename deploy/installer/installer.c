/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/installer/installer.h"

#include "cni/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLUGIN_NAME "dmm"
#define HELPER_NAME "dmm-kube" /* which the plugin runs */
#define CONF_NAME   INSTALLER_PREFIX ".conflist"
#define PLUGIN_MAX  ((size_t)64 << 20)
#define CONF_MAX    ((size_t)1 << 20)
#define PROFILE_DIR "dmm"

struct text {
    char *data;
    size_t len;
};

/* A path of ours: links in it are followed, for a ConfigMap's volume consists of them. */
static int read_path(const char *path, size_t max, struct text *text, struct dmm_err *err)
{
    char *real = realpath(path, NULL);
    if (!real)
        return dmm_err_set(err, errno, "read %s: %s", path, strerror(errno));
    int rc = dmm_file_read(AT_FDCWD, real, max, &text->data, &text->len, err);
    free(real);
    return rc;
}

static int open_dir(const char *path, struct dmm_err *err)
{
    return dmm_dir_open(AT_FDCWD, path, err);
}

/* ---- which configuration ---- */

static bool is_configuration(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && name[0] != '.' &&
           strncmp(name, INSTALLER_PREFIX, strlen(INSTALLER_PREFIX)) != 0 &&
           (!strcmp(dot, ".conflist") || !strcmp(dot, ".conf") || !strcmp(dot, ".json"));
}

/* The first configuration that is not ours, as the runtime would take it without us. */
static int find_primary(int dir, char name[NAME_MAX + 1], struct dmm_err *err)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    if (!list) {
        dmm_close(&fd);
        return dmm_err_set(err, errno, "list the configurations: %s", strerror(errno));
    }
    name[0] = '\0';
    const struct dirent *entry;
    while ((entry = readdir(list)))
        if (is_configuration(entry->d_name) && (!name[0] || strcmp(entry->d_name, name) < 0))
            snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
    closedir(list);
    return name[0] ? 0 : dmm_err_set(err, ENOENT, "there is no configuration to be chained to yet");
}

static char *chain(int dir, const struct text *conf, struct dmm_err *err)
{
    char name[NAME_MAX + 1];
    struct text primary = {0};
    int rc = find_primary(dir, name, err);
    if (!rc)
        rc = dmm_file_read(dir, name, CONF_MAX, &primary.data, &primary.len, err);
    if (rc)
        return NULL;
    char *chained = installer_conflist_chain(primary.data, primary.len, conf->data, conf->len, err);
    free(primary.data);
    if (!chained)
        dmm_err_prefix(err, "%s", name);
    return chained;
}

/* The configuration with this node's own part over it. */
static int read_conf(const struct installer *installer, struct text *conf, struct dmm_err *err)
{
    struct text nodes = {0};
    int rc = read_path(installer->conf, CONF_MAX, conf, err);
    if (rc || !installer->node || access(installer->nodes, F_OK))
        return rc;
    rc = read_path(installer->nodes, CONF_MAX, &nodes, err);
    char *own = rc ? NULL
                   : installer_conflist_for_node(conf->data, conf->len, nodes.data, nodes.len,
                                                 installer->node, err);
    free(nodes.data);
    free(conf->data);
    *conf = (struct text){own, own ? strlen(own) : 0};
    return own ? 0 : -err->code;
}

/* What our configuration is to be. */
static int compose(const struct installer *installer, int dir, struct text *into,
                   struct dmm_err *err)
{
    struct text conf = {0};
    int rc = read_conf(installer, &conf, err);
    if (rc)
        return rc;
    into->data = installer->chained
                     ? chain(dir, &conf, err)
                     : installer_conflist_alone(conf.data, conf.len, installer->network,
                                                installer->conf, err);
    free(conf.data);
    if (!into->data)
        return -err->code;
    into->len = strlen(into->data);
    return 0;
}

/* ---- files ---- */

static bool same(int dir, const char *name, mode_t mode, const struct text *want)
{
    struct text have = {0};
    struct stat status;
    if (fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) || (status.st_mode & 07777) != mode ||
        dmm_file_read(dir, name, want->len, &have.data, &have.len, NULL))
        return false;
    bool equal = have.data && want->data && have.len == want->len &&
                 !memcmp(have.data, want->data, have.len);
    free(have.data);
    return equal;
}

/* `changed` NULL: only look. */
static int put(int dir, const char *where, const char *name, mode_t mode, const struct text *want,
               unsigned *changed, struct dmm_err *err)
{
    if (same(dir, name, mode, want))
        return 0;
    if (!changed)
        return dmm_err_set(err, ESTALE, "%s/%s: missing, or not what it should be", where, name);
    int rc = dmm_file_write(dir, name, mode, want->data, want->len, NULL, err);
    if (rc)
        return dmm_err_prefix(err, "%s", where);
    (*changed)++;
    return 0;
}

static int put_program(const struct installer *installer, const char *from, const char *name,
                       unsigned *changed, struct dmm_err *err)
{
    struct text text = {0};
    int dir __attribute__((cleanup(dmm_close))) = open_dir(installer->bin_dir, err);
    int rc = dir < 0 ? dir : read_path(from, PLUGIN_MAX, &text, err);
    if (!rc)
        rc = put(dir, installer->bin_dir, name, 0755, &text, changed, err);
    free(text.data);
    return rc;
}

/* The plugin's helper first, where it lies beside the plugin. */
static int put_plugin(const struct installer *installer, unsigned *changed, struct dmm_err *err)
{
    char helper[PATH_MAX];
    const char *slash = strrchr(installer->plugin, '/');
    int folder = slash ? (int)(slash + 1 - installer->plugin) : 0;
    int n = snprintf(helper, sizeof(helper), "%.*s" HELPER_NAME, folder, installer->plugin);
    int rc = 0;
    if ((size_t)n < sizeof(helper) && access(helper, F_OK) == 0)
        rc = put_program(installer, helper, HELPER_NAME, changed, err);
    return rc ? rc : put_program(installer, installer->plugin, PLUGIN_NAME, changed, err);
}

static int put_conf(const struct installer *installer, unsigned *changed, struct dmm_err *err)
{
    struct text text = {0};
    int dir __attribute__((cleanup(dmm_close))) = open_dir(installer->conf_dir, err);
    int rc = dir < 0 ? dir : compose(installer, dir, &text, err);
    if (!rc)
        rc = put(dir, installer->conf_dir, CONF_NAME, 0644, &text, changed, err);
    free(text.data);
    return rc;
}

static int put_profile(const struct installer *installer, const char *name, const char *where,
                       unsigned *changed, struct dmm_err *err)
{
    char path[PATH_MAX];
    struct text text = {0};
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", installer->profiles, name) >= sizeof(path))
        return dmm_err_set(err, ENAMETOOLONG, "%s/%s", installer->profiles, name);
    int dir __attribute__((cleanup(dmm_close))) = open_dir(where, err);
    int rc = dir < 0 ? dir : read_path(path, CONF_MAX, &text, err);
    if (!rc)
        rc = put(dir, where, name, 0644, &text, changed, err);
    free(text.data);
    return rc;
}

/* Before the configuration: pods that it makes may name one. */
static int put_profiles(const struct installer *installer, unsigned *changed, struct dmm_err *err)
{
    char where[PATH_MAX];
    DIR *list = installer->profiles ? opendir(installer->profiles) : NULL;
    if (!list)
        return 0;
    int n = snprintf(where, sizeof(where), "%s/" PROFILE_DIR, installer->seccomp_dir);
    int rc = (size_t)n >= sizeof(where) ? dmm_err_set(err, ENAMETOOLONG, "--seccomp-dir: too long")
             : changed                  ? dmm_dir_make(where, err)
                                        : 0;
    const struct dirent *entry;
    while (!rc && (entry = readdir(list))) {
        const char *dot = strrchr(entry->d_name, '.');
        if (entry->d_name[0] != '.' && dot && !strcmp(dot, ".json"))
            rc = put_profile(installer, entry->d_name, where, changed, err);
    }
    closedir(list);
    return rc;
}

static int go(const struct installer *installer, unsigned *changed, struct dmm_err *err)
{
    int rc = put_plugin(installer, changed, err);
    if (!rc)
        rc = put_profiles(installer, changed, err);
    return rc || !installer->conf_dir ? rc : put_conf(installer, changed, err);
}

int installer_apply(const struct installer *installer, unsigned *changed, struct dmm_err *err)
{
    *changed = 0;
    return go(installer, changed, err);
}

int installer_check(const struct installer *installer, struct dmm_err *err)
{
    return go(installer, NULL, err);
}

int installer_check_removed(const struct installer *installer, struct dmm_err *err)
{
    struct stat status;
    int dir __attribute__((cleanup(dmm_close))) = open_dir(installer->conf_dir, err);
    if (dir < 0)
        return dir;
    return fstatat(dir, CONF_NAME, &status, AT_SYMLINK_NOFOLLOW)
               ? 0
               : dmm_err_set(err, EEXIST, "%s/" CONF_NAME ": is still there", installer->conf_dir);
}

int installer_remove(const struct installer *installer, struct dmm_err *err)
{
    if (!installer->conf_dir)
        return 0;
    int dir __attribute__((cleanup(dmm_close))) = open_dir(installer->conf_dir, err);
    return dir < 0 ? dir : dmm_file_remove(dir, CONF_NAME, err);
}

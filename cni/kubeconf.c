/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/kubeconf.h"

#include "cni/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT ((size_t)1 << 20)

void dmm_kube_access_free(struct dmm_kube_access *access)
{
    struct dmm_blob *const blobs[] = {&access->ca, &access->cert, &access->key};
    if (access->key.data)
        explicit_bzero(access->key.data, access->key.len);
    for (size_t i = 0; i < sizeof(blobs) / sizeof(blobs[0]); i++)
        free(blobs[i]->data);
    free(access->server);
    free(access->token);
    memset(access, 0, sizeof(*access));
}

static int sextet(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

int dmm_base64_decode(struct dmm_blob *blob, const char *text)
{
    size_t len = strlen(text);
    if (!len || len % 4)
        return -EINVAL;
    size_t padding = (text[len - 1] == '=') + (text[len - 1] == '=' && text[len - 2] == '=');
    unsigned char *out = malloc(len / 4 * 3 + 1);
    size_t used = 0;
    uint32_t bits = 0;
    if (!out)
        return -ENOMEM;
    for (size_t i = 0; i < len; i++) {
        int value = i >= len - padding ? 0 : sextet(text[i]);
        if (value < 0) {
            free(out);
            return -EINVAL;
        }
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 3) {
            out[used++] = (unsigned char)(bits >> 16);
            out[used++] = (unsigned char)(bits >> 8);
            out[used++] = (unsigned char)bits;
        }
    }
    used -= padding;
    out[used] = '\0';
    *blob = (struct dmm_blob){(char *)out, used};
    return 0;
}

/* A path in a kubeconfig is relative to the file's own folder. Its links are the operator's. */
static int read_path(struct dmm_blob *blob, const char *base, const char *path, struct dmm_err *err)
{
    char full[PATH_MAX];
    char real[PATH_MAX];
    const char *slash = strrchr(base, '/');
    int n = *path == '/' || !slash
                ? snprintf(full, sizeof(full), "%s", path)
                : snprintf(full, sizeof(full), "%.*s/%s", (int)(slash - base), base, path);
    if (n < 0 || (size_t)n >= sizeof(full)) {
        dmm_err_set(err, ENAMETOOLONG, "%.64s...: path too long", path);
        return -ENAMETOOLONG;
    }
    if (!realpath(full, real)) {
        dmm_err_set(err, errno, "%s: %s", path, strerror(errno));
        return -ENOENT;
    }
    return dmm_file_read(AT_FDCWD, real, FILE_LIMIT, &blob->data, &blob->len, err);
}

static const char *member(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* "KEY-data" in base64, or "KEY" as a path; neither leaves the blob empty. */
static int read_blob(struct dmm_blob *blob, const json_t *object, const char *key,
                     const char *source, struct dmm_err *err)
{
    char data_key[64];
    snprintf(data_key, sizeof(data_key), "%s-data", key);
    const char *data = member(object, data_key);
    const char *path = member(object, key);
    if (data && dmm_base64_decode(blob, data))
        return dmm_err_set(err, EINVAL, "%s: %s: not base64", source, data_key);
    if (!data && path && read_path(blob, source, path, err))
        return dmm_err_prefix(err, "%s: %s", source, key);
    return 0;
}

/* The entry of `list` that has this name, and in it the object `key`. */
static const json_t *named(const json_t *root, const char *list, const char *name, const char *key,
                           const char *source, struct dmm_err *err)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(json_object_get(root, list), i, entry)
    {
        const char *has = member(entry, "name");
        if (has && name && !strcmp(has, name))
            return json_object_get(entry, key);
    }
    dmm_err_set(err, EINVAL, "%s: %s: has none named \"%s\"", source, list, name ? name : "");
    return NULL;
}

static int read_token(char **token, const json_t *user, const char *source, struct dmm_err *err)
{
    const char *text = member(user, "token");
    const char *path = member(user, "tokenFile");
    struct dmm_blob blob = {0};
    if (text) {
        *token = strdup(text);
    } else if (path) {
        int rc = read_path(&blob, source, path, err);
        if (rc)
            return dmm_err_prefix(err, "%s: tokenFile", source);
        blob.data[strcspn(blob.data, "\r\n")] = '\0';
        *token = blob.data;
    }
    return 0;
}

static int read_user(struct dmm_kube_access *access, const json_t *user, const char *source,
                     struct dmm_err *err)
{
    if (json_object_get(user, "exec") || json_object_get(user, "auth-provider"))
        return dmm_err_set(err, EINVAL, "%s: user: exec and auth-provider are not supported",
                           source);
    int rc = read_token(&access->token, user, source, err);
    if (!rc)
        rc = read_blob(&access->cert, user, "client-certificate", source, err);
    return rc ? rc : read_blob(&access->key, user, "client-key", source, err);
}

static int read_cluster(struct dmm_kube_access *access, const json_t *cluster, const char *source,
                        struct dmm_err *err)
{
    const char *server = member(cluster, "server");
    const char *insecure = member(cluster, "insecure-skip-tls-verify");
    if (insecure && strcmp(insecure, "false") != 0)
        return dmm_err_set(err, EINVAL,
                           "%s: insecure-skip-tls-verify: a server that is not "
                           "checked is not asked",
                           source);
    access->server = server ? strdup(server) : NULL;
    return read_blob(&access->ca, cluster, "certificate-authority", source, err);
}

static int check_access(const struct dmm_kube_access *access, const char *source,
                        struct dmm_err *err)
{
    if (!access->server || strncmp(access->server, "https://", 8) != 0)
        return dmm_err_set(err, EINVAL, "%s: server: must be an https URL", source);
    if (!access->ca.len)
        return dmm_err_set(err, EINVAL, "%s: certificate-authority: missing", source);
    if (!access->token && !(access->cert.len && access->key.len))
        return dmm_err_set(err, EINVAL,
                           "%s: user: has neither a token nor a client certificate with its key",
                           source);
    return 0;
}

static int read_contexts(struct dmm_kube_access *access, const json_t *root, const char *source,
                         struct dmm_err *err)
{
    const json_t *context =
        named(root, "contexts", member(root, "current-context"), "context", source, err);
    const json_t *cluster =
        context ? named(root, "clusters", member(context, "cluster"), "cluster", source, err)
                : NULL;
    const json_t *user =
        cluster ? named(root, "users", member(context, "user"), "user", source, err) : NULL;
    if (!user)
        return -EINVAL;
    int rc = read_cluster(access, cluster, source, err);
    if (!rc)
        rc = read_user(access, user, source, err);
    return rc ? rc : check_access(access, source, err);
}

int dmm_kube_from_kubeconfig(struct dmm_kube_access *access, const char *path, struct dmm_err *err)
{
    struct dmm_blob text = {0};
    memset(access, 0, sizeof(*access));
    int rc = read_path(&text, path, path, err);
    if (rc)
        return dmm_err_prefix(err, "kubeconfig");
    json_t *root = dmm_yaml_parse(text.data, text.len, path, err);
    free(text.data);
    rc = root ? read_contexts(access, root, path, err) : -EINVAL;
    json_decref(root);
    if (rc)
        dmm_kube_access_free(access);
    return rc;
}

int dmm_kube_from_service_account(struct dmm_kube_access *access, const char *dir,
                                  const char *server, struct dmm_err *err)
{
    char base[PATH_MAX];
    struct dmm_blob token = {0};
    memset(access, 0, sizeof(*access));
    snprintf(base, sizeof(base), "%s/token", dir);
    access->server = strdup(server);
    int rc = read_path(&token, base, "token", err);
    if (!rc) {
        token.data[strcspn(token.data, "\r\n")] = '\0';
        access->token = token.data;
        rc = read_path(&access->ca, base, "ca.crt", err);
    }
    if (!rc)
        rc = check_access(access, dir, err);
    if (rc)
        dmm_kube_access_free(access);
    return rc;
}

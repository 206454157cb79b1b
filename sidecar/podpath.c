/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/podpath.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

int dmm_podpath_id(char id[NAME_MAX + 1], const char *text, struct dmm_err *err)
{
    json_t *json = json_loads(text, 0, NULL);
    const char *uid = json_string_value(json_object_get(json, "podUid"));
    if (!uid || !*uid)
        uid = json_string_value(json_object_get(json, "containerId"));
    int rc = 0;
    if (!uid || !*uid || strlen(uid) > NAME_MAX || strchr(uid, '/'))
        rc = dmm_err_set(err, EINVAL, "pod.json: neither podUid nor containerId is a name");
    else
        snprintf(id, NAME_MAX + 1, "%s", uid);
    json_decref(json);
    return rc;
}

int dmm_podpath_localize(struct dmm_port_config *port, const char *id, const char *dir,
                         struct dmm_err *err)
{
    char marker[NAME_MAX + sizeof("/pods//")];
    char local[sizeof(port->devargs)];
    size_t n = 0;
    const char *rest = port->devargs;
    snprintf(marker, sizeof(marker), "/pods/%s/", id);
    for (const char *found; (found = strstr(rest, marker)); rest = found + strlen(marker) - 1) {
        const char *start = found;
        while (start > rest && start[-1] != '=' && start[-1] != ',')
            start--;
        int len = *start == '/' ? snprintf(local + n, sizeof(local) - n, "%.*s%s",
                                           (int)(start - rest), rest, dir)
                                : snprintf(local + n, sizeof(local) - n, "%.*s",
                                           (int)(found + strlen(marker) - 1 - rest), rest);
        if (len < 0 || (size_t)len >= sizeof(local) - n)
            return dmm_err_set(err, ENAMETOOLONG, "devargs: no room for %s", dir);
        n += (size_t)len;
    }
    int len = snprintf(local + n, sizeof(local) - n, "%s", rest);
    if (len < 0 || (size_t)len >= sizeof(local) - n)
        return dmm_err_set(err, ENAMETOOLONG, "devargs: no room for %s", dir);
    memcpy(port->devargs, local, sizeof(local));
    return 0;
}

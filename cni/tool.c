/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/tool.h"

#include "cni/attach.h"
#include "cni/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* `boot_id`: NULL, or only what other boots left. */
static int gc_network(const char *state_root, const char *network, const char *boot_id)
{
    unsigned reaped = 0;
    struct dmm_cni_error failed = {0};
    const struct dmm_netconf conf = {.name = network, .state_root = state_root};
    int rc = boot_id ? dmm_gc_reap_boots(&conf, boot_id, &reaped, &failed)
                     : dmm_gc_reap_dead(&conf, &reaped, &failed);
    printf("%s: %u taken back\n", network, reaped);
    if (rc)
        fprintf(stderr, "%s: %s\n", network, failed.what.text);
    return rc ? 1 : 0;
}

static int gc_all(const char *state_root, const char *boot_id)
{
    struct dmm_err err = {0};
    int status = 0;
    int fd = dmm_dir_open(AT_FDCWD, state_root, &err);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        fprintf(stderr, "%s\n", fd < 0 ? err.text : strerror(errno));
        dmm_close(&fd);
        return 1;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)))
        if (entry->d_type == DT_DIR && dmm_cni_id_valid(entry->d_name))
            status |= gc_network(state_root, entry->d_name, boot_id);
    closedir(dir);
    return status;
}

static int usage(const char *what)
{
    fprintf(stderr,
            "dmm: %s\n"
            "usage: dmm gc [--boot] [--state-dir DIR] [--network NAME]\n"
            "Without arguments it is a CNI plugin and wants CNI_COMMAND.\n",
            what);
    return 2;
}

int dmm_tool(int argc, char **argv)
{
    const char *state_root = DMM_STATE_ROOT;
    const char *network = NULL;
    if (strcmp(argv[1], "gc") != 0)
        return usage("unknown verb");
    bool boot = false;
    char boot_id[DMM_BOOT_ID_LEN];
    struct dmm_err err = {0};
    for (int i = 2; i < argc; i += 2) {
        if (!strcmp(argv[i], "--boot")) {
            boot = true;
            i--;
            continue;
        }
        const char **into = !strcmp(argv[i], "--state-dir") ? &state_root
                            : !strcmp(argv[i], "--network") ? &network
                                                            : NULL;
        if (!into)
            return usage("unknown argument");
        if (i + 1 == argc)
            return usage("an argument lacks its value");
        *into = argv[i + 1];
    }
    if (network && !dmm_cni_id_valid(network))
        return usage("--network: not a network name");
    if (boot && dmm_boot_id(boot_id, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const char *only = boot ? boot_id : NULL;
    return network ? gc_network(state_root, network, only) : gc_all(state_root, only);
}

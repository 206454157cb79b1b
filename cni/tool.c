/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/tool.h"

#include "cni/attach.h"
#include "cni/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int gc_network(const char *state_root, const char *network)
{
    unsigned reaped = 0;
    struct dmm_cni_error failed = {0};
    const struct dmm_netconf conf = {.name = network, .state_root = state_root};
    int rc = dmm_gc_reap_dead(&conf, &reaped, &failed);
    printf("%s: %u taken back\n", network, reaped);
    if (rc)
        fprintf(stderr, "%s: %s\n", network, failed.what.text);
    return rc ? 1 : 0;
}

static int gc_all(const char *state_root)
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
            status |= gc_network(state_root, entry->d_name);
    closedir(dir);
    return status;
}

static int usage(const char *what)
{
    fprintf(stderr,
            "dmm: %s\n"
            "usage: dmm gc [--state-dir DIR] [--network NAME]\n"
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
    for (int i = 2; i < argc; i += 2) {
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
    return network ? gc_network(state_root, network) : gc_all(state_root);
}

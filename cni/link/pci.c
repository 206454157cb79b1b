/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/link/pci.h"

#include "cni/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 10

static size_t hex_run(const char *text)
{
    size_t n = 0;
    while (isxdigit((unsigned char)text[n]) && !isupper((unsigned char)text[n]))
        n++;
    return n;
}

bool dmm_pci_valid(const char *addr)
{
    size_t domain = hex_run(addr);
    if (domain < 4 || domain > 8 || addr[domain] != ':')
        return false;
    const char *p = addr + domain + 1;
    return hex_run(p) == 2 && p[2] == ':' && hex_run(p + 3) == 2 && p[5] == '.' && p[6] >= '0' &&
           p[6] <= '7' && !p[7];
}

static void device_path(char path[PATH_MAX], const char *sysfs, const char *addr, const char *file)
{
    snprintf(path, PATH_MAX, "%s/bus/pci/devices/%s%s%s", sysfs, addr, *file ? "/" : "", file);
}

bool dmm_pci_exists(const char *sysfs, const char *addr)
{
    char path[PATH_MAX];
    device_path(path, sysfs, addr, "");
    return access(path, F_OK) == 0;
}

/* The last component of what a symbolic link names. */
static int link_name(const char *path, char *name, size_t size)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    const char *slash = strrchr(target, '/');
    const char *last = slash ? slash + 1 : target;
    if (!*last || strlen(last) >= size)
        return -ENAMETOOLONG;
    strcpy(name, last); /* NOLINT: it fits */
    return 0;
}

static int address_behind(const char *path, char addr[DMM_PCI_ADDR])
{
    char name[DMM_PCI_ADDR] = "";
    int rc = link_name(path, name, sizeof(name));
    if (rc || !dmm_pci_valid(name))
        return -ENOENT;
    strcpy(addr, name); /* NOLINT: of the same size */
    return 0;
}

int dmm_pci_of_interface(const char *sysfs, const char *ifname, char addr[DMM_PCI_ADDR])
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/class/net/%s/device", sysfs, ifname);
    return address_behind(path, addr);
}

int dmm_pci_interface(const char *sysfs, const char *addr, char ifname[IFNAMSIZ])
{
    char path[PATH_MAX];
    device_path(path, sysfs, addr, "net");
    DIR *dir = opendir(path);
    if (!dir)
        return -ENOENT;
    int rc = -ENOENT;
    const struct dirent *entry;
    while (rc && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < IFNAMSIZ) {
            strcpy(ifname, entry->d_name); /* NOLINT: it fits */
            rc = 0;
        }
    closedir(dir);
    return rc;
}

int dmm_pci_wait_interface(const char *sysfs, const char *addr, unsigned ms, char ifname[IFNAMSIZ])
{
    static const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    int rc = dmm_pci_interface(sysfs, addr, ifname);
    for (unsigned waited = 0; rc && waited < ms; waited += POLL_MS) {
        nanosleep(&pause, NULL);
        rc = dmm_pci_interface(sysfs, addr, ifname);
    }
    return rc;
}

int dmm_pci_driver(const char *sysfs, const char *addr, char driver[DMM_PCI_DRIVER])
{
    char path[PATH_MAX];
    device_path(path, sysfs, addr, "driver");
    return link_name(path, driver, DMM_PCI_DRIVER) ? -ENOENT : 0;
}

bool dmm_pci_driver_loaded(const char *sysfs, const char *driver)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/bus/pci/drivers/%s", sysfs, driver);
    return access(path, F_OK) == 0;
}

/* A small file of one line, without its newline. */
static int read_line(const char *path, char *line, size_t size)
{
    int fd __attribute__((cleanup(dmm_close))) = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, size - 1);
    if (n < 0)
        return -errno;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return 0;
}

int dmm_pci_override(const char *sysfs, const char *addr, char driver[DMM_PCI_DRIVER])
{
    char path[PATH_MAX];
    device_path(path, sysfs, addr, "driver_override");
    int rc = read_line(path, driver, DMM_PCI_DRIVER);
    if (!rc && !strcmp(driver, "(null)"))
        *driver = '\0';
    return rc;
}

int dmm_pci_iommu_group(const char *sysfs, const char *addr)
{
    char path[PATH_MAX];
    char name[16];
    device_path(path, sysfs, addr, "iommu_group");
    if (link_name(path, name, sizeof(name)))
        return -ENOENT;
    char *end;
    long group = strtol(name, &end, 10);
    return *end || group < 0 || group > INT_MAX ? -ENOENT : (int)group;
}

int dmm_pci_pf(const char *sysfs, const char *vf, char pf[DMM_PCI_ADDR])
{
    char path[PATH_MAX];
    device_path(path, sysfs, vf, "physfn");
    return address_behind(path, pf);
}

int dmm_pci_n_vfs(const char *sysfs, const char *pf)
{
    char path[PATH_MAX];
    char line[16];
    device_path(path, sysfs, pf, "sriov_numvfs");
    if (read_line(path, line, sizeof(line)))
        return 0;
    long n = strtol(line, NULL, 10);
    return n > 0 && n <= UINT16_MAX ? (int)n : 0;
}

int dmm_pci_vf(const char *sysfs, const char *pf, int index, char vf[DMM_PCI_ADDR])
{
    char path[PATH_MAX];
    char file[32];
    snprintf(file, sizeof(file), "virtfn%d", index);
    device_path(path, sysfs, pf, file);
    return address_behind(path, vf);
}

int dmm_pci_vf_index(const char *sysfs, const char *pf, const char *vf)
{
    char at[DMM_PCI_ADDR];
    int n = dmm_pci_n_vfs(sysfs, pf);
    for (int i = 0; i < n; i++)
        if (!dmm_pci_vf(sysfs, pf, i, at) && !strcmp(at, vf))
            return i;
    return -ENOENT;
}

int dmm_pci_lock(const char *sysfs, const char *addr, bool wait, struct dmm_err *err)
{
    char path[PATH_MAX];
    device_path(path, sysfs, addr, "");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return dmm_err_set(err, errno, "PCI function %s: %s", addr, strerror(errno));
    while (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB)) {
        int code = errno == EWOULDBLOCK ? EBUSY : errno;
        if (code == EINTR)
            continue;
        close(fd);
        return dmm_err_set(err, code, "PCI function %s: lock: %s", addr, strerror(code));
    }
    return fd;
}

static int write_line(const char *path, const char *line, struct dmm_err *err)
{
    int fd __attribute__((cleanup(dmm_close))) = open(path, O_WRONLY | O_CLOEXEC);
    size_t len = strlen(line);
    if (fd >= 0 && write(fd, line, len) == (ssize_t)len)
        return 0;
    return dmm_err_set(err, errno, "write \"%.*s\" to %s: %s", (int)strcspn(line, "\n"), line, path,
                       strerror(errno));
}

int dmm_pci_unbind(const char *sysfs, const char *addr, struct dmm_err *err)
{
    char path[PATH_MAX];
    char driver[DMM_PCI_DRIVER];
    struct dmm_err failed = {0};
    if (dmm_pci_driver(sysfs, addr, driver))
        return 0;
    device_path(path, sysfs, addr, "driver/unbind");
    if (!write_line(path, addr, &failed) || dmm_pci_driver(sysfs, addr, driver))
        return 0;
    return dmm_err_set(err, failed.code, "%s", failed.text);
}

/* An empty line takes an override away. */
static int set_override(const char *sysfs, const char *addr, const char *driver,
                        struct dmm_err *err)
{
    char path[PATH_MAX];
    char line[DMM_PCI_DRIVER + 1];
    char is[DMM_PCI_DRIVER];
    if (!dmm_pci_override(sysfs, addr, is) && !strcmp(is, driver))
        return 0;
    device_path(path, sysfs, addr, "driver_override");
    snprintf(line, sizeof(line), "%s\n", driver);
    return write_line(path, line, err);
}

static int probe(const char *sysfs, const char *addr, const char *driver, struct dmm_err *err)
{
    char path[PATH_MAX];
    char is[DMM_PCI_DRIVER];
    snprintf(path, sizeof(path), "%s/bus/pci/drivers_probe", sysfs);
    int rc = write_line(path, addr, err);
    if (!rc && (dmm_pci_driver(sysfs, addr, is) || strcmp(is, driver) != 0))
        rc = dmm_err_set(err, ENODEV, "PCI function %s: driver %s does not take it", addr, driver);
    return rc;
}

int dmm_pci_bind(const char *sysfs, const char *addr, const char *driver, const char *override,
                 struct dmm_err *err)
{
    char is[DMM_PCI_DRIVER] = "";
    int rc = 0;
    bool bound = !dmm_pci_driver(sysfs, addr, is);
    if (bound && (!driver || strcmp(is, driver) != 0))
        rc = dmm_pci_unbind(sysfs, addr, err);
    /* The override picks the driver, whatever else would take the function. */
    if (!rc && driver && strcmp(is, driver) != 0) {
        rc = set_override(sysfs, addr, driver, err);
        if (!rc)
            rc = probe(sysfs, addr, driver, err);
    }
    int back = set_override(sysfs, addr, override, rc ? NULL : err);
    return rc ? rc : back;
}

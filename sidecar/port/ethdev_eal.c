/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/port/ethdev_eal.h"

#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_HUGE_MB "512" /* address space; only what is touched costs memory */
#define VFIO_MB    "128" /* but with VFIO all of it is pinned: enough for four ports */
#define VFIO       "/dev/vfio/vfio"
#define NO_DEVICE  "ffff:ff:1f.7"
#define MAX_ARGS   20

/* The process's EAL. Guarded by `lock`. */
static struct {
    pthread_mutex_t lock;
    bool tried;
    int error; /* a positive errno, 0: it runs */
} eal = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* DPDK's lines come as debug events of ours: what matters is reported by the ports. */
static ssize_t log_write(void *cookie, const char *text, size_t len)
{
    (void)cookie;
    size_t end = len;
    while (end && text[end - 1] == '\n')
        end--;
    if (end)
        dmm_log(DMM_LOG_DEBUG, "dpdk: %.*s", (int)end, text);
    return (ssize_t)len;
}

static void redirect_log(void)
{
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_write});
    if (!stream)
        return;
    setvbuf(stream, NULL, _IOLBF, 0);
    rte_openlog_stream(stream);
}

/* "0@(0,1,5)": one lcore, floating over the CPUs that we may use. Cut at a comma if too many. */
static void lcore_map(char *text, size_t size, const cpu_set_t *cpus)
{
    size_t at = (size_t)snprintf(text, size, "0@(");
    bool first = true;
    for (int cpu = 0; cpu < CPU_SETSIZE && at + 8 < size; cpu++) {
        if (!CPU_ISSET(cpu, cpus))
            continue;
        at += (size_t)snprintf(text + at, size - at, "%s%d", first ? "" : ",", cpu);
        first = false;
    }
    snprintf(text + at, size - at, ")");
}

static unsigned long huge_megabytes(void)
{
    const char *text = getenv("DMM_HUGEPAGES_MB");
    return text ? strtoul(text, NULL, 10) : 0;
}

static int put(char **argv, const char *const *some, size_t n)
{
    for (size_t i = 0; i < n; i++)
        argv[i] = (char *)some[i];
    return (int)n;
}

/* rte_eal_init() may write into the array, and keeps the strings. */
static int start_with(char *lcores)
{
    static char huge_mb[16];
    static const char *const common[] = {"dmm", "--no-telemetry", "--log-level=*:4"};
    /* A list of allowed devices, which names none, so that EAL takes only those that ports name. */
    static const char *const pci[] = {"-a", NO_DEVICE, "--iova-mode=va"};
    static const char *const no_pci[] = {"--no-pci"};
    static const char *const no_huge[] = {"--no-huge", "--no-shconf", "-m"};
    static const char *const huge[] = {"--in-memory", "--single-file-segments", "--iova-mode=va",
                                       "-m"};
    unsigned long mb = huge_megabytes();
    bool with_huge = mb > 0;
    snprintf(huge_mb, sizeof(huge_mb), "%lu", mb);

    /* Who may use devices by VFIO has been given some. */
    bool vfio = access(VFIO, R_OK | W_OK) == 0;
    char *argv[MAX_ARGS];
    int argc = 0;
    argc += put(argv + argc, common, RTE_DIM(common));
    argc += vfio ? put(argv + argc, pci, RTE_DIM(pci)) : put(argv + argc, no_pci, RTE_DIM(no_pci));
    argc += with_huge ? put(argv + argc, huge, RTE_DIM(huge))
                      : put(argv + argc, no_huge, RTE_DIM(no_huge));
    argv[argc++] = with_huge ? huge_mb : (char *)(vfio ? VFIO_MB : NO_HUGE_MB);
    argv[argc++] = (char *)"--lcores";
    argv[argc++] = lcores;
    return rte_eal_init(argc, argv) < 0 ? (rte_errno ? rte_errno : EIO) : 0;
}

static int start(void)
{
    static char lcores[512];
    cpu_set_t cpus;
    int rc = pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus);
    if (rc)
        return rc;
    lcore_map(lcores, sizeof(lcores), &cpus);
    redirect_log();
    rc = start_with(lcores);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
    return rc;
}

int dmm_eal_start(struct dmm_err *err)
{
    pthread_mutex_lock(&eal.lock);
    if (!eal.tried) {
        eal.error = start();
        eal.tried = true;
    }
    int error = eal.error;
    pthread_mutex_unlock(&eal.lock);
    return error ? dmm_err_set(err, error, "DPDK: EAL did not start: %s", strerror(error)) : 0;
}

void dmm_eal_adopt(void)
{
    static _Thread_local bool tried;
    if (tried)
        return;
    tried = true;
    if (rte_lcore_id() == LCORE_ID_ANY && rte_thread_register())
        dmm_log(DMM_LOG_WARN, "dpdk: no lcore id left for a worker: its packet buffers are slower");
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/client.h"

#include "common/version.h"
#include "preload/calls.h"
#include "preload/control.h"
#include "preload/entry.h"
#include "preload/epoll.h"
#include "preload/libc.h"
#include "preload/pool.h"
#include "preload/recover.h"
#include "preload/report.h"
#include "preload/socket.h"
#include "preload/waiter.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/un.h>
#include <time.h>

#define POD_DIR_DEFAULT "/run/dmm/pod"
#define ON_FAILURE_FILE "on_failure"
#define ATTACH_SOCKET                                                                              \
    "stackd.sock" /* DMM_ATTACH_SOCKET of common/poddir.h, which needs jansson                     \
                   */

/* Whoever passes a socket on mostly closes it at once: it is waited for, this long. */
#define CLAIM_TRIES    20
#define CLAIM_PAUSE_NS 10000000

static struct pool clients = POOL(struct client, 1u << 10);

/* All of the process's own state of attachment. */
static struct {
    lock_word lock;                /* attaching */
    struct client *_Atomic latest; /* rel/acq */
    _Atomic uint32_t epoch;        /* relaxed */
    uint8_t family[16];            /* token that the image before this one left; zero: none */
    _Atomic unsigned char *_Atomic alive; /* a page that fork wipes (MADV_WIPEONFORK) */
    char pod_dir[256];
    enum { ON_FAILURE_FILED, ON_FAILURE_FAIL, ON_FAILURE_KERNEL } on_failure;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
} self;

/* ---- what the surroundings say ---- */

/* The environment is read once: programs like nginx drop it later, and their children go on with
 * what the first socket's maker saw. */
static void read_environment(void)
{
    if (self.pod_dir[0])
        return;
    const char *dir = getenv("DMM_POD_DIR");
    const char *word = getenv("DMM_ON_FAILURE");
    if (word)
        self.on_failure = strcmp(word, "kernel") == 0 ? ON_FAILURE_KERNEL : ON_FAILURE_FAIL;
    if (!dir || !*dir || strlen(dir) >= sizeof(self.pod_dir))
        dir = POD_DIR_DEFAULT;
    snprintf(self.pod_dir, sizeof(self.pod_dir), "%s", dir);
}

const char *client_pod_dir(void)
{
    return self.pod_dir;
}

static void pod_file(const char *name, char *path, size_t room)
{
    int n = snprintf(path, room, "%s/%s", client_pod_dir(), name);
    if (n < 0 || (size_t)n >= room)
        path[0] = '\0';
}

const char *client_socket_path(void)
{
    return self.path;
}

bool client_sidecar_there(void)
{
    return access(self.path, F_OK) == 0;
}

/* The text of a small file, without its newline. False: it cannot be read. */
static bool read_word(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : REAL(read)(fd, text, room - 1);
    if (fd >= 0)
        REAL(close)(fd);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return n > 0;
}

bool client_fallback_to_kernel(void)
{
    char text[16];
    char path[sizeof(self.pod_dir) + sizeof(ON_FAILURE_FILE) + 1];
    if (self.on_failure != ON_FAILURE_FILED)
        return self.on_failure == ON_FAILURE_KERNEL;
    pod_file(ON_FAILURE_FILE, path, sizeof(path));
    return read_word(path, text, sizeof(text)) && strcmp(text, "kernel") == 0;
}

/* A process's name is its first thread's; others may have names of their own. */
const char *client_comm(char buf[DMM_PROCESS_NAME])
{
    if (getpid() != libc_gettid() && read_word("/proc/self/comm", buf, DMM_PROCESS_NAME))
        return buf;
    if (prctl(PR_GET_NAME, buf) < 0)
        buf[0] = '\0';
    buf[DMM_PROCESS_NAME - 1] = '\0';
    return buf;
}

uint32_t client_epoch(void)
{
    return atomic_load_explicit(&self.epoch, memory_order_relaxed);
}

struct client *client_latest(void)
{
    return atomic_load_explicit(&self.latest, memory_order_acquire);
}

bool client_alive_here(void)
{
    _Atomic unsigned char *alive = atomic_load_explicit(&self.alive, memory_order_relaxed);
    return !alive || atomic_load_explicit(alive, memory_order_relaxed) == 1;
}

static void mark_alive_here(void)
{
    _Atomic unsigned char *alive = atomic_load_explicit(&self.alive, memory_order_relaxed);
    if (!alive) {
        void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED || madvise(page, 4096, MADV_WIPEONFORK) < 0)
            return;
        alive = page;
    }
    atomic_store_explicit(alive, 1, memory_order_relaxed);
    atomic_store_explicit(&self.alive, alive, memory_order_relaxed);
}

/* ---- attaching ---- */

static void fill_request(struct dmm_request *request, enum dmm_request_op op)
{
    memset(request, 0, sizeof(*request));
    request->version = DMM_PROTO_VERSION;
    request->op = op;
    request->pid = (uint32_t)getpid();
    client_comm(request->comm);
}

/* Takes over the response's numbers and fds; on failure closes what it has not taken. */
static int take_process(struct client *client, const struct dmm_response *response)
{
    if (response->channel >= client->region->n_channels ||
        response->waitset >= client->region->n_waitsets)
        return -EPROTO;
    client->process = response->process;
    client->channel = dmm_region_channel(client->region, response->channel);
    client->spare_waitset = response->waitset;
    return 0;
}

/* The region is not one that this library knows: by whom it was made goes into the text. */
static int strange_region(const struct dmm_region *region, struct dmm_response *response)
{
    char version[32];
    snprintf(version, sizeof(version), "%.31s",
             response->text[0] ? response->text : "of another release");
    snprintf(response->text, sizeof(response->text), "the sidecar, DMM %s, makes %s %u", version,
             region->magic == DMM_REGION_MAGIC ? "regions of version"
                                               : "something else than a region:",
             region->version);
    return -EPROTO;
}

static int map_region(struct client *client, struct dmm_response *response, int fd)
{
    if (response->region_size < sizeof(struct dmm_region) || response->region_size > SIZE_MAX / 2)
        return -EPROTO;
    client->size = response->region_size;
    void *map = mmap(NULL, client->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    client->region = map;
    int r = dmm_region_check(client->region, client->size) ? take_process(client, response)
                                                           : strange_region(map, response);
    if (r < 0)
        munmap(map, client->size);
    return r;
}

/* Owns fds on success only. */
static int set_up(struct client *client, int control, struct dmm_response *response,
                  int fds[DMM_PROTO_FDS])
{
    memset(client, 0, sizeof(*client));
    atomic_store_explicit(&client->anchor, -1, memory_order_relaxed);
    if (response->n_fds != 3)
        return -EPROTO;
    int r = map_region(client, response, fds[0]);
    if (r < 0)
        return r;
    memcpy(client->token, response->token, sizeof(client->token));
    bool whole = entry_protect(control, &client->control) == 0;
    whole &= entry_protect(fds[1], &client->worker) == 0;
    whole &= entry_protect(fds[2], &client->spare_doorbell) == 0;
    REAL(close)(fds[0]);
    atomic_store_explicit(&client->have_spare, true, memory_order_relaxed);
    if (whole)
        return 0;
    /* Too few fds are left to live with. The region stays mapped; that happens once. */
    entry_close_protected(&client->control);
    entry_close_protected(&client->worker);
    entry_close_protected(&client->spare_doorbell);
    return -EMFILE;
}

static void report_refusal(int error, const struct dmm_response *response)
{
    const char *hint = client_fallback_to_kernel() ? "sockets go to the kernel"
                                                   : "sockets of stacks fail with ENETDOWN";
    if (error == -EPROTO)
        report(REPORT_REFUSED,
               "the sidecar at %s and this library are of different builds: %s; this library, "
               "DMM " DMM_VERSION
               ", has protocol %u and regions of version %u. Start the pod anew, so that "
               "both come from one release; until then %s",
               self.path, response->text[0] ? response->text : "its answer makes no sense",
               DMM_PROTO_VERSION, DMM_REGION_VERSION, hint);
    else if (response->text[0])
        report(REPORT_REFUSED, "the sidecar at %s refused: %s; %s", self.path, response->text,
               hint);
    else if (access(self.pod_dir, F_OK) < 0)
        report(REPORT_ABSENT, "no pod directory %s: %s: is its volume mounted? %s", self.pod_dir,
               strerror(errno), hint);
    else
        report(REPORT_ABSENT, "no sidecar at %s: %s; %s", self.path, strerror(-error), hint);
}

/* Under self.lock. */
static struct client *attach(const uint8_t token[16])
{
    struct dmm_request message;
    struct dmm_response response = {.text = ""};
    int fds[DMM_PROTO_FDS] = {-1, -1, -1};

    read_environment();
    pod_file(ATTACH_SOCKET, self.path, sizeof(self.path));
    fill_request(&message, DMM_REQ_ATTACH);
    memcpy(message.token, token, sizeof(message.token));
    int control = control_connect(self.path);
    int r = control < 0 ? control : control_call(control, &message, &response, fds);
    struct client *client = r < 0 ? NULL : pool_take(&clients);
    if (r == 0) {
        r = client ? set_up(client, control, &response, fds) : -ENOBUFS;
        if (r < 0 && r != -EMFILE) {
            for (int i = 0; i < DMM_PROTO_FDS; i++) {
                if (fds[i] >= 0)
                    REAL(close)(fds[i]);
            }
        }
    }
    if (r < 0) {
        if (control >= 0 && r != -EMFILE)
            REAL(close)(control);
        if (client)
            pool_give(&clients, client);
        report_refusal(r, &response);
        return NULL;
    }
    mark_alive_here();
    report_again();
    /* Release: the client is whole. */
    atomic_store_explicit(&self.latest, client, memory_order_release);
    return client;
}

struct client *client_attach(void)
{
    struct client *client = client_latest();
    if (client && !client_is_dead(client))
        return client;
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    lock_take(&self.lock, LOCK_PRIVATE);
    client = client_latest();
    if (!client || client_is_dead(client))
        client = attach(client ? client->token : self.family);
    lock_drop(&self.lock);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (client)
        recover_all(client);
    return client;
}

static int request_more(struct client *client, enum dmm_request_op op, uint32_t index,
                        const struct control_more *more, struct dmm_response *response,
                        int fds[DMM_PROTO_FDS])
{
    struct dmm_request message;
    response->text[0] = '\0';
    fill_request(&message, op);
    message.index = index;
    if (client_is_dead(client) || !client_alive_here())
        return -ECONNRESET;
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    lock_take(&client->control_lock, LOCK_PRIVATE);
    int r = control_call_more(client->control, &message, more, response, fds);
    lock_drop(&client->control_lock);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (r == -ECONNRESET || r == -EPROTO)
        client_died(client);
    return r;
}

static int request(struct client *client, enum dmm_request_op op, uint32_t index,
                   struct dmm_response *response, int fds[DMM_PROTO_FDS])
{
    const struct control_more nothing = {.file = -1};
    return request_more(client, op, index, &nothing, response, fds);
}

int client_new_waitset(struct client *client, _Atomic int *doorbell)
{
    struct dmm_response response;
    int fds[DMM_PROTO_FDS];
    if (atomic_exchange_explicit(&client->have_spare, false, memory_order_acq_rel)) {
        entry_hand_over(&client->spare_doorbell, doorbell);
        return (int)client->spare_waitset;
    }
    int r = request(client, DMM_REQ_WAITSET, 0, &response, fds);
    if (r < 0)
        return r;
    if (fds[0] < 0 || response.waitset >= client->region->n_waitsets) {
        if (fds[0] >= 0)
            REAL(close)(fds[0]);
        return -EPROTO;
    }
    r = entry_protect(fds[0], doorbell);
    return r < 0 ? r : (int)response.waitset;
}

void client_free_waitset(struct client *client, uint32_t waitset)
{
    struct dmm_response response;
    int fds[DMM_PROTO_FDS];
    request(client, DMM_REQ_WAITSET_FREE, waitset, &response, fds);
}

/* ---- sockets that leave and come ---- */

void client_set_family(const uint8_t token[16])
{
    memcpy(self.family, token, sizeof(self.family));
}

int client_export(struct client *client, const struct dmm_export *what, int kernel_fd,
                  char text[128])
{
    struct dmm_response response;
    int fds[DMM_PROTO_FDS];
    const struct control_more more = {.export = what, .file = kernel_fd};
    int r = request_more(client, DMM_REQ_EXPORT, 0, &more, &response, fds);
    snprintf(text, sizeof(response.text), "%s",
             r < 0 && !response.text[0] ? strerror(-r) : response.text);
    return r < 0 ? r : fds[0] < 0 ? -EPROTO : fds[0];
}

static void follow(int fd, struct entry *entry, void *arg)
{
    struct client **change = arg;
    (void)fd;
    lock_take(&entry->lock, LOCK_PRIVATE);
    if (entry->kind == ENTRY_SOCKET && entry->client == change[0] &&
        entry->phase == PHASE_UNDECIDED && (!entry->late || !entry->late->n_parts))
        entry->client = change[1];
    lock_drop(&entry->lock);
}

/* The process leaves its client, in which it has no sockets, for another. */
static struct client *join_family(struct client *old, const uint8_t token[16])
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    lock_take(&self.lock, LOCK_PRIVATE);
    struct client *joined = client_latest();
    if (joined == old)
        joined = attach(token);
    lock_drop(&self.lock);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (!joined || joined == old)
        return NULL;
    struct client *change[2] = {old, joined};
    entry_each(follow, change);
    /* Release: whoever finds it dead finds the new one. */
    atomic_store_explicit(&old->dead, true, memory_order_release);
    epoll_client_died();
    lock_take(&old->control_lock, LOCK_PRIVATE);
    entry_close_protected(&old->control);
    lock_drop(&old->control_lock);
    return joined;
}

int client_claim(int fd, struct client **client, struct dmm_export *what, char text[128])
{
    const struct timespec pause = {.tv_nsec = CLAIM_PAUSE_NS};
    struct dmm_response response;
    int fds[DMM_PROTO_FDS];
    const struct control_more more = {.file = fd, .claimed = what};
    int r = -ENETDOWN;
    snprintf(text, sizeof(response.text), "there is no sidecar");
    for (int tries = 0; tries < CLAIM_TRIES; tries++) {
        *client = client_attach();
        if (!*client)
            return -ENETDOWN;
        r = request_more(*client, DMM_REQ_CLAIM, 0, &more, &response, fds);
        snprintf(text, sizeof(response.text), "%s",
                 r < 0 && !response.text[0] ? strerror(-r) : response.text);
        if (r == -EXDEV && !join_family(*client, response.token))
            return r;
        if (r != -EXDEV && r != -EBUSY)
            return r;
        if (r == -EBUSY)
            nanosleep(&pause, NULL);
    }
    return r;
}

static int claim_all(struct client *client, const int *files, uint32_t n, struct dmm_export *whats,
                     int *results)
{
    struct dmm_request message;
    struct dmm_response response;
    int fds[DMM_PROTO_FDS];
    int r = 0;
    fill_request(&message, DMM_REQ_CLAIM);
    for (uint32_t i = 0; i < n && r == 0; i++)
        r = control_send(client->control, &message, &(struct control_more){.file = files[i]});
    for (uint32_t i = 0; i < n && r == 0; i++) {
        const struct control_more more = {.file = -1, .claimed = &whats[i]};
        results[i] = control_receive(client->control, &more, &response, fds);
        if (results[i] == -ECONNRESET || results[i] == -EPROTO)
            r = results[i];
    }
    return r;
}

int client_claim_some(const int *files, uint32_t n, struct client **client,
                      struct dmm_export *whats, int *results)
{
    sigset_t all, before;
    *client = client_attach();
    if (!*client || n > CLIENT_CLAIMS)
        return -ENETDOWN;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    lock_take(&(*client)->control_lock, LOCK_PRIVATE);
    int r = claim_all(*client, files, n, whats, results);
    lock_drop(&(*client)->control_lock);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (r < 0)
        client_died(*client);
    return r;
}

/* ---- the end ---- */

/* cppcheck-suppress constParameter ; entry_each() takes functions of one type */
static void mark_dead(int fd, struct entry *entry, void *arg)
{
    (void)fd;
    if (entry->kind == ENTRY_SOCKET && entry->client == arg)
        socket_lost(entry, arg);
}

void client_died(struct client *client)
{
    if (atomic_exchange_explicit(&client->dead, true, memory_order_acq_rel))
        return;
    report(REPORT_LOST, "lost the sidecar at %s; its sockets are reset", self.path);
    entry_each(mark_dead, client);
    epoll_client_died();
}

void client_look_alive(struct client *client)
{
    struct pollfd control = {.fd = client->control};
    if (client_is_dead(client) || !client_alive_here())
        return;
    int saved = errno;
    if (REAL(poll)(&control, 1, 0) > 0)
        client_died(client);
    errno = saved;
}

/* ---- fork ---- */

void client_fork_prepare(struct client_fork *state)
{
    memset(state, 0, sizeof(*state));
    lock_take(&self.lock, LOCK_PRIVATE);
    struct client *client = client_latest();
    if (!client || client_is_dead(client) || !client_alive_here())
        return;
    lock_take(&client->policy_lock, LOCK_PRIVATE);
    lock_take(&client->control_lock, LOCK_PRIVATE);
    state->client = client;
    struct dmm_request message;
    fill_request(&message, DMM_REQ_FORK);
    int r = control_call(client->control, &message, &state->response, state->fds);
    if (r < 0) {
        report(REPORT_FORK, "fork: the child gets no stack sockets: %s",
               state->response.text[0] ? state->response.text : strerror(-r));
        state->response.n_fds = 0;
    }
}

static void fork_done(struct client_fork *state)
{
    if (state->client) {
        lock_drop(&state->client->control_lock);
        lock_drop(&state->client->policy_lock);
    }
    lock_drop(&self.lock);
}

void client_fork_parent(struct client_fork *state)
{
    for (uint32_t i = 0; state->client && i < state->response.n_fds; i++)
        REAL(close)(state->fds[i]);
    fork_done(state);
}

/* The parent's control connection and doorbells must not live on in the child: their ends tell. */
static void close_parents(int fd, struct entry *entry, void *arg)
{
    const struct client *client = arg;
    (void)fd;
    if (entry->kind == ENTRY_INTERNAL && (!client || entry->where != &client->worker))
        entry_close_protected(entry->where);
}

static void lose(int fd, struct entry *entry, void *arg)
{
    (void)fd;
    (void)arg;
    if (entry->kind == ENTRY_SOCKET)
        socket_disown(entry);
}

static bool join(struct client_fork *state)
{
    struct client *client = state->client;
    if (state->response.n_fds != 2 || take_process(client, &state->response) < 0)
        return false;
    bool joined = entry_protect(state->fds[0], &client->control) == 0;
    joined &= entry_protect(state->fds[1], &client->spare_doorbell) == 0;
    atomic_store_explicit(&client->have_spare, joined, memory_order_relaxed);
    atomic_store_explicit(&client->channel->owner_pid, (uint32_t)getpid(), memory_order_relaxed);
    mark_alive_here();
    return joined;
}

void client_fork_child(struct client_fork *state)
{
    atomic_fetch_add_explicit(&self.epoch, 1, memory_order_relaxed);
    entry_each(close_parents, state->client);
    if (!state->client) {
        mark_alive_here();
    } else if (!join(state)) {
        /* Nothing of the parent's may be touched. The child may attach for itself. */
        entry_each(lose, NULL);
        atomic_store_explicit(&self.latest, NULL, memory_order_relaxed);
        mark_alive_here();
    }
    fork_done(state);
}

/* ---- placeholders ---- */

/* An unconnected UNIX socket: fstat says socket, and reads and writes past the shim fail. */
static int make_anchor(struct client *client)
{
    int fd = REAL(socket)(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : entry_protect(fd, &client->anchor);
}

int client_placeholder(struct client *client, bool cloexec)
{
    if (atomic_load_explicit(&client->anchor, memory_order_relaxed) < 0) {
        lock_take(&self.lock, LOCK_PRIVATE);
        int r = client->anchor < 0 ? make_anchor(client) : 0;
        lock_drop(&self.lock);
        if (r < 0)
            return r;
    }
    int fd = REAL(fcntl)(client->anchor, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
    return fd < 0 ? -errno : fd;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/sidecar/client_sim.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* ---- control ---- */

int sim_connect(const char *dir)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/stackd.sock", dir);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

int sim_raw(int control, const void *request, size_t len, struct dmm_response *response, int fds[3])
{
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(3 * sizeof(int))];
    struct iovec iov = {response, sizeof(*response)};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    for (int i = 0; i < 3; i++)
        fds[i] = -1;
    if (send(control, request, len, MSG_NOSIGNAL) < 0)
        return -ECONNRESET;
    if (recvmsg(control, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(*response))
        return -ECONNRESET;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header)
        memcpy(fds, CMSG_DATA(header), response->n_fds * sizeof(int));
    return response->result;
}

int sim_request(struct sim *sim, uint32_t op, uint32_t index, int fds[3])
{
    struct dmm_request request = {.version = DMM_PROTO_VERSION,
                                  .op = op,
                                  .index = index,
                                  .pid = (uint32_t)getpid(),
                                  .comm = "sim"};
    return sim_raw(sim->control, &request, sizeof(request), &sim->response, fds);
}

int sim_attach(struct sim *sim, const char *dir, const void *token)
{
    struct dmm_request request = {.version = DMM_PROTO_VERSION,
                                  .op = DMM_REQ_ATTACH,
                                  .pid = (uint32_t)getpid(),
                                  .comm = "sim"};
    int fds[3];
    memset(sim, 0, sizeof(*sim));
    if (token)
        memcpy(request.token, token, sizeof(request.token));
    sim->control = sim_connect(dir);
    if (sim->control < 0)
        return sim->control;
    int rc = sim_raw(sim->control, &request, sizeof(request), &sim->response, fds);
    if (rc) {
        close(sim->control);
        return rc;
    }
    sim->size = sim->response.region_size;
    sim->region = mmap(NULL, sim->size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    close(fds[0]);
    sim->doorbell = fds[1];
    sim->bell = fds[2];
    sim->process = sim->response.process;
    sim->channel = sim->response.channel;
    sim->waitset = sim->response.waitset;
    return sim->region == MAP_FAILED || !dmm_region_check(sim->region, sim->size) ? -EPROTO : 0;
}

int sim_fork(struct sim *sim, struct sim *child)
{
    int fds[3];
    int rc = sim_request(sim, DMM_REQ_FORK, 0, fds);
    if (rc)
        return rc;
    *child = *sim;
    child->control = fds[0];
    child->bell = fds[1];
    child->process = sim->response.process;
    child->channel = sim->response.channel;
    child->waitset = sim->response.waitset;
    child->doorbell = dup(sim->doorbell);
    child->seq = 0;
    return 0;
}

void sim_detach(struct sim *sim)
{
    close(sim->control);
    close(sim->doorbell);
    close(sim->bell);
    sim->control = sim->doorbell = sim->bell = -1;
}

/* ---- commands ---- */

void sim_ring(struct sim *sim)
{
    const uint64_t one = 1;
    if (sim->turn)
        sim->turn(sim->turn_arg);
    else if (dmm_should_wake(&sim->region->worker_armed))
        (void)!write(sim->doorbell, &one, sizeof(one));
}

void sim_pause(struct sim *sim)
{
    struct timespec wait = {0, 200000};
    if (sim->turn)
        sim->turn(sim->turn_arg);
    else
        nanosleep(&wait, NULL);
}

void sim_post(struct sim *sim, const struct dmm_command *command)
{
    struct dmm_channel *channel = dmm_region_channel(sim->region, sim->channel);
    uint32_t position = dmm_command_reserve(channel);
    struct dmm_command *slot;
    while (!(slot = dmm_command_slot(channel, position)))
        sim_pause(sim);
    memcpy((char *)slot + sizeof(slot->turn), (const char *)command + sizeof(slot->turn),
           sizeof(*slot) - sizeof(slot->turn));
    dmm_command_publish(slot, position);
    sim_ring(sim);
}

int sim_call(struct sim *sim, struct dmm_command *command)
{
    struct dmm_reply *reply = &dmm_region_channel(sim->region, sim->channel)->replies[0];
    command->reply = 0;
    command->seq = ++sim->seq;
    command->waitset = sim->waitset;
    sim_post(sim, command);
    for (int i = 0; i < 10000; i++) {
        if (atomic_load_explicit(&reply->done, memory_order_acquire) == sim->seq) {
            memcpy(&sim->reply, reply, sizeof(*reply));
            return sim->reply.result;
        }
        if (atomic_load_explicit(&sim->region->closed, memory_order_acquire))
            return -ECONNRESET;
        sim_pause(sim);
    }
    return -ETIMEDOUT;
}

static struct dmm_addr any(uint16_t port)
{
    return (struct dmm_addr){.family = AF_INET, .port = port, .ip = {10, 0, 0, 1}};
}

int sim_open(struct sim *sim, uint8_t instance, int type, uint16_t flags)
{
    struct dmm_command command = {.op = DMM_CMD_OPEN, .instance = instance};
    command.open.family = AF_INET;
    command.open.type = (uint16_t)type;
    command.open.protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    command.open.flags = flags;
    int rc = sim_call(sim, &command);
    return rc < 0 ? rc : (int)sim->reply.socket;
}

int sim_bind(struct sim *sim, uint32_t socket, uint16_t port)
{
    struct dmm_command command = {.op = DMM_CMD_BIND, .socket = socket, .addr = any(port)};
    return sim_call(sim, &command);
}

int sim_listen(struct sim *sim, uint32_t socket, int backlog)
{
    struct dmm_command command = {
        .op = DMM_CMD_LISTEN, .socket = socket, .value = (uint32_t)backlog};
    return sim_call(sim, &command);
}

int sim_connect_to(struct sim *sim, uint32_t socket, uint16_t port)
{
    struct dmm_command command = {.op = DMM_CMD_CONNECT, .socket = socket, .addr = any(port)};
    return sim_call(sim, &command);
}

void sim_close(struct sim *sim, uint32_t socket)
{
    struct dmm_command command = {.op = DMM_CMD_CLOSE, .socket = socket, .reply = DMM_NO_REPLY};
    sim_post(sim, &command);
}

void sim_watch(struct sim *sim, uint32_t socket, uint32_t slot, uint32_t events)
{
    struct dmm_command command = {.op = DMM_CMD_WATCH, .socket = socket, .reply = DMM_NO_REPLY};
    command.watch.slot = slot;
    command.watch.waitset = sim->waitset;
    command.watch.events = events;
    atomic_store_explicit(&sim_socket(sim, socket)->watches[slot].owner, sim->waitset + 1,
                          memory_order_release);
    sim_post(sim, &command);
}

/* ---- data ---- */

struct dmm_socket *sim_socket(const struct sim *sim, uint32_t socket)
{
    return dmm_region_socket(sim->region, socket);
}

static char *ring_at(const struct sim *sim, uint64_t ref)
{
    return (char *)sim->region + dmm_ring_offset(ref);
}

int sim_accept(struct sim *sim, uint32_t listener)
{
    struct dmm_socket *s = sim_socket(sim, listener);
    uint32_t head = atomic_load_explicit(&s->rx_head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&s->rx_tail, memory_order_acquire);
    if (head == tail)
        return -1;
    uint64_t ring = atomic_load_explicit(&s->rx_ring, memory_order_acquire);
    uint32_t index;
    dmm_ring_read(ring_at(sim, ring), dmm_ring_size(ring), head, &index, sizeof(index));
    if (!atomic_compare_exchange_strong(&s->rx_head, &head, head + 4))
        return -1;
    struct dmm_command command = {.op = DMM_CMD_ACCEPTED, .socket = index, .reply = DMM_NO_REPLY};
    sim_post(sim, &command);
    return (int)index;
}

uint32_t sim_write(struct sim *sim, uint32_t socket, const void *data, uint32_t len)
{
    struct dmm_socket *s = sim_socket(sim, socket);
    uint64_t ring = atomic_load_explicit(&s->tx_ring, memory_order_relaxed);
    uint64_t offer = atomic_load_explicit(&s->tx_offer, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&s->tx_tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&s->tx_head, memory_order_acquire);
    if (offer && offer != ring) {
        if (ring)
            dmm_ring_move(ring_at(sim, offer), dmm_ring_size(offer), ring_at(sim, ring),
                          dmm_ring_size(ring), head, tail - head);
        ring = offer;
        atomic_store_explicit(&s->tx_ring, ring, memory_order_release);
    }
    uint32_t room = dmm_ring_size(ring) - (tail - head);
    if (len > room)
        len = room;
    if (!len)
        return 0;
    dmm_ring_write(ring_at(sim, ring), dmm_ring_size(ring), tail, data, len);
    atomic_store_explicit(&s->tx_tail, tail + len, memory_order_release);
    if (!atomic_exchange(&s->send_queued, 1)) {
        struct dmm_command command = {.op = DMM_CMD_SEND, .socket = socket, .reply = DMM_NO_REPLY};
        sim_post(sim, &command);
    }
    return len;
}

uint32_t sim_read(struct sim *sim, uint32_t socket, void *data, uint32_t len)
{
    struct dmm_socket *s = sim_socket(sim, socket);
    uint32_t head = atomic_load_explicit(&s->rx_head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&s->rx_tail, memory_order_acquire);
    uint64_t ring = atomic_load_explicit(&s->rx_ring, memory_order_acquire);
    if (len > tail - head)
        len = tail - head;
    if (!len)
        return 0;
    dmm_ring_read(ring_at(sim, ring), dmm_ring_size(ring), head, data, len);
    atomic_store_explicit(&s->rx_head, head + len, memory_order_seq_cst);
    if (atomic_load(&s->rx_notify) && tail - head - len <= dmm_ring_size(ring) / 2 &&
        atomic_exchange(&s->rx_notify, 0)) {
        struct dmm_command command = {
            .op = DMM_CMD_RECEIVED, .socket = socket, .reply = DMM_NO_REPLY};
        sim_post(sim, &command);
    }
    return len;
}

bool sim_wait_state(struct sim *sim, uint32_t socket, uint32_t bits)
{
    for (int i = 0; i < 10000; i++) {
        if (atomic_load_explicit(&sim_socket(sim, socket)->state, memory_order_acquire) & bits)
            return true;
        sim_pause(sim);
    }
    return false;
}

int sim_wait_accept(struct sim *sim, uint32_t listener)
{
    for (int i = 0; i < 10000; i++) {
        int index = sim_accept(sim, listener);
        if (index >= 0)
            return index;
        sim_pause(sim);
    }
    return -1;
}

bool sim_sleep(struct sim *sim, int ms)
{
    struct dmm_waitset *waitset = dmm_region_waitset(sim->region, sim->waitset);
    struct pollfd fd = {.fd = sim->bell, .events = POLLIN};
    char drain[64];
    dmm_arm(&waitset->armed);
    if (!atomic_load_explicit(&waitset->ready, memory_order_acquire) && poll(&fd, 1, ms) <= 0)
        return false;
    dmm_disarm(&waitset->armed);
    (void)!recv(sim->bell, drain, sizeof(drain), MSG_DONTWAIT);
    return true;
}

uint32_t sim_take_ready(struct sim *sim, uint32_t socket)
{
    uint32_t events = 0;
    uint32_t node = dmm_ready_take(dmm_region_waitset(sim->region, sim->waitset));
    for (int guard = 0; node && guard < 1000000; guard++) {
        uint32_t id = node - 1;
        struct dmm_watch *watch = &sim_socket(sim, id >> 8)->watches[id & 255];
        node = atomic_load_explicit(&watch->next, memory_order_relaxed);
        uint32_t pending = atomic_exchange_explicit(&watch->pending, 0, memory_order_acq_rel);
        if (id >> 8 == socket)
            events |= pending;
    }
    return events;
}

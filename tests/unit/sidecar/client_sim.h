/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_sim: an app's side of the region and of the control protocol, for tests: what the shim
 * does, and what it never would. Not thread-safe; one value per simulated process.
 */
#ifndef DMM_TESTS_CLIENT_SIM_H
#define DMM_TESTS_CLIENT_SIM_H

#include "common/proto.h"
#include "common/region.h"
#include "common/ring.h"

struct sim {
    int control; /* -1: in process, no control connection */
    int doorbell;
    int bell; /* of `waitset` */
    struct dmm_region *region;
    uint64_t size;
    uint32_t process, channel, waitset;
    uint32_t seq;
    struct dmm_reply reply; /* of the last sync command */
    struct dmm_response response;
    void (*turn)(void *arg); /* in process: what makes the sidecar go on */
    void *turn_arg;
};

/* Connects to DIR/stackd.sock and attaches (token: NULL or 16 bytes). 0 or a negative errno, with
 * sim->response.text. */
int sim_attach(struct sim *sim, const char *dir, const void *token);
/* Sends one raw message; returns the response's result, or -ECONNRESET. fds get its fds. */
int sim_raw(int control, const void *request, size_t len, struct dmm_response *response,
            int fds[3]);
int sim_connect(const char *dir);
int sim_request(struct sim *sim, uint32_t op, uint32_t index, int fds[3]);
/* The child's side of FORK. */
int sim_fork(struct sim *sim, struct sim *child);
void sim_detach(struct sim *sim);

/* ---- commands ---- */

void sim_post(struct sim *sim, const struct dmm_command *command);         /* async */
int sim_call(struct sim *sim, struct dmm_command *command);                /* sync: reply.result */
int sim_open(struct sim *sim, uint8_t instance, int type, uint16_t flags); /* the index */
int sim_bind(struct sim *sim, uint32_t socket, uint16_t port);
int sim_listen(struct sim *sim, uint32_t socket, int backlog);
int sim_connect_to(struct sim *sim, uint32_t socket, uint16_t port);
void sim_close(struct sim *sim, uint32_t socket);
void sim_watch(struct sim *sim, uint32_t socket, uint32_t slot, uint32_t events);

/* ---- data ---- */

struct dmm_socket *sim_socket(const struct sim *sim, uint32_t socket);
/* Claims one from the listener's queue; -1: it is empty. */
int sim_accept(struct sim *sim, uint32_t listener);
/* As much as there is room for; returns how much. */
uint32_t sim_write(struct sim *sim, uint32_t socket, const void *data, uint32_t len);
uint32_t sim_read(struct sim *sim, uint32_t socket, void *data, uint32_t len);
/* Lets the sidecar go on for a moment (a turn, in process). */
void sim_pause(struct sim *sim);
/* Until the state has one of `bits`; false after two seconds. */
bool sim_wait_state(struct sim *sim, uint32_t socket, uint32_t bits);
int sim_wait_accept(struct sim *sim, uint32_t listener);
/* Sleeps on the doorbell as the shim does; false after `ms`. End of file counts as rung. */
bool sim_sleep(struct sim *sim, int ms);
/* Takes the ready list, clears pending; ORs what was pending of `socket` into the result. */
uint32_t sim_take_ready(struct sim *sim, uint32_t socket);
/* The shim's answer to tx_nospace, and so on: wakes the worker if it is armed. */
void sim_ring(struct sim *sim);

#endif

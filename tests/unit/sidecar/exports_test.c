/* SPDX-License-Identifier: Apache-2.0 */
/* EXPORT and CLAIM, spoken to the real dmm-stackd: who gets a socket, and who does not. */
#include "tests/unit/sidecar/stackd_run.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LOOP 1 /* the instance */

static struct stackd stackd;

static int set_up(void **state)
{
    (void)state;
    return stackd_start(&stackd);
}

static int tear_down(void **state)
{
    (void)state;
    return stackd_stop(&stackd);
}

static void attach(struct sim *sim, const void *token)
{
    assert_int_equal(sim_attach(sim, stackd.dir, token), 0);
}

/* One request with what goes along; the result, response in sim->response, *export filled. */
static int ask(struct sim *sim, uint32_t op, const struct dmm_export *with, int file,
               struct dmm_export *export, int *fd)
{
    struct dmm_request request = {.version = DMM_PROTO_VERSION, .op = op, .comm = "sim"};
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(3 * sizeof(int))] = {0};
    struct iovec out[2] = {{&request, sizeof(request)},
                           {(void *)(uintptr_t)with, with ? sizeof(*with) : 0}};
    struct msghdr message = {.msg_iov = out, .msg_iovlen = 2};
    if (file >= 0) {
        message.msg_control = space;
        message.msg_controllen = CMSG_SPACE(sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &file, sizeof(int));
    }
    assert_true(sendmsg(sim->control, &message, MSG_NOSIGNAL) > 0);
    struct dmm_export unused;
    struct iovec in[2] = {{&sim->response, sizeof(sim->response)},
                          {export ? export : &unused, sizeof(unused)}};
    message = (struct msghdr){
        .msg_iov = in, .msg_iovlen = 2, .msg_control = space, .msg_controllen = sizeof(space)};
    assert_true(recvmsg(sim->control, &message, MSG_CMSG_CLOEXEC) >= (ssize_t)in[0].iov_len);
    if (fd && CMSG_FIRSTHDR(&message))
        memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    return sim->response.result;
}

static int export_with(struct sim *sim, uint32_t socket, uint8_t flags)
{
    struct dmm_export what = {.family = AF_INET,
                              .type = SOCK_STREAM,
                              .protocol = IPPROTO_TCP,
                              .flags = flags,
                              .backlog = -1,
                              .n_parts = 1,
                              .parts[0].index = socket};
    int fd = -1;
    int rc = ask(sim, DMM_REQ_EXPORT, &what, -1, NULL, &fd);
    return rc ? rc : fd;
}

static int export_one(struct sim *sim, uint32_t socket)
{
    return export_with(sim, socket, 0);
}

static int claim(struct sim *sim, int fd, struct dmm_export *got)
{
    return ask(sim, DMM_REQ_CLAIM, NULL, fd, got, NULL);
}

static void pair_of(struct sim *sim, uint16_t port, uint32_t *listener, uint32_t *client,
                    uint32_t *server)
{
    int l = sim_open(sim, LOOP, SOCK_STREAM, 0);
    assert_int_equal(sim_bind(sim, (uint32_t)l, port), 0);
    assert_int_equal(sim_listen(sim, (uint32_t)l, 16), 0);
    int c = sim_open(sim, LOOP, SOCK_STREAM, 0);
    assert_int_equal(sim_connect_to(sim, (uint32_t)c, port), 0);
    int s = sim_wait_accept(sim, (uint32_t)l);
    assert_true(s >= 0 && sim_wait_state(sim, (uint32_t)c, DMM_SS_CONNECTED));
    *listener = (uint32_t)l;
    *client = (uint32_t)c;
    *server = (uint32_t)s;
}

static uint32_t read_all(struct sim *sim, uint32_t socket, char *to, uint32_t len)
{
    uint32_t got = 0;
    for (int i = 0; i < 10000 && got < len; i++) {
        uint32_t n = sim_read(sim, socket, to + got, len - got);
        got += n;
        if (!n)
            sim_pause(sim);
    }
    return got;
}

/* ---- the placeholder ---- */

static void a_placeholder_is_an_error_to_who_knows_nothing(void **state)
{
    struct sim sim;
    uint32_t l, c, s;
    char byte;
    (void)state;
    attach(&sim, NULL);
    pair_of(&sim, 80, &l, &c, &s);
    int fd = export_one(&sim, s);
    assert_true(fd >= 0);
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(accept(fd, NULL, NULL), -1);
    close(fd);
    sim_detach(&sim);
}

/* O_ASYNC: the byte by which the kernel sends the signal. */
static void with_signals_one_byte_tells_of_news(void **state)
{
    struct sim sim;
    struct dmm_export got;
    uint32_t l, c, s;
    char bytes[8];
    (void)state;
    attach(&sim, NULL);
    pair_of(&sim, 84, &l, &c, &s);
    int fd = export_with(&sim, s, DMM_EXPORT_SIGNALS);
    assert_true(fd >= 0);
    assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), -1);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(sim_write(&sim, c, "abc", 3), 3);
        assert_int_equal(read_all(&sim, s, bytes, 3), 3);
        assert_int_equal(sim_write(&sim, c, "abc", 3), 3);
        assert_int_equal(read_all(&sim, s, bytes, 3), 3);
        for (int i = 0; i < 10000 && recv(fd, bytes, 1, MSG_PEEK) != 1; i++)
            sim_pause(&sim);
        assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), 1);
    }
    /* It is not in the way of a proof. */
    assert_int_equal(sim_write(&sim, c, "abc", 3), 3);
    assert_int_equal(read_all(&sim, s, bytes, 3), 3);
    assert_int_equal(claim(&sim, fd, &got), 0);
    assert_int_equal(got.flags, DMM_EXPORT_HELD | DMM_EXPORT_SIGNALS);
    close(fd);
    sim_detach(&sim);
}

static void it_keeps_the_socket_and_its_end_ends_it(void **state)
{
    struct sim sim;
    uint32_t l, c, s;
    (void)state;
    attach(&sim, NULL);
    pair_of(&sim, 81, &l, &c, &s);
    int fd = export_one(&sim, s);
    int copy = dup(fd);
    sim_close(&sim, s);
    close(fd);
    assert_int_equal(sim_write(&sim, c, "abc", 3), 3);
    for (int i = 0; i < 50; i++)
        sim_pause(&sim);
    assert_int_equal(atomic_load(&sim_socket(&sim, c)->state) & (DMM_SS_EOF | DMM_SS_DEAD), 0);
    close(copy); /* unread bytes: reset */
    assert_true(sim_wait_state(&sim, c, DMM_SS_DEAD));
    sim_detach(&sim);
}

static void its_client_lives_as_long(void **state)
{
    struct sim sim, next;
    struct dmm_export got;
    uint8_t token[16];
    uint32_t l, c, s;
    char text[3];
    (void)state;
    attach(&sim, NULL);
    memcpy(token, sim.response.token, sizeof(token));
    pair_of(&sim, 82, &l, &c, &s);
    int server = export_one(&sim, s);
    int client = export_one(&sim, c);
    assert_int_equal(sim_write(&sim, c, "abc", 3), 3);
    sim_detach(&sim); /* as an exec does */
    attach(&next, token);
    assert_int_equal(claim(&next, server, &got), 0);
    assert_int_equal(got.n_parts, 1);
    assert_int_equal(got.parts[0].index, s);
    assert_int_equal(got.parts[0].instance, LOOP);
    assert_int_equal(got.flags, 0);
    assert_int_equal(read_all(&next, s, text, 3), 3);
    assert_memory_equal(text, "abc", 3);
    assert_int_equal(claim(&next, server, &got), 0);
    assert_int_equal(got.flags, DMM_EXPORT_HELD);
    close(server);
    close(client);
    assert_true(sim_wait_state(&next, s, DMM_SS_EOF));
    sim_detach(&next);
}

/* ---- who gets nothing ---- */

static void what_is_not_held_is_not_exported(void **state)
{
    struct sim sim, other;
    struct dmm_export what = {.n_parts = 1};
    uint32_t l, c, s;
    (void)state;
    attach(&sim, NULL);
    attach(&other, NULL);
    pair_of(&sim, 83, &l, &c, &s);
    assert_int_equal(export_one(&other, s), -EBADF);
    assert_int_equal(export_one(&sim, 4000000000u), -EBADF);
    what.n_parts = DMM_MAPPING_INSTANCES + 1;
    assert_int_equal(ask(&sim, DMM_REQ_EXPORT, &what, -1, NULL, NULL), -EINVAL);
    what.n_parts = 0;
    what.n_options = DMM_EXPORT_OPTIONS + 1;
    assert_int_equal(ask(&sim, DMM_REQ_EXPORT, &what, -1, NULL, NULL), -EINVAL);
    what.n_options = 0;
    what.flags = DMM_EXPORT_KERNEL;
    assert_int_equal(ask(&sim, DMM_REQ_EXPORT, &what, -1, NULL, NULL), -EINVAL);
    what.n_parts = 1;
    what.parts[0].index = s;
    assert_int_equal(ask(&sim, DMM_REQ_EXPORT, &what, -1, NULL, NULL), -EBADF);
    sim_detach(&other);
    sim_detach(&sim);
}

static void only_the_file_itself_is_a_claim(void **state)
{
    struct sim sim, other;
    struct dmm_export got;
    uint32_t l, c, s;
    int pair[2];
    (void)state;
    attach(&sim, NULL);
    pair_of(&sim, 84, &l, &c, &s);
    int fd = export_one(&sim, s);
    attach(&other, NULL);
    assert_int_equal(claim(&other, -1, &got), -ENOENT);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(claim(&other, null, &got), -ENOENT);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(claim(&other, pair[0], &got), -ENOENT);
    /* The name alone is nothing. */
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    assert_int_equal(bind(pair[1], (struct sockaddr *)&name, len), -1);
    close(fd);
    for (int i = 0; i < 50; i++)
        sim_pause(&sim);
    assert_int_equal(bind(pair[1], (struct sockaddr *)&name, len), 0);
    assert_int_equal(claim(&other, pair[1], &got), -ENOENT);
    close(pair[0]);
    close(pair[1]);
    close(null);
    sim_detach(&other);
    sim_detach(&sim);
}

/* ---- another client's ---- */

static void while_held_it_stays(void **state)
{
    struct sim sim, other;
    struct dmm_export got;
    uint32_t l, c, s;
    (void)state;
    attach(&sim, NULL);
    pair_of(&sim, 85, &l, &c, &s);
    int fd = export_one(&sim, s);
    attach(&other, NULL);
    /* The same user, with nothing of its own: it may join. */
    assert_int_equal(claim(&other, fd, &got), -EXDEV);
    int own = sim_open(&other, LOOP, SOCK_STREAM, 0);
    assert_true(own >= 0);
    assert_int_equal(claim(&other, fd, &got), -EBUSY);
    close(fd);
    sim_detach(&other);
    sim_detach(&sim);
}

static void let_go_it_moves_with_all_it_holds(void **state)
{
    struct sim sim, other;
    struct dmm_export got;
    uint32_t l, c, s;
    char text[3000], seen[3000];
    (void)state;
    memset(text, 'x', sizeof(text));
    attach(&sim, NULL);
    attach(&other, NULL);
    assert_true(sim_open(&other, LOOP, SOCK_STREAM, 0) >= 0);
    assert_true(sim_open(&other, LOOP, SOCK_STREAM, 0) >= 0);
    pair_of(&sim, 86, &l, &c, &s);
    uint32_t sent = sim_write(&sim, c, text, sizeof(text));
    assert_int_equal(sent, sizeof(text));
    for (int i = 0; i < 50; i++)
        sim_pause(&sim);
    assert_int_equal(sim_read(&sim, s, seen, 1000), 1000);
    int fd = export_one(&sim, s);
    sim_close(&sim, s);
    assert_int_equal(claim(&other, fd, &got), 0);
    uint32_t here = got.parts[0].index;
    assert_int_equal(read_all(&other, here, seen, 2000), 2000);
    assert_memory_equal(seen, text, 2000);
    assert_int_equal(sim_write(&other, here, "answer", 6), 6);
    assert_int_equal(read_all(&sim, c, seen, 6), 6);
    assert_memory_equal(seen, "answer", 6);
    assert_int_equal(sim_socket(&other, here)->peer.port, sim_socket(&sim, c)->local.port);
    sim_close(&other, here);
    close(fd);
    assert_true(sim_wait_state(&sim, c, DMM_SS_EOF));
    sim_detach(&other);
    sim_detach(&sim);
}

static void a_listener_moves_with_its_queue(void **state)
{
    struct sim sim, other;
    struct dmm_export got;
    uint32_t l, c, s;
    char text[8];
    (void)state;
    attach(&sim, NULL);
    attach(&other, NULL);
    assert_true(sim_open(&other, LOOP, SOCK_STREAM, 0) >= 0);
    pair_of(&sim, 87, &l, &c, &s);
    int waiting = sim_open(&sim, LOOP, SOCK_STREAM, 0);
    assert_int_equal(sim_connect_to(&sim, (uint32_t)waiting, 87), 0);
    assert_true(sim_wait_state(&sim, (uint32_t)waiting, DMM_SS_CONNECTED));
    assert_int_equal(sim_write(&sim, (uint32_t)waiting, "queued", 6), 6);
    int fd = export_one(&sim, l);
    sim_close(&sim, l);
    assert_int_equal(claim(&other, fd, &got), 0);
    int taken = sim_wait_accept(&other, got.parts[0].index);
    assert_true(taken >= 0);
    assert_int_equal(read_all(&other, (uint32_t)taken, text, 6), 6);
    assert_memory_equal(text, "queued", 6);
    int later = sim_open(&sim, LOOP, SOCK_STREAM, 0);
    assert_int_equal(sim_connect_to(&sim, (uint32_t)later, 87), 0);
    assert_true(sim_wait_accept(&other, got.parts[0].index) >= 0);
    close(fd);
    sim_detach(&other);
    sim_detach(&sim);
}

/* A new owner of a channel numbers its commands from 1 again. */
static void old_replies_are_nobody_s(void **state)
{
    struct sim sim, child;
    (void)state;
    attach(&sim, NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sim_fork(&sim, &child), 0);
        const struct dmm_channel *channel = dmm_region_channel(child.region, child.channel);
        for (int r = 0; r < DMM_CHANNEL_REPLIES; r++)
            assert_int_equal(atomic_load(&channel->replies[r].done), 0);
        assert_true(sim_open(&child, LOOP, SOCK_STREAM, 0) >= 0);
        sim_detach(&child);
        for (int n = 0; n < 50; n++)
            sim_pause(&sim);
    }
    sim_detach(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_placeholder_is_an_error_to_who_knows_nothing),
        cmocka_unit_test(with_signals_one_byte_tells_of_news),
        cmocka_unit_test(it_keeps_the_socket_and_its_end_ends_it),
        cmocka_unit_test(its_client_lives_as_long),
        cmocka_unit_test(what_is_not_held_is_not_exported),
        cmocka_unit_test(only_the_file_itself_is_a_claim),
        cmocka_unit_test(while_held_it_stays),
        cmocka_unit_test(let_go_it_moves_with_all_it_holds),
        cmocka_unit_test(a_listener_moves_with_its_queue),
        cmocka_unit_test(old_replies_are_nobody_s),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

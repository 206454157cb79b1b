/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that lie: each word that an app writes, and each field of a command. A lie ends its client
 * and no other. */
#include "common/log.h"
#include "tests/unit/sidecar/local.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct scene {
    struct local local;
    struct dmm_client *liar, *other;
    struct sim sim, child, honest;
    uint32_t l, c, s;    /* the liar's: listener, client and server ends, connected */
    uint32_t hl, hc, hs; /* the honest one's */
};

static void make_pair(struct sim *sim, uint16_t port, uint32_t *l, uint32_t *c, uint32_t *s)
{
    *l = (uint32_t)sim_open(sim, 1, SOCK_STREAM, 0);
    assert_int_equal(sim_bind(sim, *l, port), 0);
    assert_int_equal(sim_listen(sim, *l, 8), 0);
    *c = (uint32_t)sim_open(sim, 1, SOCK_STREAM, 0);
    assert_int_equal(sim_connect_to(sim, *c, port), 0);
    int got = sim_wait_accept(sim, *l);
    assert_true(got >= 0);
    *s = (uint32_t)got;
    assert_true(sim_wait_state(sim, *c, DMM_SS_CONNECTED));
}

static struct scene scene;

static int set_up(void **state)
{
    (void)state;
    local_start(&scene.local, NULL);
    scene.liar = local_client(&scene.local, &scene.sim);
    scene.other = local_client(&scene.local, &scene.honest);
    make_pair(&scene.sim, 80, &scene.l, &scene.c, &scene.s);
    make_pair(&scene.honest, 81, &scene.hl, &scene.hc, &scene.hs);
    local_fork(&scene.local, scene.liar, &scene.sim, &scene.child);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    local_stop(&scene.local);
    close(scene.sim.bell);
    close(scene.honest.bell);
    close(scene.child.bell);
    return 0;
}

static void honest_goes_on(void)
{
    char buf[8] = "";
    assert_int_equal(scene.other->ended, false);
    assert_int_equal(sim_write(&scene.honest, scene.hc, "fine", 4), 4);
    for (int i = 0; i < 10; i++)
        sim_pause(&scene.honest);
    assert_int_equal(sim_read(&scene.honest, scene.hs, buf, sizeof(buf)), 4);
    assert_memory_equal(buf, "fine", 4);
}

static void expect_end(void)
{
    for (int i = 0; i < 4; i++)
        sim_pause(&scene.sim);
    assert_int_equal(scene.local.worker.stats.violations, 1);
    assert_int_equal(scene.local.ended, 1);
    assert_int_equal(scene.local.gone, 1);
    honest_goes_on();
}

static void expect_no_end(void)
{
    for (int i = 0; i < 4; i++)
        sim_pause(&scene.sim);
    assert_int_equal(scene.local.worker.stats.violations, 0);
    assert_int_equal(scene.local.ended, 0);
    honest_goes_on();
}

static struct dmm_command command_of(uint8_t op, uint32_t socket)
{
    return (struct dmm_command){.op = op, .socket = socket, .reply = DMM_NO_REPLY};
}

static void post(uint8_t op, uint32_t socket)
{
    struct dmm_command command = command_of(op, socket);
    sim_post(&scene.sim, &command);
}

static struct dmm_socket *shared(uint32_t socket)
{
    return sim_socket(&scene.sim, socket);
}

/* ---- ring words ---- */

static void rx_head_beyond_tail(void **state)
{
    (void)state;
    atomic_store(&shared(scene.s)->rx_head, 1);
    post(DMM_CMD_RECEIVED, scene.s);
    expect_end();
}

static void rx_head_backwards(void **state)
{
    char buf[4];
    (void)state;
    sim_write(&scene.sim, scene.c, "abcd", 4);
    sim_pause(&scene.sim);
    assert_int_equal(sim_read(&scene.sim, scene.s, buf, 4), 4);
    post(DMM_CMD_RECEIVED, scene.s);
    atomic_store(&shared(scene.s)->rx_head, 3);
    post(DMM_CMD_RECEIVED, scene.s);
    expect_end();
}

static void tx_tail_beyond_the_ring(void **state)
{
    (void)state;
    sim_write(&scene.sim, scene.c, "abcd", 4);
    atomic_store(&shared(scene.c)->tx_tail, 4 + DMM_TX_FIRST + 1);
    post(DMM_CMD_SEND, scene.c);
    expect_end();
}

static void tx_tail_without_a_ring(void **state)
{
    (void)state;
    atomic_store(&shared(scene.c)->tx_tail, 1);
    post(DMM_CMD_SEND, scene.c);
    expect_end();
}

static void tx_tail_backwards(void **state)
{
    (void)state;
    sim_write(&scene.sim, scene.c, "abcd", 4);
    atomic_store(&shared(scene.c)->tx_tail, 3);
    post(DMM_CMD_SEND, scene.c);
    expect_end();
}

static void tx_ring_forged(void **state)
{
    (void)state;
    uint64_t offer = atomic_load(&shared(scene.c)->tx_offer);
    atomic_store(&shared(scene.c)->tx_ring, offer + DMM_TX_FIRST);
    post(DMM_CMD_SEND, scene.c);
    expect_end();
}

static void tx_ring_larger_than_offered(void **state)
{
    (void)state;
    atomic_store(&shared(scene.c)->tx_ring, atomic_load(&shared(scene.c)->tx_offer) + 6);
    atomic_store(&shared(scene.c)->tx_tail, 1 << 17);
    post(DMM_CMD_SEND, scene.c);
    expect_end();
}

static void tx_ring_taken_back(void **state)
{
    (void)state;
    sim_write(&scene.sim, scene.c, "abcd", 4);
    atomic_store(&shared(scene.c)->tx_ring, 0);
    post(DMM_CMD_SEND, scene.c);
    expect_end();
}

static void accept_head_not_on_an_entry(void **state)
{
    (void)state;
    int another = sim_open(&scene.sim, 1, SOCK_STREAM, 0);
    sim_connect_to(&scene.sim, (uint32_t)another, 80);
    sim_pause(&scene.sim);
    atomic_fetch_add(&shared(scene.l)->rx_head, 2);
    post(DMM_CMD_RECEIVED, scene.l);
    expect_end();
}

static void a_datagram_longer_than_what_is_there(void **state)
{
    struct dmm_datagram_header header = {.len = 100};
    (void)state;
    uint32_t d = (uint32_t)sim_open(&scene.sim, 1, SOCK_DGRAM, 0);
    sim_write(&scene.sim, d, &header, sizeof(header));
    expect_end();
}

static void a_datagram_of_an_impossible_length(void **state)
{
    struct dmm_datagram_header header = {.len = UINT32_MAX - 3};
    (void)state;
    uint32_t d = (uint32_t)sim_open(&scene.sim, 1, SOCK_DGRAM, 0);
    sim_write(&scene.sim, d, &header, sizeof(header));
    expect_end();
}

static void a_datagram_to_an_unknown_family(void **state)
{
    struct dmm_datagram_header header = {.len = 0, .peer = {.family = 77}};
    (void)state;
    uint32_t d = (uint32_t)sim_open(&scene.sim, 1, SOCK_DGRAM, 0);
    sim_write(&scene.sim, d, &header, sizeof(header));
    expect_end();
}

static void a_datagram_cut_short(void **state)
{
    (void)state;
    uint32_t d = (uint32_t)sim_open(&scene.sim, 1, SOCK_DGRAM, 0);
    sim_write(&scene.sim, d, "12345678", 8);
    expect_end();
}

static void a_datagram_of_too_many_segments(void **state)
{
    struct {
        struct dmm_datagram_header header;
        char payload[DMM_SEGMENTS_MAX + 8]; /* cppcheck-suppress unusedStructMember */
    } out = {.header = {.len = DMM_SEGMENTS_MAX, .segment = 1}};
    (void)state;
    uint32_t d = (uint32_t)sim_open(&scene.sim, 1, SOCK_DGRAM, 0);
    sim_write(&scene.sim, d, &out, dmm_datagram_record_size(out.header.len));
    expect_no_end();
    out.header.len++;
    sim_write(&scene.sim, d, &out, dmm_datagram_record_size(out.header.len));
    expect_end();
}

/* ---- commands ---- */

static void unknown_ops(void **state)
{
    (void)state;
    post(DMM_CMD_COUNT, scene.c);
    expect_end();
}

static void op_zero(void **state)
{
    (void)state;
    post(DMM_CMD_NONE, scene.c);
    expect_end();
}

static void socket_beyond_the_table(void **state)
{
    (void)state;
    post(DMM_CMD_SEND, scene.local.limits.max_sockets);
    expect_end();
}

static void instance_beyond_the_table(void **state)
{
    (void)state;
    assert_true(sim_open(&scene.sim, 2, SOCK_STREAM, 0) < 0);
    expect_end();
}

static void reply_slot_beyond_the_table(void **state)
{
    (void)state;
    struct dmm_command command = command_of(DMM_CMD_LISTEN, scene.c);
    command.reply = DMM_CHANNEL_REPLIES;
    command.waitset = scene.sim.waitset;
    sim_post(&scene.sim, &command);
    expect_end();
}

static void sync_without_a_slot(void **state)
{
    (void)state;
    post(DMM_CMD_OPEN, 0);
    expect_end();
}

static void reply_to_another_process_s_waitset(void **state)
{
    (void)state;
    struct dmm_command command = command_of(DMM_CMD_LISTEN, scene.c);
    command.reply = 0;
    command.waitset = scene.child.waitset;
    sim_post(&scene.sim, &command);
    expect_end();
}

static void watch_with_another_process_s_waitset(void **state)
{
    (void)state;
    struct dmm_command command = command_of(DMM_CMD_WATCH, scene.c);
    command.watch.waitset = scene.child.waitset;
    sim_post(&scene.sim, &command);
    expect_end();
}

static void watch_with_a_waitset_beyond_the_table(void **state)
{
    (void)state;
    struct dmm_command command = command_of(DMM_CMD_WATCH, scene.c);
    command.watch.waitset = UINT32_MAX;
    sim_post(&scene.sim, &command);
    expect_end();
}

static void watch_slot_not_there(void **state)
{
    (void)state;
    struct dmm_command command = command_of(DMM_CMD_WATCH, scene.c);
    command.watch.waitset = scene.sim.waitset;
    command.watch.slot = DMM_WATCH_INLINE;
    sim_post(&scene.sim, &command);
    expect_end();
}

static void unwatch_slot_beyond_the_table(void **state)
{
    (void)state;
    struct dmm_command command = command_of(DMM_CMD_UNWATCH, scene.c);
    command.watch.slot = UINT32_MAX;
    sim_post(&scene.sim, &command);
    expect_end();
}

static void stalled_waitset_not_there(void **state)
{
    struct dmm_channel *channel = dmm_region_channel(scene.sim.region, scene.sim.channel);
    (void)state;
    atomic_store(&channel->stalled_waitset, 70000);
    atomic_store(&channel->stalled, 1);
    post(DMM_CMD_RECEIVED, scene.s);
    expect_end();
}

/* ---- what is refused only ---- */

static void sockets_of_no_one_are_refused(void **state)
{
    (void)state;
    post(DMM_CMD_SEND, 200);
    post(DMM_CMD_ACCEPTED, 200);
    post(DMM_CMD_ACCEPTED, scene.s); /* not queued any more */
    post(DMM_CMD_CLOSE, 200);
    assert_int_equal(sim_listen(&scene.sim, 200, 1), -EBADF);
    assert_int_equal(scene.liar->stats.refused, 5);
    expect_no_end();
}

static void sockets_of_another_process_are_refused(void **state)
{
    (void)state;
    uint32_t mine = (uint32_t)sim_open(&scene.sim, 1, SOCK_STREAM, 0);
    assert_int_equal(sim_bind(&scene.child, mine, 90), -EBADF);
    sim_close(&scene.child, mine);
    assert_int_equal(sim_bind(&scene.sim, mine, 90), 0);
    expect_no_end();
}

static void an_unclaimed_connection_cannot_be_accepted(void **state)
{
    (void)state;
    int c = sim_open(&scene.sim, 1, SOCK_STREAM, 0);
    sim_connect_to(&scene.sim, (uint32_t)c, 80);
    sim_pause(&scene.sim);
    struct dmm_socket *l = shared(scene.l);
    uint32_t index;
    uint64_t ring = atomic_load(&l->rx_ring);
    dmm_ring_read((char *)scene.sim.region + dmm_ring_offset(ring), dmm_ring_size(ring),
                  atomic_load(&l->rx_head), &index, sizeof(index));
    post(DMM_CMD_ACCEPTED, index);
    assert_int_equal(scene.liar->stats.refused, 1);
    assert_int_equal(sim_accept(&scene.sim, scene.l), (int)index);
    expect_no_end();
}

static void odd_values_are_refused(void **state)
{
    (void)state;
    struct dmm_command command = command_of(DMM_CMD_SETSOCKOPT, scene.c);
    command.opt.len = DMM_OPT_INLINE + 1;
    assert_int_equal(sim_call(&scene.sim, &command), -EINVAL);
    command = command_of(DMM_CMD_GETSOCKOPT, scene.c);
    command.opt.len = UINT32_MAX;
    assert_int_equal(sim_call(&scene.sim, &command), -ENOPROTOOPT);
    assert_int_equal(sim_open(&scene.sim, 0, SOCK_STREAM, 0), -EPROTONOSUPPORT);
    assert_int_equal(sim_open(&scene.sim, 1, SOCK_RAW, 0), -ESOCKTNOSUPPORT);
    command = command_of(DMM_CMD_BIND, (uint32_t)sim_open(&scene.sim, 1, SOCK_STREAM, 0));
    command.addr.family = 99;
    assert_int_equal(sim_call(&scene.sim, &command), -EAFNOSUPPORT);
    command = command_of(DMM_CMD_SHUTDOWN, scene.c);
    command.value = 77;
    sim_post(&scene.sim, &command);
    command = command_of(DMM_CMD_GROW, scene.c);
    command.value = UINT32_MAX;
    sim_post(&scene.sim, &command);
    expect_no_end();
}

static void the_head_is_never_read_again(void **state)
{
    (void)state;
    struct dmm_region saved = *scene.sim.region;
    struct dmm_region *head = scene.sim.region;
    memset(head, 0xff, offsetof(struct dmm_region, worker_armed));
    /* By hand, as the simulation reads the head too. */
    struct dmm_channel *channel =
        (struct dmm_channel *)((char *)head + saved.channels) + scene.sim.channel;
    uint32_t p = dmm_command_reserve(channel);
    struct dmm_command *slot = dmm_command_slot(channel, p);
    slot->op = DMM_CMD_RECEIVED;
    slot->socket = scene.s;
    dmm_command_publish(slot, p);
    local_turns(&scene.local, 3);
    memcpy(head, &saved, offsetof(struct dmm_region, worker_armed));
    expect_no_end();
}

static void the_region_cannot_be_resized(void **state)
{
    (void)state;
    assert_int_equal(ftruncate(scene.liar->memfd, 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(scene.liar->memfd, (off_t)scene.sim.size * 2), -1);
    assert_int_equal(fcntl(scene.liar->memfd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void the_ended_are_told(void **state)
{
    char c;
    (void)state;
    atomic_store(&shared(scene.s)->rx_head, 1);
    struct dmm_command command = command_of(DMM_CMD_RECEIVED, scene.s);
    /* The region goes with the client: hold a mapping of our own to look at. */
    int copy = dup(scene.liar->memfd);
    sim_post(&scene.sim, &command);
    assert_int_equal(recv(scene.sim.bell, &c, 1, MSG_DONTWAIT), 0);
    uint32_t closed = 0;
    assert_int_equal(pread(copy, &closed, sizeof(closed), offsetof(struct dmm_region, closed)), 4);
    assert_int_equal(closed, 1);
    close(copy);
    expect_end();
}

#define LIE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIE(rx_head_beyond_tail),
        LIE(rx_head_backwards),
        LIE(tx_tail_beyond_the_ring),
        LIE(tx_tail_without_a_ring),
        LIE(tx_tail_backwards),
        LIE(tx_ring_forged),
        LIE(tx_ring_larger_than_offered),
        LIE(tx_ring_taken_back),
        LIE(accept_head_not_on_an_entry),
        LIE(a_datagram_longer_than_what_is_there),
        LIE(a_datagram_of_an_impossible_length),
        LIE(a_datagram_to_an_unknown_family),
        LIE(a_datagram_cut_short),
        LIE(a_datagram_of_too_many_segments),
        LIE(unknown_ops),
        LIE(op_zero),
        LIE(socket_beyond_the_table),
        LIE(instance_beyond_the_table),
        LIE(reply_slot_beyond_the_table),
        LIE(sync_without_a_slot),
        LIE(reply_to_another_process_s_waitset),
        LIE(watch_with_another_process_s_waitset),
        LIE(watch_with_a_waitset_beyond_the_table),
        LIE(watch_slot_not_there),
        LIE(unwatch_slot_beyond_the_table),
        LIE(stalled_waitset_not_there),
        LIE(sockets_of_no_one_are_refused),
        LIE(sockets_of_another_process_are_refused),
        LIE(an_unclaimed_connection_cannot_be_accepted),
        LIE(odd_values_are_refused),
        LIE(the_head_is_never_read_again),
        LIE(the_region_cannot_be_resized),
        LIE(the_ended_are_told),
    };
    dmm_log_setup("test", DMM_LOG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

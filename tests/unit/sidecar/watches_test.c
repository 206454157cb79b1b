/* SPDX-License-Identifier: Apache-2.0 */
/* Who is told of news: all who watch, but of the exclusive watches those up to one that sleeps. */
#include "common/log.h"
#include "tests/unit/sidecar/local.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKERS 3

static struct local local;
static struct dmm_client *client;
static struct sim sims[WORKERS]; /* processes that share a listener, as a server's workers do */
static uint32_t listener;

static int set_up(void **state)
{
    (void)state;
    local_start(&local, NULL);
    client = local_client(&local, &sims[0]);
    for (int i = 1; i < WORKERS; i++)
        local_fork(&local, client, &sims[0], &sims[i]);
    listener = (uint32_t)sim_open(&sims[0], 1, SOCK_STREAM, 0);
    for (int i = 1; i < WORKERS; i++)
        dmm_sock_hold(client->sockets[listener], sims[i].process);
    assert_int_equal(sim_bind(&sims[0], listener, 80), 0);
    assert_int_equal(sim_listen(&sims[0], listener, 8), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    local_stop(&local);
    for (int i = 0; i < WORKERS; i++)
        close(sims[i].bell);
    return 0;
}

static void watch_all(uint32_t how)
{
    for (uint32_t i = 0; i < WORKERS; i++)
        sim_watch(&sims[i], listener, i, DMM_EV_IN | how);
    local_turns(&local, 2);
}

static void arm(int worker)
{
    dmm_arm(&dmm_region_waitset(sims[worker].region, sims[worker].waitset)->armed);
}

static bool armed(int worker)
{
    return atomic_load(&dmm_region_waitset(sims[worker].region, sims[worker].waitset)->armed);
}

static bool is_told(int worker)
{
    return sim_take_ready(&sims[worker], listener) & DMM_EV_IN;
}

static void a_connection_comes(void)
{
    uint32_t c = (uint32_t)sim_open(&sims[0], 1, SOCK_STREAM, 0);
    assert_int_equal(sim_connect_to(&sims[0], c, 80), 0);
    local_turns(&local, 3);
}

static void without_it_all_are_told(void **state)
{
    (void)state;
    watch_all(0);
    for (int i = 0; i < WORKERS; i++)
        arm(i);
    a_connection_comes();
    for (int i = 0; i < WORKERS; i++) {
        assert_false(armed(i));
        assert_true(is_told(i));
    }
}

static void of_the_exclusive_one_sleeper_is_told(void **state)
{
    (void)state;
    watch_all(DMM_EV_EXCLUSIVE);
    arm(1);
    arm(2);
    a_connection_comes();
    assert_true(is_told(0)); /* awake: whether it will look soon is not known */
    assert_true(is_told(1));
    assert_false(is_told(2));
    assert_false(armed(1));
    assert_true(armed(2));
}

static void the_next_one_wakes_another(void **state)
{
    (void)state;
    watch_all(DMM_EV_EXCLUSIVE);
    arm(1);
    arm(2);
    a_connection_comes();
    a_connection_comes(); /* 1 has been woken, but is not asleep again */
    assert_true(is_told(2));
    assert_false(armed(2));
}

static void what_the_dead_were_told_of_others_hear(void **state)
{
    (void)state;
    watch_all(DMM_EV_EXCLUSIVE);
    arm(2);
    arm(1);
    a_connection_comes();
    assert_false(is_told(2));
    close(sims[1].bell);
    local_exit(&local, client, &sims[1]);
    sims[1].bell = dup(0);
    local_turns(&local, 2);
    assert_true(is_told(2));
    assert_false(armed(2));
}

/* Threads end while a command of theirs that names their waitset is on its way. */
static void a_watch_may_be_on_its_way_when_its_waitset_goes(void **state)
{
    struct dmm_err err;
    (void)state;
    void (*turn)(void *) = sims[1].turn;
    sims[1].turn = NULL;
    sim_watch(&sims[1], listener, 1, DMM_EV_IN);
    assert_int_equal(dmm_client_remove_waitset(client, sims[1].process, sims[1].waitset, &err), 0);
    sims[1].turn = turn;
    local_turns(&local, 2);
    assert_false(client->ended);
    assert_int_equal(local.worker.stats.violations, 0);
    arm(2);
    sim_watch(&sims[2], listener, 2, DMM_EV_IN);
    a_connection_comes();
    assert_true(is_told(2));
}

/* The same where the command comes only after that: the slot is free for the next one. */
static void a_watch_may_come_after_its_waitset_went(void **state)
{
    struct dmm_err err;
    (void)state;
    assert_int_equal(dmm_client_remove_waitset(client, sims[1].process, sims[1].waitset, &err), 0);
    sim_watch(&sims[1], listener, 1, DMM_EV_IN);
    local_turns(&local, 2);
    assert_false(client->ended);
    assert_int_equal(local.worker.stats.violations, 0);
    assert_int_equal(atomic_load(&sim_socket(&sims[1], listener)->watches[1].owner), 0);
}

static void ends_are_told_to_all(void **state)
{
    (void)state;
    watch_all(DMM_EV_EXCLUSIVE);
    for (int i = 0; i < WORKERS; i++)
        arm(i);
    dmm_sock_dead(client->sockets[listener], 0);
    local_turns(&local, 1);
    for (int i = 0; i < WORKERS; i++)
        assert_true(is_told(i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_it_all_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_the_exclusive_one_sleeper_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_next_one_wakes_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_dead_were_told_of_others_hear, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_watch_may_come_after_its_waitset_went, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_watch_may_be_on_its_way_when_its_waitset_goes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(ends_are_told_to_all, set_up, tear_down),
    };
    dmm_log_setup("test", DMM_LOG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

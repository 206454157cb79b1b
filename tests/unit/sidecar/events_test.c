/* SPDX-License-Identifier: Apache-2.0 */
/*
 * News under real threads: a worker that sleeps, apps that sleep, and one that tears at its own
 * ready list meanwhile. Nothing is lost, and the worker never hangs. Run it under TSan, too.
 */
#include "common/log.h"
#include "tests/unit/sidecar/local.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 3000

static struct local local;

/* A client made on the worker, used from a thread. */
struct app {
    struct sim sim;
    struct dmm_client *client;
    uint32_t l, c, s;
    _Atomic bool stop;
    unsigned rounds, lost;
};

static void make_client(void *arg)
{
    struct app *app = arg;
    app->client = local_client(&local, &app->sim);
    app->sim.turn = NULL;
    app->sim.doorbell = app->client->doorbell;
}

static void connect_app(struct app *app, uint16_t port)
{
    memset(app, 0, sizeof(*app));
    dmm_worker_call(&local.worker, make_client, app);
    int l = sim_open(&app->sim, 1, SOCK_STREAM, 0);
    assert_true(l >= 0);
    app->l = (uint32_t)l;
    assert_int_equal(sim_bind(&app->sim, app->l, port), 0);
    assert_int_equal(sim_listen(&app->sim, app->l, 4), 0);
    app->c = (uint32_t)sim_open(&app->sim, 1, SOCK_STREAM, 0);
    assert_int_equal(sim_connect_to(&app->sim, app->c, port), 0);
    int s = sim_wait_accept(&app->sim, app->l);
    assert_true(s >= 0);
    app->s = (uint32_t)s;
    assert_true(sim_wait_state(&app->sim, app->c, DMM_SS_CONNECTED));
}

static int set_up(void **state)
{
    struct dmm_err err;
    (void)state;
    local_start(&local, NULL);
    assert_int_equal(dmm_worker_start(&local.worker, &err), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dmm_worker_stop(&local.worker);
    local_stop(&local);
    return 0;
}

/* One byte to and fro, asleep in between: a lost wake-up is two seconds of silence. */
static void *ping_pong(void *arg)
{
    struct app *app = arg;
    char byte = 0;
    sim_watch(&app->sim, app->c, 0, DMM_EV_IN);
    sim_watch(&app->sim, app->s, 0, DMM_EV_IN);
    for (; app->rounds < ROUNDS && !app->lost; app->rounds++) {
        uint32_t from = app->rounds & 1 ? app->s : app->c;
        uint32_t to = app->rounds & 1 ? app->c : app->s;
        if (!sim_write(&app->sim, from, "x", 1))
            app->lost++;
        while (!sim_read(&app->sim, to, &byte, 1) && !app->lost) {
            if (!sim_sleep(&app->sim, 2000))
                app->lost++;
            sim_take_ready(&app->sim, to);
        }
    }
    return NULL;
}

static void no_wake_up_is_lost(void **state)
{
    struct app apps[2];
    pthread_t threads[2];
    (void)state;
    for (int i = 0; i < 2; i++)
        connect_app(&apps[i], (uint16_t)(80 + i));
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, ping_pong, &apps[i]);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(apps[i].lost, 0);
        assert_int_equal(apps[i].rounds, ROUNDS);
        close(apps[i].sim.bell);
    }
}

/* Changes the list's head, what is pending, who is armed, as fast as it can. */
static void *tear(void *arg)
{
    struct app *app = arg;
    struct dmm_waitset *waitset = dmm_region_waitset(app->sim.region, app->sim.waitset);
    struct dmm_socket *s = sim_socket(&app->sim, app->s);
    unsigned seed = 5;
    while (!atomic_load(&app->stop)) {
        uint32_t r = (uint32_t)rand_r(&seed);
        atomic_store(&waitset->ready, r % 3 ? r : 0);
        atomic_store(&s->watches[0].pending, r & 4);
        atomic_store(&s->watches[0].next, r);
        atomic_store(&waitset->armed, r & 1);
        atomic_store(&s->rx_notify, r >> 3 & 1);
        atomic_store(&s->tx_nospace, r >> 4 & 1);
        atomic_store(&sim_socket(&app->sim, app->c)->send_queued, 0);
        atomic_store(&app->sim.region->worker_armed, r >> 5 & 1);
    }
    return NULL;
}

static void *feed(void *arg)
{
    struct app *app = arg;
    char buf[512] = "";
    sim_watch(&app->sim, app->s, 0, DMM_EV_IN | DMM_EV_OUT);
    while (!atomic_load(&app->stop)) {
        sim_write(&app->sim, app->c, buf, sizeof(buf));
        sim_read(&app->sim, app->s, buf, sizeof(buf));
    }
    return NULL;
}

static void a_hostile_list_harms_no_one_else(void **state)
{
    struct app hostile, honest;
    pthread_t tearing, feeding, playing;
    (void)state;
    connect_app(&hostile, 80);
    connect_app(&honest, 81);
    pthread_create(&tearing, NULL, tear, &hostile);
    pthread_create(&feeding, NULL, feed, &hostile);
    pthread_create(&playing, NULL, ping_pong, &honest);
    pthread_join(playing, NULL);
    atomic_store(&hostile.stop, true);
    pthread_join(tearing, NULL);
    pthread_join(feeding, NULL);
    assert_int_equal(honest.lost, 0);
    assert_int_equal(honest.rounds, ROUNDS);
    close(hostile.sim.bell);
    close(honest.sim.bell);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_wake_up_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hostile_list_harms_no_one_else, set_up, tear_down),
    };
    dmm_log_setup("test", DMM_LOG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

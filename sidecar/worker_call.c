/* SPDX-License-Identifier: Apache-2.0 */
/* Calls from other threads, run between turns. The lock is taken only when there are some. */
#include "sidecar/worker.h"
#include "sidecar/worker_sleep.h"

#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 2 /* then it is said that the worker keeps a caller waiting */

static void enqueue(struct dmm_worker *worker, struct dmm_call *call)
{
    const uint64_t one = 1;
    call->next = NULL;
    *worker->calls_end = call;
    worker->calls_end = &call->next;
    atomic_store_explicit(&worker->calls_waiting, 1, memory_order_release);
    (void)!write(worker->call_fd, &one, sizeof(one));
}

/* Under the lock. Whoever waits answers nobody meanwhile, so the log is the only place to say it.
 */
static void wait_for(struct dmm_worker *worker, const struct dmm_call *call)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_S;
    int rc = 0;
    while (!call->done && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&worker->done, &worker->lock, &until);
    if (call->done)
        return;
    dmm_log(DMM_LOG_ERROR,
            "the worker is stuck: thread " DMM_WORKER_THREAD
            " has made no turn for %d s; nothing is answered until it does",
            PATIENCE_S);
    while (!call->done)
        pthread_cond_wait(&worker->done, &worker->lock);
    dmm_log(DMM_LOG_INFO, "the worker turns again");
}

void dmm_worker_call(struct dmm_worker *worker, void (*fn)(void *), void *arg)
{
    if (!worker->started) {
        fn(arg);
        return;
    }
    struct dmm_call call = {.fn = fn, .arg = arg};
    pthread_mutex_lock(&worker->lock);
    enqueue(worker, &call);
    wait_for(worker, &call);
    pthread_mutex_unlock(&worker->lock);
}

bool dmm_worker_post(struct dmm_worker *worker, void (*fn)(void *), void *arg)
{
    struct dmm_call *call = malloc(sizeof(*call));
    if (!call)
        return false;
    *call = (struct dmm_call){.fn = fn, .arg = arg, .async = true};
    pthread_mutex_lock(&worker->lock);
    enqueue(worker, call);
    pthread_mutex_unlock(&worker->lock);
    return true;
}

unsigned dmm_worker_run_calls(struct dmm_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    struct dmm_call *calls = worker->calls;
    worker->calls = NULL;
    worker->calls_end = &worker->calls;
    atomic_store_explicit(&worker->calls_waiting, 0, memory_order_relaxed);
    pthread_mutex_unlock(&worker->lock);

    unsigned n = 0;
    for (struct dmm_call *next; calls; calls = next, n++) {
        next = calls->next;
        calls->fn(calls->arg);
        if (calls->async) {
            free(calls);
            continue;
        }
        /* From here on the caller may be gone, and `calls` with it. */
        pthread_mutex_lock(&worker->lock);
        calls->done = true;
        pthread_cond_broadcast(&worker->done);
        pthread_mutex_unlock(&worker->lock);
    }
    return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel: a hierarchical timing wheel. Arm and disarm in O(1), no allocation.
 *
 * Eight levels of 64 slots, one tick is 2^14 ns (16 us). Invariants, with `tick` the wheel's place:
 *   - every armed timer's expiry tick is greater than `tick` (one already due is put at tick + 1);
 *   - it lies on the level of the highest 6-bit digit in which its expiry differs from `tick`, in
 *     the slot of that digit; so occupied slots are ahead of the place on their level, the lowest
 *     occupied level holds the next expiry, and moving the place up to the next slot's start
 *     keeps the order;
 *   - bit s of bitmap[l] is set exactly when one of the lists of slot s of level l is not empty.
 * A timer fires when the place comes to its slot: on the lowest level at most one tick late, on a
 * higher one early. Its function looks at what is due and arms it again for what is not. So a
 * deadline that has moved on meanwhile, as most that guard a connection do, is looked at once, not
 * once a level on its way down. Firing may arm and disarm any timer, the firing one included (it is
 * disarmed when its function is called).
 *
 * Timers are embedded in their owners, who disarm them before they go. One thread.
 */
#ifndef DMM_SIDECAR_TCPIP_WHEEL_H
#define DMM_SIDECAR_TCPIP_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_LEVELS     8
#define WHEEL_SLOTS      64
#define WHEEL_TICK_SHIFT 14
/* Each slot is so many lists, filled in turn and walked side by side: of 100,000 timers each is a
 * cache miss that its own list can't go on without, and the other lists can. */
#define WHEEL_WAYS 8

struct tcpip;
struct wheel_timer;

/* Called at the deadline, or before it. */
typedef void wheel_fire_fn(struct tcpip *ip, struct wheel_timer *timer);

struct wheel_timer {
    struct wheel_timer *next;
    struct wheel_timer **pprev; /* NULL: not armed */
    uint64_t expires;           /* in ticks */
    wheel_fire_fn *fire;        /* set by the owner before the first arm */
};

struct wheel {
    uint64_t tick;
    uint64_t bitmap[WHEEL_LEVELS];
    struct wheel_timer *slots[WHEEL_LEVELS][WHEEL_SLOTS][WHEEL_WAYS];
    struct wheel_timer *due[WHEEL_WAYS]; /* being fired */
    unsigned way;                        /* of the timer that is armed next */
};

/* `now` in ns, as in all of these. */
void wheel_init(struct wheel *wheel, uint64_t now);
/* Arms, or moves, the timer to fire at `deadline` (ns) or as soon after as a tick allows. */
void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline);
void wheel_disarm(struct wheel *wheel, struct wheel_timer *timer);
/* Disarms all timers, so that their owners may go in any order: a timer that is armed has links
 * into those that share its slot. */
void wheel_clear(struct wheel *wheel);
/* Fires what `now` has come to, early as said above. Returns how many timers fired. */
unsigned wheel_advance(struct wheel *wheel, struct tcpip *ip, uint64_t now);
/* When wheel_advance must be called next (ns): not after the earliest deadline's tick, perhaps
 * before it where a far timer fires early. UINT64_MAX without timers. */
uint64_t wheel_next(const struct wheel *wheel);

static inline bool wheel_armed(const struct wheel_timer *timer)
{
    return timer->pprev != 0;
}

#endif

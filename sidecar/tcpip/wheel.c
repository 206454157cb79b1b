/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/tcpip/wheel.h"

#include <string.h>

#define DIGIT_BITS 6
/* The horizon: 2^48 ticks are 146 years; a later deadline is brought in to it. */
#define MAX_TICKS ((1ULL << (DIGIT_BITS * WHEEL_LEVELS)) - 1)

static void list_push(struct wheel_timer **head, struct wheel_timer *timer)
{
    timer->next = *head;
    timer->pprev = head;
    if (timer->next != NULL)
        timer->next->pprev = &timer->next;
    *head = timer;
}

static void list_remove(struct wheel_timer *timer)
{
    *timer->pprev = timer->next;
    if (timer->next != NULL)
        timer->next->pprev = timer->pprev;
    timer->pprev = NULL;
}

/* `timer->expires` > tick. */
static void place(struct wheel *wheel, struct wheel_timer *timer)
{
    const unsigned level =
        (unsigned)(63 - __builtin_clzll(timer->expires ^ wheel->tick)) / DIGIT_BITS;
    const unsigned slot = (timer->expires >> (level * DIGIT_BITS)) % WHEEL_SLOTS;

    list_push(&wheel->slots[level][slot], timer);
    wheel->bitmap[level] |= 1ULL << slot;
}

void wheel_init(struct wheel *wheel, uint64_t now)
{
    memset(wheel, 0, sizeof(*wheel));
    wheel->tick = now >> WHEEL_TICK_SHIFT;
}

void wheel_disarm(struct wheel *wheel, struct wheel_timer *timer)
{
    if (timer->pprev == NULL)
        return;

    struct wheel_timer **first = &wheel->slots[0][0];
    const uintptr_t at = (uintptr_t)timer->pprev - (uintptr_t)first;

    list_remove(timer);
    /* It was the head of a slot and nothing follows: the slot is empty now. */
    if (at < sizeof(wheel->slots) && timer->next == NULL) {
        const unsigned index = (unsigned)(at / sizeof(*first));
        wheel->bitmap[index / WHEEL_SLOTS] &= ~(1ULL << (index % WHEEL_SLOTS));
    }
}

void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline)
{
    const uint64_t round = (1ULL << WHEEL_TICK_SHIFT) - 1;
    uint64_t expires = (deadline >> WHEEL_TICK_SHIFT) + ((deadline & round) != 0);

    if (expires <= wheel->tick)
        expires = wheel->tick + 1;
    if ((expires ^ wheel->tick) > MAX_TICKS)
        expires = wheel->tick | MAX_TICKS;
    if (timer->pprev != NULL) {
        if (timer->expires == expires)
            return;
        wheel_disarm(wheel, timer);
    }
    timer->expires = expires;
    place(wheel, timer);
}

void wheel_clear(struct wheel *wheel)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
            for (struct wheel_timer *t = wheel->slots[level][slot]; t != NULL; t = t->next)
                t->pprev = NULL;
            wheel->slots[level][slot] = NULL;
        }
        wheel->bitmap[level] = 0;
    }
}

/* The start of the next occupied slot, in ticks; false if there is none. */
static bool next_slot(const struct wheel *wheel, unsigned *level, unsigned *slot, uint64_t *tick)
{
    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        if (wheel->bitmap[l] == 0)
            continue;
        const unsigned shift = l * DIGIT_BITS;
        const uint64_t above = wheel->tick >> shift >> DIGIT_BITS;

        *level = l;
        *slot = (unsigned)__builtin_ctzll(wheel->bitmap[l]);
        *tick = (above << DIGIT_BITS | *slot) << shift;
        return true;
    }
    return false;
}

/* Takes a slot's list as `due`, keeping the heads' back pointers right. */
static void take_slot(struct wheel *wheel, unsigned level, unsigned slot)
{
    wheel->due = wheel->slots[level][slot];
    wheel->due->pprev = &wheel->due;
    wheel->slots[level][slot] = NULL;
    wheel->bitmap[level] &= ~(1ULL << slot);
}

unsigned wheel_advance(struct wheel *wheel, struct tcpip *ip, uint64_t now)
{
    const uint64_t target = now >> WHEEL_TICK_SHIFT;
    unsigned fired = 0;
    unsigned level, slot;
    uint64_t tick;

    while (next_slot(wheel, &level, &slot, &tick) && tick <= target) {
        wheel->tick = tick;
        take_slot(wheel, level, slot);
        while (wheel->due != NULL) {
            struct wheel_timer *timer = wheel->due;

            list_remove(timer);
            __builtin_prefetch(wheel->due);
            if (timer->expires > wheel->tick) {
                place(wheel, timer);
            } else {
                timer->fire(ip, timer);
                fired++;
            }
        }
    }
    if (target > wheel->tick)
        wheel->tick = target;
    return fired;
}

uint64_t wheel_next(const struct wheel *wheel)
{
    unsigned level, slot;
    uint64_t tick;

    if (!next_slot(wheel, &level, &slot, &tick))
        return UINT64_MAX;
    return tick << WHEEL_TICK_SHIFT;
}

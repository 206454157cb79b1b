/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/options.h"

#include "preload/calls.h"
#include "preload/cork.h"
#include "preload/decide.h"
#include "preload/linux_options.h"
#include "preload/option_part.h"
#include "preload/policy.h"
#include "preload/report.h"
#include "preload/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

static struct option_socket kind_of(const struct entry *entry)
{
    return (struct option_socket){.family = entry->family, .type = entry->type};
}

bool options_need_no_answer(const struct client *client, uint32_t instance,
                            const struct record *record)
{
    const struct option_socket stream = {.family = AF_INET6, .type = SOCK_STREAM};
    for (uint32_t i = 0; i < record->n; i++) {
        const struct record_option *option = &record->options[i];
        int error;
        const struct linux_option *known =
            linux_option_find(&stream, option->level, option->name, true, &error);
        bool own = known && known->how != HOW_STACK && known->how != HOW_BUFFER &&
                   known->how != HOW_BUF_LOCK;
        if (!own && !option_is_taken(client, instance,
                                     option_plain_bit(option->level, option->name, option->len)))
            return false;
    }
    return true;
}

/* ---- set ---- */

/* One setsockopt: what the app gave, and what it means to a stack. */
struct setting {
    int level, name;
    const void *value;
    socklen_t len;
    int stack_name;
    const void *stack_value;
    socklen_t stack_len;
    struct option_value room;
};

static int set_on_part(const struct entry *entry, struct client *client, const struct part *part,
                       const struct setting *s)
{
    const struct option_socket kind = kind_of(entry);
    return option_set_part(client, part, &kind, s->level, s->stack_name, s->stack_value,
                           s->stack_len);
}

static void remember(struct entry *entry, const struct setting *s)
{
    static const uint8_t none[RECORD_VALUE];
    const struct option_socket kind = kind_of(entry);
    int error;
    const struct linux_option *option =
        linux_option_find(&kind, s->level, s->stack_name, true, &error);
    uint32_t most = option ? linux_option_reads(option) : RECORD_VALUE;
    uint32_t len = s->stack_len < most ? s->stack_len : most;
    len = len < RECORD_VALUE ? len : RECORD_VALUE;
    /* Options that a list would not hold are few and far between; the last ones win. */
    record_add(&entry->late->record, s->level, s->stack_name,
               s->stack_value ? s->stack_value : none, len);
}

static int set_undecided(int fd, struct entry *entry, const struct setting *s)
{
    int r = entry_need_late(entry);
    if (r < 0)
        return r;
    if (entry->kernel) {
        if (REAL(setsockopt)(fd, s->level, s->name, s->value, s->len) < 0)
            return -errno;
    } else {
        uint8_t bit = option_plain_bit(s->level, s->name, s->len);
        bool known = entry->type == SOCK_STREAM && entry->late->n_parts == 0 && entry->client &&
                     option_is_taken(entry->client, policy_default(entry->client), bit);
        struct part *probe = known && s->value ? NULL : decide_probe(entry);
        if (probe)
            r = set_on_part(entry, entry->client, probe, s);
        if (r < 0)
            return r;
    }
    remember(entry, s);
    return 0;
}

static int set_multi(int fd, struct entry *entry, const struct setting *s)
{
    int r = 0;
    bool any = false;
    if (entry->kernel && REAL(setsockopt)(fd, s->level, s->name, s->value, s->len) < 0)
        r = -errno;
    else
        any = entry->kernel;
    for (uint32_t i = 0; i < socket_parts(entry); i++) {
        int e = set_on_part(entry, entry->client, socket_part(entry, i), s);
        any = any || e == 0;
        r = r < 0 && r != -ENODEV ? r : e;
    }
    /* A group is joined where the interface is; elsewhere there is none such. */
    return any && record_adds_up(s->level, s->stack_name) ? 0 : r;
}

int options_set(int fd, struct entry *entry, int level, int name, const void *value, socklen_t len)
{
    struct setting s = {.level = level,
                        .name = name,
                        .value = value,
                        .len = len,
                        .stack_name = name,
                        .stack_value = value,
                        .stack_len = len};
    const struct option_socket kind = kind_of(entry);
    if ((int)len < 0)
        return -EINVAL;
    int r = option_translate(&kind, level, &s.stack_name, &s.stack_value, &s.stack_len, &s.room);
    if (r < 0)
        return r;
    lock_take(&entry->lock, LOCK_PRIVATE);
    bool decided = entry->phase != PHASE_UNDECIDED;
    if (decided && level == IPPROTO_IPV6 && name == IPV6_V6ONLY && entry->family == AF_INET6)
        r = -EINVAL; /* ipv6(7): before the bind only */
    else if (!decided)
        r = set_undecided(fd, entry, &s);
    else if (entry->phase == PHASE_STACK)
        r = set_on_part(entry, entry->client, &entry->part, &s);
    else
        r = set_multi(fd, entry, &s);
    /* A bound socket may have to be set up again (recover.h). */
    if (r == 0 && decided && entry->late)
        remember(entry, &s);
    lock_drop(&entry->lock);
    if (r == 0 && level == IPPROTO_UDP && name == UDP_CORK)
        cork_changed(entry);
    return r;
}

void options_replay(struct client *client, const struct entry *entry, const struct part *part,
                    const struct record *record)
{
    const struct option_socket kind = kind_of(entry);
    for (uint32_t i = 0; i < record->n; i++) {
        const struct record_option *option = &record->options[i];
        /* An IPv6 socket that speaks IPv4 here: the version is decided. */
        if (option->level == IPPROTO_IPV6 && option->name == IPV6_V6ONLY &&
            part->family != entry->family)
            continue;
        int r = option_set_part(client, part, &kind, option->level, option->name, option->value,
                                option->len);
        if (r < 0)
            report(REPORT_OPTION,
                   "option level=%d name=%d, set before the stack was known, does not work there: "
                   "%s",
                   option->level, option->name, strerror(-r));
    }
}

/* ---- get ---- */

/* Linux: a socket that is bound to an IPv6 address speaks IPv6 only. */
static bool is_v6_by_bind(const struct entry *entry, int level, int name)
{
    return level == IPPROTO_IPV6 && name == IPV6_V6ONLY && entry->family == AF_INET6 &&
           !entry->kernel && entry->late && entry->late->bound.family == AF_INET6 &&
           !dmm_addr_is_any(&entry->late->bound);
}

static int get_locked(int fd, struct entry *entry, int level, int name, void *value, socklen_t *len)
{
    const struct option_socket kind = kind_of(entry);
    if (is_v6_by_bind(entry, level, name)) {
        linux_option_give(level, 1, value, len);
        return 0;
    }
    if (entry->phase == PHASE_STACK)
        return option_get_part(entry->client, &entry->part, &kind, level, name, value, len);
    if (entry->kernel)
        return REAL(getsockopt)(fd, level, name, value, len) < 0 ? -errno : 0;
    struct part *part = entry->phase == PHASE_MULTI ? socket_part(entry, 0) : decide_probe(entry);
    return part ? option_get_part(entry->client, part, &kind, level, name, value, len) : -ENETDOWN;
}

int options_get(int fd, struct entry *entry, int level, int name, void *value, socklen_t *len)
{
    if (!value || !len)
        return -EFAULT;
    if ((int)*len < 0)
        return -EINVAL;
    lock_take(&entry->lock, LOCK_PRIVATE);
    int r = get_locked(fd, entry, level, name, value, len);
    lock_drop(&entry->lock);
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/record.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

bool record_adds_up(int level, int name)
{
    if (level == IPPROTO_IP)
        return name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP ||
               name == IP_ADD_SOURCE_MEMBERSHIP || name == IP_DROP_SOURCE_MEMBERSHIP;
    if (level == IPPROTO_IPV6)
        return name == IPV6_JOIN_GROUP || name == IPV6_LEAVE_GROUP;
    return false;
}

int record_add(struct record *record, int level, int name, const void *value, uint32_t len)
{
    if (len > RECORD_VALUE)
        return -EINVAL;
    uint32_t at = record->n;
    if (!record_adds_up(level, name)) {
        for (uint32_t i = 0; i < record->n; i++) {
            if (record->options[i].level == level && record->options[i].name == name)
                at = i;
        }
    }
    if (at == RECORD_OPTIONS)
        return -ENOBUFS;
    /* The latest setting comes last, as it was made. */
    if (at < record->n) {
        memmove(&record->options[at], &record->options[at + 1],
                (record->n - at - 1) * sizeof(record->options[0]));
        record->n--;
    }
    struct record_option *option = &record->options[record->n++];
    option->level = level;
    option->name = name;
    option->len = len;
    memcpy(option->value, value, len);
    return 0;
}

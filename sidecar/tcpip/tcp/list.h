/* SPDX-License-Identifier: Apache-2.0 */
/* list: a doubly linked ring with a head, for queues that lose members in the middle. Pure. */
#ifndef DMM_SIDECAR_TCPIP_TCP_LIST_H
#define DMM_SIDECAR_TCPIP_TCP_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next, *prev; /* NULL: in no list */
};

#define list_entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list_node *head)
{
    head->next = head->prev = head;
}

static inline bool list_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline bool list_linked(const struct list_node *node)
{
    return node->next != NULL;
}

static inline void list_add_tail(struct list_node *head, struct list_node *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* Does nothing if the node is in no list. */
static inline void list_del(struct list_node *node)
{
    if (node->next == NULL)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

/* All of `from` goes to the end of `to`. */
static inline void list_splice(struct list_node *to, struct list_node *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif

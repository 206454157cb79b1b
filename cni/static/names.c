/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names: in place of libc's look-ups by name, which a static program cannot do: they load the
 * system's NSS modules. libnl would ask for names of hosts and protocols that it is given as text;
 * the plugin gives it none, and these say so if it ever does. Linked into the static plugin alone.
 */
#include <netdb.h>
#include <stddef.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    (void)node;
    (void)service;
    (void)hints;
    *found = NULL;
    return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *found)
{
    (void)found;
}

struct protoent *getprotobyname(const char *name)
{
    (void)name;
    return NULL;
}

struct protoent *getprotobynumber(int number)
{
    (void)number;
    return NULL;
}

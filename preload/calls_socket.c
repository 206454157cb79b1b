/* SPDX-License-Identifier: Apache-2.0 */
/* The intercepted calls on sockets as such. Each asks the fd table, and passes by what is not ours.
 */
#include "preload/calls.h"
#include "preload/decide.h"
#include "preload/establish.h"
#include "preload/options.h"
#include "preload/result.h"

int socket(int domain, int type, int protocol)
{
    if (domain != AF_INET && domain != AF_INET6)
        return REAL(socket)(domain, type, protocol);
    return (int)result(decide_new(domain, type, protocol));
}

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(bind)(fd, addr, len);
    int r = establish_bind(fd, entry, addr, len);
    entry_put(entry);
    return (int)result(r);
}

int listen(int fd, int backlog)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(listen)(fd, backlog);
    int r = establish_listen(fd, entry, backlog);
    entry_put(entry);
    return (int)result(r);
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(accept4)(fd, addr, len, flags);
    int r = establish_accept(fd, entry, addr, len, flags);
    entry_put(entry);
    return (int)result(r);
}

int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(accept)(fd, addr, len);
    int r = establish_accept(fd, entry, addr, len, 0);
    entry_put(entry);
    return (int)result(r);
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(connect)(fd, addr, len);
    int r = establish_connect(fd, entry, addr, len);
    entry_put(entry);
    return (int)result(r);
}

int shutdown(int fd, int how)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(shutdown)(fd, how);
    int r = establish_shutdown(fd, entry, how);
    entry_put(entry);
    return (int)result(r);
}

int getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(getsockname)(fd, addr, len);
    int r = establish_name(fd, entry, addr, len);
    entry_put(entry);
    return (int)result(r);
}

int getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(getpeername)(fd, addr, len);
    int r = establish_peer(fd, entry, addr, len);
    entry_put(entry);
    return (int)result(r);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(getsockopt)(fd, level, name, value, len);
    int r = options_get(fd, entry, level, name, value, len);
    entry_put(entry);
    return (int)result(r);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    struct entry *entry = entry_get_socket(fd);
    if (!entry)
        return REAL(setsockopt)(fd, level, name, value, len);
    int r = options_set(fd, entry, level, name, value, len);
    entry_put(entry);
    return (int)result(r);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls: the one table of calls that the shim intercepts. From it come the exports, the pointers to
 * the real functions, and the list that the tests compare with the library's symbols.
 *
 * Each name must be declared by a libc header below (or here, for the fortified variants that no
 * header declares) and be defined in one of the calls_*.c files. Inside the shim, the plain name is
 * the shim's own function: REAL(name) is libc's.
 *
 * Pointers are resolved on first use, by any thread, before or after constructors have run:
 * resolving twice gives the same answer, so no lock is needed.
 */
#ifndef DMM_PRELOAD_CALLS_H
#define DMM_PRELOAD_CALLS_H

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Types in which the C libraries differ. */
#ifdef __GLIBC__
typedef unsigned long libc_request;
typedef int libc_message_flags;
#else
typedef int libc_request;
typedef unsigned libc_message_flags;
int close_range(unsigned first, unsigned last, int flags);
int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags);
#endif

/* The names are libc's, and the table is made of names.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,bugprone-macro-parentheses)
 */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *from,
                       socklen_t *fromlen);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
                size_t room);
int __dprintf_chk(int fd, int flag, const char *format, ...) __attribute__((format(printf, 3, 4)));
int __vdprintf_chk(int fd, int flag, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* clang-format off */
#ifdef __GLIBC__
#define DMM_CALLS_OF_LIBC(X) \
    X(__read_chk) X(__recv_chk) X(__recvfrom_chk) X(__poll_chk) X(__ppoll_chk) \
    X(__dprintf_chk) X(__vdprintf_chk) X(sendfile64) X(fcntl64) \
    X(closefrom) X(epoll_pwait2) X(preadv2) X(preadv64v2) X(pwritev2) X(pwritev64v2)
#else
#define DMM_CALLS_OF_LIBC(X) X(fileno)
#endif

#define DMM_CALLS(X) \
    DMM_CALLS_OF_LIBC(X) \
    X(socket) X(bind) X(listen) X(accept) X(accept4) X(connect) X(shutdown) \
    X(getsockname) X(getpeername) X(getsockopt) X(setsockopt) \
    X(read) X(write) X(readv) X(writev) \
    X(recv) X(recvfrom) X(recvmsg) X(recvmmsg) X(send) X(sendto) X(sendmsg) X(sendmmsg) X(sendfile) \
    X(splice) \
    X(close) X(close_range) X(dup) X(dup2) X(dup3) X(fcntl) X(ioctl) \
    X(fdopen) X(fclose) X(dprintf) X(vdprintf) \
    X(poll) X(ppoll) X(select) X(pselect) \
    X(epoll_create) X(epoll_create1) X(epoll_ctl) X(epoll_wait) X(epoll_pwait) \
    X(fork) X(vfork) X(_Fork) X(clone) X(daemon) X(syscall) \
    X(execve) X(execv) X(execvp) X(execvpe) X(execl) X(execlp) X(execle) X(fexecve) X(execveat) \
    X(posix_spawn) X(posix_spawnp) X(posix_spawn_file_actions_adddup2) X(system) X(popen)
/* clang-format on */

#define DMM_CALL_ID(name) DMM_CALL_##name,
enum dmm_call { DMM_CALLS(DMM_CALL_ID) DMM_CALL_COUNT };
#undef DMM_CALL_ID

#define DMM_CALL_EXPORT(name) extern __typeof__(name) name __attribute__((visibility("default")));
DMM_CALLS(DMM_CALL_EXPORT)
#undef DMM_CALL_EXPORT

extern const char *const dmm_call_names[DMM_CALL_COUNT];
/* relaxed: the value is the same whoever stores it, and is published by the loader. */
extern void *_Atomic dmm_call_pointers[DMM_CALL_COUNT];

/* libc's function. Ends the process with a message if libc has none by that name. */
void *dmm_call_resolve(enum dmm_call call);

static inline void *dmm_call_real(enum dmm_call call)
{
    void *pointer = atomic_load_explicit(&dmm_call_pointers[call], memory_order_relaxed);
    return __builtin_expect(pointer != NULL, 1) ? pointer : dmm_call_resolve(call);
}
#define REAL(name) (*(__typeof__(&(name)))dmm_call_real(DMM_CALL_##name))

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,bugprone-macro-parentheses) */

#endif

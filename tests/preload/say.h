/* SPDX-License-Identifier: Apache-2.0 */
/*
 * say: what the shim's test programs share. Each program makes socket calls and prints what came
 * out: results, errno names, bytes, events; no ports, times or other things that differ by chance.
 * It is run on the kernel (address 127.0.0.1) and under the shim on a stack (an address of that
 * stack's); the two transcripts must be equal. An address is the program's one argument.
 */
#ifndef DMM_TESTS_PRELOAD_SAY_H
#define DMM_TESTS_PRELOAD_SAY_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What other C libraries lack. The transcripts of one library are compared only with each other. */
#ifndef __GLIBC__
#include <sys/syscall.h>
#define strerrorname_np strerror
static inline int close_range(unsigned first, unsigned last, int flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}
static inline void closefrom(int first)
{
    close_range((unsigned)first, UINT32_MAX, 0);
}
static inline int execveat(int dir, const char *path, char *const argv[], char *const envp[],
                           int flags)
{
    return (int)syscall(SYS_execveat, dir, path, argv, envp, flags);
}
#endif

extern struct sockaddr_in say_address; /* port 0 */

/* Sets the address from argv and bounds the run to a minute. */
void say_begin(int argc, char **argv);
/* Prints a heading. */
void say_case(const char *name);
/* Prints "TEXT = RESULT", or "TEXT = -1 ENAME" with errno's; returns the result. */
long say_result(const char *text, long result);
#define SAY(call) say_result(#call, (long)(call))
/* Prints poll's or epoll's events by name. */
void say_events(const char *text, uint32_t events);
void say_bytes(const char *text, const void *bytes, long n);

/* A listening socket on a port of its own; its address in *at. */
int say_listener(struct sockaddr_in *at);
/* A connected pair: returns the client's end, *server the accepted one. */
int say_pair(int *server);
/* A bound datagram socket. */
int say_datagram(struct sockaddr_in *at);

void say_nonblock(int fd, int on);
void say_sleep_ms(int ms);
/* Milliseconds of CLOCK_MONOTONIC. */
long say_now_ms(void);
/* False where the shell is another libc's program, which can't be started with this one's shim. */
static inline int say_shell(void)
{
    return getenv("SAY_NO_SHELL") == NULL;
}
/* Lets what is under way arrive. */
void say_settle(void);
/* Writes until nothing more fits for good; the bytes written. The fd is non-blocking. */
size_t say_fill(int fd);
/* Waits (5 s at most) until poll says one of `events`; returns revents. */
int say_await(int fd, int events);
/* Runs fn(arg) in a thread after `ms`. Join with pthread_join. */
pthread_t say_later(int ms, void (*fn)(void *), void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/libc.h"

#include "preload/calls.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>

/* libdl became a part of libc in 2.34; its symbol's old version is in both. */
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.17");
#endif

void *libc_next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

void *libc_any(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

static const char never;
const char *libc_single_threaded_word = &never;

void libc_find_single_threaded(void)
{
    const char *word = libc_any("__libc_single_threaded");
    if (word)
        libc_single_threaded_word = word;
}

pid_t libc_gettid(void)
{
    return (pid_t)REAL(syscall)(SYS_gettid);
}

#ifdef __GLIBC__
/* glibc's own, from 2.18 on; keys are in another library before 2.34.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __cxa_thread_atexit_impl(void (*fn)(void *), void *arg, void *dso);
extern void *__dso_handle;
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

void libc_at_thread_exit(void (*fn)(void *), void *arg)
{
    if (libc_gettid() != getpid()) /* the first thread's end is mostly the process's */
        __cxa_thread_atexit_impl(fn, arg, &__dso_handle);
}
#else
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void (*at_exit)(void *); /* the same for all */

static void make_key(void)
{
    pthread_key_create(&key, at_exit);
}

void libc_at_thread_exit(void (*fn)(void *), void *arg)
{
    at_exit = fn;
    pthread_once(&once, make_key);
    pthread_setspecific(key, arg);
}
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The intercepted calls that start programs. */
#include "preload/calls.h"
#include "preload/exec.h"
#include "preload/share.h"

#include <alloca.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>

/* ---- exec ---- */

int execve(const char *path, char *const argv[], char *const envp[])
{
    struct exec_plan plan;
    exec_prepare(&plan, envp);
    int r = REAL(execve)(path, argv, plan.env);
    exec_undo(&plan);
    return r;
}

int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

int execvpe(const char *file, char *const argv[], char *const envp[])
{
    struct exec_plan plan;
    exec_prepare(&plan, envp);
    int r = REAL(execvpe)(file, argv, plan.env);
    exec_undo(&plan);
    return r;
}

int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

int fexecve(int fd, char *const argv[], char *const envp[])
{
    struct exec_plan plan;
    exec_prepare(&plan, envp);
    int r = REAL(fexecve)(fd, argv, plan.env);
    exec_undo(&plan);
    return r;
}

int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
    struct exec_plan plan;
    exec_prepare(&plan, envp);
    /* Younger in libc than in the kernel. */
    int r = (int)REAL(syscall)(SYS_execveat, dir, path, argv, plan.env, flags);
    exec_undo(&plan);
    return r;
}

enum list { LIST_PATH, LIST_SEARCHED, LIST_WITH_ENVIRONMENT };

/* The arguments from `first` to the NULL. */
static size_t count_arguments(va_list *ap)
{
    size_t n = 1;
    while (va_arg(*ap, char *))
        n++;
    return n;
}

static int exec_list(enum list how, const char *file, const char *first, va_list arguments)
{
    va_list ap;
    va_copy(ap, arguments);
    size_t n = count_arguments(&ap);
    va_end(ap);
    /* cppcheck-suppress allocaCalled ; after a fork there may be no other memory to have */
    char **argv = alloca((n + 1) * sizeof(*argv));
    va_copy(ap, arguments);
    argv[0] = (char *)(size_t)first;
    for (size_t i = 1; i <= n; i++)
        argv[i] = va_arg(ap, char *);
    char **envp = how == LIST_WITH_ENVIRONMENT ? va_arg(ap, char **) : environ;
    va_end(ap);
    return how == LIST_SEARCHED ? execvpe(file, argv, envp) : execve(file, argv, envp);
}

int execl(const char *path, const char *first, ...)
{
    va_list ap;
    va_start(ap, first);
    int rc = exec_list(LIST_PATH, path, first, ap);
    va_end(ap);
    return rc;
}

int execlp(const char *file, const char *first, ...)
{
    va_list ap;
    va_start(ap, first);
    int rc = exec_list(LIST_SEARCHED, file, first, ap);
    va_end(ap);
    return rc;
}

int execle(const char *path, const char *first, ...)
{
    va_list ap;
    va_start(ap, first);
    int rc = exec_list(LIST_WITH_ENVIRONMENT, path, first, ap);
    va_end(ap);
    return rc;
}

/* ---- posix_spawn ---- */

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    struct exec_plan plan;
    exec_prepare(&plan, envp);
    int r = REAL(posix_spawn)(pid, path, actions, attributes, argv, plan.env);
    exec_undo(&plan);
    return r;
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    struct exec_plan plan;
    exec_prepare(&plan, envp);
    int r = REAL(posix_spawnp)(pid, file, actions, attributes, argv, plan.env);
    exec_undo(&plan);
    return r;
}

/* The new program gets `fd` whatever its FD_CLOEXEC, so it must leave as itself. */
int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int to)
{
    int r = REAL(posix_spawn_file_actions_adddup2)(actions, fd, to);
    struct entry *entry = r == 0 ? entry_get_socket(fd) : NULL;
    if (entry) {
        share_export(fd, entry);
        entry_put(entry);
    }
    return r;
}

/* ---- system, popen ---- */

/* libc starts these with the environment that `environ` names: it names ours meanwhile. Another
 * thread that changes the environment then has its own copy of it, and that stays. */
static char **lend_environment(struct exec_plan *plan)
{
    char **before = environ;
    exec_prepare(plan, before);
    environ = plan->env;
    return before;
}

static void take_back(struct exec_plan *plan, char **before)
{
    bool untouched = environ == plan->env;
    if (untouched)
        environ = before;
    else
        plan->map = NULL; /* someone's copy refers to strings in it */
    exec_undo(plan);
}

int system(const char *command)
{
    struct exec_plan plan;
    if (!command)
        return REAL(system)(command);
    char **before = lend_environment(&plan);
    int r = REAL(system)(command); /* NOLINT(cert-env33-c): it is what is intercepted */
    take_back(&plan, before);
    return r;
}

FILE *popen(const char *command, const char *mode)
{
    struct exec_plan plan;
    char **before = lend_environment(&plan);
    FILE *file = REAL(popen)(command, mode); /* NOLINT(cert-env33-c): likewise */
    take_back(&plan, before);
    return file;
}

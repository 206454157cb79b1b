/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that give up rights (capset(2)), or most system calls once they hold a connection:
 * seccomp(2), setrlimit(2). The list is about what OpenSSH's server leaves to its unprivileged
 * child. */
#include "tests/oracle/oracle.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define ALLOW(number)                                                                              \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##number, 0, 1),                                      \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void shut_off(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(read),
        ALLOW(write),
        ALLOW(poll),
        ALLOW(ppoll),
        ALLOW(close),
        ALLOW(shutdown),
        ALLOW(futex),
        ALLOW(brk),
        ALLOW(mmap),
        ALLOW(munmap),
        ALLOW(madvise),
        ALLOW(clock_gettime),
        ALLOW(nanosleep),
        ALLOW(clock_nanosleep),
        ALLOW(rt_sigprocmask),
        ALLOW(rt_sigreturn),
        ALLOW(getpid),
        ALLOW(exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    const struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    const struct rlimit one = {.rlim_cur = 1, .rlim_max = 1};
    if (setrlimit(RLIMIT_FSIZE, &none) < 0 || setrlimit(RLIMIT_NOFILE, &one) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(1);
}

/* Sends back what comes, until the end of the stream. */
static void echo(int fd, bool polls)
{
    char buf[64];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (;;) {
        if (polls && poll(&p, 1, -1) != 1)
            _exit(2);
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n <= 0)
            _exit(n == 0 ? 0 : 3);
        if (write(fd, buf, (size_t)n) != n)
            _exit(4);
    }
}

static void in_sandbox(bool polls)
{
    char buf[64];
    int b, a = o_pair(&b);
    pid_t pid = fork();
    if (pid == 0) {
        close(a);
        shut_off();
        echo(b, polls);
    }
    close(b);
    for (int i = 0; i < 3; i++) {
        say_sleep_ms(30); /* the child sleeps */
        SAY(write(a, "hello", 5));
        o_show_bytes("echo", buf, recv(a, buf, 5, MSG_WAITALL));
    }
    SAY(shutdown(a, SHUT_WR));
    SAY(read(a, buf, sizeof(buf)));
    int status = 0;
    waitpid(pid, &status, 0);
    printf("child: %s %d\n", WIFSIGNALED(status) ? "killed by" : "exited with",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

CASE(sandbox_poll, "seccomp(2): a child that may poll, read and write echoes on its connection")
{
    in_sandbox(true);
}

CASE(sandbox_read, "seccomp(2): a child that may read and write echoes on its connection")
{
    in_sandbox(false);
}

static void set_int(int fd, const char *text, int name, int value)
{
    printf("%s %d: ", text, value);
    SAY(setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value)));
}

CASE(sandbox_priority, "socket(7): SO_PRIORITY outside 0 to 6, and SO_MARK, need CAP_NET_ADMIN")
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};
    int b, a = o_pair(&b);
    set_int(a, "priority", SO_PRIORITY, 7);
    set_int(a, "priority", SO_PRIORITY, -1);
    o_show_int_option("priority", a, SOL_SOCKET, SO_PRIORITY);
    SAY(syscall(SYS_capset, &head, none));
    set_int(a, "priority", SO_PRIORITY, 6);
    set_int(a, "priority", SO_PRIORITY, 7);
    set_int(a, "priority", SO_PRIORITY, -1);
    o_show_int_option("priority", a, SOL_SOCKET, SO_PRIORITY);
    set_int(a, "mark", SO_MARK, 7);
    set_int(a, "mark", SO_MARK, 0);
}

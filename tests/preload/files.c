/* SPDX-License-Identifier: Apache-2.0 */
/* stdio over a socket, and what a program asks to learn whether an fd is a socket. */
#include "tests/preload/say.h"

#include <stdarg.h>
#include <stdbool.h>

static int by_va(int fd, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int r = vdprintf(fd, format, ap);
    va_end(ap);
    return r;
}

static void lines(void)
{
    char buf[64], *line = NULL;
    size_t size = 0;
    int server, client = say_pair(&server);
    say_case("fdopen: lines both ways");
    FILE *in = fdopen(server, "r");
    FILE *out = fdopen(dup(server), "w");
    SAY(in && out);
    SAY(fileno(in) == server);
    SAY(write(client, "first\nsecond\nthird", 18));
    SAY(fgets(buf, sizeof(buf), in) == buf);
    say_bytes("fgets", buf, (long)strlen(buf));
    ssize_t n = getline(&line, &size, in);
    say_bytes("getline", line, n);
    SAY(fgetc(in));
    SAY(ungetc('T', in));
    SAY(shutdown(client, SHUT_WR));
    n = getdelim(&line, &size, '\n', in);
    say_bytes("getdelim", line, n);
    SAY(fgetc(in));
    SAY(feof(in) != 0);
    SAY(ferror(in) != 0);
    SAY(fprintf(out, "%s %d\n", "formatted", 7));
    SAY(recv(client, buf, sizeof(buf), MSG_DONTWAIT)); /* still in the FILE */
    SAY(fflush(out));
    say_bytes("got", buf, recv(client, buf, 12, MSG_WAITALL));
    SAY(setvbuf(out, NULL, _IOLBF, 0));
    SAY(fputs("line\n", out) >= 0);
    say_bytes("got", buf, recv(client, buf, 5, MSG_WAITALL));
    SAY(fwrite("tail", 1, 4, out));
    SAY(fseek(out, 0, SEEK_CUR));
    SAY(fclose(out));
    say_bytes("got", buf, recv(client, buf, 4, MSG_WAITALL));
    SAY(recv(client, buf, 1, MSG_DONTWAIT)); /* the other number is open */
    SAY(fclose(in));
    SAY(recv(client, buf, 1, 0));
    SAY(fcntl(server, F_GETFD));
    free(line);
    close(client);
}

static void large(void)
{
    static char block[300000], back[300000];
    int server, client = say_pair(&server);
    say_case("a large write, a large read");
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 31 >> 4);
    pid_t pid = fork();
    if (pid == 0) {
        close(client);
        FILE *out = fdopen(server, "w");
        bool sent =
            out && fwrite(block, 1, sizeof(block), out) == sizeof(block) && fclose(out) == 0;
        _exit(sent ? 0 : 1);
    }
    close(server);
    FILE *in = fdopen(client, "r");
    SAY(in ? fread(back, 1, sizeof(back), in) : 0);
    SAY(memcmp(block, back, sizeof(block)));
    SAY(fgetc(in));
    SAY(fclose(in));
    int status;
    SAY(waitpid(pid, &status, 0) == pid);
    SAY(status);
}

static void broken(void)
{
    int server, client = say_pair(&server);
    say_case("errors");
    signal(SIGPIPE, SIG_IGN);
    SAY(fdopen(server, "x") != NULL);
    say_nonblock(server, 1);
    FILE *in = fdopen(server, "r");
    SAY(fgetc(in));
    SAY(ferror(in) != 0);
    close(client);
    say_settle();
    FILE *out = fdopen(dup(server), "w");
    SAY(fputs("into the void", out) >= 0);
    SAY(fflush(out));
    SAY(fputs("again", out) >= 0);
    say_settle();
    SAY(fclose(out));
    SAY(fclose(in));
}

static void dprintfs(void)
{
    char buf[4096];
    int server, client = say_pair(&server);
    say_case("dprintf");
    SAY(dprintf(server, "%d-%s", 42, "x"));
    SAY(by_va(server, "%05d", 7));
    say_bytes("got", buf, recv(client, buf, 9, MSG_WAITALL));
    SAY(dprintf(server, "%3000d", 1));
    SAY(recv(client, buf, 3000, MSG_WAITALL));
    SAY(buf[2999] == '1');
    close(server);
    close(client);
}

static void what_is_it(void)
{
    struct stat st;
#ifdef __GLIBC__
    struct statx stx;
#endif
    int server, client = say_pair(&server);
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    const int fds[] = {client, server, fresh};
    say_case("is it a socket?");
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        SAY(isatty(fds[i]));
        SAY(fstat(fds[i], &st));
        SAY(S_ISSOCK(st.st_mode));
        SAY(fstatat(fds[i], "", &st, AT_EMPTY_PATH));
        SAY(S_ISSOCK(st.st_mode));
#ifdef __GLIBC__
        SAY(statx(fds[i], "", AT_EMPTY_PATH, STATX_TYPE, &stx));
        SAY(S_ISSOCK(stx.stx_mode));
#endif
        SAY(lseek(fds[i], 0, SEEK_CUR));
        close(fds[i]);
    }
}

int main(int argc, char **argv)
{
    say_begin(argc, argv);
    lines();
    large();
    broken();
    dprintfs();
    what_is_it();
    return 0;
}

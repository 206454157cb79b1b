/* SPDX-License-Identifier: Apache-2.0 */
/* A program of a musl distribution: GETs http://ADDRESS/ and prints the answer; `sleep` waits for
 * ever. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
    char buf[4096];
    ssize_t n;
    while (argc == 2 && !strcmp(argv[1], "sleep"))
        pause();
    if (argc != 2 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
        return 2;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
        write(fd, request, sizeof(request) - 1) < 0) {
        perror(argv[1]);
        return 1;
    }
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        fwrite(buf, 1, (size_t)n, stdout);
    return n < 0;
}

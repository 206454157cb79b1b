/* SPDX-License-Identifier: Apache-2.0 */
/* oracle list; oracle CASE IPV4-ADDRESS [IPV6-ADDRESS] */
#include "tests/oracle/oracle.h"

struct sockaddr_in6 oracle_address6;

static struct oracle_case *cases;

void oracle_add(struct oracle_case *c)
{
    struct oracle_case **at = &cases;
    while (*at && strcmp((*at)->name, c->name) < 0)
        at = &(*at)->next;
    if (*at && strcmp((*at)->name, c->name) == 0) {
        fprintf(stderr, "two cases are called %s\n", c->name);
        abort();
    }
    c->next = *at;
    *at = c;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (const struct oracle_case *c = cases; c; c = c->next)
            printf("%s\t%s\n", c->name, c->text);
        return 0;
    }
    if (argc < 3) {
        fprintf(stderr, "usage: %s list | CASE IPV4-ADDRESS [IPV6-ADDRESS]\n", argv[0]);
        return 2;
    }
    say_begin(argc - 1, argv + 1);
    alarm(ORACLE_SECONDS);
    if (argc > 3) {
        oracle_address6.sin6_family = AF_INET6;
        if (inet_pton(AF_INET6, argv[3], &oracle_address6.sin6_addr) != 1)
            return 2;
    }
    for (const struct oracle_case *c = cases; c; c = c->next) {
        if (strcmp(c->name, argv[1]) == 0) {
            c->run(c->arg);
            return 0;
        }
    }
    fprintf(stderr, "no case is called %s\n", argv[1]);
    return 2;
}

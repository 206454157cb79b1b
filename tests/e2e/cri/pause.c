/* SPDX-License-Identifier: Apache-2.0 */
/* What a pod's sandbox runs: nothing, until it is told to go. */
#include <signal.h>
#include <unistd.h>

static void leave(int sig)
{
    (void)sig;
    _exit(0);
}

int main(void)
{
    signal(SIGTERM, leave);
    signal(SIGINT, leave);
    for (;;)
        pause();
}

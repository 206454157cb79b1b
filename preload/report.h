/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report: what the shim says to people, on stderr: one line per cause and outage, nothing else.
 * Any thread.
 */
#ifndef DMM_PRELOAD_REPORT_H
#define DMM_PRELOAD_REPORT_H

enum report_cause {
    REPORT_ABSENT,   /* no sidecar */
    REPORT_REFUSED,  /* the sidecar refused us */
    REPORT_FALLBACK, /* kernel sockets instead */
    REPORT_LOST,     /* the sidecar went away */
    REPORT_FORK,     /* a child without stack sockets */
    REPORT_OPTION,   /* an option that the chosen stack does not have */
    REPORT_SHARE,    /* a socket that could not leave, or come */
    REPORT_RECOVER,  /* a listener that did not come back */
};

/* Logs a warning, unless one of the same cause was logged since the last report_again(). */
void report(enum report_cause cause, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Everything works again: the next trouble is news. */
void report_again(void);

#endif

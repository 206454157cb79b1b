/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dmm-kube: asks the Kubernetes API server for a pod's annotations. The plugin runs it
 * (cni/kubeask.h says what goes in and out); nobody else needs to.
 */
#include "cni/kubeask.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define QUESTION_MAX 65536
/* The deadline that is asked for is a minute at most; whatever holds up beyond is ended. */
#define LIFE_S 90

static void usage(FILE *to)
{
    fputs("Usage: dmm-kube < QUESTION\n"
          "Asks the Kubernetes API server for a pod's annotations, for the CNI plugin dmm, beside\n"
          "which it lies. QUESTION is JSON: kubeconfig, or serviceAccount and server; namespace,\n"
          "pod, uid, timeoutMs. Prints {\"annotations\": ...} or {\"code\": ..., \"what\": ...}.\n",
          to);
}

int main(int argc, char **argv)
{
    static char question[QUESTION_MAX];
    int status = 1;
    if (argc > 1) {
        int help = argc == 2 && !strcmp(argv[1], "--help");
        usage(help ? stdout : stderr);
        return help ? 0 : 2;
    }
    alarm(LIFE_S);
    size_t len = fread(question, 1, sizeof(question), stdin);
    json_t *answer = dmm_kube_answer(question, len, &status);
    if (!answer || json_dumpf(answer, stdout, JSON_COMPACT) || puts("") < 0 || fflush(stdout)) {
        perror("dmm-kube");
        return 2;
    }
    json_decref(answer);
    return status;
}

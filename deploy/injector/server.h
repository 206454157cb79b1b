/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: HTTPS for the API server (POST /mutate), and for people and probes (GET /healthz,
 * /metrics).
 *
 * One thread, made by libmicrohttpd, answers everything; the configuration is constant while it
 * runs.
 */
#ifndef DMM_DEPLOY_INJECTOR_SERVER_H
#define DMM_DEPLOY_INJECTOR_SERVER_H

#include "deploy/injector/config.h"
#include "deploy/injector/keypair.h"

#include <netinet/in.h>

struct server;

/* `keypair` and `config` are borrowed until server_stop(). Port 0: any; *port tells which. */
int server_start(struct server **server, const struct injector_config *config,
                 struct keypair *keypair, const struct sockaddr_in6 *listen_at, uint16_t *port,
                 struct dmm_err *err);
/* Requests that are under way are answered first, for a few seconds. */
void server_stop(struct server *server);

#endif

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Stores on the stack: redis (saving under load, replication, a cluster), memcached with threads, PostgreSQL
# with a process per connection. apps.bats has redis as such.

load apps_lib

setup_file() {
    two_pods aps 73
    PEER=$(pod ip client)
    local programs=(/usr/lib/postgresql/*/bin)
    PG_BIN=${programs[-1]}
    export PEER PG_BIN
}
teardown_file() { lab_teardown; }
teardown() { end_started; }

redis() { # POD PORT ARG...: a redis-server
    mkdir -p "$LAB_TMP/redis-$2"
    start_in "$1" redis-server --bind 0.0.0.0 --port "$2" --dir "$LAB_TMP/redis-$2" --protected-mode no --save '' \
        --appendonly no --enable-debug-command yes "${@:3}"
}
ask() { # HOST PORT ARG...
    client redis-cli -h "$1" -p "$2" "${@:3}"
}
answers() { # HOST PORT
    within 10 eval "[ \"\$(ask $1 $2 ping)\" = PONG ]"
}
says() { # PATTERN CMD...
    "${@:2}" | grep -q "$1"
}

@test "redis saves (a forked child) while clients write, and what it saved is what it had" {
    redis server 6379
    answers "$IP" 6379
    ask "$IP" 6379 debug populate 200000 key 100
    client redis-benchmark -h "$IP" -c 50 -n 60000 -r 100000 -d 100 -t set,get -q >"$LAB_TMP/benchmark" 2>&1 &
    local benchmark=$!
    for _ in 1 2 3; do
        within 20 eval "ask $IP 6379 bgsave | grep started"
        within 20 says 'rdb_bgsave_in_progress:0' ask "$IP" 6379 info persistence
        says 'rdb_last_bgsave_status:ok' ask "$IP" 6379 info persistence
    done
    wait "$benchmark"
    grep 'GET: .* per second' "$LAB_TMP/benchmark"
    ask "$IP" 6379 save
    local digest
    digest=$(ask "$IP" 6379 debug digest)
    # Killed: its child and its clients must not keep the port.
    kill -9 "$(pgrep -x redis-server)"
    within 2 has_sockets server true 0
    redis server 6379 --dbfilename dump.rdb
    answers "$IP" 6379
    [ "$(ask "$IP" 6379 debug digest)" = "$digest" ]
}

@test "redis: a replica on another stack follows its primary" {
    redis server 6379
    answers "$IP" 6379
    ask "$IP" 6379 debug populate 100000 key 100
    redis client 6380 --replicaof "$IP" 6379
    answers "$PEER" 6380
    client redis-benchmark -h "$IP" -c 50 -n 30000 -r 100000 -d 100 -t set,lpush,sadd -q
    within 20 says 'master_link_status:up' ask "$PEER" 6380 info replication
    within 20 eval "[ \"\$(ask $IP 6379 debug digest)\" = \"\$(ask $PEER 6380 debug digest)\" ]"
    # The link between the two is the stacks'.
    has_sockets client ".state == \"ESTAB\" and .peer == \"$IP:6379\"" 1
}

@test "redis: a cluster of three, over two stacks" {
    redis server 7001 --cluster-enabled yes --cluster-node-timeout 5000 --cluster-announce-ip "$IP"
    redis client 7002 --cluster-enabled yes --cluster-node-timeout 5000 --cluster-announce-ip "$PEER"
    redis server 7003 --cluster-enabled yes --cluster-node-timeout 5000 --cluster-announce-ip "$IP"
    answers "$IP" 7001
    answers "$PEER" 7002
    answers "$IP" 7003
    client redis-cli --cluster create "$IP:7001" "$PEER:7002" "$IP:7003" --cluster-yes
    within 20 says 'cluster_state:ok' ask "$IP" 7001 cluster info
    within 20 says 'cluster_state:ok' ask "$PEER" 7002 cluster info
    client redis-benchmark --cluster -h "$IP" -p 7001 -c 20 -n 20000 -r 10000 -t set,get -q
    local key
    for key in a b c d e f; do
        ask "$IP" 7001 -c set "$key" "value of $key"
        [ "$(ask "$PEER" 7002 -c get "$key")" = "value of $key" ]
    done
    # The bus: each has a connection to each other's port + 10000, on the stack.
    has_sockets client ".state == \"ESTAB\" and (.local | endswith(\":17002\"))" 2
}

@test "memcached with four threads: values of all sizes on 100 connections" {
    serve memcached -u nobody -t 4 -c 4000 -m 256 -p 11211 -U 11211
    listens 11211
    on_stacks /usr/bin/python3 "$APPS/memcached.py" "$IP" 11211 100 30
    kernel_client /usr/bin/python3 "$APPS/memcached.py" "$IP" 11211 20 30
    # A process goes by its own name, not by that of the thread that asked first.
    [ "$(pod ctl server sockets --json | jq -r '.sockets[0].processes[0].comm')" = memcached ]
    within 5 has_sockets server '.state == "ESTAB"' 0
}

@test "PostgreSQL, unprivileged: a process per connection, pgbench, and a million rows by COPY" {
    needs_to_run "$PG_BIN/postgres" --version
    local dir=$LAB_TMP/pg
    mkdir "$dir"
    chown postgres "$dir"
    as_user postgres "$PG_BIN/initdb" -D "$dir/data" -A trust -N -E UTF8 --locale=C -U postgres >"$LAB_TMP/initdb" 2>&1 ||
        { cat "$LAB_TMP/initdb"; false; }
    echo "host all all 0.0.0.0/0 trust" >>"$dir/data/pg_hba.conf"
    serve setpriv --reuid=postgres --regid=postgres --clear-groups "$PG_BIN/postgres" -D "$dir/data" \
        -c listen_addresses='*' -c "unix_socket_directories=$dir" -c fsync=off -c max_connections=100
    listens 5432
    within 20 client psql -h "$IP" -U postgres -c 'select 1'
    # Its address as PostgreSQL sees it is the stack's.
    [ "$(client psql -h "$IP" -U postgres -Atc 'select inet_client_addr(), inet_server_addr()')" = "$PEER|$IP" ]
    client "$PG_BIN/pgbench" -h "$IP" -U postgres -i -s 1 -q postgres
    run on_stacks "$PG_BIN/pgbench" -h "$IP" -U postgres -c 20 -j 4 -t 50 postgres
    echo "$output"
    [[ "$output" = *"processed: 1000/1000"* ]]
    run on_stacks "$PG_BIN/pgbench" -n -h "$IP" -U postgres -c 10 -C -t 10 -S postgres
    echo "$output"
    [[ "$output" = *"processed: 100/100"* ]]
    run kernel_client "$PG_BIN/pgbench" -n -h "$IP" -U postgres -c 10 -t 20 -S postgres
    [[ "$output" = *"processed: 200/200"* ]]
    local rows="copy (select i, md5(i::text) from generate_series(1, 1000000) i) to stdout"
    [ "$(client psql -h "$IP" -U postgres -Atc "$rows" | sha256sum)" = \
        "$(psql -h "$dir" -U postgres -Atc "$rows" | sha256sum)" ]
    client psql -h "$IP" -U postgres -Atc "$rows" >"$LAB_TMP/rows"
    client psql -h "$IP" -U postgres -c 'create table t (i int, m text)'
    client psql -h "$IP" -U postgres -c '\copy t from stdin' <"$LAB_TMP/rows"
    [ "$(client psql -h "$IP" -U postgres -Atc "copy t to stdout" | sha256sum)" = "$(sha256sum <"$LAB_TMP/rows")" ]
    within 5 has_sockets server '.state == "ESTAB"' 0
    within 5 has_sockets server 'true' 1
}

@test "nothing is left in the sidecars, and they had nothing to say" {
    nothing_left server client
}

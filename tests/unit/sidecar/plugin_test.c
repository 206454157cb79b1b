/* SPDX-License-Identifier: Apache-2.0 */
/* The example of docs/stack-abi.md: built as that says, loaded, and run on a host; and the manual
 * shows it as it is. */
#include "tests/unit/cmocka.h"

#include "tests/unit/sidecar/fake_host.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOURCE "examples/stack/echo.c"
#define MANUAL "docs/stack-abi.md"

static struct fake_host host;
static void *object;
static const struct dmm_stack_ops *ops;

/* The test lies in BUILD/tests/unit/sidecar, the plug-in in BUILD/examples/stack. */
static int load(void **state)
{
    char path[4096];
    UNUSED(state);
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
    assert_true(n > 0);
    path[n] = 0;
    char *end = strstr(path, "/tests/unit/");
    assert_non_null(end);
    snprintf(end, sizeof(path) - (size_t)(end - path), "/examples/stack/echo.so");
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object)
        fail_msg("%s", dlerror());
    ops = dlsym(object, DMM_STACK_OPS_SYMBOL);
    assert_non_null(ops);
    assert_int_equal(ops->abi, DMM_STACK_ABI);
    assert_int_equal(ops->size, sizeof(*ops));
    return 0;
}

static int unload(void **state)
{
    UNUSED(state);
    return dlclose(object);
}

static void start(void)
{
    char err[256];
    fake_init(&host);
    host.ring_size = 1000;
    assert_int_equal(fake_create(&host, ops, "{}", err), 0);
}

static void test_options(void **state)
{
    char err[256];
    UNUSED(state);
    fake_init(&host);
    assert_int_equal(fake_create(&host, ops, "{\"depth\": 1}", err), -EINVAL);
    assert_string_equal(err, "options: echo has none");
}

static void test_stream(void **state)
{
    char out[3000];
    char in[3000];
    UNUSED(state);
    start();
    for (unsigned i = 0; i < sizeof(out); i++)
        out[i] = (char)(i * 7);
    struct dmm_sock *sock = fake_open(&host, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_connect(sock, "192.0.2.1", 80), 0);
    assert_false(sock->connected);
    assert_int_equal(fake_connect(sock, "192.0.2.1", 80), -EALREADY);
    assert_true(fake_run_until(&host, &sock->connected, FAKE_SECOND));
    uint32_t written = 0;
    uint32_t got = 0;
    while (got < sizeof(in)) {
        written += fake_write(sock, out + written, (uint32_t)sizeof(out) - written);
        got += fake_read(sock, in + got, 300);
        fake_run_for(&host, 1);
    }
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(fake_stat(&host, "echoed_bytes"), sizeof(out));
    assert_int_equal(ops->shutdown(sock->ssock, SHUT_WR), 0);
    assert_true(sock->eof);
    fake_close(sock, DMM_CLOSE_GRACEFUL);
    assert_true(sock->released);
    fake_destroy(&host);
}

static void test_datagram(void **state)
{
    UNUSED(state);
    start();
    struct dmm_sock *sock = fake_open(&host, AF_INET, SOCK_DGRAM);
    fake_sendto(sock, "nowhere", 7, NULL, 0);
    assert_int_equal(sock->soft_error, EDESTADDRREQ);
    fake_sendto(sock, "hello", 5, "192.0.2.1", 9);
    struct fake_datagram *d = fake_recvfrom(sock);
    assert_non_null(d);
    assert_int_equal(d->head.len, 5);
    assert_memory_equal(d->data, "hello", 5);
    assert_int_equal(d->head.peer.port, 9);
    free(d);
    fake_destroy(&host);
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file); /* run it from the top of the tree */
    char *text = calloc(1, 1 << 20);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

static void test_manual(void **state)
{
    UNUSED(state);
    char *source = read_file(SOURCE);
    char *manual = read_file(MANUAL);
    if (!strstr(manual, source))
        fail_msg("%s does not show %s as it is", MANUAL, SOURCE);
    free(source);
    free(manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_datagram),
        cmocka_unit_test(test_manual),
    };
    return cmocka_run_group_tests(tests, load, unload);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log is written into a socket that keeps message borders, so that a test sees what one
 * write(2) held. The clock is the test's: log.c calls the clock_gettime() defined here.
 */
#include "common/log.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STAMP     "2026-01-02T03:04:05.678Z"
#define STAMP_SEC 1767323045

static struct timespec fake_time; /* zero: the real one */
static int ends[2];
static char line[2 * DMM_LOG_LINE];

int clock_gettime(clockid_t id, struct timespec *now)
{
    if (fake_time.tv_sec) {
        *now = fake_time;
        return 0;
    }
    return (int)syscall(SYS_clock_gettime, id, now);
}

static int open_log(void **state)
{
    UNUSED(state);
    fake_time = (struct timespec){STAMP_SEC, 678999999};
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int close_log(void **state)
{
    UNUSED(state);
    fake_time.tv_sec = 0;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* The next write, whole, without its newline; "" if there was none. */
static const char *written(void)
{
    ssize_t len = recv(ends[1], line, sizeof(line) - 1, MSG_DONTWAIT);
    if (len <= 0)
        return "";
    assert_true(len <= DMM_LOG_LINE);
    assert_int_equal(line[len - 1], '\n');
    assert_null(memchr(line, '\n', (size_t)len - 1));
    line[len - 1] = '\0';
    return line;
}

static void test_text(void **state)
{
    static const struct dmm_log_field fields[] = {
        {"stack", "fast"}, {"none", NULL}, {"port", "80"}, {NULL, NULL}};
    UNUSED(state);
    dmm_log_setup("stackd", DMM_LOG_INFO, false, ends[0]);
    dmm_log_fields(DMM_LOG_ERROR, fields, "bind: %s", "address in use");
    assert_string_equal(written(), STAMP " error stackd: bind: address in use stack=fast port=80");
    dmm_log(DMM_LOG_WARN, "%d clients", 3);
    assert_string_equal(written(), STAMP " warn stackd: 3 clients");
    dmm_log_fields(DMM_LOG_INFO, NULL, "up");
    assert_string_equal(written(), STAMP " info stackd: up");
}

static void test_text_escapes(void **state)
{
    static const struct dmm_log_field fields[] = {{"a", "two words"},     {"b", ""},
                                                  {"c", "say \"hi\" \\"}, {"d", "x=y"},
                                                  {"e", "l1\nl2"},        {"f", "caf\xc3\xa9"},
                                                  {"g", "plain"},         {NULL, NULL}};
    UNUSED(state);
    dmm_log_setup("stackd", DMM_LOG_INFO, false, ends[0]);
    dmm_log_fields(DMM_LOG_INFO, fields, "m");
    assert_string_equal(written(), STAMP " info stackd: m a=\"two words\" b=\"\" "
                                         "c=\"say \\\"hi\\\" \\\\\" d=\"x=y\" e=\"l1\\nl2\" "
                                         "f=\"caf\xc3\xa9\" g=plain");
    /* Bytes that a terminal acts upon, and bytes that are no characters. */
    dmm_log(DMM_LOG_INFO,
            "a\nb\tc\rd\x1b[31m\x7f \xff \xc2\x9b \xc3(\xe2\x82 \xed\xa0\x80 \"q\" \\");
    assert_string_equal(written(), STAMP " info stackd: a\\nb\\tc\\rd\\x1b[31m\\x7f \\xff \\xc2 "
                                         "\\xc3(\\xe2\\x82 \\xed\\xa0\\x80 \"q\" \\");
    dmm_log(DMM_LOG_INFO, "\xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x90\x80\x80 \xe0\x9f\xbf \xc1\x81");
    assert_string_equal(written(), STAMP " info stackd: \xe2\x82\xac \xf0\x9f\x98\x80 "
                                         "\\xf4\\x90\\x80\\x80 \\xe0\\x9f\\xbf \\xc1\\x81");
}

static void test_json(void **state)
{
    static const struct dmm_log_field fields[] = {
        {"stack", "fast"}, {"none", NULL}, {"port", "80"}, {NULL, NULL}};
    UNUSED(state);
    dmm_log_setup("stackd", DMM_LOG_INFO, true, ends[0]);
    dmm_log_fields(DMM_LOG_ERROR, fields, "bind: %s", "address in use");
    assert_string_equal(written(),
                        "{\"time\":\"" STAMP "\",\"level\":\"error\",\"program\":\"stackd\","
                        "\"message\":\"bind: address in use\",\"stack\":\"fast\",\"port\":\"80\"}");
}

/* The value of a member of the line, which must be JSON. */
static const char *member(const char *text, const char *name, char out[DMM_LOG_LINE])
{
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fail_msg("%s: %s", error.text, text);
    const char *value = json_string_value(json_object_get(root, name));
    snprintf(out, DMM_LOG_LINE, "%s", value ? value : "(none)");
    json_decref(root);
    return out;
}

static void test_json_escapes(void **state)
{
    static const struct dmm_log_field fields[] = {{"a\"b", "\"\\\n"}, {NULL, NULL}};
    char value[DMM_LOG_LINE];
    UNUSED(state);
    dmm_log_setup("stackd", DMM_LOG_INFO, true, ends[0]);
    dmm_log_fields(DMM_LOG_INFO, fields, "q\" b\\ n\n t\t r\r e\x1b d\x7f u\xc3\xa9");
    const char *text = written();
    assert_string_equal(member(text, "message", value),
                        "q\" b\\ n\n t\t r\r e\x1b d\x7f u\xc3\xa9");
    assert_string_equal(member(text, "a\"b", value), "\"\\\n");
    dmm_log(DMM_LOG_INFO, "\xff|\xc2\x9b|\xe2\x82|\xed\xa0\x80");
    assert_string_equal(member(written(), "message", value),
                        "\xef\xbf\xbd|\xc2\x9b|\xef\xbf\xbd\xef\xbf\xbd|"
                        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static void fill(char *text, size_t len, const char *with)
{
    size_t step = strlen(with);
    size_t used = 0;
    for (; used + step < len; used += step)
        memcpy(text + used, with, step);
    text[used] = '\0';
}

static void test_text_is_cut(void **state)
{
    char text[4 * DMM_LOG_LINE];
    UNUSED(state);
    dmm_log_setup("stackd", DMM_LOG_INFO, false, ends[0]);
    fill(text, sizeof(text), "x");
    dmm_log(DMM_LOG_INFO, "%s", text);
    assert_int_equal(strlen(written()), DMM_LOG_LINE - 1);
    /* Not within a character or an escape. */
    fill(text, sizeof(text), "\xe2\x82\xac");
    dmm_log(DMM_LOG_INFO, "%s", text);
    const char *cut = written();
    assert_memory_equal(cut + strlen(cut) - 3, "\xe2\x82\xac", 3);
}

/* JSON stays JSON wherever the line is cut. */
static void test_json_is_cut(void **state)
{
    static const char *const with[] = {"x", "\"", "\n", "\x01", "\xff", "\xe2\x82\xac"};
    char text[2 * DMM_LOG_LINE];
    char value[DMM_LOG_LINE];
    UNUSED(state);
    dmm_log_setup("stackd", DMM_LOG_INFO, true, ends[0]);
    for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
        for (size_t len = DMM_LOG_LINE / 8; len < DMM_LOG_LINE + 8; len++) {
            fill(text, len, with[i]);
            const struct dmm_log_field fields[] = {
                {"first", text}, {"second", "2"}, {"third", text}, {NULL, NULL}};
            dmm_log_fields(DMM_LOG_INFO, fields, "short");
            const char *json = written();
            assert_true(strlen(json) < DMM_LOG_LINE);
            assert_string_equal(member(json, "message", value), "short");
            dmm_log(DMM_LOG_INFO, "%s", text);
            assert_int_equal(member(written(), "message", value)[0],
                             i == 4 ? 0xef - 256 : with[i][0]);
        }
    }
}

static void test_levels(void **state)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    enum dmm_log_level level = DMM_LOG_INFO;
    UNUSED(state);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(dmm_log_level_parse(names[i], &level), 0);
        assert_int_equal(level, i);
    }
    assert_int_equal(dmm_log_level_parse("Error", &level), -EINVAL);
    assert_int_equal(dmm_log_level_parse("", &level), -EINVAL);
    assert_int_equal(level, DMM_LOG_DEBUG);
    for (int set = DMM_LOG_ERROR; set <= DMM_LOG_DEBUG; set++) {
        dmm_log_setup("stackd", (enum dmm_log_level)set, false, ends[0]);
        for (int of = DMM_LOG_ERROR; of <= DMM_LOG_DEBUG; of++) {
            assert_int_equal(dmm_log_enabled((enum dmm_log_level)of), of <= set);
            dmm_log((enum dmm_log_level)of, "m");
            assert_int_equal(written()[0] != '\0', of <= set);
        }
    }
}

static void test_errno_is_kept(void **state)
{
    UNUSED(state);
    dmm_log_setup("stackd", DMM_LOG_INFO, false, -1);
    errno = ENOENT;
    dmm_log(DMM_LOG_INFO, "nowhere");
    assert_int_equal(errno, ENOENT);
    dmm_log_setup("stackd", DMM_LOG_INFO, false, ends[0]);
    errno = EAGAIN;
    dmm_log(DMM_LOG_INFO, "%m");
    assert_int_equal(errno, EAGAIN);
    assert_non_null(strstr(written(), "Resource temporarily unavailable"));
}

static void test_calendar(void **state)
{
    char want[64];
    UNUSED(state);
    dmm_log_setup("stackd", DMM_LOG_INFO, false, ends[0]);
    /* From 1970 to beyond 2400 in steps that fall on every day and month. */
    for (time_t at = 1; at < 14000000000; at += 86400 * 13 + 3607) {
        struct tm tm;
        fake_time.tv_sec = at;
        gmtime_r(&at, &tm);
        strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.678Z info", &tm);
        dmm_log(DMM_LOG_INFO, "m");
        assert_memory_equal(written(), want, strlen(want));
    }
    static const time_t leap_days[] = {951782400, 951868800, 4107542400, 13574563200, 13574649600};
    for (size_t i = 0; i < sizeof(leap_days) / sizeof(leap_days[0]); i++) {
        for (time_t at = leap_days[i] - 1; at <= leap_days[i]; at++) {
            struct tm tm;
            fake_time.tv_sec = at;
            gmtime_r(&at, &tm);
            strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.678Z info", &tm);
            dmm_log(DMM_LOG_INFO, "m");
            assert_memory_equal(written(), want, strlen(want));
        }
    }
}

static void *writer(void *argument)
{
    const char *text = argument;
    for (int i = 0; i < 200; i++)
        dmm_log(DMM_LOG_INFO, "%s %d", text, i);
    return NULL;
}

static void test_threads_do_not_mix(void **state)
{
    static char texts[4][400];
    pthread_t threads[4];
    int next[4] = {0};
    UNUSED(state);
    dmm_log_setup("stackd", DMM_LOG_INFO, false, ends[0]);
    for (int i = 0; i < 4; i++) {
        fill(texts[i], sizeof(texts[i]), (const char[]){(char)('a' + i), '\0'});
        assert_int_equal(pthread_create(&threads[i], NULL, writer, texts[i]), 0);
    }
    fcntl(ends[1], F_SETFL, 0);
    for (int i = 0; i < 4 * 200; i++) {
        ssize_t len = recv(ends[1], line, sizeof(line) - 1, 0);
        assert_true(len > 0);
        line[len - 1] = '\0';
        const char *message = strstr(line, "stackd: ") + 8;
        int who = message[0] - 'a';
        char want[512];
        snprintf(want, sizeof(want), "%s %d", texts[who], next[who]++);
        assert_string_equal(message, want);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_text_escapes, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_json, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_json_escapes, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_text_is_cut, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_json_is_cut, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_levels, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_errno_is_kept, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_calendar, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_threads_do_not_mix, open_log, close_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

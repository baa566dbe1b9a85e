#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "address.h"

/* An address as a text, and its bytes: 4 or 16 of them. */
struct row {
    const char *text;
    unsigned char bytes[16];
};

static const struct row IPV4[] = {
    {"127.0.0.1", {127, 0, 0, 1}},
    {"0.0.0.0", {0}},
    {"255.255.255.255", {255, 255, 255, 255}},
    {"1.20.255.4", {1, 20, 255, 4}},
};

/* Each as address_print() writes it. */
static const struct row IPV6[] = {
    {"::", {0}},
    {"::1", {[15] = 1}},
    {"2001:db8::8a2e:370:7334",
     {0x20, 0x01, 0x0d, 0xb8, [10] = 0x8a, [11] = 0x2e, 0x03, 0x70, 0x73, 0x34}},
    {"fe80::", {0xfe, 0x80}},
    {"1:2:3:4:5:6:7:8", {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8}},
    {"ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888",
     {0xff, 0xff, 0xee, 0xee, 0xdd, 0xdd, 0xcc, 0xcc, 0xbb, 0xbb, 0xaa, 0xaa, 0x99, 0x99, 0x88,
      0x88}},
};

static void build_ipv4(struct sockaddr_storage *address, const unsigned char *bytes, uint16_t port)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(port)};

    memcpy(&ipv4.sin_addr, bytes, 4);
    memset(address, 0, sizeof *address);
    memcpy(address, &ipv4, sizeof ipv4);
}

static void build_ipv6(struct sockaddr_storage *address, const unsigned char *bytes, uint16_t port)
{
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    memcpy(&ipv6.sin6_addr, bytes, 16);
    memset(address, 0, sizeof *address);
    memcpy(address, &ipv6, sizeof ipv6);
}

static void expect_parsed(const char *text, uint16_t port, const struct sockaddr_storage *expected,
                          socklen_t expected_size)
{
    struct sockaddr_storage address;
    socklen_t size = 4711;

    memset(&address, 0xaa, sizeof address);
    if (!address_parse(text, port, &address, &size))
        fail_msg("'%s' is refused", text);
    if (size != expected_size || memcmp(&address, expected, sizeof address) != 0)
        fail_msg("'%s' is not read as its %u bytes", text, expected_size);
}

/* Prints an address, with and without room behind it, and checks the text and that no byte behind
 * the room is written. */
static void expect_printed(const struct sockaddr_storage *address, const char *text, uint16_t port)
{
    char out[ADDRESS_TEXT_MAX + 1];
    uint16_t actual = 0;

    memset(out, '?', sizeof out);
    actual = address_print((const struct sockaddr *)address, out);
    assert_string_equal(out, text);
    if (actual != port)
        fail_msg("%s: port %u instead of %u", text, actual, port);
    if (out[ADDRESS_TEXT_MAX] != '?')
        fail_msg("%s: a byte too many is written", text);
}

static void address_parse_ipv4_is_read(void **state)
{
    struct sockaddr_storage expected;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(IPV4); i++) {
        build_ipv4(&expected, IPV4[i].bytes, 0x1234);
        expect_parsed(IPV4[i].text, 0x1234, &expected, sizeof(struct sockaddr_in));
    }
}

static void address_parse_ipv6_is_read(void **state)
{
    struct sockaddr_storage expected;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(IPV6); i++) {
        build_ipv6(&expected, IPV6[i].bytes, 0x1234);
        expect_parsed(IPV6[i].text, 0x1234, &expected, sizeof(struct sockaddr_in6));
    }
}

static void address_parse_other_spellings_of_ipv6_are_read(void **state)
{
    static const struct row rows[] = {
        {"0:0:0:0:0:0:0:1", {[15] = 1}},
        {"::0001", {[15] = 1}},
        {"FE80::ABCD", {0xfe, 0x80, [14] = 0xab, 0xcd}},
        {"::1.2.3.4", {[12] = 1, 2, 3, 4}},
        {"::ffff:1.2.3.4", {[10] = 0xff, 0xff, 1, 2, 3, 4}},
        {"1:2:3:4:5:6:7::", {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7}},
    };
    struct sockaddr_storage expected;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        build_ipv6(&expected, rows[i].bytes, 65535);
        expect_parsed(rows[i].text, 65535, &expected, sizeof(struct sockaddr_in6));
    }
}

static void address_parse_anything_else_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "localhost",
        "example.org",
        "*",
        "0",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "256.0.0.1",
        "1.2.3.256",
        "1.2.3.-4",
        "01.2.3.4",
        "1.2.3.04",
        "0x7f.0.0.1",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4\n",
        "1.2.3.4:80",
        "1.2.3.4/8",
        "1..2.3",
        ".1.2.3.4",
        "1.2.3.4.",
        "2130706433",
        ":",
        ":::",
        "1::2::3",
        "12345::",
        "g::",
        "1:2:3:4:5:6:7",
        "::1 ",
        " ::1",
        "::1\n",
        "[::1]",
        "[::1]:80",
        "1:2:3:4:5:6:7:8:9",
        "::1%lo",
        "fe80::1%1",
        "::1/128",
        "::1.2.3",
        "::1.2.3.256",
        "::ffff:1.2.3.4.5",
        ":1",
        "1:",
        "1:2:3:4:5:6:7:8:",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct sockaddr_storage address;
        struct sockaddr_storage untouched;
        socklen_t size = 4711;

        memset(&address, 0xaa, sizeof address);
        memset(&untouched, 0xaa, sizeof untouched);
        if (address_parse(texts[i], 80, &address, &size))
            fail_msg("'%s' is accepted", texts[i]);
        if (size != 4711 || memcmp(&address, &untouched, sizeof address) != 0)
            fail_msg("'%s' is refused, but something is written", texts[i]);
    }
}

static void address_print_gives_text_and_port(void **state)
{
    struct sockaddr_storage address;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(IPV4); i++) {
        build_ipv4(&address, IPV4[i].bytes, 0x1234);
        expect_printed(&address, IPV4[i].text, 0x1234);
    }
    for (size_t i = 0; i < COUNT_OF(IPV6); i++) {
        build_ipv6(&address, IPV6[i].bytes, 65535);
        expect_printed(&address, IPV6[i].text, 65535);
    }
}

static void address_print_mapped_ipv4_is_ipv4(void **state)
{
    static const struct row rows[] = {
        {"1.2.3.4", {[10] = 0xff, 0xff, 1, 2, 3, 4}},
        {"255.255.255.255", {[10] = 0xff, 0xff, 255, 255, 255, 255}},
    };
    struct sockaddr_storage address;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        build_ipv6(&address, rows[i].bytes, 80);
        expect_printed(&address, rows[i].text, 80);
    }
}

static void address_print_nearly_mapped_ipv4_is_ipv6(void **state)
{
    static const struct row rows[] = {
        {"::fffe:102:304", {[10] = 0xff, 0xfe, 1, 2, 3, 4}},
        {"::101:101:0:ffff:102:304", {[4] = 1, 1, 1, 1, [10] = 0xff, 0xff, 1, 2, 3, 4}},
        {"101:101::ffff:102:304", {[0] = 1, 1, 1, 1, [10] = 0xff, 0xff, 1, 2, 3, 4}},
    };
    struct sockaddr_storage address;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        build_ipv6(&address, rows[i].bytes, 80);
        expect_printed(&address, rows[i].text, 80);
    }
}

static void address_print_other_family_is_unknown(void **state)
{
    struct sockaddr_storage address = {.ss_family = AF_UNIX};

    (void)state;
    expect_printed(&address, "unknown", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_parse_ipv4_is_read),
        cmocka_unit_test(address_parse_ipv6_is_read),
        cmocka_unit_test(address_parse_other_spellings_of_ipv6_are_read),
        cmocka_unit_test(address_parse_anything_else_is_refused),
        cmocka_unit_test(address_print_gives_text_and_port),
        cmocka_unit_test(address_print_mapped_ipv4_is_ipv4),
        cmocka_unit_test(address_print_nearly_mapped_ipv4_is_ipv6),
        cmocka_unit_test(address_print_other_family_is_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

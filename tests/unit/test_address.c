#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "address.h"

enum { PORT = 0x1234 };

/* An address as text and as bytes, 4 or 16. `printed` is the text that address_print() writes;
 * NULL: the same. */
static const struct row {
    const char *text;
    int family;
    unsigned char bytes[16];
    const char *printed;
} ROWS[] = {
    {"127.0.0.1", AF_INET, {127, 0, 0, 1}, NULL},
    {"0.0.0.0", AF_INET, {0}, NULL},
    {"255.255.255.255", AF_INET, {255, 255, 255, 255}, NULL},
    {"1.20.255.4", AF_INET, {1, 20, 255, 4}, NULL},
    {"::", AF_INET6, {0}, NULL},
    {"::1", AF_INET6, {[15] = 1}, NULL},
    {"0:0:0:0:0:0:0:1", AF_INET6, {[15] = 1}, "::1"},
    {"FE80::ABCD", AF_INET6, {0xfe, 0x80, [14] = 0xab, 0xcd}, "fe80::abcd"},
    {"::1.2.3.4", AF_INET6, {[12] = 1, 2, 3, 4}, NULL},
    {"1:2:3:4:5:6:7::", AF_INET6, {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7}, "1:2:3:4:5:6:7:0"},
    {"ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888",
     AF_INET6,
     {0xff, 0xff, 0xee, 0xee, 0xdd, 0xdd, 0xcc, 0xcc, 0xbb, 0xbb, 0xaa, 0xaa, 0x99, 0x99, 0x88,
      0x88},
     NULL},
    /* IPv4-mapped addresses, and addresses that differ from one in a single group */
    {"::ffff:1.2.3.4", AF_INET6, {[10] = 0xff, 0xff, 1, 2, 3, 4}, "1.2.3.4"},
    {"::fffe:102:304", AF_INET6, {[10] = 0xff, 0xfe, 1, 2, 3, 4}, NULL},
    {"101::ffff:102:304", AF_INET6, {1, 1, [10] = 0xff, 0xff, 1, 2, 3, 4}, NULL},
};

static void parses_and_prints_ipv4_and_ipv6(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const struct row *row = &ROWS[i];
        struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
        struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
        struct sockaddr_storage expected = {0};
        struct sockaddr_storage address;
        socklen_t size = 0;
        char text[ADDRESS_TEXT_MAX];

        memcpy(&ipv4.sin_addr, row->bytes, sizeof ipv4.sin_addr);
        memcpy(&ipv6.sin6_addr, row->bytes, sizeof ipv6.sin6_addr);
        if (row->family == AF_INET)
            memcpy(&expected, &ipv4, sizeof ipv4);
        else
            memcpy(&expected, &ipv6, sizeof ipv6);
        memset(&address, 0xaa, sizeof address);
        if (!address_parse(row->text, PORT, &address, &size))
            fail_msg("rejects %s", row->text);
        assert_int_equal(size, row->family == AF_INET ? sizeof ipv4 : sizeof ipv6);
        assert_memory_equal(&address, &expected, sizeof expected);
        assert_int_equal(address_print((const struct sockaddr *)&address, text), PORT);
        assert_string_equal(text, row->printed != NULL ? row->printed : row->text);
    }
}

static void prints_other_families_as_unknown(void **state)
{
    const struct sockaddr_storage address = {.ss_family = AF_UNIX};
    char text[ADDRESS_TEXT_MAX];

    (void)state;
    assert_int_equal(address_print((const struct sockaddr *)&address, text), 0);
    assert_string_equal(text, "unknown");
}

static void rejects_other_texts_and_changes_nothing(void **state)
{
    static const char *const texts[] = {
        "",           "localhost", "1.2.3",    "1.2.3.4.5",  "256.0.0.1",     "01.2.3.4",
        "0x7f.0.0.1", "1.2.3.4 ",  " 1.2.3.4", "1.2.3.4:80", "1.2.3.4/8",     "2130706433",
        ":::",        "1::2::3",   "12345::",  "g::",        "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "[::1]",      "fe80::1%1", "::1/128",  "::1 ",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct sockaddr_storage address = {.ss_family = 4711};
        const struct sockaddr_storage unchanged = address;
        socklen_t size = 4711;

        if (address_parse(texts[i], PORT, &address, &size))
            fail_msg("accepts '%s'", texts[i]);
        assert_int_equal(size, 4711);
        assert_memory_equal(&address, &unchanged, sizeof address);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_and_prints_ipv4_and_ipv6),
        cmocka_unit_test(prints_other_families_as_unknown),
        cmocka_unit_test(rejects_other_texts_and_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

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

static void expect_key(const struct sockaddr_storage *address, const unsigned char bytes[16])
{
    const struct address_key key = address_key((const struct sockaddr *)address);

    assert_memory_equal(key.bytes, bytes, sizeof key.bytes);
}

static void address_key_of_ipv4_is_mapped(void **state)
{
    struct sockaddr_storage address;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(IPV4); i++) {
        unsigned char expected[16] = {[10] = 0xff, 0xff};

        memcpy(expected + 12, IPV4[i].bytes, 4);
        build_ipv4(&address, IPV4[i].bytes, 0x1234);
        expect_key(&address, expected);
        build_ipv6(&address, expected, 0x4321); /* the same address on a socket of both families */
        expect_key(&address, expected);
    }
}

static void address_key_of_ipv6_is_its_bytes(void **state)
{
    struct sockaddr_storage address;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(IPV6); i++) {
        build_ipv6(&address, IPV6[i].bytes, 0x1234);
        expect_key(&address, IPV6[i].bytes);
    }
}

static void address_key_of_other_family_is_zeros(void **state)
{
    static const unsigned char zeros[16];
    struct sockaddr_storage address;

    (void)state;
    memset(&address, 0xaa, sizeof address);
    address.ss_family = AF_UNIX;
    expect_key(&address, zeros);
}

/* The prefixes of a list that must be right. */
static struct address_prefixes parse_prefixes(const char *text)
{
    struct address_prefixes prefixes;

    memset(&prefixes, 0xaa, sizeof prefixes);
    if (!address_parse_prefixes(text, &prefixes))
        fail_msg("'%s' is refused", text);
    return prefixes;
}

static void expect_refused_prefixes(const char *text)
{
    struct address_prefixes prefixes;
    struct address_prefixes untouched;

    memset(&prefixes, 0xaa, sizeof prefixes);
    memset(&untouched, 0xaa, sizeof untouched);
    if (address_parse_prefixes(text, &prefixes))
        fail_msg("'%s' is accepted", text);
    if (memcmp(&prefixes, &untouched, sizeof prefixes) != 0)
        fail_msg("'%s' is refused, but something is written", text);
}

static void prefix_has_its_address_and_bits(void **state)
{
    static const struct {
        const char *text;
        unsigned char bytes[16];
        unsigned bits;
    } rows[] = {
        {"0.0.0.0/0", {[10] = 0xff, 0xff}, 96},
        {"128.0.0.0/1", {[10] = 0xff, 0xff, 128}, 97},
        {"10.0.0.0/8", {[10] = 0xff, 0xff, 10}, 104},
        {"172.16.0.0/12", {[10] = 0xff, 0xff, 172, 16}, 108},
        {"192.0.2.254/31", {[10] = 0xff, 0xff, 192, 0, 2, 254}, 127},
        {"192.0.2.255/32", {[10] = 0xff, 0xff, 192, 0, 2, 255}, 128},
        {"192.0.2.255", {[10] = 0xff, 0xff, 192, 0, 2, 255}, 128},
        {"::/0", {0}, 0},
        {"8000::/1", {0x80}, 1},
        {"fe80::/10", {0xfe, 0x80}, 10},
        {"2001:db8::/32", {0x20, 0x01, 0x0d, 0xb8}, 32},
        {"::1", {[15] = 1}, 128},
        {"::1/128", {[15] = 1}, 128},
        {"::2/127", {[15] = 2}, 127},
        {"::ffff:10.0.0.0/104", {[10] = 0xff, 0xff, 10}, 104},
        {"ffff:eeee:dddd:cccc:bbbb:aaaa:255.255.255.255/128",
         {0xff, 0xff, 0xee, 0xee, 0xdd, 0xdd, 0xcc, 0xcc, 0xbb, 0xbb, 0xaa, 0xaa, 255, 255, 255,
          255},
         128},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct address_prefixes prefixes = parse_prefixes(rows[i].text);

        assert_uint_equal(prefixes.count, 1);
        if (prefixes.items[0].bits != rows[i].bits ||
            memcmp(prefixes.items[0].key.bytes, rows[i].bytes, 16) != 0)
            fail_msg("'%s' is another prefix, of %u bits", rows[i].text, prefixes.items[0].bits);
    }
}

static void prefix_that_is_none_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "/",
        "/8",
        "localhost",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/08",
        "10.0.0.0/8a",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/4294967304",
        "10/8",
        "10.0.0/8",
        "::/129",
        "::/",
        "::1/128/",
        "[::1]",
        "[::1]/128",
        "::1%lo/128",
        " ::1",
        "::1 ",
        "::1 /128",
        "::1/ 128",
        "::1/128\n",
        "10.0.0.0/8 ",
        "ffff:eeee:dddd:cccc:bbbb:aaaa:255.255.255.255/0128",
        "ffff:eeee:dddd:cccc:bbbb:aaaa:255.255.255.255/128/",
        "00000000000000000000000000000000000000000000000000000000000000000000000000000000",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        expect_refused_prefixes(texts[i]);
}

/* Each bit behind the prefix, at every length there is. */
static void prefix_with_a_bit_behind_it_is_refused(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 128; bits++) {
        unsigned char bytes[16] = {0};
        struct sockaddr_storage address;
        char text[ADDRESS_TEXT_MAX];
        char prefix[ADDRESS_TEXT_MAX + 8];

        bytes[0] = 0x20;
        bytes[bits / 8] |= (unsigned char)(0x80U >> (bits % 8));
        build_ipv6(&address, bytes, 0);
        (void)address_print((const struct sockaddr *)&address, text);
        (void)snprintf(prefix, sizeof prefix, "%s/%u", text, bits);
        expect_refused_prefixes(prefix);
        (void)snprintf(prefix, sizeof prefix, "%s/%u", text, bits < 2 ? 3 : bits + 1);
        (void)parse_prefixes(prefix);
    }
    expect_refused_prefixes("10.0.0.1/31");
    expect_refused_prefixes("10.0.0.1/8");
    expect_refused_prefixes("0.0.0.1/0");
    expect_refused_prefixes("::1/127");
    expect_refused_prefixes("::1/0");
    expect_refused_prefixes("::ffff:10.0.0.0/8");
}

static void prefixes_are_read_in_their_order(void **state)
{
    const struct address_prefixes prefixes = parse_prefixes("10.0.0.0/8,::1,192.0.2.1,fe80::/10");
    static const unsigned bits[] = {104, 128, 128, 10};
    static const unsigned char firsts[] = {0, 0, 0, 0xfe};
    static const unsigned char lasts[] = {0, 1, 1, 0};

    (void)state;
    assert_uint_equal(prefixes.count, 4);
    for (size_t i = 0; i < COUNT_OF(bits); i++) {
        assert_uint_equal(prefixes.items[i].bits, bits[i]);
        assert_uint_equal(prefixes.items[i].key.bytes[0], firsts[i]);
        assert_uint_equal(prefixes.items[i].key.bytes[15], lasts[i]);
    }
}

static void prefixes_with_an_empty_element_or_white_space_are_refused(void **state)
{
    static const char *const texts[] = {
        ",",
        "::1,",
        ",::1",
        "::1,,::2",
        "::1, ::2",
        "::1 ,::2",
        "::1\t,::2",
        "::1,\n::2",
        "::1,::2 ",
        " ::1,::2",
        "::1;::2",
        "::1 ::2",
        "::1,nope",
        "nope,::1",
        "::1,::2/0",
        "::1,::2,/",
        "::1,10.0.0.0/8,10.0.0.0/33",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        expect_refused_prefixes(texts[i]);
}

static void prefixes_are_at_most_sixteen(void **state)
{
    static const char more[] = ",10.0.0.0/8";
    char text[(ADDRESS_PREFIXES_MAX + 1) * sizeof more] = "10.0.0.0/8";
    size_t used = strlen(text);

    (void)state;
    for (size_t i = 1; i < ADDRESS_PREFIXES_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s", more);
    assert_uint_equal(parse_prefixes(text).count, ADDRESS_PREFIXES_MAX);
    (void)snprintf(text + used, sizeof text - used, "%s", more);
    expect_refused_prefixes(text);
}

static bool is_in(const char *text, const struct address_prefixes *prefixes)
{
    struct sockaddr_storage address;
    struct address_key key;
    socklen_t size = 0;

    assert_true(address_parse(text, 80, &address, &size));
    key = address_key((const struct sockaddr *)&address);
    return address_is_in(&key, prefixes);
}

/* The addresses at both ends of a prefix are in it, and the next ones are not. */
static void address_is_in_a_prefix_up_to_its_bounds(void **state)
{
    static const struct {
        const char *prefix;
        const char *first;
        const char *last;
        const char *before; /* NULL: there is none */
        const char *after;
    } rows[] = {
        {"10.0.0.0/8", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
        {"172.16.0.0/12", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
        {"192.0.2.128/25", "192.0.2.128", "192.0.2.255", "192.0.2.127", "192.0.3.0"},
        {"192.0.2.2/31", "192.0.2.2", "192.0.2.3", "192.0.2.1", "192.0.2.4"},
        {"192.0.2.2", "192.0.2.2", "::ffff:192.0.2.2", "192.0.2.1", "192.0.2.3"},
        {"128.0.0.0/1", "128.0.0.0", "255.255.255.255", "127.255.255.255", "::1:0:0:0"},
        {"0.0.0.0/0", "0.0.0.0", "255.255.255.255", "::fffe:ffff:ffff", "::1:0:0:0"},
        {"::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, NULL},
        {"::/0", "0.0.0.0", "255.255.255.255", NULL, NULL},
        {"fe80::/10", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::"},
        {"2001:db8::/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
         "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
        {"::2/127", "::2", "::3", "::1", "::4"},
        {"::1", "::1", "::1", "::", "::2"},
        {"::ffff:10.0.0.0/104", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
        {"::/96", "::", "::255.255.255.255", NULL, "::1:0:0"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct address_prefixes prefixes = parse_prefixes(rows[i].prefix);

        if (!is_in(rows[i].first, &prefixes) || !is_in(rows[i].last, &prefixes))
            fail_msg("%s: %s or %s is not in it", rows[i].prefix, rows[i].first, rows[i].last);
        if ((rows[i].before != NULL && is_in(rows[i].before, &prefixes)) ||
            (rows[i].after != NULL && is_in(rows[i].after, &prefixes)))
            fail_msg("%s: a neighbour is in it", rows[i].prefix);
    }
}

static void address_is_in_any_of_the_prefixes_and_in_none_of_no_prefixes(void **state)
{
    const struct address_prefixes prefixes = parse_prefixes("10.0.0.0/8,::1,192.0.2.1");
    const struct address_prefixes none = {.count = 0};

    (void)state;
    assert_true(is_in("10.1.2.3", &prefixes));
    assert_true(is_in("::1", &prefixes));
    assert_true(is_in("192.0.2.1", &prefixes));
    assert_false(is_in("192.0.2.2", &prefixes));
    assert_false(is_in("::", &prefixes));
    assert_false(is_in("::", &none));
    assert_false(is_in("10.1.2.3", &none));
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
        cmocka_unit_test(address_key_of_ipv4_is_mapped),
        cmocka_unit_test(address_key_of_ipv6_is_its_bytes),
        cmocka_unit_test(address_key_of_other_family_is_zeros),
        cmocka_unit_test(prefix_has_its_address_and_bits),
        cmocka_unit_test(prefix_that_is_none_is_refused),
        cmocka_unit_test(prefix_with_a_bit_behind_it_is_refused),
        cmocka_unit_test(prefixes_are_read_in_their_order),
        cmocka_unit_test(prefixes_with_an_empty_element_or_white_space_are_refused),
        cmocka_unit_test(prefixes_are_at_most_sixteen),
        cmocka_unit_test(address_is_in_a_prefix_up_to_its_bounds),
        cmocka_unit_test(address_is_in_any_of_the_prefixes_and_in_none_of_no_prefixes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "parse.h"

_Static_assert(ADDRESS_TEXT_MAX >= INET6_ADDRSTRLEN, "an IPv6 address must fit");

bool address_parse(const char *text, uint16_t port, struct sockaddr_storage *address,
                   socklen_t *size)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1) {
        *address = (struct sockaddr_storage){0};
        memcpy(address, &ipv4, sizeof ipv4);
        *size = sizeof ipv4;
        return true;
    }
    if (inet_pton(AF_INET6, text, &ipv6.sin6_addr) == 1) {
        *address = (struct sockaddr_storage){0};
        memcpy(address, &ipv6, sizeof ipv6);
        *size = sizeof ipv6;
        return true;
    }
    return false;
}

uint16_t address_print(const struct sockaddr *address, char text[ADDRESS_TEXT_MAX])
{
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;

    if (address->sa_family == AF_INET) {
        memcpy(&ipv4, address, sizeof ipv4);
        (void)inet_ntop(AF_INET, &ipv4.sin_addr, text, ADDRESS_TEXT_MAX);
        return ntohs(ipv4.sin_port);
    }
    if (address->sa_family == AF_INET6) {
        memcpy(&ipv6, address, sizeof ipv6);
        if (IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr))
            (void)inet_ntop(AF_INET, &ipv6.sin6_addr.s6_addr[12], text, ADDRESS_TEXT_MAX);
        else
            (void)inet_ntop(AF_INET6, &ipv6.sin6_addr, text, ADDRESS_TEXT_MAX);
        return ntohs(ipv6.sin6_port);
    }
    (void)snprintf(text, ADDRESS_TEXT_MAX, "unknown");
    return 0;
}

struct address_key address_key(const struct sockaddr *address)
{
    struct address_key key = {.bytes = {[10] = 0xff, [11] = 0xff}};
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;

    if (address->sa_family == AF_INET) {
        memcpy(&ipv4, address, sizeof ipv4);
        memcpy(key.bytes + 12, &ipv4.sin_addr, 4);
        return key;
    }
    if (address->sa_family != AF_INET6)
        return (struct address_key){{0}};
    memcpy(&ipv6, address, sizeof ipv6);
    memcpy(key.bytes, &ipv6.sin6_addr, sizeof key.bytes);
    return key;
}

/* The address with all but its first `bits` bits 0. */
static struct address_key first_bits(const struct address_key *key, unsigned bits)
{
    struct address_key first = {{0}};

    memcpy(first.bytes, key->bytes, bits / 8);
    if (bits % 8 != 0)
        first.bytes[bits / 8] = (unsigned char)(key->bytes[bits / 8] & (0xff00U >> (bits % 8)));
    return first;
}

static bool is_equal(struct address_key a, struct address_key b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

/* Reads the `length` bytes at `text`. */
static bool parse_prefix(const char *text, size_t length, struct address_prefix *prefix)
{
    char copy[ADDRESS_TEXT_MAX + sizeof "/128"];
    char *slash = NULL;
    struct sockaddr_storage address;
    socklen_t size = 0;
    uint32_t width = 0;
    uint32_t bits = 0;

    if (length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    slash = strchr(copy, '/');
    if (slash != NULL)
        *slash = '\0';
    if (!address_parse(copy, 0, &address, &size))
        return false;
    width = address.ss_family == AF_INET ? 32 : 128;
    bits = width;
    if (slash != NULL && !parse_number(slash + 1, 0, width, &bits))
        return false;
    prefix->key = address_key((const struct sockaddr *)&address);
    prefix->bits = 128 - width + bits;
    return is_equal(prefix->key, first_bits(&prefix->key, prefix->bits));
}

bool address_parse_prefixes(const char *text, struct address_prefixes *prefixes)
{
    struct address_prefixes list = {.count = 0};

    for (;;) {
        const size_t length = strcspn(text, ",");

        if (list.count == ADDRESS_PREFIXES_MAX ||
            !parse_prefix(text, length, &list.items[list.count]))
            return false;
        list.count++;
        if (text[length] == '\0')
            break;
        text += length + 1;
    }
    *prefixes = list;
    return true;
}

bool address_is_in(const struct address_key *key, const struct address_prefixes *prefixes)
{
    for (unsigned i = 0; i < prefixes->count; i++) {
        const struct address_prefix *prefix = &prefixes->items[i];

        if (is_equal(first_bits(key, prefix->bits), prefix->key))
            return true;
    }
    return false;
}

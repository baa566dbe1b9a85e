/* Input: the 16 bytes of an address, then a text, which is tried as an address and as a list of
 * prefixes.
 * Expected: what is taken can be printed and read again, and is the same; a list has 1 to 16
 * prefixes, none with a bit set behind it, each has itself in it, and whether an address is in one
 * is what a comparison bit by bit says; what is refused changes nothing. */
#include "address.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { PORT = 65432 };

static bool is_same(struct address_key a, struct address_key b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

static void judge_address(const char *text)
{
    struct sockaddr_storage address;
    struct sockaddr_storage again;
    socklen_t size = 1;
    char printed[ADDRESS_TEXT_MAX];

    memset(&address, 0xa5, sizeof address);
    again = address;
    if (!address_parse(text, PORT, &address, &size)) {
        expect(size == 1 && memcmp(&address, &again, sizeof address) == 0, "nothing is changed");
        return;
    }
    expect(size == (address.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                                 : sizeof(struct sockaddr_in6)),
           "the size of its family");
    expect(strspn(text, "0123456789abcdefABCDEF.:") == strlen(text), "nothing but an address");
    expect(address_print((const struct sockaddr *)&address, printed) == PORT, "the port");
    expect(strlen(printed) < sizeof printed && fuzz_is_printable(printed), "a text");
    expect(address_parse(printed, PORT, &again, &size), "what is printed can be read");
    expect(is_same(address_key((const struct sockaddr *)&address),
                   address_key((const struct sockaddr *)&again)),
           "what is read again is the same");
}

static unsigned bit(const struct address_key *key, unsigned i)
{
    return ((unsigned)key->bytes[i / 8] >> (7 - i % 8)) & 1U;
}

/* True when the first `bits` bits are those of the prefix. */
static bool has_prefix(const struct address_key *key, const struct address_prefix *prefix)
{
    for (unsigned i = 0; i < prefix->bits; i++) {
        if (bit(key, i) != bit(&prefix->key, i))
            return false;
    }
    return true;
}

static void judge_prefixes(const char *text, const struct address_key *key)
{
    struct address_prefixes prefixes = {.count = 77};
    unsigned commas = 0;
    bool is_in = false;

    if (!address_parse_prefixes(text, &prefixes)) {
        expect(prefixes.count == 77, "nothing is changed");
        return;
    }
    for (const char *at = text; *at != '\0'; at++)
        commas += *at == ',' ? 1 : 0;
    expect(prefixes.count == commas + 1 && prefixes.count <= ADDRESS_PREFIXES_MAX,
           "as many prefixes as the list has");
    for (unsigned i = 0; i < prefixes.count; i++) {
        const struct address_prefix *prefix = &prefixes.items[i];

        expect(prefix->bits <= 128, "at most 128 bits");
        for (unsigned at = prefix->bits; at < 128; at++)
            expect(bit(&prefix->key, at) == 0, "no bit behind the prefix");
        expect(address_is_in(&prefix->key, &prefixes), "a prefix has its own address in it");
        is_in = is_in || has_prefix(key, prefix);
    }
    expect(address_is_in(key, &prefixes) == is_in, "an address is in a prefix bit by bit");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct address_key key = {{0}};
    char *text = NULL;

    if (size < sizeof key.bytes)
        return 0;
    memcpy(key.bytes, data, sizeof key.bytes);
    data += sizeof key.bytes;
    size -= sizeof key.bytes;
    text = fuzz_take_text(&data, &size);
    judge_address(text);
    judge_prefixes(text, &key);
    free(text);
    return 0;
}

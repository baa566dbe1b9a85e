/* IPv4 and IPv6 addresses, as texts and as the kernel has them. */
#ifndef VERSIOND_ADDRESS_H
#define VERSIOND_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Room for any address as text, with its NUL. */
enum { ADDRESS_TEXT_MAX = 46 };

/* Reads a literal IPv4 or IPv6 address (RFC 4291, section 2.2; no brackets, zone or host name) and
 * `port` into `*address`, and its size into `*size`.
 * Returns false, and leaves both alone, when it is neither. */
bool address_parse(const char *text, uint16_t port, struct sockaddr_storage *address,
                   socklen_t *size);

/* Writes the address without its port; an IPv4 address that was mapped into IPv6 as IPv4, and any
 * other family as "unknown". Returns the port, or 0 for another family. */
uint16_t address_print(const struct sockaddr *address, char text[ADDRESS_TEXT_MAX]);

/* An address of either family as 16 bytes in network order: an IPv4 address as it is mapped into
 * IPv6 (RFC 4291, section 2.5.5.2), any other family as zeros. */
struct address_key {
    unsigned char bytes[16];
};
struct address_key address_key(const struct sockaddr *address);

/* The addresses whose first `bits` bits, 0 to 128, are those of `key`; the others are 0. */
struct address_prefix {
    struct address_key key;
    unsigned bits;
};

enum { ADDRESS_PREFIXES_MAX = 16 };

struct address_prefixes {
    struct address_prefix items[ADDRESS_PREFIXES_MAX];
    unsigned count;
};

/* Reads a list of 1 to ADDRESS_PREFIXES_MAX addresses and prefixes (10.0.0.0/8, 2001:db8::/32, ::1)
 * with commas between them and no white space. Bits after those of the prefix must be 0.
 * Returns false, and leaves `*prefixes` alone, when it is anything else. */
bool address_parse_prefixes(const char *text, struct address_prefixes *prefixes);

/* True when the address is in one of the prefixes. */
bool address_is_in(const struct address_key *key, const struct address_prefixes *prefixes);

#endif

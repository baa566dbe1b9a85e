/* IPv4 and IPv6 addresses, as text and as kernel structures. */
#ifndef VERSIOND_ADDRESS_H
#define VERSIOND_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Enough for any address as text, including the NUL. */
enum { ADDRESS_TEXT_MAX = 46 };

/* Parses a literal IPv4 or IPv6 address (RFC 4291, section 2.2; no brackets, zone or host name) and
 * stores it with `port` in `*address`, and its size in `*size`.
 * Returns false and changes nothing if the text is neither. */
bool address_parse(const char *text, uint16_t port, struct sockaddr_storage *address,
                   socklen_t *size);

/* Prints the address without its port. An IPv4-mapped IPv6 address is printed as IPv4, and an
 * address of another family as "unknown". Returns the port, or 0 for another family. */
uint16_t address_print(const struct sockaddr *address, char text[ADDRESS_TEXT_MAX]);

#endif

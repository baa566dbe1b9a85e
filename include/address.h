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

#endif

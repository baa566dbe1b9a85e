#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

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

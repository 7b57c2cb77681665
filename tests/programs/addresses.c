/* addresses INTERFACE...: what getifaddrs(3) tells of each, and whether a TCP socket can be bound to it.

   In: names of interfaces. Out: a line for each address. Source: getifaddrs(3). */

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *text(const struct sockaddr *address, char *buffer, socklen_t room)
{
	socklen_t length = address && address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
								     : sizeof(struct sockaddr_in);

	if (!address || getnameinfo(address, length, buffer, room, NULL, 0, NI_NUMERICHOST))
		return "-";
	return buffer;
}

static int binds(const struct sockaddr *address)
{
	socklen_t length = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	int sock = socket(address->sa_family, SOCK_STREAM, 0);
	int bound = sock >= 0 && bind(sock, address, length) == 0 && listen(sock, 1) == 0;

	close(sock);
	return bound;
}

int main(int argc, char **argv)
{
	char address[NI_MAXHOST], mask[NI_MAXHOST], other[NI_MAXHOST];
	struct ifaddrs *all, *each;
	int at;

	if (getifaddrs(&all)) {
		perror("getifaddrs");
		return 1;
	}
	for (at = 1; at < argc; at++)
		for (each = all; each; each = each->ifa_next)
			if (each->ifa_addr && each->ifa_addr->sa_family != AF_PACKET && !strcmp(each->ifa_name, argv[at]))
				printf("%s %s %s %s %s\n", each->ifa_name,
				       text(each->ifa_addr, address, sizeof(address)),
				       text(each->ifa_netmask, mask, sizeof(mask)),
				       each->ifa_flags & IFF_BROADCAST ? text(each->ifa_broadaddr, other, sizeof(other)) : "-",
				       binds(each->ifa_addr) ? "binds" : "does not bind");
	freeifaddrs(all);
	return 0;
}

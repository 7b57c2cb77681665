/* Device memory TCP as the kernel's ncdevmem and kperf use it, with nothing of the testbed's:
 *
 *     devmem receive IFNAME PORT BYTES[,BYTES...] [RX_PAGE_SIZE]    a connection for each number
 *     devmem send IFNAME ADDRESS PORT BYTES [CHUNK]                 in buffers of CHUNK bytes
 *     devmem hold PHASE IFNAME PORT [ADDRESS]                       stay in a phase: unbound, bound,
 *                                                                   requesting, receiving, sending
 *
 * udmabuf, generic netlink (nlctrl, netdev, ethtool), children that run ethtool, recvmsg with control messages,
 * SO_DEVMEM_DONTNEED, zero-copy sendmsg, completions by poll and MSG_ERRQUEUE. Bytes follow a pattern, which the
 * receiver checks. Exit status 0 when all of it was as it should be.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "netlink.h"

#define SIZE (4u << 20)
#define QUEUE 7
#define TOKENS 128
#define PERIOD 251
#define MY_SO_ZEROCOPY 60
#define MY_SCM_DEVMEM_LINEAR 78
#define MY_SCM_DEVMEM_DMABUF 79
#define MY_SO_DEVMEM_DONTNEED 80
#define MY_MSG_SOCK_DEVMEM 0x2000000
#define MY_MSG_ZEROCOPY 0x4000000
#define MY_UDMABUF_CREATE 0x40187542
#define MY_DMA_BUF_IOCTL_SYNC 0x40086200

enum { NETDEV_DEV_GET = 1, NETDEV_BIND_RX = 13, NETDEV_BIND_TX = 15, ETHTOOL_RINGS_SET = 16 };
enum { DMABUF_IFINDEX = 1, DMABUF_QUEUES, DMABUF_FD, DMABUF_ID, DMABUF_RX_PAGE_SIZE };
enum { QUEUE_ID = 1, QUEUE_TYPE = 3 };
enum { RINGS_HEADER = 1, RINGS_TCP_DATA_SPLIT = 11, RINGS_HDS_THRESH = 17 };

struct udmabuf_create { uint32_t memfd, flags; uint64_t offset, size; };
struct dmabuf_cmsg { uint64_t frag_offset; uint32_t frag_size, frag_token, dmabuf_id, flags; };
struct dmabuf_token { uint32_t token_start, token_count; };

/* --- a dma-buf */

static uint8_t *udmabuf(int *fd)
{
	struct udmabuf_create create = { .size = SIZE };
	uint64_t flags = 2; /* DMA_BUF_SYNC_WRITE */
	int device = open("/dev/udmabuf", O_RDWR);
	int memfd = memfd_create("udmabuf-test", MFD_ALLOW_SEALING);
	uint8_t *memory;

	if (device < 0 || memfd < 0 || ftruncate(memfd, SIZE) || fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK))
		die("udmabuf");
	create.memfd = memfd;
	*fd = ioctl(device, MY_UDMABUF_CREATE, &create);
	if (*fd < 0)
		die("UDMABUF_CREATE");
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (memory == MAP_FAILED || ioctl(*fd, MY_DMA_BUF_IOCTL_SYNC, &flags))
		die("mapping the dma-buf");
	close(device);
	close(memfd);
	return memory;
}

/* --- the control plane */

static void split_headers(int netlink, int ifindex)
{
	uint8_t enabled = 2;
	struct nlattr *header;

	begin(family_id(netlink, "ethtool"), ETHTOOL_RINGS_SET);
	header = put(RINGS_HEADER, NULL, 0);
	put_u32(1, ifindex);
	end_nest(header);
	put(RINGS_TCP_DATA_SPLIT, &enabled, 1);
	put_u32(RINGS_HDS_THRESH, 0);
	transact(netlink, 0);
}

static uint32_t bind_dmabuf(int netlink, int command, int ifindex, int fd, uint32_t page_size)
{
	begin(family_id(netlink, "netdev"), command);
	put_u32(DMABUF_IFINDEX, ifindex);
	put_u32(DMABUF_FD, fd);
	if (page_size)
		put_u32(DMABUF_RX_PAGE_SIZE, page_size);
	if (command == NETDEV_BIND_RX) {
		struct nlattr *queue = put(DMABUF_QUEUES, NULL, 0);

		put_u32(QUEUE_TYPE, 0);
		put_u32(QUEUE_ID, QUEUE);
		end_nest(queue);
	}
	return transact(netlink, DMABUF_ID);
}

static void run(const char *format, ...)
{
	char command[256];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	fflush(stdout);
	status = system(command);
	if (status) {
		fprintf(stderr, "%s: status %d\n", command, status);
		exit(1);
	}
}

/* --- receiving */

static int listening(int port)
{
	struct sockaddr_in6 here = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int listener = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listener < 0 || bind(listener, (void *)&here, sizeof(here)) || listen(listener, 1))
		die("listen");
	return listener;
}

static struct { int netlink, fd; uint32_t id; uint8_t *memory; } device;

/* The dma-buf bound to the queue to which the port's connections are steered. */
static void bind_rx(const char *ifname, int port, uint32_t page_size)
{
	int ifindex = if_nametoindex(ifname);

	split_headers(device.netlink, ifindex);
	run("ethtool -X %s equal %d", ifname, QUEUE);
	run("ethtool -N %s flow-type tcp4 dst-port %d action %d >/dev/null", ifname, port, QUEUE);
	run("ethtool -N %s flow-type tcp6 dst-port %d action %d >/dev/null", ifname, port, QUEUE);
	device.id = bind_dmabuf(device.netlink, NETDEV_BIND_RX, ifindex, device.fd, page_size);
}

static void open_device(void)
{
	device.netlink = netlink_socket();
	device.memory = udmabuf(&device.fd);
}

/* One recvmsg: how many bytes, 0 at the end. All of them must be in device memory. */
static ssize_t receive_once(int sock, uint64_t total, uint64_t *wrong)
{
	static char control[TOKENS * CMSG_SPACE(sizeof(struct dmabuf_cmsg))], plain[819200];
	struct iovec iov = { plain, sizeof(plain) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t count = recvmsg(sock, &msg, MY_MSG_SOCK_DEVMEM);
	struct dmabuf_token token;
	struct cmsghdr *cmsg;

	if (count < 0)
		die("recvmsg");
	if (count && msg.msg_flags & MSG_CTRUNC)
		die("truncated");
	for (cmsg = CMSG_FIRSTHDR(&msg); count && cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		struct dmabuf_cmsg *frag = (void *)CMSG_DATA(cmsg);

		if (cmsg->cmsg_type != MY_SCM_DEVMEM_DMABUF || frag->dmabuf_id != device.id)
			die("control message %d of dma-buf %u", cmsg->cmsg_type, frag->dmabuf_id);
		for (uint32_t i = 0; i < frag->frag_size; i++)
			*wrong += device.memory[frag->frag_offset + i] != (total + i) % PERIOD;
		total += frag->frag_size;
		token.token_start = frag->frag_token;
		token.token_count = 1;
		if (setsockopt(sock, SOL_SOCKET, MY_SO_DEVMEM_DONTNEED, &token, sizeof(token)) != 1)
			die("SO_DEVMEM_DONTNEED");
	}
	return count;
}

static int receive(const char *ifname, int port, char *expected, uint32_t page_size)
{
	uint64_t failed = 0;
	int listener;

	open_device();
	bind_rx(ifname, port, page_size);
	listener = listening(port);
	for (char *each = strtok(expected, ","); each; each = strtok(NULL, ",")) {
		int sock = accept(listener, NULL, NULL);
		uint64_t total = 0, wrong = 0;
		ssize_t count;

		if (sock < 0)
			die("accept");
		while ((count = receive_once(sock, total, &wrong)))
			total += count;
		close(sock);
		printf("received %llu bytes, %llu wrong\n", (unsigned long long)total,
		       (unsigned long long)wrong);
		failed += wrong || total != strtoull(each, NULL, 0);
	}
	return failed != 0;
}

/* --- sending */

static uint32_t wait_completion(int sock)
{
	char control[128];
	struct pollfd ready = { .fd = sock };
	struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct sock_extended_err *report;

	if (poll(&ready, 1, 30000) != 1 || !(ready.revents & POLLERR))
		die("poll");
	if (recvmsg(sock, &msg, MSG_ERRQUEUE) < 0)
		die("MSG_ERRQUEUE");
	report = (void *)CMSG_DATA(CMSG_FIRSTHDR(&msg));
	if (report->ee_errno || report->ee_origin != SO_EE_ORIGIN_ZEROCOPY)
		die("completion of origin %d", report->ee_origin);
	return report->ee_data;
}

static int connected(const char *address, int port)
{
	struct sockaddr_in6 there = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int sock = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	if (inet_pton(AF_INET6, address, &there.sin6_addr) != 1 ||
	    setsockopt(sock, SOL_SOCKET, MY_SO_ZEROCOPY, &one, sizeof(one)) ||
	    connect(sock, (void *)&there, sizeof(there)))
		die("connect to %s", address);
	return sock;
}

/* One sendmsg of the first bytes of the dma-buf, in buffers of `chunk` bytes. */
static void send_once(int sock, uint64_t bytes, uint64_t chunk)
{
	static struct iovec iov[1024];
	char control[CMSG_SPACE(sizeof(uint32_t))] = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	for (uint64_t at = 0; at < bytes; at += chunk) {
		iov[msg.msg_iovlen].iov_base = (void *)at;
		iov[msg.msg_iovlen++].iov_len = bytes - at < chunk ? bytes - at : chunk;
	}
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = MY_SCM_DEVMEM_DMABUF;
	cmsg->cmsg_len = CMSG_LEN(sizeof(device.id));
	memcpy(CMSG_DATA(cmsg), &device.id, sizeof(device.id));
	if (sendmsg(sock, &msg, MY_MSG_ZEROCOPY) != (ssize_t)bytes)
		die("sendmsg");
}

static void bind_tx(const char *ifname)
{
	int ifindex = if_nametoindex(ifname);

	device.id = bind_dmabuf(device.netlink, NETDEV_BIND_TX, ifindex, device.fd, 0);
	for (uint64_t i = 0; i < SIZE; i++)
		device.memory[i] = i % PERIOD;
}

static int send_all(const char *ifname, const char *address, int port, uint64_t bytes, uint64_t chunk)
{
	int sock;

	open_device();
	bind_tx(ifname);
	sock = connected(address, port);
	send_once(sock, bytes, chunk);
	printf("completed up to %u\n", wait_completion(sock));
	close(sock);
	return 0;
}

/* --- phases */

static int hold(const char *phase, const char *ifname, int port, const char *address)
{
	uint64_t wrong = 0, at = 0;
	int sock, family;

	open_device();
	family = family_id(device.netlink, "netdev");
	if (!strcmp(phase, "sending"))
		bind_tx(ifname);
	else if (strcmp(phase, "unbound"))
		bind_rx(ifname, port, 0);
	if (address)
		sock = connected(address, port);
	else
		sock = accept(listening(port), NULL, NULL);
	printf("holds\n");
	fflush(stdout);
	for (;;) {
		if (!strcmp(phase, "sending")) {
			send_once(sock, PERIOD * 512, PERIOD * 512);
			wait_completion(sock);
		} else if (!strcmp(phase, "requesting")) {
			begin(family, NETDEV_DEV_GET);
			put_u32(1, if_nametoindex(ifname));
			transact(device.netlink, 0);
		} else if (!strcmp(phase, "receiving")) {
			ssize_t count = receive_once(sock, at, &wrong);

			at += count;
			if (!count || wrong)
				return wrong != 0;
		} else if (recv(sock, &wrong, 1, 0) <= 0) {
			return 0;
		}
	}
}

int main(int argc, char **argv)
{
	if ((argc == 5 || argc == 6) && !strcmp(argv[1], "receive"))
		return receive(argv[2], atoi(argv[3]), argv[4], argc == 6 ? atoi(argv[5]) : 0);
	if ((argc == 6 || argc == 7) && !strcmp(argv[1], "send")) {
		uint64_t bytes = strtoull(argv[5], NULL, 0);

		return send_all(argv[2], argv[3], atoi(argv[4]), bytes, argc == 7 ? strtoull(argv[6], NULL, 0) : bytes);
	}
	if ((argc == 5 || argc == 6) && !strcmp(argv[1], "hold"))
		return hold(argv[2], argv[3], atoi(argv[4]), argc == 6 ? argv[5] : NULL);
	fprintf(stderr, "usage: see the first lines of devmem.c\n");
	return 2;
}

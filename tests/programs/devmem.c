/* Device memory TCP as the kernel's ncdevmem and kperf use it, with nothing of the testbed's:
 *
 *     devmem receive IFNAME PORT BYTES      devmem send IFNAME ADDRESS PORT BYTES
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
#include <linux/genetlink.h>
#include <linux/netlink.h>
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

enum { NETDEV_BIND_RX = 13, NETDEV_BIND_TX = 15, ETHTOOL_RINGS_SET = 16 };
enum { DMABUF_IFINDEX = 1, DMABUF_QUEUES, DMABUF_FD, DMABUF_ID };
enum { QUEUE_ID = 1, QUEUE_TYPE = 3 };
enum { RINGS_HEADER = 1, RINGS_TCP_DATA_SPLIT = 11, RINGS_HDS_THRESH = 17 };

struct udmabuf_create { uint32_t memfd, flags; uint64_t offset, size; };
struct dmabuf_cmsg { uint64_t frag_offset; uint32_t frag_size, frag_token, dmabuf_id, flags; };
struct dmabuf_token { uint32_t token_start, token_count; };

static void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vfprintf(stderr, format, args);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

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

/* --- generic netlink */

static struct { struct nlmsghdr head; struct genlmsghdr genl; char rest[4096]; } message;

static struct nlattr *put(int type, const void *data, int length)
{
	struct nlattr *attribute = (void *)((char *)&message + NLMSG_ALIGN(message.head.nlmsg_len));

	attribute->nla_type = type;
	attribute->nla_len = NLA_HDRLEN + length;
	if (length)
		memcpy((char *)attribute + NLA_HDRLEN, data, length);
	message.head.nlmsg_len = NLMSG_ALIGN(message.head.nlmsg_len) + NLA_ALIGN(attribute->nla_len);
	return attribute;
}

static void put_u32(int type, uint32_t value)
{
	put(type, &value, sizeof(value));
}

static void end_nest(struct nlattr *nest)
{
	nest->nla_type |= NLA_F_NESTED;
	nest->nla_len = (char *)&message + message.head.nlmsg_len - (char *)nest;
}

static void begin(int family, int command)
{
	memset(&message, 0, sizeof(message));
	message.head.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	message.head.nlmsg_type = family;
	message.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	message.head.nlmsg_seq = 1;
	message.genl.cmd = command;
	message.genl.version = 1;
}

/* Send the message; the u16 or u32 attribute `wanted` of the reply, 0 without one. The ACK must say 0. */
static uint32_t transact(int netlink, int wanted)
{
	static char buffer[32768];
	uint32_t found = 0;

	if (send(netlink, &message, message.head.nlmsg_len, 0) != (ssize_t)message.head.nlmsg_len)
		die("netlink send");
	for (;;) {
		int length = recv(netlink, buffer, sizeof(buffer), 0);
		struct nlmsghdr *head = (void *)buffer;

		if (length < 0)
			die("netlink recv");
		for (; NLMSG_OK(head, length); head = NLMSG_NEXT(head, length)) {
			struct nlattr *attribute = (void *)((char *)NLMSG_DATA(head) + GENL_HDRLEN);
			int left = head->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN);

			if (head->nlmsg_type == NLMSG_ERROR) {
				errno = -((struct nlmsgerr *)NLMSG_DATA(head))->error;
				if (errno)
					die("netlink command %d", message.genl.cmd);
				return found;
			}
			while (left >= NLA_HDRLEN && attribute->nla_len >= NLA_HDRLEN) {
				if ((attribute->nla_type & NLA_TYPE_MASK) == wanted)
					memcpy(&found, (char *)attribute + NLA_HDRLEN,
					       attribute->nla_len - NLA_HDRLEN < 4 ? attribute->nla_len - NLA_HDRLEN : 4);
				left -= NLA_ALIGN(attribute->nla_len);
				attribute = (void *)((char *)attribute + NLA_ALIGN(attribute->nla_len));
			}
		}
	}
}

static int netlink_socket(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), one = 1;

	if (netlink < 0 || bind(netlink, (void *)&address, sizeof(address)))
		die("netlink socket");
	setsockopt(netlink, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	return netlink;
}

static int family_id(int netlink, const char *name)
{
	begin(GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	put(CTRL_ATTR_FAMILY_NAME, name, strlen(name) + 1);
	return transact(netlink, CTRL_ATTR_FAMILY_ID);
}

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

static uint32_t bind_dmabuf(int netlink, int command, int ifindex, int fd)
{
	begin(family_id(netlink, "netdev"), command);
	put_u32(DMABUF_IFINDEX, ifindex);
	put_u32(DMABUF_FD, fd);
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

static int receive(const char *ifname, int port, uint64_t expected)
{
	static char control[TOKENS * CMSG_SPACE(sizeof(struct dmabuf_cmsg))], plain[819200];
	struct dmabuf_token token;
	uint64_t total = 0, wrong = 0;
	int fd, netlink = netlink_socket(), ifindex = if_nametoindex(ifname), listener, sock;
	uint8_t *memory = udmabuf(&fd);
	uint32_t id;

	split_headers(netlink, ifindex);
	run("ethtool -X %s equal %d", ifname, QUEUE);
	run("ethtool -N %s flow-type tcp4 dst-port %d action %d >/dev/null", ifname, port, QUEUE);
	id = bind_dmabuf(netlink, NETDEV_BIND_RX, ifindex, fd);
	listener = listening(port);
	sock = accept(listener, NULL, NULL);
	if (sock < 0)
		die("accept");
	for (;;) {
		struct iovec iov = { plain, sizeof(plain) };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t count = recvmsg(sock, &msg, MY_MSG_SOCK_DEVMEM);
		struct cmsghdr *cmsg;

		if (count < 0)
			die("recvmsg");
		if (!count)
			break;
		if (msg.msg_flags & MSG_CTRUNC)
			die("truncated");
		for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
			struct dmabuf_cmsg *frag = (void *)CMSG_DATA(cmsg);

			if (cmsg->cmsg_type != MY_SCM_DEVMEM_DMABUF || frag->dmabuf_id != id)
				die("control message %d of dma-buf %u", cmsg->cmsg_type, frag->dmabuf_id);
			for (uint32_t i = 0; i < frag->frag_size; i++)
				wrong += memory[frag->frag_offset + i] != (total + i) % PERIOD;
			total += frag->frag_size;
			token.token_start = frag->frag_token;
			token.token_count = 1;
			if (setsockopt(sock, SOL_SOCKET, MY_SO_DEVMEM_DONTNEED, &token, sizeof(token)) != 1)
				die("SO_DEVMEM_DONTNEED");
		}
	}
	printf("received %llu bytes, %llu wrong\n", (unsigned long long)total, (unsigned long long)wrong);
	return wrong || total != expected;
}

/* --- sending */

static void wait_completion(int sock)
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
	printf("completed %u to %u\n", report->ee_info, report->ee_data);
}

static int send_all(const char *ifname, const char *address, int port, uint64_t bytes)
{
	char control[CMSG_SPACE(sizeof(uint32_t))] = { 0 };
	struct sockaddr_in6 there = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct iovec iov[2] = { { (void *)0, bytes / 2 }, { (void *)(bytes / 2), bytes - bytes / 2 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int fd, netlink = netlink_socket(), sock = socket(AF_INET6, SOCK_STREAM, 0), one = 1;
	uint8_t *memory = udmabuf(&fd);
	uint32_t id = bind_dmabuf(netlink, NETDEV_BIND_TX, if_nametoindex(ifname), fd);

	for (uint64_t i = 0; i < bytes; i++)
		memory[i] = i % PERIOD;
	if (inet_pton(AF_INET6, address, &there.sin6_addr) != 1 ||
	    setsockopt(sock, SOL_SOCKET, MY_SO_ZEROCOPY, &one, sizeof(one)) ||
	    connect(sock, (void *)&there, sizeof(there)))
		die("connect to %s", address);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = MY_SCM_DEVMEM_DMABUF;
	cmsg->cmsg_len = CMSG_LEN(sizeof(id));
	memcpy(CMSG_DATA(cmsg), &id, sizeof(id));
	if (sendmsg(sock, &msg, MY_MSG_ZEROCOPY) != (ssize_t)bytes)
		die("sendmsg");
	wait_completion(sock);
	close(sock);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "receive"))
		return receive(argv[2], atoi(argv[3]), strtoull(argv[4], NULL, 0));
	if (argc == 6 && !strcmp(argv[1], "send"))
		return send_all(argv[2], argv[3], atoi(argv[4]), strtoull(argv[5], NULL, 0));
	fprintf(stderr, "usage: devmem receive IFNAME PORT BYTES | send IFNAME ADDRESS PORT BYTES\n");
	return 2;
}

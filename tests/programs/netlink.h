/* Generic netlink with nothing but a socket: one request, its reply's attribute, its ACK. */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vfprintf(stderr, format, args);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

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

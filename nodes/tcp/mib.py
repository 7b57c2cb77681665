"""The TCP counters of one host, under the kernel's names. Owns the numbers; connections add to them.

/proc/net/snmp and /proc/net/netstat: net/ipv4/proc.c snmp4_tcp_list and snmp4_net_list. A counter of the
kernel's is here only if this stack counts what it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(slots=True)
class TcpMib:
    """Counts since the host began. TcpInSegs counts packets that the NIC coalesced as one, as Linux does."""

    TcpActiveOpens: Annotated[int, "connections", "connects begun"] = 0
    TcpPassiveOpens: Annotated[int, "connections", "opened by peers, the handshake ended"] = 0
    TcpAttemptFails: Annotated[int, "connections", "handshakes that failed"] = 0
    TcpEstabResets: Annotated[int, "connections", "connections that were reset when established"] = 0
    TcpCurrEstab: Annotated[
        int, "connections",
        "connections that are established, or wait for the application to close: a number of now",
    ] = 0
    TcpInSegs: Annotated[int, "segments", "segments received, wrong ones included"] = 0
    TcpOutSegs: Annotated[int, "segments", "segments sent, each wire packet, retransmissions included"] = 0
    TcpRetransSegs: Annotated[int, "segments", "segments sent again"] = 0
    TcpInErrs: Annotated[int, "segments", "segments received that are wrong: checksum, length"] = 0
    TcpOutRsts: Annotated[int, "segments", "RSTs sent"] = 0
    TcpExtTCPTimeouts: Annotated[int, "times", "retransmission timeouts"] = 0
    TcpExtTCPLossProbes: Annotated[int, "segments", "tail loss probes sent"] = 0
    TcpExtTCPLossProbeRecovery: Annotated[int, "times", "losses that a tail loss probe repaired"] = 0
    TcpExtTCPSackRecovery: Annotated[int, "times", "recoveries begun by SACK"] = 0
    TcpExtTCPRenoRecovery: Annotated[
        int, "times", "recoveries begun by duplicate ACKs, of a peer without SACK"
    ] = 0
    TcpExtTCPSACKReneging: Annotated[
        int, "times", "a peer no longer had what it had selectively acknowledged"
    ] = 0
    TcpExtTCPSpuriousRTOs: Annotated[int, "times", "timeouts that F-RTO found to be needless"] = 0
    TcpExtTCPDSACKUndo: Annotated[
        int, "times",
        "recoveries undone, since duplicate SACKs told that all that was sent again was needless",
    ] = 0
    TcpExtTCPFullUndo: Annotated[
        int, "times", "recoveries undone, since a timestamp told that nothing had been lost"
    ] = 0
    TcpExtTCPDSACKRecv: Annotated[int, "segments", "duplicate SACKs received"] = 0
    TcpExtTCPDSACKOldSent: Annotated[
        int, "segments", "duplicate SACKs sent, of data that had been acknowledged before"
    ] = 0
    TcpExtTCPAckCompressed: Annotated[
        int, "segments", "ACKs with SACK that were left out, since a later one told the same"
    ] = 0
    TcpExtTCPKeepAlive: Annotated[int, "segments", "keepalive probes sent"] = 0
    TcpExtTCPAbortOnData: Annotated[int, "connections", "reset since data came that no process will read"] = 0
    TcpExtTCPAbortOnClose: Annotated[
        int, "connections", "reset since the application closed with data unread"
    ] = 0
    TcpExtTCPAbortOnMemory: Annotated[
        int, "connections", "reset since too many were closed and not yet ended"
    ] = 0
    TcpExtTCPAbortOnTimeout: Annotated[
        int, "connections", "given up after the last retransmission or keepalive"
    ] = 0
    TcpExtTCPAbortOnLinger: Annotated[
        int, "connections", "reset in FIN-WAIT-2 since TCP_LINGER2 is negative"
    ] = 0
    TcpExtPAWSEstab: Annotated[int, "segments", "dropped for a timestamp that is too old"] = 0
    TcpExtPAWSTimewait: Annotated[int, "segments", "likewise, in TIME-WAIT"] = 0
    TcpExtTCPACKSkippedChallenge: Annotated[int, "segments", "challenge ACKs that a rate limit held back"] = 0
    TcpExtTCPChallengeACK: Annotated[int, "segments", "challenge ACKs sent"] = 0
    TcpExtTCPSYNChallenge: Annotated[int, "segments", "SYNs that were answered by a challenge ACK"] = 0
    TcpExtPruneCalled: Annotated[
        int, "times", "data beyond holes had to be given back, since no buffer was left"
    ] = 0
    TcpExtRcvPruned: Annotated[
        int, "times", "there was nothing to give back but data that waits to be read"
    ] = 0
    TcpExtOfoPruned: Annotated[int, "times", "data beyond holes was given back"] = 0
    TcpExtTCPRcvQDrop: Annotated[
        int, "segments", "dropped since the buffers were scarce and the socket had data unread"
    ] = 0
    TcpExtTCPOFODrop: Annotated[
        int, "segments", "dropped since the buffers were scarce and the data lies beyond a hole"
    ] = 0
    TcpExtTCPZeroWindowDrop: Annotated[int, "segments", "with data while the window was closed"] = 0
    TcpExtTCPMinTTLDrop: Annotated[
        int, "segments", "with a hop count below IP_MINTTL or IPV6_MINHOPCOUNT"
    ] = 0
    TcpExtBeyondWindow: Annotated[int, "segments", "with data beyond the window, and data unread"] = 0
    TcpExtTW: Annotated[int, "connections", "that entered TIME-WAIT"] = 0
    TcpExtTCPACKSkippedTimeWait: Annotated[
        int, "segments", "ACKs of TIME-WAIT that a rate limit held back"
    ] = 0
    TcpExtTCPTimeWaitOverflow: Annotated[
        int, "connections", "that did not enter TIME-WAIT, since too many were there"
    ] = 0

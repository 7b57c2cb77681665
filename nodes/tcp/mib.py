"""The TCP counters of one host, under the kernel's names. Owns the numbers; connections add to them.

/proc/net/snmp and /proc/net/netstat: net/ipv4/proc.c snmp4_tcp_list and snmp4_net_list. A counter of the
kernel's is here only if this stack counts what it counts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TcpMib:
    """Counts since the host began. TcpInSegs counts packets that the NIC coalesced as one, as Linux does."""

    TcpActiveOpens: int = 0
    TcpPassiveOpens: int = 0
    TcpAttemptFails: int = 0
    TcpEstabResets: int = 0
    TcpCurrEstab: int = 0
    TcpInSegs: int = 0
    TcpOutSegs: int = 0
    TcpRetransSegs: int = 0
    TcpInErrs: int = 0
    TcpOutRsts: int = 0
    TcpExtTCPTimeouts: int = 0
    TcpExtTCPLossProbes: int = 0
    TcpExtTCPLossProbeRecovery: int = 0
    TcpExtTCPSackRecovery: int = 0
    TcpExtTCPRenoRecovery: int = 0
    TcpExtTCPSACKReneging: int = 0
    TcpExtTCPSpuriousRTOs: int = 0
    TcpExtTCPDSACKUndo: int = 0
    TcpExtTCPFullUndo: int = 0
    TcpExtTCPDSACKRecv: int = 0
    TcpExtTCPDSACKOldSent: int = 0
    TcpExtTCPAckCompressed: int = 0
    TcpExtTCPKeepAlive: int = 0
    TcpExtTCPAbortOnData: int = 0
    TcpExtTCPAbortOnClose: int = 0
    TcpExtTCPAbortOnMemory: int = 0
    TcpExtTCPAbortOnTimeout: int = 0
    TcpExtTCPAbortOnLinger: int = 0
    TcpExtPAWSEstab: int = 0
    TcpExtPAWSTimewait: int = 0
    TcpExtTCPACKSkippedChallenge: int = 0
    TcpExtTCPChallengeACK: int = 0
    TcpExtTCPSYNChallenge: int = 0
    TcpExtPruneCalled: int = 0
    TcpExtRcvPruned: int = 0
    TcpExtOfoPruned: int = 0
    TcpExtTCPRcvQDrop: int = 0
    TcpExtTCPOFODrop: int = 0
    TcpExtTCPZeroWindowDrop: int = 0
    TcpExtTCPMinTTLDrop: int = 0
    TcpExtBeyondWindow: int = 0
    TcpExtTW: int = 0
    TcpExtTCPACKSkippedTimeWait: int = 0
    TcpExtTCPTimeWaitOverflow: int = 0

"""From an engine's events to a gateway's index, through every message between, with any of them lost.

The plainest thing that could be right stands beside: the prefixes that the engine holds, as sets of words.
"""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deployments.engine.cache_reporter.cache_log import CacheLog
from deployments.kv_cache.events import Cleared, KvEvent, Removed, Stored
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.replica_copy import ANSWER_TIMEOUT_S, Change, Forget, Load, ReplicaCopy, RequestSnapshot, Step
from deployments.kv_cache.report_subscriber import differences
from deployments.kv_cache.reports import decode_part, decode_report, encode
from deployments.routing import Replica, Router
from deployments.routing.keys import KEY_TOKENS, PrefixEnd, PrefixKeys
from deployments.routing.prompt import Prompt
from deployments.routing.seeds import seed_of

KEYS = PrefixKeys(bytes(range(32)))
WORD_TOKENS = KEY_TOKENS
FIRST_TOKEN = 0x5EC2E7_000000
"""Token ids that are easy to find in a message, were they in one."""
WORDS = st.lists(st.integers(1, 3), min_size=1, max_size=5)
Prefix = tuple[int, ...]


def tokens_of(words: Prefix) -> list[int]:
    return [FIRST_TOKEN + word for word in words for _ in range(WORD_TOKENS)]


def key_of(words: Prefix) -> int:
    return KEYS.prompt_keys(Prompt(tokens_of(words)), KEYS.root_key("m"))[-1]


class Gateway:
    """A router and its copy of one replica; what it asks for waits in `requests`."""

    def __init__(self) -> None:
        self.router = Router("m", prefix_keys=KEYS)
        self.replica: Replica = self.router.add("r", "r", "p", 1, seed_of(None))
        self.copy = ReplicaCopy(KEYS.fingerprint)
        self.requests: list[int] = []
        self.now = 0.0

    @property
    def known(self) -> set[int]:
        return self.router.held(self.replica)

    def take(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Change(report):
                    self.router.change(self.replica, report.change())
                case Load(parts):
                    for change in differences(self.router.held(self.replica), parts):
                        self.router.change(self.replica, change)
                case Forget():
                    self.router.clear(self.replica)
                case RequestSnapshot(request):
                    self.requests = [request]

    def hear(self, message: bytes) -> None:
        self.take(self.copy.report(decode_report(message), self.now))

    def hear_part(self, message: bytes) -> None:
        self.take(self.copy.snapshot_part(decode_part(message), self.now))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.copy.tick(self.now))


class FromEngineToGateway(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.held: dict[Prefix, int] = {}
        self.gateway = Gateway()
        self.messages: list[bytes] = []
        self.begin_reporter()
        self.gateway.take(self.gateway.copy.start(0.0))

    def begin_reporter(self) -> None:
        self.log = CacheLog(KEYS, "m")
        self.log.state(FeedState.EXACT)

    def happens(self, *events: KvEvent) -> None:
        self.log.apply(events)

    def reported(self) -> bytes:
        message = encode(self.log.report())
        self.messages.append(message)
        return message

    def parts(self, request: int) -> Iterator[bytes]:
        if self.log.changed:
            self.gateway.hear(self.reported())
        for part in self.log.snapshot(request):
            self.messages.append(encode(part))
            yield self.messages[-1]

    @rule(words=WORDS, known=st.integers(0, 4))
    def store(self, words: list[int], known: int) -> None:
        prefixes = [tuple(words[: n + 1]) for n in range(len(words))]
        known = min(known, len(words) - 1)
        parent = prefixes[known - 1] if known else None
        tokens = tokens_of(tuple(words[known:]))
        self.happens(Stored(list(prefixes[known:]), parent, tokens, WORD_TOKENS))
        if parent is None or parent in self.held:
            for prefix in prefixes[known:]:
                self.held[prefix] = self.held.get(prefix, 0) + 1

    @rule(words=WORDS)
    def remove(self, words: list[int]) -> None:
        prefix = tuple(words)
        self.happens(Removed([prefix]))
        if prefix in self.held:
            self.held[prefix] -= 1
            if not self.held[prefix]:
                del self.held[prefix]

    @rule()
    def clear(self) -> None:
        self.happens(Cleared())
        self.held.clear()

    @rule()
    def the_engines_events_are_lost_for_good(self) -> None:
        self.log.clear()
        self.held.clear()

    @rule(arrives=st.booleans())
    def report(self, arrives: bool) -> None:
        message = self.reported()
        if arrives:
            self.gateway.hear(message)

    @rule()
    def an_old_report_comes_again(self) -> None:
        reports = [message for message in self.messages[-5:] if is_report(message)]
        if reports:
            self.gateway.hear(reports[0])

    @rule(arriving=st.integers(0, 3))
    def answer(self, arriving: int) -> None:
        for request in self.gateway.requests:
            for _, part in zip(range(arriving), self.parts(request), strict=False):
                self.gateway.hear_part(part)

    @rule()
    def reconnect(self) -> None:
        self.gateway.take(self.gateway.copy.disconnected(self.gateway.now))

    @rule(seconds=st.sampled_from([0.1, 2.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.gateway.wait(seconds)

    @rule()
    def another_reporter_begins(self) -> None:
        """It asks the engine for everything again."""
        self.begin_reporter()
        for prefix in sorted(self.held, key=len):
            # Its parent may be gone: then a reporter that was there from the start knows more than one that was not.
            accounts, key = self.log._accounts, key_of(prefix)
            accounts._blocks[prefix] = PrefixEnd(key, len(prefix)), [key]
            accounts._add(key)
            if self.held[prefix] > 1:
                accounts._copies[prefix] = self.held[prefix]

    @precondition(lambda self: self.gateway.copy.state is FeedState.EXACT and not self.log.changed)
    @invariant()
    def what_is_exact_after_every_report_is_right(self) -> None:
        if self.gateway.copy._sequence == self.log._sequence and self.gateway.copy._reporter == self.log.name:
            assert self.gateway.known == {key_of(prefix) for prefix in self.held}

    @rule()
    def in_the_end_the_gateway_knows_what_the_engine_holds(self) -> None:
        gateway = self.gateway
        for _ in range(4):
            gateway.hear(self.reported())
            for request in gateway.requests:
                for part in self.parts(request):
                    gateway.hear_part(part)
            if gateway.copy.state is not FeedState.EXACT:
                gateway.wait(ANSWER_TIMEOUT_S)
        assert gateway.copy.state is FeedState.EXACT
        assert gateway.known == {key_of(prefix) for prefix in self.held}
        for prefix in self.held:
            bits = gateway.router.index.matches([key_of(prefix)])
            assert bits == [(1 << gateway.replica.row, 1)]
        assert gateway.router.index.keys == len(self.held)

    @invariant()
    def no_message_holds_a_token_id(self) -> None:
        for message in self.messages[-3:]:
            for token in range(FIRST_TOKEN + 1, FIRST_TOKEN + 4):
                for width in (7, 8):
                    assert token.to_bytes(width, "big") not in message
                    assert token.to_bytes(width, "little") not in message


def is_report(message: bytes) -> bool:
    try:
        decode_report(message)
    except ValueError:
        return False
    return True


TestFromEngineToGateway = FromEngineToGateway.TestCase
TestFromEngineToGateway.settings = settings(stateful_step_count=40)

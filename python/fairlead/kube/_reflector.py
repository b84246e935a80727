"""The reflector: keeps a local copy of one collection true, by list and watch. A machine without I/O.

It follows the rules of client-go's reflector (`tools/cache/reflector.go`) and adds what that leaves to HTTP/2 or
does not have. Events and time go in; changes of the copy and the next operation come out.

    LISTING ──PageEnd──► WATCHING ──Ended──► WATCHING
       ▲ ▲                  │ Gone, regress, stalled, very short, too many errors, 30 minutes
       │ └──────────────────┤
       └─Woke── WAITING ◄───┘ failures

Laws:
1. The first list asks for `0` (the watch cache), later ones for the version reached; where that is refused
   (410, or `Too large resource version`) for the newest state. Only lists of `0` or of the newest state are
   paged: with another version a limit would mean exactly that version.
2. A watch resumes where the last one ended; it is not a reason to list. Reasons are: 410 in any form; a watch
   shorter than a second without any event; five failures without an event between them; a version that goes
   backwards; silence where bookmarks should come; `relist_after` since the last list.
3. Nothing is asked twice without a wait between, except that a refused version is asked for anew once, and that
   a watch that ended well after a second or more is made anew. The first failure in a while, and a watch lost
   after it had lived for long, wait only for a short spread. So there is no hot loop, whatever the server does.
4. While no connection can be made the shared probe of the server decides when to go on (`AwaitServer`), and its
   success also cuts the wait after a connection that broke short; everything else that fails waits by the
   backoff, or as Retry-After says (a server that is starting asks for one second where the backoff has long come
   to thirty).
5. An event that is not newer than what was reached is a duplicate of what the copy holds and is passed over, or
   it belongs to another history (a stale or restored server): then it is dropped and the newest state is listed.
6. A list that could not be read is never an empty list; the copy survives every error.
7. A collection counts as not installed when all answers have been 404 for `absent_after`, counted from the first:
   a server that has just started, or a proxy in front of it, may say so for a moment.

Streaming lists (WatchList, KEP-3157) have their place beside LISTING: a watch with `sendInitialEvents` would feed
`Items` and, at the bookmark annotated `k8s.io/initial-events-end`, `PageEnd`, and go on as WATCHING; its refusal
would lead to LISTING. They are not built, because the feature is still beta in servers of today.
"""

from enum import Enum
from random import Random
from typing import Generic, TypeVar

import msgspec

from fairlead.kube._backoff import Backoff, BackoffSettings
from fairlead.kube._copy import LocalCopy
from fairlead.kube._decode import Broken
from fairlead.kube._effects import (
    AwaitServer,
    Bookmark,
    Ended,
    Event,
    Failed,
    Items,
    Late,
    List,
    Listed,
    Observed,
    Opened,
    Operation,
    PageEnd,
    Readable,
    Sleep,
    Stalled,
    Step,
    StoreChange,
    StreamError,
    Unreadable,
    Watch,
    Woke,
)
from fairlead.kube._errors import (
    Disconnected,
    Forbidden,
    Gone,
    KubeError,
    NotFound,
    ProtocolError,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    VersionTooLarge,
)
from fairlead.kube._store import HasMetadata, Store, ref_of
from fairlead.kube._versions import compare_versions, is_unset

T = TypeVar("T", bound=HasMetadata)


_WENT_BACK = "VersionWentBack"
"""The code of a watch that told versions from before the one reached."""


class ReflectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All times in seconds."""

    page_size: int = 500
    most_pages: int = 10_000
    """A list with more pages is given up as endless."""
    watch_timeout: tuple[int, int] = (300, 600)
    """The server is asked to end a watch after a random time in this range."""
    inactivity: float = 100.0
    """Bookmarks come about every minute; the short bound for a dead connection is the socket's own."""
    very_short: float = 1.0
    spread: float = 0.5
    """Lists after 410 and resumed watches are spread over this time."""
    relist_after: float = 1140.0
    """After so long the next end of a watch leads to a list: with the longest watch at most every 30 minutes."""
    retries_in_a_row: int = 5
    retry_after_cap: float = 300.0
    """A server that asks for a longer wait is asked again after this."""
    retry_after_trusted: int = 10
    """So many failures in a row wait as long as Retry-After says; then the backoff counts where it is longer."""
    late_after: float = 5.0
    absent_after: float = 30.0
    """See law 7. As long as a tentative status is held (`fairlead.status`)."""
    backoff: BackoffSettings = BackoffSettings()


class ReflectorStats(msgspec.Struct):
    """Counters since the start, for metrics."""

    lists: int = 0
    """Lists begun, however many pages they have."""
    watches: int = 0
    events: int = 0
    bookmarks: int = 0
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    """Failures of lists and watches, by the error's code."""
    resets: int = 0
    """Lists that took versions backwards."""
    stalls: int = 0
    synced_at: float | None = None
    """When the copy was last known to be current (monotonic seconds)."""

    def count(self, code: str) -> None:
        """One failure. Codes are of this program: an API server cannot add any."""
        self.errors[code] = self.errors.get(code, 0) + 1


class Phase(Enum):
    """What is under way."""

    LISTING = "listing"
    WATCHING = "watching"
    WAITING = "waiting"


class Reflector(Generic[T]):
    """The machine; see the module's laws. `start` first, then `handle` for every event."""

    def __init__(
        self,
        store: Store[T],
        *,
        random: Random,
        settings: ReflectorSettings | None = None,
        what: str = "collection",
    ) -> None:
        self.settings = settings or ReflectorSettings()
        self.stats = ReflectorStats()
        self.phase = Phase.WAITING
        self.version = ""
        """The version reached."""
        self._copy = LocalCopy(store)
        self._random = random
        self._what = what
        self._backoff = Backoff(self.settings.backoff, random)
        self._told: str | None = None
        self._synced = False
        self._then = Phase.LISTING
        self._truth_needed = False
        self._pages_wanted = False
        self._pages_refused = False
        self._listed_at = 0.0
        self._list = List("")
        self._list_version = ""
        self._next_page = ""
        self._pages = 0
        self._watch_began = 0.0
        self._watch_events = 0
        self._opened = False
        self._initial_events = False
        self._bookmarks_come = False
        self._silence_checked = False
        self._errors_in_a_row = 0
        self._absent_since: float | None = None
        """When the first of the latest answers came, which were all 404; None: the last one was not."""

    def start(self) -> Step[T]:
        """Begins, or begins anew after a crash of the shell: with a list."""
        return Step((), self._ask_list())

    def handle(self, event: Event[T], now: float) -> Step[T]:
        """Takes one event at monotonic time `now`."""
        match event:
            case Listed():
                return self._listed(event)
            case Items():
                return Step([change for item in event.items for change in self._copy.list_item(item)])
            case PageEnd():
                return self._page_end(now)
            case Opened():
                self._opened = True
                self._absent_since = None
                self.stats.synced_at = now
                return Step(self._tell_readable())
            case Observed():
                return self._observed(event, now)
            case Bookmark():
                return self._bookmark(event, now)
            case StreamError() | Failed():
                return self._failed(event.error, now)
            case Ended():
                return self._ended(now)
            case Stalled():
                return self._stalled(now)
            case Woke():
                if event.recovered:
                    self._backoff.reset()
                return Step((), self._ask_list() if self._then is Phase.LISTING else self._ask_watch(now))
            case Late():
                late = self._told is None and self.phase is Phase.LISTING
                return Step(self._tell("Slow", "the list has not been answered yet") if late else [])

    # Lists

    def _ask_list(self) -> Operation:
        version = "" if self._truth_needed else self.version or "0"
        paged = is_unset(version) or self._pages_wanted
        self._list = List(version, self.settings.page_size if paged and not self._pages_refused else 0)
        self._list_version = ""
        self._pages = 0
        self.phase = Phase.LISTING
        self.stats.lists += 1
        return self._list

    def _listed(self, event: Listed) -> Step[T]:
        self._absent_since = None
        if self._list.continue_token == "":
            went_back = compare_versions(event.version, self.version) == -1
            if went_back and self._list.version != "":
                # The server has not honoured "at least as new as": ask for the newest state.
                self._truth_needed = True
                return Step((), self._ask_list())
            if went_back:
                self.stats.resets += 1
            self._list_version = event.version
            self._copy.begin_list(truth=self._list.version == "")
        self._next_page = event.continue_token
        if event.continue_token:
            self._pages_wanted = True
        return Step()

    def _page_end(self, now: float) -> Step[T]:
        if self._next_page:
            self._pages += 1
            if self._pages >= self.settings.most_pages or self._next_page == self._list.continue_token:
                return self._failed(ProtocolError("the list has no end", code="ListEndless"), now)
            # A continue token fixes the version; naming one beside it is an error.
            self._list = List(self._list.version, self._list.limit, self._next_page)
            return Step((), self._list)
        changes: list[StoreChange[T]] = self._copy.end_list()
        self.version = self._list_version
        self._truth_needed = False
        self._pages_refused = False
        self._listed_at = self.stats.synced_at = now
        self._synced = True
        changes += self._tell_readable()
        return Step(changes, self._ask_watch(now))

    # Watches

    def _ask_watch(self, now: float) -> Operation:
        low, high = self.settings.watch_timeout
        timeout = self._random.randint(low, high)
        self.phase = Phase.WATCHING
        self._watch_began = now
        self._watch_events = 0
        self._opened = False
        self._initial_events = is_unset(self.version)
        self.stats.watches += 1
        return Watch(self.version, timeout, self.settings.inactivity, timeout * 1.1)

    def _observed(self, event: Observed[T], now: float) -> Step[T]:
        self._note_activity(now)
        self.stats.events += 1
        item = event.item
        ref, uid, version = (
            (item.ref, item.uid, item.version)
            if isinstance(item, Broken)
            else (ref_of(item), item.metadata.uid, item.metadata.resource_version)
        )
        if event.type != "ADDED":
            self._initial_events = False
        order = compare_versions(version, self.version) if version else None
        if order is not None and order <= 0 and not self._initial_events:
            gone_already = event.type == "DELETED" and ref not in self._copy.store
            if gone_already or self._copy.is_known(ref, uid, version):
                return Step()
            self.stats.count(_WENT_BACK)
            return self._other_history(now)
        if version and not self._initial_events:
            self.version = version
        if event.type == "DELETED":
            return Step(self._copy.delete(ref) if ref is not None else ())
        return Step(self._copy.put(item))

    def _bookmark(self, event: Bookmark, now: float) -> Step[T]:
        self._note_activity(now)
        self.stats.bookmarks += 1
        self._bookmarks_come = True
        self._initial_events = False
        if compare_versions(event.version, self.version) == -1:
            self.stats.count(_WENT_BACK)
            return self._other_history(now)
        if event.version:
            self.version = event.version
        return Step()

    def _note_activity(self, now: float) -> None:
        self._watch_events += 1
        self._errors_in_a_row = 0
        self.stats.synced_at = now

    def _other_history(self, now: float) -> Step[T]:
        self._truth_needed = True
        return Step((), self._wait_after_failure(now, Phase.LISTING, soon=True))

    def _ended(self, now: float) -> Step[T]:
        lasted = now - self._watch_began
        if self._watch_events == 0 and lasted < self.settings.very_short:
            # Some servers end a watch in silence where they mean 410 (kubernetes #137089).
            error = Disconnected("the watch was ended at once, without any event", code="WatchTooShort")
            self.stats.count(error.code)
            return Step(self._tell_error(error, now), self._wait_after_failure(now, Phase.LISTING))
        if self._is_list_due(now):
            return Step((), self._ask_list())
        if lasted < self.settings.very_short:
            return Step(
                (), self._wait(self.settings.very_short * (1 + self._random.random()), Phase.WATCHING)
            )
        return Step((), self._ask_watch(now))

    def _stalled(self, now: float) -> Step[T]:
        self.stats.stalls += 1
        if self._is_list_due(now):
            return Step((), self._ask_list())
        # A server whose versions went backwards waits in silence for ours to come (kubernetes #107457). One that
        # never sends bookmarks is silent by nature: it is suspected only once.
        suspect = self._watch_events == 0 and (self._bookmarks_come or not self._silence_checked)
        self._silence_checked = self._silence_checked or suspect
        return Step((), self._wait_spread(Phase.LISTING if suspect else Phase.WATCHING))

    def _is_list_due(self, now: float) -> bool:
        if now - self._listed_at < self.settings.relist_after:
            return False
        self._truth_needed = True
        return True

    # Failures

    def _failed(self, error: KubeError, now: float) -> Step[T]:
        self.stats.count(error.code)
        if not isinstance(error, NotFound):
            self._absent_since = None
        elif self._absent_since is None:
            self._absent_since = now
        if self.phase is Phase.LISTING:
            then, step = Phase.LISTING, self._list_failed(error)
        else:
            then, step = self._watch_failed(error, now)
        return step or Step(self._tell_error(error, now), self._by_kind(error, now, then))

    def _list_failed(self, error: KubeError) -> Step[T] | None:
        if not isinstance(error, Gone | VersionTooLarge):
            return None
        if self._list.continue_token and not self._pages_refused:
            # Later pages expire when listing takes too long; all at once does not.
            self._pages_refused = True
        elif self._list.version != "":
            self._truth_needed = True
        else:
            return None
        return Step((), self._ask_list())

    def _watch_failed(self, error: KubeError, now: float) -> tuple[Phase, Step[T] | None]:
        """What comes after the error, and the step where it is not the usual wait."""
        if isinstance(error, Gone):
            return Phase.LISTING, Step((), self._wait_after_failure(now, Phase.LISTING, soon=True))
        if isinstance(error, VersionTooLarge):
            return Phase.LISTING, self._other_history(now)
        then = Phase.LISTING if self._is_list_due(now) else Phase.WATCHING
        if isinstance(error, Unreachable | TooManyRequests | Forbidden | Unauthorized):
            return then, None
        if not isinstance(error, Disconnected | ServerError | ProtocolError):
            return Phase.LISTING, None
        lived = now - self._watch_began if self._opened else 0.0
        if isinstance(error, Disconnected) and lived >= self.settings.backoff.cap:
            return then, Step((), self._wait_spread(then))
        self._errors_in_a_row += 1
        if self._errors_in_a_row > self.settings.retries_in_a_row:
            self._errors_in_a_row = 0
            return Phase.LISTING, None
        if isinstance(error, Disconnected) and lived >= self.settings.very_short:
            return then, Step((), self._wait_after_failure(now, then, soon=True))
        return then, None

    def _by_kind(self, error: KubeError, now: float, then: Phase) -> Operation:
        if isinstance(error, Unreachable):
            self.phase, self._then = Phase.WAITING, then
            return AwaitServer()
        wait = self._wait_after_failure(now, then)
        if isinstance(error, Disconnected):
            return Sleep(wait.seconds, until_recovery=True)
        if error.retry_after is None:
            unsure = self._unsure_for(now)
            return Sleep(min(wait.seconds, unsure)) if unsure > 0 else wait
        asked = min(error.retry_after, self.settings.retry_after_cap)
        asked += self._random.random() * min(asked * 0.25, 1.0)
        trusted = self._backoff.failures <= self.settings.retry_after_trusted
        return Sleep(max(asked, self.settings.backoff.initial if trusted else wait.seconds))

    def _wait_after_failure(self, now: float, then: Phase, *, soon: bool = False) -> Sleep:
        """Waits by the backoff; `soon`: the first failure in a while only for a short spread."""
        wait = self._backoff.fail(now)
        if soon and self._backoff.failures == 1:
            return self._wait_spread(then)
        return self._wait(wait, then)

    def _wait_spread(self, then: Phase) -> Sleep:
        return self._wait(self._random.random() * self.settings.spread, then)

    def _wait(self, seconds: float, then: Phase) -> Sleep:
        self.phase, self._then = Phase.WAITING, then
        return Sleep(seconds)

    # What is told

    def _tell_readable(self) -> list[Readable]:
        if not self._synced or self._told == "":
            return []
        self._told = ""
        return [Readable()]

    def _tell_error(self, error: KubeError, now: float) -> list[Unreadable]:
        if isinstance(error, NotFound) and self._unsure_for(now) <= 0:
            return self._tell("NotInstalled", f"the API server does not serve {self._what}")
        return self._tell(error.code, error.message)

    def _unsure_for(self, now: float) -> float:
        """How long 404 does not yet mean that the collection is not installed; not above 0: it does."""
        if self._absent_since is None:
            return 0.0
        return self._absent_since + self.settings.absent_after - now

    def _tell(self, code: str, message: str) -> list[Unreadable]:
        if self._told == code:
            return []
        self._told = code
        return [Unreadable(code, message)]

"""What all units of work share."""

from dataclasses import dataclass, field

from fairlead.translate._addresses import AddressBook
from fairlead.translate._backends import Backends
from fairlead.translate._findings import Findings
from fairlead.translate._gateway_api import GatewayAPI
from fairlead.translate._graph import Graph, Queue
from fairlead.translate._kinds import KindStates
from fairlead.translate._model import TranslateSettings
from fairlead.translate._objects import Objects
from fairlead.translate._outbox import Outbox, Validate


@dataclass(slots=True)
class World:
    """The state of one Translator."""

    settings: TranslateSettings
    addresses: AddressBook
    outbox: Outbox
    kinds: KindStates = field(default_factory=KindStates)
    objects: Objects = field(default_factory=Objects)
    queue: Queue = field(default_factory=Queue)
    findings: Findings = field(default_factory=Findings)
    graph: Graph = field(init=False)
    backends: Backends = field(init=False)
    gateway_api: GatewayAPI = field(default_factory=GatewayAPI)
    held: bool = False
    """Listeners changed, and the Routes that they concern may still be in the queue."""

    def __post_init__(self) -> None:
        self.graph = Graph(self.queue)
        self.backends = Backends(self.settings, self.objects, self.outbox, self.findings)


def new_world(
    settings: TranslateSettings, addresses: AddressBook, validate: Validate | None, part: int
) -> World:
    """A world without objects."""
    return World(settings, addresses, Outbox(validate, part=part))
